"""Residual perceptrons that draw in rounds: tables, and arrays of any event shape.

Letters: B samples, P positions, R those of a round, K categories, V pairs of a position and a code that it can have,
W units, J factors.
"""

import math
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, embedding_bag, gelu, linear

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions.protocol import RoundSession
from bgan_discrete.errors import InputError
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.nn.start import set_output_bias
from bgan_discrete.space import SampleSpace

WIDE, FACTORS = 1024, 32
"""What is learnt of the codes of a position that has more than so many is a product with so many factors."""

SMOOTH, SMOOTH_FROM = 16, 8
"""Smooth functions of the codes of a scale, of scales of at least so many codes."""

MOSTLY_PADDING = 2
"""Log-probabilities are computed position by position where padding would make so many times more logits."""


class _Block(nn.Module):
    """Two layers of which the result is added to what comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)


class _WideColumn(nn.Module):
    """A position of many codes: their rows, and the weights of their logits, as products of V x J and J x W numbers."""

    def __init__(self, size: int, width: int, num_positions: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(size, FACTORS) * num_positions**-0.5)
        self.to_units = nn.Linear(FACTORS, width, bias=False)
        self.to_factors, self.to_logits = nn.Linear(width, FACTORS, bias=False), nn.Linear(FACTORS, size)

    def read(self, codes: Tensor, may_see: Tensor | None, of_units: slice) -> Tensor:
        """What codes ``[B]`` add to some units, ``[B, U]``; nothing where hidden."""
        is_hidden = codes >= len(self.rows)
        factors = embedding(codes.masked_fill(is_hidden, 0), self.rows).masked_fill(is_hidden[:, None], 0)
        units = linear(factors, self.to_units.weight[of_units])
        return units if may_see is None else units * may_see[of_units]

    def write(self, x: Tensor, seen: slice, may_see: Tensor | None) -> Tensor:
        """Logits ``[B, V]`` of some units ``[B, U]``."""
        return cast(
            Tensor, self.to_logits(linear(x if may_see is None else x * may_see, self.to_factors.weight[:, seen]))
        )


class _Scales(nn.Module):
    """What codes of a scale share with their neighbours, in their rows and in the weights of their logits.

    Of a code k of K, each of the smooth functions ``cos(pi j (k + 1/2) / K) / sqrt(1 + j)`` has a row and weights at
    every position, which all codes there have in common: what is learnt of one is learnt of those near to it too.

    Args:
        lengths: Codes of the scale of each position, 0 where there is none.
        first_rows: The first row of each position.
        first_codes: The first logit of each position.
        width: W.
    """

    def __init__(
        self, lengths: Sequence[int], first_rows: Sequence[int], first_codes: Sequence[int], width: int
    ) -> None:
        super().__init__()
        positions = [p for p, length in enumerate(lengths) if length >= SMOOTH_FROM]
        positions.sort(key=lambda p: (lengths[p], p))  # those of one length are multiplied together
        of_lengths = [(length, len([*same])) for length, same in groupby(positions, key=lambda p: lengths[p])]
        self.groups = [(length, count, count * SMOOTH) for length, count in of_lengths]
        for length, _ in of_lengths:
            code = torch.arange(length, device="cpu")[:, None] + 0.5
            order = torch.arange(SMOOTH, device="cpu")
            basis = torch.cos(math.pi * order * code / length) / (1 + order).sqrt()
            self.register_buffer(f"basis_{length}", basis.to(torch.get_default_dtype()), persistent=False)
        for name, firsts in (("row_places", first_rows), ("code_places", first_codes)):
            places = [place for p in positions for place in range(firsts[p], firsts[p] + lengths[p])]
            self.register_buffer(name, torch.tensor(places, dtype=torch.long, device="cpu"), persistent=False)
        self.rows = nn.Parameter(torch.randn(len(positions) * SMOOTH, width) * 0.3 * len(lengths) ** -0.5)
        self.weights = nn.Parameter(torch.zeros(len(positions) * SMOOTH, width))

    def to_rows(self, rows: Tensor) -> Tensor:
        """The rows of all codes ``[., W]``, with what scales add."""
        return rows.index_add(0, cast(Tensor, self.row_places), self._of_codes(self.rows))

    def to_weights(self, weight_VU: Tensor, units: slice) -> Tensor:
        """The weights ``[V, U]`` of the logits on some units, with what scales add."""
        return weight_VU.index_add(0, cast(Tensor, self.code_places), self._of_codes(self.weights[:, units]))

    def _of_codes(self, functions: Tensor) -> Tensor:
        """Of all codes of scales, what their functions ``[., U]`` add up to."""
        parts = functions.split([size for *_, size in self.groups])
        bases = [self.get_buffer(f"basis_{length}") for length, *_ in self.groups]
        pairs = zip(parts, bases, strict=True)
        with torch.autocast(functions.device.type, enabled=False):  # weights, in their own precision
            return torch.cat([(basis @ part.unflatten(0, (-1, SMOOTH))).flatten(0, 1) for part, basis in pairs])


class _ResidualGenerator(RoundsGenerator):
    """What both have in common: codes as a sum of rows, residual blocks, and logits without padding.

    A position has a row for each code that it can have, and one for a hidden code; one of more than `WIDE` codes is a
    `_WideColumn`, and has here the row for a hidden code alone.
    """

    column_sizes: Tensor
    first_rows: Tensor
    row_positions: Tensor
    possible: Tensor

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int,
        width: int,
        depth: int,
        rounds: int,
        order: str,
        cut: str | Sequence[int],
        latent_kind: str,
        num_classes: int | None,
    ) -> None:
        super().__init__(space, latent_size, rounds, order, cut, latent_kind, num_classes, width=width, depth=depth)
        check_at_least_one(width=width, depth=depth)
        sizes = space.sizes or (space.num_categories,) * space.num_positions
        self.wide = nn.ModuleDict({str(p): _WideColumn(k, width, len(sizes)) for p, k in enumerate(sizes) if k > WIDE})
        self.sizes_of_positions = sizes
        sizes = tuple(0 if size > WIDE else size for size in sizes)
        self.first_codes = [0, *accumulate(sizes[:-1])]
        num_codes, num_rows = sum(sizes), sum(sizes) + len(sizes)
        self.is_ragged = space.num_positions * space.num_categories >= MOSTLY_PADDING * sum(self.sizes_of_positions)
        # On the CPU even where the network is only measured, on a device without memory.
        positions = torch.arange(len(sizes), device="cpu")
        column_sizes = torch.tensor(sizes, device="cpu")
        codes = torch.arange(space.num_categories, device="cpu")
        constants = {
            "column_sizes": column_sizes,
            "first_rows": torch.tensor([0, *accumulate(size + 1 for size in sizes[:-1])], device="cpu"),
            "row_positions": positions.repeat_interleave(column_sizes + 1),
            "possible": (codes < column_sizes[:, None]).flatten().nonzero()[:, 0],
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)
        self.rows = nn.Parameter(torch.randn(num_rows, width) * len(sizes) ** -0.5)
        lengths = [min(length, size) for length, size in zip(space.scales or (0,) * len(sizes), sizes, strict=True)]
        self.scales = None
        if max(lengths) >= SMOOTH_FROM:
            self.scales = _Scales(lengths, self.first_rows.tolist(), self.first_codes, width)
        self.start = nn.Parameter(torch.zeros(width))
        self.project_latent = nn.Linear(latent_size, width, bias=False)
        self.embed_label = None if num_classes is None else nn.Embedding(num_classes, width)
        self.blocks = nn.ModuleList([_Block(width) for _ in range(depth)])
        with warnings.catch_warnings():  # of no weights at all, where every position has many codes
            warnings.simplefilter("ignore")
            self.to_logits = nn.Linear(width, num_codes, bias=False)
        self.code_bias = nn.Parameter(torch.zeros(num_codes))

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given distributions of the positions, ``[*event_shape, K]``.

        Raises:
            InputError: If the shape does not fit.
        """
        wanted = (*self.space.event_shape, self.space.num_categories)
        if log_frequencies.shape != wanted:
            raise InputError(f"log_frequencies must have shape {list(wanted)}, got {list(log_frequencies.shape)}")
        set_output_bias(self.code_bias, self.to_logits, log_frequencies.flatten()[self.possible])
        for p, column in self._wide_columns():
            of_column = log_frequencies.flatten(0, -2)[p, : self.sizes_of_positions[p]]
            set_output_bias(column.to_logits.bias, column.to_factors, of_column)

    def logits(
        self, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`."""
        sees_PW = self._sees(rounds)
        return self._write(
            self._features(codes, latents, labels, rounds), self._weight(sees_PW), positions, sees_PW=sees_PW
        )

    def log_probs(self, shown: Tensor, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> Tensor:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`."""
        x, sees_PW = self._features(shown, latents, labels, rounds), self._sees(rounds)
        logits_BV = linear(x, self._weight(sees_PW), self.code_bias)
        logits_of = list(logits_BV.split(self.column_sizes.tolist(), dim=1))
        for p, column in self._wide_columns():
            logits_of[p] = column.write(x, slice(None), None if sees_PW is None else sees_PW[p])
        pairs = zip(logits_of, codes.unbind(1), strict=True)
        return -torch.stack([cross_entropy(_exact(of), code, reduction="none") for of, code in pairs], dim=1)

    @abstractmethod
    def _features(self, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> Tensor:
        """The last units, ``[B, W]``, of codes ``[B, P]``."""

    def _sees(self, rounds: Tensor) -> Tensor | None:
        """Which of the last units the logits of each position see, ``[P, W]`` of 0 and 1; None for all."""
        return None

    def _weight(self, sees_PW: Tensor | None) -> Tensor:
        """The weights ``[V, W]`` of the logits, 0 for units that their position does not see."""
        weight = self._output_weight()
        return weight if sees_PW is None else weight * sees_PW[self.possible // self.space.num_categories]

    def _output_weight(self, units: slice = slice(None)) -> Tensor:
        """The weights ``[V, U]`` of all logits on some units."""
        weight: Tensor = self.to_logits.weight[:, units]
        return weight if self.scales is None else self.scales.to_weights(weight, units)

    def _input_rows(self) -> Tensor:
        """The rows of all codes."""
        return self.rows if self.scales is None else self.scales.to_rows(self.rows)

    def _wide_columns(self) -> list[tuple[int, _WideColumn]]:
        return [(int(p), cast(_WideColumn, column)) for p, column in self.wide.items()]

    def _read(
        self,
        codes: Tensor,
        rows: Tensor,
        positions: Tensor | None = None,
        may_see_PW: Tensor | None = None,
        units: slice = slice(None),
    ) -> Tensor:
        """The sums ``[B, U]`` of ``rows`` that codes ``[B, R]`` at some positions select; all positions by default.

        ``may_see_PW`` says which units the code of each position may count for; the ``rows`` know it already. U are
        some of the units, all by default.
        """
        asked: Any = slice(None) if positions is None else positions
        rows = rows[:, units]
        # The hidden code K comes last at every position.
        places = torch.minimum(codes, self.column_sizes[asked]) + self.first_rows[asked]
        if not self.wide:
            if places.shape[1] == 1:
                return embedding(places[:, 0], rows)  # several times as fast
            return embedding_bag(places, rows, mode="sum")
        is_of_wide = (self.column_sizes[asked] == 0) & (codes < self.space.num_categories)
        read = embedding_bag(places, rows, mode="sum", per_sample_weights=(~is_of_wide).to(rows.dtype))
        where = {p: p for p in range(codes.shape[1])}
        if positions is not None:
            where = {p: row for row, p in enumerate(positions.tolist())}
        for p, column in self._wide_columns():
            if p in where:
                read = read + column.read(codes[:, where[p]], None if may_see_PW is None else may_see_PW[p], units)
        return read

    def _conditions(self, latents: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the latent, and what the label, add to the first units, ``[B, W]`` and ``[B, W]`` or ``[W]``."""
        of_label = self.start if self.embed_label is None else self.start + self.embed_label(labels)
        return self.project_latent(latents), of_label

    def _write(
        self,
        x: Tensor,
        weight_VW: Tensor,
        positions: Tensor | None = None,
        seen: slice = slice(None),
        sees_PW: Tensor | None = None,
    ) -> Tensor:
        """Logits ``[B, R, K]`` of features ``[B, U]`` at some positions, 0 for codes that a position cannot have.

        At some positions, K is that of the largest of them. The features are those that are ``seen``; the weights are 0
        where a position does not see all of them, and ``sees_PW`` says the same of the positions of many codes.
        """
        bias_V: Tensor = self.code_bias
        possible, num_categories = self.possible, self.space.num_categories
        num_logits, places = self.space.num_positions * num_categories, list(range(self.space.num_positions))
        if positions is not None:
            places = positions.tolist()
            if len(places) == 1 and self.sizes_of_positions[places[0]] > 1:
                return self._write_one(x, weight_VW, places[0], seen, sees_PW)[:, None]
            num_categories = max(2, *(self.sizes_of_positions[p] for p in places))  # a code needs two
            is_code = torch.arange(num_categories, device=x.device) < self.column_sizes[positions, None]
            first = self.first_rows[positions] - positions  # without the rows of hidden codes
            chosen = (first[:, None] + torch.arange(num_categories, device=x.device))[is_code]
            weight_VW, bias_V = weight_VW[chosen], bias_V[chosen]
            possible, num_logits = is_code.flatten().nonzero()[:, 0], is_code.numel()
        logits_BV = linear(x, weight_VW, bias_V)
        if logits_BV.shape[1] < num_logits:
            logits_BV = logits_BV.new_zeros(len(x), num_logits).index_copy(1, possible, logits_BV)
        logits = logits_BV.unflatten(1, (-1, num_categories))
        for p, column in self._wide_columns():
            if p in places:
                of_column = column.write(x, seen, None if sees_PW is None else sees_PW[p])
                logits[:, places.index(p), : self.sizes_of_positions[p]] = of_column
        return logits

    def _write_one(self, x: Tensor, weight_VW: Tensor, place: int, seen: slice, sees_PW: Tensor | None) -> Tensor:
        """Logits ``[B, V]`` of one position, by arguments as in `_write`."""
        if str(place) in self.wide:
            column = cast(_WideColumn, self.wide[str(place)])
            return column.write(x, seen, None if sees_PW is None else sees_PW[place])
        first = self.first_codes[place]
        codes = slice(first, first + self.sizes_of_positions[place])
        return linear(x, weight_VW[codes], self.code_bias[codes])


@final
class MaskedMLPGenerator(_ResidualGenerator):
    """A residual perceptron that gives the logits of all hidden positions given all visible ones.

    Args:
        space: What one sample is; positions may differ in their number of categories, as columns of a table do.
        latent_size: Z; the latent counts where nothing is visible.
        width: Units of a layer.
        depth: Residual blocks of two layers.
        rounds: S, in which samples are drawn unless others are asked for.
        order: See `bgan_discrete.distributions.orders.ranks_of`.
        cut: See `bgan_discrete.distributions.orders.cut_sizes`.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).
        num_classes: Classes of the labels that it is called with; None for no labels.

    Raises:
        InputError: If a size is below 1, or a name unknown.

    Examples:
        >>> space = SampleSpace((4,), num_categories=5, sizes=(5, 2, 3, 2))
        >>> MaskedMLPGenerator(space, latent_size=4, rounds=2)(torch.randn(2, 4)).sample(num_draws=3).shape
        torch.Size([3, 2, 4])
    """

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 256,
        depth: int = 2,
        rounds: int = 4,
        order: str = "information",
        cut: str | Sequence[int] = "halving",
        latent_kind: str = "normal",
        num_classes: int | None = None,
    ) -> None:
        super().__init__(space, latent_size, width, depth, rounds, order, cut, latent_kind, num_classes)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(depth + 1)])

    def _features(self, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> Tensor:
        of_latent, of_label = self._conditions(latents, labels)
        # The latent takes part in every pass, times 0 where it does not count: then so do its parameters.
        is_blank = (codes == self.space.num_categories).all(1, keepdim=True)
        x = self._read(codes, self._input_rows()) + of_label + of_latent * is_blank
        for module, norm in zip(self.blocks, self.norms, strict=False):
            block = cast(_Block, module)
            x = x + block.second(gelu(block.first(norm(x))))
        return cast(Tensor, self.norms[-1](x))


@final
class CausalMLPGenerator(_ResidualGenerator):
    """A residual perceptron that gives, in one pass, the logits of all positions given the rounds before their own.

    Every unit has a degree: one of degree s sees the codes of the rounds before s, and counts for round s and those
    after it. Units of degree 0 see the latent, and count for round 0 alone.

    Arguments as in `MaskedMLPGenerator`; samples can be drawn in the rounds of the training alone.

    Raises:
        InputError: As there, and if the width is below the number of rounds.

    Source:
        Germain et al., "MADE: masked autoencoder for distribution estimation" (2015); with residual blocks: Nash and
        Durkan, "Autoregressive energy machines" (2019).
    """

    is_causal = True
    draws_many = True
    degrees: Tensor
    unit_mask: Tensor

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 256,
        depth: int = 2,
        rounds: int = 4,
        order: str = "information",
        cut: str | Sequence[int] = "halving",
        latent_kind: str = "normal",
        num_classes: int | None = None,
    ) -> None:
        super().__init__(space, latent_size, width, depth, rounds, order, cut, latent_kind, num_classes)
        if width < rounds:
            raise InputError(f"width must be at least rounds = {rounds}, a unit for each, got {width}")
        degrees = torch.arange(width, device="cpu") * rounds // width
        self.register_buffer("degrees", degrees, persistent=False)
        self.register_buffer("unit_mask", _may_see(degrees, degrees), persistent=False)

    def _features(self, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> Tensor:
        read = self._read(codes, self._masked_rows(rounds), None, rounds[:, None] < self.degrees)
        x = self._first(latents, labels) + read
        for module in self.blocks:
            block = cast(_Block, module)
            hidden = linear(gelu(x), block.first.weight * self.unit_mask, block.first.bias)
            x = x + linear(gelu(hidden), block.second.weight * self.unit_mask, block.second.bias)
        return gelu(x)

    def _sees(self, rounds: Tensor) -> Tensor:
        return _may_see(rounds, self.degrees)

    def first_logits(self, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> Tensor:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`; only the units that see the latent count."""
        units = slice(int((self.degrees == 0).sum()))
        x = self._first(latents, labels)[:, units]
        for module in self.blocks:
            block = cast(_Block, module)
            x = x + linear(gelu(linear(gelu(x), *_part(block.first, units, units))), *_part(block.second, units, units))
        return self._write(gelu(x), self._output_weight(units), (rounds == 0).nonzero()[:, 0], units)

    def session(self, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> RoundSession:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`; what units give is remembered."""
        read_BW = self._first(latents, labels)
        # What each layer's units give so far, [W, B], so that the units of a round are next to each other.
        layers_WB = [read_BW.new_zeros(read_BW.shape[::-1]) for _ in range(2 * len(self.blocks) + 1)]
        rows, may_see_PW = self._masked_rows(rounds), rounds[:, None] < self.degrees
        weight = self._output_weight()
        ends = torch.searchsorted(self.degrees, torch.arange(self.num_rounds).to(rounds), right=True).tolist()
        positions = torch.argsort(rounds, stable=True).split(torch.bincount(rounds).tolist())

        def logits_of_round(codes: Tensor, s: int) -> Tensor:
            units = slice(ends[s - 1] if s else 0, ends[s])
            seen = slice(ends[0] if s else 0, ends[s])
            if s:
                # Units of earlier rounds are done with.
                before, later = positions[s - 1], slice(units.start, None)
                read_BW[:, later].add_(self._read(codes[:, before], rows, before, may_see_PW, later))
            x = read_BW[:, units].t().contiguous()
            layers = iter(layers_WB)

            def of_units(layer: nn.Linear, x: Tensor) -> Tensor:
                given = next(layers)
                given[units] = gelu(x)
                return torch.addmm(layer.bias[units, None], layer.weight[units, seen], given[seen])

            for module in self.blocks:
                block = cast(_Block, module)
                x = x + of_units(block.second, of_units(block.first, x))
            given = next(layers)
            given[units] = gelu(x)
            return self._write(given[seen].t(), weight[:, seen], positions[s], seen)

        return logits_of_round

    def _first(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """The first units without the codes, ``[B, W]``."""
        of_latent, of_label = self._conditions(latents, labels)
        return of_label + of_latent * (self.degrees == 0)

    def _masked_rows(self, rounds: Tensor) -> Tensor:
        """The rows of codes, 0 at units that do not see their round."""
        return self._input_rows() * (rounds[self.row_positions, None] < self.degrees)


def _exact(logits: Tensor) -> Tensor:
    """Logits in 32 bits at least."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _may_see(degrees: Tensor, others: Tensor) -> Tensor:
    """Whether units of these degrees (or logits of these rounds) see others: float, a row for each, of 0 and 1.

    Those of degree 0, which see the latent, are seen by each other alone.
    """
    is_before = (others <= degrees[:, None]) & ((others > 0) | (degrees[:, None] == 0))
    return is_before.to(torch.get_default_dtype())


def _part(layer: nn.Linear, units: slice, seen: slice) -> tuple[Tensor, Tensor]:
    return layer.weight[units, seen], layer.bias[units]


def _kept(given: Tensor, values: Tensor, units: slice) -> Tensor:
    """What a layer gives so far, with the values of further units."""
    given[:, units] = values
    return given
