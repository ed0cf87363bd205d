"""The method's central figure: how many draws, and what the weights are normalised over.

Binarised MNIST. Weights normalised over the draws of a latent ("alpha") or over the batch ("beta"), M draws of N
latents, and many latents with one draw, which cost the discriminator as much to score (it also learns from as many).
The estimate of 2 JSD - log 4 is the discriminator's own bound, ``E log D(real) + E log(1 - D(generated))``: as far as
the discriminators are equally good, the lower, the nearer is the generator.
"""

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiments.laboratory import Match, Part, Report, Table, draw_curves, load_mnist, mean_and_spread, start_match

from bgan_discrete.codecs import CodecOptions
from bgan_discrete.errors import NonFiniteError
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.gradients import gradient_statistics
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.rules import Game
from bgan_discrete.game.step import adversarial_step
from bgan_discrete.metrics import log_frequencies
from bgan_discrete.nn import ConvDiscriminator, ConvGenerator
from bgan_discrete.sources import ImageData

TITLE = "Draws, latents and the variance of the gradient"
QUESTION = (
    "Does the estimated 2 JSD - log 4 fall with the number of draws M, are weights normalised per latent (alpha) "
    "better than over the batch (beta), and are {num_draws} draws of {num_latents} latents better than one draw of "
    "{num_draws} times as many? How noisy is each estimator's gradient?"
)


@dataclass(frozen=True)
class Settings:
    """One scale of the experiment."""

    seeds: int
    side: int
    images: int
    epochs: int
    width: int
    draws: tuple[int, ...]
    repeats: int
    num_latents: int = 64
    num_draws: int = 10
    latent_size: int = 32
    generator_lr: float = 2e-3
    discriminator_lr: float = 2e-3
    penalty_weight: float = 0.1


SCALES = {
    "smoke": Settings(seeds=3, side=8, images=256, epochs=1, width=4, draws=(2, 4), repeats=3, num_latents=16),
    "cpu": Settings(seeds=3, side=14, images=10_000, epochs=6, width=12, draws=(5, 10, 100), repeats=60),
    "full": Settings(seeds=5, side=28, images=60_000, epochs=30, width=32, draws=(5, 10, 100), repeats=200),
}

OTHER_ESTIMATORS = ("bgan_centered", "vimco", "loo", "rloo", "jeffreys", "symmetric", "matched")
ALL_ESTIMATORS = ("bgan", *OTHER_ESTIMATORS, "reinforce", "maligan")


def parts(settings: Settings) -> list[Part]:
    """One training for each setting and seed."""
    planned = []
    for seed in range(settings.seeds):
        for label, arguments in _contenders(settings).items():
            planned.append(Part(f"{label}_{seed}", {**arguments, "seed": seed, "measure": label == REFERENCE}))
    return planned


REFERENCE = "rloo"
"""The training at whose moments the gradients' noise is measured."""


def _contenders(settings: Settings) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, over in (("alpha", "latent"), ("beta", "batch")):
        for draws in settings.draws:
            found[f"{name}_M{draws}"] = {
                "estimator": "bgan",
                "over": over,
                "draws": draws,
                "latents": settings.num_latents,
            }
    many = settings.num_latents * settings.num_draws
    found[f"beta_{many}x1"] = {"estimator": "bgan", "over": "batch", "draws": 1, "latents": many}
    for name in OTHER_ESTIMATORS:
        found[name] = {
            "estimator": name,
            "over": "latent",
            "draws": settings.num_draws,
            "latents": settings.num_latents,
        }
    return found


def check_data(settings: Settings, data_dir: Path | None) -> None:
    """Find the data before any work."""
    _load(settings, data_dir)


def _load(settings: Settings, data_dir: Path | None) -> ImageData:
    return load_mnist(data_dir, CodecOptions(name="binary"), settings.side, settings.images)


def run(
    settings: Settings,
    estimator: str,
    over: str,
    draws: int,
    latents: int,
    seed: int,
    measure: bool,
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Train once: the estimate by epoch, and where asked for the noise of every estimator's gradient."""
    data = _load(settings, data_dir)
    torch.manual_seed(seed)
    generator = ConvGenerator(data.space, settings.latent_size, settings.width, 1)
    generator.set_output_bias(torch.from_numpy(log_frequencies(data.codes, 2)))
    discriminator = ConvDiscriminator(data.space, settings.width, 1)
    # All see as many real images and generator steps an epoch; only draws and latents differ.
    game = _game(estimator, over, draws, settings.penalty_weight)
    match = start_match(
        data.codes,
        (generator, discriminator),
        rates=(settings.generator_lr, settings.discriminator_lr),
        betas=(0.0, 0.99),
        batch_size=settings.num_latents,
        latent_size=settings.latent_size,
        seed=seed,
        score_chunk=256,
    )
    steps = len(match.codes) // settings.num_latents
    estimates: list[float] = []
    noise, started = [], time.perf_counter()
    moments = {0, settings.epochs // 2, settings.epochs}
    for epoch in range(settings.epochs + 1):
        if measure and epoch in moments:
            noise.append({"epoch": epoch, **_noise(settings, match)})
        if epoch == settings.epochs:
            break
        bounds = []
        for step in range(steps):
            count = epoch * steps + step
            scale = 4 if count % 4 == 3 else 0
            try:
                found = adversarial_step(
                    game, match.players, match.real(count), match.latents(latents), penalty_scale=scale, rng=match.rng
                )
            except NonFiniteError as error:
                missing = [float("nan")] * (settings.epochs - len(estimates))
                return {"estimates": estimates + missing, "noise": noise, "seconds": None, "failed": str(error)}
            bounds.append(float(-found["discriminator_loss"]))
        estimates.append(float(np.mean(bounds)))
    return {"estimates": estimates, "noise": noise, "seconds": time.perf_counter() - started, "failed": None}


def _game(estimator: str, over: str, draws: int, penalty_weight: float) -> Game:
    return Game(
        estimator=make_estimator(estimator, normalization=over),  # type: ignore[arg-type]
        num_draws=draws,
        penalty=get_penalty("r1"),
        penalty_weight=penalty_weight,
    )


def _noise(settings: Settings, match: Match) -> dict[str, Any]:
    found = {}
    for name in ALL_ESTIMATORS:
        game = _game(name, "latent", settings.num_draws, 0)
        found[name] = gradient_statistics(
            game, match.players, lambda: match.latents(settings.num_latents), settings.repeats, match.rng
        )
    return {"estimators": found}


def report(settings: Settings, results: dict[str, dict[str, Any]]) -> Report:
    """The estimates at the end, the orderings that were asked about, and the noise at three moments."""
    contenders = _contenders(settings)
    runs = {label: [results[f"{label}_{seed}"] for seed in range(settings.seeds)] for label in contenders}
    last = {
        label: [float("nan") if run["failed"] else run["estimates"][-1] for run in seeds]
        for label, seeds in runs.items()
    }
    first = Table(
        f"2 JSD - log 4 as the discriminator estimates it, mean over epoch {settings.epochs} of {settings.epochs} "
        f"({settings.num_latents} latents unless said; lower is nearer to the data, -1.386 at the optimum)",
        ["weights", "M", "estimate", "seconds"],
        [
            [
                label,
                str(contenders[label]["draws"]),
                mean_and_spread(last[label]),
                mean_and_spread([run["seconds"] for run in runs[label] if run["seconds"] is not None], 0),
            ]
            for label in contenders
        ],
    )
    noise = [run for run in runs[REFERENCE] if not run["failed"]]
    moments = [moment["epoch"] for moment in noise[0]["noise"]] if noise else []
    second = Table(
        f"Signal-to-noise ratio of a generator's gradient (M = {settings.num_draws}, {settings.num_latents} latents, "
        f"{settings.repeats} repetitions), at moments of the training with {REFERENCE}",
        ["estimator", *(f"epoch {epoch}" for epoch in moments), *(f"variance, epoch {epoch}" for epoch in moments)],
        [
            [
                name,
                *(
                    mean_and_spread([run["noise"][i]["estimators"][name]["signal_to_noise"] for run in noise])
                    for i in range(len(moments))
                ),
                *(
                    f"{np.mean([run['noise'][i]['estimators'][name]['variance'] for run in noise]):.3g}"
                    for i in range(len(moments))
                ),
            ]
            for name in ALL_ESTIMATORS
        ],
    )
    means = {label: float(np.mean(values)) for label, values in last.items()}
    failed = [name for name, result in results.items() if result["failed"]]
    findings = [f"Trainings that ended in inf or NaN: {', '.join(failed) if failed else 'none'}."]
    for name in ("alpha", "beta"):
        ordered = [means[f"{name}_M{draws}"] for draws in settings.draws]
        holds = all(a > b for a, b in itertools.pairwise(ordered))
        findings.append(f"{name}: more draws give a lower estimate: {'yes' if holds else 'no'} ({_list(ordered)}).")
    better = [draws for draws in settings.draws if means[f"alpha_M{draws}"] < means[f"beta_M{draws}"]]
    findings.append(
        f"alpha below beta at M = {', '.join(map(str, better)) or 'none'} of {', '.join(map(str, settings.draws))}."
    )
    many = f"beta_{settings.num_latents * settings.num_draws}x1"
    findings.append(f"One draw of {settings.num_latents * settings.num_draws} latents: {means[many]:.3f}.")
    curves = {
        label: [(range(1, settings.epochs + 1), run["estimates"]) for run in seeds] for label, seeds in runs.items()
    }
    by_kind = {
        "per latent (alpha) and over the batch (beta)": [label for label in curves if label[:4] in ("alph", "beta")],
        f"other estimators, M = {settings.num_draws}": [
            *OTHER_ESTIMATORS,
            *(f"{name}_M{settings.num_draws}" for name in ("alpha", "beta") if settings.num_draws in settings.draws),
        ],
    }
    panels: Any = [
        (title, "epoch", "estimated 2 JSD - log 4", {label: curves[label] for label in labels})
        for title, labels in by_kind.items()
    ]
    return Report([first, second], findings, {"curves.png": lambda path: draw_curves(path, panels)}, {"last": last})


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
