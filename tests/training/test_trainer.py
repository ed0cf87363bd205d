"""The trainer: repeatable, resumable bit for bit, honest in its log, and safe with bad input."""

import copy
import dataclasses
import inspect
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from comparing import equal
from players import TableGenerator
from small_training import CODES, SPACE, small_networks
from torch import Tensor, nn
from watching import HostReads

from bgan_discrete import (
    Discriminator,
    Estimator,
    FactorizedCategorical,
    Game,
    Generator,
    InputError,
    NonFiniteError,
    SampleSpace,
    Trainer,
    TrainingConfig,
)
from bgan_discrete.game.credit import AlternativesCredit
from bgan_discrete.game.estimators import ESTIMATORS
from bgan_discrete.game.guard import FiniteGuard
from bgan_discrete.game.penalties import PENALTIES
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    ConvDiscriminator,
    ConvGenerator,
    MLPDiscriminator,
    MLPGenerator,
)
from bgan_discrete.parallel import Processes
from bgan_discrete.training import figures, stopping
from bgan_discrete.training import trainer as training_loop
from bgan_discrete.training.checkpoint import find_checkpoint, list_checkpoints, load_checkpoint, save_checkpoint
from bgan_discrete.training.latents import LatentSource
from bgan_discrete.training.run_log import read_metrics
from bgan_discrete.training.setup import default_score_chunk, make_game
from bgan_discrete.training.state import load_estimator


def small_config(**changes: Any) -> TrainingConfig:
    values: dict[str, Any] = {
        "num_draws": 4, "batch_size": 8, "max_steps": 12, "log_interval": 5, "sample_interval": 0,
        "checkpoint_interval": 0, "threads": 1, "device": "cpu", "discriminator_steps": 2,
    }  # fmt: skip
    return TrainingConfig(**{**values, **changes})


def small_trainer(config: TrainingConfig, folder: Path | None = None, **options: Any) -> Trainer:
    return Trainer(*small_networks(config.seed), CODES, config, output_dir=folder, **options)


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs() -> None:
    states = []
    for seed in (0, 0, 1):
        trainer = small_trainer(small_config(seed=seed))
        trainer.train(progress=False)
        states.append(trainer.state_dict())
    assert equal(states[0], states[1])
    assert not equal(states[0]["generator"], states[2]["generator"])


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("stop", [3, 5, 10])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path: Path, estimator: str, stop: int) -> None:
    options = {"estimator": estimator, "lr_decay": "linear"}
    whole = small_trainer(small_config(**options, checkpoint_interval=stop, keep_last=9), tmp_path / "a")
    whole.train(progress=False)
    path = tmp_path / "a" / "checkpoints" / f"step-{stop:08d}"
    torch.manual_seed(99)  # what happened in between must not matter
    resumed = small_trainer(small_config(**options), tmp_path / "b")
    torch.manual_seed(77)
    resumed.resume(path)
    assert resumed.step == stop
    saved, taken = load_checkpoint(path, torch.device("cpu")), resumed.state_dict()
    assert equal({name: saved[name] for name in taken}, taken)
    resumed.train(progress=False)
    assert equal(whole.state_dict(), resumed.state_dict())
    assert np.array_equal(whole.sample(20, seed=3), resumed.sample(20, seed=3))


def test_the_log_of_a_resumed_run_is_that_of_the_uninterrupted_one(tmp_path: Path) -> None:
    def figures(folder: Path) -> list[dict[str, float]]:
        lines = read_metrics(folder / "metrics.jsonl")
        return [{k: v for k, v in line.items() if not k.endswith("per_second")} for line in lines]

    small_trainer(small_config(), tmp_path / "whole").train(progress=False)
    # Stopped between two lines of the log: the sums so far are in the checkpoint. Later lines are written anew.
    first = small_trainer(small_config(checkpoint_interval=7), tmp_path / "parts")
    first.train(progress=False)
    second = small_trainer(small_config(checkpoint_interval=7), tmp_path / "parts")
    second.resume(tmp_path / "parts" / "checkpoints" / "step-00000007")
    second.train(progress=False)
    assert [line["step"] for line in figures(tmp_path / "whole")] == [5, 10, 12]
    assert figures(tmp_path / "parts") == figures(tmp_path / "whole")


def test_the_log_holds_the_figures_that_a_run_is_judged_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[dict[str, Tensor]] = []
    step = training_loop.adversarial_step
    monkeypatch.setattr(
        training_loop, "adversarial_step", lambda *given, **named: taken.append(step(*given, **named)) or taken[-1]
    )
    small_trainer(small_config(), tmp_path).train(progress=False)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    wanted = {
        "step", "epoch", "learning_rate", "generator_loss", "discriminator_loss", "log_ratio_real", "log_ratio_fake",
        "d_real", "d_fake", "log_beta", "ess_fraction", "max_weight", "log_weight_std", "penalty",
        "generator_gradient_norm", "discriminator_gradient_norm", "steps_per_second", "draws_per_second",
    }  # fmt: skip
    begin = 0
    for line in lines:
        assert wanted <= set(line)
        steps, begin = taken[begin : line["step"]], line["step"]
        for name in wanted & set().union(*steps):  # the penalty's mean is over the steps that took it
            values = [float(figures[name]) for figures in steps if name in figures]
            assert line[name] == pytest.approx(sum(values) / len(values), rel=1e-5), name
        assert line["epoch"] == line["step"] * 2 * 8 / len(CODES), "of the discriminator's steps and their batches"
        assert line["draws_per_second"] == pytest.approx(line["steps_per_second"] * 8 * 4)
    assert len(taken) == 12 and sum("penalty" in figures for figures in taken) == 6


def test_samples_while_training_are_of_the_runs_seed_and_do_not_change_it() -> None:
    shown: list[tuple[int, np.ndarray]] = []
    plain, watched = (small_trainer(small_config(seed=7, sample_interval=interval)) for interval in (0, 3))
    plain.train(progress=False)
    watched.train(progress=False, on_samples=lambda step, codes: shown.append((step, codes)))
    assert equal(plain.state_dict(), watched.state_dict())
    assert [(step, codes.shape) for step, codes in shown] == [(step, (64, 6)) for step in (3, 6, 9, 12)]
    last = shown[-1][1]
    assert np.array_equal(last, watched.sample(64, seed=7)) and not np.array_equal(last, watched.sample(64, seed=0))
    assert np.array_equal(last[:10], watched.sample(10, seed=7)), "the same latents whatever the number"


def test_the_average_follows_the_generator() -> None:
    trainer = small_trainer(small_config(ema_decay=0.0))
    trainer.train(progress=False)
    for averaged, current in zip(trainer.average.module.parameters(), trainer.generator.parameters(), strict=True):
        assert torch.equal(averaged, current)
    slow = small_trainer(small_config(ema_decay=0.999, max_steps=3))
    start = [parameter.detach().clone() for parameter in slow.generator.parameters()]
    values = [start]
    while slow.step < 3:
        slow._train_step()
        slow.state.step += 1
        values.append([parameter.detach().clone() for parameter in slow.generator.parameters()])
    # The first update copies; then the decay at step t is (1 + t)/(10 + t), far below 0.999.
    expected = values[1][0]
    for t, now in ((1, values[2][0]), (2, values[3][0])):
        decay = (1 + t) / (10 + t)
        expected = decay * expected + (1 - decay) * now
    torch.testing.assert_close(next(iter(slow.average.module.parameters())), expected)


class Clock:
    """Time that goes on by a second with each step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.rates = 100.0, list[float]()
        for module in (stopping, figures):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        take = Trainer._train_step

        def timed(trainer: Trainer) -> Any:
            self.now += 1.0
            self.rates.append(trainer.state.generator_optimizer.param_groups[0]["lr"])
            return take(trainer)

        monkeypatch.setattr(Trainer, "_train_step", timed)


@pytest.mark.parametrize(
    ("steps", "seconds", "shares"),
    [
        (8, None, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
        (8, 1e9, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
        (10**6, 8.0, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
        (10**6, 3.5, [1, 1, 2 * (1 - 2 / 3.5), 2 * (1 - 3 / 3.5)]),
        (6, 8.0, [1, 1, 1, 1, 2 / 3, 1 / 3]),
        (12, 8.0, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
    ],
)
def test_the_decay_follows_the_budget_that_is_used_up_first(
    monkeypatch: pytest.MonkeyPatch, steps: int, seconds: float | None, shares: list[float]
) -> None:
    """Each step takes a second, and the first one begins after none."""
    clock = Clock(monkeypatch)
    trainer = small_trainer(small_config(max_steps=steps, max_seconds=seconds, generator_lr=1e-3))
    summary = trainer.train(progress=False)
    np.testing.assert_allclose(clock.rates, [1e-3 * share for share in shares])
    assert summary.stopped_by == trainer.used_up() == ("max_steps" if steps == len(shares) else "max_seconds")
    flat = small_trainer(small_config(max_steps=steps, max_seconds=seconds, generator_lr=1e-3, lr_decay="none"))
    flat.train(progress=False)
    assert set(clock.rates[len(shares) :]) == {1e-3}


def test_time_used_is_in_the_checkpoints_and_ends_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    config = small_config(max_steps=10**6, max_seconds=8.0, checkpoint_interval=3, keep_last=9, generator_lr=1e-3)
    first = small_trainer(config, tmp_path)
    assert (first.train(progress=False).stopped_by, first.step) == ("max_seconds", 8)
    checkpoints = list_checkpoints(tmp_path / "checkpoints")
    assert [load_checkpoint(path, torch.device("cpu"))["seconds"] for path in checkpoints] == [2.0, 5.0, 8.0]
    # From the middle: it goes on with the time that is left, however long it lay there.
    clock.now, clock.rates = 1e6, []
    second = small_trainer(config, tmp_path / "b")
    second.resume(checkpoints[1])
    assert (second.step, second.seconds, second.used_up()) == (6, 5.0, None)
    second.train(progress=False)
    assert (second.step, clock.rates) == (9, pytest.approx([0.75e-3, 0.5e-3, 0.25e-3]))
    # From the end: there is nothing left to train.
    third = small_trainer(config, tmp_path / "c")
    third.resume(checkpoints[2])
    summary = third.train(progress=False)
    assert (summary.stopped_by, summary.steps, third.used_up()) == ("max_seconds", 8, "max_seconds")
    # Equal runs leave equal checkpoints where no budget is in seconds, whatever time they took.
    plain = small_trainer(small_config(max_steps=2))
    plain.train(progress=False)
    assert "seconds" not in plain.state_dict() and plain.seconds == 2.0


def test_samples_come_from_the_average_and_not_from_the_generator_that_is_trained() -> None:
    shown: list[np.ndarray] = []
    config = small_config(sample_interval=1, max_steps=1, seed=7)
    trainer = small_trainer(config)
    with torch.no_grad():
        for network, code in ((trainer.generator, 0), (trainer.average.module, 2)):
            network.to_logits.weight.zero_()
            network.position_bias.zero_()[:, code] = 1e4
    assert (trainer.sample(40) == 2).all()
    trainer.average.update_parameters = lambda network: None  # type: ignore[method-assign]
    trainer.train(progress=False, on_samples=lambda step, codes: shown.append(codes))
    assert [codes.tolist() for codes in shown] == [[[2] * 6] * 64]
    assert trainer.generator.training and trainer.discriminator.training and not trainer.average.training


class _Counting(Generator):
    """A generator with a buffer of each kind, which its forward pass changes."""

    def __init__(self) -> None:
        super().__init__(SPACE, latent_size=4)
        self.layer = nn.Linear(4, 18)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("level", torch.zeros(()))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> FactorizedCategorical:
        if self.training:
            self.calls += 1
            self.level += 1.0
        return FactorizedCategorical(self.layer(latents).view(-1, 6, 3))


def test_the_average_takes_buffers_too_whole_numbers_as_they_are() -> None:
    config = small_config(max_steps=3, discriminator_steps=1, penalty="none")
    trainer = Trainer(_Counting(), MLPDiscriminator(SPACE, width=8), CODES, config)
    expected = None
    for count in range(3):
        trainer._train_step()
        decay = (1 + count) / (10 + count) if count else 0.0
        expected = decay * (expected or 0.0) + (1 - decay) * (count + 1)
        assert (int(trainer.average.module.calls), int(trainer.generator.calls)) == (count + 1, count + 1)
        assert float(trainer.average.module.level) == pytest.approx(expected)


PHASES = [  # what each step calls, with the generator's and the discriminator's rates
    (["likelihood"], 2e-3, 5e-4), (["likelihood"], 2e-3, 5e-4),
    (["discriminator"] * 2, 5e-5, 2.5e-4), (["discriminator"] * 2, 5e-5, 2.5e-4),
    (["discriminator", "both"], 5e-5, 2.5e-4), (["discriminator", "both"], 5e-5, 2.5e-4),
]  # fmt: skip


@pytest.mark.parametrize("penalty_interval", [1, 2, 3])
def test_each_phase_takes_its_own_steps_rates_and_batches(
    penalty_interval: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of likelihood, two of the discriminator alone, two of the game; the average sees what moves."""
    config = small_config(
        phases=f"likelihood={1 / 3},discriminator={1 / 3},game", max_steps=6, lr_decay="none", generator_lr=1e-3,
        discriminator_lr=5e-4, discriminator_steps=2,
    )  # fmt: skip
    trainer = small_trainer(config, game=replace(make_game(config), penalty_interval=penalty_interval))
    called: list[tuple[str, dict[str, Any]]] = []
    steps = {"likelihood": "likelihood_step", "discriminator": "discriminator_step", "both": "adversarial_step"}
    for kind, name in steps.items():
        own = getattr(training_loop, name)

        def watched(*given: Any, kind: str = kind, own: Any = own, **named: Any) -> Any:
            names = inspect.signature(own).parameters
            called.append((kind, {**dict(zip(names, given, strict=False)), **named}))
            return own(*given, **named)

        monkeypatch.setattr(training_loop, name, watched)
    counts, batches = iter(range(4, 12)), []
    for step, (kinds, *wanted) in enumerate(PHASES):
        called.clear()
        before = [parameter.detach().clone() for parameter in trainer.average.parameters()]
        assert rates(trainer, step) == pytest.approx(wanted)
        trainer.state.step = step
        trainer._train_step()
        trainer._course.after_step((step + 1) / 6)
        assert [kind for kind, _ in called] == kinds
        stays = all(torch.equal(a, b) for a, b in zip(before, trainer.average.parameters(), strict=True))
        assert stays == (kinds == ["discriminator"] * 2)
        for kind, given in called:
            assert given["latents"].shape == (8, 4)
            batches.append(given["real"])
            if kind != "likelihood":
                is_due = next(counts) % penalty_interval == penalty_interval - 1
                assert given["penalty_scale"] == (penalty_interval if is_due else 0)
    # Two of the likelihood, then those of the discriminator's steps, counted from the run's beginning.
    for number, real in zip([0, 1, *range(4, 12)], batches, strict=True):
        assert np.array_equal(real.numpy(), CODES[trainer.data.order.indices(number)])


def precision(trainer: Trainer) -> str:
    """That in which the networks run."""
    with trainer.players.precision():
        return "bfloat16" if torch.is_autocast_enabled("cpu") else "float32"


OBJECTIVE: dict[str, tuple[dict[str, Any], Callable[[Trainer], Any], Any]] = {
    # Option -> it and what it needs, off their defaults; what it names in game or players; what that must be.
    "estimator": ({"estimator": "vimco"}, lambda o: o.game.estimator.name, "vimco"),
    "divergence": ({"divergence": "kl"}, lambda o: o.game.divergence.name, "kl"),
    "num_draws": ({"num_draws": 7}, lambda o: o.game.num_draws, 7),
    "gradient_accumulation_steps": ({"gradient_accumulation_steps": 4}, lambda o: o.players.parts, 4),
    "discriminator_draws": ({"discriminator_draws": 3}, lambda o: o.game.discriminator_draws, 3),
    "discriminator_draws all": ({"discriminator_draws": "all"}, lambda o: o.game.discriminator_draws, 4),
    "penalty": ({"penalty": "roth"}, lambda o: o.game.penalty, PENALTIES["roth"]),
    "penalty none": ({"penalty": "none"}, lambda o: o.game.penalty, None),
    "credit": ({"credit": "alternatives"}, lambda o: o.game.credit, AlternativesCredit()),
    "penalty_weight": ({"penalty_weight": 0.25}, lambda o: o.game.penalty_weight, 0.25),
    "escort": ({"credit": "alternatives", "escort": 0.4}, lambda o: o.game.credit, AlternativesCredit(0.4)),
    "escort None": ({"credit": "alternatives", "escort": None}, lambda o: o.game.credit, AlternativesCredit(1.0)),
    "dtype": ({"dtype": "bfloat16"}, precision, "bfloat16"),
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTIVE)
def test_an_option_reaches_the_game(name: str) -> None:
    options, what, wanted = OBJECTIVE[name]
    assert what(small_trainer(small_config(**options))) == wanted
    if " " not in name:
        assert what(small_trainer(small_config())) != wanted, "or the default would do"


SETTINGS: dict[str, tuple[Any, Callable[[Trainer], Any], Any]] = {
    # Option -> its value; what it names in the trainer; what that must be.
    "batch_size": (16, lambda t: t.data.batch(0)[0].shape, (16, 6)),
    "generator_lr": (1e-4, lambda t: rates(t)[0], 1e-4),
    "discriminator_lr": (3e-4, lambda t: rates(t)[1], 3e-4),
    "adam_beta1": (0.3, lambda t: [o.param_groups[0]["betas"] for o in optimizers(t)], [(0.3, 0.99)] * 2),
    "seed": (3, lambda t: (t.state.streams.rng.initial_seed(), t.data.order.seed), (3, 3)),
    "threads": (2, lambda t: torch.get_num_threads(), 2),
    "lr_decay": ("none", lambda t: rates(t, step=11), [4e-3, 2e-3]),
    "max_steps": (1000, lambda t: rates(t, step=11), [4e-3, 2e-3]),
}  # fmt: skip
ELSEWHERE = {
    # Options of which other tests here show what they do.
    "max_seconds", "discriminator_steps", "phases", "keep", "continuous", "ema_decay", "device",
    "log_interval", "sample_interval", "checkpoint_interval", "keep_last",
}  # fmt: skip


def optimizers(trainer: Trainer) -> list[torch.optim.Optimizer]:
    return list(trainer.state.optimizers.values())


def rates(trainer: Trainer, step: int = 0) -> list[float]:
    trainer.state.step = step
    trainer._set_learning_rates()
    return [optimizer.param_groups[0]["lr"] for optimizer in optimizers(trainer)]


@pytest.mark.parametrize("name", SETTINGS)
def test_an_option_reaches_the_trainer(name: str) -> None:
    value, what, wanted = SETTINGS[name]
    threads = torch.get_num_threads()
    try:
        assert what(small_trainer(small_config())) != wanted, "or the default would do"
        assert what(small_trainer(small_config(**{name: value}))) == wanted
    finally:
        torch.set_num_threads(threads)


def test_every_option_of_the_training_is_in_a_table() -> None:
    known = {name.split()[0] for name in OBJECTIVE} | set(SETTINGS) | ELSEWHERE
    assert {field.name for field in dataclasses.fields(TrainingConfig)} <= known


def test_checkpoints_are_written_and_kept_as_the_options_say(tmp_path: Path) -> None:
    small_trainer(small_config(checkpoint_interval=3, keep_last=3), tmp_path).train(progress=False)
    assert [path.name for path in list_checkpoints(tmp_path / "checkpoints")] == [
        f"step-{step:08d}" for step in (6, 9, 12)
    ]


def test_a_new_training_replaces_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small_trainer(small_config(), tmp_path).train(progress=False)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    with pytest.raises(InputError, match="holds another training: resume that one, or give another folder"):
        small_trainer(small_config(), tmp_path).train(progress=False)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
    # One that died before its first checkpoint begins anew.
    (tmp_path / "checkpoints").rename(tmp_path / "elsewhere")
    small_trainer(small_config(), tmp_path).train(progress=False)
    assert "is of a training without a checkpoint, and is written anew" in caplog.text


def test_fewer_steps_than_are_taken_are_refused(tmp_path: Path) -> None:
    small_trainer(small_config(max_steps=4), tmp_path).train(progress=False)
    path = find_checkpoint(tmp_path / "checkpoints", "latest")
    with pytest.raises(InputError, match=r"max_steps must be at least 4, the steps that checkpoint .* taken, got 2"):
        small_trainer(small_config(max_steps=2)).resume(path)


def networks_of(trainer: Trainer) -> dict[str, Any]:
    return {name: trainer.state_dict()[name] for name in ("generator", "discriminator", "average")}


@pytest.mark.parametrize("source", ["run", "checkpoint", "generator"])
def test_a_training_starts_from_the_weights_of_another(tmp_path: Path, source: str) -> None:
    first = small_trainer(small_config(max_steps=5), tmp_path / "run")
    first.train(progress=False)
    path = find_checkpoint(tmp_path / "run" / "checkpoints", "latest")
    second = small_trainer(small_config(seed=3, max_steps=6, num_draws=2, generator_lr=1e-5))
    fresh = {name: copy.deepcopy(value) for name, value in networks_of(second).items()}
    given: Any = {"run": tmp_path / "run", "checkpoint": str(path), "generator": first.average.module}[source]
    second.start_from(given)
    found, expected = networks_of(second), networks_of(first)
    if source == "generator":
        averaged = first.average.module.state_dict()
        assert equal(dict(second.average.module.state_dict()), dict(averaged))
        assert equal(dict(found["generator"]), dict(averaged))
        assert equal(dict(found["discriminator"]), dict(fresh["discriminator"]))
        assert second.average.num_averaged == 0
    else:
        assert all(equal(dict(found[name]), dict(expected[name])) for name in found)
        assert second.average.num_averaged == first.average.num_averaged == 5
    assert (second.step, second.seconds, second.state.generator_optimizer.state_dict()["state"]) == (0, 0.0, {})
    assert second.train(progress=False).steps == 6
    assert not equal(dict(found["generator"]), dict(fresh["generator"]))


def test_a_start_from_other_networks_is_refused_in_one_line(tmp_path: Path) -> None:
    small_trainer(small_config(max_steps=1), tmp_path).train(progress=False)
    torch.manual_seed(0)
    wide = MLPGenerator(SPACE, 4, 32, 1), MLPDiscriminator(SPACE, 16, 1)
    with pytest.raises(InputError, match=r"checkpoint .* does not fit .*\[16, 4\].*\[32, 4\]") as caught:
        Trainer(*wide, CODES, small_config()).start_from(tmp_path)
    assert "\n" not in str(caught.value)
    double = MLPGenerator(SPACE, 4, 16, 1).double(), MLPDiscriminator(SPACE, 16, 1)
    with pytest.raises(InputError, match=r"the generator's .* is torch.float32 there and torch.float64 here"):
        Trainer(*double, CODES, small_config()).start_from(tmp_path)
    with pytest.raises(InputError, match=r"the MLPGenerator does not fit"):
        small_trainer(small_config()).start_from(wide[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(tmp_path: Path, number: signal.Signals) -> None:
    def send(step: int, codes: np.ndarray) -> None:
        os.kill(os.getpid(), number)

    trainer = small_trainer(small_config(sample_interval=4), tmp_path)
    summary = trainer.train(progress=False, on_samples=send)
    assert (summary.stopped_by, summary.steps) == (number.name, 4)
    assert load_checkpoint(find_checkpoint(tmp_path / "checkpoints", "latest"), torch.device("cpu"))["step"] == 4


@pytest.mark.parametrize("first", [signal.SIGTERM, None])
def test_a_signal_while_the_last_checkpoint_is_written_does_not_cost_it(
    tmp_path: Path, first: signal.Signals | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(step: int, codes: np.ndarray) -> None:
        if first is not None:
            os.kill(os.getpid(), first)

    def save(*arguments: Any) -> Path:
        os.kill(os.getpid(), signal.SIGTERM)
        return save_checkpoint(*arguments)

    monkeypatch.setattr("bgan_discrete.training.trainer.save_checkpoint", save)
    trainer = small_trainer(small_config(sample_interval=4, checkpoint_interval=0), tmp_path)
    before = signal.signal(signal.SIGTERM, lambda number, frame: pytest.fail("it would have died of the signal"))
    try:
        summary = trainer.train(progress=False, on_samples=send)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert summary.stopped_by == "SIGTERM"
    assert find_checkpoint(tmp_path / "checkpoints", "latest").name == f"step-{summary.steps:08d}"


class _Poisoned(Discriminator):
    """A discriminator that returns NaN from some call on."""

    def __init__(self, inner: Discriminator, calls: int) -> None:
        super().__init__(inner.space)
        self.inner, self.calls = inner, calls

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        self.calls -= 1
        return self.inner(samples) * (1 if self.calls >= 0 else float("nan"))


@pytest.mark.parametrize("guarded_until", [None, "log_interval", "sample_interval", "checkpoint_interval"])
def test_a_non_finite_loss_stops_the_run_and_nothing_bad_is_saved(tmp_path: Path, guarded_until: str | None) -> None:
    """Before its step; with a guard as the next figures, samples or checkpoints are due."""
    generator, discriminator = small_networks()
    intervals = {"log_interval": 1000, "sample_interval": 0, "checkpoint_interval": 0}
    intervals |= {guarded_until: 5} if guarded_until else {}
    config = small_config(discriminator_steps=1, penalty="none", max_steps=1000, **intervals)
    trainer = Trainer(generator, _Poisoned(discriminator, calls=6), CODES, config, output_dir=tmp_path)
    trainer.players.guard = FiniteGuard() if guarded_until else None
    told = "inf or NaN" if guarded_until else "nan"
    with pytest.raises(NonFiniteError, match=f"step 4 was not taken: the discriminator's loss is {told}"):
        trainer.train(progress=False)
    assert trainer.step == (5 if guarded_until else 3)
    assert all(torch.isfinite(parameter).all() for parameter in generator.parameters())
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.parametrize("output", [True, False])
def test_weights_that_have_left_their_range_are_not_saved_over_good_ones(tmp_path: Path, output: bool) -> None:
    folder = tmp_path if output else None
    trainer = small_trainer(small_config(max_steps=2, keep_last=1), folder)
    trainer.train(progress=False)
    trainer.config = small_config(max_steps=3, keep_last=1, generator_lr=1e300)
    with pytest.raises(NonFiniteError, match=r"after step 3 the generator's weight .* is inf or NaN"):
        trainer.train(progress=False)
    if folder is not None:
        (kept,) = list_checkpoints(folder / "checkpoints")
        state = load_checkpoint(kept, torch.device("cpu"))
        assert all(value.isfinite().all() for value in state["generator"].values())


def test_a_whole_guarded_training_reads_from_the_device_only_for_its_figures() -> None:
    trainer = small_trainer(small_config(log_interval=6))
    trainer.players.guard = FiniteGuard()
    with HostReads() as watch:
        trainer.train(progress=False)
    # At steps 6 and 12 one question each whether all was finite; at the end one for the weights.
    assert watch.found == ["_local_scalar_dense"] * 3


def test_a_networks_own_distribution_and_data_are_enough() -> None:
    class Score(Discriminator):
        def __init__(self) -> None:
            super().__init__(SampleSpace((5,), 4))
            self.table = nn.Parameter(torch.zeros(5, 4))

        def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
            return self.one_hots(samples).mul(self.table).sum((1, 2))

    probabilities = np.array([0.7, 0.1, 0.15, 0.05])
    codes = np.random.default_rng(0).choice(4, (2000, 5), p=probabilities)
    config = small_config(
        max_steps=400, penalty="none", discriminator_steps=1, generator_lr=0.05, discriminator_lr=0.05, num_draws=8,
        batch_size=64, ema_decay=0.98,
    )  # fmt: skip
    trainer = Trainer(TableGenerator(torch.zeros(5, 4)), Score(), codes, config)
    trainer.train(progress=False)
    frequencies = np.stack([(trainer.sample(4000, seed=1) == k).mean(0) for k in range(4)], axis=-1)
    observed = np.stack([(codes == k).mean(0) for k in range(4)], axis=-1)
    assert 0.5 * np.abs(frequencies - observed).sum(-1).mean() < 0.05


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        (CODES.astype(np.float32), "codes must be an integer array"),
        (CODES.astype(bool), r"codes must be an integer array .*, got bool; \.astype"),
        (CODES.astype(np.uint16), r"codes must be an integer array \(uint8, .*\), got uint16"),
        (CODES.astype(np.dtype(np.int32).newbyteorder()), "codes must be an integer array .*, got [<>]i4"),
        (CODES.tolist(), "codes must be an integer array .*, got list"),
        (CODES.astype(np.int64) - 1, r"codes must be in \[0, 3\), got -1 among rows 0 to 49"),
        (CODES + 1, r"codes must be in \[0, 3\), got 3"),
        (CODES[:, 0], "codes must have shape"),
        (CODES[:0], "codes must have shape"),
        (torch.from_numpy(CODES).float(), "codes must be an integer array"),
        (np.ma.masked_equal(CODES, 2), r"without a mask.*\.filled"),
    ],
)
def test_wrong_codes_are_refused(codes: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Trainer(MLPGenerator(SPACE), MLPDiscriminator(SPACE), codes, small_config())


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_codes_beyond_the_size_of_their_column_are_refused(kind: Any) -> None:
    codes = np.array([[0, 4], [1, 3], [2, 0], [1, 1]] * 10)
    parts = MLPGenerator(SampleSpace((2,), 5, sizes=(2, 5))), MLPDiscriminator(SampleSpace((2,), 5, sizes=(2, 5)))
    with pytest.raises(InputError, match=r"codes of position \[0\] must be in \[0, 2\), .* got 2 among rows 0 to 39"):
        Trainer(*parts, kind(codes), small_config())
    Trainer(*parts, kind(codes.clip(0, [1, 4])), small_config())


def test_wrong_settings_are_refused() -> None:
    networks = MLPGenerator(SPACE), MLPDiscriminator(SPACE)
    with pytest.raises(InputError, match="num_draws must be at least 2"):
        Trainer(*networks, CODES, small_config(num_draws=1))
    for device in ("tpu0", "meta", "vulkan"):
        with pytest.raises(InputError, match=f"device '{device}' cannot be used") as refused:
            Trainer(*networks, CODES, small_config(device=device))
        assert len(str(refused.value)) < 400
    others = MLPGenerator(SampleSpace((2, 3), 3)), MLPDiscriminator(SampleSpace((2, 3), 3))
    with pytest.raises(InputError, match=r"must have the same event shape, got \(6,\) and \(2, 3\)"):
        Trainer(networks[0], others[1], CODES, small_config())
    with pytest.raises(InputError, match=r"generator must .* of shape \[8, 6\] in 3 categories, got \[8, 2, 3\] in 3"):
        Trainer(*others, CODES, small_config())


def test_a_checkpoint_of_other_networks_or_other_data_is_refused(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 3, (20_000, 6)).astype(np.uint8)
    Trainer(*small_networks(), codes, small_config(max_steps=1), output_dir=tmp_path).train(progress=False)
    path = find_checkpoint(tmp_path / "checkpoints", "latest")
    other = Trainer(MLPGenerator(SPACE, width=8), MLPDiscriminator(SPACE), codes, small_config())
    with pytest.raises(InputError, match="does not fit this configuration") as caught:
        other.resume(path)
    assert "\n" not in str(caught.value)
    codes[5001, 0] = (codes[5001, 0] + 1) % 3
    with pytest.raises(InputError, match="the data are not those"):
        Trainer(*small_networks(), codes, small_config()).resume(path)


@pytest.mark.parametrize(
    "forge",
    [
        lambda state: state["generator_optimizer"]["state"][0].update(exp_avg=torch.zeros(3)),
        lambda state: state["discriminator_optimizer"]["state"].update({0: []}),
        lambda state: state["discriminator_optimizer"]["state"][1].pop("step"),
        lambda state: state["estimator"].update(log_beta_ema=torch.zeros(3)),
        lambda state: state["counts"].update({next(iter(state["counts"])): "many"}),
        lambda state: state["processes"].update(sums=torch.zeros(1, 2)),
    ],
)
def test_a_state_that_would_fail_in_the_next_step_is_refused(tmp_path: Path, forge: Callable[[Any], Any]) -> None:
    trainer = small_trainer(small_config(max_steps=3, estimator="reinforce", log_interval=2))
    trainer.train(progress=False)
    state = trainer.state_dict()
    state["counts"] = state["counts"] or {"a": 1}
    forge(state)
    path = save_checkpoint(tmp_path, 3, state, keep_last=1)
    with pytest.raises(InputError, match="does not fit this configuration"):
        small_trainer(small_config(max_steps=5, estimator="reinforce", log_interval=2)).resume(path)


@pytest.mark.parametrize(
    ("began", "goes_on", "words"),
    [
        ("reinforce", "bgan_centered", "'bgan_centered' keeps nothing, .* keeps log_beta_ema, such as reinforce;"),
        ("bgan_centered", "reinforce", "'reinforce' keeps log_beta_ema, .* keeps nothing, such as bgan;"),
    ],
)
def test_a_checkpoint_of_another_estimator_is_refused(tmp_path: Path, began: str, goes_on: str, words: str) -> None:
    small_trainer(small_config(max_steps=1, estimator=began), tmp_path).train(progress=False)
    with pytest.raises(InputError, match=words):
        small_trainer(small_config(estimator=goes_on)).resume(find_checkpoint(tmp_path / "checkpoints", "latest"))


def test_a_state_that_an_estimator_only_has_after_its_first_step_is_resumed() -> None:
    class Lazy(Estimator):
        steps: dict[str, Tensor]

        def state_dict(self) -> dict[str, Tensor]:
            return self.steps

        def load_state_dict(self, state: dict[str, Tensor]) -> None:
            self.steps = state

    estimator = Lazy("lazy", ESTIMATORS["rloo"].function)
    estimator.steps = {}
    load_estimator(estimator, {"mean": torch.ones(())})
    assert estimator.steps == {"mean": torch.ones(())}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"config": 3}, "^config must be a TrainingConfig, got 3$"),
        ({"config": {}}, "^config must be a TrainingConfig, got {}$"),
        ({"config": Game()}, "^config must be a TrainingConfig, got Game.*; give a game as game=$"),
        ({"game": ESTIMATORS["rloo"]}, "^game must be a Game, .* got Estimator"),
        ({"game": "rloo"}, "^game must be a Game, .* got 'rloo'$"),
        ({"game": Game}, "^game must be a Game, .* got <class"),
    ],
)
def test_a_configuration_and_a_game_in_each_others_place_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Trainer(MLPGenerator(SPACE, 4, 16), MLPDiscriminator(SPACE, 16), CODES, **options)


def test_networks_train_in_bfloat16() -> None:
    space = SampleSpace((8, 9), 4, ordered=True)
    generator, discriminator = ConvGenerator(space, 8, 8), ConvDiscriminator(space, 8)
    before = [parameter.detach().clone() for parameter in generator.parameters()]
    codes = np.random.default_rng(0).integers(0, 4, (40, 8, 9)).astype(np.uint8)
    config = small_config(max_steps=3, discriminator_draws="all", dtype="bfloat16")
    Trainer(generator, discriminator, codes, config).train(progress=False)
    for old, new in zip(before, generator.parameters(), strict=True):
        assert torch.isfinite(new).all() and not torch.equal(old, new)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda: MLPDiscriminator(SPACE, width=8, depth=1), {"penalty": "wgan_gp"}),
        (lambda: MLPDiscriminator(SPACE, width=8, depth=1, encoding="embedding"), {"penalty": "roth"}),
        (lambda: MLPDiscriminator(SPACE, width=8, depth=1, encoding="cosine"), {"penalty": "r1"}),
        (
            lambda: AlternativesDiscriminator(SPACE, 8, 1, "rest", "mlp"),
            {"penalty": "r1", "credit": "alternatives"},
        ),
    ],
)
def test_networks_in_float64_train_as_they_are(make: Callable[[], nn.Module], options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    networks = MLPGenerator(SPACE, latent_size=4, width=8, depth=1).double(), make().double()
    trainer = Trainer(*networks, CODES, small_config(max_steps=4, **options))
    trainer.train(progress=False)
    for network in networks:
        assert all(p.dtype == torch.float64 and p.isfinite().all() for p in network.parameters())
    assert trainer.sample(3).shape == (3, 6)


def test_tensorboard_files_are_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    grid = np.zeros((8, 8, 3), np.uint8)
    config = small_config(sample_interval=6)
    trainer = small_trainer(config, tmp_path)
    trainer.train(progress=False, tensorboard=True, on_samples=lambda step, codes: grid)
    assert list((tmp_path / "tensorboard").iterdir())


def test_linear_decay_holds_for_a_half_and_ends_near_zero() -> None:
    options = {"lr_decay": "linear", "generator_lr": 1e-3, "discriminator_lr": 2e-3}
    few, many = (small_trainer(small_config(max_steps=steps, **options)) for steps in (8, 400))
    expected = {few: dict(enumerate([1, 1, 1, 1, 1, 0.75, 0.5, 0.25]))}
    expected[many] = {0: 1, 199: 1, 200: 1, 201: 0.995, 300: 0.5, 395: 0.025, 396: 0.02, 397: 0.02, 399: 0.02}
    for trainer, shares in expected.items():
        for step, share in shares.items():
            np.testing.assert_allclose(rates(trainer, step), [1e-3 * share, 2e-3 * share], err_msg=f"step {step}")


def test_asking_for_the_kind_of_likelihood_takes_a_batch_of_one_and_leaves_no_trace() -> None:
    class Normalised(Generator):
        def __init__(self) -> None:
            super().__init__(SPACE, latent_size=4)
            self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 18))

        def forward(self, latents: Tensor, labels: Tensor | None = None) -> FactorizedCategorical:
            return FactorizedCategorical(self.layers(latents).view(-1, 6, 3))

    class Two(Processes):
        def gather(self, values: Tensor) -> Tensor:
            return torch.stack([values, values])

    config = small_config(phases="likelihood")
    trainer = Trainer(Normalised(), MLPDiscriminator(SPACE, width=8), CODES, config)
    latents = LatentSource(trainer.generator, config, Two(0, 2), trainer.state.streams.rng, is_mixture=True)
    before, randomness = {k: v.clone() for k, v in trainer.generator.state_dict().items()}, torch.get_rng_state()
    assert trainer._faults.check_outputs().is_mixture
    assert latents.of_likelihood(4).shape == (8, 4), "of the whole batch"
    assert equal(dict(trainer.generator.state_dict()), before)
    assert torch.equal(torch.get_rng_state(), randomness)
    assert trainer.generator.training


def test_samples_scored_at_once_on_a_cpu() -> None:
    sizes = (1, 784, 1024, 2048, 10**6)
    assert [default_score_chunk(torch.device("cpu"), size) for size in sizes] == [256, 256, 256, 128, 64]
    assert default_score_chunk(torch.device("meta"), 784) is None
    assert small_trainer(small_config()).players.score_chunk == 256
