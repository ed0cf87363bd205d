"""What a run has left in its folder, read for a report."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bgan_discrete.config import read_config_values
from bgan_discrete.durable import file_inside, read_bytes, read_json
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.metrics.figure import Figure, figures_of
from bgan_discrete.training.run_log import read_metrics

MAX_BYTES = 2**26
"""Of a file of a run that a report reads."""

FACTS, NEIGHBOURS, PAGE = "facts.json", "neighbours.png", "report.html"

Kind = Literal["images", "text", "rows"]


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder tells it.

    Attributes:
        root: The folder.
        kind: Images, text, or rows of an array or a table.
        options: All options by their names.
        lines: Of ``metrics.jsonl``; empty if there are none yet.
        report: ``report.json``; empty if no metrics were taken.
        facts: ``facts.json``; empty if there are none.
        samples: Texts or rows of the final model, one a line; empty for images.
        figures: The final metrics that ``report`` holds.
    """

    root: Path
    kind: Kind
    options: dict[str, Any]
    lines: list[dict[str, Any]]
    report: dict[str, Any]
    facts: dict[str, Any]
    samples: tuple[str, ...]
    figures: dict[str, Figure]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.resolve().name

    def frames(self) -> list[tuple[int, Path]]:
        """The samples as training went: (step, file), by step."""
        suffix = {"images": ".png", "text": ".txt", "rows": ".csv"}[self.kind]
        found = [
            (int(path.stem.removeprefix("step-")), path)
            for path in (self.root / "samples").glob(f"step-*{suffix}")
            if path.stem.removeprefix("step-").isdecimal()
        ]
        return sorted(found)


def load_record(folder: str | Path) -> RunRecord:
    """Read a run's folder.

    Args:
        folder: Of a run of ``scripts/train_images.py``, ``train_text.py`` or ``train_array.py``, finished or not.

    Returns:
        What is there.

    Raises:
        InputError: If it is not the folder of a run, or a file in it cannot be read.
    """
    root = Path(folder)
    config = root / "config.yaml"
    if not is_inside(config, root):
        raise InputError(f"run {str(root)!r} is not the folder of a run: there is no {config.name} in it")
    options = read_config_values(config)
    if "dataset" not in options:
        raise InputError(f"{config} does not hold the options of a run")
    kind: Kind = "text" if "tokenizer" in options else "rows" if "max_categories" in options else "images"
    metrics, texts = root / "metrics.jsonl", root / ("samples.csv" if kind == "rows" else "samples.txt")
    lines = read_metrics(metrics) if is_inside(metrics, root) else []
    return RunRecord(
        root,
        kind,
        options,
        [line for line in lines if isinstance(line, dict) and isinstance(line.get("step"), int)],
        report := read_mapping(root / "report.json"),
        read_mapping(root / FACTS),
        tuple(read_lines(texts)) if is_inside(texts, root) else (),
        figures_of(report),
    )


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
