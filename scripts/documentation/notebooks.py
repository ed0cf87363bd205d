"""Notebooks of the tutorials: the same text and programs, as cells."""

import json
import re
from typing import Any

TUTORIALS = {
    "tutorial_images.md": "images.ipynb",
    "tutorial_text.md": "text.ipynb",
    "tutorial_tables.md": "tables.ipynb",
}
"""Pages of ``docs/`` and what their notebooks are called, in ``notebooks/`` next to them."""

COMMAND = "!{sys.executable} "
"""What a shell command begins with in a cell: the kernel's own Python, not whichever the shell finds."""

START = """\
# The commands run from the root of the checkout, by the Python of this notebook.
import os
import sys

while not os.path.isdir("scripts") and os.getcwd() != os.path.dirname(os.getcwd()):
    os.chdir("..")"""


def notebook(page: str) -> str:
    """A page as a notebook, without outputs.

    Args:
        page: Markdown; its ``python`` and ``bash`` blocks become cells.

    Returns:
        JSON in the format 4.5.
    """
    cells = [_cell("code", START, 0)]
    for number, (language, text) in enumerate(_parts(page), 1):
        if language == "bash":
            commands = re.sub(r"^bgan ", "python -m bgan_discrete ", text, flags=re.M)
            cells.append(_cell("code", re.sub(r"^python ", lambda _: COMMAND, commands, flags=re.M), number))
        else:
            cells.append(_cell("code" if language == "python" else "markdown", text, number))
    # The text comes first, as on the page.
    cells[:2] = reversed(cells[:2])
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def _parts(page: str) -> list[tuple[str, str]]:
    """Language and text of the page's parts; the language is empty for text."""
    parts = []
    for number, part in enumerate(re.split(r"^```(python|bash)\n(.*?)^```$", page, flags=re.M | re.S)):
        if number % 3 == 0 and part.strip():
            parts.append(("", re.sub(r"\]\((?!http|#)([^)]+)\)", _link_from_a_notebook, part.strip())))
        elif number % 3 == 1:
            language = part
        elif number % 3 == 2:
            parts.append((language, part.strip()))
    return parts


def _link_from_a_notebook(link: re.Match[str]) -> str:
    """Links and pictures lead from where the notebook lies in the site, whose front page is the README."""
    target = link[1].replace("README.md", "index.html").replace(".md", ".html")
    return f"](../{target})"


def _cell(kind: str, text: str, number: int) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell | {"source": text.splitlines(keepends=True)}
