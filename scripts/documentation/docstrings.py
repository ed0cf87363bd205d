"""What the docstring of a name must have, and which names fall short.

The public interface says everything: arguments, results, errors. All else says what its name and signature do not, in
one line where one is enough; a list of arguments, if there is one, is complete.
"""

import ast
import re
import textwrap
from collections.abc import Iterator

import griffe
from documentation.sources import PACKAGE, PROMISED, Entry, Module, constructor, exports, members

OF_THE_METHOD = (f"{PACKAGE}.game.", f"{PACKAGE}.distributions.")
"""Packages that are read next to the paper, and so are documented as the public interface is."""

ELSEWHERE = re.compile(r"\b(as in|as of|see|arguments,? .*as|what) (the two|`)|`\w+(\.\w+)*`'s", re.I)
"""A docstring that sends its reader to another one for what it leaves out."""

SPOKEN = re.compile(r"(Check|Raise InputError|Refuse)\b")
"""How the docstring of a function begins that is there to raise an error."""


def faults(modules: list[Module], public: set[str] | None = None) -> list[str]:
    """What is missing or wrong, one line each; ``public`` are the paths of the names that must say everything."""
    public = public or public_paths()
    named = {path: entry for module in modules for path, entry in _named(module)}
    found = [f"{path} is exported and has no docstring" for path in sorted(public - named.keys())]
    found += [f"{module.name} has no docstring" for module in modules if not module.docstring]
    for path, entry in named.items():
        found += [f"{path} {fault}" for fault in _faults_of(entry, path in public or path.startswith(OF_THE_METHOD))]
    return found


def public_paths() -> set[str]:
    """What the promised packages export, with the methods of the classes, where they are defined."""
    entries = [entry for package in PROMISED for entry in exports(package).values()]
    methods = [member for entry in entries if isinstance(entry, griffe.Class) for member in members(entry).values()]
    return {entry.path for entry in (*entries, *methods)}


def _named(module: Module) -> Iterator[tuple[str, Entry]]:
    for entry in module.entries:
        yield entry.path, entry
        if isinstance(entry, griffe.Class):
            yield from ((member.path, member) for member in members(entry).values())


def _faults_of(entry: Entry, is_public: bool) -> Iterator[str]:
    if not entry.docstring:
        yield "has no docstring"
        return
    if isinstance(entry, griffe.Attribute) and "property" not in entry.labels:
        return
    text = entry.docstring.value
    sections = {section.kind.value: section for section in entry.docstring.parse("google", warnings=False)}
    refers = bool(ELSEWHERE.search(text))
    yield from _faults_of_parameters(entry, sections, refers or not is_public)
    if not is_public:
        return
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
