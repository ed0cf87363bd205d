#!/usr/bin/env python
"""Load and train on data of a tenth and of the full size, each in a process of its own, and compare their memory."""

import io
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.errors import BGANError, InputError

COMMAND = "python scripts/trials/large_data.py"
EXAMPLES = (
    "--images 1000000 --lines 10000000",
    "--images 20000 --lines 200000 --in-memory-mib 0",
)

KINDS = ("parquet", "npy", "text")
PARQUET_FILES = 4
ROWS_AT_ONCE = 1000
LENGTH = 32
MIB = 2**20
SMAPS = Path("/proc/self/smaps_rollup")


def main() -> int:
    """Parse, make the data, measure, report."""
    parser = Parser(
        "Show how memory grows with the rows of a data set.", EXAMPLES, "python scripts/trials/large_data.py"
    )
    parser.add_argument("--images", type=int, default=1_000_000, metavar="INT", help="images of the full size")
    parser.add_argument("--lines", type=int, default=10_000_000, metavar="INT", help="lines of text of the full size")
    parser.add_argument("--side", type=int, default=16, metavar="INT", help="pixels of an RGB image's side, >= 8")
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all", help="what is measured")
    parser.add_argument(
        "--in-memory-mib",
        type=int,
        default=None,
        metavar="INT",
        help="codes up to this size stay in memory (default: the package's own 256 for images, 1024 for text)",
    )
    parser.add_argument("--folder", type=str, default=None, metavar="DIR", help="where the data go meanwhile")
    parser.add_argument("--measure", type=str, default=None, metavar="PATH", help="measure these data alone")
    options = parser.values(sys.argv[1:])
    if not SMAPS.is_file():
        raise InputError(f"this needs {SMAPS}, which only Linux has")
    for name, least in (("images", 100), ("lines", 100), ("side", 8)):
        if options[name] < least:
            raise InputError(f"{name} must be at least {least}, got {options[name]}")
    if options["measure"] is not None:
        print(json.dumps(measure(options["kind"], Path(options["measure"]), options["in_memory_mib"])))
        return 0
    for kind in KINDS if options["kind"] == "all" else [options["kind"]]:
        full = options["lines"] if kind == "text" else options["images"]
        found = []
        for rows in (full // 10, full):
            with tempfile.TemporaryDirectory(prefix="bgan-large-", dir=options["folder"]) as folder:
                check_room(Path(folder), kind, rows, options["side"])
                place = make_source(kind, Path(folder), rows, options["side"])
                found.append((rows, run_measurement(kind, place, Path(folder), options["in_memory_mib"])))
        report(kind, found)
    return 0


def report(kind: str, found: list[tuple[int, dict[str, Any]]]) -> None:
    """Print a line for each size, and what a row costs."""
    for rows, figures in found:
        peaks = ", ".join(f"{phase} {peak / MIB:,.0f}" for phase, peak in figures["private"].items())
        codes = f"{figures['code_bytes'] / MIB:,.0f} MiB {'in a file' if figures['mapped'] else 'in memory'}"
        print(
            f"{kind:8} {rows:10,} rows: peak of private memory in MiB: {peaks}; peak RSS {figures['rss'] / MIB:,.0f}; "
            f"codes {codes}; {figures['seconds']:.0f} s",
            flush=True,
        )
    (few, small), (many, large) = found
    grown = max(large["private"].values()) - max(small["private"].values())
    print(f"{kind:8} {grown / (many - few):,.1f} bytes of private memory for each further row", flush=True)


def check_room(folder: Path, kind: str, rows: int, side: int) -> None:
    """Refuse what the disk has no room for: source, the library's copy, pixels and those kept, codes."""
    needed = rows * (2 * LENGTH + 40 if kind == "text" else 6 * side * side * 3 + 2000 * (kind == "parquet"))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{folder} has {free / 2**30:.1f} GiB free; {rows:,} rows need about {needed / 2**30:.1f} GiB")


def make_source(kind: str, folder: Path, rows: int, side: int) -> Path:
    """Write a data set part by part, so that this process stays small too."""
    import numpy as np

    rng = np.random.default_rng(rows)
    if kind == "text":
        path = folder / "lines.txt"
        with path.open("w", encoding="utf-8") as file:
            for start in range(0, rows, ROWS_AT_ONCE):
                numbers = rng.integers(10**9, size=min(ROWS_AT_ONCE, rows - start))
                file.write("".join(f"item {number} of a list\n" for number in numbers))
        return path
    if kind == "npy":
        path = folder / "images.npy"
        with path.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (rows, side, side, 3)}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, rows, ROWS_AT_ONCE):
                count = min(ROWS_AT_ONCE, rows - start)
                file.write(rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8).data)
        return path
    (folder / "images").mkdir()
    for number in range(PARQUET_FILES):
        share = rows * (number + 1) // PARQUET_FILES - rows * number // PARQUET_FILES
        _write_parquet(folder / "images" / f"train-{number}.parquet", share, side, rng)
    return folder / "images"


def _write_parquet(path: Path, rows: int, side: int, rng: Any) -> None:
    import numpy as np
    import pyarrow
    import pyarrow.parquet
    from PIL import Image

    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema([("image", image), ("label", pyarrow.int64())])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, ROWS_AT_ONCE):
            pixels = rng.integers(0, 256, (min(ROWS_AT_ONCE, rows - start), side, side, 3), dtype=np.uint8)
            encoded = []
            for array in pixels:
                buffer = io.BytesIO()
                Image.fromarray(array).save(buffer, "PNG", compress_level=0)
                encoded.append({"bytes": buffer.getvalue(), "path": None})
            labels = rng.integers(0, 10, len(pixels))
            writer.write_table(pyarrow.table({"image": encoded, "label": labels}, schema))


def run_measurement(kind: str, place: Path, folder: Path, in_memory_mib: int | None) -> dict[str, Any]:
    """What `measure` finds in a new process, whose caches and temporary files lie in the folder."""
    import os

    command = [sys.executable, str(Path(__file__).resolve()), "--kind", kind, "--measure", str(place)]
    command += [] if in_memory_mib is None else ["--in-memory-mib", str(in_memory_mib)]
    own = {"BGAN_DISCRETE_CACHE": str(folder / "cache"), "TMPDIR": str(folder), "HF_HUB_OFFLINE": "1"}
    own |= {"OMP_NUM_THREADS": "1", "HF_HOME": str(folder / "hub")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **own})
    if done.returncode:
        raise BGANError(f"the measurement of {kind} ended with {done.returncode}: {done.stderr[-500:]}")
    return dict(json.loads(done.stdout))


class Peak:
    """The most private memory (what no file stands behind) of this process inside a ``with`` block, in bytes."""

    def __init__(self) -> None:
        self.bytes = 0
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._watcher.join()

    def _watch(self) -> None:
        finished = False
        while not finished:
            finished = self._done.wait(0.05)
            for line in SMAPS.read_text(encoding="ascii").splitlines():
                if line.startswith("Anonymous:"):
                    self.bytes = max(self.bytes, int(line.split()[1]) * 1024)


def measure(kind: str, place: Path, in_memory_mib: int | None) -> dict[str, Any]:
    """Load, describe and train three steps.

    Returns:
        ``private``: the peak of each phase in bytes; ``rss``; ``rows``; ``code_bytes``, ``mapped``; ``seconds``.
    """
    import numpy as np

    from bgan_discrete import Trainer
    from bgan_discrete.codecs import CodecOptions, TextCodecOptions
    from bgan_discrete.config import TrainingConfig
    from bgan_discrete.nn import ConvDiscriminator, ConvGenerator, ConvSequenceDiscriminator, ConvSequenceGenerator
    from bgan_discrete.sources import code_store, describe, load_images, load_text, storage

    if in_memory_mib is not None:
        storage.MAPPED_BYTES = in_memory_mib * MIB
        code_store.CodeStore.__init__.__defaults__ = (in_memory_mib * MIB,)
    started, peaks = time.monotonic(), {}
    with Peak() as peak:
        pass
    peaks["start"] = peak.bytes
    with Peak() as peak:
        data: Any = (
            load_text(place, codec=TextCodecOptions(length=LENGTH))
            if kind == "text"
            else load_images(place, codec=CodecOptions(num_categories=16))
        )
    peaks["load"] = peak.bytes
    with Peak() as peak:
        describe(data)
    peaks["describe"] = peak.bytes
    with Peak() as peak:
        config = TrainingConfig(batch_size=8, num_draws=2, max_steps=3, penalty="none", device="cpu", threads=1)
        generator: Any
        discriminator: Any
        if kind == "text":
            generator = ConvSequenceGenerator(data.space, 4, 8, 1)
            discriminator = ConvSequenceDiscriminator(data.space, 8, 1)
        else:
            generator = ConvGenerator(data.space, 4, 8, 1)
            discriminator = ConvDiscriminator(data.space, 8, 1)
        Trainer(generator, discriminator, data.codes, config).train(progress=False)
    peaks["train"] = peak.bytes
    return {
        "private": peaks,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "rows": len(data.codes) + len(data.heldout_codes),
        "code_bytes": data.codes.nbytes,
        "mapped": isinstance(data.codes, np.memmap),
        "seconds": time.monotonic() - started,
    }


if __name__ == "__main__":
    run_script(main)
