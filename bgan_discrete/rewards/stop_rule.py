"""When to stop: a fresh critic, on pairs that the discriminator never saw, no longer finds the policy nearer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bgan_discrete.checks import check_at_least_one, check_seed
from bgan_discrete.errors import InputError
from bgan_discrete.metrics.critics import critic_verdict
from bgan_discrete.metrics.verdict import Verdict
from bgan_discrete.nn.tokens import framed_tokens
from bgan_discrete.rewards.pairs import Pair, padded

LEAST_PAIRS = 50
"""Held-out pairs that a check needs."""


@dataclass
class StopRule:
    """Stops after some checks in a row that found no clear progress.

    A check trains a new critic to tell the teacher's answers to held-out prompts from the policy's, and takes its bound
    of the Jensen-Shannon divergence on other such pairs. Progress is clear if it is better than the last clear progress
    by more than twice the noise of both.

    Attributes:
        patience: Checks in a row without clear progress after which to stop.
        critic_steps: Of a critic's training.
        seed: Of every critic and its split, so that checks of one policy are equal.
        verdicts: Of the checks so far: nats, from 0 to 2 log 2, lower is better, each with its standard error.

    Raises:
        InputError: If a number is out of its range.
    """

    patience: int = 3
    critic_steps: int = 400
    seed: int = 0
    verdicts: list[Verdict] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse what is out of its range."""
        check_at_least_one(patience=self.patience, critic_steps=self.critic_steps)
        check_seed(self.seed)

    @property
    def best(self) -> int | None:
        """The check with the lowest value, counted from 0; None before the first one."""
        values = [verdict.value for verdict in self.verdicts]
        return values.index(min(values)) if values else None

    @property
    def stopped_at(self) -> int | None:
        """The first check, counted from 0, at which the last ``patience`` ones brought no clear progress; None yet."""
        last = 0
        for number, verdict in enumerate(self.verdicts):
            last = number if verdict.beats(self.verdicts[last]) else last
            if number - last >= self.patience:
                return number
        return None

    def measure(self, real: Sequence[Pair], fake: Sequence[Pair], make_critic: Callable[[], nn.Module]) -> Verdict:
        """What a fresh critic says; it is not kept.

        Args:
            real: Pairs with the teacher's answers, one for each prompt.
            fake: With the policy's, for the same prompts.
            make_critic: Makes an untrained network of ids ``[B, L]`` and mask ``[B, L]``.

        Returns:
            The bound in nats with its standard error.

        Raises:
            InputError: If there are fewer than `LEAST_PAIRS` prompts.
        """
        if len(real) < LEAST_PAIRS:
            raise InputError(f"a check needs at least {LEAST_PAIRS} held-out prompts, got {len(real)}")
        codes = framed_tokens(*padded([*real, *fake])).numpy()
        sides = codes[: len(real)], codes[len(real) :]

        def make() -> nn.Module:
            return _ByCodes(make_critic())

        return critic_verdict(*sides, int(codes.max()) + 1, make, steps=self.critic_steps, seed=self.seed)


class _ByCodes(nn.Module):
    """A network of token ids as one of codes, 0 behind the tokens."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, codes: Tensor) -> Tensor:
        device = next((parameter.device for parameter in self.network.parameters()), torch.device("cpu"))
        codes = codes.to(device)
        log_ratio: Tensor = self.network((codes - 1).clamp_min(0), codes > 0)
        return log_ratio
