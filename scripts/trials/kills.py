"""Kill trainings by SIGKILL, at random times and at each moment at which they write, and look for what is lost.

A run that is killed and resumed must end as the run that nobody killed: the same tensors in the last checkpoint, the
same model files, the same log. Two levels:

- ``script``: ``scripts/train_images.py``, ``train_text.py`` and ``train_array.py``, some of them killed again when they
  have been resumed.
- ``library``: a small `bgan_discrete.Trainer`, which also saves one model over another: quicker.

Each run is a process of its own, forked from one that has imported the libraries.

A run's moments of writing are found by watching one run: every opening of a file to write, fsync, making, renaming and
deleting inside its folder, and the middle of writing a state. Each of them is then a place to die at, once at least.
Every file that a killed run left is also looked at before resuming: a checkpoint that is to be seen must be whole, and
a model that can be loaded must be one that was saved. Needs a POSIX system with /proc (Linux).
"""

import argparse
import collections
import contextlib
import dataclasses
import hashlib
import importlib
import json
import os
import random
import re
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, cast

from bgan_discrete.space import SampleSpace

ROOT = Path(__file__).resolve().parents[2]

EXAMPLE = """\
  python scripts/trials/kills.py --output-dir runs/kills --kills 34 --moments 16 --report kills.json
  python scripts/trials/kills.py --output-dir runs/kills --level library --kills 100 --report kills.json"""

TINY = ("--log-interval", "5", "--sample-interval", "20", "--checkpoint-interval", "8", "--threads", "1",
        "--device", "cpu", "--num-samples", "0", "--max-steps", "80")  # fmt: skip
SCRIPTS = {
    "images": ("train_images.py", *TINY, "--num-draws", "4", "--batch-size", "8", "--generator-width", "8",
               "--discriminator-width", "8"),
    "text": ("train_text.py", *TINY, "--dataset", "arithmetic", "--length", "8", "--generator", "gru",
             "--generator-width", "16", "--generator-depth", "1", "--batch-size", "8"),
    "arrays": ("train_array.py", *TINY, "--dataset", "table", "--limit", "400", "--generator-width", "16",
               "--discriminator-width", "8", "--batch-size", "8"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Moment:
    """A moment of a run: the so-many-th time that it does something."""

    what: str
    occurrence: int


class Watch:
    """Notes what a process writes inside a folder, and kills it at one moment.

    Args:
        folder: Of the run.
        target: When to die; None to live.
        record: File that the moments are written to, one a line; None if they are not kept.
    """

    def __init__(self, folder: Path, target: Moment | None, record: Path | None) -> None:
        self.root = os.path.realpath(folder)
        self.target = target
        self.seen: collections.Counter[str] = collections.Counter()
        self.file = None if record is None else record.open("a", encoding="utf-8")

    def install(self) -> None:
        """Watch this process from now on."""
        import torch

        sys.addaudithook(self._on_event)
        sync, save = os.fsync, torch.save

        def watched_sync(descriptor: Any) -> None:
            self._reach("fsync", Path(f"/proc/self/fd/{descriptor}").readlink())
            sync(descriptor)

        def watched_save(state: Any, file: Any, *rest: Any, **options: Any) -> None:
            save(state, cast(IO[bytes], _Halting(file, self)), *rest, **options)

        os.fsync = cast(Any, watched_sync)
        torch.save = cast(Any, watched_save)

    def _on_event(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = given
            if isinstance(path, (str, bytes, os.PathLike)) and isinstance(flags, int) and flags & 3:
                self._reach("open", path)
        elif event in ("os.mkdir", "os.rmdir", "os.remove"):
            # shutil.rmtree names what it deletes relative to a descriptor of its folder.
            within = given[-1] if isinstance(given[-1], int) and given[-1] >= 0 else None
            path = os.fsdecode(given[0])
            self._reach(event, path if within is None else Path(f"/proc/self/fd/{within}").readlink() / path)
        elif event == "os.rename":
            self._reach("rename to", given[1])

    def reach(self, what: str) -> None:
        """Come to a moment."""
        self.seen[what] += 1
        if self.file is not None:
            self.file.write(f"{what}\n")
            self.file.flush()
        if self.target == Moment(what, self.seen[what]):
            os.kill(os.getpid(), signal.SIGKILL)

    def _reach(self, event: str, path: Any) -> None:
        place = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - links stay
        if place.startswith(f"{self.root}/"):
            name = re.sub(r"[0-9a-f]{8}(?=\.tmp|$|/)", "*", place.removeprefix(f"{self.root}/"))
            self.reach(f"{event} {re.sub(r'step-[0-9*]+', 'step-N', name)}")


class _Halting:
    """A file for `torch.save`, with a moment in the middle of the writing."""

    def __init__(self, file: Any, watch: Watch) -> None:
        self.file, self.watch, self.pieces = file, watch, 0

    def write(self, piece: Any) -> int:
        self.pieces += 1
        if self.pieces == 20:
            self.watch.reach("write the middle of state.pt")
        written: int = self.file.write(piece)
        return written

    def flush(self) -> None:
        self.file.flush()


class KilledError(Exception):
    """A run that did not live to its end."""


class Run:
    """A training in a forked process.

    Args:
        train: Begins the run in a folder, or resumes it where it has begun.
        sign: A file in the folder, or the folder itself, that is there once the training may be under way.
    """

    def __init__(self, train: Callable[[Path], None], sign: str) -> None:
        self.train, self.sign = train, sign

    def start(
        self, folder: Path, target: Moment | None = None, record: Path | None = None, output: Path | None = None
    ) -> int:
        """Begin the run, or resume it; gives the number of its process."""
        process = os.fork()
        if process == 0:
            code = 1
            with (output or output_of(folder)).open("wb") as said:
                for descriptor in (1, 2):
                    os.dup2(said.fileno(), descriptor)
            try:
                Watch(folder, target, record).install()
                self.train(folder)
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            except BaseException as error:
                print(repr(error), file=sys.stderr)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        return process

    def finish(self, process: int, folder: Path) -> None:
        """Wait for its end; `KilledError` where that came by SIGKILL."""
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if code == -signal.SIGKILL:
            raise KilledError
        if code:
            said = output_of(folder).read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"exit code {code}: {said.strip().splitlines()[-1:]}")

    def has_begun(self, folder: Path) -> bool:
        """Whether the training itself may be under way."""
        return (folder / self.sign).exists()


def output_of(folder: Path) -> Path:
    """Where a run's output goes."""
    return folder.with_name(f"{folder.name}.out")


def script(kind: str, *more: str) -> Run:
    """A training script, with further options for a run that begins."""
    name, *options = SCRIPTS[kind]

    def train(folder: Path) -> None:
        begun = ["--resume", "latest"] if (folder / "config.yaml").is_file() and not more else [*options, *more]
        sys.argv = [str(ROOT / "scripts" / name), "--output-dir", str(folder), *begun]
        runpy.run_path(sys.argv[0], run_name="__main__")

    return Run(train, "config.yaml")


def train_small(folder: Path) -> None:
    """Train for 30 steps, and save a model at steps 20 and 30, which differ in weights and codec.

    The last checkpoint is written twice, and others between two lines of the log.
    """
    import numpy as np
    import torch

    from bgan_discrete import Trainer, TrainingConfig
    from bgan_discrete.codecs import LevelsCodec, PaletteCodec
    from bgan_discrete.models.pipeline import Pipeline
    from bgan_discrete.nn import MLPDiscriminator, MLPGenerator
    from bgan_discrete.training.checkpoint import find_checkpoint, list_checkpoints

    torch.set_num_threads(1)
    torch.manual_seed(0)
    codes = np.random.default_rng(0).integers(0, 3, (50, 3, 4)).astype(np.uint8)
    config = TrainingConfig(
        num_draws=4, batch_size=8, max_steps=30, log_interval=5, sample_interval=10, checkpoint_interval=6,
        threads=1, device="cpu",
    )  # fmt: skip
    space = SampleSpace((3, 4), 3, ordered=True)
    networks = MLPGenerator(space, 4, 16, 1), MLPDiscriminator(space, 16, 1)

    def save_model(step: int, codes: np.ndarray) -> None:
        if step >= 20:
            codec = LevelsCodec(3) if step >= 30 else PaletteCodec(3, 1, palette=np.array([[1], [2], [3]], np.uint8))
            Pipeline(trainer.averaged_generator, codec).save_pretrained(folder / "model")

    trainer = Trainer(*networks, codes, config, output_dir=folder)
    if list_checkpoints(folder / "checkpoints"):
        trainer.resume(find_checkpoint(folder / "checkpoints", "latest"))
    trainer.train(progress=False, on_samples=save_model)
    save_model(trainer.step, codes)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def outcome(folder: Path) -> dict[str, Any]:
    """What a run left that must not depend on whether it was killed."""
    import torch

    from bgan_discrete.training.checkpoint import list_checkpoints, load_checkpoint
    from bgan_discrete.training.run_log import read_metrics

    found: dict[str, Any] = {}
    for part in ("model", "samples"):
        found |= {str(p.relative_to(folder)): digest(p) for p in (folder / part).rglob("*") if not hidden(p, folder)}
    found |= {name: digest(folder / name) for name in ("samples.png", "samples.txt") if (folder / name).exists()}
    checkpoints = list_checkpoints(folder / "checkpoints")
    found["checkpoints"] = [path.name for path in checkpoints]
    found["state"] = flat(load_checkpoint(checkpoints[-1], torch.device("cpu")))
    lines = read_metrics(folder / "metrics.jsonl")
    found["metrics"] = [{k: v for k, v in line.items() if not k.endswith("per_second")} for line in lines]
    return found


def hidden(path: Path, folder: Path) -> bool:
    """Whether a file is a leftover, which the next writing takes away."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def flat(state: Any) -> Any:
    """A state with a digest in the place of each tensor."""
    import torch

    if isinstance(state, torch.Tensor):
        content = state.detach().cpu().contiguous()
        return f"{content.dtype} {tuple(content.shape)} {hashlib.sha256(content.numpy().tobytes()).hexdigest()}"
    if isinstance(state, dict):
        return {str(key): flat(value) for key, value in state.items()}
    return [flat(value) for value in state] if isinstance(state, (list, tuple)) else state


def faults_of_killed(folder: Path, whole: dict[str, Any], models: set[tuple[str, str]]) -> list[str]:
    """What is wrong with the files that a killed run left, before anything is repaired."""
    from bgan_discrete.errors import InputError
    from bgan_discrete.models.pipeline import Pipeline
    from bgan_discrete.training.checkpoint import check_checkpoint, list_checkpoints

    faults = []
    for path in list_checkpoints(folder / "checkpoints"):
        try:
            check_checkpoint(path)
        except InputError as error:
            faults.append(f"a checkpoint is to be seen that is not whole: {error}")
    with contextlib.suppress(InputError):
        Pipeline.from_pretrained(folder / "model")
        if model_digest(folder) not in models:
            faults.append("a model can be loaded that was never saved")
    if (folder / "config.yaml").exists() and not (folder / "config.yaml").read_text(encoding="utf-8").endswith("\n"):
        faults.append("config.yaml is cut short")
    return faults


def attempt(
    run: Run, folder: Path, targets: Sequence[Moment | float], whole: dict[str, Any], models: set[tuple[str, str]]
) -> tuple[int, list[str]]:
    """Kill a run, look at what it left, resume it, perhaps to be killed again, and compare.

    Args:
        run: What to run.
        folder: A new folder.
        targets: When to die, for the run and for its resumptions: a moment, or seconds after the training has begun.
        whole: `outcome` of the run that nobody killed.
        models: `model_digest` of those that a run may leave.

    Returns:
        How often it was killed before it ended, and the faults found.
    """
    kills, faults = 0, list[str]()
    for target in targets:
        process = run.start(folder, target if isinstance(target, Moment) else None)
        if not isinstance(target, Moment):
            deadline = time.monotonic() + 120
            while not run.has_begun(folder) and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(target)
            os.kill(process, signal.SIGKILL)
        try:
            run.finish(process, folder)
            break
        except KilledError:
            kills += 1
            faults += faults_of_killed(folder, whole, models)
        except RuntimeError as error:
            return kills, [*faults, f"it cannot be resumed: {error}"]
    if not kills:
        return 0, []
    try:
        run.finish(run.start(folder), folder)
        found = outcome(folder)
        faults += [f"{key} differs" for key in whole if found.get(key) != whole[key]]
        faults += [f"{key} should not be there" for key in found.keys() - whole.keys()]
        left = [str(path) for path in (folder / "checkpoints").iterdir() if path.name.startswith(".")]
        faults += [f"{path} was left over" for path in left]
    except Exception as error:
        faults.append(f"it cannot be resumed: {error}")
    return kills, faults


def model_digest(folder: Path) -> tuple[str, str]:
    """What a run's model is known by: its weights and its codec."""
    return digest(folder / "model" / "model.safetensors"), digest(folder / "model" / "codec.json")


def model_digests(run: Run, folder: Path) -> set[tuple[str, str]]:
    """Every model that a run saves, of which a killed one may have left any."""
    digests = {model_digest(folder)}
    if run.train is train_small:
        first = folder.parent / "first model"
        # Dies as it saves the second model, before that has replaced any file.
        second = Moment("rename to model/config.json", 2)
        try:
            run.finish(run.start(first, second), first)
        except KilledError:
            digests.add(model_digest(first))
        shutil.rmtree(first)
    return digests


def trial(
    level: str,
    kind: str,
    output_dir: Path,
    kills: int,
    most_moments: int | None,
    rng: random.Random,
    say: Callable[[str], None],
) -> Any:
    """All kills of one kind of run.

    Returns:
        A dictionary: how often the run was killed where, and what was found.
    """
    run = Run(train_small, ".") if level == "library" else script(kind)
    place = output_dir / kind
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    record = place / "moments.txt"
    began = time.monotonic()
    process = run.start(place / "whole", record=record)
    while not run.has_begun(place / "whole"):
        time.sleep(0.002)
    training_began = time.monotonic()
    run.finish(process, place / "whole")
    training_seconds = time.monotonic() - training_began
    say(f"{kind}: the run that nobody kills took {time.monotonic() - began:.1f} s")
    whole, models = outcome(place / "whole"), model_digests(run, place / "whole")
    moments = collections.Counter(record.read_text(encoding="utf-8").splitlines())
    targets: list[Moment | float] = [Moment(what, rng.randint(1, count)) for what, count in sorted(moments.items())]
    if most_moments is not None:
        targets = rng.sample(targets, min(most_moments, len(targets)))
    targets += [rng.uniform(0, training_seconds) for _ in range(max(kills - len(targets), kills // 3))]
    counts: collections.Counter[str] = collections.Counter()
    losses: list[str] = []
    number = 0
    while targets:
        target = targets.pop(0)
        number += 1
        name = target.what if isinstance(target, Moment) else "at a random time"
        # Every other one that dies at a random time dies again as it resumes.
        again = [rng.uniform(0, training_seconds)] if isinstance(target, float) and number % 2 else []
        killed, faults = attempt(run, place / f"{number:04d}", [target, *again], whole, models)
        if not killed:
            if isinstance(target, Moment):
                losses.append(f"{name}: the run never came to this moment")
            else:
                targets.append(rng.uniform(0, training_seconds * 0.9))
        else:
            counts[name] += 1
            counts += collections.Counter({"again, as it was resumed": killed - 1})
            losses += [f"{name}, {place / f'{number:04d}'}: {fault}" for fault in faults]
        if not faults:
            shutil.rmtree(place / f"{number:04d}", ignore_errors=True)
        say(f"{kind}: {sum(counts.values())} kills, {len(targets)} to come, {len(losses)} losses  ({name})")
    return {"kills": sum(counts.values()), "by_moment": dict(counts), "losses": losses}


def import_libraries() -> None:
    """What runs import, and optimisers at their first use: once here, rather than in each forked process."""
    sys.path.insert(0, str(ROOT))
    import torch

    for module in ("torch._dynamo", "bgan_discrete.models.pipeline", "bgan_discrete.runs.train", "matplotlib.pyplot"):
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module)
    torch.set_num_threads(1)


def main() -> int:
    """Parse, kill, report."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], epilog=f"example:\n{EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--output-dir", default="runs/kills", help="folder of the runs (default: runs/kills)")
    parser.add_argument("--level", choices=("script", "library"), default="script", help="what is killed")
    parser.add_argument("--kills", type=int, default=30, help="kills of each kind of run, at least (default: 30)")
    parser.add_argument(
        "--moments", type=int, help="moments of writing that are killed at, drawn among all (default: all, once each)"
    )
    parser.add_argument("--kinds", default=",".join(SCRIPTS), help="of the script level (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the times and moments")
    parser.add_argument("--report", help="JSON file of the counts")
    given = parser.parse_args()
    if given.moments is not None and given.moments < 0:
        parser.error(f"--moments must be at least 0, got {given.moments}")
    kinds = ["small"] if given.level == "library" else given.kinds.split(",")
    if not set(kinds) <= {"small", *SCRIPTS} or given.kills < 1:
        parser.error(f"--kinds are of {', '.join(SCRIPTS)}, --kills at least 1; got {given.kinds!r}, {given.kills}")
    import_libraries()
    rng, started = random.Random(given.seed), time.monotonic()
    output_dir = Path(given.output_dir).resolve()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    found = {kind: trial(given.level, kind, output_dir, given.kills, given.moments, rng, say) for kind in kinds}
    report = {"level": given.level, "seed": given.seed, "seconds": round(time.monotonic() - started), "runs": found}
    for kind, counted in found.items():
        print(f"\n{kind}: {counted['kills']} kills, {len(counted['losses'])} losses")
        for what, count in sorted(counted["by_moment"].items()):
            print(f"  {count:4d}  {what}")
        for loss in counted["losses"]:
            print(f"  LOSS  {loss}")
    if given.report:
        from bgan_discrete.durable import replace_text

        replace_text(Path(given.report), json.dumps(report, indent=2) + "\n")
    return 1 if any(counted["losses"] for counted in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
