"""The glossary is in order, what it names is in the package, and tensors' names end in its letters."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORDS, LETTERS = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").split("## Letters")


def rows(table: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@cache
def identifiers() -> frozenset[str]:
    """Names of the package: of modules, definitions, parameters, fields, variables and keys."""
    names: set[str] = set()
    for path in (ROOT / "bgan_discrete").rglob("*.py"):
        names.add(path.stem)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
            named = (getattr(node, field, None) for field in ("id", "name", "arg", "attr"))
            names |= {name for name in named if isinstance(name, str)}
    return frozenset(names)


def test_the_words_stand_in_alphabetical_order() -> None:
    words = [word for word, _, _ in rows(WORDS)]
    assert words == sorted(words, key=str.casefold) and len(set(words)) == len(words)


def test_every_word_has_a_name_in_the_package() -> None:
    for word, meaning, code in rows(WORDS):
        names = re.findall(r"`([^`]+)`", code)
        assert names and meaning, word
        assert set(names) <= identifiers(), f"{word}: {set(names) - identifiers()}"


def test_the_letters_of_tensors_are_those_of_the_legend() -> None:
    known = {letter for cell, _ in rows(LETTERS) for letter in cell.split(", ")}
    suffixes = {name.rsplit("_", 1)[1] for name in identifiers() if re.fullmatch(r"[a-z_]+_[A-Z]{1,5}", name)}
    assert {"MN", "NPK"} <= suffixes
    assert set("".join(suffixes)) <= known
