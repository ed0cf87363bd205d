"""Options of data that hold one of two things, taken apart."""

import re
from pathlib import Path
from typing import Any

EMBEDDED = {
    "digits": "images", "arithmetic": "text", "python-docs": "text", "records": "arrays", "motifs": "arrays",
    "table": "arrays",
}  # fmt: skip
"""Data sets that are a part of the package, each with its kind."""

DECODINGS = ("inside", "median", "ranges")
"""What the bins of a table's numbers become in samples."""

_HUB_ID = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)@(?P<revision>[\w./-]+)", re.ASCII)


def split_revision(dataset: str) -> tuple[str, str | None]:
    """A data set's name without the revision behind its Hub id, and that, or None, as of an existing file."""
    found = _HUB_ID.fullmatch(dataset)
    if found is None or Path(dataset).exists():
        return dataset, None
    return found["name"], found["revision"]


def split_holdout(holdout: float | str) -> dict[str, Any]:
    """The arguments of a loader that ``holdout`` stands for: a share of the data, or another file."""
    return {"heldout": holdout} if isinstance(holdout, str) else {"holdout": holdout}
