"""Checkpoints: the whole state of a run in one file; a crash while writing leaves the old ones."""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import torch

from bgan_discrete.errors import InputError

FORMAT_VERSION = 1
_NAME = re.compile(r"step-(\d{8})\.pt")


def checkpoint_path(folder: Path, step: int) -> Path:
    """The file of a step's checkpoint in a folder."""
    return folder / f"step-{step:08d}.pt"


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in a folder, oldest step first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep_last: int) -> Path:
    """Write a checkpoint under a temporary name, then rename it; remove the oldest ones only afterwards.

    Args:
        folder: Where checkpoints are; made if missing.
        step: Generator steps taken.
        state: Tensors and plain types only, since it is read back without unpickling objects.
        keep_last: How many checkpoints stay, >= 1.

    Returns:
        The new file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = checkpoint_path(folder, step)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".writing-", suffix=".pt")
    try:
        with os.fdopen(descriptor, "wb") as file:
            torch.save({"format_version": FORMAT_VERSION, "step": step, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    for old in list_checkpoints(folder)[:-keep_last]:
        old.unlink()
    return path


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint without executing anything in it.

    Args:
        path: The file.
        device: Where its tensors go.

    Returns:
        The state that was saved, with ``format_version`` and ``step``.

    Raises:
        InputError: If the file is missing, damaged, no checkpoint, or of a newer format.
    """
    if not path.is_file():
        raise InputError(f"checkpoint {str(path)!r} does not exist")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        version = int(state["format_version"])
    except Exception as error:  # torch raises many types for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"checkpoint {str(path)!r} cannot be read: {reason}") from None
    if version > FORMAT_VERSION:
        raise InputError(f"checkpoint {str(path)!r} has format {version}; this version reads up to {FORMAT_VERSION}")
    return dict(state)


def find_checkpoint(folder: Path, which: str) -> Path:
    """The checkpoint that ``--resume`` names.

    Args:
        folder: Where the run's checkpoints are.
        which: ``"latest"``, or the path of a checkpoint file.

    Returns:
        The file.

    Raises:
        InputError: If there is none.
    """
    if which != "latest":
        path = Path(which)
        if not path.is_file():
            raise InputError(f"resume must be 'latest' or a checkpoint file, got {which!r}, which does not exist")
        return path
    found = list_checkpoints(folder)
    if not found:
        raise InputError(f"resume 'latest' finds no checkpoint in {str(folder)!r}")
    return found[-1]
