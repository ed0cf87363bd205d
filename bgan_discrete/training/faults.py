"""Faults of networks: found before the first step, and named after a step has failed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from bgan_discrete.config import TrainingConfig
from bgan_discrete.distributions import Distribution
from bgan_discrete.errors import BGANError, InputError, NonFiniteError
from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.players import Discriminator, Generator, Players
from bgan_discrete.game.scoring import generate
from bgan_discrete.parallel import plain
from bgan_discrete.training.inputs import TrainingData


class FaultFinder:
    """Checks the outputs of networks, before the first step and after something has become inf or NaN."""

    def __init__(self, data: TrainingData, config: TrainingConfig, players: Players) -> None:
        self._data, self._players = data, players
        self._generator: Generator = plain(players.generator)
        self._discriminator: Discriminator = plain(players.discriminator)
        self._networks = {"generator": self._generator, "discriminator": self._discriminator}
        self._seed, self._has_codes = config.seed, config.continuous == "none"
        self._num_samples = max(config.batch_size // (players.processes.size * players.parts), 1)

    @torch.no_grad()
    def check_outputs(self, with_discriminator: bool = False) -> Distribution:
        """Check what the networks give, in eval mode; random numbers and statistics stay. Returns the distribution.

        Raises InputError if the generator gives no distribution, or samples unlike the data, and NonFiniteError.
        """
        generator, discriminator, count = self._generator, self._discriminator, self._num_samples
        codes, labels = self._data.rows(torch.arange(count) % len(self._data))
        condition = () if labels is None else (labels,)
        rng = torch.Generator(codes.device).manual_seed(self._seed)
        latents = draw_latents(generator, count, rng)
        generator.eval()
        discriminator.eval()
        with torch.random.fork_rng([rng.device] if rng.device.type == "cuda" else []), self._players.precision():
            distribution = generate(Players(generator, None), latents, *condition)
            distribution.check_finite()
            got = f"{list(distribution.sample(1, rng).shape[1:])} in {distribution.num_categories} categories"
            wanted = f"{[count, *self._data.event_shape]} in {generator.space.num_categories} categories"
            if got != wanted:
                raise InputError(f"generator must give samples like the data, of shape {wanted}, got {got}")
            if with_discriminator and not torch.isfinite(discriminator(codes, *condition)).all():
                raise NonFiniteError("the discriminator gives inf or NaN for samples of the data")
        generator.train()
        discriminator.train()
        return distribution

    def check_finite(self) -> None:
        """Raise NonFiniteError, with step and cause, if the guard has refused updates after an inf or NaN."""
        refused = None if self._players.guard is None else self._players.guard.check()
        if refused is not None:
            raise NonFiniteError(refused + self._reason(refused))

    def check_weights(self, step: int) -> None:
        """Raise NonFiniteError for a weight that a finite gradient has moved out of the range of its dtype."""
        weights = {
            f"{who}'s weight {name}": parameter
            for who, network in self._networks.items()
            for name, parameter in network.named_parameters()
            if parameter.requires_grad
        }
        # The device is asked once for all of them.
        if weights and not torch.stack([torch.isfinite(weight).all() for weight in weights.values()]).all():
            bad = next(name for name, weight in weights.items() if not torch.isfinite(weight).all())
            raise NonFiniteError(f"after step {step} the {bad} is inf or NaN")

    @contextmanager
    def naming(self, step: int) -> Iterator[None]:
        """A context whose errors name the step, from 1, and their cause."""
        if self._players.guard is not None:
            self._players.guard.step = step
        try:
            yield
        except NonFiniteError as error:
            raise NonFiniteError(f"step {step} was not taken: {error}{self._reason(str(error))}") from None
        except RuntimeError as error:
            raise _explained(error, self._networks) from None

    def _reason(self, message: str) -> str:
        """The end of a message: what is wrong in the networks' outputs, unless nothing is or the message says it."""
        try:
            self.check_outputs(with_discriminator=self._has_codes)
        except Exception as error:
            return f"; {error}" if isinstance(error, BGANError) and str(error) not in message else ""
        return ""


def _explained(error: RuntimeError, networks: Mapping[str, nn.Module]) -> RuntimeError | InputError:
    """Torch's error about parameters that take no part in the loss of several processes, in one line."""
    if "finished reduction in the prior iteration" not in str(error):
        return error
    unused = [
        f"{who}.{name}"
        for who, network in networks.items()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    return InputError(
        f"parameters that take no part in the loss are not supported by several processes: {', '.join(unused[:5])}; "
        "leave them out, or set requires_grad=False"
    )
