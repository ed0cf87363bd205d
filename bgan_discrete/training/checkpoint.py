"""Checkpoints: the whole state of a run in a folder that is either complete or absent.

``step-00000123/`` holds ``state.pt`` and ``manifest.json``. The single files of format version 1, ``step-00000123.pt``,
are refused.
"""

import hashlib
import logging
import os
import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from bgan_discrete.durable import (
    REPLACED,
    clean_leftovers,
    discard,
    make_folder,
    publish_folder,
    storage_error,
    working_folder,
    write_synced,
)
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.manifests import (
    IF_OLDER,
    MANIFEST_FILE,
    DamagedError,
    NewerFormatError,
    check_version,
    read_json,
    render_manifest,
    verify_folder,
)

FORMAT_VERSION = 2
FORMAT = "bgan_discrete.checkpoint"
STATE_FILE = "state.pt"

_NAME = re.compile(r"step-(\d{8,})(\.pt)?")

_log = logging.getLogger(__name__)


def checkpoint_path(folder: Path, step: int) -> Path:
    """The folder of a step's checkpoint in a folder of checkpoints."""
    return folder / f"step-{step:08d}"


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in a folder, oldest step first, with those that a crash left renamed for a replacement."""
    if not folder.is_dir():
        return []
    checkpoints = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    renamed = [path for path in folder.iterdir() if path.name.startswith(REPLACED)]
    checkpoints += [path for path in renamed if _is_left_alone(path, path.name.removeprefix(REPLACED))]
    return sorted(checkpoints, key=step_of)


def _is_left_alone(path: Path, name: str) -> bool:
    return _NAME.fullmatch(name) is not None and not path.with_name(name).exists()


def _is_own(path: Path) -> bool:
    """Whether a checkpoint is no link and holds nothing but the files that a run writes."""
    holds_more = path.is_dir() and not {file.name for file in path.iterdir()} <= {STATE_FILE, MANIFEST_FILE}
    return not path.is_symlink() and not holds_more


def step_of(path: Path) -> int:
    """The step in the name of a checkpoint ``path``; -1 where there is none."""
    match = _NAME.search(path.name)
    return int(match[1]) if match else -1


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep_last: int) -> Path:
    """Write a checkpoint under a temporary name, then give it its name, and only then remove the oldest ones.

    Of the steps up to this one ``keep_last`` checkpoints stay; later ones, links, and those that hold other files stay
    too. ``state`` holds tensors and plain types only. If it cannot be written, such as on a full disk, StorageError is
    raised and the checkpoints before it are untouched.
    """
    path = checkpoint_path(folder, step)
    try:
        make_folder(folder)
        clean_leftovers(folder)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"there is a file of this name: {path}")
        with working_folder(folder) as working:
            facts = _write_state({"format_version": FORMAT_VERSION, "step": step, **state}, working / STATE_FILE)
            manifest = render_manifest(FORMAT, FORMAT_VERSION, {STATE_FILE: facts}, step=step)
            write_synced(working / MANIFEST_FILE, manifest.encode())
            publish_folder(working, path)
        earlier = [old for old in list_checkpoints(folder) if step_of(old) < step and _is_own(old)]
        for old in earlier[: max(0, len(earlier) - (keep_last - 1))]:
            discard(old)
    except OSError as error:
        raise storage_error(f"checkpoint {str(path)!r}", error) from None
    return path


class _Digested:
    """What `torch.save` writes to: a file, its size, SHA-256 and first error, whose reason torch would hide."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self._size = file, hashlib.sha256(), 0
        self._error: OSError | None = None

    def write(self, piece: bytes | memoryview) -> int:
        size = memoryview(piece).nbytes
        if self._error is None:
            try:
                self._file.write(piece)
            except OSError as error:
                self._error = error
        self._digest.update(piece)
        self._size += size
        return size

    def flush(self) -> None:
        """Does nothing: `finish` flushes."""

    def finish(self) -> dict[str, Any]:
        if self._error is not None:
            raise self._error
        self._file.flush()
        os.fsync(self._file.fileno())
        return {"size": self._size, "sha256": self._digest.hexdigest()}


def _write_state(state: dict[str, Any], path: Path) -> dict[str, Any]:
    """Write a state and wait until it is on the disk; gives the size and digest of what should be there."""
    with path.open("xb") as file:
        digested = _Digested(file)
        torch.save(state, cast(BinaryIO, digested))
        return digested.finish()


def check_checkpoint(path: Path) -> None:
    """Check that a checkpoint is as it was written, without using it.

    Raises DamagedError, which names what is missing or was changed, NewerFormatError, or InputError for an older format
    or something else.
    """
    named = f"checkpoint {str(path)!r}"
    if path.is_file():
        raise InputError(f"{named} is a file, not a folder: a part of a checkpoint, or of format version 1: {IF_OLDER}")
    if not path.is_dir():
        raise InputError(f"{named} does not exist")
    manifest = verify_folder(path, FORMAT, FORMAT_VERSION, "checkpoint")
    if STATE_FILE not in manifest["files"]:
        raise InputError(f"{named} has no {STATE_FILE} in its {MANIFEST_FILE}")
    _check_step(manifest.get("step"), path, named)
    _check_archive(path / STATE_FILE, named)


def _check_step(step: Any, path: Path, named: str) -> None:
    """Refuse a step that is no number, of which only the type is named, or not the one in the folder's name."""
    if type(step) is not int or not 0 <= step < 2**63:
        # A small file can hold a list that fills any memory as text.
        raise InputError(f"{named} cannot be read: its step must be in 0 .. 2**63 - 1, got {type(step).__name__}")
    if step_of(path) not in (-1, step):
        raise InputError(f"{named} cannot be read: it holds step {step}, and its name tells another one")


def _check_archive(path: Path, named: str) -> None:
    """A torch file is a ZIP of uncompressed parts: nothing in it grows when it is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            grows = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    except Exception as error:  # zipfile raises many types for a damaged file
        raise DamagedError(f"{named} is damaged: {path.name} cannot be read: {one_line(error)}") from None
    if grows:
        raise InputError(f"{named} holds compressed parts, which no checkpoint has")


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint, compared with its manifest first, without executing anything in it.

    It has ``format_version`` and ``step`` beside what was saved. Raises InputError for whatever is not right with it.
    """
    check_checkpoint(path)
    named = f"checkpoint {str(path)!r}"
    try:
        state = torch.load(path / STATE_FILE, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many types for a damaged file
        # torch's own words on what it refuses to unpickle advise to unpickle it all the same.
        refused = type(error).__name__ == "UnpicklingError"
        reason = "it holds more than tensors and plain types" if refused else one_line(error)
        raise InputError(f"{named} cannot be read: {reason}") from None
    if not isinstance(state, dict) or type(state.get("format_version")) is not int or "step" not in state:
        raise InputError(f"{named} cannot be read: it is no checkpoint of this package")
    check_version(named, state["format_version"], FORMAT_VERSION)
    _check_step(state["step"], path, named)
    if read_json(path / MANIFEST_FILE)["step"] != state["step"]:
        raise InputError(f"{named} cannot be read: {STATE_FILE} and {MANIFEST_FILE} hold different steps")
    return dict(state)


def find_checkpoint(folder: Path, which: str) -> Path:
    """The checkpoint of a path, or the ``"latest"`` one in a folder: the newest that is whole.

    A warning names everything newer with a checkpoint's name: damaged ones, broken links, other files and folders.
    Raises InputError if there is none, the named one is damaged, or another version of the package wrote it.
    """
    if which != "latest":
        path = Path(which)
        if not path.exists():
            raise InputError(f"resume must be 'latest' or a checkpoint, got {which!r}, which does not exist")
        check_checkpoint(path)
        return path
    faults: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            check_checkpoint(path)
        except NewerFormatError:
            raise
        except (InputError, OSError) as error:
            faults.append(one_line(error))
            continue
        for fault in faults:
            _log.warning("%s; going on from %s, which is whole", fault, path)
        return path
    if faults:
        raise InputError(f"resume 'latest' finds no checkpoint that can be used in {str(folder)!r}: {faults[0]}")
    raise InputError(f"resume 'latest' finds no checkpoint in {str(folder)!r}")
