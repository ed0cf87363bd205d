"""What a target needs of the data: the weight of its rewards, rows in proportion to it, and rows for a judge.

    rewards of data -> lambda -> log weights of rows -> the data of a weighted target; what is kept back, thinned

A judge compares samples with data. Where samples are to be other than the data, by ``v e^(lambda r)``, it is given rows
that were kept with probabilities in this proportion: those follow the target.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgan_discrete.game.targets import Target, Terms
from bgan_discrete.game.weights import effective_sample_size
from bgan_discrete.training.inputs import TrainingData

ASKED_AT_ONCE = 1000

FITTED = 2000
"""Rows of the data by whose rewards a weight is chosen, evenly spaced, where the data are not weighed."""


def aim(target: Target, data: TrainingData, seed: int) -> tuple[Target, dict[str, float]]:
    """Settle a target by the data, and let the data follow it: a judge's rows, and where it weighs them all others.

    Args:
        target: Whose programs are asked of the rows that are kept back, and of `FITTED` or of all others.
        data: Of the training.
        seed: Of the choice of rows.

    Returns:
        The target with its weight chosen; and of the data: the share that is valid, the mean reward, lambda, and the
        effective share of data in the target's proportion, their ESS by their number.

    Raises:
        InputError: If a wish for the weight cannot be fulfilled.
    """
    dice = np.random.default_rng(seed)

    # 1. What the programs say of data, and so the weight.
    rows = data.learnt if not target.weighs_draws else data.some_rows(FITTED)
    terms = _ask(replace(target, reward_weight=1.0), data, rows)
    settled = target.settled(terms.reward)
    assert isinstance(settled.reward_weight, float | int)
    log_w = (terms.log_validity + settled.reward_weight * terms.reward).double()
    facts = {
        "valid": float(terms.is_valid.double().mean()),
        "reward": float(terms.reward.double().mean()),
        "reward_weight": float(settled.reward_weight),
        "effective_share": float(effective_sample_size(log_w[:, None])[0]) / len(rows),
    }

    # 2. Rows in proportion, for the players where the target weighs data, and for the judge.
    if not target.weighs_draws:
        data.weigh(log_w.softmax(0).numpy())
    data.follow(
        rows[_thinned(log_w, dice)],
        [half[_thinned(_ask(settled, data, half).log_weight, dice)] for half in data.validation or ()],
    )
    return settled, facts


def _ask(target: Target, data: TrainingData, rows: NDArray[np.int64]) -> Terms:
    """What the programs say of rows, on the CPU."""
    asked = [target.begin(data.rows(part)[0]) for part in torch.from_numpy(rows).split(ASKED_AT_ONCE)]
    said = [wait() for wait in asked]
    log_validity = torch.cat([terms.log_validity for terms in said]).cpu()
    return Terms(log_validity, torch.cat([terms.reward for terms in said]).cpu())


def _thinned(log_w: Tensor, dice: np.random.Generator) -> NDArray[np.bool_]:
    """Which rows are kept, each with a probability in proportion to its weight."""
    probability = (log_w - log_w.max()).exp().numpy()
    return np.asarray(dice.random(len(probability)) < probability)
