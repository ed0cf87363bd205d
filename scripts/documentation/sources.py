"""The public names of the package as its sources say them: nothing is imported, so that reading them takes no time."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "bgan_discrete"
PROMISED = (PACKAGE, f"{PACKAGE}.codecs", f"{PACKAGE}.sources", f"{PACKAGE}.nn", f"{PACKAGE}.metrics")
"""Packages whose exports are the public interface, which only changes on purpose."""

MAX_SIGNATURE = 100

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function, or one field of a dataclass.

    Attributes:
        name: With its stars, if it has any.
        annotation: As written; empty for none.
        default: As written; None for none.
        help: What the configuration says of an option; empty elsewhere.
    """

    name: str
    annotation: str
    default: str | None = None
    help: str = ""

    def __str__(self) -> str:
        typed = f"{self.name}: {self.annotation}" if self.annotation else self.name
        if self.default is None:
            return typed
        return f"{typed} = {self.default}" if self.annotation else f"{typed}={self.default}"


@dataclass(frozen=True)
class Entry:
    """A public class, function, method, property or constant.

    Attributes:
        name: Its own, without module or class.
        kind: One of ``class``, ``function``, ``method``, ``property`` and ``constant``.
        docstring: Without indentation; empty for none.
        parameters: Without ``self``; of a class, those of its constructor.
        returns: The annotation of the result, or of a constant.
        members: Public methods and properties of a class, those of its bases in this package too.
        node: Where it is defined.
    """

    name: str
    kind: str
    docstring: str
    parameters: tuple[Parameter, ...]
    returns: str
    members: tuple["Entry", ...]
    node: ast.AST

    def signature(self, longest: float = MAX_SIGNATURE) -> str:
        """The call as written, on one line of at most so many characters or with a line for each parameter."""
        if self.kind in ("constant", "property"):
            return f"{self.name}: {self.returns}" if self.returns else self.name
        arrow = f" -> {self.returns}" if self.returns and self.kind != "class" else ""
        line = f"{self.name}({', '.join(map(str, self.parameters))}){arrow}"
        if len(line) <= longest:
            return line
        return "\n".join([f"{self.name}(", *(f"    {parameter}," for parameter in self.parameters), f"){arrow}"])


@dataclass(frozen=True)
class Module:
    """One file of the package.

    Attributes:
        name: Dotted.
        docstring: Of the module.
        entries: What it defines, in its order.
    """

    name: str
    docstring: str
    entries: tuple[Entry, ...]


@cache
def tree_of(module: str) -> ast.Module:
    """The syntax tree of a module.

    Args:
        module: Dotted name.

    Returns:
        The tree.
    """
    path = ROOT / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def modules() -> list[Module]:
    """Every module of the package, in the order of the layers that the architecture document tells."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    layers: dict[str, int] = {}
    for layer, cell in re.findall(r"^\| (\d+) \| ([^|]+) \|", text, re.M):
        layers |= {name.removesuffix(".py").removesuffix("/"): int(layer) for name in re.findall(r"`([^`]+)`", cell)}
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / PACKAGE).rglob("*.py")
    ]
    names = sorted(names, key=lambda name: (layers.get([*name.split("."), ""][1], -1), name))
    return [Module(name, ast.get_docstring(tree_of(name)) or "", tuple(_entries(name))) for name in names]


@cache
def documented() -> list[Module]:
    """The modules of the reference, of packages that say what they export with that and nothing else."""
    found = []
    for module in modules():
        package = ".".join(module.name.split(".")[:2])
        exported = set(exports(package).values()) if package.count(".") else set()
        entries = tuple(entry for entry in module.entries if not exported or (module.name, entry.name) in exported)
        if entries or module.name == package:
            found.append(Module(module.name, module.docstring, entries))
    return found


def exports(module: str) -> dict[str, tuple[str, str]]:
    """What a package promises: the names of its ``__all__``, and the module and name by which each is defined.

    Args:
        module: Dotted name of a package.

    Returns:
        Names, without ``__version__``, in alphabetical order.
    """
    tree = tree_of(module)
    assigned = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if "_HOMES" in assigned:
        homes: dict[str, str] = ast.literal_eval(assigned["_HOMES"])
        places = {name: f"{module}.{home}" for name, home in homes.items()}
    elif "__all__" in assigned:
        places = dict.fromkeys(ast.literal_eval(assigned["__all__"]), module)
    else:
        return {}
    return {name: _definition(place, name) for name, place in sorted(places.items())}


def _definition(module: str, name: str) -> tuple[str, str]:
    """Where a name is defined: imports within the package are followed."""
    for node in tree_of(module).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _definition(node.module or "", alias.name)
    return module, name


def _entries(module: str) -> Iterator[Entry]:
    body = tree_of(module).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, FunctionNode) and not node.name.startswith("_"):
            yield function_entry(node, "function")
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield _class_entry(module, node)
        else:
            yield from _constant(node, after)


def _constant(node: ast.stmt, after: ast.stmt | None) -> Iterator[Entry]:
    """A name that is assigned and documented by the string behind it."""
    target: ast.expr
    if isinstance(node, ast.AnnAssign):
        target, annotation = node.target, ast.unparse(node.annotation)
    elif isinstance(node, ast.Assign):
        target, annotation = node.targets[0], ""
    else:
        return
    if not isinstance(target, ast.Name) or target.id.startswith("_"):
        return
    text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
    if isinstance(text, str) and text:
        yield Entry(target.id, "constant", text, (), annotation, (), node)


def function_entry(node: FunctionNode, kind: str) -> Entry:
    """A function or method as an entry.

    Args:
        node: Its definition.
        kind: What it is.

    Returns:
        The entry.
    """
    decorators = {ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list}
    if kind == "method" and decorators & {"property", "cached_property"}:
        kind = "property"
    skipped = 1 if kind in ("method", "property") and "staticmethod" not in decorators else 0
    returns = "" if node.returns is None else _unquoted(node.returns)
    parameters = tuple(_parameters(node.args))[skipped:]
    return Entry(node.name, kind, ast.get_docstring(node) or "", parameters, returns, (), node)


def _parameters(arguments: ast.arguments) -> Iterator[Parameter]:
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    for argument, default in zip(plain, defaults, strict=True):
        yield _parameter(argument, default)
    if arguments.vararg is not None:
        yield _parameter(arguments.vararg, None, "*")
    elif arguments.kwonlyargs:
        yield Parameter("*", "")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default)
    if arguments.kwarg is not None:
        yield _parameter(arguments.kwarg, None, "**")


def _parameter(argument: ast.arg, default: ast.expr | None, stars: str = "") -> Parameter:
    annotation = "" if argument.annotation is None else _unquoted(argument.annotation)
    return Parameter(stars + argument.arg, annotation, None if default is None else ast.unparse(default))


def _unquoted(annotation: ast.expr) -> str:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation)


def bases_of(module: str, node: ast.ClassDef) -> Iterator[tuple[str, ast.ClassDef]]:
    """The bases of a class that are defined in this package, nearest first, each with its module.

    Args:
        module: Where the class is defined.
        node: The class.

    Yields:
        Module and class.
    """
    for base in node.bases:
        if not isinstance(base, ast.Name):
            continue
        home, name = _definition(module, base.id)
        for candidate in tree_of(home).body:
            if isinstance(candidate, ast.ClassDef) and candidate.name == name:
                yield home, candidate
                yield from bases_of(home, candidate)


def is_dataclass(node: ast.ClassDef) -> bool:
    """Whether a class is decorated as a dataclass."""
    return any(ast.unparse(decorator).split("(")[0] == "dataclass" for decorator in node.decorator_list)


def _class_entry(module: str, node: ast.ClassDef) -> Entry:
    family = [node, *(base for _, base in bases_of(module, node))]
    members: dict[str, Entry] = {}
    for kind in family:
        for part in kind.body:
            if not isinstance(part, FunctionNode) or (part.name.startswith("_") and part.name != "__call__"):
                continue
            if part.name not in members and ast.get_docstring(part):
                members[part.name] = function_entry(part, "method")
    return Entry(
        node.name, "class", ast.get_docstring(node) or "", _constructor(family), "", tuple(members.values()), node
    )


def _constructor(family: list[ast.ClassDef]) -> tuple[Parameter, ...]:
    if is_dataclass(family[0]):
        fields: dict[str, Parameter] = {}
        for kind in reversed(family):
            for part in kind.body:
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    annotation = ast.unparse(part.annotation)
                    if not annotation.startswith("ClassVar"):
                        fields[part.target.id] = _field(part.target.id, annotation, part.value, fields)
        return tuple(fields.values())
    for kind in family:
        for part in kind.body:
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                return tuple(_parameters(part.args))[1:]
    return ()


def _field(name: str, annotation: str, value: ast.expr | None, inherited: dict[str, Parameter]) -> Parameter:
    if not isinstance(value, ast.Call):
        return Parameter(name, annotation, None if value is None else ast.unparse(value))
    maker = ast.unparse(value.func)
    keywords = {keyword.arg: keyword.value for keyword in value.keywords}
    if maker == "option":
        return Parameter(name, annotation, ast.unparse(value.args[0]), ast.literal_eval(value.args[1]))
    if maker == "_other_default":
        before = inherited.get(name)
        return Parameter(name, annotation, ast.unparse(value.args[1]), before.help if before else "")
    if "default_factory" in keywords:
        factory = keywords["default_factory"]
        made = ast.unparse(factory.body) if isinstance(factory, ast.Lambda) else f"{ast.unparse(factory)}()"
        return Parameter(name, annotation, made)
    if "default" in keywords:
        metadata = ast.literal_eval(keywords["metadata"]) if "metadata" in keywords else {}
        return Parameter(name, annotation, ast.unparse(keywords["default"]), metadata.get("help", ""))
    return Parameter(name, annotation, ast.unparse(value))
