"""Discrete MNIST judged by critics that the generators never played against.

BGAN with each divergence, its generator by the weights or by the divergence's own gradient (estimator `matched`, where
neither side runs away), and WGAN-GP on soft outputs; their samples, their most probable pixels ("thresholded") and
their mean outputs are judged apart, since a critic that sees grey where the data are black and white needs no more.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiments.laboratory import Part, Report, Table, draw_images, load_mnist, mean_and_spread, start_match
from torch import nn

from bgan_discrete.codecs import CodecOptions
from bgan_discrete.distributions.sampling import sample_latents
from bgan_discrete.errors import NonFiniteError
from bgan_discrete.game.divergences import DIVERGENCES, get_divergence
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.rules import Game
from bgan_discrete.game.step import adversarial_step
from bgan_discrete.metrics import critic_divergence, log_frequencies
from bgan_discrete.nn import ConvDiscriminator, ConvGenerator
from bgan_discrete.rivals.relaxations import get_relaxation, relaxed_generator_step
from bgan_discrete.rivals.wasserstein import wasserstein_step
from bgan_discrete.sources import ImageData

TITLE = "Divergences, by fresh critics"
QUESTION = (
    "Binarised MNIST, {steps} generator steps: how far from held-out data are the samples, the thresholded and the "
    "mean outputs, as newly trained critics say?"
)

KINDS = ("jensen_shannon", "reverse_kl", "wasserstein")
OUTPUTS = ("samples", "thresholded", "mean")
MATCHED = ("jensen_shannon", "kl", "reverse_kl", "squared_hellinger")
CONTENDERS = (*(name for name in DIVERGENCES if name != "gan"), *(f"matched_{name}" for name in MATCHED), "wgan_gp")


@dataclass(frozen=True)
class Settings:
    """One scale of the experiment."""

    seeds: int
    steps: int
    width: int
    samples: int
    critic_steps: int
    side: int = 14
    limit: int = 10_000
    num_draws: int = 10
    batch_size: int = 64
    latent_size: int = 32
    penalty_weight: float = 0.3
    wgan_penalty_weight: float = 10.0
    generator_lr: float = 2e-3
    discriminator_lr: float = 2e-3


SCALES = {
    "smoke": Settings(seeds=3, steps=2, width=4, samples=40, critic_steps=2, side=8, limit=400),
    "cpu": Settings(seeds=3, steps=2000, width=12, samples=2000, critic_steps=400),
    "full": Settings(seeds=5, steps=20_000, width=48, samples=10_000, critic_steps=4000, side=28, limit=60_000),
}


def parts(settings: Settings) -> list[Part]:
    """One training for each contender and seed, with its critics."""
    return [
        Part(f"{name}_{seed}", {"contender": name, "seed": seed})
        for seed in range(settings.seeds)
        for name in (*CONTENDERS, "real")
    ]


def check_data(settings: Settings, data_dir: Path | None) -> None:
    """Find the data before any work."""
    _load(settings, data_dir)


def _load(settings: Settings, data_dir: Path | None) -> ImageData:
    return load_mnist(data_dir, CodecOptions(name="binary"), settings.side, settings.limit)


def run(settings: Settings, contender: str, seed: int, data_dir: Path | None = None) -> dict[str, Any]:
    """Train once and judge; ``real`` puts training images in the samples' place, which is the floor."""
    data = _load(settings, data_dir)
    heldout = np.asarray(data.heldout_codes[: settings.samples])
    if contender == "real":
        rows = np.random.default_rng(seed).choice(len(data.codes), len(heldout), replace=False)
        outputs: dict[str, Any] = {"samples": np.asarray(data.codes[np.sort(rows)])}
        return {"failed": None, "scores": _scores(settings, data, heldout, outputs, seed), "shown": []}
    try:
        generator = _train(settings, data, contender, seed)
    except NonFiniteError as error:
        return {"failed": str(error), "scores": {}, "shown": []}
    outputs = _outputs(settings, generator, len(heldout))
    shown = outputs["samples"][:32].astype(int).tolist() if seed == 0 else []
    return {"failed": None, "scores": _scores(settings, data, heldout, outputs, seed), "shown": shown}


def _train(settings: Settings, data: ImageData, contender: str, seed: int) -> ConvGenerator:
    torch.manual_seed(seed)
    generator = ConvGenerator(data.space, settings.latent_size, settings.width, 1)
    generator.set_output_bias(torch.from_numpy(log_frequencies(data.codes, 2)))
    discriminator = ConvDiscriminator(data.space, settings.width, 1)
    is_wgan = contender == "wgan_gp"
    estimator = "matched" if contender.startswith("matched_") else "bgan_centered"
    divergence = get_divergence("gan" if is_wgan else contender.removeprefix("matched_"))
    game = Game(
        estimator=make_estimator(estimator, divergence=divergence),
        num_draws=settings.num_draws,
        divergence=divergence,
        penalty=get_penalty("r1"),
        penalty_weight=settings.penalty_weight,
    )
    match = start_match(
        data.codes,
        (generator, discriminator),
        rates=(settings.generator_lr, settings.discriminator_lr),
        betas=(0.5, 0.9) if is_wgan else (0.0, 0.99),
        batch_size=settings.batch_size,
        latent_size=settings.latent_size,
        seed=seed,
        score_chunk=256,
    )
    softmax, critic_steps = get_relaxation("softmax"), 5

    def latents() -> torch.Tensor:
        return match.latents(settings.batch_size)

    for step in range(settings.steps):
        if not is_wgan:
            real = match.real(step)
            scale = 4 if step % 4 == 3 else 0
            adversarial_step(game, match.players, real, latents(), penalty_scale=scale, rng=match.rng)
            continue
        for repeat in range(critic_steps):
            real = match.real(step * critic_steps + repeat)
            wasserstein_step(match.players, real, latents(), settings.wgan_penalty_weight, match.rng)
        relaxed_generator_step(match.players, latents(), softmax, match.rng)
    return generator


@torch.no_grad()
def _outputs(settings: Settings, generator: ConvGenerator, count: int) -> dict[str, Any]:
    """One sample, the most probable pixels, and the probabilities themselves, of the same latents."""
    rng = torch.Generator().manual_seed(1)
    found: dict[str, list[Any]] = {name: [] for name in OUTPUTS}
    for start in range(0, count, 500):
        size = min(500, count - start)
        distribution = generator.eval()(sample_latents(size, settings.latent_size, "normal", rng))
        found["samples"].append(distribution.sample(1, rng)[0].numpy())
        found["thresholded"].append(distribution.logits.argmax(-1).to(torch.uint8).numpy())
        found["mean"].append(distribution.log_probs.exp().numpy())
    return {name: np.concatenate(chunks) for name, chunks in found.items()}


def _scores(settings: Settings, data: ImageData, heldout: Any, outputs: dict[str, Any], seed: int) -> dict[str, Any]:
    def critic() -> nn.Module:
        return ConvDiscriminator(data.space, settings.width, 1)

    def judge(made: Any, kind: str) -> float:
        try:
            return critic_divergence(heldout, made, 2, critic, kind, steps=settings.critic_steps, seed=seed)
        except NonFiniteError:
            return float("nan")

    return {name: {kind: judge(made, kind) for kind in KINDS} for name, made in outputs.items()}


def report(settings: Settings, results: dict[str, dict[str, Any]]) -> Report:
    """One table for each critic."""
    tables, values = [], {}
    for kind in KINDS:
        rows = []
        for name in (*CONTENDERS, "real"):
            cells = [name]
            for output in OUTPUTS:
                runs = [results[f"{name}_{seed}"]["scores"] for seed in range(settings.seeds)]
                kept = [run[output][kind] if output in run else None for run in runs]
                found = [float("nan") if value is None else float(value) for value in kept]
                cells.append(mean_and_spread(found))
                values[f"{kind}/{name}/{output}"] = found
            rows.append(cells)
        unit = {"wasserstein": "one-hot distance", "jensen_shannon": "2 JSD, nats"}.get(kind, "nats")
        tables.append(
            Table(
                f"{kind} by a fresh critic ({unit}); 'real': training images, the floor", ["trained by", *OUTPUTS], rows
            )
        )
    failed = [name for name, result in results.items() if result["failed"]]
    findings = [f"Trainings that ended in inf or NaN: {', '.join(failed) if failed else 'none'}."]
    judged = {
        name: float(np.mean(values[f"jensen_shannon/{name}/samples"]))
        for name in CONTENDERS
        if np.isfinite(values[f"jensen_shannon/{name}/samples"]).all()
    }
    if judged:
        findings.append(f"Nearest by its samples (jensen_shannon): {min(judged, key=lambda name: judged[name])}.")
    shown = {
        name: np.array(results[f"{name}_0"]["shown"]) * 255.0 for name in CONTENDERS if results[f"{name}_0"]["shown"]
    }
    return Report(tables, findings, {"samples.png": lambda path: draw_images(path, shown)}, values)
