"""The networks' outputs, checked: the generator's distribution, and F of samples and draws.

Letters: N latents, M draws of each, L positions of a sequence, K categories, B any batch of samples.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from bgan_discrete.distributions import Distribution
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Players
from bgan_discrete.game.weights import at_least_float32
from bgan_discrete.parallel import plain


def generate(players: Players, latents: Tensor, condition: Tensor | None = None) -> Distribution:
    """Call the generator.

    Args:
        players: Their generator is called.
        latents: ``[N, Z]``.
        condition: What it is called with, too; None for nothing.

    Returns:
        The distribution.

    Raises:
        InputError: If there is no generator, or it gives anything else.
    """
    with players.precision():
        distribution: Any = with_condition(players.network("generator"), condition)(latents)
    if not isinstance(distribution, Distribution):
        is_tensor = isinstance(distribution, Tensor)
        got = f"a tensor of shape {list(distribution.shape)}" if is_tensor else type(distribution).__name__
        raise InputError(f"generator must give a Distribution, such as FactorizedCategorical(logits), got {got}")
    return distribution


def draws_of(
    distribution: Distribution, num_draws: int, latents: Tensor, rng: torch.Generator | None, real: Tensor | None = None
) -> Tensor:
    """Draws of a distribution, one sample for each latent and draw.

    Args:
        distribution: Over N samples.
        num_draws: M.
        latents: ``[N, Z]``.
        rng: Source of the draws.
        real: Samples ``[B, *event_shape]``, which the draws must be like; None for none.

    Returns:
        Codes ``[M, N, *event_shape]``.

    Raises:
        InputError: If the draws have another shape.
    """
    codes = distribution.sample(num_draws, rng)
    wanted = [num_draws, len(latents), *(codes.shape[2:] if real is None else real.shape[1:])]
    if list(codes.shape) != wanted:
        got = list(codes.shape)
        raise InputError(f"generator must give samples like the data, one for each latent: {wanted}, got {got}")
    return codes


def as_samples(codes: Tensor, real: Tensor, condition: Tensor | None) -> Tensor:
    """Draws as samples, whose conditions repeat those of the real ones.

    Args:
        codes: Draws ``[M, N, *event_shape]``.
        real: ``[B, *event_shape]``.
        condition: ``[N, ...]``; None for none.

    Returns:
        ``[M N, *event_shape]``.

    Raises:
        InputError: If there is not one condition for each real sample and each latent.
    """
    if condition is not None and not len(condition) == len(real) == codes.shape[1]:
        raise InputError(
            f"condition must be one for each real sample and each latent, got {len(condition)} for {len(real)} real "
            f"samples and {codes.shape[1]} latents"
        )
    return rearrange(codes, "m n ... -> (m n) ...")


def discriminate(players: Players, real: Tensor, fake: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
    """F of real and of generated samples, differentiable.

    Args:
        players: Their discriminator is called.
        real: Codes ``[B, *event_shape]``, or soft one-hots.
        fake: ``[B', *event_shape]``, likewise.
        condition: As in `bgan_discrete.game.step.discriminator_step`.

    Returns:
        ``[B]`` and ``[B']``, or with further axes.

    Raises:
        InputError: If F is not one for each sample, or depends on no parameter.
    """
    with players.precision():
        # One pass over both sides: two thirds of the time of two passes on small batches.
        samples = torch.cat([real, fake.to(real.dtype)])
        log_ratio = checked_log_ratios(with_condition(players.discriminator, condition)(samples), samples)
    log_ratio_real, log_ratio_fake = with_gradient(log_ratio, "discriminator").split([len(real), len(fake)])
    return log_ratio_real, log_ratio_fake


def with_gradient(output: Tensor, who: str) -> Tensor:
    """Check that a loss, or a term of it, depends on parameters.

    Args:
        output: Of any shape.
        who: Named in the message.

    Returns:
        The same.

    Raises:
        InputError: If it does not.
    """
    if not output.requires_grad:
        raise InputError(f"{who} must give what depends on its parameters, got a loss without a gradient (detached?)")
    return output


def with_condition(network: Callable[..., Any], condition: Tensor | None) -> Callable[[Tensor], Any]:
    """Bind the condition of a network.

    Args:
        network: A generator or a discriminator.
        condition: Its second input; None where it takes none.

    Returns:
        Maps latents, or samples, to what the network gives.
    """
    return network if condition is None else lambda inputs: network(inputs, condition)


def checked_log_ratios(log_ratios: Any, samples: Tensor) -> Tensor:
    """The output of a discriminator, refused unless it is one F for each sample.

    Args:
        log_ratios: ``[B]``, or with further axes; ``[B, 1]`` only where the samples have this shape.
        samples: ``[B, ...]``, that it was called with.

    Returns:
        The same numbers, in float32 at least.

    Raises:
        InputError: If it is anything else.
    """
    wanted = f"discriminator must give one F for each sample, {[len(samples)]}"
    if not isinstance(log_ratios, Tensor):
        raise InputError(f"{wanted}, got {type(log_ratios).__name__}")
    shape = list(log_ratios.shape)
    # Of sequences of one code, [B, 1] is an F for each prefix; of all others it is a column that was not squeezed.
    is_column = shape[1:] == [1] and shape != list(samples.shape)
    if shape[:1] != [len(samples)] or is_column:
        raise InputError(f"{wanted}, got {shape}" + ("; squeeze its last axis" if shape[1:] == [1] else ""))
    if not log_ratios.is_floating_point():
        raise InputError(f"{wanted}, got {shape} of {log_ratios.dtype}")
    return at_least_float32(log_ratios)


@contextmanager
def at_rest(network: nn.Module) -> Iterator[None]:
    """A context that puts a network into eval mode and restores its mode afterwards."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


class Scorer:
    """F of the generator's draws: in eval mode, without gradients, in chunks that fit into memory.

    Args:
        players: Their discriminator scores, in the precision and the chunks that they run in.
        condition: ``[N, ...]``, one for each latent, as in `bgan_discrete.game.step.discriminator_step`; None for none.
        terms: Waits for what a target adds to the log weights of the draws, ``[M, N]``; None for nothing.

    Examples:
        >>> from bgan_discrete import MLPDiscriminator, SampleSpace
        >>> discriminator = MLPDiscriminator(SampleSpace((4,), num_categories=3))
        >>> Scorer(Players(None, discriminator)).draws(torch.zeros(5, 2, 4, dtype=torch.uint8)).shape  # M = 5, N = 2
        torch.Size([5, 2])
    """

    def __init__(
        self, players: Players, condition: Tensor | None = None, terms: Callable[[], Tensor] | None = None
    ) -> None:
        self.terms = terms
        self.discriminator = plain(players.network("discriminator"))
        self.chunk, self.condition = players.score_chunk, condition
        self.precision = players.precision

    @torch.no_grad()
    def draws(self, codes: Tensor) -> Tensor:
        """Log weights of draws: ``F(x[m, n])``, and what a target adds.

        Args:
            codes: ``[M, N, *event_shape]``; with a condition whole draws are scored at once.

        Returns:
            ``[M, N]``, float32 at least; ``[M, N, ...]`` with a discriminator that gives more than one F for each.
        """
        samples = rearrange(codes, "m n ... -> (m n) ...")
        chunk_size = self.chunk or len(samples)
        if self.condition is not None:
            chunk_size = max(chunk_size // len(self.condition), 1) * len(self.condition)
        score = with_condition(self.discriminator, self.condition)
        with at_rest(self.discriminator), self.precision():
            log_w = torch.cat([checked_log_ratios(score(chunk), chunk) for chunk in samples.split(chunk_size)])
        log_w_MN = rearrange(log_w, "(m n) ... -> m n ...", m=codes.shape[0])
        return log_w_MN if self.terms is None else log_w_MN + self.terms()

    @torch.no_grad()
    def alternatives(self, draw: Tensor) -> Tensor:
        """F of a draw with the code at each position exchanged for each category.

        Args:
            draw: ``[N, *event_shape]``.

        Returns:
            ``[N, *event_shape, K]``, float32 at least.
        """
        inputs = (draw,) if self.condition is None else (draw, self.condition)
        chunks = zip(*(tensor.split(self.chunk or len(draw)) for tensor in inputs), strict=True)
        with at_rest(self.discriminator), self.precision():
            return torch.cat([at_least_float32(self.discriminator.alternatives(*chunk)) for chunk in chunks])
