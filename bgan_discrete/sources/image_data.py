"""Images as codes, and what there is to say of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs import ImageCodec
from bgan_discrete.errors import visible
from bgan_discrete.sources.settings import named_commit
from bgan_discrete.sources.storage import chunks_of, count_repeats
from bgan_discrete.space import SampleSpace


@dataclass(frozen=True)
class ImageData:
    """Images as codes, in a part to train on and a part to judge by.

    Attributes:
        name: What was asked for: 'digits', a path, a Hub id, or 'array'.
        codes: Training codes, uint8 ``[S, H, W]`` or ``[S, 3, H, W]``; a read-only memory map where they are large.
        labels: int64 ``[S]``, or None.
        heldout_codes: Codes of the held-out images, likewise.
        heldout_labels: int64, or None.
        class_names: Of the labels, or None.
        codec: Fitted on the training images only; it encoded both parts.
        heldout_source: Where the held-out images come from, such as "split 'test'".
        from_cache: Whether the codes were read rather than made.
        commit: Of a data set of the Hub, that was read.
        notes: What is left out of the data, or merged, a line each.
        found: Images in all files and splits, with those that are not used.
    """

    name: str
    codes: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    heldout_codes: NDArray[np.uint8]
    heldout_labels: NDArray[np.int64] | None
    class_names: tuple[str, ...] | None
    codec: ImageCodec
    heldout_source: str
    from_cache: bool
    commit: str | None = None
    notes: tuple[str, ...] = ()
    found: int = 0

    @property
    def event_shape(self) -> tuple[int, ...]:
        """``(H, W)`` or ``(3, H, W)`` of the codes."""
        return tuple(self.codes.shape[1:])

    @property
    def space(self) -> SampleSpace:
        """What one sample is."""
        return self.codec.space_of(self.event_shape, self.class_names)

    @property
    def num_categories(self) -> int:
        """K."""
        return self.codec.num_categories


def describe(data: ImageData) -> str:
    """Say in several lines what is in the data.

    Args:
        data: From `load_images`.

    Returns:
        Text without a final line break.
    """
    counts = _category_counts(data.codes, data.num_categories)
    common = int(counts.argmax())
    sides = " x ".join(str(side) for side in data.event_shape)
    repeated, leaked = count_repeats(data.codes, data.heldout_codes)
    lines = [
        f"data set:    {named_commit(data.name, data.commit)}",
        f"images:      {len(data.codes):,} to train on, {len(data.heldout_codes):,} held out ({data.heldout_source}), "
        f"of {data.found:,} found",
        f"codes:       {sides}, K = {data.num_categories} ({data.codec.describe()})",
        f"most common: category {common}, {counts[common] / counts.sum():.1%} of the training codes",
        f"classes:     {_describe_classes(data)}",
        f"duplicates:  {repeated:,} training codes repeat earlier ones; {leaked:,} held-out codes are in training too",
        f"cache:       {'read' if data.from_cache else 'made now'}",
        *(f"note:        {note}" for note in data.notes),
    ]
    return "\n".join(map(visible, lines))


def _describe_classes(data: ImageData) -> str:
    if data.labels is None:
        return "no labels"
    values, counts = np.unique(data.labels, return_counts=True)
    names = data.class_names
    shown = [
        f"{names[value] if names else value} {count:,}" for value, count in zip(values[:20], counts[:20], strict=True)
    ]
    return ", ".join(shown) + (f", and {len(values) - 20} more" if len(values) > 20 else "")


def _category_counts(codes: NDArray[np.uint8], num_categories: int) -> NDArray[np.int64]:
    counts = np.zeros(num_categories, dtype=np.int64)
    for chunk in chunks_of(len(codes)):
        counts += np.bincount(codes[chunk].ravel(), minlength=num_categories)
    return counts
