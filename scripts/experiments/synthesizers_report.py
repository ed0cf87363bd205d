"""The report of the benchmark of synthesizers, made of its records alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from experiments.laboratory import Table
from experiments.rounds_report import mean_of

Record = Mapping[str, Any]

COLUMNS = {
    "trees": "AUC of trees",
    "score": "2(1 - AUC)",
    "perceptron": "AUC of perceptron",
    "shapes": "shapes",
    "trends": "trends",
    "predictions": "learnt from samples",
    "broken": "broken",
    "copies": "copies",
    "attack": "attack",
}
"""Figures of records -> titles."""

INTRODUCTION = """# Synthesizers of tables

Synthetic rows, as many as there are training rows, against held-out ones. `fit` and `draw` are CPU seconds of one
thread. Two judges tell synthetic from held-out rows, 0.5 being the best: boosted trees, which read numbers as they are
written, and a perceptron on one-hots of codes in twenty bins. `learnt from samples` is the AUC, on held-out rows, of
three models that learn to predict three columns from synthetic rows; `broken` the share of rows that break a dependency
of one column on another; `copies` that of rows that equal a training row; `attack` the AUC of an attack on membership.
The floor has real rows in the place of synthetic ones; the next rows are the baselines of the comparison, which are
made of twenty bins of each number, while the methods `independent` and `chow_liu` draw from the bins of `default`.
"""


def render(records: Sequence[Record]) -> str:
    """The report in Markdown."""
    lines = [INTRODUCTION]
    for name in dict.fromkeys(record["cell"].split("/")[0] for record in records):
        of_data = [record for record in records if record["cell"].split("/")[0] == name]
        lines += _of_data(name, of_data)
    return "\n".join([*lines, *_of_games(records), *_of_conditions(records), *_of_agreement(records)])


def _of_data(name: str, records: Sequence[Record]) -> list[str]:
    """A row for each method and budget."""
    rows: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if "fit" in record:
            rows.setdefault((record["cell"].split("/")[1], record["budget"]), []).append(record)
    lines = [f"- {record['cell']}, {record['budget']}: {record['failed']}" for record in records if "failed" in record]
    if not rows and not lines:
        return []
    cells = []
    for (method, budget), found in rows.items():
        times = [f"{np.mean([record[what] for record in found]):.1f}" for what in ("fit", "sample")]
        cells.append([method, budget, *times, *_figures([record["figures"] for record in found])])
    if rows:
        references = next(reversed(rows.values()))[-1]["references"]
        cells = [[label, "", "", "", *_figures([figures])] for label, figures in references.items()] + cells
    table = Table(name, ["method", "budget", "fit", "draw", *COLUMNS.values()], cells)
    return [f"## {name}", "", table.markdown(), "", *lines, *_gaps(rows), ""]


def _figures(found: Sequence[Mapping[str, float]]) -> list[str]:
    """A cell for each of `COLUMNS`, the mean over records, empty where none has it."""
    cells = []
    for key in COLUMNS:
        if key == "score":
            values = [2 * (1 - max(figures["trees"], 0.5)) for figures in found if "trees" in figures]
        else:
            values = [figures[key] for figures in found if key in figures]
        cells.append(mean_of(values) if values else "")
    return cells


def _gaps(rows: Mapping[tuple[str, str], Sequence[Record]]) -> list[str]:
    """How far models that learn from synthetic rows stay behind those that learn from real ones, by target."""
    lines = []
    for (method, budget), found in rows.items():
        targets = [key for key in found[0]["figures"] if key.startswith("for ")]
        gaps = []
        for key in targets:
            behind = [record["references"]["floor"][key] - record["figures"][key] for record in found]
            gaps.append(f"{key.removeprefix('for ')} {np.mean(behind):+.3f}")
        if gaps:
            lines.append(f"- {method}, {budget}, real rows' AUC less synthetic rows': {', '.join(gaps)}")
    return lines


def _of_games(records: Sequence[Record]) -> list[str]:
    """The game against likelihood, at equal time."""
    by_cell = {(record["cell"], record["budget"]): record for record in records}
    rows = []
    for (name, budget), record in by_cell.items():
        data, method, seed = name.split("/")
        likelihood = by_cell.get((f"{data}/default/{seed}", budget))
        if method != "game" or likelihood is None or "fit" not in record:
            continue
        verdicts = record["progress"]["verdicts"]
        judged = [
            f"{verdicts[which][0]:.3f} ± {verdicts[which][1]:.3f}" if which in verdicts else "-"
            for which in ("start", "best")
        ]
        values = [
            f"{side['figures'][key]:.3f}"
            for key in ("trees", "perceptron", "predictions")
            for side in (likelihood, record)
        ]
        rows.append(
            [f"{data}/{seed}", budget, record["progress"]["rows of"], record["progress"]["choice"], *judged, *values]
        )
    titles = ["run", "budget", "rows of", "kept", "its judge: start", "game"]
    for title in ("trees", "perceptron", "learnt"):
        titles += [f"{title}: likelihood", "game"]
    return ["## The game", "", Table("", titles, rows).markdown(), ""] if rows else []


def _of_conditions(records: Sequence[Record]) -> list[str]:
    """Each condition, against held-out rows that have it."""
    rows = []
    for record in records:
        for found in record.get("conditions", ()):
            values = [f"{found['auc']:.3f}", f"{found['floor']:.3f}", f"{found['auc'] - found['floor']:+.3f}"]
            counts = [str(found["rows"]), str(found["obeying"])]
            rows.append([record["cell"].split("/")[0], record["budget"], found["condition"], *counts, *values])
    titles = ["data", "budget", "condition", "rows", "that obey", "AUC of trees", "floor", "above it"]
    return ["## Conditions", "", Table("", titles, rows).markdown(), ""] if rows else []


def _of_agreement(records: Sequence[Record]) -> list[str]:
    """Two figures by sdmetrics, and by this project's code."""
    lines = []
    for record in records:
        if record["cell"].split("/")[1] == "agreement":
            shown = ", ".join(f"{name} {value:.4f}" for name, value in record["figures"].items())
            lines.append(f"- {record['cell'].split('/')[0]}, {record['budget']}: {shown}")
    return ["## Agreement with sdmetrics", "", *lines, ""] if lines else []
