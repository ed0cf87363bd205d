"""Generators and discriminators for sequences of codes, such as text.

Letters: B samples, N latents, L positions, K categories, Z latent width.
"""

from abc import abstractmethod
from typing import Any, cast, final

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import pad

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions import SequenceCategorical
from bgan_discrete.distributions.autoregressive import AutoregressiveCategorical
from bgan_discrete.distributions.endings import carry_to_the_end, counted_positions
from bgan_discrete.distributions.sampling import as_index
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, Generator, check_labels
from bgan_discrete.nn.inputs import CodeInput, hard_codes
from bgan_discrete.nn.start import check_takes, set_output_bias
from bgan_discrete.nn.vectors import MultilayerPerceptron
from bgan_discrete.space import SampleSpace

RESIDUAL_SCALE = 0.3
"""Share of a block's convolutions in its output, so that a deep stack begins near the identity."""

KERNEL_SIZE = 5


@final
class _ResidualBlock(nn.Module):
    """``x + 0.3 conv(relu(conv(relu(x))))`` along the positions; causal where no position may see a later one."""

    def __init__(self, width: int, causal: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv1d(width, width, KERNEL_SIZE)
        self.second = nn.Conv1d(width, width, KERNEL_SIZE)
        half = KERNEL_SIZE // 2
        self.margins = (KERNEL_SIZE - 1, 0) if causal else (half, half)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.first(pad(torch.relu(x), self.margins))
        return x + RESIDUAL_SCALE * self.second(pad(torch.relu(inner), self.margins))


@final
class ConvSequenceGenerator(Generator):
    """Latent -> residual convolutions along the positions -> independent categorical distributions of the codes.

    Args:
        space: Of sequences, ``(L,)``.
        latent_size: Z.
        width: Channels.
        depth: Residual blocks.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).

    Raises:
        InputError: If a size is below 1, the kind unknown, or the space not one of such sequences.

    Source:
        The architecture of the character experiments of Gulrajani et al. (2017), as in Hjelm et al. (2018).
    """

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 128,
        depth: int = 3,
        latent_kind: str = "normal",
    ) -> None:
        super().__init__(space, latent_size, latent_kind, width=width, depth=depth)
        check_takes(space, type(self).__name__, end_id=True)
        check_at_least_one(width=width, depth=depth)
        self.expand = nn.Linear(latent_size, width * space.length)
        self.blocks = nn.Sequential(*[_ResidualBlock(width) for _ in range(depth)])
        self.to_logits = nn.Conv1d(width, space.num_categories, 1)
        self.position_bias = nn.Parameter(torch.zeros(space.length, space.num_categories))

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given per-position distributions ``[L, K]``; as in the convolutional generator of images."""
        set_output_bias(self.position_bias, self.to_logits, log_frequencies)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> SequenceCategorical:
        """The distributions of a batch of latents ``[N, Z]``; no ``labels``."""
        check_labels(self, labels)
        x = rearrange(self.expand(latents), "n (w l) -> n w l", l=self.space.length)
        logits_NLK = rearrange(self.to_logits(torch.relu(self.blocks(x))), "n k l -> n l k")
        return SequenceCategorical(logits_NLK + self.position_bias, self.space.end_id)


@final
class MLPSequenceGenerator(MultilayerPerceptron):
    """Latent -> hidden layers -> independent categorical distributions of the codes; for short sequences.

    Args:
        space: Of sequences, ``(L,)``.
        latent_size: Z.
        width: Units of a hidden layer.
        depth: Hidden layers.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).

    Raises:
        InputError: If a size is below 1, the kind unknown, or the space not one of such sequences.
    """

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 256,
        depth: int = 2,
        latent_kind: str = "normal",
    ) -> None:
        super().__init__(space, latent_size, width, depth, latent_kind)
        check_takes(space, type(self).__name__, end_id=True)
        check_at_least_one(length=space.length)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> SequenceCategorical:
        """The distributions of a batch of latents ``[N, Z]``; no ``labels``."""
        return SequenceCategorical(self.logits_at(latents, labels), self.space.end_id)


class _AutoregressiveGenerator(Generator):
    """Shared by the autoregressive generators; a subclass is the decoder of its own distribution (`Decoder`)."""

    takes_prompt = True

    def __init__(
        self, space: SampleSpace, latent_size: int, width: int, depth: int, latent_kind: str, **settings: Any
    ) -> None:
        super().__init__(space, latent_size, latent_kind, width=width, depth=depth, **settings)
        check_takes(space, type(self).__name__, end_id=True)
        check_at_least_one(length=space.length, width=width, depth=depth)
        self.embed = nn.Embedding(space.num_categories, width)
        self.start_vector = nn.Parameter(torch.zeros(width))
        self.project_latent = nn.Linear(latent_size, width)
        self.to_logits = nn.Linear(width, space.num_categories)
        nn.init.normal_(self.embed.weight, std=0.5)

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given distributions ``[L, K]``, averaged over the positions.

        Raises:
            InputError: If the shape does not fit.
        """
        expected = [self.space.length, self.space.num_categories]
        if list(log_frequencies.shape) != expected or not torch.isfinite(log_frequencies).all():
            raise InputError(f"log_frequencies must be finite, of shape {expected}, got {list(log_frequencies.shape)}")
        with torch.no_grad():
            self.to_logits.bias.copy_(log_frequencies.softmax(-1).mean(0).log())
            self.to_logits.weight.mul_(0.1)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> AutoregressiveCategorical:
        """The distributions of a batch of latents ``[N, Z]``; no ``labels``."""
        check_labels(self, labels)
        space = self.space
        return AutoregressiveCategorical(cast(Any, self), latents, space.length, space.num_categories, space.end_id)

    @abstractmethod
    def features(self, codes: Tensor, latents: Tensor) -> Tensor:
        """``[B, L, width]`` of codes ``[B, L]`` and latents ``[B, Z]``: the logits are a linear layer of them."""

    def logits(self, codes: Tensor, latents: Tensor) -> Tensor:
        """Logits ``[B, L, K]`` of ``codes [B, L]``, each given the codes before it and the ``latents [B, Z]``."""
        return cast(Tensor, self.to_logits(self.features(codes, latents)))

    def _inputs(self, codes: Tensor, latents: Tensor) -> Tensor:
        """The input at each position: the start vector or the code before it, plus the latent."""
        start = repeat(self.start_vector, "w -> b 1 w", b=len(codes))
        shifted = torch.cat([start, self.embed(as_index(codes[:, :-1]))], dim=1)
        return shifted + self.project_latent(latents)[:, None]

    def _next_input(self, previous: Tensor | None, projected: Tensor) -> Tensor:
        before = self.start_vector if previous is None else self.embed(as_index(previous))
        return before + projected


@final
class GRUGenerator(_AutoregressiveGenerator):
    """A recurrent decoder of gated units whose every input holds the latent.

    Args:
        space: Of sequences, ``(L,)``.
        latent_size: Z.
        width: Units of the embedding and of each layer.
        depth: Layers.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).

    Raises:
        InputError: If a size is below 1, the kind unknown, or the space not one of such sequences.
    """

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 128,
        depth: int = 1,
        latent_kind: str = "normal",
    ) -> None:
        super().__init__(space, latent_size, width, depth, latent_kind)
        self.depth = depth
        self.recur = nn.GRU(width, width, depth, batch_first=True)
        self.first_state = nn.Linear(latent_size, depth * width)

    def features(self, codes: Tensor, latents: Tensor) -> Tensor:
        """``[B, L, width]`` of codes ``[B, L]`` and latents ``[B, Z]``."""
        outputs: Tensor = self.recur(self._inputs(codes, latents), self._first(latents))[0]
        return outputs

    def start(self, latents: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """The projected latents and the hidden state ``[depth, B, width]``, whatever the length."""
        return self.project_latent(latents), self._first(latents)

    def step(self, previous: Tensor | None, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits ``[B, K]`` of the next position; as in `bgan_discrete.distributions.autoregressive.Decoder`."""
        projected, hidden = state
        outputs, hidden = self.recur(self._next_input(previous, projected)[:, None], hidden)
        return self.to_logits(outputs[:, 0]), (projected, hidden)

    def _first(self, latents: Tensor) -> Tensor:
        return rearrange(self.first_state(latents), "b (d w) -> d b w", d=self.depth).tanh().contiguous()


@final
class _Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each behind a layer norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def queries_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``[B, heads, T, width / heads]`` each."""
        q, k, v = rearrange(
            self.to_qkv(self.norm_attention(x)), "b t (three h c) -> three b h t c", three=3, h=self.heads
        )
        return q, k, v

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.out(rearrange(attended, "b h t c -> b t (h c)"))
        return x + self.feed_forward(self.norm_forward(x))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.queries_keys_values(x)
        return self.finish(x, nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True))


@final
class TransformerGenerator(_AutoregressiveGenerator):
    """A causal Transformer whose every input holds the latent, with cached keys and values for drawing.

    Args:
        space: Of sequences, ``(L,)``.
        latent_size: Z.
        width: Features of a position; a multiple of ``heads``.
        depth: Blocks.
        heads: Attention heads.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).

    Raises:
        InputError: If a size is below 1, the kind unknown, the space not one of such sequences, or the width no
            multiple of the heads.
    """

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int = 64,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        latent_kind: str = "normal",
    ) -> None:
        super().__init__(space, latent_size, width, depth, latent_kind, heads=heads)
        check_at_least_one(heads=heads)
        if width % heads:
            raise InputError(f"width must be a multiple of heads = {heads}, got {width}")
        self.heads = heads
        self.place = nn.Parameter(torch.randn(space.length, width) * 0.1)
        self.blocks = nn.ModuleList([_Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)

    def features(self, codes: Tensor, latents: Tensor) -> Tensor:
        """``[B, L, width]`` of codes ``[B, L]`` and latents ``[B, Z]``."""
        x = self._inputs(codes, latents) + self.place[: codes.shape[1]]
        for block in self.blocks:
            x = block(x)
        return cast(Tensor, self.norm(x))

    def start(self, latents: Tensor, length: int) -> dict[str, Any]:
        """The projected latents, and room for the keys and values of ``length`` positions; for drawing only."""
        projected = self.project_latent(latents)
        shape = (2, len(self.blocks), len(latents), self.heads, length, projected.shape[1] // self.heads)
        return {"projected": projected, "cache": projected.new_empty(shape), "position": 0}

    def step(self, previous: Tensor | None, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """Logits ``[B, K]`` of the next position; as in `bgan_discrete.distributions.autoregressive.Decoder`."""
        position, (keys, values) = state["position"], state["cache"]
        x = (self._next_input(previous, state["projected"]) + self.place[position])[:, None]
        seen = slice(0, position + 1)
        for number, module in enumerate(self.blocks):
            block = cast(_Block, module)
            q, k, v = block.queries_keys_values(x)
            keys[number][:, :, position], values[number][:, :, position] = k[:, :, 0], v[:, :, 0]
            attended = nn.functional.scaled_dot_product_attention(
                q, keys[number][:, :, seen], values[number][:, :, seen]
            )
            x = block.finish(x, attended)
        return self.to_logits(self.norm(x))[:, 0], {**state, "position": position + 1}


class _SequenceDiscriminator(Discriminator):
    """What the discriminators share: reading codes, with the padding blanked, and whether each prefix has an F."""

    def __init__(self, space: SampleSpace, width: int, depth: int, per_prefix: bool, partial: bool) -> None:
        super().__init__(space, partial=partial)
        check_at_least_one(length=space.length, width=width, depth=depth)
        self.per_prefix = per_prefix
        self.credits = ("prefix",) if per_prefix else ("sample",)
        self.read = CodeInput(space.num_categories, "embedding", width, partial)

    def _features(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[B, L, width]``, zero on the padding, and the positions that count ``[B, L]``."""
        # Soft one-hots (of penalties) end where their largest category does.
        counted_BL = counted_positions(hard_codes(codes), self.space.end_id)
        return self.read(codes, 1) * counted_BL[..., None], counted_BL


@final
class ConvSequenceDiscriminator(_SequenceDiscriminator):
    """Codes -> embedding -> residual convolutions -> one log-ratio F, or one for each prefix.

    Args:
        space: Of sequences, ``(L,)``.
        width: Channels, and features of a code's embedding.
        depth: Residual blocks.
        per_prefix: Give ``F`` of every prefix; the convolutions are then causal.
        partial: See `Discriminator`.

    Raises:
        InputError: If a size is below 1, or samples are no sequences.
    """

    def __init__(
        self,
        space: SampleSpace,
        width: int = 128,
        depth: int = 3,
        per_prefix: bool = False,
        partial: bool = False,
    ) -> None:
        super().__init__(space, width, depth, per_prefix, partial)
        self.blocks = nn.Sequential(*[_ResidualBlock(width, causal=per_prefix) for _ in range(depth)])
        self.to_log_ratio = nn.Linear(2 * width if per_prefix else width * space.length, 1)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of codes ``[B, L]`` or soft one-hots ``[B, L, K]``: ``[B]``, or ``[B, L]`` per prefix; no ``labels``."""
        check_labels(self, labels)
        features, counted_BL = self._features(codes)
        x = self.blocks(rearrange(features, "b l w -> b w l"))
        if not self.per_prefix:
            return self.to_log_ratio(torch.relu(x).flatten(1)).squeeze(1)
        x = rearrange(torch.relu(x), "b w l -> b l w")
        # The convolutions see a stretch of codes; the mean so far also holds what came before it.
        so_far = x.cumsum(1) / torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        return carry_to_the_end(self.to_log_ratio(torch.cat([x, so_far], dim=-1)).squeeze(-1), counted_BL)


@final
class GRUDiscriminator(_SequenceDiscriminator):
    """Codes -> embedding -> gated recurrent units -> one log-ratio F, or one for each prefix.

    Args:
        space: Of sequences, ``(L,)``.
        width: Units of the embedding and of each layer.
        depth: Layers.
        per_prefix: Give ``F`` of every prefix rather than of the whole sequence.
        partial: See `Discriminator`.

    Raises:
        InputError: If a size is below 1, or samples are no sequences.
    """

    def __init__(
        self,
        space: SampleSpace,
        width: int = 128,
        depth: int = 1,
        per_prefix: bool = False,
        partial: bool = False,
    ) -> None:
        super().__init__(space, width, depth, per_prefix, partial)
        self.recur = nn.GRU(width, width, depth, batch_first=True)
        self.to_log_ratio = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of codes ``[B, L]`` or soft one-hots ``[B, L, K]``: ``[B]``, or ``[B, L]`` per prefix; no ``labels``."""
        check_labels(self, labels)
        features, counted_BL = self._features(codes)
        # The accelerator's own recurrent kernels cannot be derived twice, as a gradient penalty asks.
        with torch.backends.cudnn.flags(enabled=not codes.is_floating_point()):
            outputs, _ = self.recur(features)
        if self.per_prefix:
            return carry_to_the_end(self.to_log_ratio(outputs).squeeze(-1), counted_BL)
        last = repeat(counted_BL.sum(1) - 1, "b -> b 1 w", w=outputs.shape[2])
        return self.to_log_ratio(outputs.gather(1, last).squeeze(1)).squeeze(1)
