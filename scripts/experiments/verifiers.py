"""Verifiers of texts: equations that are true, brackets that match, arithmetic expressions of a grammar.

Each takes texts and says of each whether it is right; none of them evaluates a text as a program.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_NUMBER = "(0|[1-9][0-9]{0,17})"
_EQUATION = re.compile(f"{_NUMBER}([-+]){_NUMBER}={_NUMBER}")
_TOKEN = re.compile(r"(?P<operand>0|[1-9][0-9]*|[a-z])|(?P<operator>[-+*/])|(?P<open>\()|(?P<close>\))")

CLOSED_BY = {"(": ")", "[": "]", "{": "}"}


def equations_true(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each text is a true sum or difference of whole numbers without leading zeros, such as ``12+7=19``."""
    return np.array([_is_true(text) for text in texts], bool)


def _is_true(text: str) -> bool:
    match = _EQUATION.fullmatch(text)
    if match is None:
        return False
    first, second, result = (int(match[group]) for group in (1, 3, 4))
    return result == (first + second if match[2] == "+" else first - second)


def brackets_match(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each text is made of round, square and curly brackets alone, each closed by its own kind in order."""
    return np.array([_is_balanced(text) for text in texts], bool)


def _is_balanced(text: str) -> bool:
    wanted: list[str] = []
    for sign in text:
        if sign in CLOSED_BY:
            wanted.append(CLOSED_BY[sign])
        elif not wanted or wanted.pop() != sign:
            return False
    return not wanted and text != ""


def expressions_right(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each text is an expression of the grammar below, without spaces, such as ``3*(a+12)``.

        expression -> term | expression + term | expression - term
        term       -> factor | term * factor | term / factor
        factor     -> number | variable | ( expression )

    Numbers have no leading zeros; variables are ``a`` to ``z``.
    """
    return np.array([_is_expression(text) for text in texts], bool)


def _is_expression(text: str) -> bool:
    """By what may follow: an operand or an opening bracket, else an operator or a closing bracket."""
    place, depth, wants_operand = 0, 0, True
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None or wants_operand != (token.lastgroup in ("operand", "open")):
            return False
        if token.lastgroup in ("open", "close"):
            depth += 1 if token.lastgroup == "open" else -1
        if depth < 0:
            return False
        wants_operand = token.lastgroup in ("operator", "open")
        place = token.end()
    return depth == 0 and not wants_operand


def sample_expressions(count: int, length: int, seed: int) -> list[str]:
    """Distinct expressions of up to so many characters, in the order in which they were drawn.

    An expression has one operand in half of all cases, two in a quarter and so on; an operand is a bracket in a quarter
    of all cases, else a variable ``a`` to ``e`` or a number below 100, equally often. Longer ones are drawn anew.

    Args:
        count: How many.
        length: Characters at most, at least 3: shorter ones are too few.
        seed: Of the draws.

    Returns:
        The texts.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        text = _drawn(rng, length)
        if 0 < len(text) <= length:
            found[text] = None
    return [*found]


def _drawn(rng: np.random.Generator, room: int) -> str:
    """An expression; one that has no room may be cut, and is then longer than it may be."""
    parts: list[str] = []
    while sum(map(len, parts)) <= room:
        if rng.random() < 0.25:
            parts.append(f"({_drawn(rng, room - sum(map(len, parts)) - 2)})")
        else:
            parts.append(str(rng.integers(100)) if rng.random() < 0.5 else "abcde"[rng.integers(5)])
        if rng.random() < 0.5:
            return "".join(parts)
        parts.append("+-*/"[rng.integers(4)])
    return "".join(parts)
