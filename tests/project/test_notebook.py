"""`examples/own_data.ipynb`: it holds its outputs, and its cells run."""

import json
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, run_program, shorten_evaluations

NOTEBOOK = ROOT / "examples" / "own_data.ipynb"
CODE = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_it_holds_its_outputs_and_is_small() -> None:
    kinds = {kind for cell in CODE for output in cell["outputs"] for kind in output.get("data", {"stream": None})}
    assert kinds == {"stream", "text/plain", "text/html", "image/png"}
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    assert NOTEBOOK.stat().st_size < 200_000


def test_its_cells_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shorten_evaluations(monkeypatch)
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in CODE:
        run_program("".join(cell["source"]), names)
    assert (tmp_path / "run" / "report.html").is_file()
