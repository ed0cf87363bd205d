"""Pages and cards from the templates in ``templates/``: whatever is put into one is escaped, unless it is markup."""

import json
import re
from pathlib import Path
from typing import Any

from bgan_discrete.errors import visible

TEMPLATES = Path(__file__).parent / "templates"


def render(name: str, **values: Any) -> str:
    """Fill a page (``.html``) or card (``.md``) template; ValueError if it asks for a name that the values lack.

    Strings are escaped for the file's language, unless they are ``Markup``, and control characters become visible.
    """
    import jinja2

    is_page = name.endswith(".html")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=is_page,
        finalize=_shown if is_page else _shown_in_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template(name)
    try:
        return template.render(values)
    except jinja2.UndefinedError as error:
        raise ValueError(str(error)) from None


def markup(text: str) -> str:
    """Text that goes into a template as it is."""
    from markupsafe import Markup

    return Markup(text)


def escaped(text: str) -> str:
    """Text that Markdown and HTML take for nothing but text, on one line."""
    text = re.sub(r"[&\\`*_\[\]<>#|~$@]", lambda found: f"&#{ord(found[0])};", unbroken(text))
    # What looks like an address would become a link.
    return text.replace("://", "&#58;//").replace("www.", "www&#46;")


def unbroken(text: str) -> str:
    """Text whose line breaks, control characters and changes of direction are written as escapes."""
    return "".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text)


def _shown(value: Any) -> Any:
    return visible(value, keep="\n") if type(value) is str else value


def _shown_in_markdown(value: Any) -> Any:
    return escaped(value) if type(value) is str else value
