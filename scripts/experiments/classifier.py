"""Adversarial classification: a classifier p(y | x) as the generator, and a discriminator that sees the pair.

The data are pairs of an image and its label; M labels are drawn for each image. The same network is trained by
cross-entropy beside it, with as many updates. It also shows that the steps serve a generator that is conditioned on
data.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from experiments.laboratory import Part, Report, Table, draw_curves, image_file, mean_and_spread, start_match
from torch import Tensor, nn

from bgan_discrete.codecs import CodecOptions
from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.distributions.sampling import as_index
from bgan_discrete.errors import NonFiniteError
from bgan_discrete.game.credit import make_credit
from bgan_discrete.game.divergences import DIVERGENCES, get_divergence
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.game.rules import Game
from bgan_discrete.game.step import adversarial_step, discriminator_step
from bgan_discrete.sources import ImageData, load_images
from bgan_discrete.space import SampleSpace

TITLE = "A classifier trained adversarially"
QUESTION = (
    "A network p(y | x) of CIFAR-10 labels, trained for {steps} updates only by what a discriminator says of its drawn "
    "labels: how near does it come to the same network trained by cross-entropy, under each divergence?"
)

LOG_RATIO_BOUND = 6.0
"""F stays within, approached smoothly: some divergences take exp 2F."""

LEVELS = 64
"""Grey levels of a colour channel that the images are read with."""


@dataclass(frozen=True)
class Settings:
    """One scale of the experiment."""

    seeds: int
    steps: int
    side: int
    images: int
    width: int
    moments: int
    num_draws: int = 10
    batch_size: int = 64
    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    discriminator_steps: int = 4


SCALES = {
    "smoke": Settings(seeds=3, steps=4, side=8, images=300, width=4, moments=2),
    "cpu": Settings(seeds=3, steps=1500, side=16, images=10_000, width=16, moments=5),
    "full": Settings(seeds=5, steps=60_000, side=32, images=50_000, width=96, moments=12),
}


def _contenders() -> dict[str, dict[str, Any]]:
    """Name -> what it is trained by."""
    found: dict[str, dict[str, Any]] = {"cross_entropy": {"divergence": None, "estimator": None}}
    for name in DIVERGENCES:
        if name != "gan":  # as jensen_shannon, but for a constant
            found[name] = {"divergence": name, "estimator": "bgan_centered"}
    found["reinforce"] = {"divergence": "gan", "estimator": "reinforce"}
    found["all_labels"] = {"divergence": "gan", "estimator": "bgan_centered", "credit": "alternatives"}
    return found


def parts(settings: Settings) -> list[Part]:
    """One training for each contender and seed."""
    return [
        Part(f"{name}_{seed}", {"contender": name, "seed": seed})
        for seed in range(settings.seeds)
        for name in _contenders()
    ]


def check_data(settings: Settings, data_dir: Path | None) -> None:
    """Find the data before any work."""
    _load(settings, data_dir)


def _load(settings: Settings, data_dir: Path | None) -> ImageData:
    return load_images(
        image_file(data_dir, "cifar10", "uoft-cs/cifar10"),
        codec=CodecOptions(name="levels", num_categories=LEVELS),
        resize=str(settings.side),
        limit=settings.images,
    )


class _Trunk(nn.Module):
    """Convolutions at halving sizes -> features ``[N, 4 width]``."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, outputs = 3, width
        while side > 4:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(4, outputs), nn.ReLU(), nn.MaxPool2d(2)]
            inputs, outputs, side = outputs, min(2 * outputs, 4 * width), side // 2
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * side * side, 4 * width), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.layers(images))


class LabelGenerator(Generator):
    """Images ``[N, 3, H, W]`` -> a categorical over their labels; the latent is not used."""

    def __init__(self, num_classes: int, width: int, side: int) -> None:
        super().__init__(SampleSpace((1,), num_classes), latent_size=1)
        self.trunk, self.to_logits = _Trunk(width, side), nn.Linear(4 * width, num_classes)

    def forward(self, latents: Tensor, images: Tensor | None = None) -> FactorizedCategorical:
        """A distribution of one code, the label."""
        assert images is not None
        return FactorizedCategorical(self.to_logits(self.trunk(images))[:, None])


class PairDiscriminator(Discriminator):
    """F of an image and a label, whose images are read once for all labels that go with them."""

    credits = ("sample", "alternatives")

    def __init__(self, num_classes: int, width: int, side: int) -> None:
        super().__init__(SampleSpace((1,), num_classes))
        self.trunk, self.to_log_ratios = _Trunk(width, side), nn.Linear(4 * width, num_classes)

    def alternatives(self, codes: Tensor, images: Tensor | None = None) -> Tensor:
        """``[N, 1, classes]``: F of each image with each label."""
        assert images is not None
        log_ratios = self.to_log_ratios(self.trunk(images))
        return (LOG_RATIO_BOUND * torch.tanh(log_ratios / LOG_RATIO_BOUND))[:, None]

    def forward(self, samples: Tensor, images: Tensor | None = None) -> Tensor:
        """``[B]`` of labels ``[B, 1]``; label i belongs to image i % N."""
        every = self.alternatives(samples, images)[:, 0]
        return every.repeat(len(samples) // len(every), 1).gather(1, as_index(samples)).squeeze(1)


def run(settings: Settings, contender: str, seed: int, data_dir: Path | None = None) -> dict[str, Any]:
    """Train once; the test error at some moments."""
    data = _load(settings, data_dir)
    assert data.labels is not None and data.heldout_labels is not None
    images, labels = _images(data.codes), torch.from_numpy(np.asarray(data.labels)).to(torch.uint8)
    test_images, test_labels = _images(data.heldout_codes), torch.from_numpy(np.asarray(data.heldout_labels)).long()
    options, num_classes = _contenders()[contender], int(labels.max()) + 1
    torch.manual_seed(seed)
    generator = LabelGenerator(num_classes, settings.width, settings.side)
    discriminator = PairDiscriminator(num_classes, settings.width, settings.side)
    match = start_match(
        labels[:, None],
        (generator, discriminator),
        rates=(settings.generator_lr, settings.discriminator_lr),
        betas=(0.5, 0.99),
        batch_size=settings.batch_size,
        seed=seed,
    )
    players, game = match.players, None
    (_, generator_optimizer), (_, discriminator_optimizer) = players.side("generator"), players.side("discriminator")
    if options["estimator"] is not None:
        game = Game(
            estimator=make_estimator(options["estimator"]),
            # All labels are weighed at once, whatever was drawn: one draw says all.
            num_draws=1 if contender == "all_labels" else settings.num_draws,
            divergence=get_divergence(options["divergence"]),
            discriminator_draws=1 if contender == "all_labels" else settings.num_draws,
            credit=make_credit(options.get("credit", "sample")),
        )
    errors, started, measuring = [], time.perf_counter(), 0.0
    times = {round(settings.steps * i / settings.moments) for i in range(1, settings.moments + 1)}
    try:
        for step in range(settings.steps):
            share = max(min(1.0, 2 * (1 - step / settings.steps)), 0.02)
            generator_optimizer.param_groups[0]["lr"] = settings.generator_lr * share
            discriminator_optimizer.param_groups[0]["lr"] = settings.discriminator_lr * share
            rows = match.rows(step * settings.discriminator_steps)
            batch, real = images[rows], match.codes[rows]
            latents = torch.zeros(len(rows), 1)
            if game is None:
                loss = -generator(latents, batch).log_prob(real[None]).mean()
                generator_optimizer.zero_grad()
                loss.backward()
                generator_optimizer.step()
            else:
                # The generator can be no better than its discriminator, which has to learn the pictures first.
                for repeat in range(1, settings.discriminator_steps):
                    other = match.rows(step * settings.discriminator_steps + repeat)
                    discriminator_step(game, players, match.codes[other], latents, images[other], rng=match.rng)
                adversarial_step(game, players, real, latents, batch, rng=match.rng)
            if step + 1 in times:
                pause = time.perf_counter()
                error = _error(generator, test_images, test_labels)
                errors.append({"step": step + 1, "seconds": pause - started - measuring, "error": error})
                measuring += time.perf_counter() - pause
    except NonFiniteError as failure:
        return {"errors": errors, "failed": str(failure)}
    return {"errors": errors, "failed": None}


def _images(codes: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(codes)).float() / (LEVELS - 1) * 2 - 1


@torch.no_grad()
def _error(generator: LabelGenerator, images: Tensor, labels: Tensor) -> float:
    """Share of test images whose most probable label is wrong, in percent."""
    generator.eval()
    wrong = 0
    for start in range(0, len(images), 500):
        part = images[start : start + 500]
        found = generator(torch.zeros(len(part), 1), part).logits[:, 0].argmax(-1)
        wrong += int((found != labels[start : start + 500]).sum())
    generator.train()
    return 100 * wrong / len(images)


def report(settings: Settings, results: dict[str, dict[str, Any]]) -> Report:
    """The test errors, and their gap to cross-entropy."""
    runs = {name: [results[f"{name}_{seed}"] for seed in range(settings.seeds)] for name in _contenders()}
    final = {
        name: [run["errors"][-1]["error"] if not run["failed"] else float("nan") for run in seeds]
        for name, seeds in runs.items()
    }
    base = float(np.mean(final["cross_entropy"]))
    table = Table(
        f"Test error (%) after {settings.steps} updates of {settings.batch_size} images, M = {settings.num_draws}",
        ["trained by", "error", "gap to cross-entropy", "seconds"],
        [
            [
                name,
                mean_and_spread(values, 1),
                "-" if name == "cross_entropy" or not np.isfinite(values).all() else f"{np.mean(values) - base:+.1f}",
                mean_and_spread([run["errors"][-1]["seconds"] for run in runs[name] if not run["failed"]], 0),
            ]
            for name, values in final.items()
        ],
    )
    divergences = [name for name in DIVERGENCES if name in final and np.isfinite(final[name]).all()]
    findings = []
    if divergences:
        best = min(divergences, key=lambda name: float(np.mean(final[name])))
        gap = float(np.mean(final[best])) - base
        findings.append(f"The best divergence, {best}, stands {gap:+.1f} points from cross-entropy at equal updates.")
    lines = {
        name: [([e["step"] for e in run["errors"]], [e["error"] for e in run["errors"]]) for run in seeds]
        for name, seeds in runs.items()
        if all(run["errors"] for run in seeds)
    }
    panels: Any = [("test error", "update", "percent", lines)]
    return Report([table], findings, {"curves.png": lambda path: draw_curves(path, panels, 1)}, {"error": final})
