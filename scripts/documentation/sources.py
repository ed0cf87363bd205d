"""The public names of the package as its sources have them: nothing is imported, so that reading takes a second."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "bgan_discrete"
PROMISED = (
    PACKAGE,
    f"{PACKAGE}.codecs",
    f"{PACKAGE}.sources",
    f"{PACKAGE}.nn",
    f"{PACKAGE}.metrics",
    f"{PACKAGE}.rewards",
)
"""Packages whose exports are the public interface, which only changes on purpose."""

Entry = griffe.Class | griffe.Function | griffe.Attribute


class Options(griffe.Extension):
    """Shows the fields of a configuration as they are used: with the default and the help of their option."""

    def __init__(self) -> None:
        super().__init__()
        self._others: list[griffe.Attribute] = []

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Replace the call that makes a field by the field's default, and let its help be its docstring."""
        call = attr.value
        if not isinstance(call, griffe.ExprCall):
            return
        maker = str(call.function)
        keywords = {part.name: part.value for part in call.arguments if isinstance(part, griffe.ExprKeyword)}
        if maker == "option":
            attr.value, text = call.arguments[:2]
            attr.docstring = griffe.Docstring(ast.literal_eval(str(text)), parent=attr)
        elif maker == "other_default":
            attr.value = call.arguments[2]
            self._others.append(attr)
        elif maker == "field" and isinstance(factory := keywords.get("default_factory"), griffe.ExprLambda):
            attr.value = factory.body

    def on_package(self, **_: Any) -> None:
        """Give a field with another default the help of the field in the base of its class."""
        for attr in self._others:
            assert isinstance(attr.parent, griffe.Class)
            helps = (base.members[attr.name].docstring for base in attr.parent.mro() if attr.name in base.members)
            attr.docstring = next(filter(None, helps), None)
        self._others.clear()


@dataclass(frozen=True)
class Module:
    """One file of the package.

    Attributes:
        name: Dotted.
        docstring: Of the module; empty for none.
        entries: The public names that it defines and that are documented, in its order.
    """

    name: str
    docstring: str
    entries: tuple[Entry, ...]


@cache
def package() -> griffe.Module:
    """The whole package."""
    found = griffe.load(
        PACKAGE, search_paths=[ROOT], allow_inspection=False, extensions=griffe.load_extensions(Options)
    )
    assert isinstance(found, griffe.Module)
    return found


@cache
def documented() -> list[Module]:
    """The modules of the reference, in the order of the layers that the architecture document tells.

    A package that says what it exports is documented with that, with what the public interface has of it, and with
    nothing else.
    """
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    layers: dict[str, int] = {}
    for layer, cell in re.findall(r"^\| (\d+) \| ([^|]+) \|", text, re.M):
        layers |= {name.removesuffix(".py").removesuffix("/"): int(layer) for name in re.findall(r"`([^`]+)`", cell)}
    names = sorted(_module_names(package()), key=lambda name: (layers.get([*name.split("."), ""][1], -1), name))
    promised = {entry.path for module in PROMISED for entry in exports(module).values()}
    found = []
    for name in names:
        room = ".".join(name.split(".")[:2])
        exported = {entry.path for entry in exports(room).values()} if room != PACKAGE else set()
        module = _member(name)
        entries = tuple(entry for entry in _entries(module) if not exported or entry.path in exported | promised)
        if entries or name == PACKAGE:
            found.append(Module(name, _text(module), entries))
    return found


def _module_names(module: griffe.Module) -> Iterator[str]:
    yield module.path
    for part in module.modules.values():
        if isinstance(part, griffe.Module):
            yield from _module_names(part)


def _member(path: str) -> Any:
    """What has a dotted path in the package."""
    try:
        return package()[path.removeprefix(f"{PACKAGE}.")] if path != PACKAGE else package()
    except KeyError:
        raise LookupError(f"{path} does not exist, and is exported") from None


def _text(of: Any) -> str:
    return of.docstring.value if of.docstring else ""


def _entries(module: griffe.Module) -> Iterator[Entry]:
    for name, entry in module.members.items():
        if name.startswith("_") or isinstance(entry, griffe.Alias | griffe.Module):
            continue
        if entry.docstring or not isinstance(entry, griffe.Attribute):
            yield entry  # type: ignore[misc]


def exports(module: str) -> dict[str, Entry]:
    """What a module promises: the names of its ``__all__`` and what they are, where they are defined.

    Args:
        module: Its dotted name.

    Returns:
        By name, in alphabetical order, without ``__version__``; nothing for a module without ``__all__``.
    """
    held = _member(module)
    if "__getattr__" in held.members:  # its names are imported on first use
        homes: dict[str, str] = ast.literal_eval(str(held["_HOMES"].value))
        found = {name: _member(f"{module}.{home}.{name}") for name, home in homes.items()}
    else:
        found = {str(name): held[str(name)] for name in held.exports or ()}
    return {name: entry.final_target if entry.is_alias else entry for name, entry in sorted(found.items())}


def members(kind: griffe.Class) -> dict[str, Entry]:
    """The public methods and properties of a class that have a docstring, those of its bases in this package too.

    Args:
        kind: The class.

    Returns:
        By name; where a method is defined again without a docstring, the definition that has one.
    """
    found: dict[str, Entry] = {}
    for base in (kind, *kind.mro()):
        for name, member in base.members.items():
            is_method = isinstance(member, griffe.Function) or "property" in member.labels
            if is_method and member.docstring and (not name.startswith("_") or name == "__call__"):
                found.setdefault(name, member)  # type: ignore[arg-type]
    return found


def signature(entry: Entry) -> str:
    """A name with what it takes and gives, on one line."""
    if isinstance(entry, griffe.Attribute):
        return f"{entry.name}: {entry.annotation}" if entry.annotation else entry.name
    if isinstance(entry, griffe.Function):
        return entry.signature()
    called = constructor(entry)
    return called.signature(name=entry.name, return_type=False) if called else f"{entry.name}()"


def constructor(kind: griffe.Class) -> griffe.Function | None:
    """The constructor of a class, its own or that of the nearest base in this package."""
    own = (base.members.get("__init__") for base in (kind, *kind.mro()))
    return next((method for method in own if isinstance(method, griffe.Function)), None)


def listing() -> str:
    """The public interface: a line for each promised name, with its signature, its methods and its fields."""
    lines: list[str] = []
    for promised in PROMISED:
        for entry in exports(promised).values():
            lines.append(f"{promised}.{signature(entry)}")
            held = members(entry) if isinstance(entry, griffe.Class) else {}
            lines += (f"{promised}.{entry.name}.{signature(held[name])}" for name in sorted(held))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(listing(), end="")
