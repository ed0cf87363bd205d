"""The parts of a page that only tables have."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bgan_discrete.diagnosis.outcome_rules import DEPENDENCIES, MEMBERSHIP
from bgan_discrete.errors import InputError
from bgan_discrete.metrics import tables
from bgan_discrete.metrics.figure import Figure, key_of
from bgan_discrete.reporting.page import evaluation_page, report_page, write_evaluation_page
from bgan_discrete.reporting.record import RunRecord
from bgan_discrete.reporting.table_parts import sections_of_table

HOSTILE = "<script>alert(1)</script>"
SIDES = {"samples": 0.81, "real": 0.84, "independent": 0.5, "Chow-Liu tree": 0.7}


def document(columns: int = 14) -> dict[str, Any]:
    bars = [[f"[{n}, {n + 1})", 0.25, 0.5 if n == 0 else 0.1] for n in range(4)]
    table = {
        "columns": [
            {"name": f"column {n}", "is_number": n % 2 == 0, "variation": 0.25, "floor": 0.01, "bars": bars}
            for n in range(columns)
        ],
        "pairs": [
            {
                "names": [HOSTILE, "age"],
                "variation": 0.3,
                "floor": 0.02,
                "rows": ["yes", "no"],
                "columns": ["a name that is far too long for it", "b", "c"],
                "difference": [[0.1, -0.2, 0.0], [0.05, 0.05, 0.0]],
                "real": [[0.1, 0.3, 0.1], [0.1, 0.3, 0.1]],
            }
        ],
        "dependencies": [
            {"cause": "town", "effect": HOSTILE, "samples": 0.125, "heldout": 0, "training": 0.001,
             "baselines": {"independent": 0.8}}
        ],
        "predictions": [
            {"target": "income", "classes": ["low", "high"], "most_frequent": 0.76, "num_rows": 5000,
             "models": [{"name": "boosted trees", "auc": SIDES, "accuracy": SIDES}]}
        ],
        "privacy": {
            "is_unseen": True, "quantiles": [0.05], "of_samples": [0.01], "of_heldout": [0.02], "num_rare": 3,
            "num_queries": 1000, "num_references": 5000, "words": ["No guarantee."], "membership_auc": 0.51,
            "membership_noise": 0.01,
        },
    }  # fmt: skip
    figure = Figure("column shapes", 0.9, "higher", 0.99, {"independent": 0.98}, 100)
    return {
        "noun": "rows", "figures": {"shapes": figure.to_dict()}, "method": "A method.", "notes": ["A note."],
        "table": table, "real": f"{HOSTILE}.csv", "synthetic": "b.csv", "held_out": None,
    }  # fmt: skip


class Reader(HTMLParser):
    """Tags that are opened, and that each is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert "style" not in dict(attrs), "the page's policy refuses styles of single elements"
        if tag not in ("meta", "img", "rect", "line", "circle", "source", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line", "circle"):
            assert self.open.pop() == tag


def test_all_parts_are_drawn_and_names_are_escaped() -> None:
    page = evaluation_page(document())
    seen = Reader(page).seen
    assert seen.count("script") == 1 and "&lt;script&gt;" in page
    for text in (
        "<h2>Columns, the worst first</h2>", "<summary>2 more columns</summary>", "total variation 0.250",
        "<td class=\"number\" data-label=\"broken by samples\"><strong>12.50%</strong>", "no guarantee".capitalize(),
        "0.510 ± 0.010", "half of the real rows", "boosted trees", "5,000 rows to learn from",
        "more frequent in the samples", "30.00% of the real rows, 10.00% of the samples", "a name that is f…",
    ):  # fmt: skip
        assert text in page, text
    assert len(re.findall('<rect class="(?:more|less)" x', page)) == 6
    assert 'class="less" x="124" y="72" width="20" height="20" fill-opacity="1.000"' in page


def test_a_run_of_a_table_has_them_too() -> None:
    record = RunRecord(Path("run"), "arrays", {}, [], document(), {}, (), {})
    page = report_page(record)
    Reader(page)
    order = ["Metrics", "Columns, the worst first", "Privacy", "Curves"]
    places = [page.index(f"<h2>{heading}</h2>") for heading in order]
    assert places == sorted(places)


def test_what_a_report_lacks_is_left_out_or_said() -> None:
    assert sections_of_table({}) == sections_of_table({"table": 3}) == []
    report = document()
    report["table"] |= {"pairs": [], "predictions": [], "dependencies": []}
    page = evaluation_page(report)
    assert "Pairs of columns" not in page and "Models that learn" not in page
    assert "No column decides another one" in page
    report["table"] = {"columns": 3}
    Reader(evaluation_page(report))


def test_the_file_of_the_page(tmp_path: Path) -> None:
    path = write_evaluation_page(document(), tmp_path / "a.html")
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(InputError, match=r"ends in \.html"):
        write_evaluation_page(document(), tmp_path / "a.pdf")


def test_rules_name_the_figures_that_there_are() -> None:
    assert (key_of(tables.MEMBERSHIP), key_of(tables.BROKEN)) == (MEMBERSHIP, DEPENDENCIES)
