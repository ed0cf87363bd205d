"""One step of the discriminator and one of the generator: the algorithm, and nothing else.

    z -> generator -> distribution -> M draws -> discriminator -> log weights -> advantages -> surrogate -> step

Source: Hjelm et al. (2018), algorithm 1.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from einops import rearrange
from torch import Tensor, nn

from bgan_discrete.distributions import Distribution, DistributionOfAlternatives, check_logits
from bgan_discrete.distributions.sampling import as_index
from bgan_discrete.errors import InputError, NonFiniteError, one_line
from bgan_discrete.game.divergences import DIVERGENCES, Divergence
from bgan_discrete.game.estimators import Estimator, as_estimator, make_estimator
from bgan_discrete.game.penalties import Penalty
from bgan_discrete.game.weights import at_least_float32, weight_diagnostics
from bgan_discrete.parallel import ALONE, Processes, exchanging, plain

Diagnostics = dict[str, Tensor]
Credit = Literal["prefix", "token", "alternatives"]


class FiniteGuard:
    """Stops all updates from the first loss or gradient on that is inf or NaN, without asking the device at each step.

    On an accelerator every answer that the host waits for idles the device. With a guard the optimiser is told on the
    device itself to leave the parameters alone (`torch.optim.Adam` with ``fused=True`` and its kin know how), from the
    first such update on until `check` is called.

    Attributes:
        step: What `check` calls the step; whoever takes the steps counts here.
    """

    def __init__(self) -> None:
        self.step = 0
        self._first: Tensor | None = None
        self._updates: list[tuple[int, str]] = []

    def note(self, loss: Tensor, norm: Tensor, who: str) -> Tensor:
        """Take note of an update before it is made.

        Args:
            loss: Scalar.
            norm: The gradient's norm, a scalar.
            who: Whose update it is.

        Returns:
            Scalar float32, 1 where this update, or one before it, must not be made; else 0.
        """
        if self._first is None:
            self._first = torch.full((), -1, dtype=torch.int64, device=loss.device)
        number = 2 * len(self._updates)
        found = torch.where(torch.isfinite(norm), -1, number + 1).masked_fill(~torch.isfinite(loss), number)
        self._first = torch.where(self._first < 0, found, self._first)
        self._updates.append((self.step, who))
        return (self._first >= 0).float()

    def check(self) -> str | None:
        """Ask the device, once for all updates since the last call.

        Returns:
            None, or which step was not taken, and what was inf or NaN in it.
        """
        updates, first = self._updates, -1 if self._first is None else int(self._first)
        self._updates, self._first = [], None
        if first < 0:
            return None
        step, who = updates[first // 2]
        return f"step {step} was not taken: the {who}'s {('loss', 'gradient norm')[first % 2]} is inf or NaN"


@dataclass
class Game:
    """The choices of the game that both steps share.

    Attributes:
        estimator: Log weights -> advantages.
        num_draws: M, the draws per latent that the generator's step scores.
        divergence: The discriminator's loss.
        discriminator_draws: Draws per latent in the discriminator's own step.
        penalty: Regulariser of the discriminator, or None.
        penalty_weight: gamma, which multiplies the penalty.
        score_chunk: The most samples that the discriminator scores at once; None for all of them.
        credit: What a draw's advantages come from, where the discriminator gives ``F`` of each prefix. ``"prefix"``:
            the log weight of the prefix that a position ends, ``F_t``. ``"token"``: the log weight of the position
            alone, ``F_t - F_t-1``, which is ``log p(x_t | x_<t) / q(x_t | x_<t)`` at the optimum. ``"alternatives"``:
            every code that could stand at a position is weighed, not only the drawn one; the discriminator must have
            a method ``alternatives`` (`bgan_discrete.nn.AlternativesDiscriminator`).
        entropy_weight: tau, with credit ``"alternatives"``: adds tau times the entropy of the choice at each position
            to what the generator ascends, so that it tends to ``exp(F / tau)``, not to one code. 0 for none.
        escort: alpha, with credit ``"alternatives"``: in the generator's step ``q^alpha / sum_j q_j^alpha``, the escort
            distribution of each choice q, takes its place, so that what has become improbable keeps a gradient. 1 is
            exact; below 1 the gradient is another, which for a choice vanishes too where F is equal for all codes.
        autocast: Makes the context in which the networks run (mixed precision); weights and losses are outside it.
        score_autocast: The same for the scoring of the generator's draws alone; None for `autocast`.
        guard: Defers the check for inf and NaN; None to check, and to wait for the device, at every update.
        accumulation_steps: In how many parts, one after the other, a batch goes through the networks before they move;
            the gradient is that of the whole batch, the memory that of a part. Where the estimator couples the latents
            of a batch, the generator's own pass stays whole.
        processes: Those that have a part of every batch each.
    """

    estimator: Estimator = field(default_factory=lambda: make_estimator("bgan_centered"))
    num_draws: int = 20
    divergence: Divergence = DIVERGENCES["gan"]
    discriminator_draws: int = 1
    penalty: Penalty | None = None
    penalty_weight: float = 1.0
    score_chunk: int | None = None
    credit: Credit = "prefix"
    entropy_weight: float = 0.0
    escort: float = 1.0
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    score_autocast: Callable[[], AbstractContextManager[object]] | None = None
    guard: FiniteGuard | None = None
    accumulation_steps: int = 1
    processes: Processes = ALONE

    def __post_init__(self) -> None:
        """Take a function as an estimator; refuse names."""
        self.estimator = as_estimator(self.estimator)
        refuse_names(divergence=self.divergence, penalty=self.penalty)


def refuse_names(**parts: object) -> None:
    """Raise InputError for a part of the game that is given by its name, where an object is wanted.

    Args:
        parts: By what they are, such as ``penalty``.
    """
    for what, part in parts.items():
        if isinstance(part, str):
            raise InputError(
                f"{what} must be an object, got {part!r}; names are for TrainingConfig({what}=...) and get_{what}(...)"
            )


def discriminator_step(
    generator: Callable[..., Distribution],
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    latents: Tensor,
    game: Game,
    rng: torch.Generator | None = None,
    penalty_scale: float = 1.0,
    condition: Tensor | None = None,
) -> Diagnostics:
    """Move F towards ``log p/q``: ascend the divergence's bound on real samples and on draws of the generator.

    Args:
        generator: Maps latents ``[N, Z]`` to a distribution over N samples.
        discriminator: Maps codes ``[B, *event_shape]`` to ``F [B]``.
        optimizer: Of the discriminator.
        real: Codes ``[B, *event_shape]``.
        latents: ``[N, Z]``.
        game: The choices of the game.
        rng: Source of the draws.
        penalty_scale: Factor of the penalty in this step: 0 leaves it out; k when it is taken every k steps.
        condition: What generator and discriminator are given beside latents and codes, one for each latent and each
            real sample, ``[N, ...]`` (the real samples' labels, or images that they describe): they are called as
            ``generator(latents, condition)`` and ``discriminator(codes, condition)``, where row i of codes
            ``[B, *event_shape]``, B a multiple of N, belongs to condition ``i % N``. None for nothing.

    Returns:
        Scalar tensors: loss, mean F and mean D on both sides, penalty, gradient norm.

    Raises:
        NonFiniteError: Before the optimiser steps, if the loss or the gradient is inf or NaN.
    """
    optimizer.zero_grad(set_to_none=True)
    found = []
    for part, share, exchange in _parts(game.accumulation_steps, real, latents, condition):
        real_part, latents_part, condition_part = part
        with torch.no_grad(), game.autocast():
            distribution = distribution_of(generator, latents_part, condition_part)
        codes = _draws(distribution, game.discriminator_draws, latents_part, rng, real)
        num_categories = distribution.num_categories
        with exchanging(discriminator, exchange):
            score, fake = _given(discriminator, condition_part), _side_by_side(codes, real_part, condition_part)
            loss, diagnostics = _loss_of_samples(score, real_part, fake, num_categories, game, rng, penalty_scale)
            (share * loss).backward()
        found.append((share, loss.detach(), diagnostics))
    loss, diagnostics = _weighted_sums(found)
    diagnostics["discriminator_gradient_norm"] = apply_gradients(
        optimizer, loss, diagnostics, "discriminator", game.guard, game.processes
    )
    return diagnostics


def generator_step(
    generator: Callable[..., Distribution],
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    latents: Tensor,
    game: Game,
    rng: torch.Generator | None = None,
    condition: Tensor | None = None,
) -> Diagnostics:
    """Move the generator's draws towards the decision boundary by the policy gradient.

    ``grad = -1/N sum_n sum_m a[m, n] grad log g(x[m, n] | z_n)``

    Args:
        generator: Maps latents ``[N, Z]`` to a distribution over N samples.
        discriminator: Maps codes ``[B, *event_shape]`` to ``F [B]``; scores the draws in eval mode, without gradients.
        optimizer: Of the generator.
        latents: ``[N, Z]``.
        game: The choices of the game.
        rng: Source of the draws.
        condition: As in `discriminator_step`.

    Returns:
        Scalar tensors: surrogate loss, the diagnostics of the weights, gradient norm.

    Raises:
        NonFiniteError: Before the optimiser steps, if a weight, the loss or the gradient is inf or NaN.
    """
    optimizer.zero_grad(set_to_none=True)
    found: list[tuple[float, Tensor, Diagnostics]] = []
    log_w = []
    count = 1 if game.estimator.couples_latents else game.accumulation_steps
    for (latents_part, condition_part), share, exchange in _parts(count, latents, condition):
        with exchanging(generator, exchange):
            with game.autocast():
                distribution = distribution_of(generator, latents_part, condition_part)
            codes = _draws(distribution, game.num_draws, latents_part, rng)
            loss, log_w_MN = loss_of_draws(distribution, codes, discriminator, game, condition_part)
            _with_gradient(share * loss, "generator").backward()
        found.append((share, loss.detach(), {}))
        log_w.append(log_w_MN)
    return _finish_generator(optimizer, _weighted_sums(found)[0], torch.cat(log_w, dim=1), game, distribution)


def adversarial_step(
    generator: Callable[..., Distribution],
    discriminator: nn.Module,
    generator_optimizer: torch.optim.Optimizer,
    discriminator_optimizer: torch.optim.Optimizer,
    real: Tensor,
    latents: Tensor,
    game: Game,
    rng: torch.Generator | None = None,
    penalty_scale: float = 1.0,
    condition: Tensor | None = None,
) -> Diagnostics:
    """`discriminator_step`, then `generator_step`, on the same latents and with one forward pass of the generator.

    All draws are made at once; the discriminator learns from its own and has moved before it scores the others. A batch
    in several parts takes the two steps one after the other instead. Arguments, result and errors as in the two.
    """
    if game.accumulation_steps > 1:
        found = discriminator_step(
            generator, discriminator, discriminator_optimizer, real, latents, game, rng, penalty_scale, condition
        )
        return found | generator_step(generator, discriminator, generator_optimizer, latents, game, rng, condition)
    with game.autocast():
        distribution = distribution_of(generator, latents, condition)
    draws = _draws(distribution, game.discriminator_draws + game.num_draws, latents, rng, real)
    own, codes = draws.split([game.discriminator_draws, game.num_draws])
    score, fake = _given(discriminator, condition), _side_by_side(own, real, condition)
    num_categories = distribution.num_categories
    found = update_discriminator(score, discriminator_optimizer, real, fake, num_categories, game, rng, penalty_scale)
    return found | _move_generator(distribution, codes, discriminator, generator_optimizer, game, condition)


def distribution_of(
    generator: Callable[..., Distribution], latents: Tensor, condition: Tensor | None = None
) -> Distribution:
    """What a generator gives for latents.

    Args:
        generator: The network.
        latents: ``[N, Z]``.
        condition: What it is called with, too; None for nothing.

    Returns:
        The distribution.

    Raises:
        InputError: If the generator gives anything else.
    """
    found: Any = generator(latents) if condition is None else generator(latents, condition)
    if not isinstance(found, Distribution):
        got = f"a tensor of shape {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"generator must give a Distribution, such as FactorizedCategorical(logits), got {got}")
    return found


def _draws(
    distribution: Distribution, num_draws: int, latents: Tensor, rng: torch.Generator | None, real: Tensor | None = None
) -> Tensor:
    codes = distribution.sample(num_draws, rng)
    wanted = [num_draws, len(latents), *(codes if real is None else real).shape[2 if real is None else 1 :]]
    if list(codes.shape) != wanted:
        got = list(codes.shape)
        raise InputError(f"generator must give samples like the data, one for each latent: {wanted}, got {got}")
    return codes


def checked_log_ratios(found: Any, samples: Tensor, strict: bool = False) -> Tensor:
    """What a discriminator gives, if it is one F for each sample.

    Args:
        found: ``[B]``, or with further axes, but no single one of 1.
        samples: ``[B, ...]``, that it was called with.
        strict: Further axes must be those of the samples: an F for each position.

    Returns:
        It, in float32 at least.

    Raises:
        InputError: If it is anything else.
    """
    own = list(samples.shape)
    if not isinstance(found, Tensor):
        got = type(found).__name__
    else:
        shape, got = list(found.shape), f"{list(found.shape)}"
        fits = shape in (own[:1], own) or (shape[:1] == own[:1] and not strict and shape[1:] != [1])
        if fits and found.is_floating_point():
            return at_least_float32(found)
        got += f" of {found.dtype}" if fits else "; squeeze its last axis" if shape[1:] == [1] else ""
    positions = f", or for each position, {own}" if strict else ""
    raise InputError(f"discriminator must give one F for each sample, {own[:1]}{positions}, got {got}")


def _with_gradient(loss: Tensor, who: str) -> Tensor:
    if not loss.requires_grad:
        raise InputError(f"{who} must give what depends on its parameters, got a loss without a gradient (detached?)")
    return loss


def _parts(count: int, *batch: Tensor | None) -> Iterator[tuple[tuple[Any, ...], float, bool]]:
    """A batch in parts: the tensors of each, its share of the batch, and whether it is the last."""
    sizes = [len(tensor) for tensor in batch if tensor is not None]
    if len(set(sizes)) > 1 and any(size % count for size in sizes):
        # The shares of the tensors would differ.
        raise InputError(
            f"accumulation_steps must divide the numbers of real samples and latents where they differ, got {count} "
            f"for {' and '.join(map(str, sizes))}"
        )
    for number in range(count):
        part = tuple(
            None if tensor is None else tensor[len(tensor) * number // count : len(tensor) * (number + 1) // count]
            for tensor in batch
        )
        length = next(len(tensor) for tensor in part if tensor is not None)
        if length:
            yield part, length / sizes[0], number + 1 == count


def _weighted_sums(parts: list[tuple[float, Tensor, Diagnostics]]) -> tuple[Tensor, Diagnostics]:
    """The loss and the diagnostics of a batch, from the shares, losses and diagnostics of its parts."""
    if len(parts) == 1:
        return parts[0][1:]
    loss = torch.stack([share * loss for share, loss, _ in parts]).sum()
    names = parts[0][2]
    return loss, {name: torch.stack([share * found[name] for share, _, found in parts]).sum() for name in names}


def _side_by_side(codes: Tensor, real: Tensor, condition: Tensor | None) -> Tensor:
    """Draws ``[M, N, ...]`` as samples ``[M N, ...]``, whose conditions repeat those of the real ones."""
    if condition is not None and not len(condition) == len(real) == codes.shape[1]:
        raise InputError(
            f"condition must be one for each real sample and each latent, got {len(condition)} for {len(real)} real "
            f"samples and {codes.shape[1]} latents"
        )
    return rearrange(codes, "m n ... -> (m n) ...")


def update_discriminator(
    score: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    fake: Tensor,
    num_categories: int,
    game: Game,
    rng: torch.Generator | None,
    penalty_scale: float,
) -> Diagnostics:
    """The discriminator's part of every step, on samples that are there already.

    Args:
        score: Maps samples ``[B, ...]`` to ``F [B]``.
        optimizer: Of the discriminator.
        real: Codes ``[B, *event_shape]``, or soft one-hots ``[B, *event_shape, K]``.
        fake: Likewise, without a gradient to the generator.
        num_categories: K.
        game: Its `divergence`, `penalty`, `penalty_weight` and `autocast` are used.
        rng: Source of the penalty's random points.
        penalty_scale: As in `discriminator_step`.

    Returns:
        As `discriminator_step`.

    Raises:
        NonFiniteError: Before the optimiser steps, if the loss or the gradient is inf or NaN.
    """
    loss, diagnostics = _loss_of_samples(score, real, fake, num_categories, game, rng, penalty_scale)
    diagnostics["discriminator_gradient_norm"] = update_parameters(
        optimizer, loss, diagnostics, "discriminator", game.guard, game.processes
    )
    return diagnostics


def _loss_of_samples(
    score: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    num_categories: int,
    game: Game,
    rng: torch.Generator | None,
    penalty_scale: float,
) -> tuple[Tensor, Diagnostics]:
    with game.autocast():
        # One pass over both sides: two thirds of the time of two passes on small batches.
        samples = torch.cat([real, fake.to(real.dtype)])
        log_ratio = checked_log_ratios(score(samples), samples)
    log_ratio_real, log_ratio_fake = log_ratio.split([len(real), len(fake)])
    loss = _with_gradient(game.divergence.discriminator_loss(log_ratio_real, log_ratio_fake), "discriminator")
    diagnostics = {
        "discriminator_loss": loss.detach(),
        # Sums of quotients, since F may be so large that its sum is beyond any float.
        "log_ratio_real": (log_ratio_real.detach() / log_ratio_real.numel()).sum(),
        "log_ratio_fake": (log_ratio_fake.detach() / log_ratio_fake.numel()).sum(),
        "d_real": log_ratio_real.detach().sigmoid().mean(),
        "d_fake": log_ratio_fake.detach().sigmoid().mean(),
    }
    if game.penalty is not None and penalty_scale > 0:
        penalty = _penalty(game.penalty, score, real, fake, num_categories, rng)
        if not isinstance(penalty, Tensor) or penalty.numel() != 1:
            got = list(penalty.shape) if isinstance(penalty, Tensor) else repr(penalty)
            raise InputError(f"penalty must be a scalar tensor, such as a mean over samples, got {got}")
        if not penalty.requires_grad:
            raise InputError(
                "penalty must have a gradient with respect to the discriminator's parameters, got one without"
            )
        loss = loss + game.penalty_weight * penalty_scale * penalty
        diagnostics["penalty"] = penalty.detach()
    return loss, diagnostics


def _penalty(
    penalty: Penalty,
    score: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    num_categories: int,
    rng: torch.Generator | None,
) -> Tensor:
    """The penalty; an error of torch in it is told in the words of what a penalty and a discriminator must be."""
    try:
        return penalty(score, real, fake, num_categories, rng)
    except (TypeError, RuntimeError, IndexError) as error:
        if "memory" in str(error) or isinstance(error, torch.OutOfMemoryError):
            raise
        name = getattr(penalty, "__name__", type(penalty).__name__)
        raise InputError(
            f"penalty {name} failed: {one_line(error)}; it is called with (discriminator, real, fake, num_categories, "
            "generator), and for those of this package the discriminator must take soft one-hots "
            f"[B, *event_shape, {num_categories}] in the place of codes and have a derivative with respect to them"
        ) from error


def _move_generator(
    distribution: Distribution,
    codes: Tensor,
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    game: Game,
    condition: Tensor | None,
) -> Diagnostics:
    optimizer.zero_grad(set_to_none=True)
    loss, log_w_MN = loss_of_draws(distribution, codes, discriminator, game, condition)
    _with_gradient(loss, "generator").backward()
    return _finish_generator(optimizer, loss.detach(), log_w_MN, game, distribution)


def _finish_generator(
    optimizer: torch.optim.Optimizer, loss: Tensor, log_w_MN: Tensor, game: Game, distribution: Distribution
) -> Diagnostics:
    diagnostics = {"generator_loss": loss, **weight_diagnostics(log_w_MN, game.processes)}
    try:
        norm = apply_gradients(optimizer, loss, diagnostics, "generator", game.guard, game.processes)
    except NonFiniteError:
        check_logits(getattr(distribution, "logits", None))  # which may be the reason
        raise
    return {**diagnostics, "generator_gradient_norm": norm}


def generator_loss(
    distribution: Distribution,
    discriminator: nn.Module,
    game: Game,
    rng: torch.Generator | None = None,
    condition: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The scalar whose gradient a generator's step follows, from fresh draws.

    Args:
        distribution: What the generator gave, over N samples.
        discriminator: As in `generator_step`.
        game: The choices of the game.
        rng: Source of the draws.
        condition: As in `discriminator_step`.

    Returns:
        The surrogate loss, a differentiable scalar, and the log weights of the draws ``[M, N]`` (with an F for each
        prefix ``[M, N L]``).
    """
    codes = distribution.sample(game.num_draws, rng)
    return loss_of_draws(distribution, codes, discriminator, game, condition)


def loss_of_draws(
    distribution: Distribution,
    codes: Tensor,
    discriminator: nn.Module,
    game: Game,
    condition: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`generator_loss` of draws that are there already.

    Args:
        distribution: As in `generator_loss`.
        codes: The draws, ``[M, N, *event_shape]``.
        discriminator: As in `generator_step`.
        game: The choices of the game.
        condition: As in `discriminator_step`.

    Returns:
        As `generator_loss`.
    """
    if game.credit == "alternatives":
        surrogate, log_w_MN = weigh_alternatives(distribution, discriminator, codes, game, condition)
    else:
        log_w = score_draws(discriminator, codes, game, condition)
        # With one log weight for each prefix, every position of a latent is normalised over its draws by itself.
        log_w_MN = log_w.flatten(1)
        advantages = game.estimator(log_w_MN).view_as(log_w)
        surrogate = distribution.weighted_log_prob(codes, advantages, zero_sum=game.estimator.zero_sum)
    return -surrogate.mean(), log_w_MN


@torch.no_grad()
def score_draws(discriminator: nn.Module, codes: Tensor, game: Game, condition: Tensor | None = None) -> Tensor:
    """Log weights ``F(x[m, n])`` of draws, in one pass of the discriminator without gradients, in eval mode.

    Args:
        discriminator: Maps codes ``[B, *event_shape]`` to ``F [B]``.
        codes: ``[M, N, *event_shape]``.
        game: Its `score_chunk` bounds the memory of the pass, its `autocast` sets the precision.
        condition: ``[N, ...]``, as in `discriminator_step`; whole draws are then scored at once.

    Returns:
        ``[M, N]``, float32; ``[M, N, L]`` with a discriminator that gives ``F [B, L]``, one for each prefix.
    """
    flat = rearrange(codes, "m n ... -> (m n) ...")
    was_training = discriminator.training
    discriminator.eval()
    try:
        with (game.score_autocast or game.autocast)():
            score = _given(plain(discriminator), condition)
            chunk = game.score_chunk or len(flat)
            if condition is not None:
                chunk = max(chunk // len(condition), 1) * len(condition)
            by_draw = game.credit != "alternatives"
            parts = [checked_log_ratios(score(part), part, by_draw) for part in flat.split(chunk)]
    finally:
        discriminator.train(was_training)
    log_w = rearrange(torch.cat(parts), "(m n) ... -> m n ...", m=codes.shape[0])
    if log_w.ndim == 3 and game.credit == "token":
        # Before the first code both sides are certain, so the log-ratio of the empty prefix is 0.
        log_w = torch.diff(log_w, dim=-1, prepend=torch.zeros_like(log_w[..., :1]))
    return log_w


def weigh_alternatives(
    distribution: Distribution,
    discriminator: nn.Module,
    codes: Tensor,
    game: Game,
    condition: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The surrogate in which every code that could stand at a position of a draw is weighed.

    ``1/M sum_m sum_t sum_k a[m, n, t, k] log g(k at t | z_n, the rest of x_m)``: the expectation of the policy
    gradient over the code at t is taken exactly (with an `escort` of 1), so that a draw teaches L (K - 1) comparisons
    rather than one. Where sequences may end early and all positions are drawn at once, the length keeps the credit of
    the draw as a whole.

    Args:
        distribution: With the methods of `bgan_discrete.distributions.DistributionOfAlternatives`.
        discriminator: With a method ``alternatives``: codes ``[B, *event_shape]`` -> ``F [B, *event_shape, K]``.
        codes: Draws ``[M, N, *event_shape]``.
        game: Its `estimator`, `autocast` and `score_chunk` are used.
        condition: ``[N, ...]``, as in `discriminator_step`.

    Returns:
        ``[N]``, differentiable; and log weights of the draws ``[M, N]``, the mean of what their positions say.

    Raises:
        InputError: If the distribution or the discriminator knows no alternatives, or the estimator has no such form.

    Source:
        The local expectation gradient of Titsias and Lazaro-Gredilla (2015), with the weights of Hjelm et al. (2018).
    """
    if not isinstance(distribution, DistributionOfAlternatives) or not hasattr(discriminator, "alternatives"):
        raise InputError(
            "credit 'alternatives' needs a distribution and a discriminator with a method 'alternatives', got "
            f"{type(distribution).__name__} and {type(discriminator).__name__}"
        )
    surrogate, log_w_MN = torch.zeros((), device=codes.device), []
    for draw in codes:  # one after the other, so that no [M, N, P, K] exists
        with game.autocast():
            log_q, is_open = distribution.alternatives(draw)
        log_w = _score_alternatives(discriminator, draw, game, condition)
        if log_w.shape != log_q.shape:
            wanted = list(log_q.shape)
            raise InputError(f"discriminator.alternatives must give F of shape {wanted}, got {list(log_w.shape)}")
        advantages = game.estimator.over_alternatives(log_q.detach(), log_w, game.entropy_weight, game.escort)
        found = log_w.gather(-1, as_index(draw)[..., None]).squeeze(-1)
        if is_open is not None:
            advantages = advantages * is_open[..., None]
            found = found * is_open
        surrogate = surrogate + (advantages * log_q).flatten(1).sum(1)
        share = found.flatten(1).shape[1] if is_open is None else is_open.flatten(1).sum(1, keepdim=True).clamp_min(1)
        log_w_MN.append((found.flatten(1) / share).sum(1))
    surrogate, log_w = surrogate / len(codes), torch.stack(log_w_MN)
    fixed = distribution.fixed_log_prob(codes)
    if fixed is not None:
        judged = score_draws(discriminator, codes, game, condition)
        judged = (judged / judged.shape[-1]).sum(-1)
        surrogate = surrogate + (game.estimator(judged) * fixed).sum(0)
    return surrogate, log_w


@torch.no_grad()
def _score_alternatives(discriminator: nn.Module, draw: Tensor, game: Game, condition: Tensor | None) -> Tensor:
    was_training = discriminator.training
    discriminator.eval()
    try:
        with (game.score_autocast or game.autocast)():
            score = cast(Callable[..., Tensor], discriminator.alternatives)
            inputs = [part.split(game.score_chunk or len(draw)) for part in (draw, condition) if part is not None]
            parts = [at_least_float32(score(*part)) for part in zip(*inputs, strict=True)]
    finally:
        discriminator.train(was_training)
    return torch.cat(parts)


def _given(network: Callable[..., Tensor], condition: Tensor | None) -> Callable[[Tensor], Tensor]:
    """The network as a function of codes alone."""
    return network if condition is None else lambda codes: network(codes, condition)


def likelihood_step(
    generator: Callable[[Tensor], Distribution],
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    latents: Tensor,
    game: Game,
) -> Diagnostics:
    """Move the generator towards the data by maximum likelihood, for pre-training and for comparison.

    Of a distribution with a ``mixture_log_prob`` (independent positions) it ascends ``E_P log 1/S sum_s g(x | z_s)``
    over all S latents; of any other ``E_P E_z log g(x | z)``, a latent for each sample. Both are at most the
    log-likelihood ``E_P log E_z g(x | z)``; the first comes near it where S latents do for the data, the second where
    the generator does not need its latent.

    Args:
        generator: Maps latents ``[N, Z]`` to a distribution over N samples.
        optimizer: Of the generator.
        real: Codes ``[N, *event_shape]``.
        latents: ``[S, Z]``; S = N where the distribution has no ``mixture_log_prob``.
        game: Its `autocast`, `accumulation_steps`, `guard` and `processes` are used. Of a mixture all parts and
            processes must have the same latents.

    Returns:
        Scalar tensors: loss (nats a sample), gradient norm.

    Raises:
        NonFiniteError: Before the optimiser steps, if the loss or the gradient is inf or NaN.
    """
    optimizer.zero_grad(set_to_none=True)
    found: list[tuple[float, Tensor, Diagnostics]] = []
    start = 0
    for (real_part,), share, exchange in _parts(game.accumulation_steps, real):
        with exchanging(generator, exchange):
            loss = _likelihood_loss(generator, real_part, latents, start, game)
            _with_gradient(share * loss, "generator").backward()
        start += len(real_part)
        found.append((share, loss.detach(), {}))
    loss, _ = _weighted_sums(found)
    diagnostics = {"likelihood_loss": loss}
    diagnostics["generator_gradient_norm"] = apply_gradients(
        optimizer, loss, diagnostics, "generator", game.guard, game.processes
    )
    return diagnostics


def _likelihood_loss(
    generator: Callable[[Tensor], Distribution], real: Tensor, latents: Tensor, start: int, game: Game
) -> Tensor:
    """Of the part of a batch that begins at ``start``."""
    with game.autocast():
        distribution = distribution_of(generator, latents)
        if not distribution.is_mixture:
            if len(real) != len(latents):
                distribution = generator(latents[start : start + len(real)])
            return -distribution.log_prob(real[None]).mean()
    return -distribution.mixture_log_prob(real).mean()


def update_parameters(
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    diagnostics: Diagnostics,
    who: str,
    guard: FiniteGuard | None = None,
    processes: Processes = ALONE,
) -> Tensor:
    """Backward pass and optimiser step, refused if anything is not finite.

    Args:
        optimizer: Of the parameters to move.
        loss: Scalar.
        diagnostics: What an error tells beside the loss.
        who: Whose step it is, for the error.
        guard: Takes note instead of an error; the optimiser must then be a fused one, which can be told on the device.
        processes: Those whose losses, and averaged gradients, must all be finite.

    Returns:
        The gradient's norm over all parameters of the optimiser.

    Raises:
        NonFiniteError: Before the step, if the loss or the gradient is inf or NaN, and there is no guard.
        InputError: If there is a guard and the optimiser cannot be told.
    """
    optimizer.zero_grad(set_to_none=True)
    _with_gradient(loss, who).backward()
    return apply_gradients(optimizer, loss.detach(), diagnostics, who, guard, processes)


def apply_gradients(
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    diagnostics: Diagnostics,
    who: str,
    guard: FiniteGuard | None = None,
    processes: Processes = ALONE,
) -> Tensor:
    """The second half of `update_parameters`: the optimiser's step, of a loss whose gradients are there already.

    Arguments, result and errors as in `update_parameters`.
    """
    norm = torch.nn.utils.get_total_norm(_gradients(optimizer))
    loss = processes.mean(loss)
    if guard is not None:
        if not getattr(optimizer, "_step_supports_amp_scaling", False):
            raise InputError(f"a guard needs an optimiser with fused=True, got {type(optimizer).__name__} without it")
        # The contract between torch's gradient scaler and its fused optimisers.
        vars(optimizer)["found_inf"] = guard.note(loss, norm, who)
        optimizer.step()
        return norm.detach()
    if not torch.isfinite(loss):
        raise NonFiniteError(f"the {who}'s loss is {loss.item()}: {_describe(diagnostics)}")
    if not torch.isfinite(norm):
        raise NonFiniteError(f"the {who}'s gradient norm is {norm.item()}: {_describe(diagnostics)}")
    optimizer.step()
    return norm.detach()


def _gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def _describe(diagnostics: Diagnostics) -> str:
    return ", ".join(f"{name} = {value.item():.6g}" for name, value in diagnostics.items())
