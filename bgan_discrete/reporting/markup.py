"""HTML that is escaped by construction: what is not `Markup` becomes text."""

from html import escape
from typing import Any

VOID = frozenset({"meta", "img", "input", "br", "line", "rect", "polyline", "circle", "path"})
"""Elements without content; the shapes of SVG are closed in place, which HTML allows them."""


class Markup(str):
    """A string that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: Any) -> Markup:
    """An element.

    Args:
        name: Its tag.
        children: `Markup` goes in as it is, anything else as escaped text; None is left out.
        attributes: ``class_`` is ``class``, ``aria_label`` is ``aria-label``. True gives an attribute without a value;
            False and None leave it out.

    Returns:
        The element with its content.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        parts.append(attribute if value is True else f'{attribute}="{escape(str(value))}"')
    if name in VOID:
        return Markup(f"<{' '.join(parts)}/>" if name not in ("meta", "img", "input", "br") else f"<{' '.join(parts)}>")
    return Markup(f"<{' '.join(parts)}>{join(*children)}</{name}>")


def join(*children: object) -> Markup:
    """Several pieces after each other; what is not `Markup` is escaped, and None is left out."""
    return Markup(
        "".join(child if isinstance(child, Markup) else escape(str(child)) for child in children if child is not None)
    )
