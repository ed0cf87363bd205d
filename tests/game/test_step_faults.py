"""Small faults in a step that nothing else would notice: what is exchanged, asked, left alone, and told."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import pytest
import torch
from comparing import equal
from players import fused_adam, players, sgd
from small_game import MOVES, K, M, drawn_by_the_logits, latents, networks, real_codes, rng, taken, weights
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from two_processes import by_two_processes

from bgan_discrete import Discriminator, SampleSpace
from bgan_discrete.distributions import FactorizedCategorical, SequenceCategorical
from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.game.credit import AlternativesCredit, prefix_credit
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.guard import FiniteGuard
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.players import Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.scoring import checked_log_ratios
from bgan_discrete.game.step import generator_loss, generator_step
from bgan_discrete.nn import MLPDiscriminator, MLPGenerator
from bgan_discrete.parallel import ALONE, Processes


def by_alternatives(
    distribution: Any, codes: Tensor, discriminator: Any, condition: Tensor, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """The loss and the log weights of draws whose every alternative is weighed."""
    game = Game(make_estimator("rloo"), num_draws=M, credit=AlternativesCredit())
    outcome = generator_loss(game, Players(None, discriminator, score_chunk=chunk), distribution, codes, condition)
    assert isinstance(outcome.seen, Tensor)
    return outcome.loss, outcome.seen


class Replica(DistributedDataParallel):
    """As one of several processes has it, but alone: tells of its passes, and of the time when nothing is exchanged."""

    def __init__(self, module: nn.Module) -> None:
        nn.Module.__init__(self)
        self.module, self.told = module, []

    def forward(self, *inputs: Tensor) -> Any:
        if torch.is_grad_enabled():
            self.told.append("pass")
        return self.module(*inputs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        self.told.append("by itself")
        yield
        self.told.append("no more")


@pytest.mark.parametrize("step", MOVES)
def test_gradients_are_exchanged_with_the_last_part_of_a_batch_alone(step: str) -> None:
    for parts in (3, 1) if step == "both" else (3,):
        generator, discriminator = map(Replica, networks())
        both = players(*networks(), parts=parts)
        both.generator, both.discriminator = generator, discriminator
        taken(step, Game(num_draws=M), both)
        told = [*(["by itself", "pass", "no more"] * (parts - 1)), "pass"]
        assert discriminator.told == (told if "discriminator" in MOVES[step] else [])
        assert generator.told == (told if "generator" in MOVES[step] else [])


@pytest.mark.parametrize("step", MOVES)
def test_a_loss_that_is_not_finite_in_another_process_stops_this_one_too(step: str) -> None:
    class DivergedElsewhere(Processes):
        """Another process's loss is inf: the one of this number."""

        left = 0

        def mean(self, values: Tensor) -> Tensor:
            type(self).left -= 1
            return values + (torch.inf if self.left < 0 else 0)

    for number, who in enumerate(MOVES[step]):
        both = players(*networks(), processes=DivergedElsewhere())
        network = both.generator if who == "generator" else both.discriminator
        DivergedElsewhere.left, before = number, weights(network)
        with pytest.raises(NonFiniteError, match=f"the {who}'s loss is inf"):
            taken(step, Game(num_draws=M), both)
        assert equal(before, weights(network))


@pytest.mark.parametrize("step", MOVES)
def test_what_a_loss_does_not_depend_on_is_left_alone_by_the_optimiser(step: str) -> None:
    """Without a gradient, not with one of zero, with which the decay of weights would move it."""
    generator, discriminator = networks()
    idle = nn.Parameter(torch.ones(2))
    idle.grad = torch.ones(2)

    def decaying(network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD([*network.parameters(), idle], lr=0.1, weight_decay=0.5)

    moving = (sgd, decaying) if step == "discriminator" else (decaying, sgd)
    taken(step, Game(num_draws=M), Players(generator, discriminator, moving[0](generator), moving[1](discriminator)))
    assert torch.equal(idle.detach(), torch.ones(2)) and idle.grad is None


class ByTable(Discriminator):
    """F of a sequence's codes ``[B, L]``, and of each alternative, from a table of its own for each condition."""

    def __init__(self) -> None:
        super().__init__(SampleSpace((4,), K))
        self.table = torch.randn(3, 4, K, dtype=torch.float64, generator=torch.Generator().manual_seed(4))

    def alternatives(self, codes: Tensor, condition: Any = None) -> Tensor:
        return self.table[condition]

    def forward(self, codes: Tensor, condition: Any = None) -> Tensor:
        condition = condition.repeat(len(codes) // len(condition))
        return self.table[condition].gather(2, codes.long()[..., None])[..., 0]


@pytest.mark.parametrize("end", [None, 1])
@pytest.mark.parametrize("chunk", [None, 2])
def test_the_loss_of_alternatives_is_the_mean_of_those_of_each_latent_with_its_condition(
    end: int | None, chunk: int | None
) -> None:
    logits = torch.randn(3, 4, K, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    condition = torch.tensor([2, 0, 1])
    codes = SequenceCategorical(logits, end).sample(M, rng())
    every, log_w = by_alternatives(SequenceCategorical(logits, end), codes, ByTable(), condition, chunk)
    each = [
        by_alternatives(SequenceCategorical(logits[[n]], end), codes[:, [n]], ByTable(), condition[[n]], chunk)
        for n in range(3)
    ]
    torch.testing.assert_close(every, torch.stack([loss for loss, _ in each]).mean())
    torch.testing.assert_close(log_w, torch.cat([part for _, part in each], dim=1))
    if chunk is not None:
        with pytest.raises(ValueError, match="longer"):
            by_alternatives(SequenceCategorical(logits, end), codes, ByTable(), torch.tensor([2, 0, 1, 0, 0]), chunk)


@pytest.mark.parametrize("step", ["discriminator", "both"])
def test_the_penalty_moves_the_discriminator_along_its_own_gradient(step: str) -> None:
    moved = []
    for scale in (0.0, 3.0):
        generator, discriminator = (network.double() for network in networks())
        gradients = torch.autograd.grad(
            get_penalty("r1")(discriminator, real_codes(), real_codes(), K),  # type: ignore[misc]
            list(discriminator.parameters()), allow_unused=True,
        )  # fmt: skip
        game, both = Game(num_draws=M, penalty=get_penalty("r1"), penalty_weight=2.0), players(generator, discriminator)
        taken(step, game, both, z=latents().double(), penalty_scale=scale)
        moved.append(weights(discriminator))
    assert any(gradient is not None and gradient.abs().max() > 1e-3 for gradient in gradients)
    for without, with_it, gradient in zip(*moved, gradients, strict=True):
        torch.testing.assert_close(without - with_it, 0.1 * 6 * (0 * without if gradient is None else gradient))


@pytest.mark.parametrize("step", MOVES)
def test_every_step_leaves_what_is_not_finite_to_the_guard(step: str) -> None:
    generator, discriminator = networks()
    broken = generator if step == "likelihood" else discriminator
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    guard = FiniteGuard()
    optimizers = fused_adam(generator), fused_adam(discriminator)
    taken(step, Game(num_draws=M), Players(generator, discriminator, *optimizers, guard=guard))
    assert guard.check() == f"step 0 was not taken: the {MOVES[step][0]}'s loss is inf or NaN"


def test_of_two_bad_updates_the_guard_names_the_first_even_if_it_was_the_very_first() -> None:
    guard = FiniteGuard()
    guard.note(torch.tensor(torch.inf), torch.tensor(1.0), "critic")
    guard.note(torch.tensor(1.0), torch.tensor(torch.inf), "generator")
    assert guard.check() == "step 0 was not taken: the critic's loss is inf or NaN"


def test_the_figures_of_the_weights_are_those_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FactorizedCategorical, "sample", drawn_by_the_logits)

    def figures(z: Tensor, processes: Processes = ALONE) -> dict[str, Tensor]:
        generator, discriminator = networks()
        both = players(generator, discriminator)
        both.processes = processes
        return generator_step(Game(num_draws=M), both, z)

    whole, (one, other) = figures(latents(4)), by_two_processes(figures, latents(4).split(2))
    for name in ("log_beta", "log_weight_std"):
        torch.testing.assert_close(one[name], whole[name])
        torch.testing.assert_close(other[name], whole[name])


def test_a_guard_takes_note_where_the_losses_are() -> None:
    """On the device that holds no values, which refuses tensors of another."""
    assert FiniteGuard().note(torch.zeros((), device="meta"), torch.ones((), device="meta"), "x").device.type == "meta"


@pytest.mark.parametrize("step", ["discriminator", "both"])
def test_samples_unlike_the_data_are_refused(step: str) -> None:
    space = SampleSpace((2, 3), K)
    both = players(MLPGenerator(space, latent_size=3, width=8), MLPDiscriminator(space, width=8))
    with pytest.raises(InputError, match=r"like the data, one for each latent: .*, 5, 3, 2\], got .*, 5, 2, 3\]"):
        taken(step, Game(num_draws=M), both)


@pytest.mark.parametrize(
    ("found", "end"),
    [
        (torch.zeros(5, 1), r"\[5\], got \[5, 1\]; squeeze its last axis"),
        (torch.zeros(5, dtype=torch.int64), r"\[5\], got \[5\] of torch.int64"),
        (torch.zeros(4), r"\[5\], got \[4\]"),
        (None, r"\[5\], got NoneType"),
    ],
)
def test_what_is_said_of_what_a_discriminator_gives(found: Any, end: str) -> None:
    with pytest.raises(InputError, match=f"^discriminator must give one F for each sample, {end}$"):
        checked_log_ratios(found, torch.zeros(5, 4))


@pytest.mark.parametrize("mixture", [True, False])
def test_the_figures_of_a_likelihood_step(mixture: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not mixture:
        monkeypatch.setattr(FactorizedCategorical, "is_mixture", False)
    both = networks()
    distribution = both[0](latents())
    log_prob = distribution.mixture_log_prob(real_codes()) if mixture else distribution.log_prob(real_codes()[None])
    found = taken("likelihood", Game(), players(*both))
    torch.testing.assert_close(found["likelihood_loss"], -log_prob.detach().mean())
    assert found["generator_gradient_norm"] > 0


def test_a_penalty_that_fails_is_named_but_for_want_of_memory() -> None:
    def failing(*_: Any, error: Exception | None = None) -> Tensor:
        raise error or IndexError("broken")

    for penalty, name in ((failing, "failing"), (partial(failing), "partial")):
        with pytest.raises(InputError, match=f"^penalty {name} failed: broken; it is called with"):
            taken("discriminator", Game(penalty=cast(Any, penalty)), players(*networks()))
    for error in (RuntimeError("CUDA ran out of memory"), torch.OutOfMemoryError("no more of it")):
        with pytest.raises(type(error)) as caught:
            taken("discriminator", Game(penalty=cast(Any, partial(failing, error=error))), players(*networks()))
        assert caught.value is error


def test_the_loss_of_a_generator_is_given_its_condition() -> None:
    logits = torch.randn(3, 4, K, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    distribution, condition = SequenceCategorical(logits), torch.tensor([2, 0, 1])
    codes = distribution.sample(M, rng())
    both, game = Players(None, ByTable()), Game(num_draws=M, credit=prefix_credit)
    log_w = generator_loss(game, both, distribution, codes, condition).seen
    expected = torch.stack([ByTable()(draw, condition) for draw in codes])
    assert isinstance(log_w, Tensor) and torch.equal(log_w, expected.flatten(1))


def test_a_generator_that_is_detached_is_named() -> None:
    class Detached(MLPGenerator):  # type: ignore[misc]
        def forward(self, latents: Tensor, labels: Tensor | None = None) -> FactorizedCategorical:
            return FactorizedCategorical(super().forward(latents, labels).logits.detach())

    generator, discriminator = networks()
    with pytest.raises(InputError, match=r"^generator must give what depends on its parameters"):
        taken("generator", Game(num_draws=M), players(Detached(generator.space, 3, 8), discriminator))
