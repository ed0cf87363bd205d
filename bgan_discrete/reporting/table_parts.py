"""The parts of a page that only tables have: columns, pairs of columns, dependencies, predictions and privacy.

They are drawn from what `bgan_discrete.metrics.tables` leaves in a report, as SVG in the colours of the page.
"""

from collections.abc import Callable, Mapping
from typing import Any

SHOWN_COLUMNS = 12
"""Columns that are seen at once; the others unfold."""

HEIGHT, WIDTH = 90, 240
"""Of the picture of a column of numbers, in its own units."""

CELL, LEFT, TOP = 20, 104, 72
"""Of the picture of a pair: the side of a cell, and the room for names."""

LETTERS = 17
MISSING = "(missing)"

LEAST_SHADE = 0.002
"""Difference of a cell, as a share of all rows, that the darkest colour stands for at least."""

Part = tuple[str, str, str, Callable[[], Mapping[str, Any]]]


def sections_of_table(report: Mapping[str, Any]) -> list[Part]:
    """The sections of a report on a table: id, heading, template and what fills it; none of other data."""
    table = report.get("table")
    if not isinstance(table, Mapping):
        return []
    parts: list[Part] = [("columns", "Columns, the worst first", "table_columns.html", lambda: _columns(table))]
    if table.get("pairs"):
        parts.append(("pairs", "Pairs of columns, the worst first", "table_pairs.html", lambda: _pairs(table)))
    parts.append(("dependencies", "Dependencies between columns", "table_dependencies.html", lambda: _rules(table)))
    if table.get("predictions"):
        heading = "Models that learn from samples"
        parts.append(("predictions", heading, "table_predictions.html", lambda: _predictions(table)))
    parts.append(("privacy", "Privacy", "table_privacy.html", lambda: _privacy(table)))
    return parts


def _columns(table: Mapping[str, Any]) -> dict[str, Any]:
    """Bars of the real shares and of the samples': side by side along a scale, or below each other with names."""
    drawn = []
    for column in table["columns"]:
        bars = [(str(name), float(real), float(own)) for name, real, own in column["bars"]]
        largest = max([max(real, own) for _, real, own in bars] + [1e-9])
        step = WIDTH / max(len(bars), 1)
        scaled = [
            {
                "name": name,
                "real": real,
                "own": own,
                "x": place * step,
                "real_size": real / largest,
                "own_size": own / largest,
            }
            for place, (name, real, own) in enumerate(bars)
        ]
        drawn.append(
            {
                "name": str(column["name"]),
                "is_scale": bool(column["is_number"]),
                "variation": float(column["variation"]),
                "floor": float(column["floor"]),
                "bars": scaled,
                "step": step,
                "low": _end(bars, 0),
                "high": _end(bars, -1),
            }
        )
    return {"columns": drawn, "first": SHOWN_COLUMNS, "height": HEIGHT, "width": WIDTH}


def _end(bars: list[tuple[str, float, float]], place: int) -> str:
    """Where a scale begins or ends, by the names of its bars; that of missing values is none of it."""
    names = [name for name, _, _ in bars if name != MISSING]
    return names[place].split(" … ")[place] if names else ""


def _pairs(table: Mapping[str, Any]) -> dict[str, Any]:
    """Cells in two colours: more frequent in the samples, or less."""
    drawn = []
    for pair in table["pairs"]:
        difference, real = pair["difference"], pair["real"]
        largest = max([abs(float(cell)) for row in difference for cell in row] + [LEAST_SHADE])
        cells = [
            {
                "x": LEFT + CELL * across,
                "y": TOP + CELL * down,
                "kind": "more" if cell > 0 else "less",
                "shade": abs(float(cell)) / largest,
                "title": f"{pair['rows'][down]}, {pair['columns'][across]}: {100 * float(real[down][across]):.2f}% of "
                f"the real rows, {100 * (float(real[down][across]) + float(cell)):.2f}% of the samples",
            }
            for down, row in enumerate(difference)
            for across, cell in enumerate(row)
        ]
        drawn.append(
            {
                "names": [str(name) for name in pair["names"]],
                "variation": float(pair["variation"]),
                "floor": float(pair["floor"]),
                "cells": cells,
                "rows": [(TOP + CELL * (n + 0.65), _short(name)) for n, name in enumerate(pair["rows"])],
                "columns": [(LEFT + CELL * (n + 0.6), _short(name)) for n, name in enumerate(pair["columns"])],
                "width": LEFT + CELL * len(pair["columns"]) + 40,
                "height": TOP + CELL * len(pair["rows"]) + 4,
                "largest": largest,
            }
        )
    return {"pairs": drawn, "cell_size": CELL, "left": LEFT, "top": TOP}


def _rules(table: Mapping[str, Any]) -> dict[str, Any]:
    dependencies = table["dependencies"]
    names = list(dict.fromkeys(name for entry in dependencies for name in entry["baselines"]))
    return {"dependencies": dependencies, "baselines": names}


def _predictions(table: Mapping[str, Any]) -> dict[str, Any]:
    sides = list(dict.fromkeys(side for e in table["predictions"] for model in e["models"] for side in model["auc"]))
    return {"targets": table["predictions"], "sides": [side for side in sides if side not in ("samples", "real")]}


def _privacy(table: Mapping[str, Any]) -> dict[str, Any]:
    known = table["privacy"]
    rows = zip(known["quantiles"], known["of_samples"], known["of_heldout"], strict=True)
    return {"known": known, "rows": list(rows)}


def _short(name: Any) -> str:
    text = str(name)
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"
