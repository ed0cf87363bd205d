"""One figure of a model beside its floor and its baselines, and all the figures of one evaluation."""

import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bgan_discrete.errors import InputError, visible

Direction = Literal["lower", "higher", "half", "floor"]

WORDS = {"lower": "lower", "higher": "higher", "half": "0.5", "floor": "as the floor"}
"""What is better, in words."""

TABLE_WIDTH = 100


@dataclass(frozen=True)
class Figure:
    """One figure of a model, with what it is for real data and for other models.

    Attributes:
        title: Name for people; spaces before it make it a part of the figure above.
        value: Of the model's samples; NaN where there is none.
        direction: What is better: ``"lower"``, ``"higher"``, ``"half"`` (near 1/2) or ``"floor"`` (near the floor).
        floor: Of real data in the samples' place; None where there is none.
        baselines: Of trivial models, and of models that this one is compared with, by their names.
        count: Samples on each side of one comparison.
        whole: Whether it counts things, and is a whole number.
    """

    title: str
    value: float
    direction: Direction
    floor: float | None = None
    baselines: Mapping[str, float | None] = field(default_factory=dict)
    count: int = 0
    whole: bool = False

    @property
    def baseline(self) -> float | None:
        """That of the first baseline; None without one."""
        return next(iter(self.baselines.values()), None)

    @property
    def ratio(self) -> float | None:
        """The value in units of its floor, for distances; None where there is no positive floor."""
        if self.direction != "lower" or self.floor is None or self.floor <= 0 or math.isnan(self.value):
            return None
        return self.value / self.floor

    def cost(self, number: float | None) -> float:
        """How far a value, floor or baseline of this figure is from the best; NaN where that cannot be said."""
        if number is None or (self.direction == "floor" and self.floor is None):
            return math.nan
        costs = {"lower": number, "higher": -number, "half": abs(number - 0.5)}
        return costs[self.direction] if self.direction in costs else abs(number - (self.floor or 0.0))

    @property
    def position(self) -> float | None:
        """Where the value is between the floor, 0, and the first baseline, 1; None where that is no worse."""
        value, floor, baseline = (self.cost(number) for number in (self.value, self.floor, self.baseline))
        if not baseline > floor or math.isnan(value):
            return None
        return min(max((value - floor) / (baseline - floor), 0.0), 1.0)

    def shown(self, number: float | None) -> str:
        """The value, floor or a baseline of this figure as text."""
        if self.whole and number is not None and math.isfinite(number):
            return f"{number:,.0f}"
        return readable(number)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; None for what is not finite."""
        baselines = {name: _finite(number) for name, number in self.baselines.items()}
        numbers = {"value": _finite(self.value), "floor": _finite(self.floor), "baselines": baselines}
        return {"title": self.title, **numbers, "direction": self.direction, "count": self.count, "whole": self.whole}


@dataclass
class Evaluation:
    """The figures of a model, and how they were taken.

    Attributes:
        figures: By their keys.
        noun: What the samples are: images, texts or rows.
        method: In words, how many samples were compared with what, and what floor and baselines are.
        notes: Further findings for people, a sentence each.
        facts: What else is known, of plain JSON types; ``num_samples`` and ``num_training`` at least.
    """

    figures: dict[str, Figure]
    noun: str
    method: str
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """`format_table`."""
        return self.format_table()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, as ``report.json`` holds them."""
        figures = {key: figure.to_dict() for key, figure in self.figures.items()}
        return {"noun": self.noun, "figures": figures, "method": self.method, "notes": self.notes, **self.facts}

    def format_table(self) -> str:
        """The figures as a table for a terminal, with the method and the notes below it."""
        others = baselines_of(self.figures.values())
        rows = [["", "model", "floor", *others, "ratio", "better"]]
        for figure in self.figures.values():
            beside = [figure.shown(figure.baselines.get(name)) for name in others]
            ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
            numbers = [figure.shown(figure.value), figure.shown(figure.floor), *beside, ratio]
            rows.append([figure.title, *numbers, WORDS[figure.direction]])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for title, *cells, better in rows:
            aligned = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=False))
            lines.append(f"{title.ljust(widths[0])}  {aligned}  {better}")
        lines.insert(1, "-" * max(map(len, lines)))
        for text in (*self.notes, self.method):
            lines += textwrap.wrap(text, TABLE_WIDTH, subsequent_indent="  ")
        return "\n".join(visible(line.rstrip()) for line in lines)


def figures_of(document: Mapping[str, Any]) -> dict[str, Figure]:
    """The figures that a ``report.json`` holds in the form of `Evaluation.to_dict`; InputError for an old layout."""
    held = document.get("figures")
    entries = {key: entry for key, entry in held.items() if isinstance(entry, dict)} if isinstance(held, dict) else {}
    if "rows" in document or any("better" in entry for entry in entries.values()):
        raise InputError("report.json was written by an earlier version: evaluate the model again")
    return {key: _figure(key, entry) for key, entry in entries.items() if str(entry.get("direction")) in WORDS}


def _figure(key: str, entry: Mapping[str, Any]) -> Figure:
    value, baselines, count = _number(entry.get("value")), entry.get("baselines"), _number(entry.get("count"))
    return Figure(
        str(entry.get("title") or key),
        math.nan if value is None else value,
        entry["direction"],
        _number(entry.get("floor")),
        {str(k): _number(v) for k, v in baselines.items()} if isinstance(baselines, dict) else {},
        int(count or 0),
        entry.get("whole") is True,
    )


def check_counts(noun: str, least: int, num_samples: int, num_training: int, num_heldout: int) -> None:
    """Raise InputError where of samples, training or held-out data there are fewer than ``least``."""
    for name, count, cure in (
        ("samples", num_samples, "raise num_samples"),
        (f"training {noun}", num_training, f"give more {noun}"),
        (f"held-out {noun}", num_heldout, f"give more {noun} or raise holdout"),
    ):
        if count < least:
            raise InputError(
                f"the metrics need at least {least} {name}, got {count}: {cure}, or leave the metrics out with "
                "num_samples 0"
            )


def baselines_of(figures: Iterable[Figure]) -> list[str]:
    """The names of all baselines of some figures, each once."""
    return list(dict.fromkeys(name for figure in figures for name in figure.baselines))


def key_of(title: str) -> str:
    """The key of a figure with a title: its words, with underscores between them; ``copies`` whatever is copied."""
    words = "".join(letter if letter.isalnum() else " " for letter in title.replace("²", "2")).split()
    return "copies" if words[:1] == ["copies"] else "_".join(words).lower()


def readable(number: float | None) -> str:
    """A number in at most about six characters; ``-`` for none."""
    if number is None or not math.isfinite(number):
        return "-"
    size = abs(number)
    if size >= 1e6 or 0 < size < 5e-4:
        return f"{number:.1e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{number:,.0f}" if size >= 100 else f"{number:.3f}"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
