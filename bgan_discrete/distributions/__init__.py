"""Distributions over discrete samples: what a generator returns."""

from bgan_discrete.distributions.autoregressive import AutoregressiveCategorical
from bgan_discrete.distributions.columns import ColumnCategorical
from bgan_discrete.distributions.factorized import FactorizedCategorical
from bgan_discrete.distributions.one_round import RoundCategorical
from bgan_discrete.distributions.protocol import (
    Distribution,
    check_advantages,
    check_end_id,
    check_logits,
)
from bgan_discrete.distributions.rounds import RoundsCategorical
from bgan_discrete.distributions.sequence import SequenceCategorical

__all__ = [
    "AutoregressiveCategorical",
    "ColumnCategorical",
    "Distribution",
    "FactorizedCategorical",
    "RoundCategorical",
    "RoundsCategorical",
    "SequenceCategorical",
    "check_advantages",
    "check_end_id",
    "check_logits",
]
