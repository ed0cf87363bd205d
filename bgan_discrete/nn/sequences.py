"""Generators and discriminators for sequences of codes, such as text.

Letters: B samples, L positions, K categories, Z latent width.
"""

from abc import ABC, abstractmethod
from typing import Any, cast

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import pad

from bgan_discrete.distributions import SequenceCategorical
from bgan_discrete.distributions.autoregressive import AutoregressiveCategorical
from bgan_discrete.distributions.endings import carry_to_the_end, counted_positions
from bgan_discrete.distributions.sampling import as_index, check_latent_kind
from bgan_discrete.errors import InputError, check_at_least_one
from bgan_discrete.nn.images import set_output_bias
from bgan_discrete.nn.inputs import CodeInput
from bgan_discrete.nn.vectors import MLPGenerator

RESIDUAL_SCALE = 0.3
"""Share of a block's convolutions in its output, so that a deep stack begins near the identity."""

KERNEL_SIZE = 5


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


class ConvSequenceGenerator(nn.Module):
    """Latent -> residual convolutions along the positions -> independent categorical distributions of the codes.

    Args:
        length: L.
        num_categories: K.
        end_id: The category that ends a sequence; None where all have L codes.
        latent_size: Z.
        width: Channels.
        depth: Residual blocks.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).

    Raises:
        InputError: If a size is below 1 or the kind unknown.

    Source:
        The architecture of the character experiments of Gulrajani et al. (2017), as in Hjelm et al. (2018).
    """

    settings: dict[str, Any]
    event_shape: tuple[int, ...]
    num_categories: int
    latent_size: int
    end_id: int | None
    latent_kind: str

    def __init__(
        self,
        length: int,
        num_categories: int,
        end_id: int | None = None,
        latent_size: int = 64,
        width: int = 128,
        depth: int = 3,
        latent_kind: str = "normal",
    ) -> None:
        super().__init__()
        _describe(self, length, num_categories, end_id, latent_size, width, depth, latent_kind)
        self.expand = nn.Linear(latent_size, width * length)
        self.blocks = nn.Sequential(*[_ResidualBlock(width) for _ in range(depth)])
        self.to_logits = nn.Conv1d(width, num_categories, 1)
        self.position_bias = nn.Parameter(torch.zeros(length, num_categories))

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given per-position distributions ``[L, K]``; as in the convolutional generator of images."""
        set_output_bias(self.position_bias, self.to_logits, log_frequencies)

    def forward(self, latents: Tensor) -> SequenceCategorical:
        """The distributions of a batch of latents ``[N, Z]``."""
        x = rearrange(self.expand(latents), "n (w l) -> n w l", l=self.event_shape[0])
        logits = rearrange(self.to_logits(torch.relu(self.blocks(x))), "n k l -> n l k")
        return SequenceCategorical(logits + self.position_bias, self.end_id)


class MLPSequenceGenerator(MLPGenerator):
    """Latent -> hidden layers -> independent categorical distributions of the codes; for short sequences.

    Args:
        length: L.
        num_categories: K.
        end_id: The category that ends a sequence; None where all have L codes.
        latent_size: Z.
        width: Units of a hidden layer.
        depth: Hidden layers.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).

    Raises:
        InputError: If a size is below 1 or the kind unknown.
    """

    end_id: int | None

    def __init__(
        self,
        length: int,
        num_categories: int,
        end_id: int | None = None,
        latent_size: int = 64,
        width: int = 256,
        depth: int = 2,
        latent_kind: str = "normal",
    ) -> None:
        super().__init__((length,), num_categories, latent_size, width, depth)
        _describe(self, length, num_categories, end_id, latent_size, width, depth, latent_kind)

    def forward(self, latents: Tensor) -> SequenceCategorical:
        """The distributions of a batch of latents ``[N, Z]``."""
        return SequenceCategorical(super().forward(latents).logits, self.end_id)


class _AutoregressiveGenerator(nn.Module, ABC):
    """What the autoregressive generators share: the latent and the codes going in, the logits coming out.

    A subclass is the decoder of its own distribution (`bgan_discrete.distributions.autoregressive.Decoder`).
    """

    settings: dict[str, Any]
    event_shape: tuple[int, ...]
    num_categories: int
    latent_size: int
    end_id: int | None
    latent_kind: str

    def __init__(
        self,
        length: int,
        num_categories: int,
        end_id: int | None,
        latent_size: int,
        width: int,
        depth: int,
        latent_kind: str,
    ) -> None:
        super().__init__()
        _describe(self, length, num_categories, end_id, latent_size, width, depth, latent_kind)
        self.embed = nn.Embedding(num_categories, width)
        self.start_vector = nn.Parameter(torch.zeros(width))
        self.project_latent = nn.Linear(latent_size, width)
        self.to_logits = nn.Linear(width, num_categories)
        nn.init.normal_(self.embed.weight, std=0.5)

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given distributions ``[L, K]``, averaged over the positions.

        Raises:
            InputError: If the shape does not fit.
        """
        expected = [*self.event_shape, self.num_categories]
        if list(log_frequencies.shape) != expected or not torch.isfinite(log_frequencies).all():
            raise InputError(f"log_frequencies must be finite, of shape {expected}, got {list(log_frequencies.shape)}")
        with torch.no_grad():
            self.to_logits.bias.copy_(log_frequencies.softmax(-1).mean(0).log())
            self.to_logits.weight.mul_(0.1)

    def forward(self, latents: Tensor) -> AutoregressiveCategorical:
        """The distributions of a batch of latents ``[N, Z]``."""
        return AutoregressiveCategorical(
            cast(Any, self), latents, self.event_shape[0], self.num_categories, self.end_id
        )

    @abstractmethod
    def features(self, codes: Tensor, latents: Tensor) -> Tensor:
        """``[B, L, width]`` of codes ``[B, L]`` and latents ``[B, Z]``: the logits are a linear layer of them."""

    def logits(self, codes: Tensor, latents: Tensor) -> Tensor:
        """``[B, L, K]`` of codes ``[B, L]``."""
        return cast(Tensor, self.to_logits(self.features(codes, latents)))

    def _inputs(self, codes: Tensor, latents: Tensor) -> Tensor:
        """What stands before each position: the start, then the codes but the last; with the latent added to each."""
        start = repeat(self.start_vector, "w -> b 1 w", b=len(codes))
        shifted = torch.cat([start, self.embed(as_index(codes[:, :-1]))], dim=1)
        return shifted + self.project_latent(latents)[:, None]

    def _next_input(self, previous: Tensor | None, projected: Tensor) -> Tensor:
        before = self.start_vector if previous is None else self.embed(as_index(previous))
        return before + projected


class GRUGenerator(_AutoregressiveGenerator):
    """A recurrent decoder of gated units whose every input holds the latent.

    Args:
        length: L, the most codes of a sequence.
        num_categories: K.
        end_id: The category that ends a sequence; None where all have L codes.
        latent_size: Z.
        width: Units of the embedding and of each layer.
        depth: Layers.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).

    Raises:
        InputError: If a size is below 1 or the kind unknown.
    """

    def __init__(
        self,
        length: int,
        num_categories: int,
        end_id: int | None = None,
        latent_size: int = 64,
        width: int = 128,
        depth: int = 1,
        latent_kind: str = "normal",
    ) -> None:
        super().__init__(length, num_categories, end_id, latent_size, width, depth, latent_kind)
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


class TransformerGenerator(_AutoregressiveGenerator):
    """A causal Transformer whose every input holds the latent, with cached keys and values for drawing.

    Args:
        length: L, the most codes of a sequence.
        num_categories: K.
        end_id: The category that ends a sequence; None where all have L codes.
        latent_size: Z.
        width: Features of a position; a multiple of ``heads``.
        depth: Blocks.
        heads: Attention heads.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).

    Raises:
        InputError: If a size is below 1, the kind unknown, or the width is no multiple of the heads.
    """

    def __init__(
        self,
        length: int,
        num_categories: int,
        end_id: int | None = None,
        latent_size: int = 64,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        latent_kind: str = "normal",
    ) -> None:
        super().__init__(length, num_categories, end_id, latent_size, width, depth, latent_kind)
        check_at_least_one(heads=heads)
        if width % heads:
            raise InputError(f"width must be a multiple of heads = {heads}, got {width}")
        self.settings["heads"] = heads
        self.heads = heads
        self.place = nn.Parameter(torch.randn(length, width) * 0.1)
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
        for number, part in enumerate(self.blocks):
            block = cast(_Block, part)
            q, k, v = block.queries_keys_values(x)
            keys[number][:, :, position], values[number][:, :, position] = k[:, :, 0], v[:, :, 0]
            seen = slice(0, position + 1)
            attended = nn.functional.scaled_dot_product_attention(
                q, keys[number][:, :, seen], values[number][:, :, seen]
            )
            x = block.finish(x, attended)
        return self.to_logits(self.norm(x))[:, 0], {**state, "position": position + 1}


class _SequenceDiscriminator(nn.Module):
    """What the discriminators share: reading codes, with the padding blanked, and the shape of the answer."""

    def __init__(self, length: int, num_categories: int, end_id: int | None, width: int, depth: int) -> None:
        super().__init__()
        check_at_least_one(length=length, width=width, depth=depth)
        self.event_shape = (length,)
        self.end_id = end_id
        self.read = CodeInput(num_categories, "embedding", width)

    def _features(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[B, L, width]``, zero on the padding, and the positions that count ``[B, L]``."""
        # Soft one-hots (of penalties) end where their largest category does.
        hard = codes.detach().argmax(-1) if codes.is_floating_point() else codes
        counted = counted_positions(hard, self.end_id)
        return self.read(codes, 1) * counted[..., None], counted


class ConvSequenceDiscriminator(_SequenceDiscriminator):
    """Codes -> embedding -> residual convolutions -> one log-ratio F, or one for each prefix.

    Args:
        length: L.
        num_categories: K.
        end_id: The category that ends a sequence; None where all have L codes.
        width: Channels, and features of a code's embedding.
        depth: Residual blocks.
        per_prefix: Give ``F`` of every prefix; the convolutions are then causal.

    Raises:
        InputError: If a size is below 1.
    """

    def __init__(
        self,
        length: int,
        num_categories: int,
        end_id: int | None = None,
        width: int = 128,
        depth: int = 3,
        per_prefix: bool = False,
    ) -> None:
        super().__init__(length, num_categories, end_id, width, depth)
        self.per_prefix = per_prefix
        self.blocks = nn.Sequential(*[_ResidualBlock(width, causal=per_prefix) for _ in range(depth)])
        self.to_log_ratio = nn.Linear(2 * width if per_prefix else width * length, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """F of codes ``[B, L]`` or soft one-hots ``[B, L, K]``: ``[B]``, or ``[B, L]`` per prefix."""
        features, counted = self._features(codes)
        x = self.blocks(rearrange(features, "b l w -> b w l"))
        if not self.per_prefix:
            return self.to_log_ratio(torch.relu(x).flatten(1)).squeeze(1)
        x = rearrange(torch.relu(x), "b w l -> b l w")
        # The convolutions see a stretch; the mean so far holds what stood before it.
        so_far = x.cumsum(1) / torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        return carry_to_the_end(self.to_log_ratio(torch.cat([x, so_far], dim=-1)).squeeze(-1), counted)


class GRUDiscriminator(_SequenceDiscriminator):
    """Codes -> embedding -> gated recurrent units -> one log-ratio F, or one for each prefix.

    Args:
        length: L.
        num_categories: K.
        end_id: The category that ends a sequence; None where all have L codes.
        width: Units of the embedding and of each layer.
        depth: Layers.
        per_prefix: Give ``F`` of every prefix rather than of the whole sequence.

    Raises:
        InputError: If a size is below 1.
    """

    def __init__(
        self,
        length: int,
        num_categories: int,
        end_id: int | None = None,
        width: int = 128,
        depth: int = 1,
        per_prefix: bool = False,
    ) -> None:
        super().__init__(length, num_categories, end_id, width, depth)
        self.per_prefix = per_prefix
        self.recur = nn.GRU(width, width, depth, batch_first=True)
        self.to_log_ratio = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, codes: Tensor) -> Tensor:
        """F of codes ``[B, L]`` or soft one-hots ``[B, L, K]``: ``[B]``, or ``[B, L]`` per prefix."""
        features, counted = self._features(codes)
        # The accelerator's own recurrent kernels cannot be derived twice, as a gradient penalty asks.
        with torch.backends.cudnn.flags(enabled=not codes.is_floating_point()):
            outputs, _ = self.recur(features)
        if self.per_prefix:
            return carry_to_the_end(self.to_log_ratio(outputs).squeeze(-1), counted)
        last = repeat(counted.sum(1) - 1, "b -> b 1 w", w=outputs.shape[2])
        return self.to_log_ratio(outputs.gather(1, last).squeeze(1)).squeeze(1)


def _describe(
    generator: Any,
    length: int,
    num_categories: int,
    end_id: int | None,
    latent_size: int,
    width: int,
    depth: int,
    latent_kind: str,
) -> None:
    """Check what all generators of sequences share, and keep it where the Trainer and a saved model look for it."""
    check_at_least_one(length=length, latent_size=latent_size, width=width, depth=depth)
    check_latent_kind(latent_kind)
    generator.settings = {
        "length": length,
        "num_categories": num_categories,
        "end_id": end_id,
        "latent_size": latent_size,
        "width": width,
        "depth": depth,
        "latent_kind": latent_kind,
    }
    generator.event_shape = (length,)
    generator.num_categories, generator.latent_size, generator.end_id = num_categories, latent_size, end_id
    generator.latent_kind = latent_kind
