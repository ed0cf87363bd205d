"""The reference as Markdown, and the promised names as plain text."""

import math
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from documentation.docstrings import items, split
from documentation.sources import PACKAGE, PROMISED, Entry, Module, documented, exports

HEADINGS = {"Raises": "Raises", "Returns": "Returns", "Yields": "Yields", "Source": "Source"}
GENERATED = "<!-- Made from the docstrings by scripts/build_docs.py: change those, not this page. -->"


def slug(heading: str) -> str:
    """The anchor that code hosts give a heading.

    Args:
        heading: Its text, as in the Markdown.

    Returns:
        The anchor without the sign before it and without the number that a repetition gets.
    """
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def pages() -> dict[PurePosixPath, str]:
    """Every page of the reference.

    Returns:
        Texts by their path below ``docs/``.
    """
    rooms: dict[str, list[Module]] = {}
    for module in documented():
        if module.name != PACKAGE:
            rooms.setdefault(module.name.split(".")[1], []).append(module)
    made = {PurePosixPath(f"api/{room}.md"): _page(room, held) for room, held in rooms.items()}
    return {PurePosixPath("api/index.md"): _index(rooms), **made}


def listing() -> str:
    """The public interface: a line for each promised name, with its signature, its methods and its fields."""
    known = {(module.name, entry.name): entry for module in documented() for entry in module.entries}
    lines: list[str] = []
    for package in PROMISED:
        for place in exports(package).values():
            entry = known[place]
            lines.append(f"{package}.{entry.signature(math.inf)}")
            members = sorted(entry.members, key=lambda member: member.name)
            lines += (f"{package}.{entry.name}.{member.signature(math.inf)}" for member in members)
    return "\n".join(lines) + "\n"


def _first_sentence(docstring: str) -> str:
    text = " ".join(docstring.split("\n\n", maxsplit=1)[0].split())
    return text.replace("|", "\\|")


def _index(rooms: dict[str, list[Module]]) -> str:
    places: dict[tuple[str, str], tuple[str, Entry]] = {}
    for room, held in rooms.items():
        places |= {(module.name, entry.name): (room, entry) for module in held for entry in module.entries}
    lines = [
        GENERATED,
        "",
        "# Reference",
        "",
        "The names in these tables are the public interface: they change on purpose only, and `CHANGELOG.md` says so.",
        "The pages tell of more, down to the functions of each module, which may change between versions.",
        "",
        "| page | modules |",
        "| --- | --- |",
    ]
    for room, held in rooms.items():
        listed = ", ".join(f"`{module.name}`" for module in held if module.entries)
        lines.append(f"| [{room}]({room}.md) | {listed} |")
    for package in PROMISED:
        lines += ["", f"## `from {package} import ...`", "", "| name | what it is |", "| --- | --- |"]
        for name, place in exports(package).items():
            room, entry = places[place]
            lines.append(f"| [`{name}`]({room}.md#{slug(entry.name)}) | {_first_sentence(entry.docstring)} |")
    return "\n".join(lines) + "\n"


def _page(room: str, held: list[Module]) -> str:
    lines = [GENERATED, "", f"# Reference: {room}", "", "[All names](index.md)", ""]
    for module in held:
        lines += [f"## `{module.name}`", "", *module.docstring.splitlines(), ""]
        for entry in module.entries:
            lines += [f"### {entry.name}", "", *_body(entry)]
            for member in entry.members:
                lines += [f"#### {entry.name}.{member.name}", "", *_body(member)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _body(entry: Entry) -> Iterator[str]:
    yield from ("```text", entry.signature(), "```", "")
    parts = split(entry.docstring)
    yield from (*parts.pop("").splitlines(), "")
    helped = [parameter for parameter in entry.parameters if parameter.help]
    for name, body in parts.items():
        if name in ("Args", "Attributes"):
            yield from (f"- `{argument}`: {text}" for argument, text in items(body).items())
        else:
            yield f"*{HEADINGS[name]}* " + " ".join(body.split())
        yield ""
    if helped:
        yield from (f"- `{parameter.name}`: {parameter.help}" for parameter in helped)
        yield ""
