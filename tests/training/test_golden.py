"""The losses of the first steps of each recipe, pinned: a change of the training shows here, wanted or not.

The files are written anew only by ``pytest tests/training/test_golden.py --regenerate-golden``. The steps are taken in
float64: in float32 another order of a sum can flip a draw, after which all figures differ, so that a faster form of the
same thing could not be told from another thing. (A draw still depends on a softmax in float32, so that another
processor may flip one.)
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from bgan_discrete.config import ArrayTrainingConfig, ImageTrainingConfig, ScriptConfig, TextTrainingConfig
from bgan_discrete.training.run_log import read_metrics

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"
RECIPES = sorted((ROOT / "scripts" / "recipes").glob("*.yaml"))
STEPS = 8
"""Two of them with the lazy penalty."""
EXAMPLES = ("records", "motifs", "table")
"""Data sets that a program makes: a recipe that names one keeps it."""

RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""Tolerance of a figure, of which six digits are kept. Another order of a convolution's sums changes 1e-13 of it."""

FIGURES = (
    "likelihood_loss", "generator_loss", "discriminator_loss", "d_real", "d_fake", "log_beta", "ess_fraction",
    "log_weight_std", "generator_gradient_norm", "discriminator_gradient_norm",
)  # fmt: skip


class StepsTakenError(Exception):
    """The wanted steps were taken."""


def pictures(side: int, channels: int) -> np.ndarray:
    """Rings and bars of random colours, uint8 ``[120, side, side]`` or ``[120, side, side, 3]``."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    centre, width = rng.uniform(0.3, 0.7, (2, 120, 1, 1)), rng.uniform(0.05, 0.2, (120, 1, 1))
    ring = np.abs(np.hypot(y - centre[0], x - centre[1]) - 0.25) < width
    shade = rng.integers(100, 256, (120, 1, 1, channels))
    images = (ring[..., None] * shade + (x > centre[1])[..., None] * 40).clip(0, 255).astype(np.uint8)
    return images[..., 0] if channels == 1 else images


def lines() -> str:
    """Sentences of a few words, longer than a window."""
    rng = np.random.default_rng(0)
    words = [
        "a", "the", "man", "woman", "dog", "street", "red", "small", "sits", "walks", "on", "in", "with", "and", "near",
        "table",
    ]  # fmt: skip
    return "\n".join(" ".join(rng.choice(words, 14)) for _ in range(300)) + "\n"


def configuration(recipe: Path, folder: Path) -> ScriptConfig:
    """The recipe's options, on data that are made here."""
    values: dict[str, Any] = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    values |= {
        "output_dir": str(folder / "run"), "log_interval": 1, "sample_interval": 0, "checkpoint_interval": 0,
        "num_samples": 0, "threads": 1, "device": "cpu", "max_steps": 10_000, "keep": "last",
    }  # fmt: skip
    if "likelihood" in values.get("phases", ""):  # steps of each phase, the game last, and small ones
        values |= {"phases": "likelihood=0.0003,discriminator=0.0002,game", "batch_size": 8}
    if "dataset" not in values and "tokenizer" not in values:
        levels = np.random.default_rng(0).integers(0, 5, (60, 10, 10), dtype=np.uint8)
        np.save(folder / "levels.npy", levels)
        return ArrayTrainingConfig.from_flat({**values, "dataset": str(folder / "levels.npy")})
    if "tokenizer" in values:
        if values.get("dataset") != "arithmetic":
            (folder / "lines.txt").write_text(lines(), encoding="utf-8")
            values["dataset"] = str(folder / "lines.txt")
        return TextTrainingConfig.from_flat(values)
    if values["dataset"] in EXAMPLES:
        return ArrayTrainingConfig.from_flat(values)
    if values["dataset"] == "digits":
        return ImageTrainingConfig.from_flat(values)
    grey = values.get("codec") == "binary"
    np.save(folder / "images.npy", pictures(28 if grey else 32, 1 if grey else 3))
    values |= {"dataset": str(folder / "images.npy"), "column": None, "label_column": None}
    return ImageTrainingConfig.from_flat(values)


def first_steps(recipe: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """The figures of the first steps, with the rates of the recipe's own length."""
    from bgan_discrete.runs.train import train
    from bgan_discrete.training.trainer import Trainer

    def first_steps_alone(self: Trainer, **_: Any) -> None:
        found = []
        while self.step < STEPS:
            self._set_learning_rates()
            self.state.means.add(self._train_step())
            self.state.step += 1
            found.append({key: value for key, value in self._figures("", 1.0).items() if key != "phase"})
            self._course.after_step(self.step / self.config.max_steps)
        (folder / "run" / "metrics.jsonl").write_text(
            "".join(json.dumps({"step": number, **line}) + "\n" for number, line in enumerate(found, 1)),
            encoding="utf-8",
        )
        raise StepsTakenError

    monkeypatch.setattr(Trainer, "train", first_steps_alone)
    config = configuration(recipe, folder)
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(StepsTakenError):
            train(config)
    finally:
        torch.set_default_dtype(torch.float32)
    kept = read_metrics(folder / "run" / "metrics.jsonl")
    return [{name: line[name] for name in FIGURES if name in line} for line in kept]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_first_steps_of_a_recipe_are_as_they_were(
    recipe: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = first_steps(recipe, tmp_path, monkeypatch)
    path = GOLDEN / f"{recipe.stem}.json"
    if request.config.getoption("--regenerate-golden"):
        names = [name for name in FIGURES if any(name in line for line in found)]
        columns = {name: [rounded(line.get(name)) for line in found] for name in names}
        # A line for each figure, so that a difference shows which ones have changed.
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in columns.items())
        text = f'{{\n "torch": {json.dumps(torch.__version__)},\n "figures": {{\n{rows}\n }}\n}}\n'
        path.write_text(text, encoding="utf-8")
        pytest.skip(f"{path.name} was written anew")
    expected = json.loads(path.read_text(encoding="utf-8"))["figures"]
    assert set(expected) == {name for line in found for name in line}
    for name, values in expected.items():
        for step, (value, line) in enumerate(zip(values, found, strict=True), 1):
            wanted = None if value is None else pytest.approx(value, rel=RELATIVE, abs=ABSOLUTE)
            assert line.get(name) == wanted, f"{name} of step {step}"


def rounded(value: float | None) -> float | None:
    """Six digits of a figure; None in a step without it."""
    return None if value is None else float(f"{value:.6g}")


def test_every_golden_file_belongs_to_a_recipe() -> None:
    files = {path.stem for path in GOLDEN.glob("*.json")}
    assert files == {path.stem for path in RECIPES}
