"""Estimators, relaxations and WGAN-GP on softmax outputs: the same networks, the same wall-clock time."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiments.laboratory import (
    Part,
    Report,
    Table,
    draw_curves,
    load_mnist,
    mean_and_spread,
    start_match,
    text_file,
)
from torch import Tensor

from bgan_discrete.codecs import CodecOptions, TextCodecOptions
from bgan_discrete.errors import NonFiniteError
from bgan_discrete.game.drawing import sample_codes
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.game.rules import Game
from bgan_discrete.game.step import adversarial_step, discriminator_step
from bgan_discrete.metrics import log_frequencies
from bgan_discrete.metrics.neighbours import nearest_neighbour_accuracy
from bgan_discrete.metrics.ngrams import ngram_divergences
from bgan_discrete.nn import ConvDiscriminator, ConvGenerator, ConvSequenceDiscriminator, ConvSequenceGenerator
from bgan_discrete.rivals.relaxations import get_relaxation, relaxed_generator_step
from bgan_discrete.rivals.wasserstein import wasserstein_step
from bgan_discrete.sources import load_images, load_text

TITLE = "Rivals in equal time"
QUESTION = (
    "One generator and one discriminator, the same seconds of training ({seconds}) each, on {datasets}: which way to "
    "a gradient brings the generator nearest to the data? Images by the accuracy of a nearest neighbour that tells "
    "samples from held-out data, on the side where it is higher (0.5: it cannot), captions by JSD-4 (bits)."
)

ESTIMATORS = ("bgan", "bgan_centered", "vimco", "loo", "rloo", "reinforce", "maligan")
RELAXED = ("straight_through", "gumbel_straight_through", "reinmax")
CONTENDERS = (*ESTIMATORS, *RELAXED, "wgan_gp")


@dataclass(frozen=True)
class Settings:
    """One scale of the experiment.

    Attributes:
        seconds: Of training, for each of ``datasets``.
        width: Channels of the networks of images at full size; four times as many for text.
        side: Pixels of a side of MNIST.
    """

    seeds: int
    seconds: tuple[float, ...]
    width: int
    samples: int
    limit: int
    moments: int
    datasets: tuple[str, ...] = ("digits", "mnist", "captions")
    side: int = 28
    num_draws: int = 10
    num_latents: int = 64
    latent_size: int = 32
    penalty_weight: float = 0.3
    wgan_penalty_weight: float = 10.0
    generator_lr: float = 2e-3
    discriminator_lr: float = 2e-3


SCALES = {
    "smoke": Settings(seeds=3, seconds=(0.1,), width=4, samples=60, limit=400, moments=1, datasets=("digits",)),
    "cpu": Settings(seeds=3, seconds=(10, 15, 30), width=8, samples=1000, limit=20_000, moments=3, side=14),
    "full": Settings(seeds=5, seconds=(900, 900, 900), width=64, samples=5000, limit=60_000, moments=8),
}


def parts(settings: Settings) -> list[Part]:
    """One training for each data set, contender and seed."""
    return [
        Part(f"{dataset}_{contender}_{seed}", {"dataset": dataset, "contender": contender, "seed": seed})
        for dataset in settings.datasets
        for seed in range(settings.seeds)
        for contender in CONTENDERS
    ]


def check_data(settings: Settings, data_dir: Path | None) -> None:
    """Find the data before any work."""
    for dataset in settings.datasets:
        _load(settings, dataset, data_dir)


def _load(settings: Settings, dataset: str, data_dir: Path | None) -> Any:
    if dataset == "captions":
        source, heldout = text_file(data_dir, "captions")
        return load_text(
            source,
            heldout=heldout,
            layout="window",
            codec=TextCodecOptions(length=32, ends=False),
            limit=settings.limit,
        )
    if dataset == "digits":
        return load_images("digits", codec=CodecOptions(name="levels"))
    return load_mnist(data_dir, CodecOptions(name="binary"), settings.side, settings.limit)


def _networks(settings: Settings, dataset: str, data: Any) -> tuple[Generator, Discriminator]:
    if dataset == "captions":
        width = 4 * settings.width
        generator = ConvSequenceGenerator(data.space, settings.latent_size, width, 2)
        return generator, ConvSequenceDiscriminator(data.space, width, 2)
    return (
        ConvGenerator(data.space, settings.latent_size, settings.width, 1),
        ConvDiscriminator(data.space, settings.width, 1),
    )


def run(settings: Settings, dataset: str, contender: str, seed: int, data_dir: Path | None = None) -> dict[str, Any]:
    """Train for so many seconds; the quality at some moments, whose time does not count."""
    seconds = settings.seconds[settings.datasets.index(dataset)]
    data = _load(settings, dataset, data_dir)
    torch.manual_seed(seed)
    generator, discriminator = _networks(settings, dataset, data)
    num_categories = data.codec.num_categories
    generator.set_output_bias(torch.from_numpy(log_frequencies(data.codes, num_categories)))
    is_wgan = contender == "wgan_gp"
    game = Game(
        estimator=make_estimator(contender if contender in ESTIMATORS else "rloo"),
        num_draws=settings.num_draws,
        penalty=get_penalty("r1"),
        penalty_weight=settings.penalty_weight,
    )
    relaxation = None
    if contender not in ESTIMATORS:
        relaxation = get_relaxation("softmax" if is_wgan else contender)
    # WGAN-GP as its source trains it: another Adam, and five critic steps for each of the generator.
    betas, critic_steps = ((0.5, 0.9), 5) if is_wgan else ((0.0, 0.99), 1)
    match = start_match(
        data.codes,
        (generator, discriminator),
        rates=(settings.generator_lr, settings.discriminator_lr),
        betas=betas,
        batch_size=settings.num_latents,
        latent_size=settings.latent_size,
        seed=seed,
        score_chunk=256,
    )

    def latents() -> Tensor:
        return match.latents(settings.num_latents)

    def step(count: int) -> None:
        penalty_scale = 4 if count % 4 == 3 else 0
        if relaxation is None:
            real = match.real(count)
            adversarial_step(game, match.players, real, latents(), penalty_scale=penalty_scale, rng=match.rng)
            return
        for repeat in range(critic_steps):
            real = match.real(count * critic_steps + repeat)
            if is_wgan:
                wasserstein_step(match.players, real, latents(), settings.wgan_penalty_weight, match.rng)
            else:
                discriminator_step(game, match.players, real, latents(), penalty_scale=penalty_scale, rng=match.rng)
        relaxed_generator_step(match.players, latents(), relaxation, match.rng)

    curve: list[dict[str, float]] = []
    spent, count = 0.0, 0
    try:
        for moment in range(1, settings.moments + 1):
            started = time.perf_counter()
            allowed = seconds * moment / settings.moments - spent
            while time.perf_counter() - started < allowed:
                step(count)
                count += 1
            spent += time.perf_counter() - started
            curve.append({"seconds": spent, "steps": count, "quality": _quality(settings, dataset, data, generator)})
    except NonFiniteError as error:
        return {"curve": curve, "failed": str(error)}
    return {"curve": curve, "failed": None}


def _quality(settings: Settings, dataset: str, data: Any, generator: Generator) -> float:
    made = sample_codes(generator, settings.samples, 1, torch.device("cpu")).numpy()
    if dataset == "captions":
        return ngram_divergences(data.codec.decode(made), data.codec.decode(data.heldout_codes), 4)[3]
    real = data.heldout_codes[: settings.samples]
    fake = made[: len(real)]
    found = nearest_neighbour_accuracy(_flat(real), _flat(fake))
    # Samples without variety, or far from the data, may have 1 on one side and 0 on the other: a perfect mean.
    return max(found.real, found.fake)


def _flat(codes: Any) -> Any:
    return codes.reshape(len(codes), -1).astype(np.float32)


def report(settings: Settings, results: dict[str, dict[str, Any]]) -> Report:
    """The quality at the end, and against time."""
    tables, panels, values = [], [], {}
    for dataset, seconds in zip(settings.datasets, settings.seconds, strict=True):
        runs = {
            contender: [results[f"{dataset}_{contender}_{seed}"] for seed in range(settings.seeds)]
            for contender in CONTENDERS
        }
        final = {
            contender: [run["curve"][-1]["quality"] if not run["failed"] else float("nan") for run in seeds]
            for contender, seeds in runs.items()
        }
        measure = "JSD-4 (bits)" if dataset == "captions" else "1-NN accuracy, worse side"
        ranked = sorted(CONTENDERS, key=lambda name: float(np.nan_to_num(np.mean(final[name]), nan=9.0)))
        tables.append(
            Table(
                f"{dataset}, after {seconds:g} s: {measure}, lower is better",
                ["contender", measure, "generator steps", "failed"],
                [
                    [
                        name,
                        mean_and_spread(final[name]),
                        mean_and_spread([run["curve"][-1]["steps"] if run["curve"] else 0 for run in runs[name]], 0),
                        str(sum(run["failed"] is not None for run in runs[name])),
                    ]
                    for name in ranked
                ],
            )
        )
        values[dataset] = final
        lines = {
            name: [([c["seconds"] for c in run["curve"]], [c["quality"] for c in run["curve"]]) for run in seeds]
            for name, seeds in runs.items()
            if all(run["curve"] for run in seeds)
        }
        panels.append((dataset, "seconds of training", measure, lines))
    findings = []
    for dataset, table in zip(settings.datasets, tables, strict=True):
        whole = np.isfinite(values[dataset][table.rows[0][0]]).all()
        findings.append(
            f"{dataset}: {table.rows[0][0]} is nearest." if whole else f"{dataset}: every contender failed."
        )
    return Report(tables, findings, {"curves.png": lambda path: draw_curves(path, panels, 3)}, values)
