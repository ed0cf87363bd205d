"""The course of a training: phases, looks, the judge, and which weights are kept."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bgan_discrete import InputError, MLPDiscriminator, MLPGenerator, SampleSpace, Trainer, TrainingConfig
from bgan_discrete.config.training import shares_of_phases
from bgan_discrete.metrics.verdict import Judge, Verdict
from bgan_discrete.training import course, judging
from bgan_discrete.training.checkpoint import load_checkpoint
from bgan_discrete.training.course import _best_of
from bgan_discrete.training.judging import validation_rows
from bgan_discrete.training.phases import FINAL_LR_SHARE, FINISH_LR, LIKELIHOOD_LR, Phases
from bgan_discrete.training.run_log import read_metrics
from tests.support.comparing import equal

SPACE = SampleSpace((4,), 3)
COLUMN = np.random.default_rng(0).integers(0, 3, 400)
CODES = np.stack([COLUMN, COLUMN, (COLUMN + 1) % 3, np.arange(400) % 3], 1).astype(np.uint8)
STEPS = 20
PHASES = "likelihood=0.4,discriminator=0.2,game"


@pytest.fixture(autouse=True)
def _small_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MIN_HALF", 10)
    monkeypatch.setattr(course, "LEAST_STEPS", 1)
    monkeypatch.setattr(course, "LOOKS", 4)
    monkeypatch.setattr(course, "PATIENCE", 3)


def a_trainer(folder: Path | None = None, judge: Any = None, **changes: Any) -> Trainer:
    values: dict[str, Any] = {
        "phases": PHASES, "batch_size": 8, "num_draws": 4, "max_steps": STEPS, "log_interval": 1, "sample_interval": 0,
        "checkpoint_interval": 1, "keep_last": 99, "threads": 1, "device": "cpu", "ema_decay": 0.5,
    }  # fmt: skip
    torch.manual_seed(0)
    networks = MLPGenerator(SPACE, latent_size=4, width=8, depth=1), MLPDiscriminator(SPACE, width=8, depth=1)
    return Trainer(*networks, CODES, TrainingConfig(**{**values, **changes}), output_dir=folder, judge=judge)


class Says:
    """A judge that says what a list holds, call after call, and remembers what it was shown."""

    def __init__(self, values: list[float], noise: float = 0.1) -> None:
        self.values, self.noise = iter(values), noise
        self.shown: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, samples: np.ndarray, data: np.ndarray) -> Verdict:
        self.shown.append((samples, data))
        return Verdict(next(self.values), self.noise)

    @property
    def judge(self) -> Judge:
        return Judge("a list", self, 16)


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """The discriminator sees at its first look."""
    monkeypatch.setattr(course.Course, "_blindness", lambda _: Verdict(-1.0, 0.1))


def test_phases_take_their_shares_of_the_budget() -> None:
    trainer = a_trainer()
    seen = []
    for step in range(STEPS):
        seen.append(trainer.state.phases.name)
        trainer.state.step = step
        trainer._train_step()
        trainer._course.after_step((step + 1) / STEPS)
    assert [seen.count(name) for name in ("likelihood", "discriminator", "game")] == [8, 4, 8]
    assert seen == sorted(seen, key=["likelihood", "discriminator", "game"].index)
    assert trainer.state.phase_steps == {"likelihood": 0, "discriminator": 7, "game": 11}, "of the steps set here"
    assert trainer.state.looks == [], "without a judge nothing is looked at"
    assert trainer.data.num_learnt == len(CODES)


@pytest.mark.parametrize(
    ("phases", "shares"),
    [
        ("auto", {"game": 1.0}),
        ("game", {"game": 1.0}),
        (" likelihood , game ", {"likelihood": 0.5, "game": 0.5}),
        ("likelihood=0.7,discriminator=.05,game", {"likelihood": 0.7, "discriminator": 0.05, "game": 0.25}),
        ("likelihood=0.25,discriminator=0.25,game=0.5", {"likelihood": 0.25, "discriminator": 0.25, "game": 0.5}),
    ],
)
def test_shares_of_phases(phases: str, shares: dict[str, float]) -> None:
    found = shares_of_phases(phases)
    assert list(found) == list(shares)
    assert found == pytest.approx(shares)


@pytest.mark.parametrize(
    ("phases", "reason"),
    [
        ("", "some of likelihood, discriminator, game"),
        ("game,likelihood", "in this order"),
        ("likelihood,likelihood,game", "in this order"),
        ("pretrain,game", "some of likelihood"),
        ("likelihood=1,game", "add up to 1"),
        ("likelihood=0.5,game=0.4", "add up to 1"),
        ("likelihood=0,game", "above 0"),
        ("likelihood=x,game", "above 0"),
        ("likelihood=nan,game", "above 0"),
        ("likelihood=-0.5,game=1.5", "above 0"),
    ],
)
def test_phases_that_cannot_be_are_refused(phases: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        TrainingConfig(phases=phases).check()


def test_rates_of_each_phase() -> None:
    config = TrainingConfig(generator_lr=1e-2, discriminator_lr=1e-3, phases=PHASES, adam_beta1=0.0)
    phases = Phases.of(config)
    assert phases.rates(config, 0.2, 9000, 64_000)["generator"] == {
        "lr": LIKELIHOOD_LR, "betas": (0.9, 0.99), "weight_decay": pytest.approx(1 / (LIKELIHOOD_LR * 4_000))
    }  # fmt: skip
    assert phases.rates(config, 0.2, 9000, 64)["generator"]["weight_decay"] == pytest.approx(1 / (LIKELIHOOD_LR * 1600))
    assert phases.rates(config, 0.2, 400, 64)["generator"]["weight_decay"] == pytest.approx(1 / (LIKELIHOOD_LR * 6400))
    assert phases.rates(config, 0.3, 9000, 64_000)["generator"]["lr"] == pytest.approx(LIKELIHOOD_LR / 2)
    phases.advance(0.4)
    assert phases.end == pytest.approx(0.6)
    assert phases.rates(config, 0.59, 9000, 64_000)["discriminator"]["lr"] == pytest.approx(
        1e-3 * FINISH_LR["discriminator"]
    )
    phases.advance(0.5)  # the discriminator saw early
    assert (phases.name, phases.end) == ("game", 1.0)
    rates = phases.rates(config, 0.5, 9000, 64_000)
    assert rates["generator"] == {
        "lr": pytest.approx(1e-2 * FINISH_LR["generator"]), "betas": (0.5, 0.99), "weight_decay": 0
    }  # fmt: skip
    least = pytest.approx(1e-2 * FINISH_LR["generator"] * FINAL_LR_SHARE)
    assert phases.rates(config, 1.0, 9000, 64_000)["generator"]["lr"] == least
    alone = Phases.of(replace(config, phases="game"))
    assert alone.rates(config, 0.0, 9000, 64_000)["generator"] == {"lr": 1e-2, "betas": (0.0, 0.99), "weight_decay": 0}


def test_the_judge_sees_data_that_no_step_learns_from(sees: None) -> None:
    says = Says([5.0] * 20)
    trainer = a_trainer(judge=says.judge)
    assert trainer.data.validation is not None
    first, second = trainer.data.validation
    assert len(first) == len(second) == 20
    learnt = {int(row) for number in range(60) for row in trainer.data._learnt[trainer.data.order.indices(number)]}  # type: ignore[index]
    assert learnt == {*range(400)} - {*first.tolist(), *second.tolist()}
    for number in range(5):
        rows = trainer.data._learnt[trainer.data.order.indices(number)]  # type: ignore[index]
        assert trainer.data.batch(number)[0].tolist() == CODES[rows].tolist()
    trainer.train(progress=False)
    halves = [data.tolist() for _, data in says.shown]
    *chosen, of_start, of_best, floor = halves
    assert all(half == CODES[first].tolist() for half in chosen)
    assert of_start == of_best == floor == CODES[second].tolist()
    assert all(samples.shape == (16, 4) for samples, _ in says.shown)
    assert says.shown[-1][0].tolist() == trainer.data.some_learnt(16)[0].tolist()


@pytest.mark.parametrize(
    ("values", "choice"),
    [
        # Looks of the game on the first half; then start, best and floor on the second.
        ([4.0, 3.0, 2.0, 1.0, 3.0, 1.0, 0.5], "best"),
        ([4.0, 3.0, 2.0, 1.0, 1.1, 1.0, 0.5], "start"),  # better by less than the noise of both
        ([4.0, 3.0, 2.0, 1.0, 1.0, 3.0, 0.5], "start"),
    ],
)
def test_the_game_replaces_its_start_only_where_it_is_better_by_more_than_the_noise(
    values: list[float], choice: str, sees: None
) -> None:
    trainer = a_trainer(judge=Says(values).judge)
    trainer.train(progress=False)
    state = trainer.state
    assert [look["phase"] for look in state.looks].count("game") == 4
    assert state.choice == choice
    assert state.verdicts["start"][0] == values[4]
    assert state.verdicts["floor"] == [0.5, 0.1]
    kept = trainer.kept_generator.state_dict()
    assert equal(dict(kept), dict(state.kept[choice]["generator"]))
    others = dict(state.kept["best" if choice == "start" else "start"]["generator"])
    assert not equal(dict(kept), others)


def test_the_best_weights_of_the_game_are_those_of_the_best_look(sees: None, tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path, judge=Says([4.0, 1.0, 2.0, 3.0, 9.0, 0.0, 0.5]).judge)
    trainer.train(progress=False)
    looks = [look for look in trainer.state.looks if look["phase"] == "game"]
    saved = load_checkpoint(tmp_path / "checkpoints" / f"step-{looks[1]['step']:08d}", torch.device("cpu"))
    average = {name.removeprefix("module."): value for name, value in saved["average"].items()}
    average.pop("n_averaged")
    assert equal(average, dict(trainer.kept_generator.state_dict()))
    assert equal(dict(saved["discriminator"]), dict(trainer.state.kept["best"]["discriminator"]))


def test_the_game_begins_with_the_averaged_weights_that_are_most_likely_on_data_kept_back(
    sees: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    nats = iter([3.0, 1.0, 2.0, 2.0])
    weights = []

    def looked(self: Any) -> Verdict:
        weights.append({name: value.clone() for name, value in self._averaged().state_dict().items()})
        return Verdict(next(nats), 0.1)

    monkeypatch.setattr(course.Course, "_heldout_nats", looked)
    trainer = a_trainer(judge=Says([5.0] * 20).judge)
    trainer.train(progress=False)
    assert len(weights) == 4
    assert equal(dict(trainer.state.kept["start"]["generator"]), weights[1])
    moments = trainer.state.generator_optimizer.state_dict()["state"].values()
    assert {int(state["step"]) for state in moments} == {trainer.state.step - trainer.state.phase_steps["game"]}


def test_a_phase_that_others_follow_ends_with_a_look(sees: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "LEAST_STEPS", 6)
    trainer = a_trainer(judge=Says([5.0] * 20).judge, phases="likelihood=0.4,discriminator=0.35,game")
    trainer.train(progress=False)
    assert [(look["step"], look["phase"]) for look in trainer.state.looks] == [
        (6, "likelihood"), (8, "likelihood"), (14, "discriminator"), (20, "game"),
    ]  # fmt: skip
    assert trainer.state.phase_steps == {"likelihood": 0, "discriminator": 8, "game": 14}
    monkeypatch.setattr(course, "LEAST_STEPS", 100)
    trainer = a_trainer(judge=Says([5.0] * 20).judge)
    trainer.train(progress=False)
    assert [look["phase"] for look in trainer.state.looks] == ["likelihood", "game"], "too few steps to call it blind"


def test_looks_that_find_nothing_better_end_a_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "LOOKS", 10)
    trainer = a_trainer(judge=Says([3.0, 1.0, 2.0, 1.0, 1.0, 7.0, 8.0]).judge, phases="game")
    summary = trainer.train(progress=False)
    assert (summary.stopped_by, summary.steps) == ("patience", 10), "the fifth of ten looks at twenty steps"
    assert (trainer.state.choice, trainer.state.verdicts) == ("best", {"best": [7.0, 0.1], "floor": [8.0, 0.1]})
    assert trainer.used_up() == "patience"
    assert trainer.train(progress=False).steps == 10, "it has ended"


def test_without_a_difference_that_the_discriminator_sees_there_is_no_game(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(course.Course, "_blindness", lambda _: Verdict(-0.1, 0.1))
    trainer = a_trainer(judge=Says([5.0] * 9).judge)
    summary = trainer.train(progress=False)
    assert (summary.stopped_by, summary.steps) == ("blindness", 12)
    assert trainer.state.choice == "start"
    assert [look["phase"] for look in trainer.state.looks][-1] == "discriminator"


def test_a_discriminator_of_zeros_is_blind_and_one_that_knows_is_not() -> None:
    trainer = a_trainer(judge=Says([]).judge, divergence="gan")
    for parameter in trainer.discriminator.parameters():
        parameter.data.zero_()
    found = trainer._course._blindness()
    assert (found.value, found.noise) == pytest.approx((0.0, 0.0), abs=1e-6)

    class Knows(MLPDiscriminator):
        def forward(self, samples: torch.Tensor, labels: Any = None) -> torch.Tensor:
            is_right = (samples[:, 0] == samples[:, 1]) & (samples[:, 2] == (samples[:, 1] + 1) % 3)
            return super().forward(samples, labels) * 0 + torch.where(is_right, 1.0, -1.0)

    trainer.state.discriminator.__class__ = Knows
    found = trainer._course._blindness()
    assert found.value < -2 * found.noise < 0


@pytest.mark.parametrize("fault", ["raises", "nan"])
def test_a_judge_that_fails_costs_a_warning(fault: str, sees: None, caplog: pytest.LogCaptureFixture) -> None:
    def measure(samples: np.ndarray, data: np.ndarray) -> Verdict:
        if fault == "raises":
            raise RuntimeError("no such column")
        return Verdict(float("nan"), 0.0)

    trainer = a_trainer(judge=Judge("broken", measure, 16))
    with caplog.at_level(logging.WARNING):
        summary = trainer.train(progress=False)
    assert (summary.steps, summary.stopped_by) == (STEPS, "max_steps")
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("the judge failed, and the training continues without it: ")
    assert trainer.state.choice == "start"


def test_a_judges_own_dice_change_nothing(sees: None) -> None:
    def measure(samples: np.ndarray, data: np.ndarray) -> Verdict:
        return Verdict(float(torch.rand(())), 0.1)

    states = []
    for judge in (Judge("dice", measure, 16), Says([5.0] * 9).judge):
        trainer = a_trainer(judge=judge)
        trainer.train(progress=False)
        states.append(dict(trainer.generator.state_dict()))
    assert equal(*states)


def nearness() -> Judge:
    """How often the first two positions agree in the data and not in the samples."""

    def measure(samples: np.ndarray, data: np.ndarray) -> Verdict:
        shares = [np.mean(codes[:, 0] == codes[:, 1]) for codes in (data, samples)]
        return Verdict(float(shares[0] - shares[1]), 0.05)

    return Judge("agreement", measure, 64)


@pytest.fixture
def goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a game, whatever the discriminator's look finds."""
    monkeypatch.setattr(course, "SEEN", -100.0)


@pytest.mark.parametrize("step", [1, 7, 8, 11, 12, 19])
def test_a_run_resumes_bit_for_bit_within_every_phase(
    step: int, tmp_path_factory: pytest.TempPathFactory, goes_on: None
) -> None:
    whole = whole_run(tmp_path_factory)
    again = a_trainer(judge=nearness())
    again.resume(whole[0] / "checkpoints" / f"step-{step:08d}")
    again.train(progress=False)
    assert equal(again.state_dict(), whole[1])


_whole: list[tuple[Path, dict[str, Any]]] = []


def whole_run(factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a checkpoint after every step, and the last state; taken once."""
    if not _whole:
        folder = factory.mktemp("whole")
        trainer = a_trainer(folder, judge=nearness())
        trainer.train(progress=False)
        assert {look["phase"] for look in trainer.state.looks} == {"likelihood", "discriminator", "game"}
        assert trainer.state.choice
        _whole.append((folder, trainer.state_dict()))
    return _whole[0]


def test_the_log_names_phases_and_what_looks_found(tmp_path_factory: pytest.TempPathFactory, goes_on: None) -> None:
    lines = read_metrics(whole_run(tmp_path_factory)[0] / "metrics.jsonl")
    assert [line["phase"] for line in lines][:9] == ["likelihood"] * 8 + ["discriminator"]
    assert lines[-1]["phase"] == "game"
    assert {"heldout_nats", "heldout_nats_noise"} <= lines[1].keys()
    assert any("judge" in line for line in lines)
    assert any("heldout_discriminator_gain" in line for line in lines)


def test_few_rows_are_not_kept_back() -> None:
    assert validation_rows(199, 0) is None
    halves = validation_rows(400, 0)
    assert halves is not None
    assert [len(half) for half in halves] == [20, 20]


def test_looks_take_a_small_share_of_a_budget_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = a_trainer(judge=Says([5.0] * 99).judge, max_seconds=100.0, max_steps=10**6, phases="game")
    state, taken = trainer.state, 0
    for tick in range(1, 1000):
        state.step, state.seconds = tick, tick / 10
        if trainer._course._is_look_due(tick / 1000):
            state.looks.append({"step": tick, "phase": "game", "value": 1.0, "noise": 0.1})
            state.seconds_of_looks += 2.0
            taken += 1
    assert taken == 2, "four seconds of a hundred"


@pytest.mark.parametrize(
    ("seconds_of_a_sample", "budget", "timed", "seen"),
    [
        (0.0015, 64.0, [50, 100, 200], 200),
        (0.0, 64.0, [50, 100, 200, 400, 800, 1000], 1000),
        (1.0, 64.0, [50], 100),
        (1.0, None, [], 1000),
    ],
)
def test_a_judge_sees_fewer_samples_where_drawing_takes_long(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    seconds_of_a_sample: float,
    budget: float | None,
    timed: list[int],
    seen: int,
) -> None:
    clock, drawn = [0.0], []
    draw = course.sample_codes

    def slowly(generator: Any, count: int, *rest: Any, **options: Any) -> Any:
        clock[0] += count * seconds_of_a_sample
        drawn.append(count)
        return draw(generator, count, *rest, **options)

    monkeypatch.setattr(course, "sample_codes", slowly)
    monkeypatch.setattr(course.time, "monotonic", lambda: clock[0])
    said = Says([5.0] * 99)
    trainer = a_trainer(tmp_path, Judge("a list", said, 1000), phases="game", max_steps=4, max_seconds=budget)
    trainer._course._judged()
    trainer._course._judged(1)
    trainer._course._floor()
    shown = [len(samples) for samples, _ in said.shown]
    assert shown == [seen, seen, min(seen, trainer.data.num_learnt)]
    assert drawn == [*timed, seen, seen], "the time is taken once"
    saved = trainer.save()
    assert saved is not None
    resumed = a_trainer(tmp_path, Judge("a list", said, 1000), phases="game", max_steps=4, max_seconds=budget)
    resumed.resume(saved)
    resumed._course._judged()
    assert drawn[-1] == seen
    assert drawn.count(50) == (budget is not None), "nor again after a resume"


def test_with_an_aim_the_best_look_has_most_of_it_and_is_no_farther_from_the_data() -> None:
    looks = [Verdict(0.5, 0.01, -4.0, 0.1), Verdict(0.6, 0.01, -1.0, 0.1), Verdict(0.51, 0.01, -2.0, 0.1)]
    assert _best_of([Verdict(look.value, look.noise) for look in looks]) == 0
    assert _best_of(looks) == 2  # the second is farther from the data than the start
    assert _best_of(looks, by_aim=True) == 1  # where the aim says how far that is
    assert looks[2].beats(looks[0])
    assert not looks[1].beats(looks[0])
    assert looks[1].beats(looks[0], by_aim=True)
    assert not looks[0].beats(looks[2], by_aim=True)
