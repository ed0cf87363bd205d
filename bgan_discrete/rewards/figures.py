"""What a discriminator's rewards look like: the figures of one call, and the warning that length is what it rewards.

Letters: B completions.
"""

import statistics
from collections.abc import Mapping, Sequence

from torch import Tensor

from bgan_discrete.diagnosis.findings import Finding
from bgan_discrete.game.weights import effective_sample_size, log_ratio_diagnostics

LEAST_SPREAD = 1e-6
"""Rewards of a group that differ by less are all the same to a group-relative trainer."""

WINDOW = 20
"""Calls whose medians show length hacking."""

HIGH_CORRELATION, LENGTH_DRIFT = 0.5, 0.1
"""Of F with length within the groups; of the mean length from the teacher's, as a share of it."""


def call_figures(
    log_ratio_real: Tensor, log_ratio_fake: Tensor, rewards: Tensor, lengths: Tensor, groups: Sequence[Tensor]
) -> dict[str, float]:
    """The figures of completions before the discriminator learns from them.

    Args:
        log_ratio_real: F of the teacher's answers, of any number.
        log_ratio_fake: F ``[B]``.
        rewards: ``[B]``.
        lengths: Tokens ``[B]``.
        groups: The rows of the completions of each prompt.

    Returns:
        Mean F and D on both sides; ``ess_fraction``, the mean over the groups of ESS/M with weights exp F;
        ``no_spread``, the share of groups whose rewards are all the same; ``length_correlation``, that of F with length
        within the groups.
    """
    figures = log_ratio_diagnostics(log_ratio_real, log_ratio_fake)
    found = {name: float(value) for name, value in figures.items()}
    ess = [float(effective_sample_size(log_ratio_fake[rows][:, None])) / len(rows) for rows in groups]
    spreads = [float(rewards[rows].max() - rewards[rows].min()) for rows in groups]
    found["ess_fraction"] = statistics.fmean(ess)
    found["no_spread"] = statistics.fmean(spread < LEAST_SPREAD for spread in spreads)
    found["length_correlation"] = length_correlation(log_ratio_fake, lengths, groups)
    return found


def length_correlation(log_ratio: Tensor, lengths: Tensor, groups: Sequence[Tensor]) -> float:
    """Pearson's correlation of F with length, both less the mean of their group; 0 where one of them does not vary."""
    log_ratio, lengths = log_ratio.double().clone(), lengths.double().clone()
    for rows in groups:
        log_ratio[rows] -= log_ratio[rows].mean()
        lengths[rows] -= lengths[rows].mean()
    scale = log_ratio.norm() * lengths.norm()
    return float(log_ratio @ lengths / scale) if scale > 0 else 0.0


def length_findings(history: Sequence[Mapping[str, float]]) -> list[Finding]:
    """Whether lately F rewards a length that is already beyond the teacher's: longer where longer, or shorter.

    Args:
        history: Figures of calls with ``length_correlation``, ``length_real`` and ``length_fake``; the last `WINDOW`
            of them count, and fewer show nothing.

    Returns:
        One finding, or none.
    """
    if len(history) < WINDOW:
        return []
    correlation, real, fake = (
        statistics.median(figures[name] for figures in history[-WINDOW:])
        for name in ("length_correlation", "length_real", "length_fake")
    )
    drift = fake / real - 1 if real > 0 else 0.0
    if abs(correlation) < HIGH_CORRELATION or abs(drift) < LENGTH_DRIFT or correlation * drift <= 0:
        return []
    word = "longer" if drift > 0 else "shorter"
    seen = (
        f"Length hacking: F grows as completions get {word} (correlation {correlation:+.2f} within the groups), "
        f"although they are {abs(drift):.0%} {word} than the teacher's answers ({fake:.1f} tokens against {real:.1f})."
    )
    advice = (
        "Let the discriminator learn faster than the policy: a longer `warmup`, a smaller `batch_size`, or a higher "
        "`lr`; or give the policy a lower learning rate."
    )
    return [Finding("length_hacking", "warning", seen, advice)]
