"""Functions that other processes run for the tests of programs: samples are integers or faults, as text.

Processes import this anew: it is quick.
"""

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

DELAY = 0.01

FAULTS = {
    "raise": "'raise': ValueError: it is refused",
    "leave": "'leave': SystemExit: left",
    "two": "'two': it gave an array of shape [2] for 1 samples instead of a number for each",
    "word": "'word': it gave ['word'] instead of numbers",
    "inf": "'inf': it gave inf, which is no finite number",
    "nan": "'nan': it gave nan, which is no finite number",
    "hang": "'hang': it took more than 0.5 s",
    "exit": "'exit': it ended its process (3)",
    "crash": "'crash': it ended its process by SIGSEGV",
}
"""Of each fault what is said of it, with a limit of 0.5 seconds."""


def halves(texts: Sequence[str]) -> list[float]:
    return [int(text) / 2 for text in texts]


def faulty(texts: Sequence[str]) -> list[Any]:
    """Halves, and a fault wherever a text names one."""
    if "raise" in texts:
        raise ValueError("it is\nrefused")
    if "leave" in texts:
        sys.exit("left")
    if "exit" in texts:
        os._exit(3)
    if "crash" in texts:
        ctypes.string_at(0)
    while "hang" in texts:
        time.sleep(0.01)
    numbers: list[Any] = []
    for text in texts:
        numbers += [text] if text == "word" else [0, 0] if text == "two" else [float(text) / 2]
    return numbers


def slow_halves(texts: Sequence[str]) -> list[float]:
    time.sleep(DELAY * len(texts))
    return halves(texts)


def slow_together(texts: Sequence[str]) -> list[float]:
    """Far quicker alone."""
    time.sleep(DELAY * len(texts) ** 3)
    return halves(texts)


def is_torch_there(texts: Sequence[str]) -> list[bool]:
    return ["torch" in sys.modules] * len(texts)


def process_ids(texts: Sequence[str]) -> list[int]:
    time.sleep(DELAY * len(texts))
    return [os.getpid()] * len(texts)


def hangs_with_a_child(texts: Sequence[str]) -> list[float]:
    """A text names a file that gets the two processes' numbers."""
    child = subprocess.Popen(["sleep", "60"])
    Path(texts[0]).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(60)
    return [0.0]


def sums(planes: np.ndarray) -> np.ndarray:
    return planes.sum((1, 2))


def sums_of_rows(table: Any) -> list[float]:
    """Of a data frame."""
    if (table["a"] == 0).any():
        raise ValueError("no zeros")
    return [table["a"][row] + table["b"][row] for row in range(len(table))]
