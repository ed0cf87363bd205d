"""What the docstring of a public name must have, and which names fall short."""

import ast
import re
from collections.abc import Iterator

from documentation.sources import PROMISED, Entry, FunctionNode, Module, exports, is_dataclass

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Source")
ELSEWHERE = re.compile(r"\b(as in|as of|see|arguments,? .*as|what) (the two|`)|`\w+(\.\w+)*`'s", re.I)
"""A docstring that sends its reader to another one for what it leaves out."""


def split(docstring: str) -> dict[str, str]:
    """The parts of a docstring.

    Args:
        docstring: Without indentation.

    Returns:
        The text before the first section, by the empty name, and the body of each section, without indentation.
    """
    parts: dict[str, list[str]] = {"": []}
    name = ""
    for line in docstring.splitlines():
        heading = re.fullmatch(r"(\w+):", line)
        if heading and heading[1] in SECTIONS:
            name = heading[1]
            parts[name] = []
        else:
            parts[name].append(line.removeprefix("    ") if name else line)
    return {name: "\n".join(lines).strip("\n") for name, lines in parts.items()}


def items(body: str) -> dict[str, str]:
    """The entries ``name: text`` of a section.

    Args:
        body: Of the section.

    Returns:
        Names and texts, each on one line.
    """
    found: dict[str, str] = {}
    name = ""
    for line in body.splitlines():
        entry = re.match(r"(\*{0,2}\w+): (.*)", line)
        if entry:
            name = entry[1]
            found[name] = entry[2]
        elif name:
            found[name] += " " + line.strip()
    return found


def faults(modules: list[Module]) -> list[str]:
    """What is missing or wrong, one line each.

    Args:
        modules: The modules to read.

    Returns:
        The faults; empty if there are none.
    """
    known = {(module.name, entry.name) for module in modules for entry in module.entries}
    places = [place for package in PROMISED for place in exports(package).values()]
    found = [
        f"{module}.{name} is exported and has no docstring" for module, name in places if (module, name) not in known
    ]
    for module in modules:
        if not module.docstring:
            found.append(f"{module.name} has no docstring")
        for entry in module.entries:
            found += [f"{module.name}.{entry.name} {fault}" for fault in _faults_of(entry)]
            own = [id(part) for part in ast.walk(entry.node)]
            for member in entry.members:
                if id(member.node) in own:
                    found += [f"{module.name}.{entry.name}.{member.name} {fault}" for fault in _faults_of(member)]
    return found


def _faults_of(entry: Entry) -> Iterator[str]:
    if not entry.docstring:
        yield "has no docstring"
        return
    if entry.kind == "constant":
        return
    parts = split(entry.docstring)
    refers = bool(ELSEWHERE.search(entry.docstring))
    yield from _faults_of_parameters(entry, parts, refers)
    if entry.kind == "class":
        constructor = _constructor_of(entry)
        if constructor is not None and _raises(constructor) and "Raises" not in parts and not refers:
            yield "raises InputError in its constructor and does not say so"
        return
    assert isinstance(entry.node, FunctionNode)
    says = "Raises" in parts or re.match(r"(Check|Raise InputError|Refuse)\b", entry.docstring)
    if _raises(entry.node) and not says and not refers:
        yield "raises InputError and does not say so"
    returns = entry.returns not in ("", "None")
    if returns and "Args" in parts and not {"Returns", "Yields"} & set(parts) and not refers:
        yield "tells its arguments but not what it returns"


def _faults_of_parameters(entry: Entry, parts: dict[str, str], refers: bool) -> Iterator[str]:
    names = [parameter.name for parameter in entry.parameters if parameter.name != "*"]
    if entry.kind == "class" and is_dataclass(entry.node):  # type: ignore[arg-type]
        told = items(parts.get("Attributes", ""))
        own = [ast.unparse(part.target) for part in _body(entry) if isinstance(part, ast.AnnAssign)]
        # The fields of a configuration bear their own help, and its sections are classes with their own docstring.
        fields = [field for field in entry.parameters if not field.help and not field.annotation.endswith("Config")]
        names = [field.name for field in fields if field.name in own]
    else:
        told = items(parts.get("Args", ""))
    plain = [name.lstrip("*") for name in names]
    # The sentence about a single argument has no need of its name.
    if told:
        if [name.lstrip("*") for name in told] != plain:
            yield f"has the arguments {', '.join(plain) or 'none'}, and tells of {', '.join(told)}"
    elif len(plain) > 1 and not refers and not all(re.search(rf"\b{name}\b", entry.docstring) for name in plain):
        yield f"does not tell of its arguments {', '.join(plain)}"


def _body(entry: Entry) -> list[ast.stmt]:
    assert isinstance(entry.node, ast.ClassDef)
    return entry.node.body


def _constructor_of(entry: Entry) -> FunctionNode | None:
    return next((part for part in _body(entry) if isinstance(part, FunctionNode) and part.name == "__init__"), None)


def _raises(node: FunctionNode) -> bool:
    """Whether a function raises InputError itself; what it calls is not followed."""
    return any(
        isinstance(part, ast.Raise) and isinstance(part.exc, ast.Call) and ast.unparse(part.exc.func) == "InputError"
        for part in ast.walk(node)
    )
