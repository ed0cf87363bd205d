"""Data sets -> documents -> tokens -> codes.

`load_text` goes one way: find the documents (embedded, of a file or of the Hub), hold some out by their content, fit
the codec on the rest, and frame both parts. Documents are read one by one, once to fit and once to frame, and codes
beyond 1 GiB go to disk; what stays in memory is a few numbers a sample.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from bgan_discrete.checks import check_choice, check_split
from bgan_discrete.codecs import TextCodec, TextCodecOptions
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources import conservation
from bgan_discrete.sources.arithmetic import equations
from bgan_discrete.sources.data import Data, TextData
from bgan_discrete.sources.dataset_rows import load_hub
from bgan_discrete.sources.framing import Framer
from bgan_discrete.sources.holdout import DocumentDraw, few_documents
from bgan_discrete.sources.rows import choose_splits
from bgan_discrete.sources.settings import HUB_ID, existing, unknown
from bgan_discrete.sources.storage import count_repeats
from bgan_discrete.sources.tables import Frame
from bgan_discrete.sources.text_files import (
    COLUMN_SUFFIXES,
    Documents,
    Tally,
    chosen_column,
    file_documents,
    row_documents,
)

EMBEDDED_TEXTS = ("arithmetic", "python-docs")
UNITS, LAYOUTS = ("line", "paragraph", "text"), ("pad", "window")
MAX_HELDOUT_DOCUMENTS = 100_000
STREAM_FIT_DOCUMENTS = 100_000
"""The vocabulary of a stream is learnt from its first so many training documents."""


@dataclass(frozen=True)
class _Opened:
    """Where the documents are read; each call of a function goes through them anew."""

    name: str
    training: Documents
    heldout: Documents | None
    heldout_source: str
    fit_documents: int | None = None
    commit: str | None = None


def load_text(
    dataset: str | os.PathLike[str] | Sequence[str],
    *,
    column: str | None = None,
    split: str = "train",
    unit: str = "line",
    layout: str = "pad",
    limit: int | None = None,
    holdout: float = 0.1,
    heldout: str | os.PathLike[str] | Sequence[str] | None = None,
    streaming: bool = False,
    codec: TextCodecOptions | TextCodec = TextCodecOptions(),  # noqa: B008 - it is frozen
    seed: int = 0,
    revision: str | None = None,
) -> TextData:
    """Load text, hold some documents out, and turn both parts into codes.

    Every character of a document is data, tabs too; only line breaks (LF, CRLF) separate documents. A NUL is damage,
    which is refused with its place. Whatever is lost or changes is logged and in the ``notes`` of the data.

    Args:
        dataset: 'arithmetic' or 'python-docs' (embedded), the path of a UTF-8 text file or of a ``.jsonl``, ``.json``,
            ``.csv``, ``.tsv`` or ``.parquet`` file with a column of texts, a Hub id, or a list of texts.
        column: Of the texts; None for the only one of strings. ``.csv`` and ``.tsv`` files are read as lines without.
        split: To train on, of a Hub data set.
        unit: What a document is: ``line``, ``paragraph`` (between blank lines) or ``text`` (a whole file or row).
        layout: ``pad``: a sample is a document, cut at the length or ended and padded. ``window``: a sample is a full
            window of a document; the windows follow one another, and what is left over is left out.
        limit: Take only the first so many documents, >= 1.
        holdout: Share of the documents held out where there is no split ``test`` or ``validation``, in (0, 1).
        heldout: A file or texts to evaluate with, of which the first `MAX_HELDOUT_DOCUMENTS` documents are used.
        streaming: Read a Hub data set over the network row by row, rather than download it first; the vocabulary is
            learnt from the first `STREAM_FIT_DOCUMENTS` training documents. Files are always read so.
        codec: Options of a codec to build and fit, whose ``ends`` must fit the layout; or a fitted codec.
        seed: Of the drawn held-out documents.
        revision: Branch, tag or commit of a Hub data set; None for its main branch.

    Returns:
        The codes.

    Raises:
        InputError: If an argument or the data cannot be used.
    """
    _check(unit, layout, limit, holdout, seed, codec.ends)
    opened = _open(dataset, column, split, unit, heldout, streaming, revision)
    draw = None
    if opened.heldout is None:
        few = few_documents(islice(opened.training(Tally()), limit))
        draw = DocumentDraw(holdout, seed, few, layout == "window")
    built = codec.build() if isinstance(codec, TextCodecOptions) else codec
    tallies, framers, notes = _framed(opened, limit, draw, built, layout)
    return _load(opened, built, draw, tallies, framers, notes, unit)


def _framed(
    opened: _Opened, limit: int | None, draw: DocumentDraw | None, codec: TextCodec, layout: str
) -> tuple[tuple[Tally, Tally], tuple[Framer, Framer], list[str]]:
    """Both parts as codes, once the codec is fitted."""

    def own(tally: Tally) -> Iterator[tuple[str, bool]]:
        """The documents of the data set, and whether each is held out."""
        for number, text in enumerate(islice(opened.training(tally), limit)):
            yield from ((text, False),) if draw is None else draw(number, text)

    def to_fit() -> Iterator[str]:
        return islice((text for text, is_heldout in own(Tally()) if not is_heldout), opened.fit_documents)

    if next(to_fit(), None) is None:
        raise InputError(
            f"dataset {opened.name!r} has no documents to train on: it is empty, holds blank lines only, or has so "
            "few documents that all are held out"
        )
    if not codec.is_fitted:
        codec.fit(to_fit())
    tallies, notes = (Tally(), Tally()), []
    framers = (Framer(codec, layout, tallies[0]), Framer(codec, layout, tallies[1]))
    for text, is_heldout in own(tallies[0]):
        framers[is_heldout].add(text)
    if opened.heldout is not None:
        others = opened.heldout(tallies[1])
        for text in islice(others, MAX_HELDOUT_DOCUMENTS):
            framers[True].add(text)
        if next(others, None) is not None:
            notes.append(f"of {opened.heldout_source} the first {MAX_HELDOUT_DOCUMENTS:,} documents alone are used")
    return tallies, framers, notes


def _load(
    opened: _Opened,
    codec: TextCodec,
    draw: DocumentDraw | None,
    tallies: tuple[Tally, Tally],
    framers: tuple[Framer, Framer],
    notes: list[str],
    unit: str,
) -> TextData:
    name = opened.name
    codes, heldout_codes = (framer.finish() for framer in framers)
    for part, framer, found in zip(("train on", "judge by"), framers, (codes, heldout_codes), strict=True):
        if len(found) < 2:
            advice = "; give more, or others by --holdout FILE" if part == "judge by" and draw is not None else ""
            place = opened.heldout_source if part == "judge by" and draw is None else f"dataset {name!r}"
            short = f"{place} has {len(found)} samples to {part}; at least 2 are needed"
            raise InputError(f"{short}: {framer.lack(unit)}{advice}")
    heldout_place = f"the held-out texts of dataset {name!r}" if draw else f"the held-out {opened.heldout_source}"
    places = (f"dataset {name!r}", heldout_place)
    notes += [note for tally, place in zip(tallies, places, strict=True) for note in tally.notes(place)]
    conservation.report(notes)
    if draw is not None and draw.by_end:
        tallies[1].counts["documents"] = 0  # they are the ends of those that were counted
    total = tallies[0].counts + tallies[1].counts
    repeated, leaked = count_repeats(codes, heldout_codes)
    digest = hashlib.blake2b(b"".join(framer.digest.digest() for framer in framers), digest_size=32)
    return Data(
        name=name,
        digest=digest.hexdigest(),
        codes=codes,
        heldout_codes=heldout_codes,
        codec=codec,
        heldout_source=opened.heldout_source if draw is None else draw.source,
        counts={
            **{name: total[name] for name in ("lines", "documents", "cut")},
            "left_out": total["short"],
            "longest": max(framer.longest for framer in framers),
            "unknown": tallies[0].counts["unknown"],
            "heldout_unknown": tallies[1].counts["unknown"],
            "repeated": repeated,
            "leaked": leaked,
        },
        notes=tuple(notes),
        commit=opened.commit,
    )


def _check(unit: str, layout: str, limit: int | None, holdout: float, seed: int, ends: bool) -> None:
    check_choice("unit", unit, UNITS)
    check_choice("layout", layout, LAYOUTS)
    if unit == "text" and layout == "pad":
        raise InputError("unit 'text' needs layout 'window': a whole text is longer than a sample")
    check_split(limit, holdout, seed)
    if ends != (layout == "pad"):
        raise InputError(
            f"layout must be {'pad' if ends else 'window'} with a codec whose samples "
            f"{'may end early' if ends else 'all have the full length'}, got {layout!r}"
        )


def _open(
    dataset: str | os.PathLike[str] | Sequence[str],
    column: str | None,
    split: str,
    unit: str,
    heldout: str | os.PathLike[str] | Sequence[str] | None,
    streaming: bool,
    revision: str | None,
) -> _Opened:
    judged, source, in_column = None, "", False
    if isinstance(heldout, (str, os.PathLike)):
        judged_path = existing(str(heldout))
        if judged_path is None or judged_path.is_dir():
            what = "is a folder" if judged_path else "does not exist"
            raise InputError(f"heldout must be a text file; {str(heldout)!r} {what}")
        in_column = judged_path.suffix.lower() in COLUMN_SUFFIXES
        judged = file_documents(judged_path, column if in_column else None, unit, "heldout")
        source = f"file {str(heldout)!r}"
    elif heldout is not None:
        others = partial(iter, _given_texts(heldout, "heldout"))
        judged, source = row_documents(others, unit, "heldout"), "texts in memory"
    texts: list[str] | None = None
    if isinstance(dataset, (str, os.PathLike)):
        text = str(dataset)
        embedded = {"arithmetic": equations, "python-docs": _python_docs}.get(text)
        texts = embedded() if embedded else None
    else:
        texts = _given_texts(dataset, "dataset")
        text = f"{len(texts):,} texts in memory"
    path = existing(text) if texts is None else None
    is_local = texts is not None or path is not None
    if in_column and is_local and not text.lower().endswith(COLUMN_SUFFIXES):
        column = None  # it is that of the held-out file
    if is_local and (streaming or revision is not None):
        what = "streaming" if streaming else "revision"
        raise InputError(f"{what} is for data sets of the Hub, got {text!r}; files are read row by row anyway")
    if path is not None and path.is_dir():
        raise InputError(
            f"dataset must be a text file, a Hub id, 'arithmetic' or 'python-docs'; {text!r} is a folder: join its "
            f"files into one (cat {text}/*.txt > all.txt), or give their texts as a list to load_text"
        )
    if path is not None:
        return _Opened(text, file_documents(path, column, unit, "dataset"), judged, source)
    if texts is not None and column is not None:
        raise InputError(f"column is for data sets of the Hub and files with columns, got {column!r} for {text}")
    if texts is not None:
        return _Opened(text, row_documents(partial(iter, texts), unit, "dataset"), judged, source)
    looks_like_a_path = text.startswith((".", "/", "~")) or Path(text).suffix or text.count("/") != 1
    if isinstance(dataset, os.PathLike) or looks_like_a_path or not re.fullmatch(HUB_ID, text, flags=re.ASCII):
        raise InputError(
            f"dataset {text!r} is neither 'arithmetic', 'python-docs', an existing file, nor a Hub id (owner/name)"
        )
    return _open_hub(text, column, split, unit, judged, source, streaming, revision)


def _open_hub(
    name: str,
    column: str | None,
    split: str,
    unit: str,
    judged: Documents | None,
    source: str,
    streaming: bool,
    revision: str | None,
) -> _Opened:
    import datasets

    splits = load_hub(name, streaming, revision)
    heldout = choose_splits(splits, split, name)
    # A stream of files without a schema learns its columns from its first rows.
    try:
        features = splits[split].features or splits[split]._resolve_features().features
    except Exception as error:  # the library and what reads over the network for it raise whatever they like
        raise InputError(f"dataset {name!r} cannot be read: {one_line(error)}") from error
    strings = [
        key
        for key, feature in features.items()
        if isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")
    ]
    chosen = chosen_column(column, strings, name)

    def texts(table: Any) -> Iterator[str | None]:
        try:
            yield from (row[chosen] for row in table.select_columns([chosen]))
        except Exception as error:  # the library and what reads over the network for it raise whatever they like
            raise InputError(f"dataset {name!r} cannot be read to its end: {one_line(error)}") from error

    def documents(part: str) -> Documents:
        return row_documents(lambda: texts(splits[part]), unit, f"dataset {name!r}", chosen)

    if judged is None and heldout is not None:
        judged, source = documents(heldout), f"split {heldout!r}"
    fit_documents = STREAM_FIT_DOCUMENTS if streaming else None
    return _Opened(name, documents(split), judged, source, fit_documents, splits.commit)


def _given_texts(texts: Any, option: str) -> list[str]:
    """Texts in memory, each of which is text."""
    try:
        given = list(texts)
    except TypeError:
        raise InputError(f"{option} must be a name, a path or a list of texts, got {type(texts).__name__}") from None
    if isinstance(texts, (Mapping, Frame)):  # a data frame would give the names of its columns
        raise InputError(f"{option} must be a list of texts, got {type(texts).__name__}; give one of its values")
    for number, text in enumerate(given):
        if not isinstance(text, str):
            raise InputError(f"{option} must hold texts alone, got {type(text).__name__} as text {number}")
        if "\0" in text:
            raise InputError(f"{option} is damaged, or no text: text {number} holds a NUL character")
    return given


def _python_docs() -> list[str]:
    """The topics of Python's own documentation, as running text: paragraphs with their line breaks removed."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise unknown("python-docs", "this Python was installed without pydoc_data") from None
    paragraphs = (part for topic in sorted(topics) for part in topics[topic].split("\n\n"))
    running = (" ".join(part.split()) for part in paragraphs)
    # Headings, tables and code are no English: prose ends like a sentence and holds several words.
    return [text for text in running if text.endswith((".", ":")) and text.count(" ") >= 4]
