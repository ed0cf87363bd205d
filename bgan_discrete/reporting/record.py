"""What a run has left in its folder, read for a report."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bgan_discrete.config import CONFIGS, read_config_values
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.manifests import file_inside, read_bytes, read_json
from bgan_discrete.metrics.figure import Figure, figures_of
from bgan_discrete.training.run_log import read_metrics

MAX_BYTES = 2**26
"""Of a file of a run that a report reads."""

FACTS, NEIGHBOURS, ROUNDS, PAGE = "facts.json", "neighbours.png", "rounds.png", "report.html"

SAMPLE_FILES = ("samples.txt", "samples.csv")
"""Where a run may have written its samples as lines."""

NOT_OPTIONS = ("output_dir", "resume", "overwrite")
"""What says where a run is rather than what it is."""


@dataclass(frozen=True)
class Option:
    """An option of a run, with the value that was used."""

    name: str
    value: Any
    default: Any
    help: str

    @property
    def flag(self) -> str:
        """As a command line has it."""
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder tells it; what it has not written yet, or was not to write, is empty."""

    root: Path
    kind: str
    options: dict[str, Option]
    lines: list[dict[str, Any]]
    report: dict[str, Any]
    facts: dict[str, Any]
    samples: tuple[str, ...]
    figures: dict[str, Figure]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.resolve().name

    @property
    def values(self) -> dict[str, Any]:
        """The options' values by their names."""
        return {name: option.value for name, option in self.options.items()}

    @property
    def noun(self) -> str:
        """What the samples are, in the plural."""
        return str(self.report.get("noun") or "samples")

    def frames(self) -> list[tuple[int, Path]]:
        """The samples as training went: (step, file), by step."""
        found = [(path.stem.removeprefix("step-"), path) for path in (self.root / "samples").glob("step-*.*")]
        return sorted((int(step), path) for step, path in found if step.isdecimal())


def load_record(folder: str | Path) -> RunRecord:
    """What is in a run's folder; InputError if it is none, or a file in it cannot be read."""
    root = Path(folder)
    config = root / "config.yaml"
    if not is_inside(config, root):
        raise InputError(f"run {str(root)!r} is not the folder of a run: there is no {config.name} in it")
    values = read_config_values(config)
    if "dataset" not in values:
        raise InputError(f"{config} does not hold the options of a run")
    kind = max(CONFIGS, key=lambda name: len(_known_options(name).keys() & values.keys()))
    metrics = root / "metrics.jsonl"
    lines = read_metrics(metrics) if is_inside(metrics, root) else []
    report = read_mapping(root / "report.json")
    written = next((root / name for name in SAMPLE_FILES if is_inside(root / name, root)), None)
    return RunRecord(
        root,
        kind,
        _options(values, kind),
        [line for line in lines if isinstance(line, dict) and isinstance(line.get("step"), int)],
        report,
        read_mapping(root / FACTS),
        () if written is None else tuple(read_lines(written)),
        figures_of(report),
    )


def _known_options(kind: str) -> dict[str, tuple[Any, str]]:
    """Default and help of each option of a kind."""
    sections = (section.default_factory for section in fields(CONFIGS[kind]))
    return {e.name: (e.default, e.metadata["help"]) for section in sections for e in fields(section)}  # type: ignore[arg-type]


def _options(values: dict[str, Any], kind: str) -> dict[str, Option]:
    """In the order of the configuration; unknown ones at the end."""
    known = _known_options(kind)
    names = [*(name for name in known if name in values), *(name for name in values if name not in known)]
    return {name: Option(name, values[name], *known.get(name, (None, ""))) for name in names}


def is_inside(path: Path, root: Path) -> bool:
    """Whether there is a file; InputError for what is none, or a link that leads out of the run's folder."""
    return os.path.lexists(path) and bool(file_inside(path.parent, path.name, f"run {str(root)!r}", root))


def read_lines(path: Path) -> list[str]:
    """The lines of a file of samples; only a line feed ends one."""
    # Read as bytes: a text file would take the other line breaks, which a text may hold, for line feeds.
    try:
        return read_bytes(path, MAX_BYTES).decode("utf-8", errors="replace").removesuffix("\n").split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is no file."""
    if not is_inside(path, path.parent):
        return {}
    try:
        value = read_json(path, MAX_BYTES)
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {one_line(error)}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} does not hold a JSON object")
    return value
