"""Processes that train together, as a launcher such as ``torchrun`` starts them.

Every process has a part of each batch. Gradients are averaged by PyTorch's `DistributedDataParallel`; everything else
that couples the samples of a batch (its partition function, the decision to stop) is reduced here.
"""

import inspect
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bgan_discrete.errors import BGANError, InputError

Result = TypeVar("Result")

PREPARATION = 12
"""Preparing the data for the others may take this many times the timeout: two hours for 600 s."""

TIMEOUT_VARIABLE = "BGAN_DISCRETE_TIMEOUT"
"""Seconds to wait for another process, of several that train together, until it counts as lost."""

MAX_TIMEOUT = 7 * 24 * 3600

LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Processes:
    """The processes of a training as one of them sees them."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among those of its machine
    control: Any = None  # the hosts' own group, for messages that must not wait for an accelerator; None alone
    patient: Any = None  # the same, for those that wait for the preparation of the data
    timeout: float = 600.0  # seconds until another process counts as lost; `PREPARATION` times as many for the data

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes, and speaks for all."""
        return self.rank == 0

    def gather(self, values: Tensor) -> Tensor:
        """The values of all processes ``[size, ...]``, of a tensor of the same shape in each; no gradient."""
        if self.size == 1:
            return values.detach()[None]
        found = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(
            found, values.detach().contiguous(), group=self.control if values.device.type == "cpu" else None
        )
        return torch.stack(found)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes, of a tensor of the same shape in each; no gradient."""
        return values.detach() if self.size == 1 else self.gather(values).mean(0)

    def part(self, rows: Any) -> Any:
        """This process's share of the rows of a batch; ``len(rows)`` is a multiple of `size`."""
        share = len(rows) // self.size
        return rows[self.rank * share : (self.rank + 1) * share]

    def after_the_first(self, work: Callable[[], Result]) -> Result:
        """Run some work on the first process of every machine, then on the others.

        The first ones may take `PREPARATION` times the timeout; the others the timeout, and as long as if each of all
        processes took what the first ones took, one after the other. Raises what the work raised in this process, or
        BGANError if it failed in another one, or one did not end it in this time.
        """
        if self.size == 1:
            return work()
        started = time.monotonic()
        result = self._together(work if self.local_rank == 0 else None, PREPARATION * self.timeout)
        seconds = self.timeout + self.size * (time.monotonic() - started)
        other = self._together(work if self.local_rank != 0 else None, seconds)
        return result if self.local_rank == 0 else other  # type: ignore[return-value]

    def _together(self, work: Callable[[], Result] | None, seconds: float) -> Result | None:
        result, error = None, None
        try:
            result = None if work is None else work()
        except Exception as found:
            error = found
        try:
            # The first process waits so long and names those that did not come; if it is away, the others time out.
            dist.monitored_barrier(self.patient, timedelta(seconds=seconds), wait_all_ranks=True)
        except RuntimeError as missing:
            named = re.search(r"Ranks? ([\d, ]+) failed to pass", str(missing))
            raise error or BGANError(
                f"process {named[1] if named else '0, or another one,'} was lost or did not prepare the data in time "
                f"({seconds:.0f} s, which grow with {TIMEOUT_VARIABLE})"
            ) from None
        failed = torch.tensor([int(error is not None)])
        dist.all_reduce(failed, dist.ReduceOp.MAX, group=self.control)
        if error is not None:
            raise error
        if failed.item():
            raise BGANError("another process of this training failed, and says why")
        return result

    def replicate(self, network: nn.Module) -> nn.Module:
        """The network in a wrapper that takes gradients, and statistics of batches, over all processes; alone, itself.

        Raises InputError for batch normalisation on a device on which processes cannot share their statistics.
        """
        if self.size == 1:
            return network
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules()):
            if next(network.parameters()).device.type != "cuda":
                raise InputError(
                    "batch normalisation over several processes needs CUDA; use GroupNorm or LayerNorm, or one process"
                )
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        # The one option has taken the place of the other in newer versions of torch.
        known = inspect.signature(DistributedDataParallel.__init__).parameters
        option = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {option: False}
        return DistributedDataParallel(network, **options)


ALONE = Processes()


_known: dict[Any, Processes] = {}
"""By a user's own default group, whose helper groups are created once."""


def plain(network: Any) -> Any:
    """The network itself, without what averages its gradients: where none are taken."""
    return network.module if isinstance(network, DistributedDataParallel) else network


def exchanging(network: Any, exchange: bool) -> AbstractContextManager[Any]:
    """A context for one forward and backward pass, whose gradients are averaged over the processes or not."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) and not exchange else nullcontext()


def current_processes() -> Processes:
    """The processes of torch.distributed's default group where it is there, else this one alone."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return ALONE
    group = dist.group.WORLD  # not its number, which another one may get after it
    if group not in _known:
        _known[group] = _describe(os.environ, None)
    return _known[group]


@contextmanager
def join_processes(device: str, timeout: float | None = None) -> Iterator[Processes]:
    """Join the processes that a launcher started, and leave them at the end; alone without a launcher.

    A launcher describes the others by the variables RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and, for several
    accelerators on a machine, LOCAL_RANK. Gradients go over NCCL on CUDA, else over gloo. Another process counts as
    lost after ``timeout`` seconds; None for the environment variable `TIMEOUT_VARIABLE`, or 600. Raises InputError if
    the variables or the device cannot be used, BGANError if the others are not found in time, or are lost.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1" or dist.is_initialized():
        yield current_processes()
        return
    rank, size = _launched(os.environ)
    timeout = _timeout(os.environ) if timeout is None else timeout
    patience = timedelta(seconds=timeout)
    on_cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_cuda and not (torch.cuda.is_available() and dist.is_nccl_available()):
        missing = "there is no CUDA device" if not torch.cuda.is_available() else "this PyTorch has no NCCL"
        raise InputError(f"device {device!r} cannot be used with several processes: {missing}; take cpu")
    try:
        dist.init_process_group("nccl" if on_cuda else "gloo", rank=rank, world_size=size, timeout=patience)
    except (RuntimeError, ValueError) as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        reason = " ".join(str(error).split())
        raise BGANError(f"process {rank} of {size} cannot reach the others by {address}: {reason}") from None
    try:
        yield _describe(os.environ, patience)
    except RuntimeError as error:
        if isinstance(error, BGANError) or not _is_about_others(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise BGANError(
            f"process {rank} of {size} lost another one, or waited {timeout:g} s ({TIMEOUT_VARIABLE}) for it: {reason}"
        ) from None
    # Only here: where another process is lost, leaving in order would wait for it.
    dist.destroy_process_group()


def _is_about_others(error: RuntimeError) -> bool:
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return any(word in text for word in ("gloo", "nccl", "timed out", "connection", "process group"))


def _launched(environment: Mapping[str, str]) -> tuple[int, int]:
    missing = [name for name in LAUNCHER_VARIABLES if not environment.get(name)]
    if missing:
        raise InputError(
            f"WORLD_SIZE is {environment.get('WORLD_SIZE')!r}, but {', '.join(missing)} is not set: start by torchrun, "
            f"or by a launcher that sets {', '.join(LAUNCHER_VARIABLES)}; unset WORLD_SIZE to train in one process"
        )
    numbers = {}
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT", "LOCAL_RANK"):
        text = environment.get(name, "0")
        if not text.isdecimal() or len(text) > 9:
            raise InputError(f"the variable {name} must be an integer from 0 to 999999999, got {text[:40]!r}")
        numbers[name] = int(text)
    rank, size = numbers["RANK"], numbers["WORLD_SIZE"]
    if not rank < size:
        raise InputError(f"the variable RANK must be below WORLD_SIZE = {size}, got {rank}")
    return rank, size


def _timeout(environment: Mapping[str, str]) -> float:
    text = environment.get(TIMEOUT_VARIABLE) or str(Processes.timeout)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= MAX_TIMEOUT:
        raise InputError(f"the variable {TIMEOUT_VARIABLE} must be seconds from 1 to {MAX_TIMEOUT}, got {text[:40]!r}")
    return seconds


def _describe(environment: Mapping[str, str], patience: timedelta | None) -> Processes:
    rank, size = dist.get_rank(), dist.get_world_size()
    control = dist.new_group(backend="gloo", timeout=patience)
    seconds = Processes.timeout if patience is None else patience.total_seconds()
    patient = dist.new_group(backend="gloo", timeout=timedelta(seconds=PREPARATION * seconds))
    return Processes(rank, size, int(environment.get("LOCAL_RANK", rank)), control, patient, seconds)
