"""A data set as codes: what every loader gives, and what there is to say of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs import ArrayCodec, Codec, ImageCodec, TextCodec, load_codec
from bgan_discrete.codecs.base import config_fingerprint
from bgan_discrete.errors import visible
from bgan_discrete.sources.storage import chunks_of, file_facts, read_npy
from bgan_discrete.space import SampleSpace

Codes = NDArray[Any]
CodecT_co = TypeVar("CodecT_co", bound=Codec, covariant=True)

_ARRAYS = ("codes", "labels", "heldout_codes", "heldout_labels")
META_FILE, _CODEC_FILE = "meta.json", "codec.json"
_SHOWN_CLASSES = 20


@dataclass(frozen=True)
class Data(Generic[CodecT_co]):
    """A data set as codes, in a part to train on and a part to evaluate with.

    Attributes:
        name: What was asked for: the name of embedded data, a path, a Hub id, or what is in memory.
        codes: Training codes ``[S, *event_shape]``; a read-only memory map where they are large.
        heldout_codes: Codes of the held-out samples, likewise.
        codec: What the codes mean; those of images and texts are fitted on the training part only.
        heldout_source: Where the held-out samples come from, such as "split 'test'".
        digest: Of the content: equal ones mean equal data.
        labels: Of the training samples, int64 ``[S]``, or None.
        heldout_labels: Of the held-out samples, likewise.
        class_names: Of the labels, or None.
        counts: How much came in and what became of it, such as ``found`` images, ``documents`` that were ``cut``,
            ``unknown`` tokens, ``repeated`` training samples, ``leaked`` held-out ones.
        notes: What is left out, merged or changed, a line each.
        commit: Of a data set of the Hub, that was read.
        from_cache: Whether the codes were read rather than made.
    """

    name: str
    codes: Codes
    heldout_codes: Codes
    codec: CodecT_co
    heldout_source: str
    digest: str = ""
    labels: NDArray[np.int64] | None = None
    heldout_labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    commit: str | None = None
    from_cache: bool = False

    @property
    def space(self) -> SampleSpace:
        """What one sample is."""
        return self.codec.space_of(self.event_shape, self.class_names)

    @property
    def num_categories(self) -> int:
        """K."""
        return self.codec.num_categories

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of the codes of one sample."""
        return tuple(self.codes.shape[1:])


ImageData = Data[ImageCodec]
"""What `load_images` returns."""

TextData = Data[TextCodec]
"""What `load_text` returns."""

ArrayData = Data[ArrayCodec]
"""What `load_array` returns."""


def describe(data: Data[Codec]) -> str:
    """Say in several lines what is in the data.

    Args:
        data: From `load_images`, `load_text` or `load_array`.

    Returns:
        Text without a final line break.
    """
    counts = data.counts
    found = f", of {counts['found']:,} found" if "found" in counts else ""
    by_share = "; --holdout sets the share" if "%" in data.heldout_source and "--" not in data.heldout_source else ""
    at_most = "" if data.space.sizes is None else " at most"
    lines = [
        f"data set:    {data.name}{f' at commit {data.commit}' if data.commit else ''} (digest {data.digest[:12]})",
        f"samples:     {len(data.codes):,} to train on, {len(data.heldout_codes):,} held out "
        f"({data.heldout_source}{by_share}){found}",
        f"codes:       {' x '.join(map(str, data.event_shape))}, K = {data.num_categories}{at_most} "
        f"({data.codec.describe()})",
    ]
    lines += data.codec.describe_codes((np.asarray(data.codes[chunk]) for chunk in chunks_of(len(data.codes))), counts)
    if "repeated" in counts:
        lines.append(
            f"duplicates:  {counts['repeated']:,} training samples repeat earlier ones; {counts['leaked']:,} held-out "
            "samples are in training too"
        )
    lines += [
        *([f"classes:     {_classes(data.labels, data.class_names)}"] if data.labels is not None else []),
        *(["cache:       read"] if data.from_cache else []),
        *(f"note:        {note}" for note in data.notes),
    ]
    return "\n".join(map(visible, lines))


def _classes(labels: NDArray[np.int64], names: tuple[str, ...] | None) -> str:
    values, counts = np.unique(labels, return_counts=True)
    pairs = list(zip(values.tolist(), counts.tolist(), strict=True))
    shown = [f"{names[value] if names else value} {count:,}" for value, count in pairs[:_SHOWN_CLASSES]]
    return ", ".join(shown) + (f", and {len(values) - _SHOWN_CLASSES} more" if len(values) > _SHOWN_CLASSES else "")


def save_data(data: Data[Codec], folder: Path) -> None:
    """Write data into a folder, where arrays may be already; raises InputError or OSError if it cannot be written."""
    data.codec.save(folder / _CODEC_FILE)
    names = [_CODEC_FILE]
    for key in _ARRAYS:
        array, path = vars(data)[key], folder / f"{key}.npy"
        if array is not None:
            names.append(path.name)
            if not path.exists():
                np.save(path, array, allow_pickle=False)
    meta = {"files": {name: file_facts(folder / name) for name in names}}
    meta["facts"] = {key: value for key, value in vars(data).items() if key not in (*_ARRAYS, "codec")}
    text = json.dumps({"digest": config_fingerprint(meta), **meta}, indent=2)
    (folder / META_FILE).write_text(text + "\n", encoding="utf-8")


def load_data(folder: Path, verify: bool = False) -> Data[Any]:
    """Read what `save_data` wrote; large arrays are read-only memory maps, ``verify`` compares the digests of files.

    Missing or damaged files raise OSError, ValueError, KeyError, TypeError or AttributeError.
    """
    meta = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
    if meta.pop("digest") != config_fingerprint(meta):
        raise ValueError(f"{META_FILE} was changed")
    files, facts = meta["files"], meta["facts"]
    if verify:
        for name, expected in files.items():
            if file_facts(folder / name) != expected:
                raise ValueError(f"{name} was changed")
    arrays: dict[str, Any] = {key: read_npy(folder / f"{key}.npy") for key in _ARRAYS if f"{key}.npy" in files}
    tuples = {key: tuple(value) for key, value in facts.items() if isinstance(value, list)}
    return Data(**{**facts, **tuples}, codec=load_codec(folder / _CODEC_FILE), **arrays)
