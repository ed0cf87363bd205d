#!/usr/bin/env python
"""Train for a long time with a checkpoint every few seconds, and watch memory, files and folder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.errors import BGANError, InputError

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = "python scripts/trials/soak.py"
EXAMPLES = ("--seconds 3600 --output-dir runs/soak",)

ALLOWED_GROWTH_MIB = 8.0
"""Resident memory may differ by so much between the second quarter of the time and the last one."""

SMALL = ("--generator-width", "16", "--discriminator-width", "16", "--batch-size", "32")
TRAINING = {
    "images": ["scripts/train_images.py", "--dataset", "digits", *SMALL],
    "text": ["scripts/train_text.py", "--dataset", "arithmetic", "--layout", "window", "--length", "8", *SMALL],
}


def main() -> int:
    """Parse, train, watch, judge."""
    parser = Parser(
        "Train for a long time and watch memory, open files and the run's folder.",
        EXAMPLES,
        "python scripts/trials/soak.py",
    )
    parser.add_argument("--kind", choices=list(TRAINING), default="images", help="what is trained (default: images)")
    parser.add_argument("--seconds", type=float, default=3600.0, metavar="FLOAT", help="how long (default: 3600)")
    parser.add_argument(
        "--every", type=float, default=5.0, metavar="FLOAT", help="seconds between two looks (default: 5)"
    )
    parser.add_argument("--keep-last", type=int, default=3, metavar="INT", help="checkpoints to keep (default: 3)")
    parser.add_argument(
        "--interval", type=int, default=40, metavar="INT", help="steps between two checkpoints (default: 40)"
    )
    parser.add_argument(
        "--output-dir", default="runs/soak", metavar="DIR", help="new folder of the run (default: runs/soak)"
    )
    values = parser.values(sys.argv[1:])
    if not Path("/proc/self/fd").is_dir():
        raise InputError("the soak reads /proc, which this system has not")
    if values["seconds"] <= 8 * values["every"]:
        raise InputError(f"seconds must be more than eight times every = {values['every']}, got {values['seconds']}")
    folder = Path(values["output_dir"]).resolve()
    looks = watch(values, folder)
    verdict = judge(looks, values["keep_last"])
    text = json.dumps({"options": values, "verdict": verdict, "looks": looks}, indent=1)
    (folder / "soak.json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps(verdict, indent=1))
    return 0 if verdict["holds"] else 1


def watch(values: dict[str, Any], folder: Path) -> list[dict[str, float]]:
    """Train in a process of its own; what a look at it shows, every few seconds."""
    command = [
        sys.executable, *TRAINING[values["kind"]], "--output-dir", str(folder), "--max-steps", str(10**9),
        "--checkpoint-interval", str(values["interval"]), "--keep-last", str(values["keep_last"]),
        "--sample-interval", str(10 * values["interval"]), "--threads", "1", "--num-samples", "0", "--lr-decay", "none",
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    with (folder / "soak.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            return _looks(process, values, folder)
        finally:
            process.kill()
            process.wait()


def _looks(process: "subprocess.Popen[bytes]", values: dict[str, Any], folder: Path) -> list[dict[str, float]]:
    started, looks = time.monotonic(), []
    while time.monotonic() - started < values["seconds"]:
        time.sleep(values["every"])
        if process.poll() is not None:
            raise BGANError(f"the training ended by itself with code {process.returncode}; see {folder / 'soak.log'}")
        found = look(process.pid, folder)
        if found is not None:
            looks.append({"seconds": round(time.monotonic() - started, 1), **found})
    if not looks:
        raise BGANError(f"the training wrote no checkpoint in {values['seconds']:g} s: give it longer")
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    code = process.wait(timeout=300)
    looks[-1] |= {"exit_code": code, "seconds_to_stop": round(time.monotonic() - asked, 2)}
    return looks


def look(pid: int, folder: Path) -> dict[str, float] | None:
    """Memory (MiB), open files and threads of a process, and what lies in its run's folder; None before it trains."""
    checkpoints = folder / "checkpoints"
    if not checkpoints.is_dir():
        return None
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())
    entries = [path.name for path in checkpoints.iterdir()]
    named = [int(name.removeprefix("step-")) for name in entries if name.startswith("step-")]
    return {
        "resident_mib": int(status["VmRSS"].split()[0]) / 1024,
        "open_files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(status["Threads"]),
        "checkpoints": len(named),
        "other_entries": len(entries) - len(named),
        "last_step": max(named, default=0),
    }


def judge(looks: list[dict[str, float]], keep_last: int) -> dict[str, Any]:
    """Compare the second quarter of the time with the last one.

    Args:
        looks: From `watch`, at least eight.
        keep_last: Checkpoints that may stay.

    Returns:
        Figures by their names, and under ``holds`` whether nothing grew.
    """
    if len(looks) < 8:
        raise BGANError(f"the training was looked at only {len(looks)} times, which says nothing: give it longer")
    quarter = len(looks) // 4
    early, late = looks[quarter : 2 * quarter], looks[-quarter:]
    median = {
        name: [float(np.median([found[name] for found in part])) for part in (early, late)]
        for name in ("resident_mib", "open_files", "threads")
    }
    most = max(found["checkpoints"] for found in looks)
    written = {found["last_step"] for found in looks}
    grown = {name: after - before for name, (before, after) in median.items()}
    return {
        "looks": len(looks),
        "seconds": looks[-1]["seconds"],
        "checkpoints_seen": len(written),
        "last_step": looks[-1]["last_step"],
        "resident_mib": median["resident_mib"],
        "open_files": median["open_files"],
        "threads": median["threads"],
        "most_checkpoints": most,
        "most_other_entries": max(found["other_entries"] for found in looks),
        "exit_code": looks[-1].get("exit_code"),
        "seconds_to_stop": looks[-1].get("seconds_to_stop"),
        # While one is written, the new checkpoint and its temporary folder stand beside the old ones.
        "holds": grown["resident_mib"] <= ALLOWED_GROWTH_MIB
        and grown["open_files"] <= 1
        and grown["threads"] <= 0
        and most <= keep_last + 1
        and looks[-1].get("exit_code") == 143,
    }


if __name__ == "__main__":
    run_script(main)
