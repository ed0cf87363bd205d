"""How a generator starts: at the data's frequencies, and with logits that differ between latents."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Generator
from bgan_discrete.space import SampleSpace


def check_takes(space: SampleSpace, name: str, *, sizes: bool = False, end_id: bool = False) -> None:
    """Raise InputError for a space with properties that a generator ignores: its samples could be outside of it.

    ``sizes`` and ``end_id`` are whether the generator ``name`` respects these of the space.
    """
    if space.sizes is not None and not sizes:
        raise InputError(f"{name} has as many categories at every position, and the space has sizes: use MLPGenerator")
    if space.end_id is not None and not end_id:
        raise InputError(f"{name} has no end, and the space has one: use MLPSequenceGenerator")


@torch.no_grad()
def set_output_bias(bias: nn.Parameter, last_layer: nn.Module, log_frequencies: Tensor) -> None:
    """Copy log-frequencies into an output bias and shrink the last layer's weights."""
    if log_frequencies.shape != bias.shape or not torch.isfinite(log_frequencies).all():
        raise InputError(
            f"log_frequencies must be finite, of shape {list(bias.shape)}, got {list(log_frequencies.shape)}"
        )
    bias.copy_(log_frequencies)
    for parameter in last_layer.parameters():
        parameter.mul_(0.1)


@torch.no_grad()
def set_logit_spread(generator: Generator, latents: Tensor, spread: float) -> None:
    """Rescale a generator's last layer so that its logits have a standard deviation of ``spread`` over the latents.

    A generator of independent positions that starts with the same distribution for every latent must first break that
    symmetry; with sharper, different distributions it learns at once which codes go together.

    Args:
        generator: With a layer ``to_logits`` and a distribution that has ``logits``; changed in place.
        latents: ``[N, Z]``, some hundreds.
        spread: Wanted standard deviation of a logit over the latents, averaged over all logits, > 0. Those of codes
            that a position cannot have (`bgan_discrete.distributions.columns`) do not count.

    Raises:
        InputError: If the spread is not positive, or the logits do not depend on the latents.
    """
    spreads, space = generator(latents).logits.std(0), generator.space
    if space.sizes is not None:
        sizes = torch.tensor(space.sizes, device=spreads.device).reshape(space.event_shape)
        spreads = spreads[torch.arange(space.num_categories, device=spreads.device) < sizes[..., None]]
    measured_spread = float(spreads.mean())
    if not (spread > 0 and measured_spread > 0):
        raise InputError(f"logit_spread must be above 0, with logits that depend on the latent, got {spread}")
    cast(Any, generator).to_logits.weight.mul_(spread / measured_spread)
