"""The device that a name means."""

import torch

from bgan_discrete.errors import InputError, one_line
from bgan_discrete.parallel import ALONE, Processes


def resolve_device(name: str, processes: Processes = ALONE) -> torch.device:
    """The device of a name, ``auto`` for CUDA where there is one; of several processes on a machine each has its own.

    Raises InputError if the name is unknown or the device cannot be used.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if processes.size > 1 and name.startswith("cuda"):
        if name != "cuda":
            raise InputError(
                f"device must be cuda or auto with several processes, each of which has its own, got {name!r}"
            )
        if processes.local_rank >= torch.cuda.device_count():
            raise InputError(
                f"a machine with {torch.cuda.device_count()} CUDA devices takes as many processes, got number "
                f"{processes.local_rank} (LOCAL_RANK, from 0)"
            )
        name = f"cuda:{processes.local_rank}"
        torch.cuda.set_device(processes.local_rank)
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # there are devices that take a tensor and hold nothing
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used: {one_line(error)}") from None
    return device
