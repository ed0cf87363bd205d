"""The mutants of a module: its source with one small fault, by the operators of `mutmut` and a few more."""

import contextlib
import dataclasses
from collections.abc import Iterator

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One fault: what stands on some lines, what takes its place, and the whole source with it."""

    line: int
    column: int
    old: str
    new: str
    lines: range
    source: str = dataclasses.field(repr=False)


def extra_faults(node: cst.CSTNode) -> Iterator[cst.CSTNode | None]:
    """Faults that mutmut does not know; None leaves the node out."""
    if isinstance(node, cst.Assign | cst.AugAssign | cst.Expr | cst.Raise | cst.Return | cst.Del | cst.Assert):
        yield cst.Pass()
    elif isinstance(node, cst.Decorator):
        yield None
    elif isinstance(node, cst.Call) and not node.args and isinstance(node.func, cst.Attribute):
        yield node.func.value
    elif isinstance(node, cst.If | cst.While) and not isinstance(node.test, cst.Comparison | cst.UnaryOperation):
        turned = cst.UnaryOperation(cst.Not(), node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()]))
        yield node.with_changes(test=turned)


def is_left_out(node: cst.CSTNode) -> bool:
    """Whether no fault is put into a node, nor into what is inside it."""
    if isinstance(node, cst.Annotation | cst.Import | cst.ImportFrom | cst.FormattedString):
        return True
    if isinstance(node, cst.Expr):
        return isinstance(node.value, cst.SimpleString | cst.ConcatenatedString)
    if isinstance(node, cst.Call):
        return isinstance(node.func, cst.Name) and node.func.value in {"cast", "TypeVar", "NewType"}
    if isinstance(node, cst.Assign):
        value = node.value.value if isinstance(node.value, cst.Subscript) else None
        types_only = isinstance(value, cst.Name) and value.value in {"Literal", "Callable", "Union"}
        return types_only or (
            isinstance(node.targets[0].target, cst.Name) and node.targets[0].target.value == "__all__"
        )
    return isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value == "encoding"


def is_message(node: cst.CSTNode) -> bool:
    """Whether a node, which may itself be deleted, holds only words for people."""
    if isinstance(node, cst.Raise):
        return True
    name = node.func if isinstance(node, cst.Call) else None
    name = name.attr if isinstance(name, cst.Attribute) else name
    return isinstance(name, cst.Name) and name.value in {"warn", "warning", "info", "print", "debug"}


def mutants_of(source: str) -> list[Mutant]:
    """Every mutant of a source, in the order of its lines."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    place = wrapper.resolve(PositionProvider)
    starts = [0]
    for text in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(text))
    found: dict[str, Mutant] = {}

    def add(node: cst.CSTNode, new: cst.CSTNode | None, lines: range) -> None:
        span = place[node]
        begin, end = (starts[at.line - 1] + at.column for at in (span.start, span.end))
        if isinstance(node, cst.If | cst.While) and isinstance(new, cst.If | cst.While):  # The condition alone.
            add(node.test, new.test, lines)
            return
        old, text = source[begin:end], "" if new is None else wrapper.module.code_for_node(new).strip()
        mutated = source[:begin] + text + source[end:]
        with contextlib.suppress(SyntaxError):
            compile(mutated, "mutant", "exec")
            found.setdefault(mutated, Mutant(span.start.line, span.start.column, old, text, lines, mutated))

    def walk(node: cst.CSTNode, lines: range) -> None:
        if is_left_out(node):
            return
        if isinstance(node, cst.SimpleStatementLine):
            lines = range(place[node].start.line, place[node].end.line + 1)
        elif isinstance(node, cst.BaseCompoundStatement) and not isinstance(node, cst.Try | cst.TryStar):
            lines = range(place[node].start.line, max(place[node].start.line, place[node.body].start.line - 1) + 1)
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                faults: list[cst.CSTNode] = list(operator(node))
                for new in faults[:1] if isinstance(node, cst.BaseString) else faults:
                    add(node, new, lines)
        for extra in extra_faults(node):
            add(node, extra, lines)
        for child in () if is_message(node) else node.children:
            walk(child, lines)

    walk(wrapper.module, range(0))
    return sorted(found.values(), key=lambda mutant: mutant.line)
