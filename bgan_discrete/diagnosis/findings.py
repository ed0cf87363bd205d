"""What every rule takes and gives: logged lines, options, and findings in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["critical", "warning", "note"]
Line = Mapping[str, Any]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        key: A stable name, such as ``"discriminator_saturated"``.
        severity: ``"critical"`` (the result is of no use), ``"warning"`` or ``"note"``.
        seen: One sentence with the numbers.
        advice: One sentence on what to change, with the flag's name.
    """

    key: str
    severity: Severity
    seen: str
    advice: str


def by_severity(findings: list[Finding]) -> list[Finding]:
    """The worst first, otherwise in their order."""
    order = ("critical", "warning", "note")
    return sorted(findings, key=lambda finding: order.index(finding.severity))
