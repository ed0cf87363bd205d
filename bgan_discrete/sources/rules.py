"""Rules that every row of a table must obey: expressions of its columns, such as ``end >= start``, and functions.

An expression is read by a parser of Python's own and evaluated by what is listed here, never by ``eval``: comparisons,
``and``, ``or``, ``not``, ``in``, ``is None``, ``+ - * /``, numbers, strings, names of columns and
``combinations(city, country)``. A comparison with a missing value is not known, which breaks no rule.
"""

import ast
import keyword
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs.values import Value, number_of
from bgan_discrete.errors import InputError

Columns = Mapping[str, Sequence[Value]]
Booleans = NDArray[np.bool_]
Combinations = Callable[[Sequence[str], str | None], Callable[[NDArray[Any]], Booleans]]
"""Names of columns and a file, or None for the training data -> codes ``[N, columns]`` of all columns -> whether the
combination occurs there, ``[N]``."""

MAX_LENGTH = 2000
"""Characters of an expression."""

ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        text: As it was given; of a function its name.
        holds: Columns of N values, and their codes ``[N, columns]`` -> whether each row obeys it, bool ``[N]``.
    """

    text: str
    holds: Callable[[Columns, NDArray[Any]], Booleans]


@dataclass(frozen=True)
class _Batch:
    """Rows that are checked."""

    columns: Columns
    codes: NDArray[Any]


@dataclass(frozen=True)
class _Term:
    """A part of an expression, with what it is: numbers (NaN where missing) or text (None there), one for each row."""

    is_number: bool
    values: Callable[[_Batch], Any]


_Truth = Callable[[_Batch], tuple[Booleans, Booleans]]
"""Rows -> where it is true, and where it is false; elsewhere it is not known."""


def rule_of_function(function: Callable[[Mapping[str, NDArray[Any]]], Any], name: str) -> Rule:
    """The rule of a function of columns, by name, each an array of N values -> N booleans.

    Numbers are NaN where they are missing, other values None.
    """

    def holds(columns: Columns, codes: NDArray[Any]) -> Booleans:
        found = np.asarray(function({key: as_array(values) for key, values in columns.items()}))
        if found.dtype != np.bool_ or found.shape != (len(codes),):
            raise InputError(
                f"constraint {name} must give a boolean for each of {len(codes)} rows, got {found.dtype} of shape "
                f"{list(found.shape)}"
            )
        return found

    return Rule(name, holds)


def rule_of_text(text: str, is_number: Mapping[str, bool], combinations: Combinations) -> Rule:
    """The rule of an expression.

    Args:
        text: The expression. A name that is no identifier can be written as it is where it is a column's, such as
            ``hours-per-week``, and any name between backticks.
        is_number: Of each column, by name, whether its values are numbers, or texts that spell numbers.
        combinations: Finds the combinations of columns that occur.

    Returns:
        The rule.

    Raises:
        InputError: If the expression cannot be read or holds anything else; the message has the place or the column.

    Examples:
        >>> rule = rule_of_text("end >= start", {"start": True, "end": True}, lambda names, file: None)
        >>> rule.holds({"start": [1, 5, None], "end": [2, 3, 0]}, np.zeros((3, 2))).tolist()
        [True, False, True]
    """
    return Rule(text, _Reader(text, is_number, combinations).rule())


def numbers_of(values: Sequence[Value]) -> NDArray[np.float64]:
    """Numbers, also those that texts spell, and booleans as 0 and 1; NaN for all else."""
    array = np.asarray(values)
    if array.dtype.kind in "iufb":
        return array.astype(float)
    number_by = {value: _number(value) for value in set(values)}
    return np.array([number_by[value] for value in values], float)


def _number(value: Value) -> float:
    number = float(value) if isinstance(value, bool) else number_of(value)
    return float("nan") if number is None else float(number)


def as_array(values: Sequence[Value]) -> NDArray[Any]:
    """Values as an array: numbers with NaN where they are missing, or objects, such as text, with None there."""
    array = np.asarray(values)
    if array.dtype.kind in "iufb":
        return array
    if all(value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values):
        return np.array([float("nan") if value is None else value for value in values], float)
    return _objects(values)


def _objects(values: Sequence[Value]) -> NDArray[Any]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


class _Reader:
    """Reads one expression."""

    def __init__(self, text: str, is_number: Mapping[str, bool], combinations: Combinations) -> None:
        self.text, self.is_number, self.combinations = text, is_number, combinations
        self.named: dict[str, str] = {}  # identifiers that stand for names of columns
        self.places: list[int] = []  # of each character of what is parsed, in the text

    def rule(self) -> Callable[[Columns, NDArray[Any]], Booleans]:
        if not isinstance(self.text, str) or not self.text.strip() or len(self.text) > MAX_LENGTH:
            raise InputError(f"constraint must be an expression such as end >= start, got {self.text!r:.100}")
        source = self._with_identifiers()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(source, mode="eval")
            truth = self._truth(tree.body)
        except SyntaxError as error:
            reason = str(error.msg)
            if re.search(r"(?<![<>=!])=(?!=)", source):
                reason = "values are compared by =="
            raise self._refused(reason, None if error.offset is None else error.offset - 1) from None
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise self._refused("it is too large") from None

        def holds(columns: Columns, codes: NDArray[Any]) -> Booleans:
            with np.errstate(all="ignore"):
                is_false: Booleans = truth(_Batch(columns, codes))[1]
            return ~is_false

        return holds

    def _refused(self, reason: str, offset: int | None = None) -> InputError:
        place = ""
        if offset is not None and self.places:
            place = f" at character {self.places[min(max(offset, 0), len(self.places) - 1)] + 1}"
        return InputError(f"constraint {self.text!r} cannot be used{place}: {reason}")

    def _with_identifiers(self) -> str:
        """The text, on one line, with an identifier in the place of each name that is none."""
        bare = [name for name in self.is_number if not name.isidentifier() or keyword.iskeyword(name)]
        bare = [name for name in bare if re.search(r"[^\W\d_]", name) and name not in ("and", "or", "not", "in", "is")]
        names = "|".join(re.escape(name) for name in sorted(bare, key=len, reverse=True))
        pattern = r"'[^']*'|\"[^\"]*\"|`[^`]*`" + (rf"|(?<!\w)(?:{names})(?!\w)" if names else "")
        parts, start = [], 0
        for match in re.finditer(pattern, self.text):
            found = match.group()
            if found[0] in "'\"" and found not in bare:
                continue
            identifier = f"column_{len(self.named)}_"
            while identifier in self.is_number or identifier in self.text:
                identifier += "_"
            self.named[identifier] = found[1:-1] if found[0] == "`" else found
            parts += [(self.text[start : match.start()], start), (identifier, None)]
            self.places += [*range(start, match.start()), *[match.start()] * len(identifier)]
            start = match.end()
        self.places += range(start, len(self.text))
        parts.append((self.text[start:], start))
        source = "".join(part for part, _ in parts)
        stripped = source.lstrip()
        self.places = self.places[len(source) - len(stripped) :]
        return re.sub(r"[\r\n]", " ", stripped)

    # Truth: and, or, not, comparisons, combinations.

    def _truth(self, node: ast.expr) -> _Truth:
        if isinstance(node, ast.BoolOp):
            return _joined([self._truth(part) for part in node.values], isinstance(node.op, ast.And))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._truth(node.operand)
            return lambda batch: inner(batch)[::-1]
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            pairs = zip(sides[:-1], node.ops, sides[1:], strict=True)
            return _joined([self._compared(*pair) for pair in pairs], True)
        if isinstance(node, ast.Call):
            return self._of_combinations(node)
        raise self._refused("a comparison is wanted, such as end >= start", node.col_offset)

    def _compared(self, left: ast.expr, how: ast.cmpop, right: ast.expr) -> _Truth:
        if isinstance(how, (ast.Is, ast.IsNot)):
            if not isinstance(right, ast.Constant) or right.value is not None:
                raise self._refused("'is' goes with None, for a missing value", right.col_offset)
            return _missing(self._term(left), isinstance(how, ast.Is))
        if isinstance(how, (ast.In, ast.NotIn)):
            if not isinstance(right, (ast.Tuple, ast.List, ast.Set)) or not right.elts:
                raise self._refused("'in' goes with a list, such as ('a', 'b')", right.col_offset)
            any_of = _joined([self._compared(left, ast.Eq(), one) for one in right.elts], False)
            return any_of if isinstance(how, ast.In) else lambda batch: any_of(batch)[::-1]
        first, second = self._alike(left, right)
        compare = ORDERS[type(how)]

        def truth(batch: _Batch) -> tuple[Booleans, Booleans]:
            a, b = np.broadcast_arrays(first.values(batch), second.values(batch), np.empty(len(batch.codes)))[:2]
            if first.is_number:
                is_known = ~(np.isnan(a) | np.isnan(b))
                found = np.asarray(compare(a, b), bool)
            else:
                is_known = np.array([x is not None and y is not None for x, y in zip(a, b, strict=True)], bool)
                found = np.zeros(len(a), bool)
                found[is_known] = [compare(str(x), str(y)) for x, y in zip(a[is_known], b[is_known], strict=True)]
            return is_known & found, is_known & ~found

        return truth

    def _alike(self, left: ast.expr, right: ast.expr) -> tuple[_Term, _Term]:
        """Both sides of a comparison, of one kind; a text that spells a number is one where the other side is."""
        terms = []
        for node, other in ((left, right), (right, left)):
            term = self._term(node)
            spelt = number_of(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
            if spelt is not None and self._term(other).is_number:
                term = _constant(float(spelt))
            terms.append(term)
        first, second = terms
        if first.is_number != second.is_number:
            text, number = (right, left) if first.is_number else (left, right)
            raise self._refused(f"{_shown(self, text)} is text, and {_shown(self, number)} a number", right.col_offset)
        return first, second

    def _of_combinations(self, node: ast.Call) -> _Truth:
        if not isinstance(node.func, ast.Name) or node.func.id != "combinations" or node.keywords:
            raise self._refused("the only function is combinations(column, column, ...)", node.col_offset)
        arguments = list(node.args)
        file = None
        if arguments and isinstance(arguments[-1], ast.Constant) and isinstance(arguments[-1].value, str):
            file = arguments.pop().value  # type: ignore[attr-defined]
        names = [self._column(part) if isinstance(part, ast.Name) else None for part in arguments]
        if len(names) < 2 or None in names or len(set(names)) < len(names):
            wanted = (
                "combinations takes two columns or more, and perhaps a file: combinations(city, country, 'rows.csv')"
            )
            raise self._refused(wanted, node.col_offset)
        occurs = self.combinations([str(name) for name in names], file)

        def truth(batch: _Batch) -> tuple[Booleans, Booleans]:
            found = occurs(batch.codes)
            return found, ~found

        return truth

    # Terms: columns, numbers, text, arithmetic.

    def _term(self, node: ast.expr) -> _Term:
        if isinstance(node, ast.Name):
            return self._of_column(self._column(node))
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float)):
            return _constant(node.value)
        is_arithmetic = isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC
        if isinstance(node, ast.BinOp) and is_arithmetic:
            first, second, combine = self._number(node.left), self._number(node.right), ARITHMETIC[type(node.op)]
            return _Term(True, lambda batch: _finite(combine(first.values(batch), second.values(batch))))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            inner, sign = self._number(node.operand), -1.0 if isinstance(node.op, ast.USub) else 1.0
            return _Term(True, lambda batch: sign * inner.values(batch))
        raise self._refused("only columns, numbers, strings and + - * / can be compared", node.col_offset)

    def _number(self, node: ast.expr) -> _Term:
        term = self._term(node)
        if not term.is_number:
            raise self._refused(f"{_shown(self, node)} is text, and + - * / take numbers", node.col_offset)
        return term

    def _column(self, node: ast.Name) -> str:
        name = self.named.get(node.id, node.id)
        if name not in self.is_number:
            known = ", ".join([*self.is_number][:20]) + ", ..." * (len(self.is_number) > 20)
            raise self._refused(f"{name!r} is no column; there are {known}", node.col_offset)
        return name

    def _of_column(self, name: str) -> _Term:
        if self.is_number[name]:
            return _Term(True, lambda batch: numbers_of(batch.columns[name]))
        return _Term(False, lambda batch: _objects(batch.columns[name]))


def _shown(reader: _Reader, node: ast.expr) -> str:
    """A part of an expression in a message."""
    if isinstance(node, ast.Name):
        return f"column {reader.named.get(node.id, node.id)!r}"
    return repr(node.value) if isinstance(node, ast.Constant) else "the other side"


def _constant(value: str | float) -> _Term:
    if isinstance(value, str):
        return _Term(False, lambda batch: _objects([value] * len(batch.codes)))
    number = float(value)
    return _Term(True, lambda batch: np.float64(number))


def _finite(numbers: Any) -> Any:
    """What is divided by 0 is not known."""
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _missing(term: _Term, wanted: bool) -> _Truth:
    def truth(batch: _Batch) -> tuple[Booleans, Booleans]:
        values = term.values(batch)
        gone = np.isnan(values) if term.is_number else np.array([value is None for value in values], bool)
        found = np.broadcast_to(gone == wanted, (len(batch.codes),))
        return found, ~found

    return truth


def _joined(parts: Iterable[_Truth], is_and: bool) -> _Truth:
    parts = list(parts)

    def truth(batch: _Batch) -> tuple[Booleans, Booleans]:
        trues, falses = zip(*(part(batch) for part in parts), strict=True)
        both, one = np.logical_and.reduce, np.logical_or.reduce
        return (both(trues), one(falses)) if is_and else (one(trues), both(falses))

    return truth
