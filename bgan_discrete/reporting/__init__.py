"""Reports of runs as HTML files that need nothing else: `write_report_page`, `write_comparison_page`.

`neighbours`, which finds the training data nearest to samples, imports torch and is imported from its own module.
"""

from bgan_discrete.reporting.page import findings_of, write_comparison_page, write_report_page
from bgan_discrete.reporting.record import RunRecord, load_record
from bgan_discrete.reporting.recording import add_facts, recorded

__all__ = [
    "RunRecord",
    "add_facts",
    "findings_of",
    "load_record",
    "recorded",
    "write_comparison_page",
    "write_report_page",
]
