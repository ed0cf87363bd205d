"""In which order positions are drawn, and how an order is cut into rounds.

An order is a rank for each position, 0 for what is drawn first. A cut is the number of positions of each round.

Letters: P positions of a sample (the event shape, flattened), S rounds.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from bgan_discrete.errors import InputError

OrderName = Literal["left_to_right", "interleaved", "coarse_to_fine", "information", "random"]

ORDER_SEED = 0
"""Of the order ``random``, which is the same one for every model."""


def ranks_of(order: str, event_shape: Sequence[int]) -> Tensor:
    """The rank of each position in an order.

    Args:
        order: ``left_to_right``: as positions are stored, row by row. ``interleaved``: every position halves the widest
            gap, so that the first ones are spread over the whole sample. ``coarse_to_fine``: the same on both axes of a
            plane, the last two of the event shape, with all channels of a pixel next to each other. ``random``: a fixed
            permutation. ``information``: as ``left_to_right`` until `ranks_by_information` gives one.
        event_shape: Of a sample.

    Returns:
        int64 ``[P]``, a permutation.

    Raises:
        InputError: If the name is unknown, or a plane is asked for where there is none.

    Examples:
        >>> ranks_of("interleaved", (8,)).tolist()
        [0, 4, 2, 6, 1, 5, 3, 7]
    """
    num_positions = math.prod(event_shape)
    positions = np.arange(num_positions)
    if order in ("left_to_right", "information"):
        return torch.from_numpy(positions)  # on the CPU, even where a network is only measured
    if order == "random":
        return torch.from_numpy(np.random.Generator(np.random.Philox(ORDER_SEED)).permutation(num_positions))
    if order == "interleaved":
        return torch.from_numpy(_ranks(_level(positions), positions))
    if order != "coarse_to_fine":
        raise InputError(f"order must be one of {', '.join(get_args(OrderName))}, got {order!r}")
    if len(event_shape) < 2:
        raise InputError(f"order 'coarse_to_fine' needs a plane, got samples {tuple(event_shape)}: use interleaved")
    height, width = event_shape[-2:]
    row, column = np.arange(height)[:, None], np.arange(width)[None]
    # Each halving of the grid first adds the pixels in the middle of four others, then those between two.
    is_diagonal = _level(row) == _level(column)
    level = 2 * np.maximum(_level(row), _level(column)) + ~is_diagonal
    ranks = _ranks(level.ravel(), np.arange(height * width))
    channels = num_positions // (height * width)
    return torch.from_numpy((ranks * channels + np.arange(channels)[:, None]).ravel())


def ranks_by_information(codes: np.ndarray | Tensor, num_categories: int, rows: int = 5000) -> Tensor:
    """An order of columns in which each one is known to much of what was drawn before it.

    The first column is that whose mutual information with all others is largest in sum; then always the one that shares
    most information with a column that is already there.

    Args:
        codes: Integers ``[S, P]`` in ``[0, K)``, the data.
        num_categories: K.
        rows: At most so many rows are counted, evenly spaced.

    Returns:
        int64 ``[P]``, the rank of each column.

    Source:
        The order in which Prim's algorithm visits the tree of Chow and Liu (1968).
    """
    taken = np.linspace(0, len(codes) - 1, min(len(codes), rows)).astype(np.int64)
    samples = np.asarray(codes[taken]).reshape(len(taken), -1).astype(np.int64)
    information = _mutual_information(samples, num_categories)
    order = [int(information.sum(1).argmax())]
    while len(order) < samples.shape[1]:
        known = information[order].max(0)
        known[order] = -np.inf
        order.append(int(known.argmax()))
    return torch.from_numpy(np.argsort(order))


def cut_sizes(num_positions: int, num_rounds: int, cut: str | Sequence[int] = "halving") -> tuple[int, ...]:
    """The number of positions of each round.

    Args:
        num_positions: P.
        num_rounds: S, at most P.
        cut: ``halving``: rounds grow, where possible by a factor of 2, since the more is known the more can be drawn at
            once; ``equal``: all alike, as far as that goes; or the S sizes.

    Returns:
        S numbers of at least 1 that sum to P.

    Raises:
        InputError: If S is not between 1 and P, the name is unknown, or the sizes do not fit.

    Examples:
        >>> cut_sizes(32, 4), cut_sizes(32, 4, "equal")
        ((4, 4, 8, 16), (8, 8, 8, 8))
    """
    if not 1 <= num_rounds <= num_positions:
        raise InputError(f"rounds must be between 1 and the {num_positions} positions of a sample, got {num_rounds}")
    if not isinstance(cut, str):
        sizes = tuple(int(size) for size in cut)
        if len(sizes) != num_rounds or sum(sizes) != num_positions or min(sizes) < 1:
            raise InputError(
                f"cut must be {num_rounds} sizes of at least 1 that sum to the {num_positions} positions of a sample, "
                f"got {', '.join(map(str, sizes))}"
            )
        return sizes
    if cut == "equal":
        ends = [round(num_positions * (s + 1) / num_rounds) for s in range(num_rounds)]
    elif cut == "halving":
        ends = _halving_ends(num_positions, num_rounds)
    else:
        raise InputError(f"cut must be 'halving', 'equal' or sizes such as 4,4,8,16, got {cut!r}")
    differences = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return tuple(sorted(differences) if cut == "halving" else differences)


def _halving_ends(num_positions: int, num_rounds: int) -> list[int]:
    """Where rounds end: at half of the next one's end, or, for more rounds than that allows, growing more slowly."""
    ends = [num_positions]
    while len(ends) < num_rounds and ends[0] > 1:
        ends.insert(0, (ends[0] + 1) // 2)
    if len(ends) == num_rounds and ends[0] >= 1 and len(set(ends)) == num_rounds:
        return ends
    # Sizes 1, r, r^2, ... whose sum is P: the ratio r by bisection.
    low, high = 1.0, 2.0
    for _ in range(60):
        ratio = (low + high) / 2
        total = sum(ratio**s for s in range(num_rounds))
        low, high = (ratio, high) if total < num_positions else (low, ratio)
    sums = np.cumsum([low**s for s in range(num_rounds)])
    ends = [round(float(value)) for value in sums / sums[-1] * num_positions]
    for s in range(num_rounds):  # at least one position each
        ends[s] = max(ends[s], (ends[s - 1] if s else 0) + 1)
    return ends


def round_numbers(ranks: Tensor, sizes: Sequence[int]) -> Tensor:
    """The round of each position, int64 ``[P]``, of ranks ``[P]`` cut into rounds of these sizes."""
    ends = torch.tensor(sizes, device=ranks.device).cumsum(0)
    return torch.searchsorted(ends, ranks, right=True)


def _level(index: np.ndarray) -> np.ndarray:
    """How often the gaps between multiples of a power of 2 are halved until ``index`` is reached: 0 for index 0."""
    num_bits = int(index.max()).bit_length()
    trailing_zeros = sum(index % 2 ** (bit + 1) == 0 for bit in range(num_bits)) if num_bits else 0 * index
    return num_bits - np.asarray(trailing_zeros)


def _ranks(level: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Ranks of positions by their level; within a level they are spread out too."""
    reversed_bits = np.zeros_like(position)
    for bit in range(int(position.max()).bit_length()):
        reversed_bits = reversed_bits * 2 + (position >> bit) % 2
    return np.argsort(np.lexsort((reversed_bits, level)))


def _mutual_information(samples: np.ndarray, num_categories: int) -> np.ndarray:
    """Between all pairs of columns ``[P, P]``, nats, with Miller and Madow's correction; 0 of a column with itself."""
    num_samples, num_columns = samples.shape
    information = np.zeros((num_columns, num_columns))
    for first in range(num_columns):
        for second in range(first):
            pairs, counts = np.unique(samples[:, first] * num_categories + samples[:, second], return_counts=True)
            of_first = np.bincount(samples[:, first], minlength=num_categories)
            of_second = np.bincount(samples[:, second], minlength=num_categories)
            independent = of_first[pairs // num_categories] * of_second[pairs % num_categories] / num_samples
            value = float((counts * np.log(counts / independent)).sum()) / num_samples
            degrees = len(pairs) - (of_first > 0).sum() - (of_second > 0).sum() + 1
            information[first, second] = information[second, first] = max(value - degrees / (2 * num_samples), 0.0)
    return information
