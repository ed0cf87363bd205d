"""Targets beyond the data: what samples are to be besides like the data, as any program says it.

    log w(x) = F(x) + lambda r(x) + log max(v(x), eps)

No gradient passes through a sample, so that its weight may come from anything: a verifier v in [0, 1], such as a solver
or a parser, and a reward r, any number. F stays inside, and with it an exact fixed point of every estimator,
``p max(v, eps) e^(lambda r) / Z``: samples are neither those of the highest reward alone, nor valid ones of any kind.

Letters: M draws, N latents, B samples.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from bgan_discrete.checks import check_choice
from bgan_discrete.errors import InputError
from bgan_discrete.game.weights import effective_sample_size

Form = Literal["additive", "shifted", "anchored", "weighted"]

Answers = Callable[[], Tensor]
"""Waits for numbers ``[B]``, NaN for each sample of which there is none."""

Program = Callable[[Tensor], Answers]
"""Codes ``[B, *event_shape]`` -> their answers, which may be worked on meanwhile."""

LEAST_VALIDITY = 1e-4
"""eps: a weight of 0 would be a log weight of -inf, at which most estimators are inf or NaN."""

MOST_WEIGHT = 1e6
"""Of rewards, where it is found by bisection."""


def at_once(function: Callable[[Tensor], Tensor]) -> Program:
    """A program of a function that answers when it is asked for its answers.

    Args:
        function: Codes ``[B, *event_shape]`` -> numbers or booleans ``[B]``.

    Returns:
        The program.
    """
    return lambda codes: lambda: torch.as_tensor(function(codes))


@dataclass(frozen=True)
class Wish:
    """How the weight of rewards is chosen, once, by the rewards of the data.

    Attributes:
        of: ``"share"``, the effective sample size of data weighted by ``e^(lambda r)``, by their number; or ``"mean"``,
            the reward of the target, on average.
        value: In (0, 1) of a share; of a mean any number between the mean and the largest reward of the data.

    Raises:
        InputError: If it is anything else.
    """

    of: Literal["share", "mean"]
    value: float

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_choice("reward_weight", self.of, ("share", "mean"))
        if not math.isfinite(self.value) or (self.of == "share" and not 0 < self.value < 1):
            raise InputError(f"reward_weight must be a share in (0, 1) or a mean, got {self.of}={self.value}")

    def weight(self, rewards: Tensor) -> float:
        """The weight lambda that fulfils it.

        Args:
            rewards: Of data, ``[n]``; NaN does not count.

        Returns:
            lambda >= 0.

        Raises:
            InputError: If no lambda does.
        """
        rewards = rewards.double()[rewards.isfinite()]
        if not len(rewards) or bool((rewards == rewards[0]).all()):
            raise InputError(f"reward_weight {self} needs rewards of the data that differ, got {len(rewards)} alike")
        mean, highest = float(rewards.mean()), float(rewards.max())
        if self.of == "mean" and not mean <= self.value < highest:
            raise InputError(
                f"reward_weight mean={self.value:g} must be from {mean:.6g}, the mean reward of the data, up to "
                f"{highest:.6g}, their largest, and below that"
            )
        low, high = 0.0, MOST_WEIGHT
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if self._is_too_low(middle, rewards) else (low, middle)
        return high

    def _is_too_low(self, weight: float, rewards: Tensor) -> bool:
        log_w = weight * (rewards - rewards.max())
        if self.of == "share":
            return float(effective_sample_size(log_w[:, None])[0]) > self.value * len(rewards)
        return float(log_w.softmax(0) @ rewards) < self.value

    def __str__(self) -> str:
        """As a command line has it."""
        return f"{self.of}={self.value:g}"


@dataclass(frozen=True)
class Terms:
    """What programs say of samples.

    Attributes:
        log_validity: ``log max(v, eps)``, ``[B]``; eps for samples on which a program failed.
        reward: lambda r, ``[B]``; of those on which a program failed the mean of the others.
    """

    log_validity: Tensor
    reward: Tensor

    @property
    def log_weight(self) -> Tensor:
        """Both, ``[B]``."""
        return self.log_validity + self.reward

    @property
    def is_valid(self) -> Tensor:
        """Which samples the verifier rather calls valid, bool ``[B]``."""
        return self.log_validity > math.log(0.5)


@dataclass(frozen=True)
class Target:
    """What samples are to be, besides like the data.

    Attributes:
        verifier: Gives v in [0, 1]; None for 1.
        reward: Gives r; None for 0.
        reward_weight: lambda, or how it is chosen.
        form: Where the terms go. ``"additive"``: to the log weights of whole samples. ``"shifted"``: likewise, but the
            discriminator's logit is ``G - lambda r + c``, and G, which is flat at the fixed point, is what weighs: so a
            regularised discriminator costs less. ``"anchored"``: as additive, with a discriminator that knows how far
            the generator is from its start (`bgan_discrete.game.anchored`). ``"weighted"``: to the data, of which rows
            are drawn in proportion to ``v e^(lambda r)``, whatever the generator, its rounds and the credit are.
        constant: c of the shifted form, the log of the mean ``e^(lambda r)`` of the data.

    Raises:
        InputError: If there is neither of both, or the form is unknown.

    Examples:
        >>> target = Target(verifier=at_once(lambda codes: codes.sum(1) == 2))  # samples whose codes sum to 2
        >>> target.terms(torch.tensor([[0, 2], [1, 2]])).log_weight
        tensor([ 0.0000, -9.2103])
    """

    verifier: Program | None = None
    reward: Program | None = None
    reward_weight: float | Wish = 1.0
    form: Form = "additive"
    constant: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is none."""
        check_choice("target_form", self.form, get_args(Form))
        if self.verifier is None and self.reward is None:
            raise InputError("a target needs a verifier or a reward, got neither")
        if not isinstance(self.reward_weight, Wish) and not math.isfinite(self.reward_weight):
            raise InputError(f"reward_weight must be a finite number, got {self.reward_weight}")

    @property
    def weighs_draws(self) -> bool:
        """Whether its terms go to the log weights of draws, which are whole samples then; else to the data."""
        return self.form != "weighted"

    @property
    def shifts(self) -> bool:
        """Whether the discriminator's logit is shifted by the reward."""
        return self.form == "shifted" and self.reward is not None

    def begin(self, codes: Tensor) -> Callable[[], Terms]:
        """Ask the programs, and go on meanwhile.

        Args:
            codes: ``[B, *event_shape]``.

        Returns:
            Waits for what they say; on the device of the codes, without gradients.
        """
        asked = [None if program is None else program(codes) for program in (self.verifier, self.reward)]

        def wait() -> Terms:
            validity, reward = (
                None if answers is None else answers().to(codes.device, torch.get_default_dtype()) for answers in asked
            )
            return self._terms(validity, reward, codes)

        return wait

    def terms(self, codes: Tensor) -> Terms:
        """What the programs say of codes ``[B, *event_shape]``."""
        return self.begin(codes)()

    def added(self, terms: Terms) -> Tensor:
        """What is added to the log weights of draws; of the shifted form the reward is in what weighs already."""
        return terms.log_validity if self.shifts else terms.log_weight

    def shift(self, codes: Tensor) -> Tensor:
        """``lambda r - c``, ``[B]``, by which what weighs is above the logit of a shifted discriminator."""
        return self.terms(codes).reward - self.constant

    def settled(self, rewards: Sequence[float] | Tensor) -> "Target":
        """The target with its weight and its constant chosen by rewards of data, ``[n]``; itself without a reward.

        Raises:
            InputError: If a wish cannot be fulfilled.
        """
        if self.reward is None:
            return replace(self, reward_weight=0.0)
        rewards = torch.as_tensor(rewards).double()
        weight = self.reward_weight
        weight = weight.weight(rewards) if isinstance(weight, Wish) else weight
        tilted = weight * rewards[rewards.isfinite()]
        constant = float(tilted.logsumexp(0) - math.log(len(tilted))) if len(tilted) else 0.0
        return replace(self, reward_weight=weight, constant=constant)

    def _terms(self, validity: Tensor | None, reward: Tensor | None, codes: Tensor) -> Terms:
        nothing = torch.zeros(len(codes), device=codes.device)
        failed = torch.zeros(len(codes), dtype=torch.bool, device=codes.device)
        for numbers in (validity, reward):
            failed = failed if numbers is None else failed | ~numbers.isfinite()
        log_validity = nothing if validity is None else validity.nan_to_num(0.0).clamp(LEAST_VALIDITY, 1).log()
        log_validity = log_validity.masked_fill(failed, math.log(LEAST_VALIDITY))
        if reward is None:
            return Terms(log_validity, nothing)
        if isinstance(self.reward_weight, Wish):
            raise InputError(f"reward_weight {self.reward_weight} is not chosen yet: call settled with rewards of data")
        known = reward[~failed]
        usual = known.mean() if len(known) else nothing.sum()
        return Terms(log_validity, self.reward_weight * torch.where(failed, usual, reward))


class Said:
    """What the programs of a target say of draws: asked at once, awaited when the draws are scored.

    Args:
        target: It weighs draws.
        codes: ``[M, N, *event_shape]``.

    Attributes:
        figures: When it was awaited: the share of valid draws, ``valid``; that of latents without one,
            ``without_valid``; and the mean lambda r, ``weighted_reward``.
    """

    def __init__(self, target: Target, codes: Tensor) -> None:
        self._target, self._shape = target, codes.shape[:2]
        self._wait = target.begin(codes.flatten(0, 1))
        self.figures: dict[str, Tensor] = {}

    def __call__(self) -> Tensor:
        """Wait for what is added to the log weights, ``[M, N]``."""
        terms = self._wait()
        is_valid_MN = terms.is_valid.view(self._shape)
        self.figures |= {
            "valid": is_valid_MN.float().mean(),
            "without_valid": 1 - is_valid_MN.any(0).float().mean(),
            "weighted_reward": terms.reward.mean(),
        }
        return self._target.added(terms).view(self._shape)
