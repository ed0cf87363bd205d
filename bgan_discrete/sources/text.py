"""Data sets -> documents -> tokens -> codes.

`load_text` goes one way: find the documents (embedded, of a file or of the Hub), hold some out by their content, fit
the codec on the rest, and frame both parts. Documents are read one by one, once to fit and once to frame, and codes
beyond 1 GiB go to disk; what stays in memory is a few numbers a sample.
"""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs import TextCodec, TextCodecOptions
from bgan_discrete.codecs.base import validate_seed
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources.arithmetic import equations
from bgan_discrete.sources.code_store import CodeStore
from bgan_discrete.sources.rows import choose_splits
from bgan_discrete.sources.settings import HUB_ID, existing, unknown
from bgan_discrete.sources.storage import count_repeats
from bgan_discrete.sources.tables import load_hub
from bgan_discrete.sources.text_data import TextData

EMBEDDED_TEXTS = ("arithmetic", "python-docs")
UNITS, LAYOUTS = ("line", "paragraph", "text"), ("pad", "window")
MAX_HELDOUT_DOCUMENTS = 100_000
STREAM_FIT_DOCUMENTS = 100_000
"""The vocabulary of a stream is learnt from its first so many training documents."""

FEW_DOCUMENTS = 100
"""Of fewer different documents it is known which they are, before some are held out."""

_AT_ONCE = 1024
_log = logging.getLogger(__name__)

Documents = Callable[[], Iterator[str]]


@dataclass(frozen=True)
class _Opened:
    """Where the documents are read; each call of a function goes through them anew."""

    training: Documents
    heldout: Documents | None
    heldout_source: str
    fit_documents: int | None = None


def load_text(
    dataset: str | os.PathLike[str] | Sequence[str],
    *,
    text_column: str | None = None,
    split: str = "train",
    unit: str = "line",
    layout: str = "pad",
    limit: int | None = None,
    holdout: float = 0.1,
    heldout: str | os.PathLike[str] | Sequence[str] | None = None,
    streaming: bool = False,
    codec: TextCodecOptions | TextCodec = TextCodecOptions(),  # noqa: B008 - it is frozen
    seed: int = 0,
) -> TextData:
    """Load text, hold some documents out, and turn both parts into codes.

    The held-out documents are those of ``heldout``; or the split ``test``, ``validation`` or ``valid`` of a Hub data
    set; or drawn by their content, so that all copies of a document go to the same side. Where fewer than
    `FEW_DOCUMENTS` are different, at least two are held out; where so few are each there many times, they are drawn one
    by one, so that every kind stays in training; and of fewer than four to be cut into windows, the end of each is held
    out.

    Every character of a document is data, tabs and other control characters too; only line breaks (LF, CRLF) stand
    between documents. A NUL is damage, since text has none and a file that was cut off or is of another encoding does:
    it is refused with its place.

    Args:
        dataset: 'arithmetic' or 'python-docs' (embedded), the path of a UTF-8 text file, a Hub id, or a list of texts.
        text_column: Column of the text, of a Hub data set; None for the only one of strings.
        split: To train on, of a Hub data set.
        unit: What a document is: ``line``, ``paragraph`` (between blank lines) or ``text`` (a whole file or row).
        layout: ``pad``: a sample is a document, cut at the length or ended and padded. ``window``: a sample is a full
            window of a document; the windows follow one another, and what is left over is left out.
        limit: Take only the first so many documents, >= 1.
        holdout: Share of the documents held out where there is no other split, in (0, 1).
        heldout: A UTF-8 text file to judge by, or a list of texts.
        streaming: Read a Hub data set over the network row by row, twice and its start once more, rather than download
            it first; the vocabulary is learnt from the first `STREAM_FIT_DOCUMENTS` training documents. Files are
            always read so.
        codec: Options of a codec to build and fit, whose ``ends`` must fit the layout; or a fitted codec.
        seed: Of the drawn held-out documents.

    Returns:
        The codes.

    Raises:
        InputError: If an argument or the data cannot be used.
    """
    _check(unit, layout, limit, holdout, seed)
    ends = codec.ends
    if ends != (layout == "pad"):
        raise InputError(
            f"layout must be {'pad' if ends else 'window'} with a codec whose samples "
            f"{'may end early' if ends else 'all have the full length'}, got {layout!r}"
        )
    if not isinstance(dataset, (str, os.PathLike)):
        dataset = _given_texts(dataset, "dataset")
    if heldout is not None and not isinstance(heldout, (str, os.PathLike)):
        heldout = _given_texts(heldout, "heldout")
    opened = _open(dataset, text_column, split, unit, heldout, streaming)
    name = str(dataset) if isinstance(dataset, (str, os.PathLike)) else f"{len(dataset):,} texts in memory"
    if name.lower().endswith((".csv", ".tsv")):
        _log.warning("%r is read as text; to learn its columns, give it to train_array.py", name)
    holding_out = None
    if opened.heldout is None:
        few = _few_documents(islice(opened.training(), limit))
        holding_out = _HoldingOut(holdout, seed, few, layout == "window")

    def own() -> Iterator[tuple[str, bool]]:
        """The documents of the data set, and whether each is held out."""
        for number, text in enumerate(islice(opened.training(), limit)):
            yield from ((text, False),) if holding_out is None else holding_out(number, text)

    def documents() -> Iterator[tuple[str, bool]]:
        yield from own()
        if opened.heldout is not None:
            yield from ((text, True) for text in islice(opened.heldout(), MAX_HELDOUT_DOCUMENTS))

    def to_fit() -> Iterator[str]:
        return islice((text for text, is_heldout in own() if not is_heldout), opened.fit_documents)

    built = codec.build() if isinstance(codec, TextCodecOptions) else codec
    if next(to_fit(), None) is None:
        raise InputError(
            f"dataset {name!r} has no documents to train on: it is empty, holds blank lines only, or has so "
            "few documents that all are held out"
        )
    if not built.is_fitted:
        built.fit(to_fit())
    framers = [_Framer(built, layout), _Framer(built, layout)]
    for text, is_heldout in documents():
        framers[is_heldout].add(text)
    (codes, counts), (heldout_codes, heldout_counts) = (framer.finish() for framer in framers)
    digest = hashlib.blake2b(b"".join(framer.digest.digest() for framer in framers), digest_size=32)
    for part, found, tally in (("train on", codes, counts), ("judge by", heldout_codes, heldout_counts)):
        if len(found) < 2:
            reason = (
                f"its longest document has {tally['longest']} tokens, but a window has length = {built.length}"
                if layout == "window" and tally["documents"]
                else f"it has {tally['documents']} documents for that"
                + (f"; a document is a {unit}, and layout 'window' cuts long ones" if layout == "pad" else "")
            ) + ("; give more, or others by --heldout" if part == "judge by" and heldout is None else "")
            raise InputError(f"dataset {name!r} has {len(found)} samples to {part}; at least 2 are needed: {reason}")
    if holding_out is not None and holding_out.by_end:
        heldout_counts["documents"] = 0  # they are the ends of those that were counted
    repeated, leaked = count_repeats(codes, heldout_codes)
    return TextData(
        name=name,
        digest=digest.hexdigest(),
        codes=codes,
        heldout_codes=heldout_codes,
        codec=built,
        heldout_source=opened.heldout_source if holding_out is None else holding_out.source,
        counts={
            **{name: counts[name] + heldout_counts[name] for name in ("documents", "cut", "left_out")},
            "longest": max(counts["longest"], heldout_counts["longest"]),
            "unknown": counts["unknown"],
            "heldout_unknown": heldout_counts["unknown"],
            "repeated": repeated,
            "leaked": leaked,
        },
    )


def _check(unit: str, layout: str, limit: int | None, holdout: float, seed: int) -> None:
    if unit not in UNITS:
        raise InputError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
    if layout not in LAYOUTS:
        raise InputError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    if unit == "text" and layout == "pad":
        raise InputError("unit 'text' needs layout 'window': a whole text is longer than a sample")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InputError(f"limit must be an integer of at least 1, got {limit!r}")
    if isinstance(holdout, bool) or not isinstance(holdout, (int, float)) or not 0 < holdout < 1:
        raise InputError(f"holdout must be a share between 0 and 1, exclusive, got {holdout!r}")
    validate_seed(seed)


def _open(
    dataset: str | os.PathLike[str] | Sequence[str],
    column: str | None,
    split: str,
    unit: str,
    heldout: str | os.PathLike[str] | Sequence[str] | None,
    streaming: bool,
) -> _Opened:
    judged = None
    if heldout is not None and not isinstance(heldout, (str, os.PathLike)):
        judged = _of_texts(heldout, unit)
    elif heldout is not None:
        judged_path = existing(str(heldout))
        if judged_path is None or judged_path.is_dir():
            what = "is a folder" if judged_path else "does not exist"
            raise InputError(f"heldout must be a text file; {str(heldout)!r} {what}")
        judged = _file_documents(judged_path, unit, "heldout")
    source = "" if heldout is None else "texts in memory"
    if isinstance(heldout, (str, os.PathLike)):
        source = f"file {str(heldout)!r}"
    if not isinstance(dataset, (str, os.PathLike)):
        if column is not None or streaming:
            raise InputError("text_column and streaming are for data sets of the Hub, not for texts in memory")
        return _Opened(_of_texts(dataset, unit), judged, source)
    text = str(dataset)
    path = existing(text)
    is_file = path is not None and not path.is_dir()
    if column is not None and (text in EMBEDDED_TEXTS or is_file):
        raise InputError(f"text_column is for data sets of the Hub, got {column!r} for {text!r}")
    if streaming and (text in EMBEDDED_TEXTS or is_file):
        raise InputError(f"streaming is for data sets of the Hub, got {text!r}; files are read line by line anyway")
    if text in EMBEDDED_TEXTS:
        texts = equations() if text == "arithmetic" else _python_docs()
        return _Opened(lambda: _documents(texts, unit), judged, source)
    if path is not None and is_file:
        return _Opened(_file_documents(path, unit, "dataset"), judged, source)
    if path is not None:
        raise InputError(f"dataset must be a text file, a Hub id, 'arithmetic' or 'python-docs'; {text!r} is a folder")
    looks_like_a_path = text.startswith((".", "/", "~")) or Path(text).suffix or text.count("/") != 1
    if isinstance(dataset, os.PathLike) or looks_like_a_path or not re.fullmatch(HUB_ID, text, flags=re.ASCII):
        raise InputError(
            f"dataset {text!r} is neither 'arithmetic', 'python-docs', an existing file, nor a Hub id (owner/name)"
        )
    return _open_hub(text, column, split, unit, judged, source, streaming)


def _open_hub(
    name: str, column: str | None, split: str, unit: str, judged: Documents | None, source: str, streaming: bool
) -> _Opened:
    splits = load_hub(name, streaming)
    heldout = choose_splits(splits, split, name)
    # A stream of files without a schema learns its columns from its first rows.
    try:
        features = splits[split].features or splits[split]._resolve_features().features
    except Exception as error:  # the library and what reads over the network for it raise whatever they like
        raise InputError(f"dataset {name!r} cannot be read: {one_line(error)}") from error
    strings = [
        key for key, feature in features.items() if getattr(feature, "dtype", None) in ("string", "large_string")
    ]
    if column is None and len(strings) != 1:
        raise InputError(
            f"text_column must be given for {name}; its columns of strings are: {', '.join(strings) or 'none'}"
        )
    chosen = strings[0] if column is None else column
    if chosen not in strings:
        raise InputError(f"text_column must be one of {', '.join(strings) or 'none'} of {name}, got {chosen!r}")

    def rows(table: Any) -> Documents:
        def read() -> Iterator[str]:
            try:
                yield from _documents(_whole_rows(table.select_columns([chosen]), chosen, name), unit)
            except InputError:
                raise
            except Exception as error:  # the library and what reads over the network for it raise whatever they like
                raise InputError(f"dataset {name!r} cannot be read to its end: {one_line(error)}") from error

        return read

    if judged is None and heldout is not None:
        judged, source = rows(splits[heldout]), f"split {heldout!r}"
    return _Opened(rows(splits[split]), judged, source, STREAM_FIT_DOCUMENTS if streaming else None)


def _whole_rows(table: Any, column: str, name: str) -> Iterator[str]:
    for number, row in enumerate(table):
        text = row[column] or ""
        if "\0" in text:
            raise InputError(f"row {number} of dataset {name!r} is damaged: {column!r} holds a NUL character")
        yield text


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


def _file_documents(path: Path, unit: str, option: str) -> Documents:
    if not path.is_file():
        raise InputError(
            f"{option} {str(path)!r} is a pipe, socket or device; a file is needed, since it is read twice"
        )

    def read() -> Iterator[str]:
        try:
            with path.open("rb") as file:
                yield from _units(_decoded_lines(file, path, option), unit)
        except OSError as error:
            raise InputError(f"{option} {str(path)!r} cannot be read: {error.strerror or error}") from None

    return read


def _decoded_lines(file: Iterable[bytes], path: Path, option: str) -> Iterator[str]:
    offset = 0
    for number, raw in enumerate(file, 1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{option} {str(path)!r} is not UTF-8: byte 0x{raw[error.start]:02x} at offset {offset + error.start} "
                f"(line {number}); convert the file to UTF-8"
            ) from None
        if "\0" in line:
            raise InputError(
                f"{option} {str(path)!r} is damaged, or no UTF-8 text: byte 0x00 at offset {offset + raw.index(0)} "
                f"(line {number}); convert the file to UTF-8, or take such bytes out of it"
            )
        offset += len(raw)
        yield line.removesuffix("\n").removesuffix("\r")


def _documents(texts: Iterable[str], unit: str) -> Iterator[str]:
    for text in texts:
        yield from _units(iter(text.replace("\r\n", "\n").split("\n")), unit)


def _of_texts(texts: Sequence[str], unit: str) -> Documents:
    return lambda: _documents(texts, unit)


def _units(lines: Iterator[str], unit: str) -> Iterator[str]:
    """Documents that are not blank, out of the lines of one text."""
    if unit == "line":
        yield from (line for line in lines if line.strip())
        return
    gathered: list[str] = []
    for line in lines:
        if line.strip() or unit == "text":
            gathered.append(line)
        elif gathered:
            yield "\n".join(gathered)
            gathered = []
    if any(line.strip() for line in gathered):
        yield "\n".join(gathered)


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
    """Documents -> codes, in the order in which they come."""

    def __init__(self, codec: TextCodec, layout: str) -> None:
        self.codec, self.layout = codec, layout
        self.digest = hashlib.blake2b(digest_size=32)
        self.counts = dict.fromkeys(("documents", "cut", "left_out", "unknown", "longest"), 0)
        self._store = CodeStore(codec.length, codec.dtype)
        self._waiting: list[str] = []

    def add(self, text: str) -> None:
        encoded = text.encode("utf-8", "surrogatepass")
        self.digest.update(len(encoded).to_bytes(8, "little") + encoded)
        self._waiting.append(text)
        if len(self._waiting) == _AT_ONCE:
            self._frame()

    def finish(self) -> tuple[NDArray[Any], dict[str, int]]:
        if self._waiting:
            self._frame()
        return self._store.finish(), self.counts

    def _frame(self) -> None:
        codec, counts = self.codec, self.counts
        tokenized = codec.tokenize(self._waiting)
        sizes = np.array([len(codes) for codes in tokenized])
        counts["documents"] += len(tokenized)
        counts["longest"] = max(counts["longest"], int(sizes.max()))
        if self.layout == "window":
            counts["left_out"] += int((sizes < codec.length).sum())
            windows = [codes[: len(codes) // codec.length * codec.length] for codes in tokenized]
            framed = np.concatenate(windows).reshape(-1, codec.length)
        else:
            counts["cut"] += int((sizes > codec.length).sum())
            framed = codec.frame(tokenized)
        self._store.add(framed)
        counts["unknown"] += int(codec.is_unknown(framed).sum())
        self._waiting = []


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
