"""What a rule of health is, and what it reports."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

Severity = Literal["critical", "warning", "note"]
Line = Mapping[str, Any]
Options = Mapping[str, Any]

_OPTION = re.compile("`([a-z][a-z0-9_]*)((?: [^`]+)?)`")


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: what is ``seen``, with its numbers, and what to change.

    Options are named as in Python, between backticks, with a value if one is suggested. What is critical makes the
    result of no use.
    """

    key: str
    severity: Severity
    seen: str
    advice: str


class State(Protocol):
    """What rules look at: a window of a training, its whole course, or its outcome."""

    def has(self, *names: str) -> bool:
        """Whether all these figures or facts are known."""

    def word(self, name: str) -> object:
        """What stands for a name between braces in a rule's sentences: a figure, a fact, an option or a way out."""


S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class Rule(Generic[S]):
    """One row of the table of rules; it does not apply where a figure or fact that it ``needs`` is unknown.

    ``seen`` (without the full stop) and ``advice`` hold names between braces: ``words``, or else words of the state.
    """

    key: str
    severity: Severity
    needs: tuple[str, ...]
    is_ill: Callable[[S], bool]
    seen: str
    advice: str
    words: Mapping[str, Callable[[S], object]] = field(default_factory=dict)
    is_critical: Callable[[S], bool] = lambda state: False

    def applies(self, state: S) -> bool:
        """Whether a state is known well enough, and ill."""
        return state.has(*self.needs) and self.is_ill(state)

    def finding(self, state: S, steps: str = "") -> Finding:
        """What there is to report of an ill state; ``steps`` says when it was so."""
        severity: Severity = "critical" if self.is_critical(state) else self.severity
        words = _Words(lambda name: self.words[name](state) if name in self.words else state.word(name))
        return Finding(self.key, severity, f"{self.seen.format_map(words)}{steps}.", self.advice.format_map(words))


class _Words(dict[str, object]):
    """Words that are found as they are asked for."""

    def __init__(self, find: Callable[[str], object]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, name: str) -> object:
        return self._find(name)


def findings(rules: Iterable[Rule[S]], state: S) -> list[Finding]:
    """What the rules that apply to a state have to report, in their order."""
    return [rule.finding(state) for rule in rules if rule.applies(state)]


def by_severity(found: list[Finding]) -> list[Finding]:
    """The worst first, otherwise in their order."""
    order = ("critical", "warning", "note")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def split_options(sentence: str) -> list[tuple[str, str]]:
    """A finding's sentence as pairs of plain text and the flag after it (``--num-draws``); the last flag is empty."""
    parts = _OPTION.split(sentence)
    flags = [f"--{name.replace('_', '-')}{value}" for name, value in zip(parts[1::3], parts[2::3], strict=True)]
    return list(zip(parts[::3], [*flags, ""], strict=True))
