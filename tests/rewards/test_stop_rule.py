"""When the training of a policy stops, by what fresh critics said."""

import pytest
import torch
from refusals import refusal

from bgan_discrete.metrics.critics import critic_verdict
from bgan_discrete.metrics.verdict import Verdict
from bgan_discrete.nn.tokens import TokenGRU
from bgan_discrete.rewards import StopRule
from bgan_discrete.rewards.pairs import Pair


@pytest.mark.parametrize(
    ("values", "stopped_at", "best"),
    [
        ([], None, None),
        ([1.0, 0.9, 0.8, 0.7], None, 3),
        ([1.0, 0.5, 0.55, 0.6], 3, 1),
        ([1.0, 0.99, 0.98], 2, 2),  # better by less than the noise
        ([1.0, 0.975, 0.95, 0.9], 2, 3),  # progress becomes clear too late
        ([1.0, 0.97, 0.8, 0.79, 0.78], 4, 4),
        ([0.5, 0.9, 0.9, 0.1], 2, 3),  # what comes after the stop does not undo it
    ],
)  # fmt: skip
def test_the_rule(values: list[float], stopped_at: int | None, best: int | None) -> None:
    rule = StopRule(patience=2, verdicts=[Verdict(value, 0.02) for value in values])
    assert (rule.stopped_at, rule.best) == (stopped_at, best)


def test_the_noise_is_the_spread_of_the_bound_over_other_pairs() -> None:
    """Critics of one seed on other draws of both sides differ as the standard error says, but for their training."""

    def pairs(number: int, low: int) -> list[Pair]:
        rng = torch.Generator().manual_seed(number)
        return [Pair(tuple(row), 2) for row in torch.randint(low, 4, (100, 2), generator=rng).tolist()]

    rule = StopRule(critic_steps=20)
    found = [rule.measure(pairs(2 * n, 0), pairs(2 * n + 1, 1), lambda: TokenGRU(4, 8)) for n in range(8)]
    values = torch.tensor([verdict.value for verdict in found])
    noise = sum(verdict.noise for verdict in found) / len(found)
    assert 0.4 < float(values.std()) / noise < 2.5
    assert rule.verdicts == [], "a measurement is noted by who asks for it"
    again = rule.measure(pairs(0, 0), pairs(1, 1), lambda: TokenGRU(4, 8))
    assert again == found[0]


def test_pairs_stay_together() -> None:
    """Of real and fake samples that are numbered, a critic learns from the same numbers on both sides."""
    seen: list[set[int]] = []

    class Watching(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.zeros(()))

        def forward(self, codes: torch.Tensor) -> torch.Tensor:
            seen.append(set(codes[:, 0].tolist()))
            return codes[:, 0] * self.scale

    numbers = torch.arange(40)[:, None].numpy()
    critic_verdict(numbers, numbers, 40, Watching, steps=30)
    assert seen[0] == seen[1] and seen[-2] == seen[-1], "those that choose, and those that judge"
    learnt = set.union(*seen[2:]) - seen[0]
    assert len(seen[-1]) == 8 and not learnt - set(range(40)) and len(learnt | seen[-1]) <= 32


def test_bad_rules_and_too_few_pairs_are_refused() -> None:
    assert "patience" in refusal(lambda: StopRule(patience=0))
    assert "critic_steps" in refusal(lambda: StopRule(critic_steps=0))
    few = [Pair((1,), 1)] * 49
    assert "at least 50 held-out prompts, got 49" in refusal(lambda: StopRule().measure(few, few, lambda: TokenGRU(2)))
    assert "must be pairs, got 10 and 11" in refusal(
        lambda: critic_verdict(*(torch.zeros(n, 1).long().numpy() for n in (10, 11)), 2, torch.nn.Identity)
    )
