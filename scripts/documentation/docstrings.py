"""What the docstring of a public name must have, and which names fall short."""

import ast
import re
import textwrap
from collections.abc import Iterator

import griffe
from documentation.sources import PROMISED, Entry, Module, constructor, exports, members

ELSEWHERE = re.compile(r"\b(as in|as of|see|arguments,? .*as|what) (the two|`)|`\w+(\.\w+)*`'s", re.I)
"""A docstring that sends its reader to another one for what it leaves out."""

SPOKEN = re.compile(r"(Check|Raise InputError|Refuse)\b")
"""How the docstring of a function begins that is there to raise an error."""


def faults(modules: list[Module]) -> list[str]:
    """What is missing or wrong, one line each.

    Args:
        modules: The modules to read.

    Returns:
        The faults; empty if there are none.
    """
    known = {entry.path for module in modules for entry in module.entries}
    promised = [entry.path for package in PROMISED for entry in exports(package).values()]
    found = [f"{path} is exported and has no docstring" for path in promised if path not in known]
    for module in modules:
        if not module.docstring:
            found.append(f"{module.name} has no docstring")
        for entry in module.entries:
            own = members(entry).values() if isinstance(entry, griffe.Class) else ()
            for named in (entry, *(member for member in own if member.parent is entry)):
                found += [f"{named.path} {fault}" for fault in _faults_of(named)]
    return found


def _faults_of(entry: Entry) -> Iterator[str]:
    if not entry.docstring:
        yield "has no docstring"
        return
    if isinstance(entry, griffe.Attribute) and "property" not in entry.labels:
        return
    text = entry.docstring.value
    sections = {section.kind.value: section for section in entry.docstring.parse("google", warnings=False)}
    refers = bool(ELSEWHERE.search(text))
    yield from _faults_of_parameters(entry, sections, refers)
    says = "raises" in sections or refers
    if isinstance(entry, griffe.Class):
        if "__init__" in entry.members and _raises(entry["__init__"]) and not says:
            yield "raises InputError in its constructor and does not say so"
        return
    if _raises(entry) and not says and not SPOKEN.match(text):
        yield "raises InputError and does not say so"
    returns = str(entry.annotation or "None") != "None"
    if returns and "parameters" in sections and not {"returns", "yields"} & set(sections) and not refers:
        yield "tells its arguments but not what it returns"


def _faults_of_parameters(entry: Entry, sections: dict[str, griffe.DocstringSection], refers: bool) -> Iterator[str]:
    kind = "parameters"
    decorators = entry.decorators if isinstance(entry, griffe.Class) else []
    if any(part.callable_path == "dataclasses.dataclass" for part in decorators):
        kind = "attributes"
        # The fields of a configuration bear their own help, and its sections are classes with their own docstring.
        own = [member for member in entry.members.values() if isinstance(member, griffe.Attribute)]
        fields = [member for member in own if "instance-attribute" in member.labels]
        names = [field.name for field in fields if not field.docstring and not str(field.annotation).endswith("Config")]
    else:
        called = constructor(entry) if isinstance(entry, griffe.Class) else entry
        parameters = called.parameters if isinstance(called, griffe.Function) else ()
        names = [parameter.name for parameter in parameters if parameter.name not in ("self", "cls")]
    plain = [name.lstrip("*") for name in names]
    told = [item.name for item in sections[kind].value] if kind in sections else []
    if told:
        if [name.lstrip("*") for name in told] != plain:
            yield f"has the arguments {', '.join(plain) or 'none'}, and tells of {', '.join(told)}"
    # The sentence about a single argument has no need of its name.
    elif len(plain) > 1 and not refers:
        assert entry.docstring
        if not all(re.search(rf"\b{name}\b", entry.docstring.value) for name in plain):
            yield f"does not tell of its arguments {', '.join(plain)}"


def _raises(entry: Entry) -> bool:
    """Whether a function raises InputError itself; what it calls is not followed."""
    return any(
        isinstance(part, ast.Raise) and isinstance(part.exc, ast.Call) and ast.unparse(part.exc.func) == "InputError"
        for part in ast.walk(ast.parse(textwrap.dedent(entry.source)))
    )
