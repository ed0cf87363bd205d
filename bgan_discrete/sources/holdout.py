"""Which samples are held out where the data have no split of their own.

Rows of arrays are drawn at random. All copies of an image or of a document go to the same side; of few different ones
that are each there many times, samples are drawn one by one, so that every kind stays in training. Documents are drawn
by their content, so that a stream needs no memory.
"""

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError

MIN_TRAINING_ROWS = 2
FEW_IMAGES = 100
"""Of fewer different images that occur often, copies do not stay together: else whole kinds would be left out."""

FEW_DOCUMENTS = 100
"""Of fewer different documents it is known which they are, before some are held out."""

_HOLDOUT_STREAM = 1
Rows = NDArray[np.int64]


def draw_rows(rows: int, count: int, holdout: float | None, seed: int, name: str) -> tuple[Rows, Rows]:
    """The rows to train on, of the first ``count``, and the held-out ones: a share of those, or what follows them."""
    order = np.arange(rows)
    if holdout is not None:
        drawn = np.random.default_rng(seed).permutation(count)
        num_heldout = min(max(round(count * holdout), 1), count - 1)
        order = np.concatenate([np.sort(drawn[num_heldout:]), np.sort(drawn[:num_heldout])])
        count -= num_heldout
    if min(count, rows - count) < 2:
        raise InputError(
            f"dataset {name!r} has {count} rows to train on and {rows - count} to judge by; at least 2 of each are "
            "needed: give more rows, or another holdout"
        )
    return order[:count], order[count:]


def draw_images(hashes: NDArray[np.uint64], share: float, seed: int, place: str) -> tuple[Rows, bool]:
    """Rows to hold out, sorted: sets of equal images in a drawn order, as long as they fit into the share.

    Of few different images, rows one by one; and whether that is so.
    """
    count = len(hashes)
    if count < MIN_TRAINING_ROWS + 1:
        raise InputError(f"holdout needs at least {MIN_TRAINING_ROWS + 1} images, got {count} of {place}")
    sets, sizes = _sets_of_copies(hashes)
    one_by_one = 1 < len(sizes) < FEW_IMAGES and count * share >= len(sizes)
    if one_by_one:
        sets, sizes = np.arange(count), np.ones(count, np.int64)
    wanted = min(max(1, round(share * count)), count - MIN_TRAINING_ROWS)
    philox = np.random.Philox(key=np.array([seed, _HOLDOUT_STREAM], dtype=np.uint64))
    # Raw words, unlike the methods of a Generator, are the same in every version of NumPy.
    order = np.argsort(philox.random_raw(len(sizes)), kind="stable")
    is_chosen = np.zeros(len(sizes), dtype=bool)
    total = 0
    for number in order:
        if total == wanted:
            break
        if total + sizes[number] <= wanted:
            is_chosen[number] = True
            total += int(sizes[number])
    if total == 0:
        smallest = int(sizes.argmin())
        is_chosen[smallest] = True
        total = int(sizes[smallest])
    if count - total < MIN_TRAINING_ROWS:
        raise InputError(f"holdout finds no images to hold out: the {count} of {place} are copies of {len(sizes)}")
    return np.flatnonzero(is_chosen[sets]), one_by_one


def _sets_of_copies(hashes: NDArray[np.uint64]) -> tuple[Rows, Rows]:
    """The set ``[S]`` of each row, numbered as the sets first occur, and the size of each set."""
    _, first, inverse, sizes = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    by_occurrence = np.argsort(first)
    number = np.empty_like(by_occurrence)
    number[by_occurrence] = np.arange(len(first))
    return number[inverse], sizes[by_occurrence]


def few_documents(texts: Iterator[str]) -> dict[bytes, int]:
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


class DocumentDraw:
    """Which documents are held out; ``source`` says it in words, ``by_end``: the end of each one is."""

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
