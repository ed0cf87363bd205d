"""Character n-grams of texts: their entropy, their divergence between two sets, and Markov models.

Source of the divergence's use: Gulrajani et al., "Improved training of Wasserstein GANs" (2017), section 5.3.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.errors import InputError

Ids = NDArray[np.int64]


def ngram_divergences(texts_a: Sequence[str], texts_b: Sequence[str], max_order: int = 6) -> list[float]:
    """Jensen-Shannon divergences of the n-grams of two sets of texts, in bits, for n = 1 .. max_order.

    n-grams lie within a text; every occurrence counts. 1 where one of the sets has no n-gram of that length.
    """
    if not len(texts_a) or not len(texts_b):
        raise InputError(f"both sets of texts must hold some, got {len(texts_a)} and {len(texts_b)}")
    first_of_b = sum(map(len, texts_a))
    found = []
    for grams in numbered_ngrams([*texts_a, *texts_b], max_order):
        is_b = grams.places >= first_of_b
        found.append(jensen_shannon(*(np.bincount(grams.ids[side], minlength=grams.count) for side in (~is_b, is_b))))
    return found


def ngram_entropy(texts: Sequence[str], order: int) -> float:
    """Entropy of the frequencies of the n-grams of texts, in bits; 0 where there is none. Fewer texts have less."""
    check_at_least_one(order=order)
    *_, grams = numbered_ngrams(texts, order)
    shares = np.bincount(grams.ids) / max(len(grams.ids), 1)
    return float(-(shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)).sum())


def jensen_shannon(counts_a: Ids, counts_b: Ids) -> float:
    """Jensen-Shannon divergence, in bits, of what was counted in two sets; 1 where there is nothing in one of them."""
    if not counts_a.any() or not counts_b.any():
        return 1.0
    p, q = (counts / counts.sum() for counts in (counts_a, counts_b))
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / middle), 0) + np.where(q > 0, q * np.log2(q / middle), 0)
    return float(max(terms.sum() / 2, 0.0))


@dataclass(frozen=True)
class Ngrams:
    """The n-grams of some texts, for one n.

    Attributes:
        places: Where each occurrence ends, among the characters of all texts behind one another, ``[m]``.
        ids: Its number; equal n-grams have equal ones, ``[m]``.
        contexts: The number of the (n-1)-gram that it begins with; 0 for n = 1, ``[m]``.
        count: How many different ones there are.
    """

    places: Ids
    ids: Ids
    contexts: Ids
    count: int


def numbered_ngrams(texts: Sequence[str], max_order: int) -> Iterator[Ngrams]:
    """Number the n-grams within texts, for n = 1 .. max_order."""
    points, position = _joined(texts)
    # Every n-gram gets a number: that of its first n-1 characters, combined with its last, and renumbered.
    symbols = np.unique(points, return_inverse=True)[1].astype(np.int64)
    alphabet = int(symbols.max(initial=0)) + 1
    places = np.arange(len(points))
    ids = contexts = np.zeros(len(points), np.int64)
    for order in range(1, max_order + 1):
        if order > 1:
            before = np.full(len(points), -1, np.int64)
            before[places] = ids
            places = places[position[places] >= order - 1]
            contexts = before[places - 1]
        different, ids = np.unique(contexts * alphabet + symbols[places], return_inverse=True)
        yield Ngrams(places, ids, contexts, len(different))


def _joined(texts: Sequence[str]) -> tuple[NDArray[np.uint32], Ids]:
    """Code points of all texts behind one another, and the place of each within its own text."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4")
    lengths = np.array([len(text) for text in texts], np.int64)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return points, np.arange(len(points)) - starts


class MarkovModel:
    """Characters of texts, each given the ``order`` characters before it, as often as the training texts have them.

    The start and the end of a text count as characters. Samples copy the continuation of a random occurrence of their
    last characters, which is the unsmoothed maximum-likelihood model. Probabilities are smoothed: each order is
    interpolated with the next lower one, down to the uniform distribution.

    Source: the rule of Witten and Bell, "The zero-frequency problem" (1991).
    """

    def __init__(self, texts: Sequence[str], order: int) -> None:
        if not len(texts):
            raise InputError("a Markov model needs texts to learn from, got none")
        check_at_least_one(order=order)
        self.order = order
        points, _ = _joined(texts)
        self._alphabet = np.unique(points)
        # 0 is the start of a text, 1 its end, 2 a character that was never seen.
        stream = self._stream(texts)
        # By length: contexts in order and what follows each; contexts with what follows; and each of those pairs once.
        self._keys, self._next, self._pairs, self._kind_keys = [], [], [], []
        for length in range(order + 1):
            contexts, following = self._contexts(stream, length)
            place = np.argsort(contexts, kind="stable")
            keys, following = contexts[place], following[place]
            pairs = _mix(keys, following.astype(np.uint64))
            self._keys.append(keys)
            self._next.append(following)
            self._pairs.append(np.sort(pairs))
            self._kind_keys.append(np.sort(keys[np.unique(pairs, return_index=True)[1]]))

    def sample(self, num_samples: int, max_length: int, seed: int = 0, end: bool = True) -> list[str]:
        """Texts of at most ``max_length`` characters; without ``end`` of all these, if the training texts allow."""
        rng = np.random.default_rng(seed)
        # The end of a window is not the end of a text: without ends, only characters follow.
        kept = [slice(None) if end else following != 1 for following in self._next]
        tables = [(keys[k], following[k]) for keys, following, k in zip(self._keys, self._next, kept, strict=True)]
        drawn = np.zeros((num_samples, self.order + max_length), np.int64)
        for column in range(self.order, self.order + max_length):
            waiting = np.flatnonzero(drawn[:, column - 1] != 1)
            drawn[:, column] = 1
            # The longest context that goes on: all do with ends, where the last characters are those of a text.
            for length in range(self.order, -1, -1):
                keys, following = tables[length]
                context = _hash_rows(drawn[waiting, column - length : column])
                low, high = np.searchsorted(keys, context, "left"), np.searchsorted(keys, context, "right")
                found = high > low
                place = low + (rng.random(len(waiting)) * (high - low)).astype(np.int64)
                drawn[waiting[found], column] = following[place[found]]
                waiting = waiting[~found]
        points = np.concatenate([[0, 0, 0], self._alphabet]).astype("<u4")
        texts = []
        for row in drawn[:, self.order :]:
            length = int((row == 1).argmax()) if (row == 1).any() else len(row)
            texts.append(points[row[:length]].tobytes().decode("utf-32-le", "surrogatepass"))
        return texts

    def perplexity(self, texts: Sequence[str], end: bool = True) -> float:
        """``exp`` of the mean negative log-probability of a character; with ``end`` the end of a text counts as one."""
        stream = self._stream(texts)
        following = self._contexts(stream, 0)[1]
        counted = np.ones(len(following), bool) if end else following != 1
        return float(np.exp(-np.log(self._probability(stream)[counted]).mean()))

    def log_prob(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Natural logarithms ``[n]`` of texts' probabilities as beginnings: each character's, given that one follows.

        The probabilities of all texts of one length sum to 1, where a character that was never seen is one of them.
        """
        stream = self._stream(texts)
        is_character = self._contexts(stream, 0)[1] != 1
        probability, of_end = self._probability(stream), self._probability(stream, of_end=True)
        of_characters = np.log(probability[is_character]) - np.log1p(-of_end[is_character])
        of_text = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        return np.bincount(of_text, of_characters, len(texts)).astype(np.float64)

    def _probability(self, stream: Ids, of_end: bool = False) -> NDArray[np.float64]:
        """Of every character and end of a stream after its context, or of an end in its place."""
        size = len(self._alphabet) + 2
        probability = np.full(len(self._contexts(stream, 0)[0]), 1 / size)
        for length in range(self.order + 1):
            keys, following = self._contexts(stream, length)
            wanted = np.ones_like(following) if of_end else following
            total = _times(self._keys[length], keys)
            seen = _times(self._pairs[length], _mix(keys, wanted.astype(np.uint64)))
            kinds = _times(self._kind_keys[length], keys)
            known = total > 0
            probability[known] = ((seen + kinds * probability) / np.maximum(total + kinds, 1))[known]
        return probability

    def _stream(self, texts: Sequence[str]) -> Ids:
        """All texts behind one another, each after ``order`` starts and before its end."""
        points, _ = _joined(texts)
        place = np.searchsorted(self._alphabet, points)
        place = np.minimum(place, len(self._alphabet) - 1)
        symbols = np.where(self._alphabet[place] == points, place + 3, 2) if len(points) else place
        lengths = np.array([len(text) for text in texts], np.int64)
        stream = np.zeros(len(points) + len(texts) * (self.order + 1), np.int64)
        offsets = np.repeat(np.arange(len(texts)) * (self.order + 1) + self.order, lengths)
        stream[np.arange(len(points)) + offsets] = symbols
        stream[np.cumsum(lengths + self.order + 1) - 1] = 1
        return stream

    def _contexts(self, stream: Ids, length: int) -> tuple[NDArray[np.uint64], Ids]:
        """The hashed contexts of every character and end, and what follows them."""
        counted = np.flatnonzero(stream != 0)
        windows = (
            np.stack([stream[counted - back] for back in range(length, 0, -1)], 1)
            if length
            else np.zeros((len(counted), 0), np.int64)
        )
        return _hash_rows(windows), stream[counted]


def _times(ordered: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> Ids:
    """How often each of the wanted values is among ordered ones."""
    return np.searchsorted(ordered, wanted, "right") - np.searchsorted(ordered, wanted, "left")


def _mix(hashed: NDArray[np.uint64], values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One step of a 64-bit hash: contexts are compared by it, and collide once in some billion pairs."""
    mixed = (hashed ^ (values + np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0x94D049BB133111EB)


def _hash_rows(rows: Ids) -> NDArray[np.uint64]:
    hashed = np.full(len(rows), 0x2545F4914F6CDD1D, np.uint64)
    for column in rows.T:
        hashed = _mix(hashed, column.astype(np.uint64))
    return hashed
