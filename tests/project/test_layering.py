"""Imports run one way along the data's path, between folders and inside them, and no module hides a library."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from tokenize import NAME

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "bgan_discrete"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("checks", "durable", "manifests", "parallel", "space", "streams", "templating"),
    ("devices", "distributions", "programs"),
    ("game",),
    ("rivals",),
    ("codecs",),
    ("sources", "imaging"),
    ("nn",),
    ("metrics",),
    ("config", "diagnosis", "publishing"),
    ("training",),
    ("run_folder", "rewards"),
    ("reporting",),
    ("kinds",),
    ("models",),
    ("runs",),
    ("command_line",),
    ("__main__",),
)

ORDERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "command_line": (("process", "flags", "completion", "examples"), ("calls",), ("verbs",)),
    "codecs": (
        ("base", "values", "dates"),
        ("binary", "levels", "palette", "arrays", "text"),
        ("characters", "pieces", "columns", "column_kinds", "identifiers"),
        ("cutting",),
        ("fitting",),
        ("tables",),
        ("factory",),
    ),
    "config": (
        ("checks", "data", "yaml_files"),
        ("option",),
        ("targets", "training", "rounds"),
        ("script",),
        ("images", "text", "arrays"),
    ),
    "diagnosis": (
        ("findings",),
        ("advice",),
        ("windows", "outcome_rules"),
        ("training_rules", "judge_rules"),
        ("watch",),
    ),
    "distributions": (
        ("protocol", "sampling", "endings", "orders"),
        ("factorized", "vocabulary", "hiding", "partly_drawn"),
        ("columns", "sequence", "autoregressive", "one_round"),
        ("conditionals",),
        ("rounds",),
        ("asked",),
    ),
    "kinds": (
        ("registry",),
        ("kind", "finding"),
        ("aims",),
        ("sample_files", "conditions"),
        ("given",),
        ("constraints",),
        ("images", "text"),
        ("arrays",),
    ),
    "models": (("format",), ("sampling", "obeying"), ("drawing", "saving"), ("pipeline",)),
    "runs": (
        ("model_card", "starts", "discriminators", "rounds"),
        ("evaluate", "generate", "compare_tables"),
        ("train",),
        ("fit",),
    ),
    "rewards": (("pairs", "figures"), ("stop_rule",), ("adversarial",), ("callback",)),
    "reporting": (
        ("record", "neighbours", "charts", "rounds", "course", "table_parts"),
        ("pictures",),
        ("page",),
        ("recording",),
    ),
    "programs": (("functions",), ("jobs", "worker"), ("pool",), ("program",)),
    "sources": (
        (
            "settings",
            "storage",
            "conservation",
            "parquet_files",
            "code_store",
            "holdout",
            "arithmetic",
            "examples",
            "dtypes",
            "rules",
            "column_settings",
        ),
        ("data", "folders", "lines"),
        ("text_files", "tables", "table_files"),
        ("rows", "values"),
        ("pictures", "dataset_rows", "numpy_files", "decoding"),
        ("framing", "array_reading", "digests"),
        ("text",),
        ("arrays", "matched_tables"),
        ("cache",),
        ("images",),
    ),
}
"""Folders whose modules import only from those that stand before them in this order."""

LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}

WITHOUT_TORCH = (
    "errors", "checks", "durable", "manifests", "streams", "programs", "codecs", "sources", "training.batches",
    "imaging", "command_line",
    "config", "kinds.finding", "metrics.figure", "diagnosis", "reporting", "publishing.card", "publishing.hub",
)  # fmt: skip
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def name_of(path: Path) -> str:
    """The module in a file, as an import names it."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imports_of(source: str) -> set[tuple[str, str]]:
    """Modules and names that a program imports: at its top, inside a function, or for a type checker alone."""
    imports = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imports |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno}"
            imports |= {(node.module or "", alias.name) for alias in node.names}
    return {(module, name) for module, name in imports if module.split(".")[0] == "bgan_discrete"}


def import_graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """The modules that each module imports.

    A name of a folder that is no module of it comes from the folder's ``__init__``, which counts as a module of its
    own; that Python runs it before any module of the folder does not count.
    """
    graph = {}
    for module, source in sources.items():
        imported = {f"{room}.{name}" if f"{room}.{name}" in sources else room for room, name in imports_of(source)}
        graph[module] = imported & set(sources)
    return graph


def cycle_in(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules each of which imports the one before it, the first and the last the same; none if there is no cycle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_module_has_a_layer() -> None:
    assert {part_of(path) for path in MODULES} == set(LAYER_OF)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_earlier_layers(path: Path) -> None:
    own = part_of(path)
    for module, name in imports_of(path.read_text(encoding="utf-8")):
        if (module, name) == ("bgan_discrete", "__version__"):
            continue
        imported = f"{module}.{name}".split(".")[1]
        assert imported == own or LAYER_OF[imported] < LAYER_OF[own], f"{path.name} imports {module} against the way"


def test_no_modules_import_each_other() -> None:
    sources = {name_of(path): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    graph = import_graph(sources)
    assert cycle_in(graph) == []
    for module, imports in graph.items():
        folder = module.rpartition(".")[0]
        assert folder == "bgan_discrete" or folder not in imports, f"{module} imports a name of its own folder"


@pytest.mark.parametrize(
    "record",
    [
        "from bgan_discrete.reporting.page import page",
        "from bgan_discrete.reporting import page",
        "import bgan_discrete.reporting.page",
        "def recorded():\n    from bgan_discrete.reporting.page import page",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bgan_discrete.reporting.page import page",
        "from bgan_discrete.reporting import shown_page",
        "from bgan_discrete.reporting.record import Record",
    ],
    ids=["a name", "a module", "import", "in a function", "for types", "of the folder itself", "itself"],
)
def test_a_cycle_would_be_found(record: str) -> None:
    sources = {
        "bgan_discrete": "",
        "bgan_discrete.reporting": "from bgan_discrete.reporting.page import page as shown_page",
        "bgan_discrete.reporting.page": "from bgan_discrete.reporting.html_tables import table",
        "bgan_discrete.reporting.html_tables": "from bgan_discrete.reporting.record import Record",
        "bgan_discrete.reporting.record": record,
    }
    assert "bgan_discrete.reporting.record" in cycle_in(import_graph(sources))
    assert cycle_in(import_graph({**sources, "bgan_discrete.reporting.record": "import bgan_discrete.reporting"}))
    assert cycle_in(import_graph({**sources, "bgan_discrete.reporting.record": "import json"})) == []


def test_every_module_of_an_ordered_folder_has_its_place() -> None:
    for folder, order in ORDERS.items():
        modules = {path.stem for path in (PACKAGE / folder).glob("*.py")} - {"__init__"}
        assert modules == {name for names in order for name in names}, folder


@pytest.mark.parametrize("folder", ORDERS)
def test_a_module_of_an_ordered_folder_imports_only_from_earlier_ones(folder: str) -> None:
    place_of = {name: place for place, names in enumerate(ORDERS[folder]) for name in names}
    sources = {name_of(path): path.read_text(encoding="utf-8") for path in (PACKAGE / folder).glob("*.py")}
    room = f"bgan_discrete.{folder}"
    for module, imports in import_graph(sources).items():
        own = module.removeprefix(f"{room}.")
        for imported in () if module == room else imports:
            assert place_of[imported.removeprefix(f"{room}.")] < place_of[own], f"{own} imports {imported}"


def test_the_architecture_document_tells_the_same_layers() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", text, flags=re.MULTILINE)
    told = {
        name.removesuffix(".py").removesuffix("/"): int(layer)
        for layer, cell in rows
        for name in re.findall(r"`([^`]+)`", cell)
        if not name.startswith("scripts")
    }
    assert told == LAYER_OF


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_is_named_like_a_library(path: Path) -> None:
    libraries = set(sys.stdlib_module_names) | {
        "torch", "numpy", "datasets", "sentencepiece", "einops", "safetensors", "yaml", "tqdm", "PIL",
    }  # fmt: skip
    assert path.stem == "__init__" or path.stem not in libraries


def test_these_modules_do_not_wait_for_torch() -> None:
    names = ", ".join(f"bgan_discrete.{name}" for name in WITHOUT_TORCH)
    program = f"import {names}, sys; print('torch' in sys.modules, 'datasets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "False"]


GAME = sorted((PACKAGE / "game").glob("*.py"))
FILES = {"io", "os", "pathlib", "shutil", "tempfile", "glob", "json", "csv", "mmap", "sqlite3", "zipfile", "tarfile"}
OPENERS = {
    "open", "load", "save", "loadtxt", "savetxt", "memmap", "fromfile", "tofile", "from_file", "read_text",
    "read_bytes", "write_text", "write_bytes", "fdopen",
}  # fmt: skip


def reaches(source: str) -> list[str]:
    """What a program of the game imports beside torch, einops and the package, and what in it opens a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            found += [called] if called.split(".")[-1] in OPENERS else []
        for name in names:
            top = name.split(".")[0]
            is_known = top in ("torch", "einops", "bgan_discrete") or top in sys.stdlib_module_names - FILES
            found += [] if is_known else [name]
    return found


@pytest.mark.parametrize("path", GAME, ids=lambda path: path.name)
def test_the_game_needs_torch_and_einops_and_opens_no_file(path: Path) -> None:
    assert reaches(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import numpy as np", "from scipy import stats", "def f():\n    import pandas", "from pathlib import Path",
        "import os", "open('a')", "torch.save(x, p)", "torch.load(p, weights_only=True)", "p.read_text()",
    ],
)  # fmt: skip
def test_a_library_or_a_file_of_the_game_would_be_found(line: str) -> None:
    assert reaches(line)
    assert reaches("import math\nimport torch.nn\nfrom einops import rearrange\nmodel.load_state_dict(s)") == []


def test_the_step_fits_on_a_screen_and_knows_nothing_of_how_networks_run() -> None:
    source = (PACKAGE / "game" / "step.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 120
    words = [token.string for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == NAME]
    for word in ("autocast", "chunk", "DistributedDataParallel"):
        assert not [found for found in words if word.lower() in found.lower()]


UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def unpickling(source: str) -> list[str]:
    """What in a program could execute something that a file holds."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module] if (node.module or "").split(".")[0] in UNPICKLERS else []
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called.endswith("torch.load") and given.get("weights_only") != "True":
                found.append(ast.unparse(node))
            if called in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
                found.append(ast.unparse(node))
            if given.get("allow_pickle", "False") != "False" or given.get("weights_only", "True") != "True":
                found.append(ast.unparse(node))
            if "trust_remote_code" in given or called in ("eval", "exec", "torch.jit.load", "pd.read_pickle"):
                found.append(ast.unparse(node))
            if called.startswith("yaml.") and "load" in called and called != "yaml.safe_load":
                found.append(ast.unparse(node))
    return found


def test_nothing_is_unpickled() -> None:
    for path in [*MODULES, *(ROOT / "scripts").rglob("*.py"), *(ROOT / "data").rglob("*.py")]:
        assert unpickling(path.read_text(encoding="utf-8")) == [], path


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from pickle import loads", "import joblib.numpy_pickle", "def f():\n    import dill",
        "torch.load(p)", "torch.load(p, weights_only=False)", "torch.load(p, weights_only=flag)", "np.load(p)",
        "np.load(p, allow_pickle=True)", "np.savez(p, allow_pickle=True)", "yaml.load(p)", "yaml.unsafe_load(p)",
        "eval(text)", "load_dataset(p, trust_remote_code=True)",
    ],
)  # fmt: skip
def test_unpickling_would_be_found(line: str) -> None:
    assert unpickling(line)


def test_reading_without_unpickling_is_no_alarm() -> None:
    harmless = "torch.load(p, weights_only=True)\nnp.load(p, allow_pickle=False)\nyaml.safe_load(t)\nmodel.eval()"
    assert unpickling(harmless) == []
