"""BLEU of texts against a set of references, and of texts against one another.

Source: Papineni et al., "BLEU" (2002); Zhu et al., "Texygen" (2018) for Self-BLEU. Words are what spaces separate.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError

SMOOTHING = 0.1
"""An n-gram precision of 0 matches counts so many, as in NLTK's smoothing method 1."""


def bleu(candidates: Sequence[str], references: Sequence[str], max_order: int = 5) -> dict[int, float]:
    """Mean sentence BLEU by n from 2 on, with every reference for every candidate; InputError if there are none.

    The references enter once, as a table of the most often that each n-gram stands in one of them.
    """
    if not len(candidates) or not len(references):
        raise InputError(f"BLEU needs candidates and references, got {len(candidates)} and {len(references)}")
    return _mean_bleu(candidates, references, max_order, against_itself=False)


def self_bleu(texts: Sequence[str], max_order: int = 5) -> dict[int, float]:
    """Mean BLEU of each text against all the others; the text itself is not among its references."""
    if len(texts) < 2:
        raise InputError(f"Self-BLEU needs at least 2 texts, got {len(texts)}")
    return _mean_bleu(texts, texts, max_order, against_itself=True)


def _mean_bleu(
    candidates: Sequence[str], references: Sequence[str], max_order: int, against_itself: bool
) -> dict[int, float]:
    numbers: dict[str, int] = {}

    def numbered(texts: Sequence[str]) -> list[NDArray[np.int64]]:
        return [np.array([numbers.setdefault(w, len(numbers)) for w in text.split()], np.int64) for text in texts]

    ids = numbered(candidates)
    other_ids = ids if against_itself else numbered(references)
    lengths = np.array([len(text) for text in ids])
    log_precision = np.zeros(len(ids))
    found = {}
    grams, other_grams = _Grams(ids), _Grams(other_ids)
    for order in range(1, max_order + 1):
        if order > 1:
            _join_grams(grams, other_grams, len(numbers))
        matched, total = _matches(grams, other_grams, len(ids), against_itself)
        log_precision += np.log(np.where(matched > 0, matched, SMOOTHING) / np.maximum(total, 1))
        if order == 1:
            nothing = matched == 0
        else:
            value = _brevity(lengths, np.array([len(text) for text in other_ids]), against_itself) * np.exp(
                log_precision / order
            )
            found[order] = float(np.where(nothing, 0.0, value).mean())
    return found


class _Grams:
    """The n-grams of texts as numbers, with the text and the place of each."""

    def __init__(self, ids: list[NDArray[np.int64]]) -> None:
        self.words = np.concatenate([*ids, np.empty(0, np.int64)])
        lengths = np.array([len(text) for text in ids], np.int64)
        self.text = np.repeat(np.arange(len(ids)), lengths)
        self.left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(self.words))
        self.place = np.arange(len(self.words))
        self.gram = self.words
        self.order = 1


def _join_grams(a: _Grams, b: _Grams, num_words: int) -> None:
    """Go on from n-grams to (n+1)-grams, with the same numbers in both."""
    extended = []
    for grams in (a, b) if a is not b else (a,):
        keep = grams.left[grams.place] > grams.order
        grams.place, grams.gram = grams.place[keep], grams.gram[keep]
        grams.gram = grams.gram * num_words + grams.words[grams.place + grams.order]
        grams.order += 1
        extended.append(grams)
    _, joint = np.unique(np.concatenate([grams.gram for grams in extended]), return_inverse=True)
    for grams, part in zip(extended, np.split(joint, [len(extended[0].gram)])[: len(extended)], strict=True):
        grams.gram = part


def _matches(
    grams: _Grams, others: _Grams, count: int, against_itself: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clipped matches and number of n-grams of each candidate."""
    size = int(max(grams.gram.max(initial=0), others.gram.max(initial=0))) + 1
    text, gram, times = _counted(grams, size)
    other_text, other_gram, other_times = _counted(others, size)
    order = np.lexsort((-other_times, other_gram))
    sorted_gram, sorted_times, sorted_text = other_gram[order], other_times[order], other_text[order]
    first = np.searchsorted(sorted_gram, np.arange(size), "left")
    last = np.searchsorted(sorted_gram, np.arange(size), "right")
    padded_times, padded_text = np.append(sorted_times, 0), np.append(sorted_text, -1)
    most = np.where(last > first, padded_times[np.minimum(first, len(sorted_times))], 0)
    limit = most[gram]
    if against_itself:
        # Where the text itself has the most, the second most counts.
        owner = np.where(last > first, padded_text[np.minimum(first, len(sorted_times))], -1)
        second = np.where(last > first + 1, padded_times[np.minimum(first + 1, len(sorted_times))], 0)
        limit = np.where(owner[gram] == text, second[gram], limit)
    matched = np.bincount(text, np.minimum(times, limit), count).astype(np.int64)
    return matched, np.bincount(text, times, count).astype(np.int64)


def _counted(grams: _Grams, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    text = grams.text[grams.place]
    pairs, times = np.unique(text * size + grams.gram, return_counts=True)
    return pairs // size, pairs % size, times


def _brevity(
    lengths: NDArray[np.int64], reference_lengths: NDArray[np.int64], against_itself: bool
) -> NDArray[np.float64]:
    """The penalty of texts shorter than the reference whose length is closest (the shorter one of two)."""
    values, counts = np.unique(reference_lengths, return_counts=True)
    distance = np.abs(lengths[:, None] - values[None]).astype(float)
    if against_itself:
        alone = (values[None] == lengths[:, None]) & (counts[None] == 1)
        distance[alone] = np.inf
    closest = values[distance.argmin(1)]
    with np.errstate(divide="ignore"):
        return np.where(lengths >= closest, 1.0, np.exp(1 - closest / np.maximum(lengths, 1e-9)))
