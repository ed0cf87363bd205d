"""Begin two runs in one folder at once, and see that one of them wins and the other is refused in one line.

Pairs of all kinds of data: both new, both resuming a run that was killed, or both overwriting a finished one; half of
the pairs name the folder by two paths. The folder must end as the winner's: its seed in the configuration, its last
checkpoint and its model whole, and no lock left. Needs a POSIX system with /proc (Linux).
"""

import argparse
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from kills import SCRIPTS, KilledError, Moment, Run, import_libraries, outcome, script  # type: ignore[import-not-found]

EXAMPLE = """\
  python scripts/trials/pairs.py --output-dir runs/pairs --pairs 20"""

MODES = ("new", "resume", "overwrite")
MOST_DELAY = 0.5
"""Seconds between the two, at most: a run takes several."""


def began(kind: str, mode: str, place: Path) -> None:
    """Leave in a folder what the two runs of a pair find there."""
    if mode == "new":
        return
    run = script(kind)
    target = Moment("rename to checkpoints/step-N", 3) if mode == "resume" else None
    try:
        run.finish(run.start(place, target), place)
    except KilledError:
        return


def fault_of(folder: Path, mode: str, codes: list[int], said: list[str]) -> str | None:
    """What is wrong with the end of a pair; None if nothing is."""
    if sorted(codes) != [0, 2]:
        return f"exit codes {codes}: {[text.strip().splitlines()[-1:] for text in said]}"
    refusals = [line for line in said[codes.index(2)].splitlines() if "error:" in line]
    if len(refusals) != 1 or not any(words in refusals[0] for words in ("in use by another run", "holds another run")):
        return f"the second was refused for another reason: {refusals}"
    outcome(folder)
    config = (folder / "config.yaml").read_text(encoding="utf-8")
    if mode != "resume" and f"\nseed: {codes.index(0) + 1}\n" not in config:
        return "the configuration is not the winner's"
    left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    return f"{left} was left" if left else None


def trial(kind: str, mode: str, place: Path, rng: random.Random) -> str | None:
    """One pair; what is wrong with its end, or None."""
    place.mkdir(parents=True)
    (place / "link").symlink_to(place)
    folders = [place / "run", place / ("link" if rng.random() < 0.5 else ".") / "run"]
    rng.shuffle(folders)
    began(kind, mode, place / "run")
    processes = []
    for number, folder in enumerate(folders, 1):
        more = {"new": (), "resume": (), "overwrite": ("--overwrite",)}[mode]
        run: Run = script(kind) if mode == "resume" else script(kind, "--seed", str(number), *more)
        processes.append(run.start(folder, output=place / f"{number}.out"))
        time.sleep(rng.random() * MOST_DELAY if number == 1 else 0)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    said = [(place / f"{number}.out").read_text(encoding="utf-8", errors="replace") for number in (1, 2)]
    try:
        return fault_of(place / "run", mode, codes, said)
    except Exception as error:
        return f"the folder cannot be read: {error}"


def main() -> int:
    """Parse, begin pairs, report."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], epilog=f"example:\n{EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--output-dir", default="runs/pairs", help="folder of the runs (default: runs/pairs)")
    parser.add_argument("--pairs", type=int, default=20, help="how many (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of kinds, paths and delays")
    parser.add_argument("--report", help="JSON file of the counts")
    given = parser.parse_args()
    if given.pairs < 1:
        parser.error(f"--pairs must be at least 1, got {given.pairs}")
    import_libraries()
    rng, started, faults = random.Random(given.seed), time.monotonic(), list[str]()
    counts: dict[str, int] = {}
    for number in range(given.pairs):
        kind, mode = list(SCRIPTS)[number % len(SCRIPTS)], MODES[number // len(SCRIPTS) % len(MODES)]
        place = Path(given.output_dir).resolve() / f"{number:04d}"
        shutil.rmtree(place, ignore_errors=True)
        fault = trial(kind, mode, place, rng)
        counts[f"{kind}, {mode}"] = counts.get(f"{kind}, {mode}", 0) + 1
        if fault is None:
            shutil.rmtree(place)
        else:
            faults.append(f"{kind}, {mode}, {place}: {fault}")
        print(f"{number + 1} pairs, {len(faults)} faults  ({kind}, {mode})", file=sys.stderr, flush=True)
    seconds = round(time.monotonic() - started)
    report: dict[str, Any] = {"seed": given.seed, "seconds": seconds, "pairs": counts, "faults": faults}
    print("\n".join([f"{given.pairs} pairs, {len(faults)} faults", *faults]))
    if given.report:
        from bgan_discrete.durable import replace_text

        replace_text(Path(given.report), json.dumps(report, indent=2) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
