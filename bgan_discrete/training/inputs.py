"""The checked inputs of a training: networks, codes and labels, and the processes' shares of a batch."""

import hashlib
import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgan_discrete.config import TrainingConfig
from bgan_discrete.config.training import shares_of_phases
from bgan_discrete.errors import InputError
from bgan_discrete.game.credit import credit_name
from bgan_discrete.game.players import Discriminator, Generator, check_players
from bgan_discrete.game.rules import Game
from bgan_discrete.parallel import Processes
from bgan_discrete.training.batches import BatchOrder
from bgan_discrete.training.judging import MIN_HALF, validation_rows
from bgan_discrete.training.labels import checked_labels

RESIDENT_BYTES = 2 * 1024**3
"""Codes up to this size are kept on the accelerator as a whole."""

CODE_DTYPES = ("uint8", "int8", "int16", "int32", "int64")
"""What codes may be, in the byte order of the machine: torch draws and compares no other integers."""

CHECKED_ROWS = 65536
"""Rows of the codes that are checked together, so that memory-mapped ones need not fit into memory."""

DIGEST_BYTES = 1024**3
"""Up to this size the data are recognised on resume by all of their rows."""

DIGEST_ROWS = 4096
"""Beyond that, by at least this many rows, evenly spaced."""


def check_networks(generator: Generator, discriminator: Discriminator) -> None:
    """Raise InputError for networks of other classes, without parameters to learn, or that do not fit each other."""
    check_players(generator, discriminator, needed=("generator", "discriminator"))
    for who, network in (("generator", generator), ("discriminator", discriminator)):
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise InputError(f"{who} must have parameters that require a gradient, got {type(network).__name__}")


class TrainingData:
    """Codes and their labels, checked, in the order in which a training sees them.

    Codes, integers ``[S, *event_shape]`` in ``[0, K)``, may be memory-mapped; they are kept on an accelerator if they
    fit, else their rows go there batch by batch. Labels ``[S]`` are int64 on the device, or None. For a judge some rows
    are kept back, in two halves, ``validation``, where they are enough. Raises InputError if codes or labels cannot be
    used, or do not fit the networks, ``players``.
    """

    def __init__(
        self,
        codes: np.ndarray | Tensor,
        labels: np.ndarray | Tensor | None,
        players: tuple[Generator, Discriminator],
        config: TrainingConfig,
        device: torch.device,
        processes: Processes,
        for_judge: bool = False,
    ) -> None:
        space = players[0].space
        _check_codes(codes, space.num_categories)
        self.event_shape = tuple(codes.shape[1:])
        if space.sizes is not None and space.event_shape == self.event_shape:
            _check_sizes_of_codes(codes, torch.tensor(space.sizes).reshape(space.event_shape))
        self.labels = checked_labels(labels, len(codes), *players)
        if self.labels is not None:
            self.labels = self.labels.to(device)
        self.codes = _resident(codes, device)
        self.validation = validation_rows(len(codes), config.seed) if for_judge else None
        self._learnt: NDArray[np.int64] | None = None
        self._like_samples: NDArray[np.int64] | None = None
        if self.validation is not None:
            self._learnt = np.setdiff1d(np.arange(len(codes)), np.concatenate(self.validation))
        self.order = BatchOrder(self.num_learnt, config.batch_size, config.seed)
        self._device, self._processes = device, processes

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def num_learnt(self) -> int:
        """Rows that batches are made of."""
        return len(self.codes) if self._learnt is None else len(self._learnt)

    def batch(self, number: int) -> tuple[Tensor, Tensor | None]:
        """This process's share of the batch ``number``, from 0: codes ``[N, *event_shape]``, and labels or None."""
        indices = self._processes.part(self.order.indices(number))
        return self.rows(torch.from_numpy(indices if self._learnt is None else self._learnt[indices]))

    @property
    def learnt(self) -> NDArray[np.int64]:
        """The rows that batches are made of, ascending."""
        return np.arange(len(self.codes)) if self._learnt is None else self._learnt

    def some_rows(self, count: int) -> NDArray[np.int64]:
        """At most ``count`` of the rows of batches, or of those that are as samples are to be, evenly spaced."""
        rows = self.learnt if self._like_samples is None else self._like_samples
        return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)]

    def some_learnt(self, count: int) -> tuple[Tensor, Tensor | None]:
        """Codes and labels, as `batch` gives them, of `some_rows`."""
        return self.rows(torch.from_numpy(self.some_rows(count)))

    def weigh(self, weights: NDArray[np.float64]) -> None:
        """Let batches have rows in proportion to ``weights``, one for each of `learnt`, that sum to 1."""
        self.order = BatchOrder(self.num_learnt, self.order.batch_size, self.order.seed, weights)

    def follow(self, like_samples: NDArray[np.int64], halves: Sequence[NDArray[np.int64]]) -> None:
        """Give the judge other rows: some of the learnt ones for its floor, and halves, if they are still enough."""
        self._like_samples = like_samples
        if self.validation is not None:
            count = min(map(len, halves))
            first, second = (half[:count] for half in halves)
            self.validation = (first, second) if count >= MIN_HALF and len(like_samples) else None

    def kept_back(self, half: int) -> tuple[Tensor, Tensor | None]:
        """Codes and labels, as `batch` gives them, of the first or the second ``half`` of the rows for the judge."""
        assert self.validation is not None
        return self.rows(torch.from_numpy(self.validation[half]))

    def rows(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Codes and labels, as `batch` gives them, of the rows ``indices``, int64 ``[N]`` on the CPU."""
        labels = None if self.labels is None else self.labels[self._on_device(indices)]
        if isinstance(self.codes, Tensor) and self.codes.device.type != "cpu":
            return self.codes[self._on_device(indices)], labels
        rows = self.codes[indices] if isinstance(self.codes, Tensor) else torch.from_numpy(self.codes[indices.numpy()])
        return self._on_device(rows), labels

    @cached_property
    def digest(self) -> str:
        """A digest by which a resumed run recognises its data, of all rows, or of some rows of large data."""
        codes = self.codes
        stride = 1 if codes.nbytes <= DIGEST_BYTES else max(1, len(codes) // DIGEST_ROWS)
        digest = hashlib.sha256()
        for start in range(0, len(codes), CHECKED_ROWS * stride):
            rows = codes[start : start + CHECKED_ROWS * stride : stride]
            array = rows.cpu().numpy() if isinstance(rows, Tensor) else np.ascontiguousarray(rows)
            if start == 0:
                digest.update(f"{array.dtype} {tuple(codes.shape)}".encode())
            digest.update(array.tobytes())
        if self.labels is not None:
            digest.update(self.labels.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _on_device(self, tensor: Tensor) -> Tensor:
        """An asynchronous copy."""
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)


def _check_codes(codes: np.ndarray | Tensor, num_categories: int) -> None:
    """Raise InputError for anything but codes ``[samples, *event_shape]`` of K categories."""
    kind = str(codes.dtype if isinstance(codes, (np.ndarray, Tensor)) else type(codes).__name__).removeprefix("torch.")
    if kind not in CODE_DTYPES:
        raise InputError(
            f"codes must be an integer array ({', '.join(CODE_DTYPES)}), got {kind}"
            + ('; .astype("uint8") makes them 0 and 1' if kind == "bool" else "")
        )
    if isinstance(codes, np.ma.MaskedArray):
        raise InputError("codes must be an array without a mask, whose values would be data: .filled(k) gives them one")
    if codes.ndim < 2 or math.prod(codes.shape) == 0:
        raise InputError(f"codes must have shape [samples, *event_shape] and hold data, got {list(codes.shape)}")
    for start in range(0, len(codes), CHECKED_ROWS):
        rows = codes[start : start + CHECKED_ROWS]
        low, high = int(rows.min()), int(rows.max())
        if low < 0 or high >= num_categories:
            raise InputError(
                f"codes must be in [0, {num_categories}), got {low if low < 0 else high} "
                f"among rows {start} to {start + len(rows) - 1}"
            )


def _check_sizes_of_codes(codes: np.ndarray | Tensor, sizes: Tensor) -> None:
    """Raise InputError for codes that their position does not have."""
    for start in range(0, len(codes), CHECKED_ROWS):
        rows = codes[start : start + CHECKED_ROWS]
        largest = torch.as_tensor(rows.amax(0) if isinstance(rows, Tensor) else rows.max(0)).to("cpu", torch.int64)
        if bool((largest >= sizes).any()):
            position = tuple(int(axis) for axis in torch.nonzero(largest >= sizes)[0])
            raise InputError(
                f"codes of position {list(position)} must be in [0, {int(sizes[position])}), the generator's size "
                f"there, got {int(largest[position])} among rows {start} to {start + len(rows) - 1}"
            )


def _resident(codes: np.ndarray | Tensor, device: torch.device) -> np.ndarray | Tensor:
    """The codes, as a whole on the accelerator where they fit."""
    if codes.nbytes > RESIDENT_BYTES:
        return codes
    if isinstance(codes, Tensor):
        return codes.to(device)
    return codes if device.type == "cpu" else torch.from_numpy(np.ascontiguousarray(codes)).to(device)


def check_shares(config: TrainingConfig, processes: Processes) -> None:
    """Raise InputError for a batch that processes, and the parts that each takes, cannot share evenly."""
    shares = processes.size * config.gradient_accumulation_steps
    if processes.size > 1 and config.batch_size % shares:
        raise InputError(
            f"batch_size must be a multiple of the {processes.size} processes times gradient_accumulation_steps = "
            f"{config.gradient_accumulation_steps}, such as {shares * max(1, round(config.batch_size / shares))}, got "
            f"{config.batch_size}"
        )


def check_labels_go_with(config: TrainingConfig, game: Game, labels: Tensor | None, in_rounds: bool) -> None:
    """Raise InputError for labels with continuous grey levels, alternatives, or a likelihood except of rounds."""
    has_likelihood = "likelihood" in shares_of_phases(config.phases) and not in_rounds
    without = config.continuous != "none" or has_likelihood or credit_name(game.credit) == "alternatives"
    if labels is not None and without:
        raise InputError(
            "labels do not go with continuous, phases with likelihood or credit 'alternatives'; leave these out"
        )
