"""The figures of generated texts: n-gram divergences, BLEU, diversity and perplexity, beside Markov models."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bgan_discrete.errors import InputError
from bgan_discrete.metrics.bleu import bleu, self_bleu
from bgan_discrete.metrics.figure import Direction, Evaluation, Figure, key_of
from bgan_discrete.metrics.neighbours import share_repeated
from bgan_discrete.metrics.ngrams import MarkovModel, ngram_divergences, ngram_entropy

MARKOV_ORDERS = (1, 2, 3, 4, 5)
PERPLEXITY_ORDER = 4
"""Order of the Markov models of which perplexities are taken."""

WGAN_GP_SAMPLES, WGAN_GP_LENGTH = 640, 32
"""The protocol of Gulrajani et al. (2017): so many samples of so many characters."""

DIVERGENCE_ORDERS = (1, 2, 3, 4, 5, 6)
ENTROPY_ORDER = 4
FEWEST_WORDS = 1.5
"""Words of a training text, on average, from which on figures of words (BLEU, distinct n-grams) are taken."""

BLEU_ORDERS = (2, 3, 4, 5)


DIRECTIONS: tuple[tuple[str, Direction], ...] = (
    ("JSD", "lower"),
    ("BLEU", "higher"),
    ("distinct valid", "higher"),
    ("reverse perplexity", "lower"),
    ("valid", "higher"),
    ("coverage", "higher"),
    ("KL of valid", "lower"),
    ("", "floor"),
)
"""Beginnings of the titles of figures, and which way is better; the first that fits counts."""


def evaluate_text(
    samples: Sequence[str],
    training: Sequence[str],
    heldout: Sequence[str],
    *,
    ends: bool = True,
    valid: Sequence[str] | None = None,
    others: dict[str, Sequence[str]] | None = None,
    markov: bool = True,
    num_available: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compare texts with real ones and with Markov models of characters, all at the same sample count.

    Args:
        samples: A model's texts.
        training: What it was trained on.
        heldout: Real texts that it has not seen. Those that are not the floor's samples are BLEU's references and what
            reverse perplexity is taken of; where they are fewer than the samples, the training texts are BLEU's
            references and reverse perplexity, which then flatters the floor, is taken of all held-out texts.
        ends: Whether texts end by themselves rather than at a window's end.
        valid: Every text of the language, each as probable as any other, where that is known (`arithmetic`).
        others: Further baselines, such as the texts of the same generator trained by maximum likelihood.
        markov: Whether Markov models are among the baselines.
        num_available: Training texts of which ``training`` is a part; as many as there are in it if None.
        seed: Of the choice among the held-out texts and of the Markov models' draws.

    Returns:
        The figures.

    Raises:
        InputError: If there are fewer than two samples, training texts or held-out texts.
    """
    for name, texts in (("samples", samples), ("training", training), ("heldout", heldout)):
        if len(texts) < 2:
            raise InputError(f"{name} must hold at least 2 texts, got {len(texts)}")
    shuffled = [heldout[place] for place in np.random.default_rng(seed).permutation(len(heldout))]
    count = min(len(samples), len(shuffled))
    # The floor's own texts cannot be their own references: where too few others are held out, training texts are.
    enough = len(shuffled) >= 2 * count
    references, unseen = (shuffled[count:], shuffled[count:]) if enough else (training, shuffled)
    sets = {"model": samples, "floor": shuffled[:count], **(others or {})}
    for order in MARKOV_ORDERS if markov else ():
        longest = max(map(len, training))
        sets[f"Markov {order}"] = MarkovModel(training, order).sample(len(samples), longest, seed, ends)
    forward = MarkovModel(training, PERPLEXITY_ORDER)
    values = {
        name: _figures(texts, training, references, unseen, forward, ends, valid, count) for name, texts in sets.items()
    }
    facts = {
        "num_samples": len(samples),
        "num_training": len(training),
        "training_texts_in_all": num_available or len(training),
        "num_references": len(references),
        "references": "held-out" if enough else "training",
        "floor_samples": count,
        "training_repeated": share_repeated(training),
        "ends": ends,
        "perplexity_order": PERPLEXITY_ORDER,
    }
    return Evaluation(_beside(values, count), "texts", _method(facts, "BLEU-2" in values["model"]), facts=facts)


def _beside(values: dict[str, dict[str, float]], count: int) -> dict[str, Figure]:
    """The figures of the model, with those of the floor and of every other set of texts beside them."""
    titles = dict.fromkeys(title for figures in values.values() for title in figures)
    return {
        key_of(title): Figure(
            title,
            values["model"].get(title, math.nan),
            next(direction for start, direction in DIRECTIONS if title.startswith(start)),
            values["floor"].get(title),
            {name: figures.get(title) for name, figures in values.items() if name not in ("model", "floor")},
            count,
            whole=title == "distinct valid",
        )
        for title in titles
    }


def _method(facts: Mapping[str, Any], has_bleu: bool) -> str:
    training, available = facts["num_training"], facts["training_texts_in_all"]
    of = f" of {available:,}" if available > training else ""
    references = f"; references of BLEU: {facts['num_references']:,} {facts['references']} texts" if has_bleu else ""
    return (
        f"{facts['num_samples']:,} samples, compared with {training:,}{of} training texts (JSD in bits){references}. "
        f"The floor has {facts['floor_samples']:,} held-out texts in the samples' place; 'Markov n' is a Markov model "
        "of n characters."
    )


def _figures(
    texts: Sequence[str],
    training: Sequence[str],
    references: Sequence[str],
    heldout: Sequence[str],
    forward: MarkovModel,
    ends: bool,
    valid: Sequence[str] | None,
    count: int,
) -> dict[str, float]:
    figures = {}
    # Real texts that are too short for an n-gram say nothing of it.
    most = max(1, min(DIVERGENCE_ORDERS[-1], max(map(len, training))))
    for order, value in enumerate(ngram_divergences(texts, training, most), 1):
        figures[f"JSD-{order}"] = value
    if most >= ENTROPY_ORDER:
        # Of as many texts as the floor has: the entropy of more would be greater.
        figures[f"entropy of {ENTROPY_ORDER}-grams (bits)"] = ngram_entropy(texts[:count], ENTROPY_ORDER)
    if valid is None and sum(len(text.split()) for text in training) >= FEWEST_WORDS * len(training):
        figures |= {f"BLEU-{order}": value for order, value in bleu(texts, references).items()}
        figures |= {f"Self-BLEU-{order}": value for order, value in self_bleu(texts).items()}
        figures |= {f"distinct-{order}": distinct_share(texts, order) for order in (1, 2, 3)}
    figures["unique rate"] = len(set(texts)) / len(texts)
    known = set(training)
    figures["copies of training"] = sum(text in known for text in texts) / len(texts)
    figures["forward perplexity"] = forward.perplexity(texts, ends)
    figures["reverse perplexity"] = MarkovModel(texts, PERPLEXITY_ORDER).perplexity(heldout, ends)
    lengths = np.array([len(text) for text in texts])
    figures["mean length"], figures["length spread"] = float(lengths.mean()), float(lengths.std())
    return figures | ({} if valid is None else validity(texts, valid))


def distinct_share(texts: Sequence[str], order: int) -> float:
    """Different word n-grams over all word n-grams.

    Source: Li et al., "A diversity-promoting objective function" (2016).
    """
    words = [text.split() for text in texts]
    grams = [tuple(text[i : i + order]) for text in words for i in range(len(text) - order + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def validity(texts: Sequence[str], language: Sequence[str]) -> dict[str, float]:
    """Figures of texts against the uniform distribution over all texts of a language, each of which is there once.

    ``coverage`` is the share of the language that was drawn. ``KL of valid``, in nats, is above 0 for real texts too,
    because they are finitely many.
    """
    known = set(language)
    counts: dict[str, int] = {}
    for text in texts:
        if text in known:
            counts[text] = counts.get(text, 0) + 1
    times = np.array(list(counts.values()), float)
    figures = {
        "valid": float(times.sum()) / len(texts),
        "distinct valid": float(len(counts)),
        "coverage": len(counts) / len(known),
    }
    if counts:
        share = times / times.sum()
        figures["KL of valid"] = float((share * np.log(share * len(known))).sum())
    return figures


def wgan_gp_divergences(
    samples: Sequence[str], training: Sequence[str], heldout: Sequence[str], seed: int = 0
) -> dict[str, dict[str, float]]:
    """Rows ``model`` and ``floor`` of JSD-1 .. JSD-6 by the protocol of Gulrajani et al. (2017).

    640 samples and 640 held-out texts, at the least, are cut at 32 characters and compared with the training texts.
    """
    for name, texts in (("samples", samples), ("heldout", heldout)):
        if len(texts) < WGAN_GP_SAMPLES:
            raise InputError(f"the protocol wgan-gp needs {WGAN_GP_SAMPLES} {name}, got {len(texts)}")
    chosen = np.random.default_rng(seed).permutation(len(heldout))[:WGAN_GP_SAMPLES]
    cut = [text[:WGAN_GP_LENGTH] for text in training]
    rows = {"model": samples[:WGAN_GP_SAMPLES], "floor": [heldout[place] for place in chosen]}
    return {
        name: {
            f"JSD-{order}": value
            for order, value in enumerate(ngram_divergences([text[:WGAN_GP_LENGTH] for text in texts], cut), 1)
        }
        for name, texts in rows.items()
    }
