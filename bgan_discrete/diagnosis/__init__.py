"""What a run's figures say of its health, in words, and what to change; without torch.

The same rules judge a run while it trains (`HealthWatch`) and when it is reported (`check_training`). A rule looks at
the medians of a window of logged lines, never at a single one, and not at all at the beginning of the training.
"""

from bgan_discrete.diagnosis.findings import Finding, Severity, by_severity
from bgan_discrete.diagnosis.sample_rules import check_array_metrics, check_image_metrics, check_text_metrics
from bgan_discrete.diagnosis.watch import HealthWatch, check_ending, check_training, check_window

__all__ = [
    "Finding",
    "HealthWatch",
    "Severity",
    "by_severity",
    "check_array_metrics",
    "check_ending",
    "check_image_metrics",
    "check_text_metrics",
    "check_training",
    "check_window",
]
