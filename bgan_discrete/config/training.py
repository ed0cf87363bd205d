"""The options of the algorithm, its optimisers and the run: the same for every kind of data."""

import math
from dataclasses import dataclass
from typing import Literal

from bgan_discrete.config.option import Section, option
from bgan_discrete.errors import InputError

EstimatorName = Literal[
    "bgan", "bgan_centered", "vimco", "loo", "rloo", "jeffreys", "symmetric", "matched", "reinforce", "maligan"
]
DivergenceName = str  # not a Literal, so that total variation is refused with its reason
PenaltyName = Literal["none", "r1", "roth", "wgan_gp"]
ContinuousName = Literal["none", "boundary_seeking", "non_saturating"]
CreditName = Literal["sample", "prefix", "alternatives"]
PHASES = ("likelihood", "discriminator", "game")
"""Of a training, in this order: the generator by maximum likelihood, the discriminator alone, both in the game."""

ROUNDING = 1e-9
"""By which shares of a budget may miss their sum."""


@dataclass(frozen=True)
class TrainingConfig(Section):
    """The algorithm, its optimisers and the run."""

    estimator: EstimatorName = option("bgan_centered", "log weights of the draws -> advantages")
    divergence: DivergenceName = option(
        "gan", "gan, jensen_shannon, kl, reverse_kl, squared_hellinger, pearson_chi2 or neyman_chi2"
    )
    num_draws: int = option(20, "M, draws per latent that the discriminator scores", low=1, high=2**24)
    batch_size: int = option(64, "N, latents and real samples in a step, of all processes together", low=1, high=2**24)
    gradient_accumulation_steps: int = option(
        1,
        "take a batch in so many parts, one after the other, before the networks move: less memory, the same gradient",
        low=1,
    )
    discriminator_draws: int | Literal["all"] = option(
        1, "draws per latent in the discriminator's own step; all: the M of the generator's", low=1
    )
    discriminator_steps: int = option(1, "discriminator steps before each generator step", low=1)
    penalty: PenaltyName = option("r1", "gradient penalty of the discriminator")
    penalty_weight: float = option(1.0, "gamma, weight of the penalty", low=0)
    generator_lr: float = option(4e-3, "Adam's learning rate of the generator", low=0, exclusive=True)
    discriminator_lr: float = option(2e-3, "Adam's learning rate of the discriminator", low=0, exclusive=True)
    adam_beta1: float = option(0.0, "Adam's decay of the mean, in [0, 1)", low=0, high=0.99999)
    lr_decay: Literal["none", "linear"] = option(
        "linear", "linear: constant for half of the budget, steps or seconds, that is used up first; then down to 2 %"
    )
    phases: str = option(
        "auto",
        "phases of the training, some of likelihood, discriminator (alone) and game, in this order, each with its "
        "share of the budget, such as likelihood=0.85,discriminator=0.05,game; what has no share gets the rest (auto: "
        "for texts position by position likelihood=0.85,discriminator=0.05,game; for other generators in rounds, and "
        "mlp of tables, likelihood; else game)",
    )
    keep: Literal["best", "last"] = option(
        "best",
        "which weights are the model: those that a judge likes best on training data that are kept back for it (a "
        "tenth, of 2,000 or more), or the last",
    )
    credit: CreditName = option(
        "sample",
        "whose log-ratio F weighs a position of a draw: the sample's, that of the prefix that it ends, or that "
        "of each alternative at the position",
        kinds=("text", "arrays"),
    )
    escort: float | None = option(
        None,
        "with credit alternatives: exponent in (0, 1] of the choices' probabilities q in the generator's step; 1: the "
        "exact gradient; below 1, what has become improbable keeps one (default: 1; the scripts take 0.5 with "
        "generators conv and mlp)",
        low=1e-6,
        high=1,
        kinds=("text", "arrays"),
    )
    continuous: ContinuousName = option(
        "none",
        "a generator of continuous grey levels, which back-propagates through its samples, with this loss ("
        "estimator and num_draws are then ignored)",
        kinds=("images",),
    )
    ema_decay: float = option(
        0.999, "decay per step of the averaged generator, which samples; 0 for no average", low=0, high=0.99999999
    )
    max_steps: int = option(8000, "generator steps", low=1)
    max_seconds: float | None = option(
        None,
        "end the training, and the decay of its learning rate, after so many seconds, if not max_steps end it before "
        "(such a run does not repeat bit for bit)",
        low=0,
        exclusive=True,
    )
    seed: int = option(0, "seed of initialisation, batches, latents and draws", low=0, high=2**63 - 1)
    device: str = option("auto", "cpu, cuda, cuda:1, ... (auto: cuda where there is one)")
    dtype: Literal["float32", "bfloat16"] = option(
        "float32", "precision of the networks; weights and losses stay float32"
    )
    threads: int | None = option(None, "threads of the CPU (default: torch's own choice)", low=1, high=1024)
    log_interval: int = option(50, "write metrics.jsonl every so many steps", low=1, free=True)
    sample_interval: int = option(500, "write a sample grid every so many steps; 0 for never", low=0, free=True)
    checkpoint_interval: int = option(
        1000, "write a checkpoint every so many steps; 0 for only at the end", low=0, free=True
    )
    keep_last: int = option(2, "checkpoints to keep", low=1, free=True)

    def check(self) -> None:
        """Raise InputError for the first value that is out of range."""
        super().check()
        _check_training(self)


def _check_training(training: TrainingConfig) -> None:
    # These import torch, for which `--help` does not wait.
    from bgan_discrete.game.divergences import get_divergence
    from bgan_discrete.game.estimators import make_estimator
    from bgan_discrete.game.penalties import get_penalty

    shares_of_phases(training.phases)
    get_divergence(training.divergence)
    get_penalty(training.penalty)
    estimator = make_estimator(training.estimator)
    if training.credit == "alternatives":
        estimator.check_alternatives()
    elif training.continuous == "none":
        estimator.check_num_draws(training.num_draws)
    if training.continuous != "none" and "likelihood" in shares_of_phases(training.phases):
        raise InputError(
            f"phases with likelihood need probabilities, which a continuous generator has not; got {training.phases!r}"
        )
    if training.escort not in (None, 1) and training.credit != "alternatives":
        raise InputError(
            f"escort needs credit 'alternatives'; give that, or leave escort out; got {training.escort} and credit "
            f"{training.credit!r}"
        )
    if training.gradient_accumulation_steps > training.batch_size:
        raise InputError(
            f"gradient_accumulation_steps must be at most batch_size = {training.batch_size}, got "
            f"{training.gradient_accumulation_steps}"
        )
    if training.gradient_accumulation_steps > 1 and training.continuous != "none":
        raise InputError(
            f"gradient_accumulation_steps is for discrete generators; leave it out with continuous, got "
            f"{training.gradient_accumulation_steps}"
        )
    if training.discriminator_draws != "all" and training.discriminator_draws > training.num_draws:
        raise InputError(
            f"discriminator_draws must be at most num_draws = {training.num_draws}, got {training.discriminator_draws}"
        )


def shares_of_phases(phases: str) -> dict[str, float]:
    """Phases by their names, in their order, and the share of the budget of each; ``auto`` is the game alone.

    Raises:
        InputError: If a name is unknown, given twice or out of order, or the shares do not add up to 1.
    """
    parts = [part.strip() for part in ("game" if phases == "auto" else phases).split(",")]
    pairs = [(name.strip(), share.strip()) for name, _, share in (part.partition("=") for part in parts)]
    names = [name for name, _ in pairs]
    if names != [name for name in PHASES if name in names]:
        raise InputError(f"phases must be some of {', '.join(PHASES)}, in this order, got {phases!r:.100}")
    shares: dict[str, float | None] = {}
    for name, share in pairs:
        try:
            shares[name] = float(share) if share else None
        except ValueError:
            shares[name] = math.nan
    given = [share for share in shares.values() if share is not None]
    rest, open_ones = 1 - sum(given), len(shares) - len(given)
    fits = rest > 0 if open_ones else abs(rest) < ROUNDING
    if not fits or not all(0 < share <= 1 for share in given):
        raise InputError(
            f"phases must have shares of the budget above 0 that add up to 1, such as likelihood=0.7,game, got "
            f"{phases!r:.100}"
        )
    return {name: rest / open_ones if share is None else share for name, share in shares.items()}
