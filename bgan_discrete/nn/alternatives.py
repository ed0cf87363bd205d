"""A discriminator of sequences that scores, in one pass, every code that could be at each position.

Letters: B samples, L positions, K categories, W features.
"""

import itertools
import math
from typing import Literal, cast, final, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions.endings import carry_to_the_end, counted_positions
from bgan_discrete.distributions.sampling import one_hot_codes
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, check_labels
from bgan_discrete.nn.inputs import CodeInput, hard_codes
from bgan_discrete.space import SampleSpace

Context = Literal["prefix", "rest"]
Network = Literal["mlp", "conv", "gru"]

LEAK = 0.2
RESIDUAL_SCALE = 0.5
"""Share of a convolution in its output, so that a deep stack begins near the identity."""

KERNEL_SIZE = 3

LOG_RATIO_BOUND = 5.0
"""The default of the largest F of a judge."""


@final
class AlternativesDiscriminator(Discriminator):
    """Codes -> the codes around each position -> F of each code that could be there.

    The output at position t does not depend on the code at t. So one pass gives ``F`` of the sample with any one code
    exchanged (``context="rest"``, for generators that draw all positions at once), or of its prefixes with any last
    code (``"prefix"``, for autoregressive ones).

    A position may have several judges. One that reads the whole sample soon recognises it as generated, whatever
    code is there; one that reads less still compares the codes. With ``conv`` each layer has a judge, which reads 3,
    7, 15, ... codes to a side. With the other networks and ``"rest"``, one judge reads all other codes and one those
    before the position.

    Args:
        space: Of sequences, ``(L,)``.
        width: W.
        depth: Convolutions of a side, whose dilations double; layers of a recurrent one; hidden layers of ``mlp``.
        context: What the judges of a position read: the codes before it, or all the others.
        network: ``mlp``: a multilayer perceptron for each position, for short samples; ``conv``: dilated
            causal convolutions from either side; ``gru``: gated recurrent units from either side.
        log_ratio_bound: The largest F of a judge, in absolute value, approached smoothly. A judge that is certain that
            a sample is generated then gives all alternatives the same F, and the others decide. Without a bound its
            meaningless differences would be the largest.
        partial: See `Discriminator`; at hidden positions, F is that of the sample as it is.

    Raises:
        InputError: If a size is below 1, a name is unknown, or samples are no sequences.
    """

    credits = ("alternatives",)

    def __init__(
        self,
        space: SampleSpace,
        width: int = 128,
        depth: int = 2,
        context: Context = "rest",
        network: Network = "conv",
        log_ratio_bound: float = LOG_RATIO_BOUND,
        partial: bool = False,
    ) -> None:
        super().__init__(space, partial=partial)
        length, num_categories = space.length, space.num_categories
        num_outputs = num_categories + partial
        check_at_least_one(length=length, width=width, depth=depth)
        if context not in ("prefix", "rest"):
            raise InputError(f"context must be 'prefix' or 'rest', got {context!r}")
        if network not in get_args(Network):
            raise InputError(f"network must be one of {', '.join(get_args(Network))}, got {network!r}")
        if not 0 < log_ratio_bound < math.inf:
            raise InputError(f"log_ratio_bound must be positive and finite, got {log_ratio_bound}")
        self.context, self.log_ratio_bound = context, log_ratio_bound
        num_sides = 2 if context == "rest" else 1
        self.judges, self.sides = nn.ModuleList(), nn.ModuleList()

        if network == "mlp":
            # One judge sees the codes before its position, another one, with "rest", all other codes.
            others = 1 - torch.eye(length)
            for mask in (others.tril(), others)[:num_sides]:
                self.judges.append(_PositionwiseMLP(mask, num_categories, width, depth, num_outputs))
            return

        # The codes before a position are read by one network, with "rest" those after it by another.
        self.sides.extend(SIDES[network](num_categories, width, depth, partial) for _ in range(num_sides))

        # A judge for each layer of convolutions; of recurrent sides one for both and, with "rest", one for the first.
        num_layers = depth if network == "conv" else 1
        self.views = [(layer, num_sides) for layer in range(num_layers)]
        """Of each judge, the layer whose features it sees, and of how many sides."""
        if network == "gru" and context == "rest":
            self.views.insert(0, (0, 1))
        for _, sides_seen in self.views:
            self.judges.append(_Judge(length, num_outputs, sides_seen * width))

    def alternatives(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """``F`` with the code at each position exchanged for each category, the mean over the judges.

        Args:
            codes: Integers ``[B, L]``, or soft one-hots ``[B, L, K]`` of a float dtype.
            labels: None.

        Returns:
            ``[B, L, K]``. Meaningless on the padding, and for an end before codes that are still read (``"rest"``).
        """
        check_labels(self, labels)
        return self._judgements(codes).mean(1)[..., : self.space.num_categories]

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of codes ``[B, L]`` or soft one-hots ``[B, L, K]``, by each judge at each position; no ``labels``.

        Returns:
            ``[B, J L]`` with J judges. On the padding it is F of the last position of the sequence.
        """
        check_labels(self, labels)
        of_alternatives = self._judgements(codes)  # [B, J, L, K]
        if codes.is_floating_point():
            codes_BL = hard_codes(codes)
            if self.partial:
                codes = torch.cat([codes, 1 - codes.sum(-1, keepdim=True)], dim=-1)
            log_ratios = (of_alternatives * codes[:, None]).sum(-1)  # [B, J, L]
        else:
            codes_BL = codes.long()
            index = codes_BL[:, None, :, None].expand(-1, of_alternatives.shape[1], -1, -1)
            log_ratios = of_alternatives.gather(-1, index).squeeze(-1)
        if self.space.end_id is not None:
            counted_BL = counted_positions(codes_BL, self.space.end_id)
            log_ratios = carry_to_the_end(log_ratios, counted_BL[:, None])
        return log_ratios.flatten(1)

    def sample_log_ratio(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of whole samples, by the judge that sees most.

        With ``context="rest"`` it sees the whole sample at each position, and the mean over the positions is taken;
        with ``"prefix"`` F of the last position is.

        Args:
            codes: Integers ``[B, L]``.
            labels: None.

        Returns:
            ``[B]``, within `log_ratio_bound`.
        """
        check_labels(self, labels)
        codes_BL = codes.long()
        of_alternatives_BLK = self._judgements(codes)[:, -1]
        log_ratios_BL = of_alternatives_BLK.gather(-1, codes_BL[..., None]).squeeze(-1)
        counted_BL = counted_positions(codes_BL, self.space.end_id)
        if self.context == "prefix":
            return carry_to_the_end(log_ratios_BL, counted_BL)[:, -1]
        return (log_ratios_BL * counted_BL).sum(1) / counted_BL.sum(1)

    def sample_alternatives(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """F with the code at each position exchanged for each category, by the judge that sees most.

        It is the judge of `sample_log_ratio`, where `alternatives` is the mean over all of them.

        Args:
            codes: Integers ``[B, L]``.
            labels: None.

        Returns:
            ``[B, L, K]``, meaningless where those of `alternatives` are.
        """
        check_labels(self, labels)
        return self._judgements(codes)[:, -1, :, : self.space.num_categories]

    def _judgements(self, codes: Tensor) -> Tensor:
        """F of each judge, ``[B, J, L, K]``, within `log_ratio_bound`."""
        return self.log_ratio_bound * torch.tanh(self._unbounded(codes) / self.log_ratio_bound)

    def _unbounded(self, codes: Tensor) -> Tensor:
        if not self.sides:
            one_hots_BLK = codes if codes.is_floating_point() else one_hot_codes(codes, self.space.num_categories)
            flat = one_hots_BLK.flatten(1).to(next(self.judges.parameters()).dtype)
            return torch.stack([judge(flat) for judge in self.judges], dim=1)
        # Of each side, the features [B, L, W] of its layers; the second side reads backwards.
        layers_of_sides = [self.sides[0](codes)]
        if self.context == "rest":
            layers_of_sides.append([features.flip(1) for features in self.sides[1](codes.flip(1))])
        seen = [
            torch.cat([layers[layer] for layers in layers_of_sides[:sides_seen]], dim=-1)
            for layer, sides_seen in self.views
        ]
        return torch.stack([judge(features) for judge, features in zip(self.judges, seen, strict=True)], dim=1)


@final
class _Judge(nn.Module):
    """Features of the codes around a position -> log-ratios of the codes that could be there."""

    def __init__(self, length: int, num_outputs: int, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, width)
        self.place = nn.Parameter(torch.zeros(length, width))
        self.to_log_ratios = nn.Linear(width, num_outputs)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.to_log_ratios(leaky_relu(self.mix(features) + self.place, LEAK)))


@final
class _PositionwiseMLP(nn.Module):
    """An MLP for each position, on the one-hots in its mask; sharing layers between positions learns far slower."""

    def __init__(self, mask: Tensor, num_categories: int, width: int, depth: int, num_outputs: int) -> None:
        super().__init__()
        length = len(mask)
        self.mask: Tensor
        self.register_buffer("mask", mask.repeat_interleave(num_categories, 1)[..., None], persistent=False)
        sizes = [length * num_categories, *[width] * depth, num_outputs]
        shapes = list(itertools.pairwise(sizes))
        # One of the K inputs of a position is 1, so a first layer's sum has as many terms as it has positions.
        scales = [max(length - 1, 1), *[width] * depth]
        self.weights = nn.ParameterList(
            [(2 * torch.rand(length, *shape) - 1) * scale**-0.5 for shape, scale in zip(shapes, scales, strict=True)]
        )
        self.biases = nn.ParameterList([torch.zeros(length, 1, outputs) for _, outputs in shapes])

    def forward(self, flat: Tensor) -> Tensor:
        x = flat @ (self.weights[0] * self.mask) + self.biases[0]
        for weight, bias in zip(list(self.weights)[1:], list(self.biases)[1:], strict=True):
            x = leaky_relu(x, LEAK) @ weight + bias
        return x.transpose(0, 1)


@final
class _ConvSide(nn.Module):
    """Causal convolutions with doubling dilations over the embedded codes before a position; all layers' features."""

    def __init__(self, num_categories: int, width: int, depth: int, partial: bool) -> None:
        super().__init__()
        self.read = CodeInput(num_categories, "embedding", width, partial)
        self.start = nn.Parameter(torch.zeros(width))
        self.layers = nn.ModuleList([nn.Conv1d(width, width, KERNEL_SIZE, dilation=2**d) for d in range(depth)])

    def forward(self, codes: Tensor) -> list[Tensor]:
        x, features = _shifted(self.read(codes, 1), self.start).transpose(1, 2), []
        for number, layer in enumerate(self.layers):
            x = x + RESIDUAL_SCALE * torch.relu(layer(pad(x, ((KERNEL_SIZE - 1) * 2**number, 0))))
            features.append(x.transpose(1, 2))
        return features


@final
class _RecurrentSide(nn.Module):
    """Gated recurrent units over the embedded codes before a position; the features of the last layer."""

    def __init__(self, num_categories: int, width: int, depth: int, partial: bool) -> None:
        super().__init__()
        self.read = CodeInput(num_categories, "embedding", width, partial)
        self.start = nn.Parameter(torch.zeros(width))
        self.recur = nn.GRU(width, width, depth, batch_first=True)

    def forward(self, codes: Tensor) -> list[Tensor]:
        features = _shifted(self.read(codes, 1), self.start)
        # The accelerator's own recurrent kernels cannot be derived twice, as a gradient penalty asks.
        with torch.backends.cudnn.flags(enabled=not codes.is_floating_point()):
            return [cast(Tensor, self.recur(features)[0])]


def _shifted(features: Tensor, start: Tensor) -> Tensor:
    """At each position the features of the one before it: the start, then all but the last."""
    return torch.cat([start.to(features.dtype).expand(len(features), 1, -1), features[:, :-1]], dim=1)


SIDES: dict[str, type[nn.Module]] = {"conv": _ConvSide, "gru": _RecurrentSide}
"""The ways to read one side of a position, by the name of the network."""
