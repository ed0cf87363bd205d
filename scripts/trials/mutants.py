"""Put small faults into one module, one at a time, and list those that its tests do not notice.

A mutant is the module with one fault. It is killed if a test fails, and survives if all of them pass: then a test is
missing, or the mutant is equivalent, which means that nobody could tell it from the original. The faults are those of
`mutmut` (another number, operator, comparison or truth value, an argument left out or None, a value that is None ...)
and three more: a statement deleted, a decorator deleted, a call without arguments such as ``.detach()`` left out, and a
condition turned round.

Left out, since no test should notice them: docstrings, annotations, types (``cast``, ``Literal``), what is inside a
``raise`` or a warning (that they happen is tested, not their words), imports, ``__all__``, ``encoding=`` and, of the
three faults of each string, all but the first.

The tests of each module are in `TESTS`. They run once with coverage, so that a mutant meets only those which run its
line, the quickest first. The tests are imported once; each mutant is a fork, in which the code of the changed function
is exchanged. Where a fault is outside of all functions, or in a function that runs during the import, the package is
imported anew instead. Needs a POSIX system.
"""

import argparse
import contextlib
import gc
import importlib.abc
import importlib.machinery
import inspect
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import types
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import coverage
import hypothesis.strategies
import pytest
from mutations import Mutant, mutants_of  # type: ignore[import-not-found]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = """\
  python scripts/trials/mutants.py game.estimators
  python scripts/trials/mutants.py game.step --sample 200 --report mutants.json
  python scripts/trials/mutants.py game.step --again mutants.json"""

TESTS = {
    "game.advantages": "advantages estimators alternatives steps gradients sequences",
    "game.estimators": "estimators advantages alternatives steps step_faults gradients sequences",
    "game.divergences": "divergences steps",
    "game.weights": "weights estimators",
    "game.penalties": "penalties columns steps step_faults continuous",
    "game.step": "steps step_faults credit columns continuous gradients sequences custom_parts",
    "game.credit": "credit step_faults alternatives steps sequences",
    "game.scoring": "steps step_faults credit alternatives",
    "game.updates": "steps step_faults credit",
    "game.guard": "steps step_faults",
    "game.likelihood": "steps step_faults sequences",
    "game.players": "credit steps step_faults networks custom_parts",
    "game.resampling": "resampling",
    "game.drawing": "generation resampling",
    "game.gradients": "gradients steps",
    "distributions.factorized": "distributions columns gradients alternatives sampling sequences generation",
    "distributions.sequence": "sequences alternatives distributions",
    "distributions.sampling": "sampling distributions alternatives sequences",
    "distributions.autoregressive": "sequences alternatives relaxations",
    "distributions.columns": "columns generation sequences",
    "distributions.endings": "sequences text_metrics",
    "training.batches": "batches",
    "training.checkpoint": "checkpoint reliability starts",
    "durable": "durable folders reliability",
    "manifests": "durable reliability",
    "metrics.ngrams": "text_metrics metrics",
}
"""The tests of each module: files ``test_*.py`` anywhere in ``tests``."""
MOST_MEMORY = 5 * 2**30
SURVIVED, KILLED = 0, 1


def exchanges(old: types.CodeType, new: types.CodeType) -> list[tuple[types.CodeType, types.CodeType]] | None:
    """The outermost functions whose code differs; None where what differs is not inside a function."""
    parts = [[part for part in code.co_consts if isinstance(part, types.CodeType)] for code in (old, new)]
    rest = [[part for part in code.co_consts if not isinstance(part, types.CodeType)] for code in (old, new)]
    if len(parts[0]) != len(parts[1]) or (old.co_code, old.co_names, repr(rest[0])) != (
        new.co_code, new.co_names, repr(rest[1])
    ):  # fmt: skip
        return None
    found = []
    for before, after in zip(*parts, strict=True):
        if before.co_flags & inspect.CO_OPTIMIZED:
            if before.co_freevars != after.co_freevars:
                return None
            found += [(before, after)] if before != after else []
        else:
            inside = exchanges(before, after)
            if inside is None:
                return None
            found += inside
    return found


def forked(work: Callable[[], int], seconds: float) -> int:
    """What a function returns in a fork without output; anything but 0 if it failed, -SIGALRM if it took too long."""
    child = os.fork()
    if child == 0:
        code = KILLED
        try:
            os.setpgid(0, 0)
            signal.alarm(int(seconds) + 1)
            resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2) if "MUTANTS_LOUD" not in os.environ else ():
                os.dup2(nowhere, stream)
            code = work()
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    return code


class Quick:
    """A plugin of pytest: an example that fails is not made smaller, since the first failure is enough."""

    def pytest_configure(self) -> None:
        """Before the tests are imported."""
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", phases=phases, database=None, derandomize=True)
        hypothesis.settings.load_profile("mutants")


class Watching(Quick):
    """A plugin of pytest: which tests run which lines of a file, and how long each test takes."""

    def __init__(self, path: Path, answer: Path) -> None:
        self.path, self.answer = str(path), answer
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self.users: dict[str, list[str]] = defaultdict(list)
        self.coverage = coverage.Coverage(data_file=None, include=[self.path], config_file=False)
        self.context = ""
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Lines that run from here on are this test's."""
        for name, definitions in item._fixtureinfo.name2fixturedefs.items():  # type: ignore[attr-defined]
            self.users[f"fixture {definitions[-1].baseid} {name}"].append(item.nodeid)
        self.context, began = item.nodeid, time.perf_counter()
        self.coverage.switch_context(self.context)
        result = yield
        self.seconds[item.nodeid] = time.perf_counter() - began
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """What a fixture of several tests runs belongs to all of them."""
        if fixturedef.scope != "function":
            self.coverage.switch_context(f"fixture {fixturedef.baseid} {fixturedef.argname}")
        result = yield
        self.coverage.switch_context(self.context)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that fails without any fault is of no use."""
        self.failed += [report.nodeid] if report.failed else []

    def pytest_sessionfinish(self) -> None:
        """Write what was seen."""
        self.coverage.stop()
        by_line = self.coverage.get_data().contexts_by_lineno(self.path)
        lines = {
            line: sorted({test for name in names for test in self.users.get(name, [name])} - set(self.failed))
            for line, names in by_line.items()
        }
        self.answer.write_text(json.dumps({"lines": lines, "seconds": self.seconds, "failed": self.failed}))


class Trying(Quick):
    """A plugin of pytest: instead of running the tests once, it runs those of each mutant in a fork."""

    def __init__(self, path: Path, trials: list[tuple[int, Mutant, list[str], float]], answer: Path) -> None:
        self.path, self.trials, self.answer, self.killer = path, trials, answer, answer.with_name("killer")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All mutants, one after the other; what became of each is written down."""
        items = {item.nodeid: item for item in session.items}
        functions = defaultdict(list)
        for thing in gc.get_objects():
            if type(thing) is types.FunctionType and thing.__code__.co_filename == str(self.path):
                functions[thing.__code__.co_name, thing.__code__.co_firstlineno].append(thing)
        original = compile(self.path.read_text(encoding="utf-8"), str(self.path), "exec")
        outcomes = {}
        kills: Counter[str] = Counter()
        gc.freeze()
        for number, mutant, quickest, limit in self.trials:
            # What found other faults is likely to find this one.
            tests = sorted(quickest, key=lambda test: -kills[test])
            self.killer.write_text("")
            changed = exchanges(original, compile(mutant.source, str(self.path), "exec"))

            def work(changed: Any = changed, tests: list[str] = tests) -> int:
                for old, new in changed:
                    for function in functions[old.co_name, old.co_firstlineno]:
                        function.__code__ = new
                for test, following in zip(tests, [*tests[1:], None], strict=True):
                    nextitem = items[following] if following else None
                    session.config.hook.pytest_runtest_protocol(item=items[test], nextitem=nextitem)
                return SURVIVED

            outcomes[number] = forked(work, limit)
            kills[self.killer.read_text()] += 1
            self.answer.write_text(json.dumps(outcomes))
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """The first test that fails ends the fork, before its failure is put into words."""
        if call.excinfo and not call.excinfo.errisinstance((pytest.skip.Exception, pytest.xfail.Exception)):
            self.killer.write_text(item.nodeid)
            os._exit(KILLED)


class Mutated(Quick, importlib.abc.MetaPathFinder):
    """Imports one module from the source of a mutant; as a plugin of pytest, it runs some tests in a given order."""

    def __init__(self, name: str, path: Path, mutant: Mutant, tests: list[str]) -> None:
        self.name, self.path, self.mutant = name, path, mutant
        self.place = {test: place for place, test in enumerate(tests)}

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """The mutant instead of the module."""
        if name != self.name:
            return None
        loader = importlib.machinery.SourceFileLoader(name, str(self.path))
        loader.get_code = lambda _: compile(self.mutant.source, str(self.path), "exec")  # type: ignore[assignment, method-assign]
        return importlib.machinery.ModuleSpec(name, loader, origin=str(self.path))

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """The quickest tests first."""
        items[:] = sorted((item for item in items if item.nodeid in self.place), key=lambda it: self.place[it.nodeid])


def tried(name: str, path: Path, mutants: list[Mutant], test_names: list[str], most_seconds: float) -> list[str]:
    """What became of each mutant: killed, timed out, survived, or survived without a test that runs its line."""
    files = [path for test in test_names for path in (ROOT / "tests").rglob(f"test_{test}.py")]
    options = ["-q", "-x", "-m", "not long", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:anyio"]
    options += [f"--rootdir={ROOT}", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    own, options = [[*options, *map(str, some)] for some in (files[:1], files)]
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        watched = [option for option in options if option != "-x"]
        forked(lambda: int(pytest.main(watched, plugins=[Watching(path, answer)])), 3600)
        seen = json.loads(answer.read_text())
        seconds = {test: taken for test, taken in seen["seconds"].items() if test not in seen["failed"]}
        print(
            f"{name}: {len(seconds)} tests in {sum(seconds.values()):.0f} s; failing without a fault: {seen['failed']}"
        )

        def chosen(tests: set[str]) -> tuple[list[str], float]:
            """The quickest of some tests, and the seconds after which they must have ended."""
            found: list[str] = []
            total = 0.0
            for test in sorted(tests, key=lambda test: (seconds[test], test)):
                if total + seconds[test] <= most_seconds or not found:
                    found.append(test)
                    total += seconds[test]
            return found, 5 + 5 * total

        original = compile(path.read_text(encoding="utf-8"), str(path), "exec")
        quick, anew, imported, outcomes = [], set(), set(), {}
        for number, mutant in enumerate(mutants):
            on_line = {test for line in mutant.lines for test in seen["lines"].get(str(line), ())}
            outcomes[number] = "survived, run by no test"
            if exchanges(original, compile(mutant.source, str(path), "exec")) is None:
                anew.add(number)
                continue
            if "" in on_line:
                imported.add(number)
            if on_line - {""}:
                quick.append((number, mutant, *chosen(on_line - {""})))
        answer.write_text("{}")
        forked(lambda: int(pytest.main(options, plugins=[Trying(path, quick, answer)])), 36000)
        codes = {int(number): code for number, code in json.loads(answer.read_text()).items()}
        anew |= {number for number in imported if codes.get(number, SURVIVED) == SURVIVED}
        for number in sorted(anew):
            tests, limit = chosen(set(seconds))

            def work(mutant: Mutant = mutants[number], tests: list[str] = tests) -> int:
                finder = Mutated(name, path, mutant, tests)
                sys.meta_path.insert(0, finder)
                # The module's own tests first: fewer files are imported.
                return int(pytest.main(own, plugins=[finder])) or int(pytest.main(options, plugins=[finder]))

            codes[number] = forked(work, limit + 30)
    names = {SURVIVED: "survived", -signal.SIGALRM: "timed out"}
    outcomes |= {number: names.get(code, "killed") for number, code in codes.items()}
    return [outcomes[number] for number in range(len(mutants))]


def main() -> None:
    """List the mutants of one module that survive."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("module", choices=sorted(TESTS), help="inside bgan_discrete")
    parser.add_argument("--sample", type=int, help="try so many mutants, drawn at random (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    parser.add_argument("--tests", nargs="+", help="instead of those of the table")
    parser.add_argument(
        "--seconds", type=float, default=10, help="of tests that a mutant meets, at most; the quickest come first "
        "(default: %(default)g)"
    )  # fmt: skip
    parser.add_argument("--report", type=Path, help="JSON file for what became of each mutant")
    parser.add_argument("--again", type=Path, help="report of an earlier call, whose survivors alone are tried")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    # Before any library reads them.
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
    # Once, for all forks.
    import torch

    torch.set_num_threads(1)
    name = f"bgan_discrete.{arguments.module}"
    path = ROOT / Path(*name.split(".")).with_suffix(".py")
    mutants = everything = mutants_of(path.read_text(encoding="utf-8"))
    if arguments.again:
        earlier = json.loads(arguments.again.read_text(encoding="utf-8"))
        names = ("line", "column", "old", "new")
        survivors = {tuple(row[name] for name in names) for row in earlier if row["outcome"].startswith("survived")}
        mutants = [mutant for mutant in mutants if tuple(getattr(mutant, name) for name in names) in survivors]
    elif arguments.sample and arguments.sample < len(mutants):
        mutants = random.Random(arguments.seed).sample(mutants, arguments.sample)
        mutants.sort(key=lambda mutant: mutant.line)
    began = time.perf_counter()
    outcomes = tried(name, path, mutants, arguments.tests or TESTS[arguments.module].split(), arguments.seconds)
    for mutant, outcome in zip(mutants, outcomes, strict=True):
        if outcome != "killed":
            text = f"{mutant.line}: {outcome}\n{mutant.old}\n=> {mutant.new or '(nothing)'}"
            print(text.replace("\n", "\n    "))
    counts = Counter(outcomes)
    print(f"{name}: {len(mutants)} of {len(everything)} mutants tried in {time.perf_counter() - began:.0f} s: "
          + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))  # fmt: skip
    if arguments.report:
        rows = [
            {"line": mutant.line, "column": mutant.column, "old": mutant.old, "new": mutant.new, "outcome": outcome}
            for mutant, outcome in zip(mutants, outcomes, strict=True)
        ]
        arguments.report.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
