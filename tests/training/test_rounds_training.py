"""Trainings of generators in rounds, from the data to the saved model, for every kind of data."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from comparing import equal
from refusals import refusal
from small_training import CODES, SPACE
from torch import Tensor

import bgan_discrete
from bgan_discrete import InputError, MLPDiscriminator, Trainer, TrainingConfig
from bgan_discrete.distributions.rounds import RoundsCategorical
from bgan_discrete.kinds import get_kind
from bgan_discrete.nn import MaskedMLPGenerator
from bgan_discrete.parallel import Processes
from bgan_discrete.runs.fit import IN_MEMORY
from bgan_discrete.runs.train import FinishedRun, train
from bgan_discrete.training.checkpoint import load_checkpoint
from bgan_discrete.training.latents import LATENT_SHARE, LatentSource
from bgan_discrete.training.run_log import read_metrics

PRETRAIN, WARMUP, STEPS = 3, 2, 7
SMALL: dict[str, Any] = {
    "generator_width": 8, "generator_depth": 1, "discriminator_width": 8, "discriminator_depth": 1, "latent_size": 4,
    "batch_size": 8, "num_draws": 2, "max_steps": STEPS,
    "phases": f"likelihood={PRETRAIN / STEPS},discriminator={WARMUP / STEPS},game",
    "checkpoint_interval": 2, "keep_last": 9, "log_interval": 1, "sample_interval": 0, "num_samples": 0, "threads": 1,
    "device": "cpu",
}  # fmt: skip
LINES = ["red fish", "blue cat", "one fish", "two cats"] * 60


def table() -> dict[str, list[Any]]:
    """The last two columns tell most of each other, the first one nothing of any."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 3, 240)
    return {
        "alone": rng.integers(0, 2, 240).tolist(),
        "half": np.where(rng.random(240) < 0.5, colour, 0).tolist(),
        "colour": [("red", "green", "blue")[number] for number in colour],
        "again": [("RED", "GREEN", "BLUE")[number] for number in colour],
    }


PLANES = np.random.default_rng(1).integers(0, 3, (240, 4, 4))
DATA: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "table": ("arrays", table(), {}),
    "planes": ("arrays", PLANES, {}),
    "text": ("text", LINES, {"length": 8}),
    "images": ("images", None, {"dataset": "digits"}),
}


@pytest.fixture(autouse=True, scope="module")
def _without_curves() -> Any:
    """Drawing them takes longer than the small trainings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bgan_discrete.runs.train.plot_curves", lambda *_: None)
        yield


def trained(folder: Path, name: str, **options: Any) -> FinishedRun:
    """A run of the small options on one of the data, in a folder."""
    kind, data, own = DATA[name]
    values = {**SMALL, **own, "generator": "masked", "output_dir": str(folder), **options}
    if data is not None and "dataset" not in values:
        values["dataset"] = IN_MEMORY
    return train(get_kind(kind).config_class.from_flat(values), dataset=data, progress=False)


@pytest.mark.parametrize(
    ("name", "generator", "rounds"),
    [("table", "masked", 4), ("table", "causal", 4), ("planes", "masked", 4), ("planes", "causal", 16),
     ("text", "masked", 4), ("text", "causal", 8), ("images", "masked", 16)],
)  # fmt: skip
def test_likelihood_the_discriminator_alone_and_the_game(
    name: str, generator: str, rounds: int, tmp_path: Path
) -> None:
    run = trained(tmp_path / "run", name, generator=generator)
    assert run.summary.steps == STEPS

    # Who moves in which step.
    for line in read_metrics(run.folder.metrics):
        is_likelihood, is_game = line["step"] <= PRETRAIN, line["step"] > PRETRAIN + WARMUP
        assert ("likelihood_loss" in line) == is_likelihood
        assert ("discriminator_loss" in line) == (not is_likelihood)
        assert ("generator_loss" in line) == is_game

    # What was saved draws as what was trained, in its order.
    assert run.pipeline is not None
    trained_generator: Any = run.pipeline.generator
    loaded = bgan_discrete.load(run.folder.model)
    saved_generator: Any = loaded.generator
    assert saved_generator.num_rounds == rounds
    assert torch.equal(saved_generator.ranks, trained_generator.ranks)
    assert np.array_equal(loaded.generate(9, seed=1).codes, run.pipeline.generate(9, seed=1).codes)
    if name == "table":
        assert saved_generator.ranks[0] == 3, "the column that tells nothing of others comes last"

    # Other rounds.
    if generator == "masked":
        for number in (1, saved_generator.space.num_positions):
            assert len(loaded.generate(5, seed=1, rounds=number).codes) == 5
    else:
        assert f"rounds must be {rounds}, those of the training" in refusal(lambda: loaded.generate(5, rounds=1))


# --- runs that are resumed, and runs that repeat ---


@pytest.fixture(scope="module", params=["table", "text"])
def file_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, FinishedRun]:
    """A run on a file, with a checkpoint in each part of the training, and its configuration."""
    folder = tmp_path_factory.mktemp("runs")
    if request.param == "table":
        pd.DataFrame(table()).to_csv(folder / "rows.csv", index=False)
        kind, data = "arrays", {"dataset": str(folder / "rows.csv")}
    else:
        (folder / "lines.txt").write_text("\n".join(LINES), encoding="utf-8")
        kind, data = "text", {"dataset": str(folder / "lines.txt"), "length": 8}
    values = {**SMALL, **data, "generator": "masked", "output_dir": str(folder / "whole")}
    return (get_kind(kind).config_class, values), train(get_kind(kind).config_class.from_flat(values), progress=False)


def last_state(run: FinishedRun) -> dict[str, Any]:
    return load_checkpoint(run.folder.checkpoints / f"step-{STEPS:08d}", torch.device("cpu"))


@pytest.mark.parametrize("stop", [2, 4, 6], ids=["likelihood", "discriminator", "game"])
def test_a_resumed_run_equals_the_uninterrupted_one(file_run: tuple[Any, FinishedRun], stop: int) -> None:
    (config_class, values), whole = file_run
    state = last_state(whole)
    model = {path.name: path.read_bytes() for path in whole.folder.model.iterdir() if path.suffix == ".safetensors"}
    assert model
    resume = str(whole.folder.checkpoints / f"step-{stop:08d}")
    torch.manual_seed(99)  # what happened in between must not matter
    resumed = train(config_class.from_flat({**values, "resume": resume}), progress=False)
    assert resumed.summary.steps == STEPS
    assert equal(last_state(resumed), state)
    assert model == {name: (whole.folder.model / name).read_bytes() for name in model}


def test_a_seed_repeats_its_run_and_another_does_not(file_run: tuple[Any, FinishedRun], tmp_path: Path) -> None:
    (config_class, values), whole = file_run
    runs = [
        train(config_class.from_flat({**values, "output_dir": str(tmp_path / str(seed)), "seed": seed}), progress=False)
        for seed in (0, 1)
    ]
    assert equal(last_state(runs[0]), last_state(whole))
    assert not equal(last_state(runs[1])["generator"], last_state(whole)["generator"])


# --- labels, and latents of likelihood ---


def test_images_of_a_class_are_learnt_by_likelihood_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Tensor, Tensor | None]] = []
    estimate = RoundsCategorical.estimated_log_prob

    def watched(self: RoundsCategorical, codes: Tensor, labels: Tensor | None = None, rng: Any = None) -> Tensor:
        assert self.labels is not None
        asked.append((self.labels, labels))
        return estimate(self, codes, labels, rng)

    monkeypatch.setattr(RoundsCategorical, "estimated_log_prob", watched)
    run = trained(tmp_path / "run", "images", conditional=True)
    assert run.pipeline is not None and len(asked) == PRETRAIN
    for of_latents, of_samples in asked:
        assert of_samples is not None and torch.equal(of_latents, of_samples), "a latent for each sample"
        assert len(of_samples.unique()) > 1
    samples = bgan_discrete.load(run.folder.model).generate(6, seed=1, labels=[3, 5])
    assert samples.labels.tolist() == [3, 3, 3, 5, 5, 5]


class Two(Processes):
    """The first of two processes, of which the other has the same."""

    def gather(self, values: Tensor) -> Tensor:
        return torch.stack([values, values])


def test_likelihood_in_rounds_takes_a_share_of_the_latents() -> None:
    config = TrainingConfig(batch_size=16)

    def count(num_samples: int, rounds: int, processes: Processes, labels: Tensor | None = None) -> int:
        generator = MaskedMLPGenerator(SPACE, latent_size=4, width=8, depth=1, rounds=rounds)
        source = LatentSource(generator, config, processes, torch.Generator().manual_seed(0), is_mixture=True)
        return len(source.of_likelihood(num_samples, labels))

    one, two = Processes(0, 1), Two(0, 2)
    assert LATENT_SHARE == 4
    assert [count(16, 2, one), count(3, 2, one), count(16, 1, one)] == [4, 1, 16]
    assert [count(8, 2, two), count(8, 1, two)] == [4, 16], "of the whole batch"
    assert [count(8, 2, process, torch.zeros(8)) for process in (one, two)] == [8, 8], "each sample has its label"


# --- what is refused before any training ---


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("text", {"generator": "conv", "rounds": 2},
         "rounds is for generators that draw in rounds, masked and causal; leave it out with generator 'conv', got 2"),
        ("table", {"generator": "mlp", "cut": "equal"}, "cut is for generators that draw in rounds"),
        ("table", {"rounds": 5}, "rounds must be between 1 and the 4 positions of a sample, got 5"),
        ("table", {"rounds": 0}, "rounds must be at least 1, got 0"),
        ("table", {"rounds": "some"}, "rounds must be an integer or auto or all, got 'some'"),
        ("table", {"rounds": 2, "cut": "1,2"}, "cut must be 2 sizes of at least 1 that sum to the 4 positions"),
        ("table", {"rounds": 2, "cut": "thirds"}, "cut must be halving, equal or sizes such as 4,4,8,16, got 'thirds'"),
        ("table", {"rounds": 2, "cut": "9" * 5000}, "cut must be halving, equal or sizes such as 4,4,8,16, got '999"),
        ("table", {"order": "coarse_to_fine"}, "order 'coarse_to_fine' needs a plane"),
        ("text", {"order": "information"}, "order 'information' is for tables and arrays"),
        ("images", {"order": "information"}, "order 'information' is for tables and arrays"),
        ("images", {"generator": "causal"}, "generator 'causal' is unknown; known are conv, masked"),
        ("table", {"credit": "prefix"}, "credit must be 'alternatives' or 'sample' for arrays, got 'prefix'"),
        ("text", {"credit": "prefix"}, "credit 'prefix' is not for generators that draw in rounds"),
        ("table", {"credit": "sample", "estimator": "reinforce"}, "changes with a constant in F"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(name: str, options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    assert reason in refusal(lambda: trained(tmp_path / "run", name, **options))
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").glob("*.yaml"))


def test_a_discriminator_of_whole_samples_is_refused() -> None:
    generator = MaskedMLPGenerator(SPACE, latent_size=4, width=8, depth=1, rounds=2)
    config = TrainingConfig(num_draws=2, batch_size=8, device="cpu", threads=1)
    with pytest.raises(InputError, match="make the MLPDiscriminator with partial=True"):
        Trainer(generator, MLPDiscriminator(SPACE, width=8, depth=1), CODES, config)


def test_a_masked_generator_starts_the_game_in_other_rounds_and_a_causal_one_does_not(tmp_path: Path) -> None:
    trained(tmp_path / "likelihood", "table", max_steps=PRETRAIN, phases="likelihood")
    start = {"start_from": str(tmp_path / "likelihood"), "phases": "discriminator=0.5,game", "max_steps": 2}
    done = trained(tmp_path / "game", "table", rounds=2, cut="equal", **start)
    assert done.pipeline is not None
    assert done.pipeline.generator.num_rounds == 2
    trained(tmp_path / "causal", "table", generator="causal", rounds=4, max_steps=2, phases="likelihood")
    start["start_from"] = str(tmp_path / "causal")
    with pytest.raises(InputError, match=r"changed: rounds: 4 -> 2"):
        trained(tmp_path / "other", "table", generator="causal", rounds=2, **start)
