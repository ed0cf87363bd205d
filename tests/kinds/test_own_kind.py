"""A kind of one's own in one file: the example trains, generates and evaluates by the program."""

import subprocess
import sys
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "graphs.py"


def run(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_graphs_go_the_same_way_as_images(tmp_path: Path) -> None:
    quick = ("--max-steps", "2", "--batch-size", "8", "--threads", "1", "--num-samples", "50")
    said = run("train", "--kind", "graphs", "--dataset", "communities", "--output-dir", "a run", *quick, cwd=tmp_path)
    assert "graphs of 8 vertices" in said and "total variation of the number of edges" in said
    assert {"samples.txt", "report.html", "model"} <= {path.name for path in (tmp_path / "a run").iterdir()}
    assert "# A generator of graphs" in (tmp_path / "a run" / "model" / "README.md").read_text(encoding="utf-8")
    run("generate", "--model", "a run/model", "--num-samples", "9", cwd=tmp_path)
    graphs = np.load(tmp_path / "graphs.npy")
    assert graphs.shape == (9, 8, 8) and np.array_equal(graphs, graphs.transpose(0, 2, 1))
    said = run("evaluate", "--model", "a run/model", "--num-samples", "50", cwd=tmp_path)
    assert "total variation of the number of triangles" in said
