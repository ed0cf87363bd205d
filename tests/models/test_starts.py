"""Runs that begin with the weights of another: codes keep their meaning, and what does not fit is refused."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from bgan_discrete import InputError
from bgan_discrete.config import ArrayTrainingConfig, TextTrainingConfig, load_config_values
from bgan_discrete.runs.train import train
from bgan_discrete.training.checkpoint import list_checkpoints, load_checkpoint

SMALL: dict[str, Any] = {
    "generator_width": 8, "discriminator_width": 8, "generator_depth": 1, "discriminator_depth": 1, "batch_size": 8,
    "max_steps": 3, "num_samples": 0, "sample_interval": 0, "threads": 1, "device": "cpu", "log_interval": 2,
}  # fmt: skip
FIRST = "colour,size\n" + "red,s\nblue,m\ngreen,l\nred,l\n" * 20
OTHERS = "colour,size\n" + "green,s\nred,m\n" * 30


def array(folder: Path, **options: Any) -> ArrayTrainingConfig:
    return ArrayTrainingConfig.from_flat({**SMALL, "output_dir": str(folder), **options})


def state(run: Path) -> dict[str, Any]:
    return load_checkpoint(list_checkpoints(run / "checkpoints")[-1], torch.device("cpu"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tables with the same columns, and a run on the first."""
    place = tmp_path_factory.mktemp("starts")
    (place / "first.csv").write_text(FIRST, encoding="utf-8")
    (place / "others.csv").write_text(OTHERS, encoding="utf-8")
    (place / "strange.csv").write_text(OTHERS.replace("green", "violet"), encoding="utf-8")
    train(array(place / "run", dataset=str(place / "first.csv")))
    return place


def test_other_data_are_encoded_as_those_of_the_first_run(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Categories in another order of frequency, and one that does not occur: the codes still mean the same."""
    options = {"dataset": str(place / "others.csv"), "start_from": str(place / "run")}
    # A rate that moves nothing: what the run ends with is what it began with.
    train(array(tmp_path / "new", **options, generator_lr=1e-30, discriminator_lr=1e-30, phases="game"))
    assert "started from the weights of" in capsys.readouterr().out
    for name in ("codec.json", "config.json"):
        assert (tmp_path / "new" / "model" / name).read_bytes() == (place / "run" / "model" / name).read_bytes()
    first, new = state(place / "run"), state(tmp_path / "new")
    for who in ("generator", "discriminator"):
        for name, weight in first[who].items():
            torch.testing.assert_close(new[who][name], weight)
    assert load_config_values(tmp_path / "new" / "config.yaml")["start_from"] == str(place / "run")
    facts = json.loads((tmp_path / "new" / "facts.json").read_text(encoding="utf-8"))
    assert facts["started_from"] == f"the weights of {place / 'run' / 'checkpoints' / 'step-00000003'}"
    with pytest.raises(InputError, match="violet"):
        train(array(tmp_path / "x", dataset=str(place / "strange.csv"), start_from=str(place / "run")))


def test_what_a_run_may_start_from(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"dataset": str(place / "first.csv")}
    for number, source in enumerate(("run/checkpoints/step-00000003", "run/model", "run")):
        train(array(tmp_path / str(number), **data, start_from=str(place / source), estimator="rloo"))
        wanted = "with a new discriminator" if source == "run/model" else "step-00000003"
        assert wanted in next(line for line in capsys.readouterr().out.splitlines() if "started from" in line)
    text = tmp_path / "text"
    train(TextTrainingConfig.from_flat({**SMALL, "output_dir": str(text), "limit": 100, "length": 6}))
    shutil.copytree(text / "model", tmp_path / "copy" / "model")
    for options, told in (
        (
            {"start_from": str(place / "none")},
            "start_from must be a run, a checkpoint or a model, got .* does not exist",
        ),
        ({"start_from": str(place)}, "start_from must be a run, a checkpoint or a model, got .*model"),
        ({"start_from": str(place / "run"), "generator_width": 9}, "needs the generator of .* changed: width: 8 -> 9"),
        ({"start_from": str(place / "run"), "bins": 5}, "start_from keeps the codec of .* not change: bins: None -> 5"),
        ({"start_from": str(place / "run"), "output_dir": str(place)}, "start_from must be outside of output_dir"),
        ({"start_from": str(place / "run"), "output_dir": str(place / "run")}, "must be outside of output_dir"),
        ({"start_from": str(text)}, "start_from keeps the codec of"),
        (
            {"start_from": str(tmp_path / "copy")},
            "start_from must be of the same kind of data, got .* codec 'characters'",
        ),
    ):
        with pytest.raises(InputError, match=told) as caught:
            train(array(tmp_path / "x", **{"overwrite": True, **data, **options}))
        assert "\n" not in str(caught.value)
    assert (place / "run" / "model").is_dir() and not (tmp_path / "x").exists()


def test_codes_that_no_codec_explains_are_not_learnt_from(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    for source in ("run", "run/checkpoints/step-00000003"):
        with pytest.raises(InputError, match="no model with it, whose codec says what codes mean; a resumed run lea"):
            train(array(tmp_path / "x", start_from=str(tmp_path / source), dataset=str(place / "first.csv")))


def test_a_run_that_started_from_another_resumes(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "run", tmp_path / "run")
    config = array(
        tmp_path / "new", dataset=str(place / "first.csv"), start_from=str(tmp_path / "run"), max_steps=4,
        checkpoint_interval=2, keep_last=9,
    )  # fmt: skip
    train(config)
    whole = state(tmp_path / "new")
    shutil.rmtree(tmp_path / "new" / "checkpoints" / "step-00000004")

    def resumed(start_from: str | None) -> ArrayTrainingConfig:
        return dataclasses.replace(config, run=dataclasses.replace(config.run, resume="latest", start_from=start_from))

    with pytest.raises(InputError, match=r"changed: start_from: .* -> elsewhere .*--output-dir NEW --start-from"):
        train(resumed("elsewhere"))
    shutil.move(tmp_path / "run", tmp_path / "away")  # what it started from is not needed any more
    train(resumed(str(tmp_path / "run")))
    again = state(tmp_path / "new")
    assert all(torch.equal(again["generator"][name], weight) for name, weight in whole["generator"].items())
    # Killed before its first checkpoint, it begins where it began.
    shutil.move(tmp_path / "away", tmp_path / "run")
    for part in ("checkpoints", "model"):
        shutil.rmtree(tmp_path / "new" / part)
    with pytest.raises(InputError, match=r"changed: start_from: .* -> None"):
        train(resumed(None))
    train(resumed(str(tmp_path / "run")))
    again = state(tmp_path / "new")
    assert all(torch.equal(again["generator"][name], weight) for name, weight in whole["generator"].items())


def test_text_keeps_its_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abc\nbca\ncab\nbac\n" * 20, encoding="utf-8")
    (tmp_path / "b.txt").write_text("ca\nac\ncc\naa\n" * 20, encoding="utf-8")
    for name, more in (("a", {}), ("b", {"start_from": str(tmp_path / "a")})):
        options = {**SMALL, "length": 5, "generator": "mlp", "discriminator": "mlp", **more}
        options |= {"dataset": str(tmp_path / f"{name}.txt"), "output_dir": str(tmp_path / name)}
        train(TextTrainingConfig.from_flat(options))
    assert (tmp_path / "a/model/codec.json").read_bytes() == (tmp_path / "b/model/codec.json").read_bytes()
