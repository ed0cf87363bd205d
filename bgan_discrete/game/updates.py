"""One optimiser step on a batch, whole or in parts, refused if anything is inf or NaN.

A step passes its loss as a function of a part of the batch. Gradients of the parts add up to that of the batch; several
processes average them with the last part.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from bgan_discrete.distributions import Distribution
from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.game.guard import FiniteGuard
from bgan_discrete.game.players import Players
from bgan_discrete.game.scoring import with_gradient
from bgan_discrete.game.weights import weight_diagnostics
from bgan_discrete.parallel import ALONE, Processes, exchanging

Figures = dict[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """The loss of a part of a batch.

    Attributes:
        loss: Scalar, differentiable.
        seen: What to report: figures, or the log weights ``[M, N]`` behind a generator's loss.
        distribution: The generator's output, which may explain a loss that is inf or NaN.
        share: Of the batch.
        more: Figures beside log weights.
    """

    loss: Tensor
    seen: Figures | Tensor
    distribution: Distribution | None = None
    share: float = 1.0
    more: Figures = field(default_factory=dict)


def move(
    players: Players,
    who: Literal["generator", "discriminator"],
    loss_of: Callable[..., Outcome],
    *batch: Tensor | None,
    whole: bool = False,
) -> Figures:
    """Take one step of a player's optimiser.

    Args:
        players: Both; one of them moves.
        who: Which one.
        loss_of: The loss of a part of the batch, called with its tensors.
        batch: Arguments of ``loss_of``, tensors that are divided alike, or None.
        whole: Keep the batch in one part, whatever ``players.parts`` is.

    Returns:
        What was seen, with the gradient's norm as ``generator_gradient_norm`` or ``discriminator_gradient_norm``.

    Raises:
        NonFiniteError: Before the optimiser steps, if the loss or the gradient is inf or NaN, and there is no guard.
        InputError: If the loss has no gradient, or the batch cannot be divided evenly.
    """
    network, optimizer = players.side(who)

    # 1. The gradient, part by part; processes exchange it with the last one.
    outcomes: list[Outcome] = []
    for tensors, share, is_last in _split_batch(1 if whole else players.parts, *batch):
        with exchanging(network, is_last):
            outcome = loss_of(*tensors)
            if not outcomes:  # only now: an error of `loss_of` names the parameters without a gradient of the last step
                optimizer.zero_grad(set_to_none=True)
            with_gradient(share * outcome.loss, who).backward()
        outcomes.append(replace(outcome, loss=outcome.loss.detach(), share=share))

    # 2. The step, unless something is not finite; then the generator's own output may say why.
    loss = _weighted_sum(outcomes, [outcome.loss for outcome in outcomes])
    figures = _figures(loss, outcomes, players.processes)
    try:
        norm = apply_gradients(optimizer, loss, figures, who, players.guard, players.processes)
    except NonFiniteError:
        if outcomes[-1].distribution is not None:
            outcomes[-1].distribution.check_finite(who)
        raise
    return {**figures, f"{who}_gradient_norm": norm}


def _figures(loss: Tensor, outcomes: list[Outcome], processes: Processes) -> Figures:
    """What was seen in all parts of a batch: the diagnostics of its log weights, or figures weighted by the shares."""
    log_w = [outcome.seen for outcome in outcomes if isinstance(outcome.seen, Tensor)]
    if log_w:
        more = {name: _weighted_sum(outcomes, [o.more[name] for o in outcomes]) for name in outcomes[0].more}
        return {"generator_loss": loss, **weight_diagnostics(torch.cat(log_w, dim=1), processes), **more}
    seen = [outcome.seen for outcome in outcomes if isinstance(outcome.seen, dict)]
    return {name: _weighted_sum(outcomes, [figures[name] for figures in seen]) for name in seen[0]}


def _weighted_sum(outcomes: list[Outcome], values: list[Tensor]) -> Tensor:
    """Of values of the parts of a batch, by their shares."""
    if len(outcomes) == 1:
        return values[0]
    return torch.stack([outcome.share * value for outcome, value in zip(outcomes, values, strict=True)]).sum()


def _split_batch(count: int, *batch: Tensor | None) -> Iterator[tuple[tuple[Any, ...], float, bool]]:
    """The tensors of each of ``count`` parts of a batch, its share of the batch, and whether it is the last."""
    if count == 1:
        yield batch, 1.0, True
        return
    lengths = [len(tensor) for tensor in batch if tensor is not None]
    if len(set(lengths)) > 1 and any(length % count for length in lengths):
        raise InputError(
            f"parts must divide the numbers of real samples and latents where they differ, got {count} "
            f"for {' and '.join(map(str, lengths))}"
        )
    for number in range(count):
        tensors = tuple(
            None if tensor is None else tensor[len(tensor) * number // count : len(tensor) * (number + 1) // count]
            for tensor in batch
        )
        length = next(len(tensor) for tensor in tensors if tensor is not None)
        if length:
            yield tensors, length / lengths[0], number + 1 == count


def apply_gradients(
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    figures: Figures,
    who: str,
    guard: FiniteGuard | None = None,
    processes: Processes = ALONE,
) -> Tensor:
    """Take the optimiser's step after the backward pass.

    Args:
        optimizer: Of the parameters to move.
        loss: Scalar, without a gradient.
        figures: Reported in an error, next to the loss.
        who: Named in the error.
        guard: Records faults instead of raising; needs a fused optimiser, which can be stopped on the device.
        processes: Those whose losses, and averaged gradients, must all be finite.

    Returns:
        The gradient's norm over all parameters of the optimiser.

    Raises:
        NonFiniteError: Before the step, if the loss or the gradient is inf or NaN, and there is no guard.
        InputError: If there is a guard and the optimiser is not fused.
    """
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).detach()
    loss = processes.mean(loss)
    if guard is not None:
        if not getattr(optimizer, "_step_supports_amp_scaling", False):
            raise InputError(f"a guard needs an optimiser with fused=True, got {type(optimizer).__name__} without it")
        # The contract between torch's gradient scaler and its fused optimisers.
        vars(optimizer)["found_inf"] = guard.note(loss, norm, who)
    else:
        for what, value in (("loss", loss), ("gradient norm", norm)):
            if not torch.isfinite(value):
                others = ", ".join(f"{name} = {figure.item():.6g}" for name, figure in figures.items())
                raise NonFiniteError(f"the {who}'s {what} is {value.item()}: {others}")
    optimizer.step()
    return norm
