"""The tables of a report: options, metrics, and both side by side for several runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from bgan_discrete.config import ArrayTrainingConfig, ImageTrainingConfig, TextTrainingConfig
from bgan_discrete.reporting.charts import readable
from bgan_discrete.reporting.markup import Markup, element
from bgan_discrete.reporting.record import RunRecord

WORDS = {
    "lower": "lower is better",
    "higher": "higher is better",
    "half": "0.5 is best",
    "floor": "as the floor is best",
}

TEXT_DIRECTIONS: tuple[tuple[str, str], ...] = (
    ("JSD", "lower"),
    ("BLEU", "higher"),
    ("Self-BLEU", "floor"),
    ("distinct valid", "higher"),
    ("distinct", "floor"),
    ("unique rate", "floor"),
    ("copies of training", "floor"),
    ("forward perplexity", "floor"),
    ("reverse perplexity", "lower"),
    ("mean length", "floor"),
    ("length spread", "floor"),
    ("valid", "higher"),
    ("coverage", "higher"),
    ("KL of valid", "lower"),
)
"""Beginnings of the names of text figures, and which way is better; the first that fits counts."""

COUNTS = ("classes_reached",)
"""Figures that are whole numbers."""

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


@dataclass(frozen=True)
class Metric:
    """A figure of a run.

    Attributes:
        name: Its key.
        title: For people.
        value: Of the model.
        floor: Of real data in the samples' place, or None.
        others: Further columns by their names, such as the baseline.
        better: Which way is better, a key of `WORDS`.
    """

    name: str
    title: str
    value: float | None
    floor: float | None
    others: Mapping[str, float | None]
    better: str


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


def metrics_of(record: RunRecord) -> list[Metric]:
    """The final metrics of a run; none if it has none."""
    if record.kind != "text":
        return [
            Metric(
                name,
                figure.get("title") or name,
                _number(figure.get("value")),
                _number(figure.get("floor")),
                {"baseline": _number(figure.get("baseline")), "model / floor": _number(figure.get("ratio"))},
                figure.get("better", ""),
            )
            for name, figure in _mappings(record.report.get("figures"))
        ]
    rows = dict(_mappings(record.report.get("rows")))
    model, floor = rows.pop("model", {}), rows.pop("floor", {})
    return [
        Metric(
            name,
            name,
            _number(model[name]),
            _number(floor.get(name)),
            {row: _number(values.get(name)) for row, values in rows.items()},
            text_direction(name),
        )
        for name in model
    ]


def text_direction(name: str) -> str:
    """Which way a text figure is better, a key of `WORDS`, or ``""``."""
    return next((better for start, better in TEXT_DIRECTIONS if name.startswith(start)), "")


def metrics_table(metrics: Sequence[Metric]) -> Markup:
    """The metrics of one run with floors and baselines."""
    others = list(dict.fromkeys(name for metric in metrics for name in metric.others))
    rows = [
        [
            _title(metric),
            _cell(metric, metric.value, strong=True),
            _cell(metric, metric.floor),
            *(_cell(metric, metric.others.get(name)) for name in others),
            element("td", WORDS.get(metric.better, "")),
        ]
        for metric in metrics
    ]
    heads = ["figure", "model", "floor", *others, "which way"]
    return _table(heads, rows, "metrics", "metrics", numbers=range(1, 3 + len(others)))


def metrics_side_by_side(records: Sequence[RunRecord], names: Sequence[str]) -> Markup | None:
    """The metrics of several runs, the best of each figure marked; None if no run has any."""
    of_each = [{metric.name: metric for metric in metrics_of(record)} for record in records]
    rows = []
    for name in dict.fromkeys(name for metrics in of_each for name in metrics):
        found = [metrics.get(name) for metrics in of_each]
        some = next(metric for metric in found if metric is not None)
        best = best_of(found)
        cells = [
            _cell(some, None if metric is None else metric.value, best=place in best)
            for place, metric in enumerate(found)
        ]
        floors = {_shown(some, metric.floor) for metric in found if metric is not None}
        floor = element("td", floors.pop() if len(floors) == 1 else "differs", class_="number")
        rows.append([_title(some), *cells, floor, element("td", WORDS.get(some.better, ""))])
    if not rows:
        return None
    heads = ["figure", *names, "floor", "which way"]
    return _table(heads, rows, "metrics of all runs", "metrics", numbers=range(1, 2 + len(names)))


def best_of(metrics: Sequence[Metric | None]) -> set[int]:
    """Places of the best values of one figure; none where runs do not differ or nothing says which way is better."""
    costs: dict[str, Callable[[Metric], float]] = {
        "lower": lambda m: m.value or 0.0,
        "higher": lambda m: -(m.value or 0.0),
        "half": lambda m: abs((m.value or 0.0) - 0.5),
        "floor": lambda m: abs((m.value or 0.0) - (m.floor or 0.0)),
    }
    judged = {
        place: costs[metric.better](metric)
        for place, metric in enumerate(metrics)
        if metric is not None and metric.value is not None and metric.better in costs
        and not (metric.better == "floor" and metric.floor is None)
    }  # fmt: skip
    if len(set(judged.values())) < 2:
        return set()
    return {place for place, cost in judged.items() if cost == min(judged.values())}


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


def _title(metric: Metric) -> Markup:
    is_part = metric.title.startswith(" ")
    return element("th", metric.title.strip(), scope="row", class_="part" if is_part else None)


def _cell(metric: Metric, value: float | None, strong: bool = False, best: bool = False) -> Markup:
    shown: object = element("strong", _shown(metric, value)) if strong else _shown(metric, value)
    mark = element("span", " (best)", class_="quiet") if best else None
    return element("td", shown, mark, class_="number best" if best else "number")


def _percent(value: Any) -> Markup:
    return element("td", f"{value:.1%}" if isinstance(value, (int, float)) else "-", class_="number")


def _shown(metric: Metric, value: float | None) -> str:
    """A number of a metric's row."""
    if value is None:
        return "-"
    if metric.name in COUNTS:
        return f"{value:,.0f}"
    return f"{value:.3f}" if 5e-4 <= abs(value) < 100 or value == 0 else readable(value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def _line(text: Any, most: int = 200) -> str:
    line = str(text).replace("\n", "\\n").replace("\r", "\\r")
    return line if len(line) <= most else f"{line[:most]} ..."


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _mappings(value: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(k, v) for k, v in value.items() if isinstance(v, dict)] if isinstance(value, dict) else []
