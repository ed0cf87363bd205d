"""Nobody else's files: one run in a folder, and nothing replaced or deleted that a run did not write."""

import errno
import fcntl
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import warm_start
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bgan_discrete import InputError, Pipeline, StorageError, Trainer, TrainingConfig, load
from bgan_discrete.config import ArrayDataConfig, ArrayTrainingConfig, ImageTrainingConfig
from bgan_discrete.durable import hold_folder, replace_text, replacing_file
from bgan_discrete.manifests import check_regular_file, read_bytes
from bgan_discrete.models.format import MODEL_FILES
from bgan_discrete.nn import MLPDiscriminator, MLPGenerator
from bgan_discrete.run_folder import LOCK_FILE, RunFolder
from bgan_discrete.runs.evaluate import evaluate
from bgan_discrete.runs.generate import generate
from bgan_discrete.runs.train import hold_run, train
from bgan_discrete.training import claim

from in_process import refused  # type: ignore[import-not-found]  # isort: skip
from bgan_discrete.space import SampleSpace

ROOT = Path(__file__).resolve().parents[2]
TINY = {"threads": 1, "device": "cpu", "num_samples": 0, "batch_size": 8, "max_steps": 2, "num_draws": 2,
        "generator_width": 8, "discriminator_width": 8, "limit": 200, "log_interval": 1}  # fmt: skip
FLAGS = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def table_run(folder: Path, **options: Any) -> ArrayTrainingConfig:
    return ArrayTrainingConfig.from_flat({"dataset": "table", "output_dir": str(folder), **TINY, **options})


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on a table."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(table_run(folder))
    return folder


@pytest.fixture
def own(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(f"mine: {name}".encode())


# The lock.


def test_a_folder_has_one_holder_by_whatever_path(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a", target_is_directory=True)
    with hold_folder(tmp_path / "a" / "run", ".lock"):
        for path in (tmp_path / "a" / "run", tmp_path / "link" / "run", tmp_path / "a" / ".." / "a" / "run"):
            with pytest.raises(InputError, match="in use by another run"):
                hold_folder(path, ".lock")
        with hold_folder(tmp_path / "a" / "run", ".other.lock"):
            pass
    assert not (tmp_path / "a").exists(), "made for the lock alone"
    (tmp_path / "a").mkdir()
    with hold_folder(tmp_path / "link" / "run", ".lock"):
        make(tmp_path / "a" / "run", "model")
    assert tree(tmp_path / "a") == {"run/model": b"mine: model"}
    with pytest.raises(InputError, match="is a file; give a folder"):
        hold_folder(tmp_path / "a" / "run" / "model", ".lock")
    with pytest.raises(StorageError, match="cannot write"):
        hold_folder(tmp_path / "a" / "run" / "model" / "run", ".lock")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with hold_folder(tmp_path / "run", ".lock"):
        make(tmp_path / "run", "model")
    assert "has no locks" in caplog.text


HOLDERS = """
import os, random, sys, time
from pathlib import Path
from bgan_discrete.durable import hold_folder
from bgan_discrete.errors import InputError
root, rng, held = Path(sys.argv[1]), random.Random(int(sys.argv[2])), 0
until = time.monotonic() + 20
while held < 8 and time.monotonic() < until:
    try:
        with hold_folder(root / "run", ".lock"):
            os.close(os.open(root / "inside", os.O_CREAT | os.O_EXCL))  # an error if another process is inside
            time.sleep(rng.random() / 500)
            os.unlink(root / "inside")
            held += 1
    except InputError:
        time.sleep(rng.random() / 1000)
    except OSError as error:  # the other has just deleted the empty folder
        assert "No such file" in str(error) and "inside" not in str(error), error
print(held)
"""


def test_no_two_processes_hold_a_folder_although_its_lock_and_itself_come_and_go(tmp_path: Path) -> None:
    started = [warm_start.Started(["-c", HOLDERS, str(tmp_path), str(number)], ROOT) for number in range(3)]
    ended = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * 3, ended
    assert all(int(said) > 0 for said, _ in ended), ended


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    program = "import sys, time\nfrom pathlib import Path\nfrom bgan_discrete.durable import hold_folder\n"
    program += "with hold_folder(Path(sys.argv[1]), '.lock'):\n    time.sleep(600)"
    process = warm_start.Started(["-c", program, str(tmp_path / "run")], ROOT)
    while not (tmp_path / "run" / ".lock").exists():
        assert process.poll() is None
    for _ in range(1000):
        try:
            hold_folder(tmp_path / "run", ".lock").close()  # held by us if the file is there and not yet locked
        except InputError:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with hold_folder(tmp_path / "run", ".lock"):
        pass


@pytest.mark.parametrize("options", [{}, {"resume": "latest"}, {"overwrite": True}, {"dataset": "nowhere.csv"}])
def test_a_second_run_is_refused_before_it_looks_at_anything(own: Path, options: dict[str, Any]) -> None:
    (own.parent / "link").symlink_to(own)
    before = tree(own)
    with hold_folder(own, LOCK_FILE), pytest.raises(InputError, match=r"link' is in use by another run"):
        train(table_run(own.parent / "link", **options))
    assert tree(own) == before


def test_of_two_runs_that_begin_at_once_one_wins(tmp_path: Path) -> None:
    program = [str(ROOT / "scripts" / "train_array.py"), "--dataset", "table", *FLAGS, "--max-steps", "40"]
    started = [warm_start.Started([*program, "--output-dir", "r", "--seed", str(seed)], tmp_path) for seed in (1, 2)]
    said = [process.communicate() for process in started]
    codes = [process.returncode for process in started]
    assert sorted(codes) == [0, 2], said
    (line,) = said[codes.index(2)][1].strip().splitlines()
    assert "'r' is in use by another run" in line or "holds another run" in line
    config = (tmp_path / "r" / "config.yaml").read_text(encoding="utf-8")
    assert f"\nseed: {codes.index(0) + 1}\n" in config
    assert not (tmp_path / "r" / LOCK_FILE).exists()


def test_what_was_made_for_a_refused_run_goes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv"):
        train(table_run(tmp_path / "new" / "run", dataset="nowhere.csv"))
    assert not (tmp_path / "new").exists()


def test_a_trainer_holds_its_folder_too(tmp_path: Path) -> None:
    networks = MLPGenerator(SampleSpace((6,), 3), 4, 8, 1), MLPDiscriminator(SampleSpace((6,), 3), 8, 1)
    config = TrainingConfig(batch_size=4, num_draws=2, max_steps=2, threads=1, device="cpu")
    trainer = Trainer(*networks, np.zeros((8, 6), np.uint8), config, output_dir=tmp_path)
    with hold_folder(tmp_path, claim.LOCK_FILE), pytest.raises(InputError, match="in use by another run"):
        trainer.train(progress=False)
    assert list(tmp_path.iterdir()) == []
    assert trainer.train(progress=False).steps == 2
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "checkpoints"}


# What a run may delete.

WRITTEN = (
    "samples/step-0000003.png", "samples/step-0000003.txt", "samples/step-0000003.csv", "samples/step-12345678.png",
    "samples/.step-0000003.png.0123abcd.tmp", "model/config.json", "model/codec.json", "model/manifest.json",
    "model/model.safetensors", "model/.README.md.0123abcd.tmp", "model/.writing-0123abcd/config.json",
    "checkpoints/step-00000003/state.pt", "checkpoints/step-00000003/manifest.json", "checkpoints/step-00000002.pt",
    "checkpoints/.writing-0123abcd/state.pt", "checkpoints/.removing-0123abcd/state.pt",
    "checkpoints/.replaced-step-00000003/state.pt", "tensorboard/events.out.tfevents.1.host.2.0",
    "metrics.jsonl", "report.json", "report.html", "facts.json", "samples.png", "samples.csv",
)  # fmt: skip
FOLDERS = ("samples", "model", "checkpoints", "tensorboard")
NEARLY = (
    "samples/2019/holiday.jpg", "samples/step-0000003.png.bak", "samples/step-3.png", "samples/step-0000003.jpg",
    "samples/sub/step-0000003.png", "samples/model.safetensors", "model/other_project.bin", "model/README.md",
    "model/sample.png", "model/config.json~", "model/sub/config.json", "checkpoints/best/state.pt",
    "checkpoints/step-00000003/notes.txt", "checkpoints/step-00000003/sub/state.pt", "checkpoints/last.pt",
    "checkpoints/step-123.pt", "tensorboard/notes", "tensorboard/sub/events.out.tfevents.1", "notes.txt",
    "samples/step-0000003.png\n", "model/.git/config",
)  # fmt: skip


@given(
    st.sets(st.sampled_from(WRITTEN)),
    st.sets(
        st.sampled_from(NEARLY)
        | st.tuples(
            st.sampled_from(FOLDERS), st.text(st.characters(blacklist_characters="/\0"), min_size=1, max_size=20)
        )
        .map("/".join)
        .filter(lambda name: name not in WRITTEN and name.rsplit("/")[1] not in (".", "..", "step-00000003"))
    ),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_clearing_deletes_what_a_run_wrote_and_nothing_else(
    tmp_path: Path, written: set[str], others: set[str]
) -> None:
    root = tmp_path / "run"
    try:
        foreign = []
        for name in sorted(others):
            try:
                make(root, name)
                foreign.append(name)
            except (OSError, UnicodeEncodeError):  # a folder of this name, or a name that the file system refuses
                continue
        make(root, "config.yaml", *written)
        assert set(RunFolder(root).clear()) == {name for name in foreign if "/" in name}
        assert set(tree(root)) == set(foreign)
        assert all((root / name).read_bytes() == f"mine: {name}".encode() for name in foreign)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def test_what_a_run_writes_is_known_as_such(own: Path) -> None:
    make(own, "tensorboard/events.out.tfevents.1.host.2.0", "samples/.step-0000003.png.0123abcd.tmp")
    assert RunFolder(own).clear() == []
    assert list(own.iterdir()) == []


def test_overwriting_keeps_what_is_not_the_runs_and_names_it(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = own / "model" / "README.md"
    card.write_text(card.read_text(encoding="utf-8") + "edited", encoding="utf-8")
    make(own, "samples/2019/holiday.jpg", "notes.txt")
    (own / "samples" / "step-0000009.csv").symlink_to(own / "notes.txt")
    train(table_run(own, overwrite=True, max_steps=1))
    said = capsys.readouterr().out
    assert f"kept in {own}, since no run wrote it: 'model/README.md', 'samples/2019/holiday.jpg'\n" in said
    assert card.read_text(encoding="utf-8").endswith("edited")
    assert (own / "samples" / "2019" / "holiday.jpg").exists()
    assert (own / "notes.txt").read_text(encoding="utf-8") == "mine: notes.txt"
    assert [path.name for path in (own / "checkpoints").iterdir()] == ["step-00000001"]


def _is_file(name: str) -> Callable[[Path], None]:
    return lambda root: make(root, name)


def _leads_away(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / name).rename(root.parent / "away")
        (root / name).symlink_to(root.parent / "away")

    return change


def _is_folder(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / name).unlink()
        make(root, f"{name}/mine")

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "config.yaml").unlink(), "holds metrics.jsonl, .* and no config.yaml of a run"),
        (lambda root: (root / "config.yaml").write_text("model: 1\n"), "and no config.yaml of a run: give another"),
        (lambda root: (root / "config.yaml").write_text("{"), "and no config.yaml of a run"),
        (_leads_away("checkpoints"), "holds 'checkpoints' as a link"),
        (_leads_away("model"), "holds 'model' as a link"),
        (_is_folder("metrics.jsonl"), "holds 'metrics.jsonl' as a link or not as a run writes it"),
    ],
)
def test_overwriting_is_refused_where_it_would_touch_what_is_not_the_runs(
    own: Path, change: Callable[[Path], Any], words: str
) -> None:
    change(own)
    before = tree(own.parent)
    for options in ({"overwrite": True}, {}):
        with pytest.raises(InputError, match=words if options else "holds"):
            train(table_run(own, **options))
    assert tree(own.parent) == before


def test_a_folder_that_never_held_a_run_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path / "r", "samples/2019/holiday.jpg", "model/other_project.bin")
    before = tree(tmp_path)
    for flag in ([], ["--overwrite"]):
        said = refused("train_array", "--dataset", "table", *FLAGS, "--output-dir", "r", *flag, cwd=tmp_path)
        assert "'r' holds samples, model and no config.yaml of a run: give another folder" in said
    assert tree(tmp_path) == before


def test_overwriting_trains_next_to_a_note_in_a_checkpoint_and_keeps_it(own: Path) -> None:
    (step,) = (own / "checkpoints").iterdir()
    make(step, "notes.txt")
    train(table_run(own, overwrite=True))
    assert (step / "notes.txt").exists() and (step / "manifest.json").exists()
    train(table_run(own, resume="latest"))
    assert (step / "notes.txt").exists(), "the step's checkpoint is written anew"


def test_only_names_that_processes_give_are_leftovers(tmp_path: Path) -> None:
    names = {".x.csv.important.tmp", ".x.csv.0123456g.tmp", ".writing-notes", "x.csv"}
    make(tmp_path, *names, ".x.csv.01234567.tmp")
    replace_text(tmp_path / "x.csv", "new")
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize("inside", ["model", "model/deep", "checkpoints", "samples/a"])
def test_no_run_begins_inside_the_folders_of_another(own: Path, inside: str) -> None:
    before = tree(own)
    with pytest.raises(InputError, match="is inside the run in"):
        train(table_run(own / inside, start_from=str(own)))
    assert tree(own) == before


def test_a_run_resumes_from_its_own_checkpoints_only(own: Path, tmp_path: Path) -> None:
    shutil.copytree(own, tmp_path / "other")
    (step,) = (tmp_path / "other" / "checkpoints").iterdir()
    with pytest.raises(InputError, match="a new run begins with the weights of another by --start-from"):
        train(table_run(own, resume=str(step)))


def test_the_advice_of_a_refused_resume_can_be_typed(own: Path, tmp_path: Path) -> None:
    spaced = own.rename(tmp_path / "my run")
    with pytest.raises(InputError, match=r"--output-dir NEW --start-from '.*/my run'"):
        train(table_run(spaced, resume="latest", generator_lr=1e-4))
    with pytest.raises(InputError, match="begin a new run in another output_dir"):
        train(table_run(spaced, resume="latest", generator_width=9))
    with pytest.raises(InputError, match=r"max_steps must be at least .*, the steps that are done, got 1"):
        train(table_run(spaced, resume="latest", max_steps=1))


def test_a_clearing_that_was_killed_leaves_a_run(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink, left = Path.unlink, [12]

    def dies(path: Path, missing_ok: bool = False) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", dies)
        RunFolder(own).clear()
    assert RunFolder(own).holds_run()
    train(table_run(own, overwrite=True))


def test_a_model_is_not_saved_over_that_of_another_program(finished: Path, tmp_path: Path) -> None:
    pipeline = Pipeline.from_pretrained(finished / "model")
    for names in (("config.json",), ("model.safetensors", "notes"), ("manifest.json",), MODEL_FILES):
        folder = tmp_path / names[-1]
        make(folder, *names)
        before = tree(folder)
        with pytest.raises(InputError, match=f"holds {names[0]}.* of another program; give another folder"):
            pipeline.save_pretrained(folder)
        assert tree(folder) == before
    make(tmp_path / "mine", "notes")
    for _ in range(2):
        pipeline.save_pretrained(tmp_path / "mine")
    (tmp_path / "mine" / "manifest.json").unlink()  # as a process leaves it that dies in between
    (tmp_path / "mine" / "model.safetensors").chmod(0o600)
    pipeline.save_pretrained(tmp_path / "mine")
    assert stat.S_IMODE((tmp_path / "mine" / "model.safetensors").stat().st_mode) == 0o600
    (tmp_path / "mine" / "codec.json").chmod(0o444)
    before = tree(tmp_path / "mine")
    with pytest.raises(StorageError, match="read-only"):
        pipeline.save_pretrained(tmp_path / "mine")
    assert tree(tmp_path / "mine") == before
    load(tmp_path / "mine")


# Output and data.


@pytest.mark.parametrize(
    ("dataset", "output_dir", "is_fine"),
    [
        ("photos", "photos", False), ("photos", "photos/run", False), ("photos/", "photos/a/../run", False),
        ("link", "photos/run", False), ("photos", "link/run", False), ("photos", "link", False),
        ("run/samples", "run", False), ("run/samples.csv", "run", False), ("run/model/data", "run", False),
        ("photos/a.csv", "photos/a.csv/run", False), ("photos", "run", True), ("photos/a.csv", "photos", True),
        ("photos", "photos2", True), ("run/data", "run", True), ("table", "table/run", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("option", ["dataset", "holdout"])
def test_a_run_and_its_data_are_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, output_dir: str, is_fine: bool, option: str
) -> None:
    make(tmp_path, "photos/a.csv", "run/samples/x", "run/samples.csv", "run/model/data", "run/data", "table/x")
    (tmp_path / "link").symlink_to("photos")
    monkeypatch.chdir(tmp_path)
    for place in (dataset, str(tmp_path / dataset)):
        check = RunFolder(Path(output_dir)).check_apart
        if is_fine or (option == "holdout" and not is_fine and place == "table"):
            check({option: place})
        else:
            with pytest.raises(InputError, match=f"must be apart from {option} '"):
                check({option: place})
        if place == "table":
            break  # the name of an embedded data set, as long as it is no path


def test_a_run_inside_its_pictures_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    make(tmp_path, "photos/0.png")
    for folder in ("photos", "photos/run"):
        with pytest.raises(InputError, match="must be apart from dataset"):
            train(
                ImageTrainingConfig.from_flat(
                    {"dataset": str(tmp_path / "photos"), "output_dir": str(tmp_path / folder), "device": "cpu"}
                )
            )
    assert tree(tmp_path) == {"photos/0.png": b"mine: photos/0.png"}


def test_an_output_replaces_no_file_of_the_model_its_run_or_the_data(own: Path) -> None:
    place = own.parent
    make(place, "data.csv", "old.csv")
    config = (own / "config.yaml").read_text(encoding="utf-8").replace("dataset: table", f"dataset: {place}/data.csv")
    (own / "config.yaml").write_text(config, encoding="utf-8")
    (place / "link.csv").symlink_to(place / "data.csv")
    before = tree(place)
    for output in (own / "model" / "new.csv", own / "samples.csv", place / "data.csv", place / "link.csv"):
        with pytest.raises(InputError, match="is a file of the model, of its run or of the data; give another name"):
            generate(own / "model", 3, output)
    with pytest.raises(InputError, match="of the data; give another name"):
        evaluate(own / "model", ArrayDataConfig(dataset=str(place / "old.csv")), 3, place / "old.csv")
    assert tree(place) == before
    generate(own / "model", 3, place / "old.csv")
    assert len((place / "old.csv").read_text(encoding="utf-8").splitlines()) == 4


@pytest.mark.parametrize(("script", "name"), [("generate_array", "samples.csv"), ("generate_images", "samples.png")])
def test_a_file_that_nobody_named_is_not_replaced(tmp_path: Path, script: str, name: str) -> None:
    make(tmp_path, name)
    said = refused(script, "--model", "nowhere", cwd=tmp_path)
    assert f"output '{name}' exists: name it by --output to replace it" in said
    assert tree(tmp_path) == {name: f"mine: {name}".encode()}


# Files that are replaced.


@pytest.mark.parametrize("synced", [True, False])
def test_a_file_that_is_replaced_keeps_its_mode_and_a_new_one_has_that_of_the_umask(
    tmp_path: Path, synced: bool
) -> None:
    path, before = tmp_path / "s.csv", os.umask(0o027)
    try:
        for mode in (None, 0o600, 0o666, 0o751):
            if mode is not None:
                path.chmod(mode)
                os.utime(path, (1, 1))
            with replacing_file(path, synced) as file:
                file.write(b"new")
            assert stat.S_IMODE(path.stat().st_mode) == (0o640 if mode is None else mode)
            assert path.stat().st_mtime > 1, "it is new"
    finally:
        os.umask(before)


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    for content in ("first", "second"):  # the first makes the file
        for name, target in (("link", "far/real"), ("twice", "link")):
            if not (tmp_path / name).is_symlink():
                (tmp_path / name).symlink_to(target)
            replace_text(tmp_path / name, content)
            assert (tmp_path / name).is_symlink()
            assert (tmp_path / "far" / "real").read_text(encoding="utf-8") == content
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["real"]


@pytest.mark.parametrize("name", ["n" * 246 + ".csv", "ä" * 127, "字" * 85, "n" * 101, "n" * 100])
def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    for content in ("first", "second"):
        replace_text(tmp_path / name, content)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {name: "second"}


def test_a_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    make(tmp_path, path.name)
    path.chmod(0o444)
    (tmp_path / "link").symlink_to(path)
    for target in (path, tmp_path / "link"):
        with pytest.raises(StorageError, match=r"cannot write .*: the file that is there is read-only"):
            replace_text(target, "new")
    assert tree(tmp_path)["s.csv"] == b"mine: s.csv"
    assert {entry.name for entry in tmp_path.iterdir()} == {"s.csv", "link"}


def test_pipes_and_devices_are_written_and_stay(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    with pytest.raises(StorageError, match="cannot write"):  # nothing reads it: an error, not a wait
        replace_text(pipe, "x")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)

    def read() -> None:
        select.select([reader], [], [])  # before there is a writer, reading would find the end at once
        with os.fdopen(reader, "rb") as file:
            got.append(file.read())

    thread = threading.Thread(target=read)
    replaced = threading.Thread(target=replace_text, args=(pipe, "a" * 10**6))
    replaced.start()
    thread.start()
    thread.join()
    replaced.join()
    assert got == [b"a" * 10**6]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    replace_text(Path("/dev/null"), "x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    if Path("/dev/full").exists():
        with pytest.raises(StorageError, match="No space left"):
            replace_text(Path("/dev/full"), "x")


def test_standard_output_that_goes_to_a_file_is_added_to(tmp_path: Path) -> None:
    make(tmp_path, "all.txt")
    program = "from pathlib import Path; from bgan_discrete.durable import replace_text\n"
    program += "replace_text(Path('/dev/stdout'), ' and more')"
    with (tmp_path / "all.txt").open("ab") as file:
        subprocess.run([sys.executable, "-c", program], stdout=file, check=True, cwd=ROOT)
    assert (tmp_path / "all.txt").read_text(encoding="utf-8") == "mine: all.txt and more"


# Files that are read.


def irregular(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("pipe")
    found = {name: folder / name for name in ("pipe", "folder", "link", "missing")}
    return {**found, "device": Path("/dev/zero"), "nul": Path("a\0b"), "below a file": Path(__file__) / "x"}


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    for name, path in irregular(tmp_path).items():
        with pytest.raises(InputError, match=r"^dataset '.*cannot be read: ") as caught:
            check_regular_file(path, "dataset")
        assert "\n" not in str(caught.value)
        with pytest.raises((OSError, ValueError)):
            read_bytes(path, 10)
        assert ("not a regular file" in str(caught.value)) == (name in ("pipe", "folder", "link", "device"))
    (tmp_path / "file").write_bytes(b"0123456789")
    check_regular_file(tmp_path / "file", "dataset")
    assert read_bytes(tmp_path / "file", 10) == b"0123456789"
    with pytest.raises(ValueError, match="larger than 9 bytes"):
        read_bytes(tmp_path / "file", 9)


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", *(f"model/{name}" for name in MODEL_FILES)])
def test_a_pipe_among_the_files_of_a_run_hangs_nothing(own: Path, name: str) -> None:
    (own / name).unlink()
    os.mkfifo(own / name)
    with pytest.raises((InputError, StorageError)):
        if name.startswith("model"):
            load(own / "model")
        else:
            train(table_run(own, resume="latest", max_steps=3))
    with pytest.raises(InputError):
        train(table_run(own))


def test_a_run_of_python_is_held_from_its_first_look(own: Path) -> None:
    from bgan_discrete.parallel import ALONE

    with (
        hold_run(table_run(own), ALONE),
        pytest.raises(InputError, match="in use"),
        hold_run(table_run(own), ALONE),
    ):
        pass
    assert json.loads((own / "facts.json").read_text(encoding="utf-8"))
    assert torch.load(own / "checkpoints" / "step-00000002" / "state.pt", weights_only=True)["step"] == 2
