"""Metrics: tables and blocks against the definitions, one sample after the other."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from benchmarks.timing import Claim, Contender, Scale, SuiteResult, comparison, interleave

from bgan_discrete.metrics.bleu import bleu, self_bleu
from bgan_discrete.metrics.neighbours import hamming_to_nearest, nearest_neighbour_accuracy
from bgan_discrete.metrics.ngrams import ngram_divergences

ORDER = 4


def run(device: torch.device, scale: Scale) -> SuiteResult:
    """Each metric at a size at which its definition can still be waited for; on the CPU, as all metrics are."""
    rng = np.random.default_rng(0)
    texts = 20 if scale.is_smoke else 300
    words = [f"w{number}" for number in range(50)]
    lines_a, lines_b = (
        [" ".join(rng.choice(words, rng.integers(3, 9), p=_zipf(50))) for _ in range(texts)] for _ in range(2)
    )
    points = 30 if scale.is_smoke else 1000
    real, fake = (rng.normal(size=(points, 64)) for _ in range(2))
    codes, references = (rng.integers(0, 16, (points, 64)).astype(np.uint8) for _ in range(2))
    cases: dict[str, tuple[Contender, Contender]] = {
        f"BLEU-{ORDER}, {texts} texts, {texts} references": (
            lambda: bleu(lines_a, lines_b, ORDER)[ORDER],
            lambda: naive_bleu(lines_a, lines_b, ORDER),
        ),
        f"Self-BLEU-{ORDER}, {texts} texts": (
            lambda: self_bleu(lines_a, ORDER)[ORDER],
            lambda: naive_self_bleu(lines_a, ORDER),
        ),
        f"Jensen-Shannon divergence of n-grams to {ORDER}, {texts} texts": (
            lambda: ngram_divergences(lines_a, lines_b, ORDER)[ORDER - 1],
            lambda: naive_divergence(lines_a, lines_b, ORDER),
        ),
        f"1-nearest-neighbour accuracy, 2 x {points} points": (
            lambda: nearest_neighbour_accuracy(real, fake).accuracy,
            lambda: naive_neighbours(real, fake),
        ),
        f"Hamming distance to the nearest of {points} references": (
            lambda: float(hamming_to_nearest(codes, references, 16).mean()),
            lambda: float(np.mean([(references != code).mean(1).min() for code in codes])),
        ),
    }
    result = SuiteResult("Metrics")
    for title, (ours, definition) in cases.items():
        if not math.isclose(float(ours()), float(definition()), rel_tol=1e-6, abs_tol=1e-9):  # type: ignore[arg-type]
            raise AssertionError(f"{title}: {ours()} is not {definition()}")
        timing = interleave({"ours": ours, "definition": definition}, 2 if scale.is_smoke else 3, torch.device("cpu"))
        result.timings[title] = timing.seconds
        result.tables.append(comparison(title, timing, "ours"))
        result.claims.append(
            Claim(
                f"{title}: times ours of the definition",
                timing.ratio("definition", "ours"),
                0 if scale.is_smoke else 1,
                True,
            )
        )
    return result


def _zipf(count: int) -> np.ndarray:
    weights = 1 / np.arange(1, count + 1)
    return weights / weights.sum()


def _grams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def _sentence_bleu(candidate: Sequence[str], references: Sequence[Sequence[str]], max_order: int) -> float:
    log_precision = 0.0
    for order in range(1, max_order + 1):
        grams = _grams(candidate, order)
        most: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            most |= _grams(reference, order)
        matched = sum(min(count, most[gram]) for gram, count in grams.items())
        if order == 1 and matched == 0:
            return 0.0
        log_precision += math.log((matched or 0.1) / max(sum(grams.values()), 1))
    closest = min((abs(len(reference) - len(candidate)), len(reference)) for reference in references)[1]
    brevity = 1.0 if len(candidate) >= closest else math.exp(1 - closest / max(len(candidate), 1e-9))
    return brevity * math.exp(log_precision / max_order)


def naive_bleu(candidates: Sequence[str], references: Sequence[str], max_order: int) -> float:
    """Mean sentence BLEU, the references counted anew for each candidate."""
    split = [text.split() for text in references]
    return float(np.mean([_sentence_bleu(text.split(), split, max_order) for text in candidates]))


def naive_self_bleu(texts: Sequence[str], max_order: int) -> float:
    """Each text against all the others."""
    split = [text.split() for text in texts]
    return float(
        np.mean(
            [_sentence_bleu(text, split[:place] + split[place + 1 :], max_order) for place, text in enumerate(split)]
        )
    )


def naive_divergence(texts_a: Sequence[str], texts_b: Sequence[str], order: int) -> float:
    """Jensen-Shannon divergence of the n-grams of one order, in bits, by dictionaries."""
    counts = [
        Counter(text[i : i + order] for text in texts for i in range(len(text) - order + 1))
        for texts in (texts_a, texts_b)
    ]
    p, q = ({gram: count / sum(found.values()) for gram, count in found.items()} for found in counts)
    total = 0.0
    for gram in p.keys() | q.keys():
        a, b = p.get(gram, 0.0), q.get(gram, 0.0)
        middle = (a + b) / 2
        total += sum(x * math.log2(x / middle) for x in (a, b) if x > 0) / 2
    return total


def naive_neighbours(real: np.ndarray, fake: np.ndarray) -> float:
    """Leave-one-out accuracy, one point after the other."""
    points = np.concatenate([real, fake])
    is_real = np.arange(len(points)) < len(real)
    correct = 0
    for place, point in enumerate(points):
        distances = ((points - point) ** 2).sum(1)
        distances[place] = np.inf
        correct += is_real[distances.argmin()] == is_real[place]
    return correct / len(points)
