"""The facts that only the running process knows, and the report that a run leaves however it ends."""

import json
import logging
import math
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from bgan_discrete import __version__
from bgan_discrete.durable import replace_text
from bgan_discrete.errors import one_line
from bgan_discrete.reporting.page import write_report_page
from bgan_discrete.reporting.record import FACTS, read_mapping

_log = logging.getLogger(__name__)


def add_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add facts of plain JSON types to a run's ``facts.json``; what stands there under other names stays."""
    path = folder / FACTS
    known = read_mapping(path)
    text = json.dumps({**known, **_finite(dict(facts))}, indent=2, ensure_ascii=False, allow_nan=False)
    replace_text(path, text + "\n", errors="replace")


@contextmanager
def recorded(folder: Path, description: str, *, is_resumed: bool = False, **facts: Any) -> Iterator[None]:
    """Leave ``report.html`` in a run's folder, which exists, whether the block ends well or in an error.

    A resumed run keeps the time at which it began, and its first command.
    """
    import torch

    versions = {
        "bgan_discrete": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "Python": platform.python_version(),
    }
    began = {"started": time.strftime("%Y-%m-%d %H:%M:%S %z"), "command": sys.argv}
    if is_resumed:
        began |= {name: value for name, value in read_mapping(folder / FACTS).items() if name in began}
    (folder / FACTS).unlink(missing_ok=True)
    known = {"description": description, "versions": versions, "platform": platform.platform()}
    add_facts(folder, {**known, **began, **facts})
    try:
        yield
    except Exception as error:
        # The error itself is what the user must see: no trouble with the page may stand before it.
        with suppress(Exception):
            add_facts(folder, {"failure": one_line(error)})
            write_report_page(folder)
        raise
    try:
        write_report_page(folder)
    except Exception as error:  # the training has ended well, whatever is wrong with its page
        _log.warning("the report of %s cannot be written: %s", folder, one_line(error))


def _finite(value: Any) -> Any:
    """The same with None in the place of numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
