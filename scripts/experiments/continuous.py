"""The boundary-seeking objective for continuous generators, beside the usual non-saturating loss: stability."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiments.laboratory import Part, Report, Table, draw_points, load_mnist, mean_and_spread, start_match

from bgan_discrete.codecs import CodecOptions
from bgan_discrete.errors import NonFiniteError
from bgan_discrete.game.drawing import sample_codes
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.rules import Game
from bgan_discrete.metrics import frechet_distance, log_frequencies, train_classifier
from bgan_discrete.nn import ContinuousConvGenerator, ConvDiscriminator
from bgan_discrete.rivals.continuous import CONTINUOUS_LOSSES, continuous_step, get_continuous_loss
from bgan_discrete.sources import ImageData, load_images

TITLE = "The continuous objective"
QUESTION = (
    "A generator of grey levels that back-propagates through its samples: over learning rates and discriminator steps, "
    "with no penalty at all, how often does each loss diverge or collapse, and how near does it come where it does not?"
)

COLLAPSED_BELOW = 5
"""A training that reaches fewer classes than this, of ten, counts as collapsed."""


@dataclass(frozen=True)
class Settings:
    """One scale of the experiment."""

    seeds: int
    steps: int
    width: int
    samples: int
    datasets: tuple[str, ...] = ("digits", "mnist")
    side: int = 14
    limit: int = 10_000
    learning_rates: tuple[float, ...] = (5e-4, 2e-3, 8e-3)
    discriminator_steps: tuple[int, ...] = (1, 5)
    batch_size: int = 64
    latent_size: int = 16
    penalty_weight: float = 0.0
    classifier_steps: int | None = None


SCALES = {
    "smoke": Settings(
        seeds=3,
        steps=3,
        width=4,
        samples=100,
        datasets=("digits",),
        learning_rates=(2e-3,),
        discriminator_steps=(1,),
        classifier_steps=30,
    ),
    "cpu": Settings(seeds=3, steps=800, width=12, samples=1000),
    "full": Settings(seeds=5, steps=20_000, width=48, samples=10_000, side=28, limit=60_000),
}


def parts(settings: Settings) -> list[Part]:
    """One training for each data set, loss, learning rate, number of discriminator steps, and seed."""
    return [
        Part(
            f"{dataset}_{loss}_{rate:g}_{steps}_{seed}",
            {"dataset": dataset, "loss": loss, "rate": rate, "discriminator_steps": steps, "seed": seed},
        )
        for dataset in settings.datasets
        for seed in range(settings.seeds)
        for rate in settings.learning_rates
        for steps in settings.discriminator_steps
        for loss in CONTINUOUS_LOSSES
    ]


def check_data(settings: Settings, data_dir: Path | None) -> None:
    """Find the data before any work."""
    for dataset in settings.datasets:
        _load(settings, dataset, data_dir)


def _load(settings: Settings, dataset: str, data_dir: Path | None) -> ImageData:
    if dataset == "digits":
        return load_images("digits", codec=CodecOptions(name="levels"))
    return load_mnist(data_dir, CodecOptions(name="levels", num_categories=64), settings.side, settings.limit)


def run(
    settings: Settings,
    dataset: str,
    loss: str,
    rate: float,
    discriminator_steps: int,
    seed: int,
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train once, and judge the samples by a classifier: classes reached, and the distance of its features."""
    data = _load(settings, dataset, data_dir)
    assert data.labels is not None
    torch.manual_seed(seed)
    generator = ContinuousConvGenerator(data.space, settings.latent_size, settings.width, 1)
    generator.set_output_bias(torch.from_numpy(log_frequencies(data.codes, data.num_categories)))
    discriminator = ConvDiscriminator(replace(data.space, num_categories=2), settings.width, 1)
    match = start_match(
        data.codes,
        (generator, discriminator),
        rates=(rate, rate),
        betas=(0.5, 0.99),
        batch_size=settings.batch_size,
        latent_size=settings.latent_size,
        seed=seed,
    )
    game = Game(penalty=get_penalty("r1") if settings.penalty_weight else None, penalty_weight=settings.penalty_weight)
    try:
        for step in range(settings.steps * discriminator_steps):
            continuous_step(
                game,
                match.players,
                match.real(step),
                match.latents(settings.batch_size),
                get_continuous_loss(loss),
                rng=match.rng,
                moves_both=(step + 1) % discriminator_steps == 0,
            )
    except NonFiniteError as error:
        return {"diverged": str(error), "classes": 0, "distance": None}
    classifier = train_classifier(
        data.codes, data.labels, data.num_categories, ordered=True, steps=settings.classifier_steps
    )
    made = sample_codes(generator, settings.samples, 1, torch.device("cpu")).numpy()
    shares = np.bincount(data.labels, minlength=classifier.num_classes) / len(data.labels)
    found = np.bincount(classifier.predict(made), minlength=classifier.num_classes) / len(made)
    real = classifier.features(data.heldout_codes)
    return {
        "diverged": None,
        "classes": int((found >= 0.1 * shares).sum()),
        "distance": frechet_distance(classifier.features(made), real),
        "floor": frechet_distance(real[::2], real[1::2]),
    }


def report(settings: Settings, results: dict[str, dict[str, Any]]) -> Report:
    """How each loss fares over all settings, and at each of them."""
    cells: dict[tuple[str, str, float, int], list[dict[str, Any]]] = {}
    for part in parts(settings):
        values = part.arguments
        key = (values["dataset"], values["loss"], values["rate"], values["discriminator_steps"])
        cells.setdefault(key, []).append(results[part.name])
    overall, each, panels, values_out = [], [], [], {}
    for dataset in settings.datasets:
        lines: dict[str, list[tuple[float, float]]] = {}
        for loss in CONTINUOUS_LOSSES:
            runs = [run for key, found in cells.items() if key[:2] == (dataset, loss) for run in found]
            diverged = sum(run["diverged"] is not None for run in runs)
            collapsed = sum(run["diverged"] is None and run["classes"] < COLLAPSED_BELOW for run in runs)
            distances = [run["distance"] for run in runs if run["distance"] is not None]
            overall.append(
                [
                    dataset,
                    loss,
                    f"{diverged} of {len(runs)}",
                    f"{collapsed} of {len(runs)}",
                    f"{np.median(distances):.2f}" if distances else "-",
                    f"{np.min(distances):.2f}" if distances else "-",
                ]
            )
            values_out[f"{dataset}_{loss}"] = {"diverged": diverged, "collapsed": collapsed, "distances": distances}
            own = {key: found for key, found in cells.items() if key[0] == dataset}
            for number, ((_, kind, _, _), found) in enumerate(own.items()):
                if kind == loss:
                    points = [(number, run["distance"]) for run in found if run["distance"] is not None]
                    lines.setdefault(loss, []).extend((float(x // len(CONTINUOUS_LOSSES)), y) for x, y in points)
        panels.append((dataset, "setting: learning rate, then discriminator steps", "Fréchet distance", lines))
    for (dataset, loss, rate, steps), found in cells.items():
        distances = [run["distance"] if run["distance"] is not None else float("nan") for run in found]
        classes = mean_and_spread([run["classes"] for run in found], 1)
        each.append([dataset, loss, f"{rate:g}", str(steps), mean_and_spread(distances, 2), classes])
    floors = {}
    for dataset in settings.datasets:
        of_real = [run["floor"] for key, runs in cells.items() for run in runs if key[0] == dataset and "floor" in run]
        if of_real:
            floors[dataset] = f"{np.mean(of_real):.2f}"
    findings = [
        f"A training that reaches fewer than {COLLAPSED_BELOW} of ten classes counts as collapsed; distances are of "
        "those that did not end in inf or NaN.",
        "Floor of the distance, one half of the held-out images in the samples' place and the other in theirs: "
        + ", ".join(f"{dataset} {value}" for dataset, value in floors.items())
        + ".",
    ]
    return Report(
        [
            Table(
                f"Over all learning rates and discriminator steps, {settings.steps} generator steps",
                ["data", "loss", "diverged", "collapsed", "median distance", "best distance"],
                overall,
            ),
            Table(
                "At each setting",
                ["data", "loss", "learning rate", "discriminator steps", "Fréchet distance", "classes of 10"],
                each,
            ),
        ],
        findings,
        {"distances.png": lambda path: draw_points(path, panels)},
        values_out,
    )
