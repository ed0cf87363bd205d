"""What a run's figures say of its health, in words, and what to change; without torch.

All rules are rows of one kind (`findings.Rule`): what they need, when something is wrong, what is seen, what to change.
The same rules check a run while it trains (`HealthWatch`) and when it is reported (`check_training`, `check_outcome`).
A rule of the training looks at the medians of a window of logged lines, never at a single one, and not at all at the
beginning of the training.
"""

from bgan_discrete.diagnosis.findings import Finding, Severity, by_severity, split_options
from bgan_discrete.diagnosis.judge_rules import check_judged
from bgan_discrete.diagnosis.outcome_rules import Outcome, check_outcome
from bgan_discrete.diagnosis.watch import HealthWatch, check_training, check_window

__all__ = [
    "Finding",
    "HealthWatch",
    "Outcome",
    "Severity",
    "by_severity",
    "check_judged",
    "check_outcome",
    "check_training",
    "check_window",
    "split_options",
]
