"""The training loop, top to bottom."""

import dataclasses
import hashlib
import inspect
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from bgan_discrete.distributions.sampling import check_latent_kind, sample_latents
from bgan_discrete.durable import hold_folder
from bgan_discrete.errors import BGANError, InputError, NonFiniteError, check_at_least_one, one_line
from bgan_discrete.game.divergences import Divergence, get_divergence
from bgan_discrete.game.estimators import Estimator, as_estimator, make_estimator
from bgan_discrete.game.penalties import Penalty, get_penalty
from bgan_discrete.game.resampling import Resampler
from bgan_discrete.game.step import (
    Diagnostics,
    FiniteGuard,
    Game,
    adversarial_step,
    discriminator_step,
    distribution_of,
    likelihood_step,
    refuse_names,
)
from bgan_discrete.parallel import ALONE, Processes, current_processes
from bgan_discrete.rivals.continuous import continuous_step, get_continuous_loss
from bgan_discrete.training.allocator import keep_freed_memory
from bgan_discrete.training.batches import BatchOrder
from bgan_discrete.training.checkpoint import find_checkpoint, list_checkpoints, load_checkpoint, save_checkpoint
from bgan_discrete.training.config import TrainingConfig
from bgan_discrete.training.run_log import RunLog

RESIDENT_BYTES = 2 * 1024**3
"""Codes up to this size are kept on the accelerator as a whole."""

EMA_WARMUP = 10
"""The average's decay at step t is at most (1 + t) / (EMA_WARMUP + t), so that it forgets the initial weights."""

FINAL_LR_SHARE = 0.02
"""Where the linear decay of the learning rate ends, as a share of its start."""

SCORED_POSITIONS = 2**18
"""On a CPU, the discriminator scores about so many positions at once, within 64 to 256 samples."""

SHOWN_CLASSES, SHOWN_OF_CLASS = 20, 8
"""Of the samples that are shown while a conditional generator trains: at most so many classes, and so many of each."""

CODE_DTYPES = ("uint8", "int8", "int16", "int32", "int64")
"""What codes may be, in the byte order of the machine: torch draws and compares no other integers."""

_log = logging.getLogger(__name__)

LOCK_FILE = ".training.lock"
"""In ``output_dir``, while a trainer writes there."""

DIGEST_BYTES = 1024**3
"""Up to this size the data are recognised on resume by all of their rows."""

DIGEST_ROWS = 4096
"""Beyond that, by at least so many rows, evenly spaced."""


@dataclass(frozen=True)
class TrainingSummary:
    """How a training ended.

    Attributes:
        steps: Generator steps taken in all.
        seconds: Wall-clock time of this call.
        stopped_by: ``"max_steps"`` or ``"max_seconds"``, which end the training; ``"SIGHUP"``, ``"SIGINT"`` or
            ``"SIGTERM"``, from which it can be resumed.
    """

    steps: int
    seconds: float
    stopped_by: str


class Trainer:
    """Trains a generator against a discriminator on an integer array.

    Args:
        generator: Module that maps latents ``[N, Z]`` to a distribution over N samples.
        discriminator: Module that maps codes ``[B, *event_shape]`` to log-ratios ``F [B]``; with a penalty, also soft
            one-hots ``[B, *event_shape, K]``.
        codes: Integers ``[S, *event_shape]`` in ``[0, K)``: the data; may be memory-mapped.
        config: The algorithm, its optimisers and the run.
        output_dir: Where metrics and checkpoints go; None writes nothing.
        num_categories: K; the generator's attribute ``num_categories`` if None.
        latent_size: Z; the generator's attribute ``latent_size`` if None. A generator's attribute ``latent_kind``, if
            it has one, says what latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).
        progress: Whether to report progress on stderr.
        tensorboard: Whether to write TensorBoard files into the folder.
        on_samples: Called with (step, codes ``[64, *event_shape]``) every ``config.sample_interval`` steps; the latents
            behind them are the same each time. May return a picture, uint8 ``[H, W, 3]``, or a text for TensorBoard.
            With labels: `SHOWN_OF_CLASS` codes of each of the first `SHOWN_CLASSES` classes, one after the other.
        estimator: In the place of the one that `config` names: an object, whose own options count, or a function that
            maps log weights ``[M, N]`` to advantages ``[M, N]``.
        divergence: In the place of the one that `config` names.
        penalty: In the place of the one that `config` names; weighed by ``config.penalty_weight``.
        labels: Integers ``[S]`` in ``[0, C)``, the class of each of the codes. The networks are then called as
            ``generator(latents, labels [N])`` and ``discriminator(codes [B, *event_shape], labels [N])``, where row i
            of B, a multiple of N, has label ``i % N``. The latents of a step have the labels of its real samples.
        num_classes: C; the generator's attribute ``num_classes`` if None, and without one the largest label plus 1,
            where every class must occur.
        processes: Those that train together, each with its share of every batch (`bgan_discrete.parallel`); those of
            torch.distributed's default group if None, and this one alone where there is no group. All of them make and
            call the Trainer alike, with the same codes; the first one writes.

    Attributes:
        began_with: How many processes the run had when the checkpoint was written from which it was resumed; with
            another number it goes on, but not bit for bit.
        seconds: Time used of ``max_seconds``, over all calls of `train`; the processes agree on it.

    Raises:
        InputError: If the codes, the configuration or what the generator gives cannot be used.
        NonFiniteError: If the generator's logits are not finite.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        codes: np.ndarray | Tensor,
        config: TrainingConfig | None = None,
        *,
        output_dir: str | Path | None = None,
        num_categories: int | None = None,
        latent_size: int | None = None,
        progress: bool = True,
        tensorboard: bool = False,
        on_samples: Callable[[int, np.ndarray], np.ndarray | str | None] | None = None,
        estimator: Estimator | Callable[[Tensor], Tensor] | None = None,
        divergence: Divergence | None = None,
        penalty: Penalty | None = None,
        labels: np.ndarray | Tensor | None = None,
        num_classes: int | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.config = config = config or TrainingConfig()
        config.check()
        self.processes = processes = processes or current_processes()
        _check_shares(config, processes)
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.device = resolve_device(config.device, processes)
        if self.device.type == "cpu":
            keep_freed_memory()
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self.num_categories = _attribute(generator, "num_categories", num_categories)
        self.latent_size = _attribute(generator, "latent_size", latent_size)
        self.latent_kind = check_latent_kind(getattr(generator, "latent_kind", "normal"))
        self.codes = _checked_codes(codes, self.num_categories, self.device)
        _check_fit(generator, self.codes)
        self.labels, self.num_classes = _checked_labels(
            labels, num_classes, len(self.codes), generator, discriminator, config, self.device
        )
        self.order = BatchOrder(len(self.codes), config.batch_size, config.seed)
        self.game = _make_game(config, self.device, math.prod(self.codes.shape[1:]), processes)
        if estimator is not None:
            self.game.estimator = _given_estimator(estimator, config, processes)
        refuse_names(divergence=divergence, penalty=penalty)
        self.game.divergence = divergence or self.game.divergence
        self.game.penalty = penalty or self.game.penalty
        self.generator = generator.to(self.device).train()
        self.discriminator = discriminator.to(self.device).train()
        self.average = AveragedModel(self.generator, use_buffers=True).eval()
        # What the steps call: the networks with their gradients averaged over the processes.
        self._generator, self._discriminator = processes.replicate(generator), processes.replicate(discriminator)
        self._num_averaged = 0
        betas = (config.adam_beta1, config.adam_beta2)
        _check_learns(generator=generator, discriminator=discriminator)
        self.generator_optimizer = torch.optim.Adam(generator.parameters(), config.generator_lr, betas, fused=True)
        self.discriminator_optimizer = torch.optim.Adam(
            discriminator.parameters(), config.discriminator_lr, betas, fused=True
        )
        self.rng = torch.Generator(self.device).manual_seed(_stream_seed(config.seed, processes.rank))
        if not processes.is_first:
            # Networks of the user's own may draw from torch's global generator (dropout), each process its own.
            torch.manual_seed(_stream_seed(config.seed, processes.rank))
        self.step, self.seconds = 0, 0.0
        self.began_with = processes.size
        self._is_new = True
        self._sums: Diagnostics = {}
        self._counts: dict[str, int] = {}
        self._progress, self._tensorboard, self._on_samples = progress, tensorboard, on_samples
        if not processes.is_first:
            self._progress = self._tensorboard = False
        self._check_networks()

    def train(self) -> TrainingSummary:
        """Train up to ``max_steps`` or ``max_seconds``, whichever comes first, and write a last checkpoint.

        A learning rate that decays follows the budget of which the larger share is used, so that it ends its decay with
        the training. Runs repeat, and resume exactly, where ``max_steps`` is the only budget.

        SIGINT and SIGTERM pause the training after the step under way, with a checkpoint; a second SIGINT ends it at
        once. Several processes stop after the same step, at most one later than the first to be told.

        Returns:
            How it ended.

        Raises:
            InputError: If several processes have not the same data, configuration or state, a network gives what cannot
                be used, or another training writes or has written into ``output_dir``.
            NonFiniteError: If a loss or gradient is inf or NaN; the step is not taken, and the message names it. On an
                accelerator it comes with the next figures, samples or checkpoint; no update is made in between. Also if
                a weight is, where a checkpoint would be written.
        """
        config, started = self.config, time.monotonic()
        self._check_alike()
        folder = self.output_dir if self.processes.is_first else None
        options, used = dataclasses.asdict(config), self.seconds
        if config.max_seconds is not None:
            options["max_seconds"] = config.max_seconds - used
        vote = _StopVote(self.processes, used)
        held = self.processes.after_the_first(lambda: self._hold(folder))
        with (
            held,
            RunLog(folder, self.step, config.max_steps, self._progress, self._tensorboard, options) as log,
            _catch_signals() as caught,
        ):
            last_time, last_step = started, self.step
            stopped_by = self.used_up()
            while stopped_by is None:
                self._set_learning_rates()
                if self.game.guard is not None:
                    self.game.guard.step = self.step + 1
                try:
                    diagnostics = self._train_step()
                except NonFiniteError as error:
                    raise NonFiniteError(
                        f"step {self.step + 1} was not taken: {error}{self._reason(str(error))}"
                    ) from None
                except RuntimeError as error:
                    raise _explained(error, self.generator, self.discriminator) from None
                self.step += 1
                self._accumulate(diagnostics)
                log.advance(self.step)
                if self.step % config.log_interval == 0 or self.step == config.max_steps:
                    now = time.monotonic()
                    speed = (self.step - last_step) / max(now - last_time, 1e-9)
                    self._check_finite()
                    log.write(self.step, self._figures(speed))
                    last_time, last_step = now, self.step
                if config.sample_interval and self.step % config.sample_interval == 0:
                    self._check_finite()
                    self._show_samples(log)
                if config.checkpoint_interval and self.step % config.checkpoint_interval == 0:
                    self.save()
                signalled, self.seconds = vote.cast(
                    caught[0].name if caught else None, used + time.monotonic() - started
                )
                stopped_by = signalled or self.used_up()
            signalled, self.seconds = vote.close()
            stopped_by = signalled or stopped_by
            # Still with the signals caught: a second SIGTERM, as launchers send, must not cost the last checkpoint.
            self.save()
            if caught and stopped_by not in ("SIGHUP", "SIGTERM", "SIGINT"):
                stopped_by = caught[0].name
        return TrainingSummary(self.step, time.monotonic() - started, stopped_by)

    def used_up(self) -> str | None:
        """The budget that has ended the training; None while some of each is left."""
        config = self.config
        is_late = config.max_seconds is not None and self.seconds >= config.max_seconds
        return "max_steps" if self.step >= config.max_steps else "max_seconds" if is_late else None

    def _check_alike(self) -> None:
        """Several processes with different data or weights would train nothing, and nobody would see it."""
        if self.processes.size == 1:
            return
        weights = hashlib.sha256()
        for network in (self.generator, self.discriminator):
            for parameter in network.parameters():
                weights.update(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        options = {**dataclasses.asdict(self.config), "device": None, "threads": None}
        facts = {"data": self._data_digest, "configuration": repr(options), "step": str(self.step)}
        facts["weights"] = weights.hexdigest()
        digests = [int(hashlib.sha256(fact.encode()).hexdigest()[:15], 16) for fact in facts.values()]
        everyone = self.processes.gather(torch.tensor(digests))
        differing = [name for name, differs in zip(facts, (everyone != everyone[0]).any(0), strict=True) if differs]
        if differing:
            raise InputError(
                f"the processes of a training must have the same {', '.join(differing)}: give all of them the same "
                "options and data, and the same checkpoint to resume from"
            )

    def _train_step(self) -> Diagnostics:
        """One generator step after ``discriminator_steps`` of the discriminator, then the average.

        The first ``pretrain_steps`` go by maximum likelihood instead, the ``warmup_steps`` after them train the
        discriminator alone.
        """
        config = self.config
        if self.step < config.pretrain_steps:
            real, _ = self._real_batch(self.step)
            latents = self._likelihood_latents(len(real))
            found = likelihood_step(self._generator, self.generator_optimizer, real, latents, self.game)
            self._update_average()
            return found
        is_warmup = self.step < config.pretrain_steps + config.warmup_steps
        for repeat in range(config.discriminator_steps):
            count = self.step * config.discriminator_steps + repeat
            penalized = (count + 1) % config.penalty_interval == 0
            moves_both = not is_warmup and repeat + 1 == config.discriminator_steps
            real, labels = self._real_batch(count)
            common: dict[str, Any] = {
                "discriminator": self._discriminator,
                "real": real,
                "latents": self._latents(config.batch_size // self.processes.size),
                "game": self.game,
                "rng": self.rng,
                "penalty_scale": config.penalty_interval if penalized else 0,
            }
            both: dict[str, Any] = {
                "generator_optimizer": self.generator_optimizer,
                "discriminator_optimizer": self.discriminator_optimizer,
            }
            if config.continuous != "none":
                loss = get_continuous_loss(config.continuous)
                found = continuous_step(self._generator, **common, **both, loss=loss, update_generator=moves_both)
            elif moves_both:
                found = adversarial_step(self._generator, **common, **both, condition=labels)
            else:
                optimizer = self.discriminator_optimizer
                found = discriminator_step(self._generator, **common, optimizer=optimizer, condition=labels)
        if moves_both:
            self._update_average()
        return found

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential moving average that forgets its start; nothing waits for the device."""
        count, decay = self._num_averaged, self.config.ema_decay
        weight = 1 - min(decay, (1 + count) / (EMA_WARMUP + count)) if count else 1.0
        mine = [*self.average.module.parameters(), *self.average.module.buffers()]
        theirs = [*self.generator.parameters(), *self.generator.buffers()]
        smooth = [(a, b) for a, b in zip(mine, theirs, strict=True) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in smooth], [b for _, b in smooth], weight)
        for a, b in zip(mine, theirs, strict=True):
            if not a.is_floating_point():
                a.copy_(b)
        self.average.n_averaged.add_(1)
        self._num_averaged += 1

    def _check_finite(self) -> None:
        found = None if self.game.guard is None else self.game.guard.check()
        if found is not None:
            raise NonFiniteError(found + self._reason(found))

    def _reason(self, told: str) -> str:
        """What in the networks' output explains a loss that is inf or NaN, for the message."""
        try:
            self._check_networks(with_discriminator=self.config.continuous == "none")
        except Exception as error:
            return f"; {error}" if isinstance(error, BGANError) and str(error) not in told else ""
        return ""

    @torch.no_grad()
    def _check_networks(self, with_discriminator: bool = False) -> None:
        """Look at what the networks give for a batch, in eval mode, without a trace in any randomness or statistics."""
        config, rng = self.config, torch.Generator(self.device).manual_seed(self.config.seed)
        count = max(config.batch_size // (self.processes.size * config.gradient_accumulation_steps), 1)
        rows = torch.arange(count) % len(self.codes)
        given = [] if self.labels is None else [self.labels[self._to_device(rows)]]
        latents = sample_latents(count, self.latent_size, self.latent_kind, rng, self.device)
        self.generator.eval()
        self.discriminator.eval()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices), self.game.autocast():
            found = distribution_of(self.generator, latents.to(_dtype_of(self.generator)), *given)
            found.check_finite()
            self._is_mixture = found.is_mixture
            got = f"{list(found.sample(1, rng).shape[1:])} in {found.num_categories} categories"
            wanted = f"{[count, *self.codes.shape[1:]]} in {self.num_categories} categories"
            if got != wanted:
                raise InputError(f"generator must give samples like the data, of shape {wanted}, got {got}")
            if with_discriminator and not torch.isfinite(self.discriminator(self._rows(rows), *given)).all():
                raise NonFiniteError("the discriminator gives inf or NaN for samples of the data")
        self.generator.train()
        self.discriminator.train()

    def _check_weights(self) -> None:
        """A finite gradient can still move a weight out of its dtype's range, which the next step would notice."""
        weights = {
            f"{who}'s weight {name}": parameter
            for who, network in (("generator", self.generator), ("discriminator", self.discriminator))
            for name, parameter in network.named_parameters()
            if parameter.requires_grad
        }
        # The device is asked once for all of them.
        if weights and not torch.stack([torch.isfinite(weight).all() for weight in weights.values()]).all():
            bad = next(name for name, weight in weights.items() if not torch.isfinite(weight).all())
            raise NonFiniteError(f"after step {self.step} the {bad} is inf or NaN")

    @torch.no_grad()
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
            num_samples: How many.
            seed: Of the latents and draws; training's own randomness is not touched.
            batch_size: How many at once; the samples depend on it.
            labels: Of a conditional generator, integers ``[num_samples]``; if None, shared evenly among the classes,
                in their order.
            resample: Of so many draws for each sample one is kept, by its importance weight
                (`bgan_discrete.game.resampling.Resampler`); 1 keeps all.

        Returns:
            Codes ``[num_samples, *event_shape]``.

        Raises:
            InputError: If the labels are not one for each sample, in ``[0, C)``; if there are labels and no classes; if
                ``resample`` is below 1, or not 1 where grey levels are continuous.
        """
        return sample_codes(
            self.average,
            self.latent_size,
            num_samples,
            seed,
            self.device,
            batch_size,
            latent_kind=self.latent_kind,
            labels=labels_of_samples(labels, num_samples, self.num_classes),
            resampler=Resampler(self.discriminator, resample) if resample != 1 else None,
        )

    def save(self) -> Path | None:
        """Write a checkpoint into ``output_dir/checkpoints``; None where there is no folder, or another process writes.

        All processes must call this.

        Raises:
            NonFiniteError: If a weight is inf or NaN; the checkpoints before it stay.
            StorageError: If it cannot be written; likewise.
        """
        self._check_finite()
        self._check_weights()
        if self.output_dir is None:
            return None
        state = self.state_dict()
        if not self.processes.is_first:
            return None
        return save_checkpoint(self.output_dir / "checkpoints", self.step, state, self.config.keep_last)

    def resume(self, path: str | Path) -> None:
        """Go on from a checkpoint: the run is then bit for bit the one that was not interrupted.

        With a budget in seconds it has used those that the checkpoint tells of, and does not repeat exactly.

        Raises:
            InputError: If the checkpoint cannot be read, belongs to other networks, or has taken more steps than
                ``max_steps``.
        """
        self._take(load_checkpoint(Path(path), self.device), self.load_state_dict, f"checkpoint {str(path)!r}")
        if self.step > self.config.max_steps:
            raise InputError(
                f"max_steps must be at least {self.step}, the steps that checkpoint {str(path)!r} has taken, got "
                f"{self.config.max_steps}"
            )

    def _hold(self, folder: Path | None) -> ExitStack:
        """Lock the run's folder; refuse one that holds what a new training would replace."""
        with hold_folder(folder, LOCK_FILE) as held:
            log = None if folder is None or not self._is_new else folder / "metrics.jsonl"
            earlier = list_checkpoints(log.parent / "checkpoints") if log else []
            if any(path.is_file() or (path / "manifest.json").exists() for path in earlier):
                raise InputError(
                    f"output_dir {str(folder)!r} holds another training: resume that one, or give another folder"
                )
            if log and log.exists() and log.stat().st_size:
                _log.warning("%r is of a training without a checkpoint, and is written anew", str(log))
            self._is_new = False
            return held.pop_all()

    def start_from(self, source: str | Path | nn.Module) -> None:
        """Begin with the weights of another training; steps, schedule, optimisers and random numbers begin anew.

        Args:
            source: A checkpoint, or the folder of a run, whose newest whole one counts: both networks and the average.
                Or a generator, such as that of a loaded pipeline, with which the average begins, too. Its codes must
                mean what those of the data do.

        Raises:
            InputError: If it cannot be read, or its networks are others.
        """
        if isinstance(source, nn.Module):
            weights = source.state_dict()
            average = {"n_averaged": self.average.n_averaged, **{f"module.{k}": v for k, v in weights.items()}}
            self._take({"generator": weights, "average": average}, self._load_weights, f"the {type(source).__name__}")
            return
        runs = Path(source) / "checkpoints"
        path = find_checkpoint(runs, "latest") if runs.is_dir() else Path(source)
        self._take(load_checkpoint(path, self.device), self._load_weights, f"checkpoint {str(path)!r}")

    def _take(self, state: dict[str, Any], load: Callable[[Any], None], named: str) -> None:
        try:
            load(state)
        except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            reason = one_line(error)
            raise InputError(f"{named} does not fit this configuration: {reason}") from None

    def _load_weights(self, state: dict[str, Any]) -> None:
        """Of a model, which has no step, without a discriminator."""
        for who in ("generator", "discriminator", "average") if "step" in state else ("generator", "average"):
            for name, weight in getattr(self, who).state_dict().items():
                theirs = state[who].get(name, weight)
                if theirs.dtype != weight.dtype:
                    raise InputError(f"the {who}'s {name} is {theirs.dtype} there and {weight.dtype} here")
            getattr(self, who).load_state_dict(state[who])
        self._num_averaged = int(self.average.n_averaged)

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on: tensors and plain types; all processes must ask for it together."""
        own = self._own_state()
        everyone = {name: self.processes.gather(value.cpu()) for name, value in own.items()}
        return {
            "step": self.step,
            "data": self._data_digest,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "estimator": self.game.estimator.state_dict(),
            "counts": self._counts,
            "num_processes": self.processes.size,
            "processes": everyone,
            # Without a budget in seconds nothing depends on them, and equal runs leave equal checkpoints.
            **({} if self.config.max_seconds is None else {"seconds": self.seconds}),
        }

    @cached_property
    def _data_digest(self) -> str:
        return _data_digest(self.codes, self.labels, whole=self.codes.nbytes <= DIGEST_BYTES)

    def _own_state(self) -> dict[str, Tensor]:
        """What differs from one process to another."""
        own = {"rng": self.rng.get_state()}
        # Networks of the user's own may draw from torch's global generators (dropout).
        own["global_rng"] = torch.get_rng_state()
        if self.device.type == "cuda":
            own["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        if self._sums:
            own["sums"] = torch.stack([value.detach() for value in self._sums.values()])
        return own

    def _take_own_state(self, state: dict[str, Any]) -> None:
        if "processes" not in state:  # a checkpoint of format 1, of one process
            state = _with_processes(state)
        everyone, rank, began = state["processes"], self.processes.rank, state["num_processes"]
        self.began_with = began
        self._is_new = False
        self._counts = {name: int(count) for name, count in state["counts"].items()}
        if "sums" in everyone:
            # With another number of processes, the means so far.
            sums = everyone["sums"][rank] if began == self.processes.size else everyone["sums"].mean(0)
            sums = sums.to(self.device).reshape(len(self._counts))
            self._sums = dict(zip(self._counts, sums.unbind(), strict=True))
        else:
            self._sums = {}
        if rank >= began:
            # A process that was not there has no streams to go on with: it gets new ones.
            seed = _stream_seed(self.config.seed, rank, state["step"])
            self.rng.manual_seed(seed)
            torch.manual_seed(seed)
            return
        # Copies, because torch crashes on a state that is a part of another tensor.
        self.rng.set_state(everyone["rng"][rank].cpu().clone())
        torch.set_rng_state(everyone["global_rng"][rank].cpu().clone())
        if "cuda_rng" in everyone and self.device.type == "cuda":
            torch.cuda.set_rng_state(everyone["cuda_rng"][rank].cpu().clone(), self.device)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            InputError: If the state belongs to other data.
        """
        # The first checkpoints knew their data by some rows alone.
        known = self._data_digest if "processes" in state else _data_digest(self.codes, None, whole=False)
        if state["data"] != known:
            raise InputError("the data are not those that the run began with")
        self._load_weights(state)
        _load_optimizer(self.generator_optimizer, state["generator_optimizer"])
        _load_optimizer(self.discriminator_optimizer, state["discriminator_optimizer"])
        self.game.estimator.load_state_dict(state["estimator"])
        self._take_own_state(state)
        self.step, self.seconds = state["step"], float(state.get("seconds", 0.0))

    def _likelihood_latents(self, count: int) -> Tensor:
        """Of a step of maximum likelihood: one for each sample; of a mixture the same ones in every process."""
        if self.processes.size == 1:
            return self._latents(self.config.pretrain_latents or count)
        if not self._is_mixture:
            return self._latents(count)
        return self.processes.gather(self._latents(self.config.pretrain_latents or self.config.batch_size))[0]

    def _latents(self, count: int) -> Tensor:
        latents = sample_latents(count, self.latent_size, self.latent_kind, self.rng, self.device)
        return latents.to(_dtype_of(self.generator))

    def _real_batch(self, count: int) -> tuple[Tensor, Tensor | None]:
        """Codes and their labels."""
        indices = torch.from_numpy(self.processes.part(self.order.indices(count)))
        labels = None if self.labels is None else self.labels[self._to_device(indices)]
        return self._rows(indices), labels

    def _rows(self, indices: Tensor) -> Tensor:
        if isinstance(self.codes, Tensor) and self.codes.device.type != "cpu":
            return self.codes[self._to_device(indices)]
        rows = self.codes[indices] if isinstance(self.codes, Tensor) else torch.from_numpy(self.codes[indices.numpy()])
        return self._to_device(rows)

    def _to_device(self, tensor: Tensor) -> Tensor:
        """A copy that the host does not wait for."""
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _set_learning_rates(self) -> None:
        config, scale = self.config, 1.0
        if config.lr_decay == "linear":
            used = max(self.step / config.max_steps, self.seconds / (config.max_seconds or math.inf))
            scale = max(min(1.0, 2 * (1 - used)), FINAL_LR_SHARE)
        generator_lr = config.pretrain_lr if self.step < config.pretrain_steps else config.generator_lr
        for optimizer, rate in (
            (self.generator_optimizer, generator_lr),
            (self.discriminator_optimizer, config.discriminator_lr),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * scale

    def _accumulate(self, diagnostics: Diagnostics) -> None:
        # The penalty is absent from steps that leave it out, so each figure has its own count.
        for name, value in diagnostics.items():
            if name not in self._sums:
                self._sums[name], self._counts[name] = torch.zeros_like(value), 0
            self._counts[name] += 1
        torch._foreach_add_([self._sums[name] for name in diagnostics], list(diagnostics.values()))

    def _figures(self, steps_per_second: float) -> dict[str, float]:
        """Means of the diagnostics since the last call, and throughput."""
        # One copy to the host for all of them.
        sums: list[float] = []
        if self._sums:
            sums = [*self.processes.mean(torch.stack(list(self._sums.values()))).cpu().numpy()]
        figures = {name: float(total) / self._counts[name] for name, total in zip(self._sums, sums, strict=True)}
        self._sums, self._counts = {}, {}
        config = self.config
        return {
            "epoch": self.step * config.discriminator_steps * config.batch_size / len(self.codes),
            "learning_rate": self.generator_optimizer.param_groups[0]["lr"],
            **figures,
            "steps_per_second": steps_per_second,
            # Steps of maximum likelihood draw nothing.
            **(
                {"draws_per_second": steps_per_second * config.batch_size * config.num_draws}
                if "log_beta" in figures and config.continuous == "none"
                else {}
            ),
        }

    def _show_samples(self, log: RunLog) -> None:
        if self._on_samples is None or not self.processes.is_first:
            return
        count, labels = 64, None
        if self.num_classes is not None:
            labels = np.arange(min(self.num_classes, SHOWN_CLASSES)).repeat(SHOWN_OF_CLASS)
            count = len(labels)
        shown = self._on_samples(self.step, self.sample(count, seed=self.config.seed, labels=labels))
        if isinstance(shown, str):
            log.write_text(self.step, shown)
        elif shown is not None:
            log.write_grid(self.step, shown)


@torch.no_grad()
def sample_codes(
    generator: nn.Module,
    latent_size: int,
    num_samples: int,
    seed: int | torch.Generator,
    device: torch.device,
    batch_size: int = 1000,
    draw: Callable[[Any, torch.Generator], Tensor] | None = None,
    latent_kind: str = "normal",
    labels: np.ndarray | None = None,
    resampler: Resampler | None = None,
) -> np.ndarray:
    """Draw one sample for each of ``num_samples`` latents, from a generator in eval mode.

    Args:
        generator: Maps latents to a distribution.
        latent_size: Z.
        num_samples: How many, >= 1.
        seed: Of the latents and the draws; or their source, which goes on where it is.
        device: Where the generator is.
        batch_size: How many at once; the samples depend on it.
        draw: Makes codes ``[B, *event_shape]`` of the generator's distribution; a plain draw of it if None.
        latent_kind: As in `bgan_discrete.distributions.sampling.sample_latents`.
        labels: int64 ``[num_samples]``, which a conditional generator is given beside the latents; None for none.
        resampler: Keeps one of every M draws, each of a latent of its own; None keeps all.

    Returns:
        Codes ``[num_samples, *event_shape]``.

    Raises:
        InputError: If ``num_samples`` < 1.
        NonFiniteError: If what the generator gives is not finite, and so no distribution.
    """
    check_at_least_one(num_samples=num_samples)
    rng = seed if isinstance(seed, torch.Generator) else torch.Generator(device).manual_seed(seed)
    was_training = generator.training
    generator.eval()
    parts = []
    num_draws = 1 if resampler is None else resampler.num_draws
    kept = max(batch_size // num_draws, 1)
    for start in range(0, num_samples, kept):
        # Always a whole batch, so that the first n samples of a seed are the same whatever num_samples is.
        latents = sample_latents(kept * num_draws, latent_size, latent_kind, rng, device).to(_dtype_of(generator))
        given = None
        if labels is not None:
            part = np.resize(labels[start : start + kept], kept).repeat(num_draws)
            given = torch.from_numpy(part).to(device)
        distribution = generator(latents) if given is None else generator(latents, given)
        distribution.check_finite(type(getattr(generator, "module", generator)).__name__)
        if resampler is not None and not distribution.has_log_prob:
            raise InputError(f"resample must be 1 for a generator of continuous grey levels, got {num_draws}")
        codes = distribution.sample(1, rng)[0] if draw is None else draw(distribution, rng)
        if resampler is not None:
            codes = resampler(codes, given, rng)
        parts.append(codes[: num_samples - start].cpu().numpy())
    generator.train(was_training)
    return np.concatenate(parts)


def labels_of_samples(
    labels: Sequence[int] | np.ndarray | None, num_samples: int, num_classes: int | None
) -> np.ndarray | None:
    """The label of each sample that is to be drawn.

    Args:
        labels: L integers, L <= ``num_samples``: sample i has ``labels[i * L // num_samples]``, so that the samples are
            shared evenly among the labels, in their order. All classes once if None.
        num_samples: How many, >= 1.
        num_classes: C; None for a generator without classes.

    Returns:
        int64 ``[num_samples]``; None without classes.

    Raises:
        InputError: If there are labels and no classes, or labels are not in ``[0, C)`` or more than the samples.
    """
    if num_classes is None:
        if labels is not None:
            raise InputError("labels need a model that was trained with them (conditional); this one has no classes")
        return None
    # All classes may be more than the samples: then there is one of each of some, evenly spaced.
    found = np.arange(num_classes) if labels is None else np.asarray(labels)
    if found.ndim != 1 or found.dtype.kind not in "iu" or len(found) == 0:
        raise InputError(f"labels must be integers, one after the other, got {found.dtype} {list(found.shape)}")
    outside = found[(found < 0) | (found >= num_classes)]
    if len(outside):
        raise InputError(f"labels must lie in [0, {num_classes}), got {outside[0]}")
    if labels is not None and len(found) > num_samples:
        raise InputError(f"labels must be at most as many as num_samples = {num_samples}, got {len(found)}")
    return found[np.arange(num_samples) * len(found) // num_samples].astype(np.int64)


def resolve_device(name: str, processes: Processes = ALONE) -> torch.device:
    """The device that a configuration names.

    Args:
        name: ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        processes: Of several on a machine each has its own device of the kind.

    Returns:
        The device.

    Raises:
        InputError: If the name is unknown or the device is absent.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if processes.size > 1 and name.startswith("cuda"):
        if name != "cuda":
            raise InputError(
                f"device must be cuda or auto with several processes, each of which has its own, got {name!r}"
            )
        if processes.local_rank >= torch.cuda.device_count():
            raise InputError(
                f"a machine with {torch.cuda.device_count()} CUDA devices takes as many processes, got number "
                f"{processes.local_rank} (LOCAL_RANK, from 0)"
            )
        name = f"cuda:{processes.local_rank}"
        torch.cuda.set_device(processes.local_rank)
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # there are devices that take a tensor and hold nothing
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used: {one_line(error)}") from None
    return device


def _make_game(config: TrainingConfig, device: torch.device, num_positions: int, processes: Processes = ALONE) -> Game:
    estimator = make_estimator(
        config.estimator,
        normalization=config.normalization,
        tempering=config.tempering,
        log_weight_clip=config.log_weight_clip,
        processes=processes,
    )

    def precision(dtype: str) -> Callable[[], AbstractContextManager[object]]:
        return nullcontext if dtype == "float32" else lambda: torch.autocast(device.type, torch.bfloat16)

    return Game(
        estimator=estimator,
        num_draws=config.num_draws,
        divergence=get_divergence(config.divergence),
        discriminator_draws=config.discriminator_draws or config.num_draws,
        penalty=get_penalty(config.penalty),
        penalty_weight=config.penalty_weight,
        credit=config.credit,
        entropy_weight=config.entropy_weight,
        escort=1.0 if config.escort is None else config.escort,
        score_chunk=config.score_chunk or default_score_chunk(device, num_positions),
        autocast=precision(config.dtype),
        score_autocast=precision(config.score_dtype or config.dtype),
        guard=None if device.type == "cpu" else FiniteGuard(),
        accumulation_steps=config.gradient_accumulation_steps,
        processes=processes,
    )


def _given_estimator(
    estimator: Estimator | Callable[[Tensor], Tensor], config: TrainingConfig, processes: Processes
) -> Estimator:
    estimator = as_estimator(estimator)
    if config.credit == "alternatives":
        estimator.check_alternatives()
    else:
        estimator.check_num_draws(config.num_draws)
    if estimator.couples_latents and estimator.processes != processes:
        raise InputError(
            f"the estimator {estimator.name!r} weighs a whole batch, which {processes.size} processes share: make it "
            "with processes=, such as make_estimator(..., processes=current_processes())"
        )
    return estimator


def default_score_chunk(device: torch.device, num_positions: int) -> int | None:
    """Samples that the discriminator scores at once: on a CPU a few hundred, beyond which there is nothing to gain.

    Args:
        device: Where it scores.
        num_positions: P, of one sample.

    Returns:
        How many; None for all of them.
    """
    if device.type != "cpu":
        return None
    return min(256, max(64, SCORED_POSITIONS // num_positions))


def _attribute(generator: nn.Module, name: str, given: int | None) -> int:
    value = given if given is not None else getattr(generator, name, None)
    if not isinstance(value, int):
        raise InputError(f"{name} must be given, since the generator has no integer attribute {name!r}")
    return value


def _dtype_of(network: nn.Module) -> torch.dtype:
    """Of what a network is given: float64 for one in float64, else torch's default."""
    default = torch.get_default_dtype()
    return next((torch.promote_types(p.dtype, default) for p in network.parameters() if p.is_floating_point()), default)


def _checked_codes(codes: np.ndarray | Tensor, num_categories: int, device: torch.device) -> np.ndarray | Tensor:
    """Codes that are integers, whole, and inside [0, K); on the accelerator as a whole where they fit."""
    kind = str(getattr(codes, "dtype", type(codes).__name__)).removeprefix("torch.")
    if kind not in CODE_DTYPES:
        raise InputError(
            f"codes must be an integer array ({', '.join(CODE_DTYPES)}), got {kind}"
            + ('; .astype("uint8") makes them 0 and 1' if kind == "bool" else "")
        )
    if isinstance(codes, np.ma.MaskedArray):
        raise InputError("codes must be an array without a mask, whose values would be data: .filled(k) gives them one")
    if codes.ndim < 2 or math.prod(codes.shape) == 0:
        raise InputError(f"codes must have shape [samples, *event_shape] and hold data, got {list(codes.shape)}")
    for start in range(0, len(codes), 65536):
        part = codes[start : start + 65536]
        low, high = int(part.min()), int(part.max())
        if low < 0 or high >= num_categories:
            raise InputError(
                f"codes must lie in [0, {num_categories}), got {low if low < 0 else high} "
                f"among rows {start} to {start + len(part) - 1}"
            )
    size = codes.nbytes
    if isinstance(codes, Tensor):
        return codes.to(device) if size <= RESIDENT_BYTES else codes
    if device.type != "cpu" and size <= RESIDENT_BYTES:
        return torch.from_numpy(np.ascontiguousarray(codes)).to(device)
    return codes


def _check_learns(**networks: nn.Module) -> None:
    for who, network in networks.items():
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise InputError(f"{who} must have parameters that require a gradient, got {type(network).__name__}")


def _check_fit(generator: nn.Module, codes: np.ndarray | Tensor) -> None:
    sizes = getattr(generator, "sizes", None)
    if isinstance(sizes, Tensor) and tuple(sizes.shape) == tuple(codes.shape[1:]):
        for start in range(0, len(codes), 65536):
            part = codes[start : start + 65536]
            largest = torch.as_tensor(part.amax(0) if isinstance(part, Tensor) else part.max(0))
            largest = largest.to(sizes.device, torch.int64)
            if bool((largest >= sizes).any()):
                place = tuple(int(axis) for axis in torch.nonzero(largest >= sizes)[0])
                raise InputError(
                    f"codes of position {list(place)} must lie in [0, {int(sizes[place])}), the generator's size "
                    f"there, got {int(largest[place])} among rows {start} to {min(start + 65536, len(codes)) - 1}"
                )


def _checked_labels(
    labels: np.ndarray | Tensor | None,
    num_classes: int | None,
    num_samples: int,
    generator: nn.Module,
    discriminator: nn.Module,
    config: TrainingConfig,
    device: torch.device,
) -> tuple[Tensor | None, int | None]:
    """Labels as int64 and their number of classes, which the networks must have too where they know classes."""
    for who, network in (("generator", generator), ("discriminator", discriminator)):
        known = getattr(network, "num_classes", None)
        if labels is None and known is not None:
            raise InputError(f"labels must be given, since the {who} has {known} classes")
        if labels is not None and hasattr(network, "num_classes") and known is None:
            raise InputError(f"labels need a {who} that is made with num_classes, got one without")
        if labels is not None and not _takes_two(network):
            name = type(network).__name__
            raise InputError(f"labels need a {who} that is called with them too, got {name}, which is not")
        num_classes = known if num_classes is None else num_classes
        if labels is not None and known is not None and known != num_classes:
            raise InputError(f"num_classes must be the same everywhere, got {num_classes} and {known} ({who})")
    if labels is None:
        if num_classes is not None:
            raise InputError(f"num_classes needs labels, got {num_classes} and none")
        return None, None
    if config.continuous != "none" or config.pretrain_steps or config.credit == "alternatives":
        raise InputError("labels do not go with continuous, pretrain_steps or credit 'alternatives'; leave these out")
    found = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if found.dtype.kind not in "iu" or found.shape != (num_samples,):
        shape = list(found.shape)
        raise InputError(f"labels must be integers, one for each of {num_samples} codes, got {found.dtype} {shape}")
    low, high = int(found.min()), int(found.max())
    if low < 0 or (num_classes is not None and high >= num_classes):
        bounds = "from 0 on" if num_classes is None else f"in [0, {num_classes})"
        raise InputError(f"labels must lie {bounds}, got {low if low < 0 else high}")
    if num_classes is None:
        present = np.unique(found)
        if len(present) <= high:
            gap = int((present != np.arange(len(present))).argmax())
            raise InputError(
                f"labels must hold every class from 0 to {high}, unless num_classes is given; there is no {gap}"
            )
        num_classes = high + 1
    return torch.from_numpy(found.astype(np.int64)).to(device), num_classes


def _takes_two(network: nn.Module) -> bool:
    """Whether a network can be called with latents or codes, and labels."""
    try:
        inspect.signature(network.forward).bind(None, None)
    except TypeError:
        return False
    return True


def _data_digest(codes: np.ndarray | Tensor, labels: Tensor | None, whole: bool) -> str:
    """A digest by which a resumed run knows its data again, by all of its rows or by some."""
    stride = 1 if whole else max(1, len(codes) // DIGEST_ROWS)
    digest = hashlib.sha256()
    for start in range(0, len(codes), 65536 * stride):
        part = codes[start : start + 65536 * stride : stride]
        array = part.cpu().numpy() if isinstance(part, Tensor) else np.ascontiguousarray(part)
        if start == 0:
            digest.update(f"{array.dtype} {tuple(codes.shape)}".encode())
        digest.update(array.tobytes())
    if labels is not None:
        digest.update(labels.cpu().numpy().tobytes())
    return digest.hexdigest()


def _check_shares(config: TrainingConfig, processes: Processes) -> None:
    parts = processes.size * config.gradient_accumulation_steps
    if processes.size > 1 and config.batch_size % parts:
        raise InputError(
            f"batch_size must be a multiple of the {processes.size} processes times gradient_accumulation_steps = "
            f"{config.gradient_accumulation_steps}, such as {parts * max(1, round(config.batch_size / parts))}, got "
            f"{config.batch_size}"
        )


def _load_optimizer(optimizer: torch.optim.Adam, saved: dict[str, Any]) -> None:
    """Take back an optimiser's state, whose shapes torch would take unseen; its options are the run's."""
    parameters = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
    for number, found in saved["state"].items():
        shape = tuple(parameters[number].shape)
        wanted = {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
        if {name: tuple(value.shape) for name, value in found.items()} != wanted:
            raise ValueError(f"the optimiser's state of parameter {number} has other parts or shapes")
    groups = optimizer.state_dict()["param_groups"]
    for own, theirs in zip(groups, saved["param_groups"], strict=True):
        # But for the rate, which the steps set.
        own["lr"] = float(theirs["lr"])
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})


def _with_processes(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a checkpoint of format 1 as one process leaves it now."""
    sums, counts = state["sums"], state.get("counts")
    if counts is None:  # the first ones held each figure's count among the sums
        names = [key.removesuffix("/sum") for key in sums if key.endswith("/sum")]
        counts = {name: int(sums[f"{name}/count"]) for name in names}
        sums = {name: sums[f"{name}/sum"] for name in names}
    own = ("rng", "global_rng", "cuda_rng")
    everyone = {name: state[name][None] for name in own if state.get(name) is not None}
    if sums:
        everyone["sums"] = torch.stack([sums[name].cpu() for name in counts])[None]
    return {**state, "counts": counts, "processes": everyone, "num_processes": 1}


def _stream_seed(seed: int, rank: int, step: int = 0) -> int:
    """The seed of a process's own random numbers; that of the first one is the run's."""
    if rank == 0:
        return seed
    return int(np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint64)[0] >> 1)


def _explained(error: RuntimeError, generator: nn.Module, discriminator: nn.Module) -> RuntimeError | InputError:
    """What torch says of parameters without a gradient, of which processes have nothing to exchange, in one line."""
    if "finished reduction in the prior iteration" not in str(error):
        return error
    unused = [
        f"{who}.{name}"
        for who, network in (("generator", generator), ("discriminator", discriminator))
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    return InputError(
        f"parameters that take no part in the loss are not supported by several processes: {', '.join(unused[:5])}; "
        "leave them out, or set requires_grad=False"
    )


class _StopVote:
    """Lets processes end after the same step: each says every step why it would stop, and all hear the same answer.

    They agree on the seconds used, too, the most that one has counted. Alone the answer comes at once. With others it
    comes one step later, so that none waits for it.
    """

    REASONS = (None, "SIGHUP", "SIGTERM", "SIGINT")

    def __init__(self, processes: Processes, seconds: float) -> None:
        self._processes = processes
        self._votes = torch.tensor([0.0, seconds], dtype=torch.float64)
        self._under_way: Any = None

    def cast(self, reason: str | None, seconds: float) -> tuple[str | None, float]:
        """Say why this process would stop, or None, and what it has used; hear why all stop now, or None, and both."""
        own = torch.tensor([self.REASONS.index(reason), seconds], dtype=torch.float64)
        if self._processes.size == 1:
            self._votes = own
            return reason, seconds
        agreed = self.close()
        if agreed[0] is None:
            self._votes = own
            self._under_way = dist.all_reduce(own, dist.ReduceOp.MAX, group=self._processes.control, async_op=True)
        return agreed

    def close(self) -> tuple[str | None, float]:
        """The answer to the last vote."""
        if self._under_way is not None:
            self._under_way.wait()
            self._under_way = None
        reason, seconds = self._votes.tolist()
        return self.REASONS[int(reason)], seconds


@contextmanager
def _catch_signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT, SIGTERM and SIGHUP instead of dying of them; a second SIGINT interrupts at once."""
    caught: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def handle(number: int, frame: object) -> None:
        # A launcher passes Ctrl-C on as SIGTERM, beside the SIGINT that the terminal sends to everybody.
        if number == signal.SIGINT and signal.SIGINT in caught:
            raise KeyboardInterrupt
        caught.append(signal.Signals(number))

    watched = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        watched.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in watched}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
