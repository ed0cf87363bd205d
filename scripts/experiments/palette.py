"""Colour images in sixteen colours, from end to end as the script trains them: pictures and figures."""

import dataclasses
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from experiments.laboratory import Part, Report, Table, draw_images, image_file, mean_and_spread

from bgan_discrete.config import ImageTrainingConfig
from bgan_discrete.errors import NonFiniteError
from bgan_discrete.kinds import get_kind
from bgan_discrete.runs.train import train
from bgan_discrete.sources import ImageData

TITLE = "Colour images in sixteen colours"
QUESTION = (
    "CIFAR-10 at {side} x {side} pixels in a palette of {num_categories} learnt colours, {steps} generator steps: what "
    "do the samples look like, and how far from held-out images are they?"
)


@dataclass(frozen=True)
class Settings:
    """One scale of the experiment."""

    seeds: int
    steps: int
    side: int
    limit: int
    width: int
    samples: int
    num_categories: int = 16
    num_draws: int = 10
    batch_size: int = 32
    penalty_weight: float = 0.3


SCALES = {
    "smoke": Settings(seeds=3, steps=2, side=8, limit=300, width=4, samples=50),
    "cpu": Settings(seeds=3, steps=2000, side=32, limit=20_000, width=16, samples=2000),
    "full": Settings(seeds=5, steps=60_000, side=32, limit=50_000, width=64, samples=10_000),
}

SHOWN = 32


def parts(settings: Settings) -> list[Part]:
    """One training for each seed."""
    return [Part(f"palette_{seed}", {"seed": seed}) for seed in range(settings.seeds)]


def check_data(settings: Settings, data_dir: Path | None) -> None:
    """Find the data before any work."""
    get_kind("images").load(_config(settings, 0, data_dir, "unused").data)


def _config(settings: Settings, seed: int, data_dir: Path | None, folder: str) -> ImageTrainingConfig:
    return ImageTrainingConfig.from_flat(
        {
            "dataset": image_file(data_dir, "cifar10", "uoft-cs/cifar10"),
            "column": "img",
            "label_column": "label",
            "codec": "palette",
            "num_categories": settings.num_categories,
            "resize": None if settings.side == 32 else str(settings.side),
            "limit": settings.limit,
            "latent_size": 64,
            "generator_width": settings.width,
            "generator_depth": 1,
            "discriminator_width": settings.width,
            "discriminator_depth": 1,
            "num_draws": settings.num_draws,
            "batch_size": settings.batch_size,
            "penalty_weight": settings.penalty_weight,
            "generator_lr": 0.002,
            "max_steps": settings.steps,
            "checkpoint_interval": 0,
            "sample_interval": 0,
            "num_samples": settings.samples,
            "seed": seed,
            "output_dir": folder,
        }
    )


def run(settings: Settings, seed: int, data_dir: Path | None = None) -> dict[str, Any]:
    """Train as ``scripts/train_images.py`` does; keep the figures, and some images of the first seed."""
    folder = tempfile.mkdtemp(prefix="palette")
    try:
        config = _config(settings, seed, data_dir, folder)
        try:
            trained = train(config)
        except NonFiniteError as error:
            return {"failed": str(error)}
        if trained.report is None:
            raise KeyboardInterrupt
        result: dict[str, Any] = {
            "failed": None,
            "figures": trained.report.to_dict()["figures"],
            "training_seconds": trained.summary.seconds,
            "shown": [],
            "data": [],
        }
        if seed == 0:  # the pictures
            from bgan_discrete.models.pipeline import Pipeline

            made = Pipeline.from_pretrained(trained.folder.model).generate(SHOWN, seed=0).values
            data: ImageData = get_kind("images").load(config.data)
            result["shown"] = made.astype(int).tolist()
            result["data"] = data.codec.decode(np.asarray(data.heldout_codes[:SHOWN])).astype(int).tolist()
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def report(settings: Settings, results: dict[str, dict[str, Any]]) -> Report:
    """The figures over seeds, with floor and baseline of the first."""
    runs = [run for run in results.values() if not run["failed"]]
    if not runs:
        return Report([], ["Every training ended in inf or NaN."], {})
    rows = []
    for name, figure in runs[0]["figures"].items():
        values = [run["figures"][name]["value"] for run in runs]
        beside = (figure["floor"], figure["baselines"]["independent"])
        cells = ["-" if value is None else f"{value:.3f}" for value in beside]
        rows.append(
            [
                figure["title"],
                mean_and_spread([value if value is not None else float("nan") for value in values]),
                *cells,
            ]
        )
    table = Table(
        f"{settings.samples:,} samples after {settings.steps} steps", ["figure", "model", "floor", "baseline"], rows
    )
    seconds = mean_and_spread([run["training_seconds"] for run in runs], 0)
    shown = {"data in the palette": np.array(runs[0]["data"]), "samples": np.array(runs[0]["shown"])}
    return Report(
        [table],
        [f"Training took {seconds} s."],
        {"samples.png": lambda path: draw_images(path, shown)},
        {"figures": [run["figures"] for run in runs], "settings": dataclasses.asdict(settings)},
    )
