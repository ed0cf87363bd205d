"""The training loop, top to bottom."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from bgan_discrete.config import TrainingConfig
from bgan_discrete.devices import resolve_device
from bgan_discrete.errors import InputError
from bgan_discrete.game.drawing import sample_codes
from bgan_discrete.game.likelihood import likelihood_step
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.game.resampling import Resampler
from bgan_discrete.game.rules import Game
from bgan_discrete.game.step import adversarial_step, discriminator_step
from bgan_discrete.game.targets import Target
from bgan_discrete.game.updates import Figures
from bgan_discrete.metrics.verdict import Judge
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.parallel import Processes, current_processes
from bgan_discrete.rivals.continuous import continuous_step, get_continuous_loss
from bgan_discrete.training.aiming import aim
from bgan_discrete.training.allocator import keep_freed_memory
from bgan_discrete.training.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from bgan_discrete.training.claim import claim_folder
from bgan_discrete.training.course import Course
from bgan_discrete.training.faults import FaultFinder
from bgan_discrete.training.figures import Pace
from bgan_discrete.training.inputs import TrainingData, check_labels_go_with, check_networks, check_shares
from bgan_discrete.training.labels import SHOWN, labels_of_samples, shown_labels
from bgan_discrete.training.latents import LatentSource
from bgan_discrete.training.phases import used_share
from bgan_discrete.training.run_log import RunLog
from bgan_discrete.training.setup import check_game, checked_config, make_game, make_players
from bgan_discrete.training.state import TrainingState, fitting, kept_weights
from bgan_discrete.training.stopping import SIGNALS, Ending, TrainingSummary, used_up

ShowSamples = Callable[[int, np.ndarray], np.ndarray | str | None]


class Trainer:
    """Trains a generator against a discriminator on an integer array.

    Args:
        generator: Maps latents ``[N, Z]`` to a distribution over N samples.
        discriminator: Maps codes ``[B, *event_shape]`` to log-ratios ``F [B]``; with a penalty, also soft one-hots
            ``[B, *event_shape, K]``.
        codes: Integers ``[S, *event_shape]`` in ``[0, K)``: the data; may be memory-mapped.
        config: The algorithm, its optimisers and the run.
        output_dir: Where metrics and checkpoints go; None writes nothing.
        labels: Integers ``[S]`` in ``[0, C)``, the class of each of the codes, for networks with ``num_classes``
            C, which are then called with them too. The latents of a step have the labels of its real samples.
        game: The whole game instead of the one that `config` names, whose estimator, divergence, penalty, numbers of
            draws and credit are then not used. To change one part of it:
            ``dataclasses.replace(make_game(config), estimator=...)``.
        target: What samples are to be besides like the data (`bgan_discrete.game.targets`), settled by the data here;
            None for that of the game, if any.
        judge: Chooses the weights that are kept, unless `config` keeps the last ones, by codes that are kept back from
            the training (`bgan_discrete.training.judging.validation_rows`); it may also end a phase. None for no judge.
        processes: Those that train together, each with its share of every batch (`bgan_discrete.parallel`); if None
            those of torch.distributed's default group, if any. All create and call the Trainer alike; the first writes.

    Attributes:
        average: The moving average of the generator, ``average.module``, which samples.
        data: The codes and labels, in the order of the batches.
        game: What both players agree on.
        facts_of_target: What `bgan_discrete.training.aiming.aim` says of the data; empty without a target.
        state: What the next step depends on, and a checkpoint holds: step, weights, optimisers, random numbers.

    Raises:
        InputError: If the codes, the configuration or what the generator gives cannot be used.
        NonFiniteError: If the generator's output is not finite.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        codes: np.ndarray | Tensor,
        config: TrainingConfig | None = None,
        *,
        output_dir: str | Path | None = None,
        labels: np.ndarray | Tensor | None = None,
        game: Game | None = None,
        target: Target | None = None,
        judge: Judge | None = None,
        processes: Processes | None = None,
    ) -> None:
        # 1. The configuration, and the processes that share its batches.
        self.config = config = checked_config(config)
        self.processes = processes = processes or current_processes()
        check_shares(config, processes)
        self.output_dir = None if output_dir is None else Path(output_dir)

        # 2. The device, and how torch works there.
        self.device = resolve_device(config.device, processes)
        if self.device.type == "cpu":
            keep_freed_memory()
        if config.threads is not None:
            torch.set_num_threads(config.threads)

        # 3. The data and the networks, checked against each other, and the game.
        check_networks(generator, discriminator)
        is_judged = judge is not None and config.keep == "best" and config.continuous == "none"
        networks = (generator, discriminator)
        self.data = TrainingData(codes, labels, networks, config, self.device, processes, for_judge=is_judged)
        self.game = make_game(config, processes) if game is None else game
        self.facts_of_target: dict[str, float] = {}
        target = self.game.target if target is None and isinstance(self.game, Game) else target
        if target is not None:
            target, self.facts_of_target = aim(target, self.data, config.seed)
            self.game = dataclasses.replace(self.game, target=target)
        check_game(self.game, config, generator, discriminator, processes)
        check_labels_go_with(config, self.game, self.data.labels, isinstance(generator, RoundsGenerator))

        # 4. The players, and the state that their next step depends on.
        self.generator = generator.to(self.device).train()
        self.discriminator = discriminator.to(self.device).train()
        self.state = TrainingState.begin(generator, discriminator, self.game.estimator, config, self.device, processes)
        self.average = self.state.average
        is_anchored = self.game.weighing is not None and self.game.weighing.form == "anchored"
        self.players = make_players(config, self.state, self.device, math.prod(self.data.event_shape), is_anchored)
        self._course = Course(config, self.game, self.data, self.state, self.players, judge if is_judged else None)

        # 5. A first look at what the networks give; which latents the steps need depends on it.
        self._faults = FaultFinder(self.data, config, self.players)
        is_mixture = self._faults.check_outputs().is_mixture
        self._latents = LatentSource(self.generator, config, processes, self.state.streams.rng, is_mixture)

    @property
    def averaged_generator(self) -> Generator:
        """The generator with the average of its weights, which samples are drawn from."""
        return cast(Generator, self.average.module)

    @property
    def kept_generator(self) -> Generator:
        """A copy of the generator with the weights that are the model: those chosen by the judge, else the average."""
        return cast(Generator, self.state.kept_generator(self.state.choice))

    @property
    def step(self) -> int:
        """Generator steps taken."""
        return self.state.step

    @property
    def seconds(self) -> float:
        """Time used of ``max_seconds``, over all calls of `train`; the processes agree on it."""
        return self.state.seconds

    def train(
        self, *, progress: bool = True, tensorboard: bool = False, on_samples: ShowSamples | None = None
    ) -> TrainingSummary:
        """Train up to ``max_steps`` or ``max_seconds``, whichever comes first, and write a last checkpoint.

        Runs repeat, and resume exactly, where ``max_steps`` is the only budget. SIGINT and SIGTERM pause the training
        after the current step, with a checkpoint; a second SIGINT ends it at once.

        Args:
            progress: Whether to report progress on stderr.
            tensorboard: Whether to write TensorBoard files into the folder.
            on_samples: Called with (step, codes ``[64, *event_shape]``) every ``config.sample_interval`` steps, of the
                same latents; may return a picture, uint8 ``[H, W, 3]``, or a text for TensorBoard.

        Returns:
            How it ended.

        Raises:
            InputError: If several processes differ in their data, configuration or state, a network's output cannot be
                used, or another training writes or has written into ``output_dir``.
            NonFiniteError: If a loss, a gradient or a weight is inf or NaN. No update is applied after that; on an
                accelerator the error comes with the next figures, samples or checkpoint.
        """
        config, state = self.config, self.state
        ending, pace = Ending(config, self.processes, state.step, state.seconds), Pace(state.step)
        ending.reason = self.used_up()
        state.check_alike(self.data, config)
        # Only the first process writes and reports.
        folder, progress = (self.output_dir, progress) if self.processes.is_first else (None, False)
        with (
            claim_folder(self.output_dir, state.is_new, self.processes),
            RunLog.of_training(folder, config, state.step, state.seconds, progress, tensorboard) as log,
            ending.catching_signals(),
        ):
            state.is_new = False
            while ending.reason is None:
                # 1. One step of the players, at learning rates that decay as the budgets are used.
                phase = state.phases.name
                self._set_learning_rates()
                with self._faults.naming(state.step + 1):
                    state.means.add(self._train_step())
                state.step += 1
                log.advance(state.step)

                # 2. A look at what the phase is about, and perhaps the next phase.
                self._course.after_step(used_share(config, state.step, state.seconds))

                # 3. Whatever else is due: figures, samples, a checkpoint.
                if state.step % config.log_interval == 0 or state.step == config.max_steps:
                    log.write(state.step, self._figures(phase, pace.since_last(state.step)))
                self._show_and_save(log, on_samples)

                # 4. The processes vote on whether to continue.
                state.seconds = ending.after_step(state.step)
                ending.reason = ending.reason or state.phases.ended_by or None
            state.seconds = ending.close()
            self._course.finish(ending.reason in SIGNALS)
            # Still with the signals caught: a second SIGTERM, as launchers send, must not cost the last checkpoint.
            self.save()
        return ending.summary(state.step)

    def used_up(self) -> str | None:
        """The budget that has ended the training; None while some of each is left."""
        return self.state.phases.ended_by or used_up(self.config, self.step, self.seconds)

    def _train_step(self) -> Figures:
        """One step of likelihood, of the discriminator alone, or of the game."""
        config, state = self.config, self.state
        if state.phases.name == "likelihood":
            return self._likelihood_step()

        # 1. Steps of the discriminator; in the game the generator moves too, with the last one.
        for repeat in range(config.discriminator_steps):
            number = state.step * config.discriminator_steps + repeat
            real, labels = self.data.batch(number)
            latents, rng = self._latents.batch(), state.streams.rng
            moves_both = state.phases.name == "game" and repeat + 1 == config.discriminator_steps
            # A penalty that is taken every k steps counts k times.
            is_penalized = (number + 1) % self.game.penalty_interval == 0
            scale = self.game.penalty_interval if is_penalized else 0
            if config.continuous != "none":
                loss = get_continuous_loss(config.continuous)
                figures = continuous_step(
                    self.game, self.players, real, latents, loss, rng=rng, penalty_scale=scale, moves_both=moves_both
                )
            else:
                take = adversarial_step if moves_both else discriminator_step
                figures = take(self.game, self.players, real, latents, labels, penalty_scale=scale, rng=rng)

        # 2. The average follows a generator that has moved.
        if moves_both:
            self.average.update_parameters(self.generator)
        return figures

    def _likelihood_step(self) -> Figures:
        """One step of the generator by maximum likelihood, then the average."""
        real, labels = self.data.batch(self.step)
        latents = self._latents.of_likelihood(len(real), labels)
        figures = likelihood_step(self.players, real, latents, labels, self.state.streams.rng)
        self.average.update_parameters(self.generator)
        return figures

    def _set_learning_rates(self) -> None:
        state = self.state
        used = used_share(self.config, state.step, state.seconds)
        rates = state.phases.rates(self.config, used, state.step, self.data.num_learnt)
        optimizers = {"generator": state.generator_optimizer, "discriminator": state.discriminator_optimizer}
        for who, optimizer in optimizers.items():
            for group in optimizer.param_groups:
                group.update(rates[who])

    def _figures(self, phase: str, steps_per_second: float) -> dict[str, Any]:
        """The phase, means of the diagnostics since the last call, what was found by looks, and throughput."""
        self._faults.check_finite()
        config, means = self.config, self.state.means.take(self.processes)
        figures = {
            "phase": phase,
            "epoch": self.step * config.discriminator_steps * config.batch_size / self.data.num_learnt,
            "learning_rate": self.state.generator_optimizer.param_groups[0]["lr"],
            **means,
            **self._course.figures_since(self.step - config.log_interval),
            "steps_per_second": steps_per_second,
        }
        # Steps of maximum likelihood draw nothing.
        if "log_beta" in means and config.continuous == "none":
            figures["draws_per_second"] = steps_per_second * config.batch_size * self.game.num_draws
        return figures

    def _show_and_save(self, log: RunLog, on_samples: ShowSamples | None) -> None:
        """Samples and a checkpoint, where they are due."""
        config, step = self.config, self.state.step
        if config.sample_interval and step % config.sample_interval == 0:
            self._show_samples(log, on_samples)
        if config.checkpoint_interval and step % config.checkpoint_interval == 0:
            self.save()

    def _show_samples(self, log: RunLog, on_samples: ShowSamples | None) -> None:
        self._faults.check_finite()
        if on_samples is None or not self.processes.is_first:
            return
        labels = shown_labels(self.generator.num_classes)
        codes = self.sample(SHOWN if labels is None else len(labels), seed=self.config.seed, labels=labels)
        log.show(self.step, on_samples(self.step, codes))

    def sample(
        self,
        num_samples: int,
        seed: int = 0,
        batch_size: int = 1000,
        labels: np.ndarray | None = None,
        resample: int = 1,
    ) -> np.ndarray:
        """Draw samples from the averaged generator, in eval mode, one draw for each latent.

        Args:
            num_samples: How many, >= 1.
            seed: Of the latents and draws; training's own randomness is not touched.
            batch_size: How many at once; the samples depend on it.
            labels: Of a conditional generator, integers ``[num_samples]``; if None all classes, in equal shares.
            resample: Draws for each sample, one of which is kept, by its importance weight
                (`bgan_discrete.game.resampling.Resampler`); 1 keeps all.

        Returns:
            Codes ``[num_samples, *event_shape]``.

        Raises:
            InputError: If the labels do not fit, or ``resample`` is below 1, or not 1 for continuous grey levels.
        """
        numbers = labels_of_samples(labels, num_samples, self.generator.num_classes)
        return sample_codes(
            self.averaged_generator,
            num_samples,
            seed,
            self.device,
            batch_size,
            labels=None if numbers is None else torch.from_numpy(numbers),
            resampler=Resampler(self.discriminator, resample) if resample != 1 else None,
        ).numpy()

    def save(self) -> Path | None:
        """Write a checkpoint into ``output_dir/checkpoints``; None where there is no folder, or another process writes.

        All processes must call this.

        Raises:
            NonFiniteError: If a weight is inf or NaN; the checkpoints before it stay.
            StorageError: If it cannot be written; likewise.
        """
        self._faults.check_finite()
        self._faults.check_weights(self.step)
        if self.output_dir is None:
            return None
        saved = self.state_dict()
        if not self.processes.is_first:
            return None
        return save_checkpoint(self.output_dir / "checkpoints", self.step, saved, self.config.keep_last)

    def resume(self, path: str | Path) -> None:
        """Resume from a checkpoint: bit for bit, unless there is a budget in seconds or another number of processes.

        Raises:
            InputError: If the checkpoint cannot be read, belongs to other networks, or has taken more steps than
                ``max_steps``.
        """
        saved, source = load_checkpoint(Path(path), self.device), f"checkpoint {str(path)!r}"
        with fitting(source):
            self.load_state_dict(saved)
        limit = self.config.max_steps
        if self.step > limit:
            raise InputError(f"max_steps must be at least {self.step}, the steps that {source} has taken, got {limit}")

    def start_from(self, source: str | Path | nn.Module) -> None:
        """Begin with the weights of another training; steps, schedule, optimisers and random numbers begin anew.

        Args:
            source: A checkpoint, or a run's folder, whose newest undamaged one is used: both networks and the average;
                where a judge has chosen, the weights that it chose.
                Or a generator, from which the average begins, too. Its codes must mean what those of the data do.

        Raises:
            InputError: If it cannot be read, or its networks differ.
        """
        if isinstance(source, nn.Module):
            with fitting(f"the {type(source).__name__}"):
                self.state.load_generator(source)
            self._course.begin_here()
            return
        runs = Path(source) / "checkpoints"
        path = find_checkpoint(runs, "latest") if runs.is_dir() else Path(source)
        saved = load_checkpoint(path, self.device)
        with fitting(f"checkpoint {str(path)!r}"):
            if saved["course"]["choice"]:
                generator, discriminator = kept_weights(saved)
                average = {f"module.{name}": weights for name, weights in generator.items()}
                saved |= {"generator": generator, "discriminator": discriminator}
                saved["average"] |= average
            self.state.load_weights(saved)
        self._course.begin_here()

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on: tensors and plain types; all processes must call this together."""
        return self.state.state_dict(self.data.digest, has_time_limit=self.config.max_seconds is not None)

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises:
            InputError: If the state belongs to other data.
        """
        self.state.load_state_dict(saved, self.data.digest, self.device)
        self._course.anchor()
