"""Imports run one way along the data's path, and no module hides a library."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bgan_discrete"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("durable", "parallel", "space", "streams"),
    ("distributions",),
    ("game",),
    ("rivals",),
    ("codecs",),
    ("sources", "imaging", "publishing"),
    ("nn",),
    ("config", "diagnosis"),
    ("training",),
    ("pipeline",),
    ("metrics",),
    ("reporting",),
    ("tasks",),
    ("command_line",),
)
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}

WITHOUT_TORCH = (
    "errors", "durable", "streams", "codecs", "sources", "training.batches", "imaging", "command_line",
    "config", "diagnosis", "reporting", "publishing.card", "publishing.hub",
)  # fmt: skip
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path: Path) -> set[str]:
    """Names of the package's modules that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names} if module == "bgan_discrete" else {module}
    return {name for name in found if name.split(".")[0] == "bgan_discrete"}


def test_every_module_has_a_layer() -> None:
    assert {part_of(path) for path in MODULES} == set(LAYER_OF)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_earlier_layers(path: Path) -> None:
    own = part_of(path)
    for name in imports_of(path):
        parts = name.split(".")
        if parts[1] == "__version__":
            continue
        imported = parts[1]
        assert imported == own or LAYER_OF[imported] < LAYER_OF[own], f"{path.name} imports {name} against the way"


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
        "torch", "numpy", "datasets", "sentencepiece", "einops", "safetensors", "jsonargparse", "yaml", "tqdm", "PIL",
    }  # fmt: skip
    assert path.stem == "__init__" or path.stem not in libraries


def test_these_modules_do_not_wait_for_torch() -> None:
    names = ", ".join(f"bgan_discrete.{name}" for name in WITHOUT_TORCH)
    program = f"import {names}, sys; print('torch' in sys.modules, 'datasets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "False"]


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
