"""The two players: the base classes of generators and discriminators."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions import Distribution
from bgan_discrete.distributions.sampling import check_latent_kind, one_hot_codes
from bgan_discrete.errors import InputError
from bgan_discrete.game.guard import FiniteGuard
from bgan_discrete.parallel import ALONE, Processes, plain
from bgan_discrete.space import SampleSpace, plain_value

CreditName = Literal["sample", "prefix", "alternatives"]
Context = Callable[[], AbstractContextManager[object]]
Condition: TypeAlias = Tensor | None
Dice: TypeAlias = torch.Generator | None

OWN_GENERATOR = """\
class Own(bgan_discrete.Generator):
    def __init__(self, space, latent_size=16):
        super().__init__(space, latent_size)
        self.layer = nn.Linear(latent_size, space.num_positions * space.num_categories)
    def forward(self, latents, labels=None):
        return FactorizedCategorical(self.layer(latents).unflatten(1, (*self.space.event_shape, -1)))"""
"""A generator in five lines, for those who give something else."""

OWN_DISCRIMINATOR = """\
class Own(bgan_discrete.Discriminator):
    def __init__(self, space):
        super().__init__(space)
        self.layer = nn.Linear(space.num_positions * space.num_categories, 1)
    def forward(self, samples, labels=None):
        return self.layer(self.one_hots(samples).flatten(1)).squeeze(1)"""
"""A discriminator in five lines, likewise."""


class Generator(nn.Module, ABC):
    """Latents ``[N, Z]`` -> a distribution over N samples of a space.

    Args:
        space: What one sample is.
        latent_size: Z.
        latent_kind: What latents it takes (`bgan_discrete.distributions.sampling.sample_latents`).
        num_classes: Classes of the labels that it is called with; None for no labels.
        settings: Further arguments of a subclass, which its ``__init__`` passes on to be saved with the model.

    Attributes:
        settings: The arguments of its class as plain values, from which a saved model is rebuilt.

    Raises:
        InputError: If a size is below 1, the kind is unknown, or the space names another number of classes.
    """

    takes_prompt: ClassVar[bool] = False
    """Whether its distributions can continue a prompt, the beginning of a sample."""

    draws_many: ClassVar[bool] = False
    """Whether samples in rounds cost little in large batches on a CPU too, since no round is a pass of its own."""

    num_rounds: int = 1
    """Rounds in which samples are drawn; where there are several, the discriminator sees partly drawn samples."""

    def __init__(
        self,
        space: SampleSpace,
        latent_size: int,
        latent_kind: str = "normal",
        num_classes: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        _check_space(space)
        check_at_least_one(latent_size=latent_size)
        self.space, self.latent_size = space, latent_size
        self.latent_kind = check_latent_kind(latent_kind)
        self.num_classes = _checked_classes(space, num_classes)
        given = {"latent_size": latent_size, "latent_kind": latent_kind, "num_classes": num_classes, **settings}
        taken = inspect.signature(type(self)).parameters
        kept = {name: plain_value(given[name]) for name in given if name in taken}
        self.settings = {"space": space.to_dict(), **kept}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Generator":
        """Build the same network again, with new weights.

        Args:
            settings: As the attribute.

        Returns:
            The network.

        Raises:
            InputError: If a value is out of its range.
        """
        return cls(**{**settings, "space": SampleSpace.from_dict(settings["space"])})

    @abstractmethod
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Distribution:
        """The distributions of latents ``[N, Z]``, with classes of integers ``labels [N]``."""

    def set_output_bias(self, log_frequencies: Tensor) -> None:
        """Start at given distributions of the positions, ``[*event_shape, K]``.

        Raises:
            InputError: If the generator has no such start.
        """
        raise InputError(f"{type(self).__name__} has no set_output_bias, which a start at the data's frequencies needs")


class Discriminator(nn.Module, ABC):
    """Samples of a space -> log-ratios F.

    Args:
        space: What one sample is.
        num_classes: Classes of the labels that it is called with; None for no labels.
        partial: Samples may be drawn in part: the code K is a hidden one, and so is a soft one-hot of zeros.

    Raises:
        InputError: If the space names another number of classes.
    """

    credits: tuple[CreditName, ...] = ("sample",)
    """What a draw's positions can be weighed by: F of the ``"sample"``, ``[B]``; of each ``"prefix"``, ``[B, L]``; of
    each of the ``"alternatives"`` at each position, by the method of that name."""

    def __init__(self, space: SampleSpace, num_classes: int | None = None, partial: bool = False) -> None:
        super().__init__()
        _check_space(space)
        self.space, self.partial = space, partial
        self.num_classes = _checked_classes(space, num_classes)

    @abstractmethod
    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of codes ``[B, *event_shape]`` or, for gradient penalties, of soft one-hots ``[B, *event_shape, K]``.

        Args:
            samples: Integers, or a float dtype.
            labels: With classes, integers ``[N]``, B a multiple of N: row i of the samples has label ``i % N``.

        Returns:
            ``[B]``, or ``[B, L]`` with an F for each prefix.
        """

    def alternatives(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """F with the code at each position exchanged for each category.

        Args:
            codes: Integers ``[B, *event_shape]``.
            labels: As in `forward`.

        Returns:
            ``[B, *event_shape, K]``.

        Raises:
            InputError: If the discriminator knows no alternatives.
        """
        raise InputError(f"{type(self).__name__} has no alternatives, which credit 'alternatives' needs")

    def sample_log_ratio(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """F of whole samples; where F is given for prefixes, that of the last one.

        Args:
            codes: Integers ``[B, *event_shape]``.
            labels: With classes, integers ``[B]``.

        Returns:
            ``[B]``.
        """
        log_ratio: Tensor = self(codes) if labels is None else self(codes, labels)
        return log_ratio[:, -1] if log_ratio.ndim == 2 else log_ratio

    def sample_alternatives(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """`sample_log_ratio` with the code at each position exchanged for each category; here `alternatives`.

        Args:
            codes: Integers ``[B, *event_shape]``.
            labels: With classes, integers ``[B]``.

        Returns:
            ``[B, *event_shape, K]``.

        Raises:
            InputError: If the discriminator knows no alternatives.
        """
        return self.alternatives(codes, labels)

    def one_hots(self, samples: Tensor) -> Tensor:
        """One-hots ``[B, *event_shape, K]`` of codes; soft one-hots stay what they are."""
        return samples if samples.is_floating_point() else one_hot_codes(samples, self.space.num_categories)


def _check_space(space: Any) -> None:
    """Raise InputError for what is no `SampleSpace`."""
    if not isinstance(space, SampleSpace):
        raise InputError(
            f"space must be a SampleSpace, such as SampleSpace((8, 8), num_categories=2), got {space!r:.100}"
        )


def _checked_classes(space: SampleSpace, num_classes: int | None) -> int | None:
    """The number of classes, None for none; InputError unless it is that of the space's names."""
    if num_classes is None:
        return None
    check_at_least_one(num_classes=num_classes)
    if space.class_names is not None and len(space.class_names) != num_classes:
        raise InputError(f"class_names must be {num_classes} different ones, got {len(space.class_names)}")
    return num_classes


def check_labels(network: Generator | Discriminator, labels: Tensor | None) -> None:
    """Refuse labels without classes, and classes without labels.

    Args:
        network: That was called.
        labels: That it was called with.

    Raises:
        InputError: If labels and classes do not match.
    """
    if (network.num_classes is None) != (labels is None):
        wanted = "no labels, since it has no num_classes" if labels is not None else "labels, one a sample"
        who = "generator" if isinstance(network, Generator) else "discriminator"
        raise InputError(f"this {who} must be given {wanted}")


def check_players(generator: Any = None, discriminator: Any = None, needed: Collection[str] = ("generator",)) -> None:
    """Refuse networks that do not extend `Generator` and `Discriminator`, or do not fit each other.

    Args:
        generator: To be checked; None for none.
        discriminator: Likewise.
        needed: Those of the two that must be there.

    Raises:
        InputError: If one is of another class, missing or not initialised, or their samples differ in shape.
    """
    for who, network, base, lines in (
        ("generator", generator, Generator, OWN_GENERATOR),
        ("discriminator", discriminator, Discriminator, OWN_DISCRIMINATOR),
    ):
        if network is None and who not in needed:
            continue
        name = "None" if network is None else type(network).__name__
        if isinstance(network, type):
            raise InputError(f"{who} must be an object, got the class {network.__name__}; call it")
        if not isinstance(network, base):
            raise InputError(f"{who} must extend bgan_discrete.{base.__name__}, got {name}:", lines)
        if "space" not in vars(network):
            raise InputError(f"{who}: {name} must call super().__init__(space, ...) of {base.__name__}:", lines)
    if generator is not None and discriminator is not None:
        ours, theirs = generator.space.event_shape, discriminator.space.event_shape
        if ours != theirs:
            raise InputError(f"generator and discriminator must have the same event shape, got {ours} and {theirs}")


def refuse_names(**parts: object) -> None:
    """Raise InputError for a part of the game that is given by its name, where an object is wanted.

    Args:
        parts: By what they are, such as ``penalty``.
    """
    for what, part in parts.items():
        if isinstance(part, str):
            make = "make" if what == "credit" else "get"
            raise InputError(
                f"{what} must be an object, got {part!r}; names are for TrainingConfig({what}=...) and "
                f"{make}_{what}(...)"
            )


def _check_optimizer(who: str, network: nn.Module | None, optimizer: torch.optim.Optimizer | None) -> None:
    """Refuse an optimiser that moves another network, so that this one would not learn."""
    if network is None or optimizer is None:
        return
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not any(id(parameter) in held for parameter in network.parameters()):
        raise InputError(f"{who}_optimizer must hold parameters of the {who}, got one of other parameters (swapped?)")


def _check_context(**makes: Any) -> None:
    """Raise InputError for what is no function without arguments, such as a context itself; named by its keyword."""
    for name, make in makes.items():
        try:
            inspect.signature(make).bind()
        except TypeError:
            raise InputError(
                f"{name} must be a function that makes a context, such as lambda: torch.autocast('cuda'), got {make!r}"
            ) from None


@dataclass
class Players:
    """Both networks with their optimisers, and how they run, which changes nothing but rounding.

    Attributes:
        generator: Maps latents ``[N, Z]`` to a distribution over N samples.
        discriminator: Maps samples ``[B, *event_shape]`` to log-ratios F.
        generator_optimizer: Of the generator's parameters; None where it does not move.
        discriminator_optimizer: Of the discriminator's parameters; likewise.
        precision: Creates the context in which the networks run (autocast); weights and losses are outside it.
        score_chunk: The most samples that the discriminator scores at once; None for all of them.
        parts: In how many parts a batch goes through the networks before they move; the gradient is that of the whole
            batch, the memory that of a part.
        guard: Defers the check for inf and NaN; None to check, and to wait for the device, at every update.
        processes: Those that have a share of every batch each, and average their gradients.

    Raises:
        InputError: If a network is none, an optimiser moves another one, or a number is below 1.

    Examples:
        >>> from bgan_discrete import Game, MLPDiscriminator, MLPGenerator, adversarial_step
        >>> space, adam = SampleSpace((4,), num_categories=3), torch.optim.Adam
        >>> generator, discriminator = MLPGenerator(space, latent_size=2), MLPDiscriminator(space)
        >>> players = Players(generator, discriminator, adam(generator.parameters()), adam(discriminator.parameters()))
        >>> figures = adversarial_step(Game(), players, torch.zeros(8, 4, dtype=torch.uint8), torch.randn(8, 2))
        >>> sorted(figures)[:3]
        ['d_fake', 'd_real', 'discriminator_gradient_norm']
    """

    generator: Any
    discriminator: Any
    generator_optimizer: torch.optim.Optimizer | None = None
    discriminator_optimizer: torch.optim.Optimizer | None = None
    precision: Context = nullcontext
    score_chunk: int | None = None
    parts: int = 1
    guard: FiniteGuard | None = None
    processes: Processes = ALONE

    def __post_init__(self) -> None:
        """Refuse what cannot play; let the gradients of both be averaged over the processes."""
        check_players(self.generator, self.discriminator, needed=())
        _check_optimizer("generator", self.generator, self.generator_optimizer)
        _check_optimizer("discriminator", self.discriminator, self.discriminator_optimizer)
        check_at_least_one(parts=self.parts, score_chunk=1 if self.score_chunk is None else self.score_chunk)
        _check_context(precision=self.precision)
        self.generator = self.processes.replicate(self.generator)
        self.discriminator = self.processes.replicate(self.discriminator)

    def side(self, who: Literal["generator", "discriminator"]) -> tuple[nn.Module, torch.optim.Optimizer]:
        """A player's network and its optimiser.

        Raises:
            InputError: If there is no such network, or it has no optimiser, so that it cannot move.
        """
        network = self.network(who)
        optimizer = self.generator_optimizer if who == "generator" else self.discriminator_optimizer
        if optimizer is None:
            raise InputError(f"players need a {who}_optimizer where the {who} moves, got none")
        return network, optimizer

    def network(self, who: Literal["generator", "discriminator"]) -> Any:
        """A player's network.

        Raises:
            InputError: If there is none.
        """
        network = self.generator if who == "generator" else self.discriminator
        if network is None:
            raise InputError(f"players need a {who} for this step, got None")
        return network

    @property
    def discriminator_space(self) -> SampleSpace:
        """What the discriminator reads."""
        space: SampleSpace = plain(self.discriminator).space
        return space
