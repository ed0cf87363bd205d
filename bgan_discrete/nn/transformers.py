"""Transformers that draw in rounds: sequences, planes and tables, position by position.

Letters: B samples, P positions, R those of a round, K categories, W features.
"""

import math
from collections.abc import Sequence
from typing import Any, cast, final

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions.protocol import RoundSession
from bgan_discrete.errors import InputError
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.nn.sequences import _Block
from bgan_discrete.nn.start import set_output_bias
from bgan_discrete.space import SampleSpace


class _TransformerGenerator(RoundsGenerator):
    """What both have in common: codes and places as inputs, blocks of attention, logits as outputs.

    Positions that differ in their categories, as the columns of a table do, have embeddings and outputs of their own;
    others share them, and most heads look near at first: a logit of attention falls with the distance of two positions,
    by a slope that is learnt.

    Source:
        The slopes are those of Press, Smith, Lewis, "Train short, test long" (2022), here on planes too.
    """

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int,
        width: int,
        depth: int,
        heads: int,
        rounds: int,
        order: str,
        cut: str | Sequence[int],
        latent_kind: str,
        num_classes: int | None,
    ) -> None:
        own: dict[str, Any] = {"width": width, "depth": depth, "heads": heads}
        super().__init__(space, latent_size, rounds, order, cut, latent_kind, num_classes, **own)
        check_at_least_one(width=width, depth=depth, heads=heads)
        if width % heads:
            raise InputError(f"width must be a multiple of heads = {heads}, got {width}")
        num_positions, num_categories = space.num_positions, space.num_categories
        self.num_tables = 1 if space.sizes is None else num_positions
        self.embed = nn.Embedding(self.num_tables * (num_categories + 1), width)
        self.place = nn.Parameter(torch.randn(num_positions, width) * 0.1)
        nn.init.normal_(self.embed.weight, std=0.5)
        self.project_latent = nn.Linear(latent_size, width)
        self.embed_label = None if num_classes is None else nn.Embedding(num_classes, width)
        self.blocks = nn.ModuleList([_Block(width, heads) for _ in range(depth)])
        slopes = [2.0**-head for head in range(heads - 1)] + [0.0]
        self.slopes = nn.Parameter(torch.tensor(slopes).repeat(depth, 1))
        self.distances: Tensor
        self.register_buffer("distances", _distances(space), persistent=False)
        self.norm = nn.LayerNorm(width)
        self.to_logits = nn.Linear(width, self.num_tables * num_categories, bias=False)
        self.position_bias = nn.Parameter(torch.zeros(num_positions, num_categories))

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given distributions of the positions, ``[*event_shape, K]``."""
        set_output_bias(self.position_bias, self.to_logits, log_frequencies.flatten(0, -2))

    def _bias(self, places: Tensor, of: Tensor) -> Tensor:
        """What is added to logits of attention, ``[depth, heads, Q, T]``, of Q places to T others; place P is none."""
        return -self.slopes[:, :, None, None] * self.distances[places[:, None], of]

    def _read(self, codes: Tensor, positions: Tensor | None = None) -> Tensor:
        """Features ``[B, R, W]`` of codes ``[B, R]`` at some positions, with their places; all if None."""
        place = self.place if positions is None else self.place[positions]
        if self.num_tables > 1:
            tables = torch.arange(self.num_tables, device=codes.device) * (self.space.num_categories + 1)
            codes = codes + (tables if positions is None else tables[positions])
        return cast(Tensor, self.embed(codes) + place)

    def _conditions(self, latents: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | float]:
        """What the latent, and what the label, add to inputs, ``[B, 1, W]`` each."""
        of_label = 0.0 if self.embed_label is None else self.embed_label(labels)[:, None]
        return self.project_latent(latents)[:, None], of_label

    def _write(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits ``[B, R, K]`` of features ``[B, R, W]`` at some positions; all if None."""
        x = self.norm(x)
        bias = self.position_bias if positions is None else self.position_bias[positions]
        if self.num_tables == 1:
            return cast(Tensor, self.to_logits(x) + bias)
        weight = rearrange(self.to_logits.weight, "(p k) w -> p w k", p=self.num_tables)
        weight = weight if positions is None else weight[positions]
        return torch.einsum("brw,rwk->brk", x, weight.to(x.dtype)) + bias


@final
class MaskedTransformerGenerator(_TransformerGenerator):
    """A Transformer that gives the logits of all hidden positions given all visible ones.

    Args:
        space: What one sample is.
        latent_size: Z; the latent counts where nothing is visible.
        width: Features of a position; a multiple of ``heads``.
        depth: Blocks.
        heads: Attention heads.
        rounds: S, in which samples are drawn unless others are asked for.
        order: See `bgan_discrete.distributions.orders.ranks_of`.
        cut: See `bgan_discrete.distributions.orders.cut_sizes`.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).
        num_classes: Classes of the labels that it is called with; None for no labels.

    Raises:
        InputError: If a size is below 1, a name unknown, or the width no multiple of the heads.

    Examples:
        >>> generator = MaskedTransformerGenerator(SampleSpace((20,), num_categories=5), latent_size=4, rounds=4)
        >>> generator(torch.randn(2, 4)).sample(num_draws=3).shape  # three draws of each of two latents
        torch.Size([3, 2, 20])
    """

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 128,
        depth: int = 3,
        heads: int = 4,
        rounds: int = 4,
        order: str = "interleaved",
        cut: str | Sequence[int] = "halving",
        latent_kind: str = "normal",
        num_classes: int | None = None,
    ) -> None:
        super().__init__(space, latent_size, width, depth, heads, rounds, order, cut, latent_kind, num_classes)

    def logits(
        self, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`."""
        of_latent, of_label = self._conditions(latents, labels)
        # The latent takes part in every pass, times 0 where it does not count: then so do its parameters.
        is_blank = (codes == self.space.num_categories).all(1)[:, None, None]
        x = self._read(codes) + of_label + of_latent * is_blank
        places = torch.arange(codes.shape[1], device=codes.device)
        x = _through(self.blocks, x, self._bias(places, places))
        return self._write(x if positions is None else x[:, positions], positions)


@final
class CausalTransformerGenerator(_TransformerGenerator):
    """A Transformer that gives, in one pass, the logits of all positions given the rounds before their own.

    Each position occurs twice: what it holds, which later rounds look at, and a question, which looks at the rounds
    before. Where every round is one position, the question of a position is what the one before it holds instead, which
    is half the work.

    Arguments and errors as in `MaskedTransformerGenerator`; samples can be drawn in the rounds of the training alone.

    Source:
        The two streams are those of Yang et al., "XLNet" (2019).
    """

    is_causal = True

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 128,
        depth: int = 3,
        heads: int = 4,
        rounds: int = 4,
        order: str = "left_to_right",
        cut: str | Sequence[int] = "halving",
        latent_kind: str = "normal",
        num_classes: int | None = None,
    ) -> None:
        super().__init__(space, latent_size, width, depth, heads, rounds, order, cut, latent_kind, num_classes)
        self.is_one_by_one = rounds == space.num_positions
        self.start = nn.Parameter(torch.randn(width) * 0.1)

    def logits(
        self, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`."""
        of_latent, of_label = self._conditions(latents, labels)
        x = (
            self._one_by_one(codes, of_latent, of_label)
            if self.is_one_by_one
            else self._streams(codes, of_latent, of_label, rounds)
        )
        return self._write(x if positions is None else x[:, positions], positions)

    def _one_by_one(self, codes: Tensor, of_latent: Tensor, of_label: Tensor | float) -> Tensor:
        """Features ``[B, P, W]``: in the order of drawing, the input of a position is the code before it."""
        order = self.ranks.argsort()
        held = self._read(codes[:, order[:-1]], order[:-1])
        start = self.start.expand(len(codes), 1, -1)
        x = torch.cat([start, held], dim=1) + self.place[order] + of_label
        bias = self._bias(order, torch.cat([torch.full_like(order[:1], len(order)), order[:-1]]))
        x = _through(self.blocks, x, bias, torch.ones_like(bias[0, 0], dtype=torch.bool).tril())
        # Only now, since all that come later look at the first one.
        return torch.cat([x[:, :1] + of_latent, x[:, 1:]], dim=1)[:, self.ranks]

    def _streams(self, codes: Tensor, of_latent: Tensor, of_label: Tensor | float, rounds: Tensor) -> Tensor:
        """Features ``[B, P, W]`` of the questions."""
        num_positions = codes.shape[1]
        held = self._read(codes) + of_label
        asked = self.start + self.place + of_label + of_latent * (rounds == 0)[:, None]
        x = torch.cat([held, asked], dim=1)
        # A position that holds something looks at its own round and those before; a question at those before alone,
        # and at itself, so that the first one sees something.
        sees_held = torch.cat([rounds[:, None] >= rounds, rounds[:, None] > rounds])
        is_itself = torch.cat([torch.zeros_like(sees_held[:num_positions]), torch.eye(num_positions).to(sees_held)])
        places = torch.arange(num_positions, device=codes.device).repeat(2)
        return _through(self.blocks, x, self._bias(places, places), torch.cat([sees_held, is_itself], dim=1))[
            :, num_positions:
        ]

    def first_logits(self, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> Tensor:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`; the positions see nothing but themselves."""
        of_latent, of_label = self._conditions(latents, labels)
        positions = (rounds == 0).nonzero()[:, 0]
        x, seen = self.start + self.place[positions] + of_label, positions
        if self.is_one_by_one:
            x, seen = x.expand(len(latents), -1, -1), torch.full_like(positions, len(rounds))
        else:
            x = x + of_latent
        x = _through(self.blocks, x, self._bias(positions, seen), torch.eye(len(positions)).to(positions) > 0)
        return self._write(x + of_latent if self.is_one_by_one else x, positions)

    def session(self, latents: Tensor, labels: Tensor | None, rounds: Tensor) -> RoundSession:
        """See `bgan_discrete.distributions.protocol.RoundsNetwork`; keys and values of what is drawn are remembered."""
        return _Session(self, latents, labels, rounds)


class _Session:
    """Draws the rounds of a causal Transformer in turn; each position is looked at once, or twice with its question."""

    def __init__(
        self, generator: CausalTransformerGenerator, latents: Tensor, labels: Tensor | None, rounds: Tensor
    ) -> None:
        self.generator, self.rounds = generator, rounds
        self.of_latent, self.of_label = generator._conditions(latents, labels)
        heads, width = generator.settings["heads"], generator.settings["width"]
        shape = (2, len(generator.blocks), len(latents), heads, len(rounds), width // heads)
        self.cache = self.of_latent.new_empty(shape)
        self.held_places = torch.empty(0, dtype=torch.long, device=latents.device)

    def __call__(self, codes: Tensor, s: int) -> Tensor:
        """Logits ``[B, R, K]`` of round s of codes ``[B, P]``."""
        generator, positions = self.generator, (self.rounds == s).nonzero()[:, 0]
        before = (self.rounds == s - 1).nonzero()[:, 0]
        held = generator._read(codes[:, before], before)
        of_latent = self.of_latent if s == 0 else torch.zeros_like(self.of_latent)
        if generator.is_one_by_one:
            if s == 0:
                held, before = generator.start.expand(len(codes), 1, -1), torch.full_like(positions, len(self.rounds))
            x = self._look(held + generator.place[positions] + self.of_label, positions, before)
            return generator._write(x + of_latent, positions)
        asked = generator.start + generator.place[positions] + self.of_label + of_latent
        x = self._look(torch.cat([held + self.of_label, asked], dim=1), torch.cat([before, positions]), before)
        return generator._write(x[:, len(before) :], positions)

    def _look(self, x: Tensor, places: Tensor, held_places: Tensor) -> Tensor:
        """Features of tokens ``[B, T, W]`` at places ``[T]``.

        The first ones hold what is at further places, and see all that is held, from now on with these; the others see
        that and themselves.
        """
        num_before, num_new = len(self.held_places), len(held_places)
        self.held_places = torch.cat([self.held_places, held_places])
        bias, end = self.generator._bias(places, self.held_places), len(self.held_places)
        for number, module in enumerate(self.generator.blocks):
            block = cast(_Block, module)
            q, k, v = block.queries_keys_values(x)
            for kept, new in zip(self.cache[:, number], (k, v), strict=True):
                kept[:, :, num_before:end] = new[:, :, :num_new]
            keys, values = self.cache[:, number, :, :, :end]
            of_held, of_asked = bias[number].split([num_new, len(places) - num_new], dim=1)
            seen = scaled_dot_product_attention(q[:, :, :num_new], keys, values, attn_mask=of_held.to(q.dtype))
            if num_new < len(places):
                itself = (part[:, :, num_new:] for part in (q, k, v))
                seen = torch.cat([seen, _attend_to_self(keys, values, of_asked, *itself)], dim=2)
            x = block.finish(x, seen)
        return x


def _distances(space: SampleSpace) -> Tensor:
    """Of all pairs of positions along the axes, ``[P + 1, P + 1]``, from the last one 0; all 0 for columns."""
    places = np.stack(np.unravel_index(np.arange(space.num_positions), space.event_shape))
    distances = np.zeros((space.num_positions + 1,) * 2, np.float32)
    if space.sizes is None:
        distances[:-1, :-1] = np.abs(places[:, :, None] - places[:, None]).sum(0)
    return torch.from_numpy(distances)  # on the CPU, even where the network is only measured


def _through(blocks: nn.ModuleList, x: Tensor, bias: Tensor, sees: Tensor | None = None) -> Tensor:
    """Features ``[B, T, W]`` after all blocks; ``bias`` is added in attention, ``sees [T, T]`` says who sees whom."""
    if sees is not None:
        bias = bias.masked_fill(~sees, -math.inf)
    for module, of_block in zip(blocks, bias, strict=True):
        block = cast(_Block, module)
        q, k, v = block.queries_keys_values(x)
        x = block.finish(x, scaled_dot_product_attention(q, k, v, attn_mask=of_block.to(q.dtype)))
    return x


def _attend_to_self(keys: Tensor, values: Tensor, bias: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of each query to all ``keys``, with a bias, and to its own of ``k``."""
    scale = q.shape[-1] ** -0.5
    of_seen = torch.einsum("bhrc,bhtc->bhrt", q, keys) * scale + bias
    of_itself = (q * k).sum(-1, keepdim=True) * scale
    weights = torch.softmax(torch.cat([of_seen, of_itself], dim=-1), dim=-1)
    return torch.einsum("bhrt,bhtc->bhrc", weights[..., :-1], values) + weights[..., -1:] * v
