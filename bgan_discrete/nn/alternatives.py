"""A discriminator of sequences that scores, in one pass, every code that could stand at each position.

Letters: B samples, L positions, K categories, W features.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from bgan_discrete.errors import InputError
from bgan_discrete.nn.inputs import CodeInput
from bgan_discrete.sequences import carry_to_the_end, counted_positions

Context = Literal["prefix", "rest"]
Network = Literal["mlp", "conv", "gru"]

LEAK = 0.2
RESIDUAL_SCALE = 0.5
"""Share of a convolution in its output, so that a deep stack begins near the identity."""

KERNEL_SIZE = 3


class AlternativesDiscriminator(nn.Module):
    """Codes -> what stands around each position -> the log-ratio of each code that could stand there.

    The answer for position t does not depend on the code at t itself: features of the codes before it and, with
    ``context="rest"``, of those after it, are mixed into K numbers. So one pass gives ``F`` of the sample with any one
    code exchanged (``rest``, for generators that draw all positions at once), or of its prefixes with any last code
    (``prefix``, for autoregressive ones), and each position is a discriminator of its own.

    Args:
        length: L.
        num_categories: K.
        end_id: The category that ends a sequence; None where all have L codes.
        width: W.
        depth: Convolutions of a side, whose dilations double; layers of a recurrent one; hidden layers of ``mlp``.
        context: What a position is judged with: the codes before it, or all the others.
        network: How a side is read. ``mlp``: each code at each place has features, which are summed (for short
            samples); ``conv``: dilated causal convolutions; ``gru``: gated recurrent units.

    Raises:
        InputError: If a size is below 1 or a name is unknown.
    """

    def __init__(
        self,
        length: int,
        num_categories: int,
        end_id: int | None = None,
        width: int = 128,
        depth: int = 2,
        context: Context = "rest",
        network: Network = "conv",
    ) -> None:
        super().__init__()
        for name, value in (("length", length), ("width", width), ("depth", depth)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        if context not in ("prefix", "rest"):
            raise InputError(f"context must be 'prefix' or 'rest', got {context!r}")
        if network not in SIDES:
            raise InputError(f"network must be one of {', '.join(SIDES)}, got {network!r}")
        self.event_shape = (length,)
        self.num_categories, self.end_id, self.context = num_categories, end_id, context
        self.sides = nn.ModuleList(
            [SIDES[network](length, num_categories, width, depth) for _ in range(2 if context == "rest" else 1)]
        )
        self.place = nn.Parameter(torch.zeros(length, width))
        self.mix = nn.Linear(width * len(self.sides), width)
        self.hidden = nn.ModuleList([nn.Linear(width, width) for _ in range(depth - 1 if network == "mlp" else 0)])
        self.to_log_ratios = nn.Linear(width, num_categories)

    def alternatives(self, codes: Tensor) -> Tensor:
        """``F`` with the code at each position exchanged for each category.

        Args:
            codes: Integers ``[B, L]``, or soft one-hots ``[B, L, K]`` of a float dtype.

        Returns:
            ``[B, L, K]``. Where a sequence has ended, and where the exchange would end it before codes that are still
            seen (``context="rest"``), the number means nothing.
        """
        parts = [self.sides[0](codes)]
        if self.context == "rest":
            parts.append(self.sides[1](codes.flip(1)).flip(1))
        features = leaky_relu(self.mix(torch.cat(parts, dim=-1)) + self.place, LEAK)
        for layer in self.hidden:
            features = leaky_relu(layer(features), LEAK)
        return self.to_log_ratios(features)

    def forward(self, codes: Tensor) -> Tensor:
        """F of codes ``[B, L]`` or soft one-hots ``[B, L, K]``, as each position judges: ``[B, L]``.

        Behind the end of a sequence stands the judgement of its last position.
        """
        every = self.alternatives(codes)
        if codes.is_floating_point():
            found, hard = (every * codes).sum(-1), codes.detach().argmax(-1)
        else:
            hard = codes.long()
            found = every.gather(-1, hard[..., None]).squeeze(-1)
        return found if self.end_id is None else carry_to_the_end(found, counted_positions(hard, self.end_id))


class _SummedSide(nn.Module):
    """Every code at every place has its features; those before a position are summed."""

    def __init__(self, length: int, num_categories: int, width: int, depth: int) -> None:
        super().__init__()
        self.num_categories = num_categories
        self.table = nn.Embedding(length * num_categories, width)
        nn.init.normal_(self.table.weight, std=length**-0.5)

    def forward(self, codes: Tensor) -> Tensor:
        if codes.is_floating_point():
            features = torch.einsum("blk,lkw->blw", codes, self.table.weight.view(*codes.shape[1:], -1))
        else:
            first = torch.arange(codes.shape[1], device=codes.device) * self.num_categories
            features = self.table(codes.long() + first)
        return pad(features.cumsum(1)[:, :-1], (0, 0, 1, 0))


class _ConvSide(nn.Module):
    """Causal convolutions with doubling dilations over the embedded codes before a position."""

    def __init__(self, length: int, num_categories: int, width: int, depth: int) -> None:
        super().__init__()
        self.read = CodeInput(num_categories, "embedding", width)
        self.start = nn.Parameter(torch.zeros(width))
        self.layers = nn.ModuleList([nn.Conv1d(width, width, KERNEL_SIZE, dilation=2**d) for d in range(depth)])

    def forward(self, codes: Tensor) -> Tensor:
        x = _shifted(self.read(codes, 1), self.start).transpose(1, 2)
        for number, layer in enumerate(self.layers):
            x = x + RESIDUAL_SCALE * torch.relu(layer(pad(x, ((KERNEL_SIZE - 1) * 2**number, 0))))
        return x.transpose(1, 2)


class _RecurrentSide(nn.Module):
    """Gated recurrent units over the embedded codes before a position."""

    def __init__(self, length: int, num_categories: int, width: int, depth: int) -> None:
        super().__init__()
        self.read = CodeInput(num_categories, "embedding", width)
        self.start = nn.Parameter(torch.zeros(width))
        self.recur = nn.GRU(width, width, depth, batch_first=True)

    def forward(self, codes: Tensor) -> Tensor:
        features = _shifted(self.read(codes, 1), self.start)
        # The accelerator's own recurrent kernels cannot be derived twice, as a gradient penalty asks.
        with torch.backends.cudnn.flags(enabled=not codes.is_floating_point()):
            return cast(Tensor, self.recur(features)[0])


def _shifted(features: Tensor, start: Tensor) -> Tensor:
    """At each position what stands just before it: the start, then all features but the last."""
    return torch.cat([start.to(features.dtype).expand(len(features), 1, -1), features[:, :-1]], dim=1)


SIDES: dict[str, type[nn.Module]] = {"mlp": _SummedSide, "conv": _ConvSide, "gru": _RecurrentSide}
"""The ways to read one side of a position, by the name of the network."""
