"""What a target does with the data: its weight, rows in proportion, rows for a judge, and where an anchor is."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from refusals import refusal

from bgan_discrete import MLPDiscriminator, SampleSpace, Target, Trainer, TrainingConfig
from bgan_discrete.game.anchored import AnchoredDiscriminator
from bgan_discrete.game.targets import Wish, at_once
from bgan_discrete.metrics.verdict import Judge, Verdict
from bgan_discrete.nn.residual import CausalMLPGenerator
from bgan_discrete.training.batches import BatchOrder

SPACE = SampleSpace((4,), 3)
CODES = np.random.default_rng(0).integers(0, 3, (6000, 4)).astype(np.uint8)
CONFIG = TrainingConfig(
    max_steps=12, batch_size=16, num_draws=3, estimator="rloo", phases="likelihood=0.5,game", device="cpu", threads=1
)
JUDGE = Judge("none", lambda samples, data: Verdict(0.5, 0.1), 20)


def trainer(target: Target | None, judge: Judge | None = None, **changes: Any) -> Trainer:
    torch.manual_seed(0)
    generator = CausalMLPGenerator(SPACE, 2, 16, 1, rounds=4, cut="equal")
    discriminator = MLPDiscriminator(SPACE, width=16, depth=1, partial=True)
    config = dataclasses.replace(CONFIG, **changes)
    return Trainer(generator, discriminator, CODES, config, target=target, judge=judge)


def first(codes: torch.Tensor) -> torch.Tensor:
    return codes[:, 0].double()


def test_rows_with_weights_are_used_in_proportion_in_every_epoch() -> None:
    weights = np.array([0.05, 0.0, 0.35, 0.6])
    order = BatchOrder(4, 4, seed=1, weights=weights)
    counts = np.stack([np.bincount(order.indices(epoch), minlength=4) for epoch in range(500)])
    assert (np.abs(counts - 4 * weights) < 1).all()
    assert np.allclose(counts.mean(0), 4 * weights, atol=0.08)


def test_a_weighted_target_changes_what_batches_hold_and_nothing_else() -> None:
    target = Target(at_once(lambda codes: codes[:, 1] != 0), at_once(first), 1.0, "weighted")
    aimed = trainer(target)
    rows = torch.cat([aimed.data.batch(number)[0] for number in range(len(CODES) // 16)])
    assert (rows[:, 1] == 0).double().mean() < 0.01
    tilted = np.exp([0.0, 1.0, 2.0])
    wanted = tilted / tilted.sum()
    found = np.bincount(rows[:, 0], minlength=3) / len(rows)
    assert np.allclose(found, wanted, atol=0.03)
    assert aimed.game.weighing is None
    assert aimed.facts_of_target["valid"] == pytest.approx(2 / 3, abs=0.03)
    assert aimed.facts_of_target["reward"] == pytest.approx(1, abs=0.05)


def test_a_judge_sees_rows_that_follow_the_target() -> None:
    aimed = trainer(Target(at_once(lambda codes: codes[:, 1] != 0), at_once(first), Wish("mean", 1.5)), JUDGE)
    assert aimed.data.validation is not None
    halves = torch.cat([aimed.data.kept_back(half)[0] for half in (0, 1)])
    assert (halves[:, 1] != 0).all()
    assert first(halves).mean() == pytest.approx(1.5, abs=0.15)
    assert first(aimed.data.some_learnt(500)[0]).mean() == pytest.approx(1.5, abs=0.15)
    unchanged = trainer(Target(at_once(lambda codes: codes[:, 0] >= 0)), JUDGE)
    plain = trainer(None, JUDGE)
    for half in (0, 1):
        assert torch.equal(unchanged.data.kept_back(half)[0], plain.data.kept_back(half)[0])
    rare = trainer(Target(at_once(lambda codes: (codes == 0).all(1))), JUDGE)
    assert rare.data.validation is None  # too few of them, so that the last weights are kept
    rare.train(progress=False)
    assert rare.state.choice == ""


def test_an_anchor_is_where_the_game_began() -> None:
    anchored = trainer(Target(at_once(lambda codes: codes[:, 1] != 0), form="anchored"))
    discriminator: Any = anchored.players.discriminator
    assert isinstance(discriminator, AnchoredDiscriminator)
    anchored.train(progress=False)
    start = anchored.state.kept["start"]["generator"]
    assert all(torch.equal(start[name], value) for name, value in discriminator._players[1].state_dict().items())
    assert not torch.equal(start["rows"], anchored.generator.state_dict()["rows"])

    # Resumed, and in a run that starts from the weights of this one, it is there too.
    again = trainer(Target(at_once(lambda codes: codes[:, 1] != 0), form="anchored"), max_steps=20)
    again.load_state_dict(anchored.state_dict())
    resumed: Any = again.players.discriminator
    codes = torch.from_numpy(CODES[:50])
    assert torch.equal(resumed(codes), discriminator(codes))
    new = trainer(Target(at_once(lambda codes: codes[:, 1] != 0), form="anchored"), phases="game")
    new.start_from(anchored.generator)
    begun: Any = new.players.discriminator
    assert torch.allclose(begun(codes), begun.network(codes), atol=1e-6)


def test_an_anchored_game_is_kept_by_its_target() -> None:
    def kept(valid: Any, max_steps: int) -> Trainer:
        run = trainer(
            Target(at_once(valid), form="anchored"), JUDGE, max_steps=max_steps, generator_lr=0.04, ema_decay=0.9,
            phases="likelihood=0.3,game",
        )  # fmt: skip
        run.train(progress=False)
        return run

    gained = kept(lambda codes: codes[:, 1] != 0, 450)
    assert gained.state.choice == "best"
    assert gained.state.verdicts["best"][2] > gained.state.verdicts["start"][2] + 1
    assert kept(lambda codes: codes[:, 0] >= 0, 160).state.choice == "start"  # nothing to gain


def test_targets_that_cannot_be_are_refused() -> None:
    assert "mean=5" in refusal(lambda: trainer(Target(reward=at_once(first), reward_weight=Wish("mean", 5.0))))
