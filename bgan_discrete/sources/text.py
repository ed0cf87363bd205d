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

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_choice, check_limit, check_seed, check_share
from bgan_discrete.codecs import TextCodec, TextCodecOptions
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources import conservation
from bgan_discrete.sources.arithmetic import equations
from bgan_discrete.sources.code_store import CodeStore
from bgan_discrete.sources.data import Data, TextData
from bgan_discrete.sources.dataset_rows import load_hub
from bgan_discrete.sources.rows import choose_splits
from bgan_discrete.sources.settings import HUB_ID, existing, unknown
from bgan_discrete.sources.storage import count_repeats
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

FEW_DOCUMENTS = 100
"""Of fewer different documents it is known which they are, before some are held out."""

_AT_ONCE = 1024
_EXAMPLE = 40
"""Characters of an example in a note."""


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

    The held-out documents are those of ``heldout``; or the split ``test``, ``validation`` or ``valid`` of a Hub data
    set; or drawn by their content, so that all copies of a document go to the same side. Where fewer than
    `FEW_DOCUMENTS` are different, at least two are held out; where so few are each there many times, they are drawn one
    by one, so that every kind stays in training; and of fewer than four to be cut into windows, the end of each is held
    out.

    Every character of a document is data, tabs and other control characters too; only line breaks (LF, CRLF) separate
    documents. A NUL is damage, since text has none and a file that was cut off or is of another encoding does:
    it is refused with its place. Whatever is lost or changes is logged and in the ``notes`` of the data.

    Args:
        dataset: 'arithmetic' or 'python-docs' (embedded), the path of a UTF-8 text file or of a ``.jsonl``, ``.json``,
            ``.csv``, ``.tsv`` or ``.parquet`` file with a column of texts, a Hub id, or a list of texts.
        column: Column of the texts, of a Hub data set or a file with columns; None for the only one of strings. A
            ``.csv`` or ``.tsv`` file is read as lines without it.
        split: To train on, of a Hub data set.
        unit: What a document is: ``line``, ``paragraph`` (between blank lines) or ``text`` (a whole file or row).
        layout: ``pad``: a sample is a document, cut at the length or ended and padded. ``window``: a sample is a full
            window of a document; the windows follow one another, and what is left over is left out.
        limit: Take only the first so many documents, >= 1.
        holdout: Share of the documents held out where there is no other split, in (0, 1).
        heldout: A file to judge by, read as ``dataset`` is, of which the first `MAX_HELDOUT_DOCUMENTS` documents are
            used; or a list of texts.
        streaming: Read a Hub data set over the network row by row, twice and its start once more, rather than download
            it first; the vocabulary is learnt from the first `STREAM_FIT_DOCUMENTS` training documents. Files are
            always read so.
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
    name = opened.name
    holding_out = None
    if opened.heldout is None:
        few = _few_documents(islice(opened.training(Tally()), limit))
        holding_out = _HoldingOut(holdout, seed, few, layout == "window")

    def own(tally: Tally) -> Iterator[tuple[str, bool]]:
        """The documents of the data set, and whether each is held out."""
        for number, text in enumerate(islice(opened.training(tally), limit)):
            yield from ((text, False),) if holding_out is None else holding_out(number, text)

    def to_fit() -> Iterator[str]:
        return islice((text for text, is_heldout in own(Tally()) if not is_heldout), opened.fit_documents)

    built = codec.build() if isinstance(codec, TextCodecOptions) else codec
    if next(to_fit(), None) is None:
        raise InputError(
            f"dataset {name!r} has no documents to train on: it is empty, holds blank lines only, or has so "
            "few documents that all are held out"
        )
    if not built.is_fitted:
        built.fit(to_fit())
    tallies = (Tally(), Tally())
    framers = [_Framer(built, layout, tally) for tally in tallies]
    for text, is_heldout in own(tallies[0]):
        framers[is_heldout].add(text)
    notes = []
    if opened.heldout is not None:
        others = opened.heldout(tallies[1])
        for text in islice(others, MAX_HELDOUT_DOCUMENTS):
            framers[True].add(text)
        if next(others, None) is not None:
            notes.append(f"of {opened.heldout_source} the first {MAX_HELDOUT_DOCUMENTS:,} documents alone are used")
    codes, heldout_codes = (framer.finish() for framer in framers)
    digest = hashlib.blake2b(b"".join(framer.digest.digest() for framer in framers), digest_size=32)
    for part, framer, found in zip(("train on", "judge by"), framers, (codes, heldout_codes), strict=True):
        if len(found) < 2:
            advice = "; give more, or others by --holdout FILE" if part == "judge by" and heldout is None else ""
            short = f"dataset {name!r} has {len(found)} samples to {part}; at least 2 are needed"
            raise InputError(f"{short}: {framer.lack(unit)}{advice}")
    places = (f"dataset {name!r}", f"the held-out texts of dataset {name!r}")
    notes += [note for tally, place in zip(tallies, places, strict=True) for note in tally.notes(place)]
    conservation.report(notes)
    if holding_out is not None and holding_out.by_end:
        tallies[1].counts["documents"] = 0  # they are the ends of those that were counted
    total = tallies[0].counts + tallies[1].counts
    repeated, leaked = count_repeats(codes, heldout_codes)
    return Data(
        name=name,
        digest=digest.hexdigest(),
        codes=codes,
        heldout_codes=heldout_codes,
        codec=built,
        heldout_source=opened.heldout_source if holding_out is None else holding_out.source,
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
    check_limit(limit)
    check_share("holdout", holdout)
    check_seed(seed)
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
    splits = load_hub(name, streaming, revision)
    heldout = choose_splits(splits, split, name)
    # A stream of files without a schema learns its columns from its first rows.
    try:
        features = splits[split].features or splits[split]._resolve_features().features
    except Exception as error:  # the library and what reads over the network for it raise whatever they like
        raise InputError(f"dataset {name!r} cannot be read: {one_line(error)}") from error
    strings = [
        key for key, feature in features.items() if getattr(feature, "dtype", None) in ("string", "large_string")
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
    commit = getattr(splits, "commit", None)
    return _Opened(name, documents(split), judged, source, STREAM_FIT_DOCUMENTS if streaming else None, commit)


def _given_texts(texts: Any, option: str) -> list[str]:
    """Texts in memory, each of which is text."""
    try:
        given = list(texts)
    except TypeError:
        raise InputError(f"{option} must be a name, a path or a list of texts, got {type(texts).__name__}") from None
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):  # a data frame would give the names of its columns
        raise InputError(f"{option} must be a list of texts, got {type(texts).__name__}; give one of its values")
    for number, text in enumerate(given):
        if not isinstance(text, str):
            raise InputError(f"{option} must hold texts alone, got {type(text).__name__} as text {number}")
        if "\0" in text:
            raise InputError(f"{option} is damaged, or no text: text {number} holds a NUL character")
    return given


def _few_documents(texts: Iterator[str]) -> dict[bytes, int]:
    """How often each document is there, by its digest; empty where `FEW_DOCUMENTS` or more are different."""
    found: dict[bytes, int] = {}
    for text in texts:
        key = _digest(text)
        found[key] = found.get(key, 0) + 1
        if len(found) == FEW_DOCUMENTS:
            return {}
    return found


def _digest(text: str, seed: int = 0) -> bytes:
    key = seed.to_bytes(8, "little")
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()


class _HoldingOut:
    """Which documents are held out.

    Args:
        share: Of the documents.
        seed: Of the draw.
        few: From `_few_documents`.
        windows: Documents are cut into windows.

    Attributes:
        source: In words, where the held-out texts come from.
        by_end: Each document is parted: its end is held out.
    """

    def __init__(self, share: float, seed: int, few: Mapping[bytes, int], windows: bool) -> None:
        self._share, self._seed = share, seed
        count = sum(few.values())
        self.by_end = windows and 0 < count < 4
        self._numbers: set[int] | None = None
        self._contents: set[bytes] | None = None
        self.source = f"{share:.0%} of the documents, by their content"
        wanted = max(2, round(share * count)) if count >= 4 else 0  # two on each side at least
        if self.by_end:
            self.source = f"the last {share:.0%} of {'the document' if count == 1 else 'each document'}"
        elif few and count * share >= len(few):
            self.source = f"{share:.0%} of the documents, one by one"
            self._numbers = set(sorted(range(count), key=lambda number: _digest(str(number), seed))[:wanted])
        elif few:
            self._contents, total = set(), 0
            drawn = sorted(few, key=lambda key: _digest(key.hex(), seed))
            for key in drawn:
                if total + few[key] <= wanted:
                    self._contents.add(key)
                    total += few[key]
            for key in sorted(drawn, key=few.__getitem__):  # the rarest, where too few fit into the share
                if total < min(wanted, 2) and key not in self._contents:
                    self._contents.add(key)
                    total += few[key]

    def __call__(self, number: int, text: str) -> tuple[tuple[str, bool], ...]:
        """A document, or its two parts, each with whether it is held out."""
        if self.by_end:
            end = len(text) - round(self._share * len(text))
            return (text[:end], False), (text[end:], True)
        if self._numbers is not None:
            return ((text, number in self._numbers),)
        if self._contents is not None:
            return ((text, _digest(text) in self._contents),)
        # By the content alone: copies stay together, and a stream needs no memory.
        return ((text, int.from_bytes(_digest(text, self._seed), "little") < self._share * 2**64),)


class _Framer:
    """Documents -> codes, in the order in which they come; what is lost or changes goes to the tally."""

    def __init__(self, codec: TextCodec, layout: str, tally: Tally) -> None:
        self.codec, self.layout, self.tally = codec, layout, tally
        self.digest = hashlib.blake2b(digest_size=32)
        self.longest = 0
        self._characters: set[str] = set()
        self._store = CodeStore(codec.length, codec.dtype)
        self._waiting: list[str] = []

    def add(self, text: str) -> None:
        encoded = text.encode("utf-8", "surrogatepass")
        self.digest.update(len(encoded).to_bytes(8, "little") + encoded)
        self._waiting.append(text)
        if len(self._waiting) == _AT_ONCE:
            self._frame()

    def finish(self) -> NDArray[Any]:
        if self._waiting:
            self._frame()
        return self._store.finish()

    def lack(self, unit: str) -> str:
        """Why there are too few samples."""
        documents = self.tally.counts["documents"]
        if self.layout == "window" and documents:
            return f"its longest document has {self.longest} tokens, but a window has length = {self.codec.length}"
        advice = f"; a document is a {unit}, and layout 'window' cuts long ones" if self.layout == "pad" else ""
        return f"it has {documents} documents for that{advice}"

    def _frame(self) -> None:
        codec, length = self.codec, self.codec.length
        tokenized = codec.tokenize(self._waiting)
        for text, codes in zip(self._waiting, tokenized, strict=True):
            self._account(text, codes)
        if self.layout == "window":
            windows = [codes[: len(codes) // length * length] for codes in tokenized]
            framed = np.concatenate(windows).reshape(-1, length)
        else:
            framed = codec.frame(tokenized)
        self._store.add(framed)
        self.tally.counts["unknown"] += int(codec.is_unknown(framed).sum())
        self._waiting = []

    def _account(self, text: str, codes: NDArray[Any]) -> None:
        codec, tally, size, length = self.codec, self.tally, len(codes), self.codec.length
        tally.counts.update({"documents": 1, "tokens": size})
        self.longest = max(self.longest, size)
        if self.layout == "pad" and size > length:
            tally.lose("cut", f"{text[:_EXAMPLE]!r}, of whose {size:,} tokens {length:,} are kept")
        elif self.layout == "window" and size < length:
            tally.lose("short", text[:_EXAMPLE])
        elif self.layout == "window" and size % length:
            tally.lose("rest", codec.detokenize(codes[-(size % length) :][:_EXAMPLE]), size % length)
        back = codec.detokenize(codes)
        if back == text:
            return
        if codec.is_unknown(codes).any():
            new = sorted(set(text) - self._characters)
            self._characters.update(new)
            of_each = zip(new, codec.tokenize(new), strict=True)
            tally.examples["unknown"] += [letter for letter, found in of_each if codec.is_unknown(found).any()]
        else:
            same = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), 0)
            part = slice(max(same - 5, 0), same + _EXAMPLE)
            tally.lose("normalised", f"{text[part]!r} becomes {back[part]!r}")


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
