"""A short form of the fuzz trial: drawn nonsense is used, or refused in one line, and leaves nothing behind."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bgan_discrete.errors import BGANError, InputError

ROOT = Path(__file__).resolve().parents[2]
trial: Any = importlib.import_module("trials.fuzz")

EXAMPLES = {
    "configurations": 60,
    "yaml": 40,
    "images": 30,
    "image_files": 12,
    "array_files": 20,
    "trainers": 12,
    "codecs": 40,
    "codec_files": 40,
    "texts": 25,
    "models": 25,
    "command_lines": 12,
    "processes": 1,
    "messages": 40,
}


@pytest.fixture(scope="module")
def room() -> Iterator[Any]:
    with trial.open_room() as opened:
        yield opened


def test_every_kind_is_tried() -> None:
    assert set(EXAMPLES) == set(trial.KINDS) == set(trial.SHARES)


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_nonsense_is_used_or_refused(room: Any, kind: str) -> None:
    assert trial.fuzz(room, kind, EXAMPLES[kind], None) == []
    assert room.outcomes[kind, "used"] + room.outcomes[kind, "refused"] >= EXAMPLES[kind] // 2


def broken(room: Any) -> Any:
    from hypothesis import strategies as st

    def run(example: int) -> None:
        def call() -> None:
            if example % 2:
                raise InputError("an odd number")
            if example > 6:
                raise KeyError("of somebody else")

        trial.attempt(room, "broken", call)

    return st.integers(0, 9), run


def littering(room: Any) -> Any:
    from hypothesis import strategies as st

    return st.just(0), lambda _: trial.attempt(room, "littering", Path("litter").touch)


def slow(room: Any) -> Any:
    import time

    from hypothesis import strategies as st

    return st.just(0), lambda _: trial.attempt(room, "slow", lambda: time.sleep(9), 0.05)


def wordy(room: Any) -> Any:
    from hypothesis import strategies as st

    def call() -> None:
        raise BGANError("two\nlines")

    return st.just(0), lambda _: trial.attempt(room, "wordy", call)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (broken, "builtins.KeyError"),
        (littering, "files elsewhere: work/litter"),
        (slow, "over 0.05 s"),
        (wordy, "not one line"),
    ],
)
def test_faults_are_found(kind: Any, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trial.KINDS, kind.__name__, kind)
    with trial.open_room() as own:
        (found,) = trial.fuzz(own, kind.__name__, 50, None)
    assert told in found
    if kind is broken:
        assert "with 8" in found, "the smallest example"
