"""The first program of the page on one's own data learns what it says; the others only run, in `test_docs`."""

import contextlib
import io
import re

import torch
from pages import ROOT, blocks

PAGE = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")


def test_the_columns_of_the_first_program_come_to_agree() -> None:
    torch.manual_seed(0)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        program = blocks(PAGE, "python")[0].replace("max_steps=800", "max_steps=200")
        exec(compile(program, "<block>", "exec"), {"__name__": "page"})
    agreeing = re.fullmatch(r"samples: \(1000, 6\)\nrows that agree: ([\d.]+)\n", said.getvalue())
    assert agreeing is not None
    assert float(agreeing[1]) > 0.3, "independent columns agree in 0.001 of the rows"
