"""Texts as codes, and what there is to say of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs import TextCodec, load_codec
from bgan_discrete.errors import InputError, visible
from bgan_discrete.sources.settings import named_commit
from bgan_discrete.sources.storage import chunks_of
from bgan_discrete.space import SampleSpace

Codes = NDArray[Any]
_FACTS = ("name", "digest", "heldout_source", "counts", "notes", "commit")


@dataclass(frozen=True)
class TextData:
    """Texts as codes, in a part to train on and a part to judge by.

    Attributes:
        name: What was asked for.
        digest: Of the documents: two runs with the same digest saw the same text.
        codes: Training codes ``[S, L]``.
        heldout_codes: Codes of the held-out texts, likewise.
        codec: Fitted on the training documents only.
        heldout_source: Where the held-out texts come from.
        counts: What was done to make them: lines that came in, documents, tokens of the longest, left out, cut, unknown
            tokens, duplicates.
        notes: What of the text is lost or changes, one line each.
        commit: Of a data set of the Hub, that was read.
    """

    name: str
    digest: str
    codes: Codes
    heldout_codes: Codes
    codec: TextCodec
    heldout_source: str
    counts: dict[str, int]
    notes: tuple[str, ...] = ()
    commit: str | None = None

    @property
    def space(self) -> SampleSpace:
        """What one sample is."""
        return self.codec.space

    @property
    def num_categories(self) -> int:
        """K."""
        return self.codec.num_categories


def describe_text(data: TextData) -> str:
    """Say in several lines what is in the data.

    Args:
        data: From `load_text`.

    Returns:
        Text without a final line break.
    """
    count = data.counts
    shortest, longest, total = data.codec.length, 0, 0
    for chunk in chunks_of(len(data.codes)):
        lengths = data.codec.lengths(np.asarray(data.codes[chunk]))
        shortest, longest = min(shortest, int(lengths.min())), max(longest, int(lengths.max()))
        total += int(lengths.sum())
    by_share = "; --holdout sets the share" if "%" in data.heldout_source else ""
    lines = [
        f"data set:    {named_commit(data.name, data.commit)} (digest {data.digest[:12]})",
        f"samples:     {len(data.codes):,} to train on, {len(data.heldout_codes):,} held out "
        f"({data.heldout_source}{by_share})",
        f"codes:       L = {data.codec.length}, K = {data.num_categories} ({data.codec.describe()})",
        f"lengths:     {shortest} to {longest} tokens, {total / len(data.codes):.1f} on average",
        f"documents:   {count['documents']:,} of up to {count['longest']:,} tokens, from {count['lines']:,} lines; "
        f"{count['cut']:,} were cut at the length, {count['left_out']:,} left out",
        f"unknown:     {count['unknown']:,} tokens of the training samples, {count['heldout_unknown']:,} of the others",
        f"duplicates:  {count['repeated']:,} training samples repeat earlier ones; "
        f"{count['leaked']:,} held-out samples are in training too",
        *(f"note:        {note}" for note in data.notes),
    ]
    return "\n".join(map(visible, lines))


def save_text_data(data: TextData, folder: Path) -> None:
    """Write data into a folder, from which other processes of the same training map them."""
    np.save(folder / "codes.npy", data.codes, allow_pickle=False)
    np.save(folder / "heldout_codes.npy", data.heldout_codes, allow_pickle=False)
    data.codec.save(folder / "codec.json")
    facts = {name: getattr(data, name) for name in _FACTS}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def load_text_data(folder: Path) -> TextData:
    """Read what `save_text_data` wrote; the codes are read-only memory maps."""
    codec = load_codec(folder / "codec.json")
    if not isinstance(codec, TextCodec):
        raise InputError(f"{folder} holds no text, but a codec {codec.name!r}")
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("codes", "heldout_codes")
    }
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return TextData(codec=codec, **arrays, **{**facts, "notes": tuple(facts["notes"])})
