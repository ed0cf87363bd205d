"""Partly drawn samples: a position that is not drawn yet holds the code K, *hidden*.

Where samples are drawn they are int64 ``[B, P]``; outside, ``[B, *event_shape]`` of the smallest dtype that holds K.

Letters: B samples, P positions (the event shape, flattened), K categories.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from bgan_discrete.distributions.endings import pad_after_end
from bgan_discrete.distributions.sampling import as_index, code_dtype
from bgan_discrete.errors import InputError
from bgan_discrete.space import SampleSpace


@dataclass(frozen=True)
class PartlyDrawn:
    """The forms of the partly drawn samples of a space.

    Attributes:
        space: What one sample is.
        device: Where samples are drawn.
    """

    space: SampleSpace
    device: torch.device

    @functools.cached_property
    def largest(self) -> Tensor:
        """The largest code of each position, ``[P]``."""
        sizes = self.space.sizes or (self.space.num_categories,) * self.space.num_positions
        return torch.tensor(sizes, device=self.device) - 1

    def blank(self, count: int) -> Tensor:
        """So many samples of which everything is hidden, ``[B, P]``."""
        shape = (count, self.space.num_positions)
        return torch.full(shape, self.space.num_categories, dtype=torch.long, device=self.device)

    def read(self, codes: Tensor) -> Tensor:
        """Codes ``[B, *event_shape]`` as they are drawn, ``[B, P]``.

        Raises:
            InputError: If they have another event shape, or are not integers.
        """
        event_shape = self.space.event_shape
        if tuple(codes.shape[1:]) != event_shape:
            raise InputError(f"codes must have shape [B, {str(list(event_shape))[1:-1]}], got {list(codes.shape)}")
        return as_index(codes.to(self.device)).flatten(1)

    def read_fixed(self, fixed: Tensor) -> Tensor:
        """Codes that samples are to have, K where they are to be drawn, as in `read`.

        Raises:
            InputError: As there, or if a position has no such code.
        """
        codes, hidden = self.read(fixed), self.space.num_categories
        if bool(((codes < 0) | (codes > self.largest) & (codes != hidden)).any()):
            raise InputError(
                f"fixed must hold codes in [0, {hidden}) that their positions have, and {hidden} where they are to be "
                "drawn"
            )
        return codes

    def shown(self, codes: Tensor) -> Tensor:
        """Samples ``[B, P]`` as a discriminator reads them, ``[B, *event_shape]``."""
        return codes.to(code_dtype(self.space.num_categories + 1)).view(-1, *self.space.event_shape)

    def finished(self, codes: Tensor) -> Tensor:
        """Samples ``[B, P]`` of which nothing is hidden, in the dtype of codes, and padded after their end."""
        return pad_after_end(codes.to(code_dtype(self.space.num_categories)), self.space.end_id)
