"""Verifiers of texts: against Python's own reading of the same texts, over all short ones."""

import ast
import importlib
import re
from itertools import product
from typing import Any

import pytest

from bgan_discrete.sources.arithmetic import equations

verifiers: Any = importlib.import_module("experiments.verifiers")


def test_true_equations() -> None:
    assert verifiers.equations_true(equations()).all()
    true = ["12+7=19", "0+0=0", "100-1=99", "5-5=0", "999999999999999999-1=999999999999999998"]
    assert verifiers.equations_true(true).all()
    wrong = [
        "12+7=18", "12-7=19", "012+7=19", "12+07=19", "12+7=019", "12+7", "12+7=", "=19", "", "7-12=-5", "12+7=19 ",
        " 12+7=19", "12+7=19\n", "12*7=84", "12+7==19", "1+1+1=3", "a+b=c", "¹+1=2", "٣+١=٤", f"{'9' * 5000}+0=9",
        "__import__('os')",
    ]  # fmt: skip
    assert not verifiers.equations_true(wrong).any()


def test_each_equation_of_a_form_by_arithmetic() -> None:
    parts = [*product(range(12), "+-", range(12), range(25))]
    expected = [c == (a + b if sign == "+" else a - b) for a, sign, b, c in parts]
    assert verifiers.equations_true([f"{a}{sign}{b}={c}" for a, sign, b, c in parts]).tolist() == expected


@pytest.mark.parametrize("longest", [6])
def test_brackets_by_taking_pairs_out(longest: int) -> None:
    for length in range(longest + 1):
        texts = ["".join(signs) for signs in product("()[]", repeat=length)]
        expected = []
        for text in texts:
            rest = text
            while re.search(r"\(\)|\[\]", rest):
                rest = re.sub(r"\(\)|\[\]", "", rest)
            expected.append(rest == "" and text != "")
        assert verifiers.brackets_match(texts).tolist() == expected
    assert verifiers.brackets_match(["{[()]}", "{[(])}", "(a)", "()" * 10**5, "(" * 10**5]).tolist() == [
        True, False, False, True, False,
    ]  # fmt: skip


def is_expression(text: str) -> bool:
    """By Python's parser; what it takes and the grammar does not is left out by hand."""
    if text.startswith(" ") or re.search(
        r"[-+*/(][-+]|^[-+]|//|\*\*|\(\)|[0-9a-z]\(|[a-z]{2}|[a-z][0-9]|[0-9][a-z]|\)\(", text
    ):
        return False
    if re.search(r"(?<![0-9])0[0-9]", text):
        return False
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def test_expressions_as_python_reads_them() -> None:
    count = 0
    for length in range(6):
        texts = ["".join(signs) for signs in product("10a+*()", repeat=length)]
        expected = [is_expression(text) for text in texts]
        assert verifiers.expressions_right(texts).tolist() == expected
        count += sum(expected)
    assert count > 300
    assert verifiers.expressions_right(["3*(a+12)/b-0", "(" * 10**5 + "a" + ")" * 10**5, "a/(b-1)"]).all()
    assert not verifiers.expressions_right(["3 + a", "A", "a\n", "٣", "(a", "a)", ")a(", "1.5", "-1"]).any()


def test_expressions_that_are_drawn() -> None:
    texts = verifiers.sample_expressions(500, 12, seed=0)
    assert len(set(texts)) == 500 and max(map(len, texts)) == 12 and min(map(len, texts)) == 1
    assert verifiers.expressions_right(texts).all()
    assert any("(" in text for text in texts)
    assert texts == verifiers.sample_expressions(500, 12, seed=0) != verifiers.sample_expressions(500, 12, seed=1)
