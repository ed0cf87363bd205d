"""The lock of a training on its folder: no two write there at once, and none replaces another."""

import logging
from contextlib import ExitStack
from pathlib import Path

from bgan_discrete.durable import hold_folder
from bgan_discrete.errors import InputError
from bgan_discrete.parallel import Processes
from bgan_discrete.training.checkpoint import list_checkpoints

LOCK_FILE = ".training.lock"
"""In ``output_dir``, while a trainer writes there."""

_log = logging.getLogger(__name__)


def claim_folder(folder: Path | None, is_new: bool, processes: Processes) -> ExitStack:
    """Lock the folder of a training, in the process that writes; the others wait for it.

    Raises InputError if another training writes there, or if a new one would replace the checkpoints of another.
    """
    written_folder = folder if processes.is_first else None
    return processes.after_the_first(lambda: _hold(written_folder, is_new))


def _hold(folder: Path | None, is_new: bool) -> ExitStack:
    with hold_folder(folder, LOCK_FILE) as held:
        if folder is not None and is_new:
            earlier = list_checkpoints(folder / "checkpoints")
            if any(path.is_file() or (path / "manifest.json").exists() for path in earlier):
                raise InputError(
                    f"output_dir {str(folder)!r} holds another training: resume that one, or give another folder"
                )
            metrics = folder / "metrics.jsonl"
            if metrics.exists() and metrics.stat().st_size:
                _log.warning("%r is of a training without a checkpoint, and is written anew", str(metrics))
        return held.pop_all()
