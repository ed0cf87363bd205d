"""Signal and noise of the estimators in random games, where nothing is trained.

A game is one latent with random probabilities q of every sample, and a random p; the discriminator knows log p/q. The
gradient for the logits is drawn many times. Its signal-to-noise ratio is the length of its mean divided by the root
of its total variance: independent of the estimator's scale, though not of what it estimates.
"""

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiments.laboratory import Part, Report, Table, draw_curves, mean_and_spread
from torch import Tensor

from bgan_discrete.game.divergences import DIVERGENCES, get_divergence
from bgan_discrete.game.estimators import ESTIMATORS, Estimator, make_estimator

TITLE = "Signal and noise in random games"
QUESTION = (
    "How large is the signal-to-noise ratio of one latent's gradient with {num_draws} draws, as the standard deviation "
    "of F grows over {spreads}, in games of (positions, categories) {shapes}? {games} games a seed, {repeats} "
    "gradients of each."
)


@dataclass(frozen=True)
class Settings:
    """One scale of the experiment."""

    seeds: int
    games: int
    repeats: int
    num_draws: int = 10
    shapes: tuple[tuple[int, int], ...] = ((1, 4), (3, 4))
    spreads: tuple[float, ...] = (0.5, 1.5, 4.0)


SCALES = {
    "smoke": Settings(seeds=3, games=2, repeats=50),
    "cpu": Settings(seeds=3, games=40, repeats=4000),
    "full": Settings(seeds=5, games=400, repeats=20_000),
}


def _contenders() -> dict[str, Estimator]:
    """All but those that need other latents; `matched` to every divergence that differs from the others."""
    rows = {name: make_estimator(name) for name, row in ESTIMATORS.items() if not row.couples_latents}
    del rows["matched"]
    matched = (name for name in DIVERGENCES if name not in ("jensen_shannon", "reverse_kl"))  # as gan, and rloo
    return rows | {f"matched {name}": make_estimator("matched", divergence=get_divergence(name)) for name in matched}


def parts(settings: Settings) -> list[Part]:
    """The games of each shape and seed."""
    return [
        Part(f"{_named(shape)}_{seed}", {"shape": shape, "seed": seed})
        for seed in range(settings.seeds)
        for shape in settings.shapes
    ]


def _named(shape: tuple[int, int]) -> str:
    return "{}x{}".format(*shape)


def run(settings: Settings, shape: tuple[int, int], seed: int, data_dir: Path | None = None) -> dict[str, Any]:
    """Of each estimator, the mean ratio over the games, by spread."""
    rng = torch.Generator().manual_seed(seed)
    contenders = _contenders()
    ratios = {name: np.zeros(len(settings.spreads)) for name in contenders}
    for _ in range(settings.games):
        positions, categories = shape
        logits = torch.randn(positions, categories, generator=rng)
        tilt = torch.randn(categories**positions, generator=rng)
        for column, spread in enumerate(settings.spreads):
            scores, log_w = _drawn(settings, logits, spread * tilt, rng)
            for name, estimator in contenders.items():
                gradients = torch.einsum("mr,mrg->rg", estimator(log_w), scores).double()
                ratios[name][column] += _signal_to_noise(gradients) / settings.games
    return {"ratios": {name: values.tolist() for name, values in ratios.items()}}


def _drawn(settings: Settings, logits: Tensor, tilt: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws of one game: the gradients ``[M, R, P K]`` of their log-probabilities, and F ``[M, R]``."""
    positions, categories = logits.shape
    samples = torch.tensor(list(product(range(categories), repeat=positions)))
    log_probs = logits.log_softmax(-1)
    log_q = log_probs[torch.arange(positions), samples].sum(-1)
    log_ratio = tilt - torch.logsumexp(log_q + tilt, dim=0)  # p sums to 1
    count = settings.num_draws * settings.repeats
    rows = torch.multinomial(log_q.exp(), count, replacement=True, generator=rng)
    one_hots = torch.nn.functional.one_hot(samples, categories)
    scores = (one_hots - log_probs.exp()).flatten(1)[rows]
    return scores.view(settings.num_draws, settings.repeats, -1), log_ratio[rows].view(settings.num_draws, -1)


def _signal_to_noise(gradients: Tensor) -> float:
    """Of repetitions ``[R, G]``, without what noise adds to the mean; 0 where nothing is left."""
    variance = float(gradients.var(0).sum())
    signal = float(gradients.mean(0).square().sum()) - variance / len(gradients)
    return math.sqrt(max(signal, 0.0) / variance)


def report(settings: Settings, results: dict[str, dict[str, Any]]) -> Report:
    """A table for each shape: estimators by spread."""
    tables, findings, panels, values = [], [], [], {}
    columns = range(len(settings.spreads))
    for shape in settings.shapes:
        by_seed = [results[f"{_named(shape)}_{seed}"]["ratios"] for seed in range(settings.seeds)]
        names = list(by_seed[0])
        title = "{} of {} categories".format("one position" if shape[0] == 1 else f"{shape[0]} positions", shape[1])
        tables.append(
            Table(
                f"Signal-to-noise ratio of one latent's gradient (M = {settings.num_draws}), by the standard deviation "
                f"of F: {title}",
                ["estimator", *(f"{spread:g}" for spread in settings.spreads)],
                [[name, *(mean_and_spread(ratios[name][i] for ratios in by_seed) for i in columns)] for name in names],
            )
        )
        means = {name: np.mean([ratios[name] for ratios in by_seed], axis=0).tolist() for name in names}
        highest = [max(names, key=lambda name, i=i, means=means: means[name][i]) for i in columns]  # type: ignore[misc]
        found = ", ".join(f"{name} at {spread:g}" for name, spread in zip(highest, settings.spreads, strict=True))
        findings.append(f"Highest ratio, {title}: {found}.")
        curves = {name: [(settings.spreads, ratios[name]) for ratios in by_seed] for name in names}
        panels.append((title, "standard deviation of F", "signal-to-noise ratio", curves))
        values[_named(shape)] = means
    return Report(tables, findings, {"toys.png": lambda path: draw_curves(path, panels)}, values)
