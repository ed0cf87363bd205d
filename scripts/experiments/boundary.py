"""What the method's name says, seen: samples that move onto the decision boundary of a two-dimensional discrete grid.

The data are a mixture of bumps and a ring on a grid of categories; the generator has so few latents that its whole
distribution is a sum over them. So D* = p/(p + q), the divergences and the partition function are exact at any time.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from experiments.laboratory import Part, Report, Table, draw_curves, figure, mean_and_spread
from torch import Tensor, nn

from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.distributions.sampling import as_index, sample_categorical, sample_latents
from bgan_discrete.errors import NonFiniteError
from bgan_discrete.game.divergences import DIVERGENCES, get_divergence
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.players import Discriminator, Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.step import adversarial_step
from bgan_discrete.nn import MLPGenerator
from bgan_discrete.space import SampleSpace

TITLE = "Samples on the decision boundary"
QUESTION = (
    "A grid of {grid} x {grid} categories, where everything is exact. How near does the game come to the data under "
    "each divergence, is the learnt D the optimal one, and does the partition function go to 1?"
)


JSD_GOAL = 0.01
"""Nats; below it a training counts as having reached the data."""


class GridDiscriminator(Discriminator):
    """F of a point of the grid: from an embedding of each coordinate and their product, which tells cells apart."""

    def __init__(self, grid: int, width: int, log_ratio_bound: float) -> None:
        super().__init__(SampleSpace((2,), grid))
        self.log_ratio_bound = log_ratio_bound
        self.rows, self.columns = nn.Embedding(grid, width), nn.Embedding(grid, width)
        self.layers = nn.Sequential(
            nn.Linear(3 * width, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)
        )
        self.to_log_ratio = nn.Linear(width, 1)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[B]`` of codes ``[B, 2]``."""
        index = as_index(samples)
        row, column = self.rows(index[:, 0]), self.columns(index[:, 1])
        features = self.layers(torch.cat([row, column, row * column], dim=-1))
        log_ratio = cast(Tensor, self.to_log_ratio(features)).squeeze(-1)
        return self.log_ratio_bound * torch.tanh(log_ratio / self.log_ratio_bound)


@dataclass(frozen=True)
class Settings:
    """One scale of the experiment."""

    seeds: int
    steps: int
    grid: int
    log2_latents: int
    frames: int
    divergences: tuple[str, ...] = tuple(name for name in DIVERGENCES if name != "gan")
    width: int = 128
    batch_size: int = 256
    num_draws: int = 10
    generator_lr: float = 1e-3
    discriminator_lr: float = 4e-3
    beta2: float = 0.99
    log_ratio_bound: float = 6.0
    chi_squared_log_ratio_bound: float = 2.0


SCALES = {
    "smoke": Settings(seeds=3, steps=12, grid=16, log2_latents=4, frames=3, divergences=("jensen_shannon", "kl")),
    "cpu": Settings(seeds=3, steps=6000, grid=64, log2_latents=8, frames=40),
    "full": Settings(seeds=5, steps=20000, grid=64, log2_latents=8, frames=60),
}


def parts(settings: Settings) -> list[Part]:
    """One training for each divergence and seed."""
    return [
        Part(f"{name}_{seed}", {"divergence": name, "seed": seed})
        for name in settings.divergences
        for seed in range(settings.seeds)
    ]


def data_distribution(grid: int) -> Tensor:
    """p ``[grid, grid]``: five bumps and a ring around them, in float64."""
    axis = (torch.arange(grid, dtype=torch.float64) + 0.5) / grid * 2 - 1
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    bumps = [(0.0, 0.0), (0.35, 0.35), (-0.35, 0.35), (0.35, -0.35), (-0.35, -0.35)]
    density = torch.zeros(grid, grid, dtype=torch.float64)
    density = density + sum(torch.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * 0.13**2)) / 0.13**2 for a, b in bumps)
    ring = torch.exp(-(((x**2 + y**2).sqrt() - 0.8) ** 2) / (2 * 0.09**2)) / 0.09
    density = density / density.sum() + ring / ring.sum()
    return density / density.sum()


def _bound(settings: Settings, divergence: str) -> float:
    """F stays within, approached smoothly; more closely for the chi-squared divergences, which take exp 2F.

    Within 6, two of three trainings by `pearson_chi2` and none by `neyman_chi2` found the data.
    """
    return settings.chi_squared_log_ratio_bound if divergence.endswith("chi2") else settings.log_ratio_bound


def all_latents(log2_latents: int) -> Tensor:
    """Every binary latent, ``[2^Z, Z]``."""
    return torch.tensor(
        [[1.0 if number >> bit & 1 else -1.0 for bit in range(log2_latents)] for number in range(2**log2_latents)]
    )


def run(settings: Settings, divergence: str, seed: int, data_dir: Path | None = None) -> dict[str, Any]:
    """Train once; the exact figures along the way."""
    del data_dir
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    grid, latent_size = settings.grid, settings.log2_latents
    generator = MLPGenerator(SampleSpace((2,), grid), latent_size, settings.width)
    discriminator = GridDiscriminator(grid, settings.width, _bound(settings, divergence))
    log_p = data_distribution(grid).log().flatten()
    latents, points = all_latents(latent_size), torch.cartesian_prod(torch.arange(grid), torch.arange(grid))
    game = Game(
        estimator=make_estimator("bgan_centered"),
        num_draws=settings.num_draws,
        divergence=get_divergence(divergence),
    )
    optimizers = [
        torch.optim.Adam(network.parameters(), rate, (0.0, settings.beta2), fused=True)
        for network, rate in ((generator, settings.generator_lr), (discriminator, settings.discriminator_lr))
    ]
    players = Players(generator, discriminator, optimizers[0], optimizers[1])
    times = sorted({round(settings.steps * (i / max(settings.frames - 1, 1)) ** 2) for i in range(settings.frames)})
    curve, frames, started, measuring = [], [], time.perf_counter(), 0.0
    for step in range(settings.steps + 1):
        if step in times:
            pause = time.perf_counter()
            figures, q, learnt = exact_figures(generator, discriminator, latents, points, log_p)
            curve.append({"step": step, "seconds": pause - started - measuring, **figures})
            if seed == 0:
                optimal = log_p.exp() / (log_p.exp() + q)
                shown = {"learnt": _bytes(learnt, grid, 255), "optimal": _bytes(optimal, grid, 255)}
                frames.append({"step": step, "q": _bytes(q, grid), **shown})
            measuring += time.perf_counter() - pause
        if step == settings.steps:
            break
        share = max(min(1.0, 2 * (1 - step / settings.steps)), 0.02)
        optimizers[0].param_groups[0]["lr"] = settings.generator_lr * share
        optimizers[1].param_groups[0]["lr"] = settings.discriminator_lr * share
        codes = sample_categorical(log_p[None].float(), settings.batch_size, rng)[:, 0].long()
        real = torch.stack([codes // grid, codes % grid], dim=-1).to(torch.uint8)
        z = sample_latents(settings.batch_size, latent_size, "binary", rng)
        try:
            adversarial_step(game, players, real, z, rng=rng)
        except NonFiniteError as error:
            return {"curve": curve, "frames": frames, "failed": f"step {step + 1}: {error}"}
    return {"curve": curve, "frames": frames, "failed": None}


@torch.no_grad()
def exact_figures(
    generator: MLPGenerator, discriminator: nn.Module, latents: Tensor, points: Tensor, log_p: Tensor
) -> tuple[dict[str, float], Tensor, Tensor]:
    """Divergences (nats), partition function and distance of D from D*, by summing over all latents and points."""
    distribution: FactorizedCategorical = generator(latents)
    rows, columns = distribution.log_probs.double().exp().unbind(1)
    q = (rows.T @ columns / len(latents)).flatten().clamp_min(1e-300)
    log_q, p = q.log(), log_p.exp()
    log_ratio = discriminator(points.to(torch.uint8)).double()
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    optimal, learnt = torch.sigmoid(log_p - log_q), torch.sigmoid(log_ratio)
    figures = {
        "jsd": float(((p * (log_p - log_m)).sum() + (q * (log_q - log_m)).sum()) / 2),
        "kl": float((p * (log_p - log_q)).sum()),
        "reverse_kl": float((q * (log_q - log_p)).sum()),
        "log_beta": float(torch.logsumexp(log_q + log_ratio, 0)),
        "d_error": float((q * (learnt - optimal).abs()).sum()),
        "boundary_distance": float((q * (learnt - 0.5).abs()).sum()),
    }
    return figures, q, learnt


def _bytes(values: Tensor, grid: int, scale: float | None = None) -> list[list[int]]:
    scaled = values * scale if scale is not None else values / values.max() * 255
    return scaled.clamp(0, 255).round().int().view(grid, grid).tolist()


def report(settings: Settings, results: dict[str, dict[str, Any]]) -> Report:
    """The exact figures at the end of each training, and their way there."""
    curves = {
        name: [results[f"{name}_{seed}"]["curve"] for seed in range(settings.seeds)] for name in settings.divergences
    }

    def last(name: str, key: str) -> list[float]:
        """A figure at the end, NaN where a training failed."""
        runs = [results[f"{name}_{seed}"] for seed in range(settings.seeds)]
        return [float("nan") if run.get("failed") else run["curve"][-1][key] for run in runs]

    columns = {
        "jsd": ("JSD (nats)", 4),
        "kl": ("KL(p, q)", 4),
        "reverse_kl": ("KL(q, p)", 4),
        "log_beta": ("log beta", 3),
        "d_error": ("mean abs. of D - D*", 4),
        "boundary_distance": ("mean abs. of D - 1/2", 4),
        "seconds": ("seconds", 0),
    }
    rows = [
        [
            name,
            f"{_bound(settings, name):g}",
            *(mean_and_spread(last(name, key), digits) for key, (_, digits) in columns.items()),
        ]
        for name in curves
    ]
    table = Table(
        f"After {settings.steps} steps, exact; means over the generator's samples",
        ["divergence", "bound of F", *(title for title, _ in columns.values())],
        rows,
    )
    reached = [name for name in curves if np.mean(last(name, "jsd")) < JSD_GOAL]
    failed = [name for name, result in results.items() if result.get("failed")]
    findings = [
        f"The mean JSD is below {JSD_GOAL} nats for {len(reached)} of {len(curves)} divergences"
        + (f": {', '.join(reached)}." if reached else "."),
        f"Trainings that ended in inf or NaN: {', '.join(failed) if failed else 'none'}.",
    ]
    shown = settings.divergences[0]
    frames = results[f"{shown}_0"]["frames"]
    return Report(
        [table],
        findings,
        {
            "curves.png": lambda path: _draw_curves(path, curves),
            "boundary.png": lambda path: _draw_still(path, settings, curves, results),
            "boundary.gif": lambda path: _draw_animation(path, settings, frames),
        },
        {"final": {name: [curve[-1] for curve in seeds] for name, seeds in curves.items()}},
    )


def _draw_curves(path: Path, curves: dict[str, list[list[dict[str, float]]]]) -> None:
    panels = []
    for key, title, unit, logarithmic in (
        ("jsd", "Jensen-Shannon divergence", "nats", True),
        ("kl", "KL(data, generator)", "nats", True),
        ("log_beta", "log of the partition function", "log beta", False),
        ("d_error", "learnt D against D*, at the samples", "mean abs. difference", False),
    ):
        lines = {
            name: [([c["step"] for c in curve], [c[key] for c in curve]) for curve in seeds]
            for name, seeds in curves.items()
        }
        panels.append((title, "step", unit, lines, logarithmic))
    draw_curves(path, panels)


def _draw_still(
    path: Path, settings: Settings, curves: dict[str, list[list[dict[str, float]]]], results: dict[str, dict[str, Any]]
) -> None:
    """Data, and for each divergence the generator, D* and the learnt D, early and at the end."""
    made, axes = figure(6, len(curves) + 1, (1.9 * (len(curves) + 1), 12))
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0, 0].imshow(data_distribution(settings.grid).numpy(), cmap="magma")
    axes[0, 0].set_title("data p", fontsize=9)
    for axis in axes[1:, 0]:
        axis.set_visible(False)
    for column, (name, seeds) in enumerate(curves.items(), 1):
        frames = results[f"{name}_0"]["frames"]
        early = min(len(frames) // 4, len(frames) - 1)
        for half, number in enumerate((early, len(frames) - 1)):
            frame = frames[number]
            axes[3 * half, column].imshow(np.array(frame["q"]), cmap="magma")
            title = f"step {frame['step']}, JSD {seeds[0][number]['jsd']:.4f}"
            axes[3 * half, column].set_title(f"{name}\n{title}" if half == 0 else title, fontsize=8)
            for row, key in enumerate(("optimal", "learnt"), 1):
                axis = axes[3 * half + row, column]
                axis.imshow(np.array(frame[key]) / 255, cmap="coolwarm", vmin=0, vmax=1)
                axis.set_title({"optimal": "D* = p/(p + q)", "learnt": "learnt D"}[key], fontsize=8)
    made.savefig(path, dpi=64)


def _draw_animation(path: Path, settings: Settings, frames: list[dict[str, Any]]) -> None:
    """Data, generator, D* and learnt D side by side; blue is thought generated, red real, grey the boundary."""
    from matplotlib import colormaps
    from PIL import Image

    side = 2 * settings.grid
    density = data_distribution(settings.grid)
    data = colormaps["magma"]((density / density.max()).numpy())
    gap = np.ones((settings.grid, 1, 4))
    pictures = []
    for frame in frames:
        drawn = colormaps["magma"](np.array(frame["q"]) / 255)
        both = [colormaps["coolwarm"](np.array(frame[key]) / 255) for key in ("optimal", "learnt")]
        row = np.concatenate([data, gap, drawn, gap, both[0], gap, both[1]], axis=1)[..., :3]
        image = Image.fromarray((row * 255).astype(np.uint8))
        pictures.append(image.resize((side * image.width // settings.grid, side), Image.Resampling.NEAREST))
    durations = [150] * (len(pictures) - 1) + [2500]
    small = [picture.quantize(32, dither=Image.Dither.NONE) for picture in pictures]
    small[0].save(path, save_all=True, append_images=small[1:], duration=durations, loop=0, optimize=True)
