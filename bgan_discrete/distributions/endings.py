"""Sequences that may end early: which positions count, and their canonical form.

A sequence of at most L codes is stored in L positions. The end is a category, which also pads the positions after the
first end: every sequence has exactly one form, and a generator cannot draw padding before the end. Positions up to and
including the first end count; the padding never does.

Letters: L positions, ``...`` any leading shape.
"""

import torch
from torch import Tensor


def counted_positions(codes: Tensor, end_id: int | None) -> Tensor:
    """Which positions of sequences count: all up to and including the first end.

    Args:
        codes: Integers ``[..., L]``.
        end_id: The category that ends a sequence; None where sequences always have L codes.

    Returns:
        Booleans ``[..., L]``.
    """
    if end_id is None:
        return torch.ones(codes.shape, dtype=torch.bool, device=codes.device)
    is_end = (codes == end_id).to(torch.int32)
    return is_end.cumsum(-1, dtype=torch.int32) == is_end


def pad_after_end(codes: Tensor, end_id: int | None) -> Tensor:
    """The canonical form of sequences: every position after the first end becomes the end's own category.

    Args:
        codes: Integers ``[..., L]``.
        end_id: As in `counted_positions`.

    Returns:
        ``[..., L]`` of the same dtype.
    """
    if end_id is None:
        return codes
    return codes.masked_fill(~counted_positions(codes, end_id), end_id)


def sequence_lengths(codes: Tensor, end_id: int | None) -> Tensor:
    """How many codes come before the end.

    Args:
        codes: Integers ``[..., L]``.
        end_id: As in `counted_positions`.

    Returns:
        int64 ``[...]``, 0 .. L.
    """
    counted = counted_positions(codes, end_id)
    return counted.sum(-1) if end_id is None else (counted & (codes != end_id)).sum(-1)


def carry_to_the_end(values: Tensor, counted: Tensor) -> Tensor:
    """Repeat the value of the last position that counts on the padding after it.

    Args:
        values: ``[..., L]``, one value of each prefix.
        counted: Booleans ``[..., L]``, true on a non-empty run from the start.

    Returns:
        ``[..., L]``: the value of each prefix of the padded sequence, which is that of the whole once it has ended.
    """
    last = counted.sum(-1, keepdim=True) - 1
    positions = torch.arange(values.shape[-1], device=values.device)
    return values.gather(-1, torch.minimum(positions.expand_as(values), last))
