"""The course of a training through its phases: what is looked at, when a phase ends, which weights are kept.

    likelihood -> held-out nats: the best weights are the start of what follows; ends where they no longer fall
    discriminator -> its held-out loss: ends where it sees a difference; the training ends where it never does
    game -> the judge, on one half of what is kept back: the best weights; ends where they no longer improve
    end -> the judge, on the other half: the best of the game against its start

With a target that weighs draws the discriminator need not see anything for a game; the judge is asked at its start too,
and of looks at which samples are as much like the data as there, the best is that with the highest log weights. In an
anchored game the divergence from the start is known, which is taken off the log weights; then they alone decide.

Every look is taken by the first process, on averaged weights; the others get what it found.
"""

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bgan_discrete.config import TrainingConfig
from bgan_discrete.errors import one_line
from bgan_discrete.game.anchored import AnchoredDiscriminator
from bgan_discrete.game.drawing import draw_latents, sample_codes
from bgan_discrete.game.likelihood import log_likelihood
from bgan_discrete.game.players import Generator, Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.scoring import at_rest, draws_of, generate
from bgan_discrete.game.targets import Target
from bgan_discrete.metrics.verdict import Judge, Verdict
from bgan_discrete.parallel import plain
from bgan_discrete.training.inputs import TrainingData
from bgan_discrete.training.phases import Phases
from bgan_discrete.training.state import TrainingState

LOOKS = 10
"""In a phase, at most."""

PATIENCE = 5
"""A phase ends after so many looks that found nothing better."""

LEAST_STEPS = 100
"""Between two looks."""

MOST_JUDGING = 0.05
"""Share of a budget in seconds that looks may take."""

ASKS = 8
"""So many questions to the judge, at looks and at the end, share that time."""

FIRST_TIMED, LEAST_SAMPLES = 25, 100
"""Half of the samples by which drawing is timed first, and those that the judge sees at the least."""

LOOKED_AT = 500
"""Rows that are kept back of which the likelihood is taken, or the discriminator's loss."""

SEEN = 2.0
"""The discriminator sees where its held-out loss is better than a blind one's by so many standard errors."""

FAILED = Verdict(math.nan, math.nan)

PARTS = ("value", "noise", "aim", "aim_noise")
"""Of a verdict, as a look remembers them."""

_log = logging.getLogger(__name__)


class Course:
    """Looks at a training, moves it from phase to phase, and keeps its best weights in the ``state``."""

    def __init__(
        self,
        config: TrainingConfig,
        game: Game,
        data: TrainingData,
        state: TrainingState,
        players: Players,
        judge: Judge | None,
    ) -> None:
        self._config, self._game, self._data, self._state = config, game, data, state
        self._players, self._judge = players, judge

    @property
    def _target(self) -> Target | None:
        return self._game.weighing

    @property
    def phases(self) -> Phases:
        """Where the training is."""
        return self._state.phases

    @property
    def is_judged(self) -> bool:
        """Whether there is a judge, with enough rows that are kept back for it, which has not failed."""
        return self._judge is not None and self._data.validation is not None and not self._state.judge_failed

    def after_step(self, used: float) -> None:
        """Look where a look is due, and move on where the phase is over; ``used`` is the used share of the budget."""
        is_over = self.phases.is_over(used)
        if self.is_judged and (self._is_look_due(used) or (is_over and self._ends_with_a_look())):
            is_over |= self._look()
        if is_over and not self.phases.is_last:
            self._move_on(used)

    def finish(self, is_interrupted: bool = False) -> None:
        """Look for the last time, and choose between the best weights of the game and its start."""
        if is_interrupted:
            return
        state, ended_by = self._state, self.phases.ended_by
        if self.is_judged and self._last_look() < state.step:
            self._look()
            self.phases.ended_by = ended_by  # the budget did
        if self.phases.name == "discriminator":
            state.keep("start")
        if self.is_judged:
            self._choose()
        elif self._judge is not None and "start" in state.kept and (self._target is None or state.judge_failed):
            state.choice = "start"  # a judge that failed accepts nothing

    def figures_since(self, step: int) -> dict[str, float]:
        """What the looks after a step have found, by the names of the log; of several of one phase the last."""
        names = {"likelihood": "heldout_nats", "discriminator": "heldout_discriminator_gain", "game": "judge"}
        figures: dict[str, float] = {}
        for look in self._state.looks:
            if look["step"] > step:
                value = -look["value"] if look["phase"] == "discriminator" else look["value"]
                figures |= {names[look["phase"]]: value, f"{names[look['phase']]}_noise": look["noise"]}
        return figures

    def _is_look_due(self, used: float) -> bool:
        """At the tenths of a phase, but not too often, nor where looks would take too much of a budget in seconds."""
        state, phases = self._state, self.phases
        if phases.ended_by or state.step - self._last_look() < LEAST_STEPS:
            return False
        if self._config.max_seconds is not None and state.looks:
            with_another = state.seconds_of_looks * (1 + 1 / len(state.looks))
            if with_another > MOST_JUDGING * state.seconds:
                return False
        done = sum(look["phase"] == phases.name for look in state.looks)
        return phases.progress(used) >= min((done + 1) / LOOKS, 1.0)

    def _ends_with_a_look(self) -> bool:
        """Whether the present phase does: what follows begins with its last weights, or depends on what it sees.

        Of a discriminator that was alone for a few steps nothing can be said.
        """
        steps = self._state.step - self._state.phase_steps[self.phases.name]
        is_enough = self.phases.name == "likelihood" or steps >= LEAST_STEPS
        return not self.phases.is_last and is_enough

    def _last_look(self) -> int:
        """The step of the last look; that at which the phase began before the first one."""
        looks = [look["step"] for look in self._state.looks]
        return max([self._state.phase_steps[self.phases.name], *looks])

    def _look(self) -> bool:
        """Look at what the phase is about; whether the phase is over."""
        name = self.phases.name
        measure = {"likelihood": self._heldout_nats, "discriminator": self._blindness, "game": self._judged}[name]
        verdict = self._of_the_first(measure)
        if not self.is_judged:
            return False
        self._note(verdict)
        if name == "discriminator":
            return verdict.value < -SEEN * verdict.noise
        looks = [look for look in self._state.looks if look["phase"] == name]
        verdicts = [Verdict(*(look.get(part, 0.0) for part in PARTS)) for look in looks]
        best = _best_of(verdicts, by_aim=self._anchored is not None)
        if best == len(looks) - 1:
            self._state.keep("start" if name == "likelihood" else "best")
        if len(looks) - 1 - best < PATIENCE:
            return False
        if self.phases.is_last:
            self.phases.ended_by = "patience"
        return True

    def _note(self, verdict: Verdict) -> None:
        """Remember what a look has found."""
        found = dict(zip(PARTS, dataclasses.astuple(verdict), strict=True))
        if self._target is None or self.phases.name != "game":
            found = {name: found[name] for name in PARTS[:2]}
        self._state.looks.append({"step": self._state.step, "phase": self.phases.name, **found})

    def _move_on(self, used: float) -> None:
        """Begin the next phase."""
        state, name = self._state, self.phases.name
        if name == "likelihood":
            self._end_likelihood()
        elif name == "discriminator":
            state.keep("start")  # with a discriminator that has seen it
            last = state.looks[-1] if state.looks and self._target is None else None
            if self.is_judged and last is not None and last["phase"] == name and last["value"] >= -SEEN * last["noise"]:
                self.phases.ended_by = "blindness"
                return
        self.phases.advance(used)
        state.phase_steps[self.phases.name] = state.step
        if self._target is not None and self.phases.name == "game" and self.is_judged:
            self._note(self._of_the_first(self._judged))

    def _end_likelihood(self) -> None:
        """Let the generator go on from the averaged weights, the best ones where they are known."""
        state = self._state
        state.load_generator(state.kept_generator("start" if "start" in state.kept else ""))
        state.keep("start")
        state.generator_optimizer.state.clear()
        self.anchor()

    @property
    def _anchored(self) -> AnchoredDiscriminator | None:
        """The discriminator, if it is one."""
        discriminator = plain(self._players.discriminator)
        return discriminator if isinstance(discriminator, AnchoredDiscriminator) else None

    def begin_here(self) -> None:
        """Let an anchored discriminator go by the present weights, and keep them."""
        if self._anchored is not None:
            self._state.keep("start")
            self.anchor()

    def anchor(self) -> None:
        """Let an anchored discriminator go by the start of the game, where there is one."""
        if self._anchored is not None and "start" in self._state.kept:
            start: Any = self._state.kept_generator("start")
            self._anchored.begin_from(start)

    def _choose(self) -> None:
        """Keep the best weights of the game if the other half says that they beat its start clearly."""
        state = self._state
        verdicts = {name: self._of_the_first(partial(self._judged, 1, name)) for name in state.kept}
        state.choice = "start" if "start" in verdicts else "best" if "best" in verdicts else ""
        if len(verdicts) == 2 and verdicts["best"].beats(verdicts["start"], by_aim=self._anchored is not None):
            state.choice = "best"
        verdicts["floor"] = self._of_the_first(self._floor)
        parts = 2 if self._target is None else len(PARTS)
        state.verdicts = {name: [*dataclasses.astuple(verdict)[:parts]] for name, verdict in verdicts.items()}

    # What is measured, by the first process.

    def _of_the_first(self, measure: Callable[[], Verdict]) -> Verdict:
        """What the first process measured, in all of them; the judge is not asked again if it failed there."""
        processes, began = self._state.processes, time.monotonic()
        found = measure() if processes.is_first else FAILED
        numbers = torch.tensor([*dataclasses.astuple(found), time.monotonic() - began], dtype=torch.float64)
        value, noise, *aim, seconds = processes.gather(numbers)[0].tolist()
        if math.isnan(value) and found is not FAILED:
            _log.warning("a look found no number (NaN), and there are no further ones")
        self._state.judge_failed |= math.isnan(value)
        self._state.seconds_of_looks += seconds
        return Verdict(value, noise, *aim)

    @torch.no_grad()
    def _heldout_nats(self) -> Verdict:
        """Nats of a row that is kept back, under the averaged weights; the same latents at every look."""
        generator, batch_size = self._averaged(), self._config.batch_size
        codes, labels = self._data.kept_back(0)
        rng = torch.Generator(codes.device).manual_seed(self._config.seed)
        players, nats = Players(generator, None, precision=self._players.precision), []
        with at_rest(generator):
            for rows in torch.arange(min(len(codes), LOOKED_AT), device=codes.device).split(batch_size):
                of_rows = None if labels is None else labels[rows]
                distribution = generate(players, draw_latents(generator, len(rows), rng), of_rows)
                nats.append(-log_likelihood(distribution, codes[rows], of_rows, rng))
        return _mean(torch.cat(nats))

    def _blindness(self) -> Verdict:
        """The discriminator's held-out loss without penalty, less that of F = 0; below 0 it sees a difference."""
        state, divergence, batch_size = self._state, self._game.divergence, self._config.batch_size
        generator: Any = state.generator
        players = Players(generator, state.discriminator, precision=self._players.precision)
        codes, labels = self._data.kept_back(0)
        rng = torch.Generator(codes.device).manual_seed(self._config.seed)
        zero = torch.zeros((), device=codes.device)
        blind, losses = divergence.fake_term(zero) - divergence.real_term(zero), []
        with at_rest(generator), at_rest(state.discriminator):
            for rows in torch.arange(min(len(codes), LOOKED_AT), device=codes.device).split(batch_size):
                of_rows = None if labels is None else labels[rows]
                latents = draw_latents(generator, len(rows), rng)
                with torch.no_grad():
                    distribution = self._game.in_play(generate(players, latents, of_rows), rng)
                    fake = draws_of(distribution, 1, latents, rng, codes[rows])[0]
                both = self._game.log_ratios(players, distribution.hide(codes[rows]), fake, of_rows)
                real_B, fake_B = (log_ratio.detach().reshape(len(rows), -1).mean(1) for log_ratio in both)
                losses.append(divergence.fake_term(fake_B) - divergence.real_term(real_B) - blind)
        return _mean(torch.cat(losses))

    def _judged(self, half: int = 0, name: str | None = None) -> Verdict:
        """What the judge says of samples of the averaged weights, or of the kept ones of this ``name``."""
        generator = self._averaged() if name is None else self._state.kept_generator(name)
        samples = self._drawn(generator, self._num_samples(), half)
        return self._with_aim(self._ask(samples, self._data.kept_back(half)[0]), samples, generator)

    def _with_aim(self, verdict: Verdict, samples: Tensor, generator: Generator | None = None) -> Verdict:
        """The verdict, and the mean log weight that the target gives the samples.

        Of an anchored game it is less by the divergence from the start: minus the divergence from the target that the
        start has, but for a constant.
        """
        if self._target is None:
            return verdict
        samples = samples.to(self._data.kept_back(0)[0].device)
        log_w = self._target.terms(samples).log_weight
        anchored = self._anchored
        if anchored is not None and generator is not None and self._data.labels is None:
            parts = [anchored.since_start(generator, part) for part in samples.split(self._config.batch_size)]
            log_w = log_w + torch.cat(parts)
        aim = _mean(log_w)
        return dataclasses.replace(verdict, aim=aim.value, aim_noise=aim.noise)

    def _drawn(self, generator: Generator, count: int, half: int) -> Tensor:
        """Samples, with the labels of a half of what is kept back."""
        codes, labels = self._data.kept_back(half)
        wanted = None if labels is None else labels[torch.arange(count, device=labels.device) % len(labels)]
        return sample_codes(generator, count, self._config.seed + 1 + half, codes.device, labels=wanted)

    def _num_samples(self) -> int:
        """How many samples the judge sees, the same at every look: fewer where drawing would take too long."""
        state, budget = self._state, self._config.max_seconds
        most = 1 if self._judge is None else self._judge.num_samples
        if budget is None:
            return most
        if not state.judged_samples:
            count, took = FIRST_TIMED, 0.0
            while count < most and 2 * took <= MOST_JUDGING * budget / ASKS:
                count, began = min(2 * count, most), time.monotonic()
                self._drawn(self._averaged(), count, 0)
                took = time.monotonic() - began
            state.judged_samples = min(max(count, LEAST_SAMPLES), most)
        return state.judged_samples

    def _floor(self) -> Verdict:
        """What the judge says of training rows in the place of the samples."""
        rows = self._data.some_learnt(self._num_samples())[0]
        return self._with_aim(self._ask(rows, self._data.kept_back(1)[0]), rows)

    def _ask(self, samples: Tensor, codes: Tensor) -> Verdict:
        """What the judge says; `FAILED`, with a warning, where it raises or gives no numbers."""
        assert self._judge is not None
        try:
            with torch.random.fork_rng(devices=[]):
                verdict = self._judge.measure(samples.cpu().numpy(), codes.cpu().numpy())
            numbers = Verdict(float(verdict.value), float(verdict.noise))
            if not math.isfinite(numbers.value + numbers.noise):
                raise ValueError(f"it gave {numbers}")
            return numbers
        except Exception as error:  # of a user's own function, or of a library on strange samples
            _log.warning("the judge failed, and the training continues without it: %s", one_line(error))
            return FAILED

    def _averaged(self) -> Generator:
        generator: Any = self._state.average.module
        return generator


def _mean(values: Tensor) -> Verdict:
    return Verdict(float(values.double().mean()), float(values.double().std() / math.sqrt(len(values))))


def _best_of(looks: Sequence[Verdict], by_aim: bool = False) -> int:
    """The number of the best look, the first of equal ones.

    With an aim that is the one with most of it; not only ``by_aim``, of those whose judge says nothing worse than it
    did at the first look.
    """
    values = [look.value for look in looks]
    if not any(look.aim_noise for look in looks):
        return values.index(min(values))
    first = looks[0]
    fit = [
        i
        for i, look in enumerate(looks)
        if by_aim or look.value - first.value <= 2 * math.hypot(look.noise, first.noise)
    ]
    return max(fit, key=lambda i: (looks[i].aim, -i))
