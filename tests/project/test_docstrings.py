"""The examples in docstrings run, and print what they show."""

import doctest
import importlib
from pathlib import Path

import pytest
import torch

import bgan_discrete

PACKAGE = Path(bgan_discrete.__file__).parent
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_run(name: str) -> None:
    torch.manual_seed(0)
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert failed == 0 and attempted > 0
