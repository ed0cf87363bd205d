"""The training loop, top to bottom."""

import hashlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from bgan_discrete.batches import BatchOrder
from bgan_discrete.continuous import continuous_step, get_continuous_loss
from bgan_discrete.distributions import Distribution
from bgan_discrete.divergences import Divergence, get_divergence
from bgan_discrete.errors import InputError, NonFiniteError, one_line
from bgan_discrete.estimators import Estimator, make_estimator
from bgan_discrete.penalties import Penalty, get_penalty
from bgan_discrete.sampling import check_latent_kind, sample_latents
from bgan_discrete.steps import (
    Diagnostics,
    FiniteGuard,
    Objective,
    adversarial_step,
    discriminator_step,
    likelihood_step,
)
from bgan_discrete.training.allocator import keep_freed_memory
from bgan_discrete.training.checkpoint import load_checkpoint, save_checkpoint
from bgan_discrete.training.config import TrainingConfig
from bgan_discrete.training.run_log import RunLog

RESIDENT_BYTES = 2 * 1024**3
"""Codes up to this size are kept on the accelerator as a whole."""

EMA_WARMUP = 10
"""The average's decay at step t is at most (1 + t) / (EMA_WARMUP + t), so that it forgets the initial weights."""

FINAL_LR_SHARE = 0.02
"""Where the linear decay of the learning rate ends, as a share of its start."""

SCORED_POSITIONS = 65536
"""On a CPU, the discriminator scores about so many positions at once, within 64 to 256 samples."""

DIGEST_ROWS = 4096
"""The data are recognised on resume by at most so many rows, evenly spaced."""


@dataclass(frozen=True)
class TrainingSummary:
    """How a training ended.

    Attributes:
        steps: Generator steps taken in all.
        seconds: Wall-clock time of this call.
        stopped_by: ``"max_steps"``, ``"max_seconds"``, ``"SIGINT"`` or ``"SIGTERM"``.
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
            it has one, says what latents it takes (`bgan_discrete.sampling.sample_latents`).
        progress: Whether to report progress on stderr.
        tensorboard: Whether to write TensorBoard files into the folder.
        on_samples: Called with (step, codes ``[64, *event_shape]``) every ``config.sample_interval`` steps; the latents
            behind them are the same each time. May return a picture, uint8 ``[H, W, 3]``, or a text for TensorBoard.
        estimator: In the place of the one that `config` names: an object, whose own options count, or a function that
            maps log weights ``[M, N]`` to advantages ``[M, N]``.
        divergence: In the place of the one that `config` names.
        penalty: In the place of the one that `config` names; weighed by ``config.penalty_weight``.

    Raises:
        InputError: If the codes or the configuration cannot be used.
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
    ) -> None:
        self.config = config = config or TrainingConfig()
        config.check()
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.device = resolve_device(config.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self.num_categories = _attribute(generator, "num_categories", num_categories)
        self.latent_size = _attribute(generator, "latent_size", latent_size)
        self.latent_kind = check_latent_kind(getattr(generator, "latent_kind", "normal"))
        self.codes = _checked_codes(codes, self.num_categories, self.device)
        self.order = BatchOrder(len(self.codes), config.batch_size, config.seed)
        self.objective = _make_objective(config, self.device, math.prod(self.codes.shape[1:]))
        if estimator is not None:
            self.objective.estimator = _given_estimator(estimator, config)
        self.objective.divergence = divergence or self.objective.divergence
        self.objective.penalty = penalty or self.objective.penalty
        self.generator = generator.to(self.device).train()
        self.discriminator = discriminator.to(self.device).train()
        if config.compile:
            self.objective.scorer = torch.compile(_scorer(self.discriminator, config.credit))
        self.average = AveragedModel(self.generator, use_buffers=True).eval()
        self._num_averaged = 0
        betas = (config.adam_beta1, config.adam_beta2)
        self.generator_optimizer = torch.optim.Adam(generator.parameters(), config.generator_lr, betas, fused=True)
        self.discriminator_optimizer = torch.optim.Adam(
            discriminator.parameters(), config.discriminator_lr, betas, fused=True
        )
        self.rng = torch.Generator(self.device).manual_seed(config.seed)
        self.step = 0
        self._sums: Diagnostics = {}
        self._counts: dict[str, int] = {}
        self._progress, self._tensorboard, self._on_samples = progress, tensorboard, on_samples

    def train(self) -> TrainingSummary:
        """Train up to ``max_steps`` or ``max_seconds``, whichever comes first, and write a last checkpoint.

        SIGINT and SIGTERM end the training after the step under way, with a checkpoint.

        Returns:
            How it ended.

        Raises:
            NonFiniteError: If a loss or gradient is inf or NaN; the step is not taken, and the message names it. On an
                accelerator it comes with the next figures, samples or checkpoint; no update is made in between.
        """
        config, started = self.config, time.monotonic()
        stopped_by = "max_steps"
        log = RunLog(self.output_dir, self.step, config.max_steps, self._progress, self._tensorboard)
        with log, _catch_signals() as caught:
            last_time, last_step = started, self.step
            while self.step < config.max_steps:
                self._set_learning_rates()
                if self.objective.guard is not None:
                    self.objective.guard.step = self.step + 1
                try:
                    diagnostics = self._train_step()
                except NonFiniteError as error:
                    raise NonFiniteError(f"step {self.step + 1} was not taken: {error}") from None
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
                if caught:
                    stopped_by = caught[0].name
                    break
                if config.max_seconds is not None and time.monotonic() - started >= config.max_seconds:
                    stopped_by = "max_seconds"
                    break
        self.save()
        return TrainingSummary(self.step, time.monotonic() - started, stopped_by)

    def _train_step(self) -> Diagnostics:
        """One generator step after ``discriminator_steps`` of the discriminator, then the average.

        The first ``pretrain_steps`` go by maximum likelihood instead, the ``warmup_steps`` after them train the
        discriminator alone.
        """
        config = self.config
        if self.step < config.pretrain_steps:
            real = self._real_batch(self.step)
            latents = self._latents(config.pretrain_latents or len(real))
            found = likelihood_step(self._distribution, self.generator_optimizer, real, latents, self.objective)
            self._update_average()
            return found
        is_warmup = self.step < config.pretrain_steps + config.warmup_steps
        for repeat in range(config.discriminator_steps):
            count = self.step * config.discriminator_steps + repeat
            penalized = (count + 1) % config.penalty_interval == 0
            moves_both = not is_warmup and repeat + 1 == config.discriminator_steps
            common: dict[str, Any] = {
                "discriminator": self.discriminator,
                "real": self._real_batch(count),
                "latents": self._latents(config.batch_size),
                "objective": self.objective,
                "rng": self.rng,
                "penalty_scale": config.penalty_interval if penalized else 0,
            }
            both: dict[str, Any] = {
                "generator_optimizer": self.generator_optimizer,
                "discriminator_optimizer": self.discriminator_optimizer,
            }
            if config.continuous != "none":
                loss = get_continuous_loss(config.continuous)
                found = continuous_step(self._distribution, **common, **both, loss=loss, update_generator=moves_both)
            elif moves_both:
                found = adversarial_step(self._distribution, **common, **both)
            else:
                found = discriminator_step(self._distribution, **common, optimizer=self.discriminator_optimizer)
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
        found = None if self.objective.guard is None else self.objective.guard.check()
        if found is not None:
            raise NonFiniteError(found)

    @torch.no_grad()
    def sample(self, num_samples: int, seed: int = 0, batch_size: int = 1000) -> np.ndarray:
        """Draw samples from the averaged generator, in eval mode, one draw for each latent.

        Args:
            num_samples: How many.
            seed: Of the latents and draws; training's own randomness is not touched.
            batch_size: How many at once; the samples depend on it.

        Returns:
            Codes ``[num_samples, *event_shape]``.
        """
        return sample_codes(
            self.average, self.latent_size, num_samples, seed, self.device, batch_size, latent_kind=self.latent_kind
        )

    def save(self) -> Path | None:
        """Write a checkpoint into ``output_dir/checkpoints`` (None where there is no folder)."""
        self._check_finite()
        if self.output_dir is None:
            return None
        return save_checkpoint(self.output_dir / "checkpoints", self.step, self.state_dict(), self.config.keep_last)

    def resume(self, path: str | Path) -> None:
        """Go on from a checkpoint: the run is then bit for bit the one that was not interrupted.

        Raises:
            InputError: If the checkpoint cannot be read or belongs to other networks.
        """
        state = load_checkpoint(Path(path), self.device)
        try:
            self.load_state_dict(state)
        except (KeyError, RuntimeError, ValueError) as error:  # InputError is a ValueError
            reason = " ".join(str(error).split())
            raise InputError(f"checkpoint {str(path)!r} does not fit this configuration: {reason}") from None

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on: tensors and plain types."""
        return {
            "step": self.step,
            "data": _data_digest(self.codes),
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "estimator": self.objective.estimator.state_dict(),
            "rng": self.rng.get_state(),
            # Networks of the user's own may draw from torch's global generators (dropout).
            "global_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
            "sums": self._sums,
            "counts": self._counts,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            InputError: If the state belongs to other data.
        """
        if state["data"] != _data_digest(self.codes):
            raise InputError("the data are not those that the run began with")
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.load_state_dict(state["average"])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        self.objective.estimator.load_state_dict(state["estimator"])
        self.rng.set_state(state["rng"].cpu())
        torch.set_rng_state(state["global_rng"].cpu())
        if state["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.device)
        self._sums, self._counts = state["sums"], state["counts"]
        self._num_averaged = int(self.average.n_averaged)
        self.step = state["step"]

    def _distribution(self, latents: Tensor) -> Distribution:
        return cast(Distribution, self.generator(latents))

    def _latents(self, count: int) -> Tensor:
        return sample_latents(count, self.latent_size, self.latent_kind, self.rng, self.device)

    def _real_batch(self, count: int) -> Tensor:
        indices = torch.from_numpy(self.order.indices(count))
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
            remaining = 1 - self.step / config.max_steps
            scale = max(min(1.0, 2 * remaining), FINAL_LR_SHARE)
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
        sums: list[float] = [*torch.stack(list(self._sums.values())).cpu().numpy()] if self._sums else []
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
        if self._on_samples is None:
            return
        shown = self._on_samples(self.step, self.sample(64, seed=self.config.seed))
        if isinstance(shown, str):
            log.write_text(self.step, shown)
        elif shown is not None:
            log.write_grid(self.step, shown)


@torch.no_grad()
def sample_codes(
    generator: nn.Module,
    latent_size: int,
    num_samples: int,
    seed: int,
    device: torch.device,
    batch_size: int = 1000,
    draw: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    latent_kind: str = "normal",
) -> np.ndarray:
    """Draw one sample for each of ``num_samples`` latents, from a generator in eval mode.

    Args:
        generator: Maps latents to a distribution.
        latent_size: Z.
        num_samples: How many, >= 1.
        seed: Of the latents and the draws.
        device: Where the generator is.
        batch_size: How many at once; the samples depend on it.
        draw: Makes codes ``[B, *event_shape]`` of latents ``[B, Z]``; one draw of the generator's distribution if None.
        latent_kind: As in `bgan_discrete.sampling.sample_latents`.

    Returns:
        Codes ``[num_samples, *event_shape]``.

    Raises:
        InputError: If ``num_samples`` < 1.
    """
    if num_samples < 1:
        raise InputError(f"num_samples must be at least 1, got {num_samples}")
    rng = torch.Generator(device).manual_seed(seed)
    was_training = generator.training
    generator.eval()
    parts = []
    for start in range(0, num_samples, batch_size):
        # Always a whole batch, so that the first n samples of a seed are the same whatever num_samples is.
        latents = sample_latents(batch_size, latent_size, latent_kind, rng, device)
        codes = generator(latents).sample(1, rng)[0] if draw is None else draw(latents, rng)
        parts.append(codes[: num_samples - start].cpu().numpy())
    generator.train(was_training)
    return np.concatenate(parts)


def resolve_device(name: str) -> torch.device:
    """The device that a configuration names.

    Args:
        name: ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...

    Returns:
        The device.

    Raises:
        InputError: If the name is unknown or the device is absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # there are devices that take a tensor and hold nothing
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used: {one_line(error)}") from None
    return device


def _make_objective(config: TrainingConfig, device: torch.device, num_positions: int) -> Objective:
    estimator = make_estimator(
        config.estimator,
        normalization=config.normalization,
        tempering=config.tempering,
        log_weight_clip=config.log_weight_clip,
    )

    def precision(dtype: str) -> Callable[[], AbstractContextManager[object]]:
        return nullcontext if dtype == "float32" else lambda: torch.autocast(device.type, torch.bfloat16)

    return Objective(
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
    )


def _given_estimator(estimator: Estimator | Callable[[Tensor], Tensor], config: TrainingConfig) -> Estimator:
    if not isinstance(estimator, Estimator):
        estimator = Estimator(getattr(estimator, "__name__", "own"), estimator)
    if config.credit == "alternatives":
        estimator.check_alternatives()
    else:
        estimator.check_num_draws(config.num_draws)
    return estimator


def _scorer(discriminator: nn.Module, credit: str) -> Callable[..., Tensor]:
    return cast(Callable[..., Tensor], discriminator.alternatives) if credit == "alternatives" else discriminator


def default_score_chunk(device: torch.device, num_positions: int) -> int | None:
    """Samples that the discriminator scores at once: on a CPU so few that its activations stay in the cache.

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


def _checked_codes(codes: np.ndarray | Tensor, num_categories: int, device: torch.device) -> np.ndarray | Tensor:
    """Codes that are integers, whole, and inside [0, K); on the accelerator as a whole where they fit."""
    is_integer = (
        not (codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool)
        if isinstance(codes, Tensor)
        else np.issubdtype(codes.dtype, np.integer)
    )
    if not is_integer:
        raise InputError(f"codes must be an integer array, got dtype {codes.dtype}")
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


def _data_digest(codes: np.ndarray | Tensor) -> str:
    """A digest by which a resumed run knows its data again, without reading all of them."""
    part = codes[:: max(1, len(codes) // DIGEST_ROWS)]
    array = part.cpu().numpy() if isinstance(part, Tensor) else np.ascontiguousarray(part)
    return hashlib.sha256(f"{array.dtype} {tuple(codes.shape)}".encode() + array.tobytes()).hexdigest()


@contextmanager
def _catch_signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT and SIGTERM instead of dying of them; a second SIGINT interrupts at once."""
    caught: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def handle(number: int, frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(signal.Signals(number))

    watched = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handle) for number in watched}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
