"""The tables of a report: options, metrics, and both side by side for several runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from bgan_discrete.config import ArrayTrainingConfig, ImageTrainingConfig, TextTrainingConfig
from bgan_discrete.metrics.figure import WORDS, Figure, baselines_of
from bgan_discrete.reporting.markup import Markup, element
from bgan_discrete.reporting.record import RunRecord

NOT_OPTIONS = ("output_dir", "resume", "overwrite")
"""What says where a run is rather than what it is."""


@dataclass(frozen=True)
class Option:
    """An option of a run.

    Attributes:
        name: Its name.
        value: As it was used.
        default: What it is if nobody says otherwise.
        help: What it is.
    """

    name: str
    value: Any
    default: Any
    help: str

    @property
    def flag(self) -> str:
        """As it stands on a command line."""
        return f"--{self.name.replace('_', '-')}"


def options_of(record: RunRecord) -> list[Option]:
    """All options of a run with their defaults, in the order of the configuration; unknown ones at the end."""
    known: dict[str, tuple[Any, str]] = {}
    kinds = {"images": ImageTrainingConfig, "text": TextTrainingConfig, "rows": ArrayTrainingConfig}
    for section in fields(kinds[record.kind]):
        for entry in fields(section.default_factory):  # type: ignore[arg-type]
            known[entry.name] = (entry.default, entry.metadata["help"])
    names = [*(name for name in known if name in record.options), *(n for n in record.options if n not in known)]
    return [Option(name, record.options[name], *known.get(name, (None, ""))) for name in names]


def changed_options(record: RunRecord) -> list[Option]:
    """The options that differ from their defaults."""
    return [o for o in options_of(record) if o.value != o.default and o.name not in NOT_OPTIONS]


def options_table(options: Sequence[Option], label: str) -> Markup:
    """Options, their values and their defaults."""
    rows = [
        [
            element("th", element("code", option.flag), scope="row"),
            element("td", element("code", _value(option.value))),
            element("td", element("code", _value(option.default))),
            element("td", option.help),
        ]
        for option in options
    ]
    return _table(["option", "value", "default", "what it is"], rows, label, "options")


def differing_options(records: Sequence[RunRecord]) -> list[tuple[Option, list[Any]]]:
    """Options in which runs differ, with the value of each run."""
    of_each = [{option.name: option for option in options_of(record)} for record in records]
    found = []
    for name in dict.fromkeys(name for options in of_each for name in options):
        values = [options[name].value if name in options else None for options in of_each]
        if name not in NOT_OPTIONS and any(value != values[0] for value in values):
            found.append((next(options[name] for options in of_each if name in options), values))
    return found


def differences_table(found: Sequence[tuple[Option, list[Any]]], names: Sequence[str]) -> Markup:
    """What runs differ in, a run a column."""
    rows = [
        [
            element("th", element("code", option.flag), scope="row"),
            *(element("td", element("code", _value(v))) for v in values),
        ]
        for option, values in found
    ]
    return _table(["option", *names], rows, "options that differ", "options")


def metrics_table(figures: Mapping[str, Figure]) -> Markup:
    """The metrics of one run with floors and baselines."""
    others = baselines_of(figures.values())
    rows = [
        [
            _title(figure),
            _cell(figure, figure.value, strong=True),
            _cell(figure, figure.floor),
            *(_cell(figure, figure.baselines.get(name)) for name in others),
            element("td", "-" if figure.ratio is None else f"{figure.ratio:.2f}", class_="number"),
            element("td", WORDS[figure.direction]),
        ]
        for figure in figures.values()
    ]
    heads = ["figure", "model", "floor", *others, "model / floor", "better"]
    return _table(heads, rows, "metrics", "metrics", numbers=range(1, 4 + len(others)))


def metrics_side_by_side(records: Sequence[RunRecord], names: Sequence[str]) -> Markup | None:
    """The metrics of several runs, the best of each figure marked; None if no run has any."""
    rows = []
    for key in dict.fromkeys(key for record in records for key in record.figures):
        found = [record.figures.get(key) for record in records]
        some = next(figure for figure in found if figure is not None)
        best = best_of(found)
        cells = [
            _cell(some, None if figure is None else figure.value, best=place in best)
            for place, figure in enumerate(found)
        ]
        floors = {some.shown(figure.floor) for figure in found if figure is not None}
        floor = element("td", floors.pop() if len(floors) == 1 else "differs", class_="number")
        rows.append([_title(some), *cells, floor, element("td", WORDS[some.direction])])
    if not rows:
        return None
    heads = ["figure", *names, "floor", "better"]
    return _table(heads, rows, "metrics of all runs", "metrics", numbers=range(1, 2 + len(names)))


def best_of(figures: Sequence[Figure | None]) -> set[int]:
    """Places of the best values of one figure; none where runs do not differ or nothing says which way is better."""
    costs = {place: figure.cost for place, figure in enumerate(figures) if figure is not None}
    known = {place: cost for place, cost in costs.items() if not math.isnan(cost)}
    if len(set(known.values())) < 2:
        return set()
    return {place for place, cost in known.items() if cost == min(known.values())}


def classes_table(report: Mapping[str, Any]) -> Markup | None:
    """Shares of the classes among the samples and in the data; None without labels."""
    made, shares = report.get("class_histogram"), report.get("class_shares")
    if not isinstance(made, dict) or not isinstance(shares, dict):
        return None
    rows = [
        [element("th", name, scope="row"), _percent(made.get(name)), _percent(share)]
        for name, share in list(shares.items())[:100]
    ]
    return _table(["class", "samples", "training data"], rows, "classes", "classes", numbers=range(1, 3))


def samples_table(pairs: Sequence[Mapping[str, Any]], what: str) -> Markup:
    """Texts or rows, as ``what`` says, beside those of the training data that are nearest."""
    rows = [
        [
            element("td", _line(pair.get("text"))),
            element("td", _line(pair.get("neighbour"))),
            element("td", f"{pair.get('distance')} of {pair.get('length')}", class_="number"),
        ]
        for pair in pairs
    ]
    heads = ["sample", f"nearest training {what}", "distance"]
    return _table(heads, rows, f"samples beside training {what}s", "samples", numbers=range(2, 3))


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[Markup]], label: str, kind: str, numbers: range = range(0)
) -> Markup:
    """A table in a box of its own, which scrolls where the page is narrow."""
    head = element(
        "tr",
        *(
            element("th", text, scope="col", class_="number" if place in numbers else None)
            for place, text in enumerate(heads)
        ),
    )
    body = [element("tr", *row) for row in rows]
    table = element("table", element("thead", head), element("tbody", *body))
    return element("div", table, class_=f"box {kind}", role="region", aria_label=label, tabindex="0")


def _title(figure: Figure) -> Markup:
    is_part = figure.title.startswith(" ")
    return element("th", figure.title.strip(), scope="row", class_="part" if is_part else None)


def _cell(figure: Figure, value: float | None, strong: bool = False, best: bool = False) -> Markup:
    shown: object = element("strong", figure.shown(value)) if strong else figure.shown(value)
    mark = element("span", " (best)", class_="quiet") if best else None
    return element("td", shown, mark, class_="number best" if best else "number")


def _percent(value: Any) -> Markup:
    return element("td", f"{value:.1%}" if isinstance(value, (int, float)) else "-", class_="number")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def _line(text: Any, most: int = 200) -> str:
    line = str(text).replace("\n", "\\n").replace("\r", "\\r")
    return line if len(line) <= most else f"{line[:most]} ..."
