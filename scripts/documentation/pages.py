"""The site that `make docs` builds: the pages of the repository where they are, and a page for each documented module.

`mkdocs.yml` names this file as its hooks.
"""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pygments.formatters import HtmlFormatter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from documentation.notebooks import TUTORIALS, notebook
from documentation.sources import PACKAGE, PROMISED, ROOT, Module, documented, exports

BESIDES = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "data/digits/README.md", "examples/standalone.py",
    "examples/graphs.py", "examples/own_data.ipynb",
)  # fmt: skip
"""Files of the repository that the site has besides those of ``docs/``."""

NavItem = dict[str, Any]


def on_config(config: MkDocsConfig) -> None:
    """Order the pages: those of ``docs/`` as their index names them, then the modules by layer."""
    guide = re.findall(r"^\| \[[^]]+\]\(([^)#]+\.md)\)", _text("docs/index.md"), re.M)
    config.nav = [
        {"Overview": "README.md"},
        {"Guide": ["docs/index.md", *(f"docs/{name}" for name in guide)]},
        {"Reference": ["reference/index.md", *_reference_nav()]},
        {"Development": ["CONTRIBUTING.md", "CHANGELOG.md", {"The digits": "data/digits/README.md"}]},
    ]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Give every file its place in the repository, so that one link works in both; add what is built from sources."""
    others = [file for file in files if file.src_dir != config.docs_dir]
    own = [*BESIDES, *(f"docs/{file.src_uri}" for file in files if file.src_dir == config.docs_dir)]
    built = {"reference/index.md": _index()}
    built |= {_path_of(module): _module_page(module) for module in documented()[1:]}
    built |= {f"docs/notebooks/{name}": notebook(_text(f"docs/{page}")) for page, name in TUTORIALS.items()}
    built["highlight.css"] = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    return Files(
        [
            *others,
            *(File(name, str(ROOT), config.site_dir, config.use_directory_urls) for name in own),
            *(File.generated(config, name, content=text) for name, text in built.items()),
        ]
    )


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show the way from a tutorial to its notebook."""
    name = page.file.src_uri.removeprefix("docs/")
    if name not in TUTORIALS:
        return markdown
    title, rest = markdown.split("\n", maxsplit=1)
    return f"{title}\n\n[This page as a notebook](notebooks/{TUTORIALS[name]})\n{rest}"


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _path_of(module: Module) -> str:
    """The page of a module; that of a package is the index of a folder."""
    path = module.name.removeprefix(f"{PACKAGE}.").replace(".", "/")
    return f"reference/{path}/index.md" if _is_package(module.name) else f"reference/{path}.md"


def _is_package(name: str) -> bool:
    return (ROOT / name.replace(".", "/")).is_dir()


def _reference_nav() -> list[NavItem]:
    rooms: dict[str, list[NavItem]] = {}
    for module in documented()[1:]:
        _, room, *rest = module.name.split(".")
        rooms.setdefault(room, []).append({".".join(rest) or room: _path_of(module)})
    return [{room: pages} if len(pages) > 1 else pages[0] for room, pages in rooms.items()]


def _module_page(module: Module) -> str:
    lines = [f"# {module.name}", "", f"::: {module.name}", "    options:", "      members:"]
    lines += [f"        - {entry.name}" for entry in module.entries]
    return "\n".join(lines) + "\n"


def _index() -> str:
    lines = [
        "# Reference",
        "",
        "The names in these tables are the public interface: they change on purpose only, and the changelog says so.",
        "The pages tell of more, down to the functions of each module, which may change between versions.",
    ]
    for package in PROMISED:
        lines += ["", f"## from {package} import ...", "", "| name | what it is |", "| --- | --- |"]
        for name, entry in exports(package).items():
            text = entry.docstring.value if entry.docstring else ""
            first = " ".join(text.split("\n\n", maxsplit=1)[0].split()).replace("|", "\\|")
            lines.append(f"| [`{name}`][{entry.path}] | {first} |")
    return "\n".join(lines) + "\n"
