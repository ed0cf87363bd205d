"""Judging texts: n-gram divergences, BLEU, diversity, perplexity, each beside its floor and Markov models."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bgan_discrete.errors import InputError
from bgan_discrete.metrics.bleu import bleu, self_bleu
from bgan_discrete.metrics.neighbours import share_repeated
from bgan_discrete.metrics.ngrams import MarkovModel, ngram_divergences

MARKOV_ORDERS = (1, 2, 3, 4, 5)
PERPLEXITY_ORDER = 4
"""Order of the Markov models of which perplexities are taken."""

WGAN_GP_SAMPLES, WGAN_GP_LENGTH = 640, 32
"""The protocol of Gulrajani et al. (2017): so many samples of so many characters."""

DIVERGENCE_ORDERS = (1, 2, 3, 4, 5, 6)
FEWEST_WORDS = 1.5
"""Words of a training text, on average, from which on figures of words (BLEU, distinct n-grams) are taken."""

BLEU_ORDERS = (2, 3, 4, 5)


@dataclass
class TextReport:
    """Figures of a model's texts, beside those of real texts and of Markov models, all at one sample count.

    Attributes:
        rows: Name of a row (model, floor, Markov orders) -> name of a figure -> value.
        num_samples: Texts in every row.
        num_training: Training texts, which divergences and copies are taken against.
        num_references: Texts that BLEU is taken against, held out or of training (`facts["references"]`).
        facts: What else is known, of plain types.
    """

    rows: dict[str, dict[str, float]]
    num_samples: int
    num_training: int
    num_references: int
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {
            "num_samples": self.num_samples,
            "num_training": self.num_training,
            "num_references": self.num_references,
            "rows": self.rows,
            **self.facts,
        }

    def format_table(self) -> str:
        """A table for a terminal, a figure a line and a row a column."""
        names = list(self.rows)
        widths = [max(8, len(name)) for name in names]
        figures = list(dict.fromkeys(figure for row in self.rows.values() for figure in row))
        longest = max(map(len, figures))
        lines = [" " * longest + "  " + "  ".join(f"{n:>{w}}" for n, w in zip(names, widths, strict=True))]
        for figure in figures:
            values = [_shown(self.rows[name].get(figure)) for name in names]
            cells = "  ".join(f"{v:>{w}}" for v, w in zip(values, widths, strict=True))
            lines.append(f"{figure:<{longest}}  {cells}")
        in_all = self.facts.get("training_texts_in_all", self.num_training)
        part = f" (of {in_all:,}; copies are looked for among these)" if in_all > self.num_training else ""
        references = f", BLEU against {self.num_references:,} {self.facts.get('references', '')} texts"
        lines.append(
            f"{self.num_samples:,} samples in a column; JSD (bits) against {self.num_training:,} training texts{part}"
            f"{references if 'BLEU-2' in figures else ''}; "
            f"floor: {self.facts.get('floor_samples', self.num_samples):,} held-out texts in the place of samples"
        )
        return "\n".join(lines)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def evaluate_text(
    samples: Sequence[str],
    training: Sequence[str],
    heldout: Sequence[str],
    *,
    ends: bool = True,
    valid: Sequence[str] | None = None,
    others: dict[str, Sequence[str]] | None = None,
    markov: bool = True,
    seed: int = 0,
) -> TextReport:
    """Judge texts beside real ones and beside Markov models of characters, all rows at the same sample count.

    Args:
        samples: A model's texts.
        training: What it was trained on.
        heldout: Real texts that it has not seen. Those that are not the floor's samples are BLEU's references and what
            reverse perplexity is taken of; where they are fewer than the samples, the training texts are BLEU's
            references and reverse perplexity, which then flatters the floor, is taken of all held-out texts.
        ends: Whether texts end by themselves rather than at a window's end.
        valid: Every text of the language, each as probable as any other, where that is known (`arithmetic`).
        others: Further rows, such as the texts of the same generator trained by maximum likelihood.
        markov: Whether to add the rows of the Markov models.
        seed: Of the choice among the held-out texts and of the Markov models' draws.

    Returns:
        The figures.

    Raises:
        InputError: If there are fewer than two samples, training texts or held-out texts.
    """
    for name, texts in (("samples", samples), ("training", training), ("heldout", heldout)):
        if len(texts) < 2:
            raise InputError(f"{name} must hold at least 2 texts, got {len(texts)}")
    rng = np.random.default_rng(seed)
    shuffled = [heldout[place] for place in rng.permutation(len(heldout))]
    count = min(len(samples), len(shuffled))
    floor, rest = shuffled[:count], shuffled[count:]
    # The floor's own texts cannot be their own references: where too few others are held out, training texts are.
    enough = len(rest) >= count
    references = rest if enough else training
    rows: dict[str, Sequence[str]] = {"model": samples, "floor": floor, **(others or {})}
    if markov:
        longest = max(map(len, training))
        for order in MARKOV_ORDERS:
            rows[f"Markov {order}"] = MarkovModel(training, order).sample(len(samples), longest, seed, ends)
    forward = MarkovModel(training, PERPLEXITY_ORDER)
    figures = {}
    for name, texts in rows.items():
        figures[name] = _figures(texts, training, references, rest if enough else shuffled, forward, ends, valid)
    return TextReport(
        figures,
        len(samples),
        len(training),
        len(references),
        {
            "floor_samples": len(floor),
            "training_repeated": share_repeated(training),
            "references": "held-out" if enough else "training",
            "ends": ends,
            "perplexity_order": PERPLEXITY_ORDER,
        },
    )


def _figures(
    texts: Sequence[str],
    training: Sequence[str],
    references: Sequence[str],
    heldout: Sequence[str],
    forward: MarkovModel,
    ends: bool,
    valid: Sequence[str] | None,
) -> dict[str, float]:
    figures = {}
    # Real texts that are too short for an n-gram say nothing of it.
    most = max(1, min(DIVERGENCE_ORDERS[-1], max(map(len, training))))
    for order, value in enumerate(ngram_divergences(texts, training, most), 1):
        figures[f"JSD-{order}"] = value
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
    """Figures against a uniform distribution over known texts.

    Args:
        texts: What is judged.
        language: Every text of the language, without repeats.

    Returns:
        ``valid`` (share of texts in the language), ``distinct valid``, ``coverage`` (share of the language that was
        drawn), and ``KL of valid``: the divergence in nats of the empirical distribution of the valid texts from the
        uniform one, which is above 0 for real texts too, because they are finitely many.
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
    """JSD-1 .. JSD-6 by the protocol of Gulrajani et al. (2017): 640 samples, cut at 32 characters, against training.

    Args:
        samples: At least 640 texts.
        training: The training texts.
        heldout: At least 640 real texts.
        seed: Of the choice among the held-out texts.

    Returns:
        The rows ``model`` and ``floor``.

    Raises:
        InputError: If there are too few texts.
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
