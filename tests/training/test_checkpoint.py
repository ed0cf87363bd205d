"""Checkpoints one by one: their order, their steps, and what is said of those that are not whole."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from bgan_discrete.errors import InputError
from bgan_discrete.manifests import MANIFEST_FILE, DamagedError, file_facts, render_manifest
from bgan_discrete.training import checkpoint as checkpoints
from bgan_discrete.training.checkpoint import (
    check_checkpoint,
    checkpoint_path,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
    step_of,
)

CPU = torch.device("cpu")


def seal(folder: Path, step: Any) -> None:
    """A manifest that fits what is in the folder."""
    files = {path.name: file_facts(path) for path in folder.iterdir() if path.name != MANIFEST_FILE}
    (folder / MANIFEST_FILE).write_text(render_manifest("bgan_discrete.checkpoint", 2, files, step=step))


def test_a_step_is_told_by_the_name() -> None:
    assert [step_of(Path(name)) for name in ("step-00000012", "step-00000012.pt", "notes")] == [12, 12, -1]


def test_only_checkpoints_that_are_alone_count_among_those_that_stepped_aside(tmp_path: Path) -> None:
    for name in ("step-00000003", ".replaced-step-00000003", ".replaced-step-00000002", ".replaced-notes"):
        (tmp_path / name).mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == [".replaced-step-00000002", "step-00000003"]


@pytest.mark.parametrize("step", [0, 2**63 - 1])
def test_steps_from_zero_up_to_the_largest_of_64_bits_are_steps(tmp_path: Path, step: int) -> None:
    path = save_checkpoint(tmp_path, step, {"value": 1}, keep_last=1)
    assert load_checkpoint(path, CPU) == {"format_version": 2, "step": step, "value": 1}


@pytest.mark.parametrize("step", [2**63, -1, True, None, 1.0, "1"])
def test_other_steps_are_none(tmp_path: Path, step: Any) -> None:
    path = save_checkpoint(tmp_path, 1, {}, keep_last=1)
    seal(path, step)
    with pytest.raises(InputError, match=r"^checkpoint '.*step-00000001' cannot be read: its step must be in 0 \.\. 2"):
        check_checkpoint(path)


def test_a_step_must_be_that_of_the_name_where_this_tells_one(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, {}, keep_last=1)
    copy = path.rename(tmp_path / "copy")
    assert load_checkpoint(copy, CPU)["step"] == 1
    with pytest.raises(InputError, match=r"^checkpoint '.*' cannot be read: it holds step 1, and its name"):
        load_checkpoint(copy.rename(tmp_path / "step-00000002"), CPU)


def test_manifest_and_state_must_tell_of_the_same_step(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, {}, keep_last=1).rename(tmp_path / "copy")
    seal(path, 2)
    with pytest.raises(InputError, match=r"^checkpoint '.*copy' cannot be read: state.pt and manifest.json hold diff"):
        load_checkpoint(path, CPU)


def test_what_is_damaged_is_named_a_checkpoint_by_its_path(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, {"x": torch.zeros(9)}, keep_last=1)
    (path / "state.pt").write_bytes(b"no archive")
    with pytest.raises(DamagedError, match=r"^checkpoint '.*step-00000001' is damaged: state.pt is not the file that"):
        check_checkpoint(path)
    seal(path, 1)
    with pytest.raises(DamagedError, match=r"^checkpoint '.*step-00000001' is damaged: state.pt cannot be read: "):
        check_checkpoint(path)
    (path / "state.pt").unlink()
    seal(path, 1)
    with pytest.raises(InputError, match=r"^checkpoint '.*step-00000001' has no state.pt in its manifest.json$"):
        check_checkpoint(path)
    with pytest.raises(InputError, match=r"^checkpoint '.*none' does not exist$"):
        check_checkpoint(tmp_path / "none")


def test_what_torch_refuses_to_unpickle_is_said_in_our_own_words(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, {}, keep_last=1)
    torch.save({"format_version": 2, "step": 1, "x": Path("x")}, path / "state.pt")
    seal(path, 1)
    with pytest.raises(InputError, match=r"^checkpoint '.*' cannot be read: it holds more than tensors and"):
        load_checkpoint(path, CPU)


def test_a_part_of_a_checkpoint_is_not_taken_for_one(tmp_path: Path) -> None:
    state = save_checkpoint(tmp_path, 1, {}, keep_last=1) / "state.pt"
    with pytest.raises(InputError, match=r"^checkpoint '.*state.pt' is a file, not a folder: a part of a checkpoint"):
        load_checkpoint(state, CPU)


def test_the_manifest_tells_size_and_digest_of_what_was_written(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 7, {"x": torch.arange(1000)}, keep_last=1)
    assert path == checkpoint_path(tmp_path, 7)
    manifest = json.loads((path / MANIFEST_FILE).read_text())
    assert manifest["step"] == 7 and manifest["files"] == {"state.pt": file_facts(path / "state.pt")}


def test_the_first_error_of_writing_is_the_one_that_is_raised(tmp_path: Path) -> None:
    class Full:
        """A file of a disk that is full after some bytes, and once more."""

        def __init__(self) -> None:
            self.calls = 0

        def write(self, piece: bytes) -> int:
            self.calls += 1
            if self.calls > 1:
                raise OSError(28, f"call {self.calls}")
            return len(piece)

    file = Full()
    digested = checkpoints._Digested(file)  # type: ignore[arg-type]
    for _ in range(3):
        digested.write(b"abc")
    assert file.calls == 2, "nothing more is written behind a hole"
    with pytest.raises(OSError, match="call 2"):
        digested.finish()


def test_a_checkpoint_to_resume_is_named_or_the_latest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^resume 'latest' finds no checkpoint in '.*'$"):
        find_checkpoint(tmp_path, "latest")
    with pytest.raises(InputError, match=r"^resume must be 'latest' or a checkpoint, got '.*none', which"):
        find_checkpoint(tmp_path, str(tmp_path / "none"))
    first, second = (save_checkpoint(tmp_path, step, {}, keep_last=2) for step in (1, 2))
    assert find_checkpoint(tmp_path, "latest") == second and find_checkpoint(tmp_path, str(first)) == first


def test_tensors_go_where_they_are_wanted(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, {"x": torch.ones(3)}, keep_last=1)
    assert load_checkpoint(path, torch.device("meta"))["x"].device.type == "meta"


def test_an_archive_that_is_none_of_torchs_is_not_called_a_pickle(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, {}, keep_last=1)
    with zipfile.ZipFile(path / "state.pt", "w") as archive:
        archive.writestr("notes.txt", "x")
    seal(path, 1)
    with pytest.raises(InputError, match=r"^checkpoint '.*' cannot be read: (?!it holds more)"):
        load_checkpoint(path, CPU)


def test_a_checkpoint_that_cannot_be_written_costs_no_other(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {}, keep_last=2)
    with pytest.raises(Exception, match=r"pickle|Can't"):
        save_checkpoint(tmp_path, 3, {"value": lambda: None}, keep_last=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]


def test_of_the_oldest_only_a_runs_own_go(tmp_path: Path) -> None:
    noted = save_checkpoint(tmp_path, 1, {}, keep_last=9)
    (noted / "note.txt").touch()
    save_checkpoint(tmp_path, 2, {}, keep_last=9)
    (tmp_path / "step-00000003").symlink_to("step-00000002")
    save_checkpoint(tmp_path, 4, {}, keep_last=9)
    save_checkpoint(tmp_path, 5, {}, keep_last=1)
    kept = ["step-00000001", "step-00000003", "step-00000005"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


@pytest.mark.parametrize("state", [[1], {"step": 1}, {"format_version": True, "step": 1}, {"format_version": 2}])
def test_a_state_of_another_form_is_refused(tmp_path: Path, state: Any) -> None:
    path = save_checkpoint(tmp_path, 1, {}, keep_last=1)
    torch.save(state, path / "state.pt")
    seal(path, 1)
    with pytest.raises(InputError, match=r"^checkpoint '.*' cannot be read: it is no checkpoint of this package$"):
        load_checkpoint(path, CPU)
