"""Flags from configuration classes, and errors in one line."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import refused

from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.calls import Call, parse_evaluation, parse_training
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.command_line.verbs import _use_threads, parser_of
from bgan_discrete.config import (
    ArrayDataConfig,
    ImageDataConfig,
    ImageModelConfig,
    ImageTrainingConfig,
    RunConfig,
    TextTrainingConfig,
    TrainingConfig,
    folder_of_run,
)
from bgan_discrete.errors import BGANError, InputError
from bgan_discrete.sources.column_settings import split_names

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = (RunConfig, ImageDataConfig, ImageModelConfig, TrainingConfig)


def full_parser() -> Any:
    parser = Parser("Train.", ["example"], "bgan train")
    parser.add_config()
    for section in SECTIONS:
        parser.add_section(section, section.__name__)
    return parser


def array_parser() -> Parser:
    parser = Parser("Arrays.", ["an example"], "bgan train")
    parser.add_section(ArrayDataConfig, "data")
    return parser


def test_no_flags_give_the_defaults() -> None:
    assert ImageTrainingConfig.from_flat(full_parser().values([])) == ImageTrainingConfig()


def test_every_field_is_a_flag_with_help() -> None:
    text = full_parser().format_help()
    for section in SECTIONS:
        for entry in fields(section):
            assert f"--{entry.name.replace('_', '-')}" in text
            assert entry.metadata["help"].split()[0] in text


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("num_draws: 7\ncodec: palette\n", encoding="utf-8")
    values = full_parser().values(["--config", str(path), "--num-draws", "9"])
    assert (values["num_draws"], values["codec"], values["batch_size"]) == (9, "palette", 64)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--num-draws", "many"], "--num-draws: expected int"),
        (["--num-draws", "2.5"], "--num-draws"),
        (["--codec", "jpeg"], "--codec: expected one of"),
        (["--no-such-flag", "1"], "--no-such-flag 1; see --help"),
        (["--num-catgories", "8"], "--num-catgories 8; did you mean --num-categories?"),
        (["--max_steps", "8"], "--max_steps 8; did you mean --max-steps?"),
        (["--max-step", "8"], "--max-step 8; did you mean --max-steps?"),
        (["--config", "seed: 1"], "config 'seed: 1' cannot be read"),
        (["--config", "."], "config '.' cannot be read"),
        (["--config", "/dev/stdin"], "config '/dev/stdin'"),
        (["--limit", "#"], "--limit: expected int. Got value: #"),
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--threads", "two"], "--threads: expected int"),
        (["--config", "a\0b"], "null byte"),
        (["--config", "x" * 5000], "cannot be read: File name too long"),
        (["--dataset", "a\0b"], "--dataset must not hold a NUL character"),
        (["--output-dir", "\udcff"], "--output-dir must be UTF-8"),
    ],
)
def test_a_wrong_command_line_is_one_line(argv: list[str], told: str) -> None:
    with pytest.raises(InputError) as caught:
        full_parser().values(argv)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "num_drawz: 3\n",
        "num_draws: many\n",
        "- 1\n",
        "a: [\n",
        "seed: " + "9" * 5000,
        "seed: !!timestamp x\n",
        "seed: 2001-13-45\n",
        "seed: null\n",
        b"dataset: caf\xe9\n",
        "seed: 1\nmax_steps: 3\nseed: 1\n",
        "max-steps: 3\nmax_steps: 4\n",
        "{seed: 1, 'seed': 2}",
        "<<: {seed: 1, seed: 2}",
        "max_steps: 010",
        "threads: 1:30",
        "holdout: 1:30.5",
        "? [a]\n: 1",
        "resize: 016",
        "training:\n",
        "training:\n  seed: 1\n",
        "\tseed: 1",
        "seed: 1\n---\nseed: 2\n",
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        ImageTrainingConfig.from_flat(full_parser().values(["--config", str(path)]))
    assert "\n" not in str(caught.value)


def test_a_configuration_from_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writing = os.open(tmp_path / "pipe", os.O_RDWR)  # so that a reader would hang only until it is closed
    closing = threading.Timer(2, os.close, [writing])
    closing.start()
    with pytest.raises(InputError, match="pipe' cannot be read"):
        full_parser().values(["--config", str(tmp_path / "pipe")])
    closing.join()


def test_a_key_that_is_given_twice_is_told_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("seed: 1\nmax_steps: 3\nseed: 2\n", encoding="utf-8")
    with pytest.raises(InputError, match="the key 'seed' is given twice, in lines 1 and 3"):
        full_parser().values([f"--config={path}"])
    # What is merged in is there to be replaced, and an anchor may be used again.
    path.write_text("<<: &a {seed: 1}\nseed: 2\n", encoding="utf-8")
    assert full_parser().values(["--config", str(path)])["seed"] == 2
    path.write_text("max-steps: 3\n", encoding="utf-8")
    assert full_parser().values(["--config", str(path), "--config", str(path)])["max_steps"] == 3


@pytest.mark.parametrize("argv", [["--missing", "null"], ["--missing=null"], ["--missing", "null", "--drop", "~"]])
def test_what_yaml_takes_for_nothing_can_be_a_name(argv: list[str]) -> None:
    parser = array_parser()
    values = parser.values(argv)
    assert split_names(values["missing"]) == ["null"]
    assert split_names(values["drop"]) == (["~"] if "--drop" in argv else None)
    assert values["holdout"] == 0.1


@pytest.mark.parametrize("written", ["#", "# of rows", "null # x", "a # b", "'a'", "no", "010", " "])
def test_a_text_is_taken_as_it_is_written(written: str) -> None:
    parser = array_parser()
    argv = ["--delimiter", "x", "--delimiter", written, f"--dataset={written}", "--drop", f'"{written}"']
    values = parser.values(argv)
    assert (values["delimiter"], values["dataset"], split_names(values["drop"])) == (written, written, [written])
    assert parser.values(["--delimiter", "a", "--delimiter", "null"])["delimiter"] is None


def test_a_share_is_a_number_and_all_else_a_file() -> None:
    parser = array_parser()
    for written, value in (("0.2", 0.2), ("rows.csv", "rows.csv"), ("no", "no")):
        assert parser.values(["--holdout", written])["holdout"] == value


@pytest.mark.parametrize("threads", ["0", "1025", "two"])
@pytest.mark.parametrize("script", sorted(path.stem for path in (ROOT / "scripts").glob("[ge][ev][na]*.py")))
def test_threads_have_the_range_of_a_training(script: str, threads: str, tmp_path: Path) -> None:
    assert "threads" in refused(script, "--model", "absent", "--threads", threads, cwd=tmp_path)


def test_threads_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    _use_threads(None)
    _use_threads(3)
    assert used == [3]


def test_resuming_starts_from_the_options_of_the_run(tmp_path: Path) -> None:
    ImageTrainingConfig.from_flat({"num_draws": 7, "output_dir": "elsewhere", "overwrite": True}).save(
        tmp_path / "config.yaml"
    )
    config = parse_training(
        full_parser(), ["--output-dir", str(tmp_path), "--resume", "latest", "--log-interval", "3"], "images"
    )
    assert (config.training.num_draws, config.training.log_interval) == (7, 3)
    assert (config.run.output_dir, config.run.resume, config.run.overwrite) == (str(tmp_path), "latest", False)


def test_a_start_takes_the_options_of_the_run_that_are_not_given(tmp_path: Path) -> None:
    options = {"num_draws": 7, "output_dir": "elsewhere", "overwrite": True, "max_steps": 9, "resume": "latest"}
    ImageTrainingConfig.from_flat(options).save(tmp_path / "config.yaml")
    for place in (tmp_path, tmp_path / "model", tmp_path / "checkpoints" / "step-00000009"):
        argv = ["--output-dir", "new", "--start-from", str(place), "--max-steps", "3"]
        config = parse_training(full_parser(), argv, "images")
        assert (config.training.num_draws, config.training.max_steps) == (7, 3)
        assert config.run == RunConfig(output_dir="new", start_from=str(place))
    other = parse_training(full_parser(), ["--start-from", str(tmp_path / "x" / "y" / "z")], "images")
    assert other.training == TrainingConfig(), "a model in no run tells no options"
    TextTrainingConfig().save(tmp_path / "config.yaml")
    with pytest.raises(InputError, match="holds a run on text"):
        parse_training(full_parser(), ["--start-from", str(tmp_path)], "images")


def test_there_must_be_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finds no run"):
        parse_training(full_parser(), ["--output-dir", str(tmp_path), "--resume", "latest"], "images")


def test_a_run_is_resumed_by_the_script_that_began_it(tmp_path: Path) -> None:
    TextTrainingConfig().save(tmp_path / "config.yaml")
    with pytest.raises(InputError, match=r"holds a run on text: resume it by bgan train or train_text\.py"):
        parse_training(full_parser(), ["--output-dir", str(tmp_path), "--resume", "latest"], "images")


def test_a_model_in_its_run_is_judged_by_the_data_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(*argv: str) -> dict[str, Any]:
        parser = parser_of(Call("evaluate", kind="images"), "images")
        return parse_evaluation(parser, ["--model", str(tmp_path / "model"), *argv], "images")

    defaults = judged()
    assert (defaults["dataset"], defaults["resize"]) == ("digits", None)
    options = {"dataset": "mine.npy", "resize": "14", "limit": 50, "codec": "binary", "seed": 3}
    ImageTrainingConfig.from_flat(options).save(tmp_path / "config.yaml")
    assert judged() == {**defaults, "dataset": "mine.npy", "resize": "14", "limit": 50}
    said = capsys.readouterr().out
    assert said == f"data as the run had them ({tmp_path / 'config.yaml'}): dataset 'mine.npy', resize '14', limit 50\n"
    assert judged("--resize", "28", "--seed", "9") == {**judged(), "resize": "28", "seed": 9}
    monkeypatch.chdir(tmp_path)
    assert judged("--dataset", "./mine.npy") == {**judged(), "dataset": "./mine.npy"}
    # Other data have their own way of being read.
    assert judged("--dataset", "digits") == defaults
    for other in ("- 1", "dataset: 5", "a: [", "unknown: 1"):
        (tmp_path / "config.yaml").write_text(other, encoding="utf-8")
        capsys.readouterr()
        assert judged() == defaults
        assert "the run beside the model is not read: " in capsys.readouterr().out
        assert judged("--dataset", "mine.npy")["dataset"] == "mine.npy"
        assert not capsys.readouterr().out


def test_the_run_of_a_model_is_found_from_inside_and_by_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("dataset: digits\n", encoding="utf-8")
    assert folder_of_run(model) == tmp_path / "run"
    (tmp_path / "link").symlink_to(model)
    assert folder_of_run(tmp_path / "link") == tmp_path / "run"
    monkeypatch.chdir(model)
    assert folder_of_run(".") == tmp_path / "run"
    # Where there is none, the name that was given is what an error tells.
    assert folder_of_run("owner/name") == Path("owner")


def test_a_key_that_is_nearly_an_option_is_told(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("num_drawz: 3\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"--config holds the unknown option 'num_drawz'; did you mean num_draws\?"):
        full_parser().values(["--config", str(path)])


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (InputError("width must be\nat least 1, got 0"), 2, "error: width must be at least 1, got 0"),
        (BGANError("diverged"), 1, "error: diverged"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_script_ends_with_one_line_and_a_code(
    error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    said = capsys.readouterr().err
    assert ended.value.code == code
    assert told in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("take", [lambda: np.empty(2**55), lambda: torch.empty(2**55), lambda: torch.empty(2**62, 8)])
def test_a_lack_of_memory_is_one_line(take: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        take()

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "error: there is not enough memory: " in said
    assert "take a smaller batch_size" in said
    assert said.count("\n") == 1


def test_an_error_that_nobody_foresaw_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_script(main)


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.py")))
def test_help_has_an_example_and_does_not_wait_for_torch(script: str) -> None:
    program = (
        "import runpy, sys\n"
        f"sys.argv = [{script!r}, '--help']\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as ended:\n    assert ended.code in (0, None), ended.code\n"
        "assert not {'torch', 'datasets'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program.replace(f"[{script!r}", f"[{str(ROOT / 'scripts' / script)!r}")],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"python scripts/{script}" in done.stdout
