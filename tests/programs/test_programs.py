"""Functions of users as programs: what they give, what a fault costs, and what is left of their processes."""

import contextlib
import gc
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import faulty_programs
import numpy as np
import pandas as pd
import pytest
from refusals import refusal

from bgan_discrete.programs import Failures, Program
from bgan_discrete.programs.functions import rows
from bgan_discrete.programs.jobs import Pace

SECONDS = 0.5


def texts_of(codes: np.ndarray) -> list[str]:
    return [str(code) for code in codes[:, 0].tolist()]


def codes_of(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int16)[:, None]


def is_alive(process: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("processes", [0, 1, 2])
def test_numbers_do_not_depend_on_processes_or_order(processes: int) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 100, 300)
    with Program(faulty_programs.halves, processes) as program:
        for _ in range(3):
            rng.shuffle(numbers)
            np.testing.assert_array_equal(program(codes_of(*numbers), texts_of), numbers / 2)
        assert program(codes_of()[:0], texts_of).shape == (0,)
    usage = program.usage
    distinct = len(set(numbers.tolist()))
    assert (usage.calls, usage.samples, usage.new, usage.cached) == (4, 900, distinct, 900 - distinct)
    assert usage.seconds > 0 and program.failures == Failures()


def of_texts(program: Program, *texts: str) -> np.ndarray:
    """The numbers of texts, whose codes are their characters."""
    codes = np.array([[*text.ljust(5).encode()] for text in texts], np.uint8)
    return program(codes, lambda codes: [bytes(row.tolist()).decode().strip() for row in codes])


@pytest.mark.parametrize("processes", [0, 2])
def test_a_fault_costs_its_sample_alone(processes: int) -> None:
    faults = [name for name, said in faulty_programs.FAULTS.items() if processes or "process" not in said]
    texts = [str(number) for number in range(60)]
    for place, name in enumerate(faults):
        texts.insert(7 * place + 3, name)
    texts += ["60", *faults]
    expected = [math.nan if text in faults else float(text) / 2 for text in texts]
    with Program(faulty_programs.faulty, processes, SECONDS) as program:
        np.testing.assert_array_equal(of_texts(program, "1", "2"), [0.5, 1])
        np.testing.assert_array_equal(of_texts(program, *texts), expected)
        assert program.failures.count == len(faults)
        assert program.failures.example in faulty_programs.FAULTS.values()
        np.testing.assert_array_equal(of_texts(program, "70", faults[0]), [35, math.nan])
        assert program.failures.count == len(faults)


@pytest.mark.parametrize("processes", [0, 1])
def test_the_first_fault_stops(processes: int) -> None:
    with Program(faulty_programs.faulty, processes, SECONDS, on_error="stop", name="verifier") as program:
        np.testing.assert_array_equal(of_texts(program, "1", "2"), [0.5, 1])
        for name in (
            ("raise", "raise", "hang", "exit") if processes else ("raise", "raise", "hang", "two", "word", "nan")
        ):
            said = refusal(partial(of_texts, program, "3", name, "4"))  # twice: it is not taken for known
            assert said == f"verifier failed on {faulty_programs.FAULTS[name]}"
        np.testing.assert_array_equal(of_texts(program, "3", "4"), [1.5, 2])


def test_many_faults_of_both_kinds() -> None:
    def at_fault(number: int) -> bool:
        return number % 3 == 0

    def function(texts: Sequence[str]) -> list[float]:
        if any(at_fault(int(text)) for text in texts):
            raise KeyError(texts[0])
        return [float(text) for text in texts]

    program = Program(function)
    values = program(codes_of(*range(100)), texts_of)
    np.testing.assert_array_equal(np.isnan(values), [at_fault(number) for number in range(100)])
    assert program.failures == Failures(34, "'0': KeyError: '0'")


def test_only_new_samples_are_decoded_and_run() -> None:
    seen: list[str] = []

    def function(texts: Sequence[str]) -> list[bool]:
        seen.extend(texts)
        return [int(text) > 2 for text in texts]

    program = Program(function, cache=3)
    assert program(codes_of(3, 1, 3, 1), texts_of).tolist() == [1, 0, 1, 0]
    assert program(codes_of(1, 2), texts_of).tolist() == [0, 0]
    assert seen == ["3", "1", "2"]
    program(codes_of(3), texts_of)
    program(codes_of(4), texts_of)  # 1 was used least lately
    program(codes_of(3, 2), texts_of)
    assert seen == ["3", "1", "2", "4"]
    program(codes_of(1), texts_of)
    assert seen == ["3", "1", "2", "4", "1"]

    seen.clear()
    forgetful = Program(function, cache=0)
    assert forgetful(codes_of(7, 7), texts_of).tolist() == [1, 1]
    assert forgetful(codes_of(7), texts_of).tolist() == [1]
    assert seen == ["7", "7"]


def test_samples_on_their_way_are_not_run_again() -> None:
    with Program(faulty_programs.slow_halves, 2) as program:
        first = program.submit(codes_of(*range(20)), texts_of)
        second = program.submit(codes_of(*range(10, 25)), texts_of)
        np.testing.assert_array_equal(second.result(), np.arange(10, 25) / 2)
        np.testing.assert_array_equal(first.result(), np.arange(20) / 2)
        assert program.usage.new == 25


@pytest.mark.parametrize("processes", [0, 2])
def test_samples_of_any_kind_are_cut(processes: int) -> None:
    planes = np.arange(24).reshape(6, 2, 2)
    with Program(faulty_programs.sums, processes) as program:
        np.testing.assert_array_equal(program(planes, lambda codes: codes * 2), planes.sum((1, 2)) * 2)
    table = np.arange(12).reshape(6, 2)
    with Program(faulty_programs.sums_of_rows, processes) as program:
        numbers = program(table, lambda codes: pd.DataFrame(codes, columns=["a", "b"]))
        np.testing.assert_array_equal(numbers, [math.nan, *table.sum(1)[1:]])
        assert program.failures == Failures(1, "{'a': 0, 'b': 1}: ValueError: no zeros")
    assert rows(pd.DataFrame({"a": [1, 2, 3]}), 1, 3).index.tolist() == [0, 1]


def test_a_batch_that_takes_too_long_is_tried_one_at_a_time() -> None:
    with Program(faulty_programs.slow_together, 1, SECONDS) as program:
        np.testing.assert_array_equal(program(codes_of(*range(10)), texts_of), np.arange(10) / 2)
        assert program.usage.seconds < 2 * SECONDS
    assert program.failures.count == 0


def test_the_pace_follows_the_function() -> None:
    pace = Pace(8.0)
    pace.saw(1, 0.1)
    pace.saw(2, 0.1)  # fewer than could have been
    assert pace.size == 4
    pace.saw(4, 2.0)
    assert pace.size == 4
    pace.saw(4, 5.0)
    assert pace.size == 2
    pace.saw(1, 9.0)
    assert pace.size == 1


def test_two_processes_take_half_the_time() -> None:
    with Program(faulty_programs.slow_halves, 2) as program:
        program(codes_of(*range(1000, 1040)), texts_of)
        started = time.monotonic()
        pending = program.submit(codes_of(*range(100)), texts_of)
        assert time.monotonic() - started < 0.1
        pending.result()
        alone = 100 * faulty_programs.DELAY
        assert alone / 2 <= time.monotonic() - started < alone


def test_processes_import_neither_torch_nor_the_script() -> None:
    with Program(faulty_programs.is_torch_there, 1) as program:
        assert program(codes_of(1), texts_of).tolist() == [0]


# What the function is.


def test_functions_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_rules.py").write_text(
        "from dataclasses import dataclass\nimport own_helper\n\n@dataclass\nclass Thing:\n    size: 'int'\n\n"
        "def twos(texts):\n    return [own_helper.TWO] * len(texts)\n\nLIMIT = 3\n"
    )
    (tmp_path / "own_helper.py").write_text("TWO = 2\n")
    for processes, text in ((0, "own_rules:twos"), (0, f"{tmp_path}/own_rules.py:twos"), (1, "own_rules.py:twos")):
        with Program(text, processes) as program:
            assert program.text == text
            assert program(codes_of(1, 2), texts_of).tolist() == [2, 2]
    assert Program(faulty_programs.halves).text == "faulty_programs:halves"

    (tmp_path / "broken_rules.py").write_text("import missing_helper\n")
    (tmp_path / "wrong_rules.py").write_text("def f(:\n")
    refused = {
        "own_rules:threes": "name a function of own_rules, got {!r}; it has dataclass, Thing, twos",
        "own_rules.py:LIMIT": "be a function of a batch of samples, got {!r}, which is int",
        "missing_rules:twos": "name a module that can be imported, got {!r}: there is no 'missing_rules' in "
        f"{tmp_path}, and none is installed",
        "missing.py:twos": "name a Python file that exists, got {!r}",
        "broken_rules:f": "be a function that can be imported, got {!r}: ModuleNotFoundError: No module named "
        "'missing_helper'",
        "wrong_rules.py:f": "be a function that can be imported, got {!r}: SyntaxError: invalid syntax "
        "(wrong_rules.py, line 1)",
    }
    for text, said in refused.items():
        program = Program(text, name="verifier")  # nothing is imported
        for use in (program.start, partial(program, codes_of(1), texts_of)):
            assert refusal(use) == f"verifier must {said.format(text)}"


def test_functions_that_processes_cannot_import(tmp_path: Path) -> None:
    rules = tmp_path / "rules.py"
    program = Program(f"{rules}:halves", 1, name="verifier")
    assert refusal(program.start) == f"verifier must name a Python file that exists, got '{rules}:halves'"
    rules.write_text("import os\nos._exit(7)\n")
    assert refusal(lambda: program(codes_of(1), texts_of)) == (
        f"verifier must be a function that can be imported, got '{rules}:halves': it ended its process (7)"
    )
    rules.write_text("def halves(texts):\n    return [int(text) / 2 for text in texts]\n")
    assert program(codes_of(1), texts_of).tolist() == [0.5]  # it was mended
    program.close()


@pytest.mark.parametrize("text", ["halves", ":halves", "faulty_programs:", "faulty programs:f", "a/b:f", "m:f.g", ""])
def test_names_of_another_form_are_refused(text: str) -> None:
    assert refusal(lambda: Program(text, name="reward")) == (
        f"reward must be a function's name, 'module:function' or 'file.py:function', got {text!r}"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processes": -1}, "reward processes must be an integer, 0 .. 1024, got -1"),
        ({"processes": 1.5}, "reward processes must be an integer, 0 .. 1024, got 1.5"),
        ({"seconds": 0}, "reward seconds must be a number above 0, got 0"),
        ({"seconds": math.inf}, "reward seconds must be a number above 0, got inf"),
        ({"on_error": "raise"}, "reward on_error must be one of skip, stop, got 'raise'"),
        ({"cache": -5}, "reward cache must be an integer of at least 0, got -5"),
        ({"function": 3}, "reward must be a function of a batch of samples, got an object of type int"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    assert refusal(lambda: Program(**{"function": faulty_programs.halves, "name": "reward", **options})) == message


def test_functions_that_other_processes_do_not_find_are_refused() -> None:
    def inner(texts: Sequence[str]) -> list[float]:
        return [0.0] * len(texts)

    in_a_script = partial(inner)
    in_a_script.__module__ = "__main__"
    for function in (lambda texts: [0] * len(texts), inner, in_a_script):
        said = refusal(lambda: Program(function, 1, name="verifier"))  # noqa: B023
        assert said.startswith(
            "verifier must be a function of a module, or 'file.py:function', for processes to import"
        )
        Program(function)
    with Program(partial(faulty_programs.halves), 1) as program:
        assert program(codes_of(3), texts_of).tolist() == [1.5]


def test_what_decode_gives_must_fit() -> None:
    program = Program(faulty_programs.halves)
    said = refusal(lambda: program(codes_of(1, 2), lambda codes: ["1"]))
    assert said == "decode must give a sample for each of 2, got 1"
    assert program(codes_of(1, 2), texts_of).tolist() == [0.5, 1]


# Processes end.


def test_processes_end_with_the_program() -> None:
    program = Program(faulty_programs.process_ids, 2).start()
    ids: set[int] = set()
    for first in range(0, 2000, 20):  # until both had something to do
        ids.update(program(codes_of(*range(first, first + 20)), texts_of).astype(int).tolist())
        if len(ids) == 2:
            break
    assert len(ids) == 2 and all(map(is_alive, ids))
    pending = program.submit(codes_of(*range(2000, 2100)), texts_of)
    program.close()
    assert not any(map(is_alive, ids))
    assert refusal(pending.result) == "program was closed before it gave all numbers"
    others = {int(number) for number in program(codes_of(*range(2000, 2020)), texts_of)}
    assert not others & ids
    del program, pending
    gc.collect()  # pytest holds on to where it was refused
    assert not any(map(is_alive, others))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_when_their_parent_is_killed(tmp_path: Path, number: int) -> None:
    said = tmp_path / "ids"
    script = (
        "import numpy as np, sys\nfrom bgan_discrete.programs import Program\n"
        "program = Program('faulty_programs:hangs_with_a_child', 1)\n"
        f"program(np.zeros((1, 1)), lambda codes: [{str(said)!r}])\n"
    )
    path = os.pathsep.join(sys.path)
    with subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}) as parent:
        wait_until(lambda: said.exists() and len(said.read_text().split()) == 2)
        ids = [int(one) for one in said.read_text().split()]
        assert all(map(is_alive, ids))
        parent.send_signal(number)
    wait_until(lambda: not any(map(is_alive, ids)))


def test_what_a_function_started_ends_with_its_call(tmp_path: Path) -> None:
    said = tmp_path / "ids"
    with Program(faulty_programs.hangs_with_a_child, 1, SECONDS) as program:
        assert np.isnan(program(codes_of(1), lambda codes: [str(said)])).all()
    wait_until(lambda: not any(is_alive(int(one)) for one in said.read_text().split()))


def test_the_alarm_of_others_is_left_alone() -> None:
    rung = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        program = Program(faulty_programs.slow_halves, seconds=faulty_programs.DELAY / 2)
        assert program(codes_of(4), texts_of).tolist() == [2]
        assert not rung
    finally:
        signal.signal(signal.SIGALRM, before)
    assert np.isnan(Program(faulty_programs.slow_halves, seconds=0.005)(codes_of(4), texts_of)).all()
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_interrupted_call_is_not_taken_for_known() -> None:
    calls = []

    def function(texts: Sequence[str]) -> list[float]:
        calls.append(texts)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return [1.0] * len(texts)

    program = Program(function)
    with pytest.raises(KeyboardInterrupt):
        program(codes_of(1, 2), texts_of)
    assert program(codes_of(1, 2), texts_of).tolist() == [1, 1]
