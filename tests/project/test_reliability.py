"""Nothing on disk is lost, damaged or believed without proof: kills, flipped bytes, full disks, hostile files."""

import copy
import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import warm_start
import yaml
from refusals import refusal
from safetensors.torch import load_file, save_file

from bgan_discrete import ConvGenerator, InputError, Pipeline, durable
from bgan_discrete.codecs import CharacterCodec, LevelsCodec, PaletteCodec, SentencePieceCodec, load_codec
from bgan_discrete.codecs.base import config_fingerprint
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.config import ImageTrainingConfig, TrainingConfig, load_config_values
from bgan_discrete.durable import replacing_file
from bgan_discrete.errors import StorageError
from bgan_discrete.manifests import MANIFEST_FILE, file_facts, render_manifest
from bgan_discrete.models.format import CODEC_FILE, CONFIG_FILE, FORMAT, FORMAT_VERSION, WEIGHTS_FILE
from bgan_discrete.nn import GRUGenerator, MLPGenerator, TransformerGenerator
from bgan_discrete.run_folder import RunFolder
from bgan_discrete.sources import load_images
from bgan_discrete.space import SampleSpace
from bgan_discrete.training import checkpoint as checkpoints
from bgan_discrete.training.checkpoint import find_checkpoint, list_checkpoints, load_checkpoint, save_checkpoint
from bgan_discrete.training.run_log import RunLog, read_metrics

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


def python(program: str, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    # By pipes: some programs may write no file of any length.
    done = warm_start.run(["-c", textwrap.dedent(program), *arguments], ROOT, by_pipe=True)
    assert not check or done.returncode == 0, done.stderr
    return done


# Kills.


def test_a_run_killed_at_each_moment_of_its_writing_resumes_and_ends_as_if_nobody_had(tmp_path: Path) -> None:
    done = warm_start.run(
        [str(ROOT / "scripts" / "trials" / "kills.py"), "--level", "library", "--kills", "6",
         "--output-dir", str(tmp_path / "kills"), "--report", str(tmp_path / "report.json")],
        tmp_path, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    counted = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["runs"]["small"]
    assert counted["losses"] == []
    assert set(counted["by_moment"]) >= {
        "os.mkdir checkpoints/.writing-*", "open checkpoints/.writing-*/state.pt", "write the middle of state.pt",
        "fsync checkpoints/.writing-*/state.pt", "open checkpoints/.writing-*/manifest.json",
        "fsync checkpoints/.writing-*/manifest.json", "fsync checkpoints/.writing-*", "rename to checkpoints/step-N",
        "fsync checkpoints", "rename to checkpoints/.replaced-step-N", "rename to checkpoints/.removing-*",
        "os.remove checkpoints/.removing-*/state.pt", "os.rmdir checkpoints/.removing-*",
        "rename to model/config.json", "rename to model/model.safetensors", "rename to model/codec.json",
        "rename to model/manifest.json", "rename to metrics.jsonl", "at a random time",
    }  # fmt: skip


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    for name in (".writing-00000001", ".removing-00000002"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.pt").write_bytes(b"half")
    program = """
    import sys
    from pathlib import Path
    from bgan_discrete.durable import working_folder
    with working_folder(Path(sys.argv[1])) as folder:
        print(folder, flush=True)
        sys.stdin.read()
    """
    living = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert living.stdout is not None
    working = Path(living.stdout.readline().strip())
    save_checkpoint(tmp_path, 1, {}, keep_last=1)
    assert {path.name for path in tmp_path.iterdir()} == {working.name, "step-00000001"}
    living.kill()
    living.communicate()
    assert working.exists(), "killed, it cleans nothing"
    save_checkpoint(tmp_path, 2, {}, keep_last=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


def test_a_checkpoint_that_had_stepped_aside_is_found(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 3, {"value": 7}, keep_last=1)
    path.rename(tmp_path / ".replaced-step-00000003")
    found = find_checkpoint(tmp_path, "latest")
    assert load_checkpoint(found, CPU)["value"] == 7
    save_checkpoint(tmp_path, 3, {"value": 8}, keep_last=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]
    assert load_checkpoint(find_checkpoint(tmp_path, "latest"), CPU)["value"] == 8


@pytest.mark.parametrize("aside", [10**8 - 1, 10**8])
def test_the_newest_is_the_one_of_the_most_steps_whatever_the_length_of_its_name(tmp_path: Path, aside: int) -> None:
    for step in (9, 10**8 - 1, 10**8):
        save_checkpoint(tmp_path, step, {"value": step}, keep_last=9)
    names = ["step-00000009", "step-99999999", "step-100000000"]
    assert [path.name for path in list_checkpoints(tmp_path)] == names
    path = checkpoints.checkpoint_path(tmp_path, aside)
    path.rename(path.with_name(f".replaced-{path.name}"))
    assert [path.name.removeprefix(".replaced-") for path in list_checkpoints(tmp_path)] == names
    found = find_checkpoint(tmp_path, "latest")
    assert load_checkpoint(found, CPU)["value"] == 10**8
    assert found.name == ("step-100000000" if aside < 10**8 else ".replaced-step-100000000")
    # One that has come in its place counts for it.
    save_checkpoint(tmp_path, aside, {"value": -1}, keep_last=9)
    assert [path.name for path in list_checkpoints(tmp_path)] == names


def test_what_is_kept_are_the_last_ones_up_to_the_new_one(tmp_path: Path) -> None:
    for keep_last, kept in ((1, [5]), (2, [4, 5]), (3, [3, 4, 5]), (9, [1, 2, 3, 4, 5])):
        folder = tmp_path / str(keep_last)
        for step in (1, 2, 3, 4, 5, 5):
            save_checkpoint(folder, step, {"value": -step}, keep_last)
        found = [load_checkpoint(path, CPU) for path in list_checkpoints(folder)]
        assert [(state["step"], state["value"]) for state in found] == [(step, -step) for step in kept]
    assert list_checkpoints(tmp_path / "none") == []


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path, Any]]:
    """What is synchronised, with what it holds then, and what is renamed, with its new name."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to tell what is synchronised")
    seen: list[tuple[str, Path, Any]] = []
    fsync = os.fsync

    def watched_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        held = path.read_bytes() if path.is_file() else sorted(entry.name for entry in path.iterdir())
        seen.append(("fsync", path, held))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    for name in ("rename", "replace"):
        own = getattr(Path, name)

        def watched(path: Path, target: Path, own: Any = own) -> Path:
            seen.append(("rename", path, target.name))
            return own(path, target)

        monkeypatch.setattr(Path, name, watched)
    return seen


@pytest.mark.parametrize("replaced", [False, True])
def test_every_byte_of_a_checkpoint_is_on_the_disk_before_its_name_and_its_name_before_others_go(
    tmp_path: Path, events: list[tuple[str, Path, Any]], replaced: bool
) -> None:
    """What a synchronised file held at that moment is all that it ever holds; then its folder, its name, the rest."""
    state = {"weights": torch.randn(100_000)}
    for step in (1, 2) if replaced else (1,):
        save_checkpoint(tmp_path, step, state, keep_last=9)
    events.clear()
    made = save_checkpoint(tmp_path, 2, state, keep_last=1)
    kinds = [(what, path.name.split("-")[0] if path.name.startswith(".") else path.name) for what, path, _ in events]
    aside = [("rename", "step-00000002")] if replaced else []
    gone = [("rename", ".replaced"), ("rename", "step-00000001")] if replaced else [("rename", "step-00000001")]
    start = [("fsync", "state.pt"), ("fsync", "manifest.json"), ("fsync", ".writing")]
    assert kinds == [*start, *aside, ("rename", ".writing"), ("fsync", tmp_path.name), *gone]
    for (_, old, content), path in zip(events[:2], (made / "state.pt", made / "manifest.json"), strict=True):
        assert content == path.read_bytes(), old
    assert events[2][2] == ["manifest.json", "state.pt"]
    assert "step-00000002" in events[4 + replaced][2]
    assert events[3 + replaced][2] == "step-00000002"
    assert all(name.startswith(".removing-") for *_, name in events[5 + replaced :])
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]
    assert json.loads((made / "manifest.json").read_text(encoding="utf-8"))["step"] == 2


def test_the_newest_is_never_deleted_for_a_later_one_of_before(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save_checkpoint(tmp_path, step, {}, keep_last=3)
    save_checkpoint(tmp_path, 15, {}, keep_last=1)  # the run was set back to 10
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000015", "step-00000020", "step-00000030"]
    save_checkpoint(tmp_path, 123456789, {}, keep_last=1)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-123456789"]


def test_a_run_without_a_checkpoint_begins_anew_but_not_one_that_lost_them(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.checkpoint_to_resume("latest") is None
    assert "does not exist" in refusal(
        lambda: folder.checkpoint_to_resume(str(tmp_path / "checkpoints" / "step-00000001"))
    )
    folder.model.mkdir()
    assert "finds no checkpoint" in refusal(lambda: folder.checkpoint_to_resume("latest"))


def test_the_names_of_new_folders_are_on_the_disk_before_what_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durable, "sync_folder", synced.append)
    save_checkpoint(tmp_path / "run" / "checkpoints", 1, {}, keep_last=1)
    assert {tmp_path, tmp_path / "run"} <= set(synced)
    assert synced.index(tmp_path / "run") < synced.index(tmp_path / "run" / "checkpoints")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to see what is open")
def test_a_file_is_closed_before_it_is_renamed_where_that_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    rename = Path.replace

    def checked(source: Path, target: Path) -> Path:
        held = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.exists()]  # noqa: PTH115
        assert str(source) not in held
        return rename(source, target)

    with replacing_file(path) as file:
        file.write(b"new")
        monkeypatch.setattr(Path, "replace", checked)
        monkeypatch.setattr(durable, "_ON_WINDOWS", True)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"new"]


# Disks that take no more.

FULL = """
import resource, sys
import numpy as np
from pathlib import Path
from bgan_discrete import SampleSpace, Trainer, TrainingConfig
from bgan_discrete.command_line import run_script
from bgan_discrete.nn import MLPDiscriminator, MLPGenerator

def main():
    codes = np.random.default_rng(0).integers(0, 3, (50, 6)).astype(np.uint8)
    config = TrainingConfig(num_draws=3, batch_size=4, max_steps=20, checkpoint_interval=5, log_interval=50,
                            sample_interval=7, threads=1, device="cpu")
    def fill(step, codes):
        limit()
    space = SampleSpace((6,), 3)
    trainer = Trainer(MLPGenerator(space, 4, 16, 1), MLPDiscriminator(space, 16, 1), codes, config,
                      output_dir=sys.argv[1])
    trainer.train(progress=False, on_samples=fill)

def limit():
    if sys.argv[2] == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    elif sys.argv[2] == "file":
        place = Path(sys.argv[1]) / "checkpoints"
        place.rename(place.with_name("moved"))
        place.write_text("no folder")
    else:
        fill_up(Path(sys.argv[1]))

def fill_up(folder):
    with open(folder / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

run_script(main)
"""


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def test_a_file_that_may_not_grow_ends_the_run_with_one_line_and_the_last_checkpoint_whole(tmp_path: Path) -> None:
    said = _complaint(python(FULL, str(tmp_path), "limit"))
    assert f"cannot write checkpoint '{tmp_path}/checkpoints/step-00000010': File too large" in said
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000005"]
    assert load_checkpoint(find_checkpoint(tmp_path / "checkpoints", "latest"), CPU)["step"] == 5


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    said = _complaint(python(FULL, str(tmp_path), "file"))
    assert f"{tmp_path}/checkpoints" in said
    assert "exists" in said
    assert load_checkpoint(find_checkpoint(tmp_path / "moved", "latest"), CPU)["step"] == 5


def test_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root alone")
    try:
        said = _complaint(python(FULL, str(disk), "disk"))
        assert "step-00000010" in said
        assert "No space left on device" in said
        assert load_checkpoint(find_checkpoint(disk / "checkpoints", "latest"), CPU)["step"] == 5
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_model_that_cannot_be_written_leaves_the_one_that_is_there(tmp_path: Path) -> None:
    program = """
    import resource, sys, torch
    from bgan_discrete import ConvGenerator, Pipeline, StorageError
    from bgan_discrete.codecs import LevelsCodec
    torch.manual_seed(5)
    pipeline = Pipeline(ConvGenerator(LevelsCodec(5).space_of((8, 9)), latent_size=4, width=8), LevelsCodec(5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    try:
        pipeline.save_pretrained(sys.argv[1])
    except StorageError as error:
        print(error)
    """
    small_pipeline().save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = python(program, str(tmp_path), check=True)
    assert "cannot write" in done.stdout
    assert "model.safetensors" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    place = tmp_path / "file"
    place.write_text("no folder", encoding="utf-8")
    assert str(place) in refusal(lambda: small_pipeline().save_pretrained(place), StorageError)


def test_the_log_of_a_full_disk_is_named(tmp_path: Path) -> None:
    program = """
    import resource, sys
    from pathlib import Path
    from bgan_discrete.command_line import run_script
    from bgan_discrete.training.run_log import RunLog
    def main():
        with RunLog(Path(sys.argv[1]), 0, 10) as log:
            log.write(1, {"x": 1.0})
            resource.setrlimit(resource.RLIMIT_FSIZE, (25, 25))
            log.write(2, {"x": 2.0})
    run_script(main)
    """
    assert f"cannot write '{tmp_path}/metrics.jsonl': File too large" in _complaint(python(program, str(tmp_path)))


# Flipped bytes.


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << (place % 8)
    path.write_bytes(bytes(content))


def places(path: Path, most: int = 60) -> list[int]:
    size = path.stat().st_size
    chosen = np.random.default_rng(0).choice(size, min(most, size), replace=False)
    return sorted({0, size - 1, *chosen.tolist()})


@pytest.mark.parametrize(
    ("kind", "name"),
    [("checkpoint", "state.pt"), ("checkpoint", MANIFEST_FILE),
     *(("model", name) for name in (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE, MANIFEST_FILE))],
)  # fmt: skip
def test_a_flipped_byte_is_found_and_named(tmp_path: Path, kind: str, name: str) -> None:
    folder = tmp_path / "step-00000005"
    if kind == "model":
        small_pipeline().save_pretrained(folder)
    else:
        save_checkpoint(tmp_path, 5, {"weights": torch.randn(300), "sums": {"loss": 1.5}}, keep_last=1)

    def load() -> Any:
        return Pipeline.from_pretrained(folder) if kind == "model" else load_checkpoint(folder, CPU)

    whole = (folder / name).read_bytes()
    for place in places(folder / name):
        flip(folder / name, place)
        assert name in refusal(load), place
        (folder / name).write_bytes(whole)
    (folder / name).write_bytes(whole[:-1])
    assert name in refusal(load)
    (folder / name).unlink()
    assert name in refusal(load)
    if kind == "checkpoint":
        assert folder.name in refusal(lambda: find_checkpoint(tmp_path, str(folder)))


def test_latest_falls_back_to_the_newest_that_is_whole_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = (save_checkpoint(tmp_path, step, {"x": step}, keep_last=3) for step in (1, 2, 3))
    assert find_checkpoint(tmp_path, "latest") == third
    assert caplog.messages == []
    flip(third / "state.pt", 200)
    (second / "manifest.json").unlink()
    assert find_checkpoint(tmp_path, "latest") == first
    assert caplog.records[0].name.startswith("bgan_discrete.")
    assert caplog.messages[0] == (
        f"checkpoint {str(third)!r} is damaged: state.pt is not the file that was written (size or SHA-256 differs); "
        f"going on from {first}, which is whole"
    )
    assert "step-00000002" in caplog.messages[1]
    assert "state.pt" in refusal(lambda: find_checkpoint(tmp_path, str(third)))
    shutil.rmtree(first)
    assert "no checkpoint that can be used" in refusal(lambda: find_checkpoint(tmp_path, "latest"))


def _foreign_manifest(path: Path) -> None:
    path.mkdir()
    reseal(path, "another.program", step=9)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("/nowhere"), lambda path: path.symlink_to(path.name), Path.mkdir,
        lambda path: path.write_text("x"), lambda path: path.with_suffix(".pt").write_text("x"), os.mkfifo,
        _foreign_manifest, lambda path: shutil.copytree(path.with_name("step-00000001"), path),
        lambda path: path.symlink_to("step-00000001"),
    ],
    ids=["nowhere", "itself", "empty", "file", "old file", "pipe", "foreign", "copy", "link"],
)  # fmt: skip
def test_latest_passes_what_only_has_the_name_of_a_checkpoint_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Any
) -> None:
    first = save_checkpoint(tmp_path, 1, {"x": 1}, keep_last=3)
    odd = tmp_path / "step-00000009"
    make(odd)
    if not odd.is_symlink() or str(odd.readlink()) != first.name:
        assert find_checkpoint(tmp_path, "latest") == first
        assert "step-00000009" in caplog.text
        assert "going on from" in caplog.text
    refusal(lambda: find_checkpoint(tmp_path, str(odd)))
    # Nor does a run delete what it did not write.
    save_checkpoint(tmp_path, 12, {"x": 12}, keep_last=1)
    left = {path.name for path in tmp_path.iterdir()}
    assert ("step-00000009" in left) == (odd.is_symlink() or odd.is_fifo())
    assert "step-00000001" not in left


def test_a_forged_step_is_refused_at_once_and_by_its_type(tmp_path: Path) -> None:
    """A list that doubles with each level is a few KB on the disk, and fills any memory as text."""
    bomb: list[Any] = ["lol"]
    for _ in range(60):
        bomb = [bomb, bomb]
    path = save_checkpoint(tmp_path, 1, {}, keep_last=1)
    for step in (bomb, [1], "1", 1.0, True, None, -1, 2, 2**63, 10**5000, torch.tensor(1)):
        (path / "state.pt").write_bytes(_archive({"format_version": 2, "step": step}))
        reseal(path, "bgan_discrete.checkpoint", step=1)
        said = refusal(lambda: load_checkpoint(path, CPU))
        assert type(step).__name__ in said or "its name tells another one" in said
    reseal(path, "x" * 10**5, step=2)
    refusal(lambda: load_checkpoint(path, CPU))


def small_pipeline(seed: int = 0) -> Pipeline:
    torch.manual_seed(seed)
    return Pipeline(ConvGenerator(SampleSpace((8, 9), 5, ordered=True), latent_size=4, width=8), LevelsCodec(5))


def text_pipeline(generator: Any = GRUGenerator, **options: Any) -> Pipeline:
    torch.manual_seed(0)
    codec = CharacterCodec(6, vocabulary="abcd")
    return Pipeline(generator(codec.space, latent_size=3, width=8, **options), codec)


def test_other_files_of_a_model_folder_are_let_be(tmp_path: Path) -> None:
    small_pipeline().save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    small_pipeline(1).save_pretrained(tmp_path)
    Pipeline.from_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "mine"
    assert set(json.loads((tmp_path / MANIFEST_FILE).read_text(encoding="utf-8"))["files"]) == {
        CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE,
    }  # fmt: skip


def test_of_a_model_saved_over_another_no_mixture_can_be_loaded(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    small_pipeline(0).save_pretrained(old)
    small_pipeline(1).save_pretrained(new)
    Pipeline.from_pretrained(old)
    # The order in which files are replaced; the kills on trial see to it that this is the true order.
    for name in (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE):
        shutil.copy(new / name, old / name)
        try:
            loaded = Pipeline.from_pretrained(old)
        except InputError:
            continue
        assert name == CONFIG_FILE, "only as long as no file has changed its content"
        assert torch.equal(loaded.generator.position_bias, small_pipeline(0).generator.position_bias)
    shutil.copy(new / MANIFEST_FILE, old / MANIFEST_FILE)
    Pipeline.from_pretrained(old)


def test_what_is_renamed_is_on_the_disk_before_and_its_name_afterwards(
    tmp_path: Path, events: list[tuple[str, Path, Any]]
) -> None:
    small_pipeline().save_pretrained(tmp_path / "model")
    told = [(what, path.name) for what, path, _ in events]
    for name in (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE, MANIFEST_FILE):
        place = next(place for place, (what, _, new) in enumerate(events) if what == "rename" and new == name)
        working = events[place][1].parent.name
        assert {("fsync", name), ("fsync", working)} <= set(told[:place])
        assert told[place + 1] == ("fsync", "model")
    events.clear()
    ImageTrainingConfig().save(tmp_path / "config.yaml")
    assert [what for what, *_ in events] == ["fsync", "rename", "fsync"]
    assert events[0][1].name.startswith(".config.yaml.")
    assert (events[1][2], events[2][1]) == ("config.yaml", tmp_path)


# Older and newer formats.


@pytest.mark.parametrize(
    ("version", "advice"),
    [(1, "train again"), (FORMAT_VERSION + 1, "install a newer one"), (10**300, "install a newer one")],
    ids=["older", "newer", "huge"],
)
def test_another_format_says_so_and_what_to_do(tmp_path: Path, version: int, advice: str) -> None:
    path = save_checkpoint(tmp_path / "checkpoints", 2, {}, keep_last=2)
    (path / "state.pt").write_bytes(_archive({"format_version": version, "step": 2}))
    reseal(path, "bgan_discrete.checkpoint", step=2)
    told = [refusal(lambda: load_checkpoint(path, CPU))]
    model = tmp_path / "model"
    small_pipeline().save_pretrained(model)
    edit_config(model, lambda config: config.update(format_version=version), seal=True)
    told.append(refusal(lambda: Pipeline.from_pretrained(model)))
    for folder, kind, facts in ((path, "checkpoint", {"step": 2}), (model, "model", {})):
        reseal(folder, f"bgan_discrete.{kind}", version, **facts)
    told.append(refusal(lambda: Pipeline.from_pretrained(model)))
    told += [refusal(lambda: find_checkpoint(path.parent, which)) for which in ("latest", str(path))]  # noqa: B023
    for said in told:
        assert f"format version {min(version, 10**9)}; this version of the package reads " in said
        assert advice in said


def test_formats_from_before_are_refused_in_one_line(tmp_path: Path) -> None:
    """Models of version 1 had no manifest, and those of version 2 a kind; a checkpoint of version 1 was one file."""
    model = tmp_path / "model"
    small_pipeline().save_pretrained(model)
    checkpoint = tmp_path / "checkpoints" / "step-00000004.pt"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(_archive({"format_version": 1, "step": 4}))
    told = [refusal(lambda: load_checkpoint(checkpoint, CPU))]
    told += [refusal(lambda: find_checkpoint(checkpoint.parent, "latest"))]
    for version, more, has_manifest in ((2, {}, True), (1, {}, False), (2, {"kind": "image"}, False)):
        edit_config(model, lambda config, new=version, more=more: config.update(format_version=new, **more))
        if has_manifest:
            reseal(model, FORMAT, version)
        else:
            (model / MANIFEST_FILE).unlink(missing_ok=True)
        told.append(refusal(lambda: Pipeline.from_pretrained(model)))
    for said, version in zip(told, (1, 1, 2, 1, 2), strict=True):
        assert f"format version {version}" in said
        assert "train again, or use the version of the package that wrote it" in said
    assert "does not exist" in refusal(lambda: load_checkpoint(tmp_path / "step-00000001", CPU))


# Hostile files: with a manifest that fits, since whoever writes a file can write its digest too.


def reseal(
    folder: Path, kind: str, version: int | None = None, files: dict[str, Any] | None = None, **facts: Any
) -> None:
    names = [path.name for path in folder.iterdir() if path.name != MANIFEST_FILE]
    listed = files or {name: file_facts(folder / name) for name in names}
    version = version or (FORMAT_VERSION if kind == FORMAT else 2)
    (folder / MANIFEST_FILE).write_text(render_manifest(kind, version, listed, **facts), encoding="utf-8")


def edit_config(folder: Path, change: Any, seal: bool = False) -> None:
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    change(config)
    (folder / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    if seal:
        reseal(folder, "bgan_discrete.model")


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def pickled(marker: Path) -> bytes:
    """A pickle that makes a file when it is loaded, as some programs would."""
    import pickle

    return pickle.dumps(Bomb(marker))


def test_pickles_in_every_file_stay_inert(tmp_path: Path) -> None:
    marker = tmp_path / "went-off"
    bomb = pickled(marker)
    # It does go off where it is let.
    torch.load(io.BytesIO(_archive({"x": Bomb(marker)})), weights_only=False)
    assert marker.exists()
    marker.unlink()

    path = save_checkpoint(tmp_path / "checkpoints", 1, {}, keep_last=1)
    for content in (_archive({"format_version": 2, "step": 1, "x": Bomb(marker)}), bomb):
        (path / "state.pt").write_bytes(content)
        reseal(path, "bgan_discrete.checkpoint", step=1)
        said = refusal(lambda: load_checkpoint(path, CPU))
        assert "weights_only" not in said, "no advice to unpickle it"
    for name in (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE):
        folder = tmp_path / f"model {name}"
        small_pipeline().save_pretrained(folder)
        (folder / name).write_bytes(bomb)
        reseal(folder, "bgan_discrete.model")
        refusal(lambda: Pipeline.from_pretrained(folder))  # noqa: B023
        (folder / MANIFEST_FILE).write_bytes(bomb)
        refusal(lambda: Pipeline.from_pretrained(folder))  # noqa: B023
    for name in ("data.npy", "data.npz"):
        hostile = np.array([Bomb(marker)], dtype=object)
        (np.save if name == "data.npy" else np.savez)(tmp_path / name, hostile)
        refusal(lambda: load_images(str(tmp_path / name)))  # noqa: B023
        (tmp_path / name).write_bytes(bomb)
        refusal(lambda: load_images(str(tmp_path / name)))  # noqa: B023
    (tmp_path / "metrics.jsonl").write_bytes(bomb + b"\n")
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    config = tmp_path / "config.yaml"
    for text in (
        f"codec: !!python/object/apply:os.system ['touch {marker}']",
        f"codec: !!python/object/new:os.system ['touch {marker}']",
        "codec: !!python/name:os.system",
    ):
        config.write_text(text, encoding="utf-8")
        assert "is not YAML" in refusal(lambda: load_config_values(config))
    model = tmp_path / "pieces.model"
    model.write_bytes(bomb)
    refusal(lambda: SentencePieceCodec.from_model_file(model, 8))
    assert not marker.exists()


def _archive(content: Any) -> bytes:
    written = io.BytesIO()
    torch.save(content, written)
    return written.getvalue()


def test_a_checkpoint_that_would_grow_as_it_is_read_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, {"x": torch.zeros(10**5)}, keep_last=1)
    with zipfile.ZipFile(path / "state.pt") as source:
        parts = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path / "state.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in parts.items():
            target.writestr(name, content)
    reseal(path, "bgan_discrete.checkpoint", step=1)
    assert "compressed" in refusal(lambda: load_checkpoint(path, CPU))


HOSTILE = (10**12, 10**9, 10**5000 // 10**1000, -1, 0, 1.5, 1e308, True, "8", None, [8], [[8]], {"a": 1})


@pytest.mark.parametrize("make", [
    small_pipeline, text_pipeline, lambda: text_pipeline(TransformerGenerator, heads=2),
    lambda: Pipeline(MLPGenerator(SampleSpace((2, 3), 5, ordered=True), 4, 8, 1), LevelsCodec(5)),
], ids=["conv", "gru", "transformer", "mlp"])  # fmt: skip
def test_hostile_sizes_are_refused_before_memory_is_touched(tmp_path: Path, make: Any) -> None:
    made = make()
    made.save_pretrained(tmp_path)
    config = json.loads((tmp_path / CONFIG_FILE).read_text(encoding="utf-8"))
    tried = 0
    settings = {**config["settings"], **config["settings"]["space"]}
    for key, value in settings.items():
        values: list[Any] = [*HOSTILE]
        values += [[10**9, 10**9], [8] * 50, [8, 10**6], [True, 8]] if key == "event_shape" else []
        values += [[1] * 72, [5] * 73, [0] * 72, [6] * 72] if key == "sizes" else []
        for hostile in values:
            if hostile is value or (hostile == value and key != "ordered"):
                continue
            changed = copy.deepcopy(config)
            place = changed["settings"] if key in config["settings"] else changed["settings"]["space"]
            place[key] = hostile
            (tmp_path / CONFIG_FILE).write_text(json.dumps(changed), encoding="utf-8")
            reseal(tmp_path, "bgan_discrete.model")
            refusal(lambda: type(made).from_pretrained(tmp_path))
            tried += 1
    assert tried > 50


@pytest.mark.parametrize(("change", "words"), [
    (lambda settings: settings.pop("depth"), "do not fit ConvGenerator: they lack depth"),
    (lambda settings: settings.update(extra=1), "do not fit ConvGenerator: they have the unknown 'extra'"),
    (lambda settings: settings["space"].pop("ordered"), "do not fit a sample space: they lack ordered"),
    (lambda settings: settings["space"].update(extra=1), "do not fit a sample space: they have the unknown 'extra'"),
    (lambda settings: settings["space"].update(ordered=False), "of the same space, got ordered: False and True"),
    (lambda settings: settings["space"].update(sizes=[4] * 72), "at every position, and the space has sizes"),
    (lambda settings: settings.update(latent_size=5), "must have the shape [320, 5], got [320, 4]"),
    (lambda settings: settings.update(depth=2), "lack 'levels.0.1.convolve.bias'"),
    (lambda settings: settings.update(width=9), "must have the shape [360, 4], got [320, 4]"),
    (lambda settings: settings["space"].update(event_shape=[9, 8]), "must have the shape [9, 8, 5], got [8, 9, 5]"),
    (lambda settings: settings["space"].update(num_categories=6), "must have the shape [8, 9, 6], got [8, 9, 5]"),
    (lambda settings: settings.update(width=2**20), "must have the shape [41943040, 4], got [320, 4]"),
    (lambda settings: settings["space"].update(event_shape=[2**20, 2**20]), "lack 'levels.1.0.convolve.bias'"),
    (lambda settings: settings.update(latent_size=2**20), "must have the shape [320, 1048576], got [320, 4]"),
])  # fmt: skip
def test_settings_of_another_model_are_refused(tmp_path: Path, change: Any, words: str) -> None:
    small_pipeline().save_pretrained(tmp_path)
    edit_config(tmp_path, lambda config: change(config["settings"]), seal=True)
    assert words in refusal(lambda: Pipeline.from_pretrained(tmp_path))


def test_heads_and_ends_that_no_weight_tells_of_must_fit(tmp_path: Path) -> None:
    text_pipeline(TransformerGenerator, heads=2).save_pretrained(tmp_path)
    edit_config(tmp_path, lambda config: config["settings"].pop("heads"), seal=True)
    assert "lack heads" in refusal(lambda: Pipeline.from_pretrained(tmp_path))
    text_pipeline().save_pretrained(tmp_path)
    for key, value in (("event_shape", [60000]), ("end_id", 3), ("end_id", None)):
        edit_config(tmp_path, lambda config: config["settings"]["space"].update({key: value}), seal=True)  # noqa: B023
        assert f"of the same space, got {key}: " in refusal(lambda: Pipeline.from_pretrained(tmp_path))
        text_pipeline().save_pretrained(tmp_path)


@pytest.mark.parametrize(("change", "word"), [
    (lambda tensors: {**tensors, "position_bias": tensors["position_bias"].double()}, "must be F32, got F64"),
    (lambda tensors: {**tensors, "position_bias": tensors["position_bias"].half()}, "must be F32, got F16"),
    (lambda tensors: {**tensors, "position_bias": tensors["position_bias"].long()}, "must be F32, got I64"),
    (lambda tensors: {**tensors, "position_bias": tensors["position_bias"] * float("nan")}, "inf or NaN"),
    (lambda tensors: {**tensors, "position_bias": tensors["position_bias"][:1].clone()}, "must have the shape"),
    (lambda tensors: {**tensors, "other": torch.zeros(1)}, "hold the unknown 'other'"),
    (lambda tensors: {k: v for k, v in tensors.items() if k != "position_bias"}, "lack 'position_bias'"),
    (lambda tensors: {"x": torch.zeros(1)}, "lack"),
])  # fmt: skip
def test_weights_must_fit_in_name_shape_and_dtype(tmp_path: Path, change: Any, word: str) -> None:
    small_pipeline().save_pretrained(tmp_path)
    save_file(change(load_file(tmp_path / WEIGHTS_FILE)), tmp_path / WEIGHTS_FILE)
    reseal(tmp_path, "bgan_discrete.model")
    assert word in refusal(lambda: Pipeline.from_pretrained(tmp_path))


def test_a_generator_in_another_precision_is_not_saved(tmp_path: Path) -> None:
    pipeline = small_pipeline()
    pipeline.generator.half()
    assert "must be in float32" in refusal(lambda: pipeline.save_pretrained(tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_a_generator_that_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    pipeline = small_pipeline()
    pipeline.save_pretrained(tmp_path)
    with torch.no_grad():
        pipeline.generator.position_bias[0] = float("nan")
    assert "inf or NaN in position_bias" in refusal(lambda: pipeline.save_pretrained(tmp_path))
    Pipeline.from_pretrained(tmp_path)


def test_a_hostile_configuration_file_of_a_model(tmp_path: Path) -> None:
    small_pipeline().save_pretrained(tmp_path)
    for text in ("[" * 10**5, "1" * 10**5, "NaN", '{"format_version": 1}', "[]", "\ufeff{}", " " * 2**21, "null"):
        (tmp_path / CONFIG_FILE).write_text(text, encoding="utf-8")
        reseal(tmp_path, "bgan_discrete.model")
        assert CONFIG_FILE in refusal(lambda: Pipeline.from_pretrained(tmp_path))


CODECS: list[Any] = [
    LevelsCodec(5), PaletteCodec(3, palette=np.arange(9, dtype=np.uint8).reshape(3, 3)),
    CharacterCodec(6, vocabulary="abc"), SentencePieceCodec(6),
]  # fmt: skip


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_hostile_values_of_a_codec_are_refused(tmp_path: Path, codec: Any) -> None:
    config = codec.to_config()
    path = tmp_path / "codec.json"
    values = (*HOSTILE, float("nan"), float("inf"), "x" * 10**5, ["#000000"] * 10**4, ["\ud800"], "aa", [{}], {}, 2**63)
    for key in config:
        for value in values:
            changed = {**config, key: value}
            try:
                text = json.dumps({"format": "bgan_discrete.codec", "format_version": 1, "codec": changed,
                                   "fingerprint": config_fingerprint(changed)})  # fmt: skip
            except ValueError:  # an integer of too many digits to be written
                continue
            path.write_text(text, encoding="utf-8")
            try:
                loaded = load_codec(path)
            except InputError as error:
                assert "\n" not in str(error)
                assert len(str(error)) < 600
            else:
                assert config_fingerprint(loaded.to_config()) == config_fingerprint(changed), (key, value)
    for text in ("[" * 10**5, "1" * 10**5, "NaN", "[]", '{"format": []}'):
        path.write_text(text, encoding="utf-8")
        refusal(lambda: load_codec(path))


def test_a_configuration_of_a_run_holds_single_values(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    for text in ("\n".join([*layers, "max_steps: *a19"]), "max_steps: [1]", "max_steps: {a: 1}",
                 "max_steps: " + "[" * 5000, "max_steps: " + "1" * 5000, "x: 2020-01-01", " " * 2**21):  # fmt: skip
        path.write_text(text, encoding="utf-8")
        refusal(lambda: ImageTrainingConfig.from_flat(load_config_values(path)))
        parser = Parser("d", ["e"], "bgan train")
        parser.add_config()
        parser.add_section(TrainingConfig, "training")
        refusal(lambda: parser.values(["--config", str(path)]))  # noqa: B023
        refusal(lambda: parser.values([f"--config={path}"]))  # noqa: B023
    path.write_text(yaml.safe_dump({"unknown_option": 1}), encoding="utf-8")
    assert "unknown_option" in refusal(lambda: ImageTrainingConfig.from_flat(load_config_values(path)))


def test_names_and_links_cannot_lead_out_of_a_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "model", tmp_path / "outside.bin"
    small_pipeline().save_pretrained(folder)
    outside.write_bytes(b"secret")
    listed = {name: file_facts(folder / name) for name in (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE)}
    for name in ("../outside.bin", str(outside), "sub/../../outside.bin", "..", ".", "", "a\x00b", "x" * 10**4):
        reseal(folder, "bgan_discrete.model", files={**listed, name: file_facts(outside)})
        assert "no plain file name" in refusal(lambda: Pipeline.from_pretrained(folder))
    (folder / "link.bin").symlink_to(outside)
    reseal(folder, "bgan_discrete.model", files={**listed, "link.bin": file_facts(outside)})
    assert "leads out of the folder" in refusal(lambda: Pipeline.from_pretrained(folder))
    (folder / "link.bin").unlink()
    (folder / "link.bin").symlink_to("link.bin")
    assert "is missing" in refusal(lambda: Pipeline.from_pretrained(folder))
    reseal(folder, "bgan_discrete.model", files=listed)
    for name in (WEIGHTS_FILE, MANIFEST_FILE):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
        assert "leads out of the folder" in refusal(lambda: Pipeline.from_pretrained(folder))
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert "is not a file" in refusal(lambda: Pipeline.from_pretrained(folder))
        (folder / name).unlink()
        (tmp_path / name).rename(folder / name)
    (folder / "same.bin").symlink_to(folder / CODEC_FILE)
    reseal(folder, "bgan_discrete.model", files={**listed, "same.bin": listed[CODEC_FILE]})
    Pipeline.from_pretrained(folder)


def test_a_hostile_manifest_is_one_line(tmp_path: Path) -> None:
    small_pipeline().save_pretrained(tmp_path)
    text = (tmp_path / MANIFEST_FILE).read_text(encoding="utf-8")
    for hostile in ("", "[]", "null", "{}", "[" * 10**5, "1" * 10**5, '{"digest": 1}', text * 2, text.strip(),
                    text + " ", text.replace("  ", "\t"), " " * 2**21):  # fmt: skip
        (tmp_path / MANIFEST_FILE).write_text(hostile, encoding="utf-8")
        assert MANIFEST_FILE in refusal(lambda: Pipeline.from_pretrained(tmp_path))
    for files in ({}, {CONFIG_FILE: {}}):
        (tmp_path / MANIFEST_FILE).write_text(render_manifest(FORMAT, FORMAT_VERSION, files), encoding="utf-8")
        refusal(lambda: Pipeline.from_pretrained(tmp_path))
    reseal(tmp_path, "bgan_discrete.checkpoint")
    assert "is of 'bgan_discrete.checkpoint'" in refusal(lambda: Pipeline.from_pretrained(tmp_path))


# Files that are replaced.


def test_a_failed_writing_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    config = ImageTrainingConfig()
    config.save(tmp_path / "config.yaml")
    before = (tmp_path / "config.yaml").read_bytes()
    program = """
    import resource, sys
    from bgan_discrete.config import ImageTrainingConfig
    from bgan_discrete.errors import StorageError
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    try:
        ImageTrainingConfig().save(sys.argv[1])
    except StorageError as error:
        print(error)
    """
    done = python(program, str(tmp_path / "config.yaml"), check=True)
    assert f"cannot write '{tmp_path}/config.yaml': File too large" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert (tmp_path / "config.yaml").read_bytes() == before
    assert ImageTrainingConfig.from_flat(load_config_values(tmp_path / "config.yaml")) == config


def test_a_log_with_garbage_ends_at_the_garbage(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for garbage in (b'{"step": 3, "x"', b"\x00" * 40, b"\xff\xfe", b"[1]", b'{"x": 1}', b"[" * 10**5):
        path.write_bytes(b'{"step": 1}\n{"step": 2}\n' + garbage + b'\n{"step": 4}\n')
        assert [line["step"] for line in read_metrics(path)] == [1, 2]
    with RunLog(tmp_path, 1, 10) as log:
        log.write(2, {"x": 1.0})
    assert [line["step"] for line in read_metrics(path)] == [1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_replaced_file_is_whole_when_it_is_synchronised_and_quick_ones_are_not(
    tmp_path: Path, events: list[tuple[str, Path, Any]]
) -> None:
    content = bytes(range(256)) * 1000
    for synced in (True, False):
        events.clear()
        with replacing_file(tmp_path / "a.bin", synced) as file:
            file.write(content)
        assert [(what, what == "fsync" and held) for what, _, held in events] == (
            [("fsync", content), ("rename", False), ("fsync", ["a.bin"])] if synced else [("rename", False)]
        )
        assert (tmp_path / "a.bin").read_bytes() == content
    events.clear()
    durable.write_synced(tmp_path / "b.bin", content)
    assert [(what, held) for what, _, held in events] == [("fsync", content)]
    with pytest.raises(FileExistsError):
        durable.write_synced(tmp_path / "b.bin", b"other")
    assert (tmp_path / "b.bin").read_bytes() == content


def test_what_the_dead_left_of_a_file_goes_and_what_is_not_theirs_stays(tmp_path: Path) -> None:
    dead, alien, other = (tmp_path / name for name in (".a.json.0000001f.tmp", ".a.json.kept", ".b.json.0000001f.tmp"))
    for path in (dead, alien, other):
        path.write_bytes(b"half")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "own").write_bytes(b"mine")
    link, folder_link = tmp_path / ".a.json.0000002f.tmp", tmp_path / ".writing-0000001f"
    link.symlink_to(tmp_path / "precious" / "own")
    folder_link.symlink_to(tmp_path / "precious")
    with replacing_file(tmp_path / "a.json") as living:
        living.write(b"first")
        with replacing_file(tmp_path / "a.json") as file:
            file.write(b"second")
        assert (tmp_path / "a.json").read_bytes() == b"second"
    durable.clean_leftovers(tmp_path)
    assert (tmp_path / "a.json").read_bytes() == b"first", "the living one was not taken away"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [alien.name, other.name, link.name, folder_link.name, "a.json", "precious"]
    )
    assert (tmp_path / "precious" / "own").read_bytes() == b"mine"


def test_a_changed_configuration_of_a_model_or_run_is_shown() -> None:
    one, other = ImageTrainingConfig(), ImageTrainingConfig()
    other = dataclasses.replace(other, training=dataclasses.replace(other.training, num_draws=7))
    assert other.differences(one) == ["num_draws: 20 -> 7"]
