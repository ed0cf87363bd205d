#!/usr/bin/env python
"""Throw drawn nonsense at all that reads a user's input: it is used, or refused in one line, and nothing else."""

import contextlib
import importlib.util
import io
import json
import logging
import os
import re
import shlex
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.errors import BGANError, InputError
from bgan_discrete.space import SampleSpace

COMMAND = "python scripts/trials/fuzz.py"
EXAMPLES = (
    "--examples 10000 --seed 0",
    "--kind texts --examples 500",
)

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS_PER_EXAMPLE = 30.0
SECONDS_PER_PROCESS = 120.0
SCRIPTS = [f"{verb}_{kind}" for verb in ("train", "generate", "evaluate") for kind in ("images", "text", "array")]

DATA = {"images": "images.npy", "text": "lines.txt", "array": "rows.csv"}
"""Kinds of models, and the data of each."""

TRAININGS = ("train_images", "train_text", "train_array")

SHARES = {
    "configurations": 24,
    "yaml": 12,
    "images": 10,
    "image_files": 12,
    "array_files": 12,
    "trainers": 5,
    "codecs": 12,
    "codec_files": 6,
    "texts": 10,
    "models": 5,
    "command_lines": 4,
    "processes": 0.2,
    "messages": 6,
}
"""How the examples are shared out, in parts."""

# fmt: off
AWKWARD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 1.5, float("nan"), float("inf"), -0.0, 1e308, 2**31, 2**63, 10**30,
    "", " ", "none", "auto", "latest", "cpu", "cuda:99", "\0", "\udcff", "a\nb", "../..", "9" * 5000, [], {}, [[]],
    "gan", "bgan", "r1", "char", "sentencepiece", "levels", "binary", "palette", "pad", "window", "mlp", "gru",
]
YAML_SCALARS = [
    "1e3", "0o17", "1:30", "2001-13-45", "2001-12-14t21:59:43.10-05:00", "~", "&a x", "*a", "!!float x", "!!int 1_0",
    "!!timestamp x", "!!binary x", "!!python/object:os.system x", "!foo x", "[1, 2", "{a: ", "|", ">", "? x", "<<",
    "[" * 2000, "{a: " * 500, ".nan", ".inf", "yes", "'", '"\\x', "%", "@", "`", "!!set {a}", "9" * 5000,
]
SIZES: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 5, 2.5, 2**40, 2**62, 10**30, float("nan"), float("inf"), "", "3", "normal",
    "GRUGenerator", "ConvGenerator", "os.system", [], [8], [8, 8], [0, 8], [2**40, 8], [-1, 8], ["8", 8], {}, [[8]],
]
"""Settings of networks: what is accepted must be small, since it is built."""

BAD_FLAGS = [
    ["--seed", "-1"], ["--seed", "\udcff"], ["--dataset", "absent.npy"], ["--dataset", ""], ["--device", "tpu"],
    ["--output-dir", "/dev/null"], ["--output-dir", "/proc/x"], ["--output", "/proc/x/y.png"], ["--model", "absent"],
    ["--model", "/dev/null"], ["--num-samples", "1"], ["--num-samples", "-3"], ["--holdout", "0.999"], [], ["--x"],
    ["--config", "/dev/zero"], ["--config", "."], ["--resume", "latest"], ["--temperature", "0"], ["--top-k", "0"],
    ["--prompt", "\udcff"], ["--top-p", "2"], ["--columns", "0"], ["--output", "\udcff.png"],
    ["--limit", "2"], ["--column", "x"], ["--holdout", "\udcff"], ["--resize", "8x"], ["--unit", "text"],
    ["--length", "1"], ["--layout", "window"], ["--generator-depth", "99"], ["--output", "."], ["--help"],
    ["--layout", "table"], ["--columns", "a"], ["--drop", '"'], ["--bins", "1"], ["--delimiter", "\udcff"],
    ["--codec", "palette"], ["--dataset", "/dev/zero"],
]
"""Flags of whole programs: no sizes, for a large one is good, and would train for long."""
# fmt: on
ENCODINGS = ("utf-8", "ascii", "cp1252", "latin-1", "utf-16", "shift_jis")
STREAMS = ("", ">&-", "2>&-", "<&- >&- 2>&-", "> /dev/full", "2> /dev/full", "| head -c 9")
"""Where a whole program's stdout and stderr go; caught unless said otherwise."""

UNSEEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What no message may hold."""

ODD = "\x1b[2J\x1b]0;title\x07\x9b\u202e\u2028\u8d64"
"""A name in the data that would clear the screen, set a title and turn the direction."""

SUFFIXES = ("png", "bmp", "gif", "tiff", "ppm")


class TooLong(BaseException):
    """An example took longer than it may."""


class AstrayError(AssertionError):
    """What was neither success nor an error of the package in one line."""


class Reached(BaseException):
    """A command line was good: its script got as far as its work."""


@dataclass
class Room:
    """Where the examples run: a working folder that must stay as it is, and beside it what they may write and read.

    Attributes:
        root: A folder for this alone.
        outcomes: How often each kind was used and refused.
    """

    root: Path
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    count: int = 0

    def __post_init__(self) -> None:
        """Make the folders, two small models and a small data set of each kind."""
        for folder in (self.work, self.out, self.scratch):
            folder.mkdir(parents=True)
        self.make_models()

    @property
    def work(self) -> Path:
        """The current folder of every example."""
        return self.root / "work"

    @property
    def out(self) -> Path:
        """The only place for what an example writes."""
        return self.root / "out"

    @property
    def scratch(self) -> Path:
        """What an example reads."""
        return self.root / "scratch"

    def fresh(self) -> Path:
        """A new folder for what one example reads."""
        self.count += 1
        folder = self.scratch / str(self.count)
        folder.mkdir()
        return folder

    def make_models(self) -> None:
        """A small model of each kind, and data that fit them."""
        import numpy as np
        import torch

        # The first step imports it, which takes long; cut off there, an example would leave it half imported.
        import torch._dynamo

        from bgan_discrete import Pipeline
        from bgan_discrete.codecs import CharacterCodec, LevelsCodec, TableCodec
        from bgan_discrete.nn import GRUGenerator, MLPGenerator
        from bgan_discrete.sources.table_files import write_table

        torch.manual_seed(0)
        levels = LevelsCodec(4)
        drawn = MLPGenerator(levels.space_of((8, 8)), 3, 4, 1)
        Pipeline(drawn, levels).save_pretrained(self.root / "models" / "images")
        codec = CharacterCodec(6).fit(["abc"])
        recurrent = GRUGenerator(codec.space, 3, 4)
        Pipeline(recurrent, codec).save_pretrained(self.root / "models" / "text")
        table: dict[str, Any] = {
            "a": [1, 2, None] * 20,
            f"b{ODD}": [f"x{ODD}", "y"] * 30,
            "c": [number / 7 for number in range(60)],
        }
        columns = TableCodec.fit(table, bins=3)
        generator = MLPGenerator(columns.space, 3, 4, 1)
        Pipeline(generator, columns).save_pretrained(self.root / "models" / "array")
        write_table(table, self.root / "rows.csv")
        np.save(self.root / "images.npy", np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8))
        (self.root / "lines.txt").write_text("".join(f"ab{'c' * (n % 4)} {n}\n" for n in range(80)), encoding="utf-8")

    def listing(self) -> set[str]:
        """Everything in the folders that must stay as they are."""
        return {
            str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if path.relative_to(self.root).parts[0] in ("work", "models")
        }


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise `TooLong` in the block after so many seconds (in the main thread of a system that has alarms)."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise TooLong(f"over {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(room: Room, kind: str, call: Callable[[], Any], seconds: float = SECONDS_PER_EXAMPLE) -> None:
    """Run one example; whatever is neither success nor one line of the package goes up.

    Raises:
        AstrayError: If an error is of another type or takes several lines, a file appears elsewhere, or time runs out.
    """
    outcome = "used"
    try:
        with deadline(seconds), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except BGANError as error:
        outcome = "refused"
        if "\n" in str(error) or not str(error).strip():
            raise AstrayError(f"not one line: {str(error)!r}") from error
    except TooLong as error:
        raise AstrayError(str(error)) from error
    except AstrayError:
        raise
    except Exception as error:
        raise AstrayError(f"{type(error).__module__}.{type(error).__name__}: {error}"[:500]) from error
    finally:
        _keep_small(room)
    room.outcomes[kind, outcome] += 1
    left = room.listing() - _listing_at_first(room)
    if left:
        raise AstrayError(f"files elsewhere: {', '.join(sorted(left))}")


_listings: dict[Path, set[str]] = {}


def _listing_at_first(room: Room) -> set[str]:
    return _listings.setdefault(room.root, room.listing())


def _keep_small(room: Room) -> None:
    for folder in (room.scratch, room.out, room.root / "cache"):
        if folder.is_dir():
            for part in folder.iterdir():
                if part.is_dir() and not part.is_symlink():
                    shutil.rmtree(part, ignore_errors=True)
                else:
                    part.unlink(missing_ok=True)


# --- what is drawn ---


def values() -> Any:
    """Values of every kind that YAML or Python can hold, the awkward ones more often."""
    from hypothesis import strategies as st

    awkward = st.sampled_from(AWKWARD)
    return st.one_of(
        awkward,
        st.integers(-3, 300),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.lists(st.integers(), max_size=3),
        st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    )


def configuration_class(name: str) -> Any:
    """The configuration of a training script."""
    from bgan_discrete import config

    return {
        "train_images": config.ImageTrainingConfig,
        "train_text": config.TextTrainingConfig,
        "train_array": config.ArrayTrainingConfig,
    }[name]


def configuration_keys() -> list[str]:
    """The options of all training scripts."""
    return sorted({key for name in TRAININGS for key in configuration_class(name)().to_flat()})


def configurations(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Dictionaries of known and unknown keys."""
    from hypothesis import strategies as st

    def drawn(name: str) -> Any:
        """Mostly of the script's own keys."""
        keys = st.sampled_from(sorted(configuration_class(name)().to_flat()))
        any_key = st.one_of(keys, keys, st.sampled_from(configuration_keys()), st.text(max_size=4))
        return st.one_of(
            st.dictionaries(any_key, values(), max_size=4),
            st.dictionaries(keys, st.one_of(st.integers(1, 9), st.floats(0.01, 0.99)), max_size=4),
            st.dictionaries(keys, st.just(5000).map(lambda digits: 10**digits), min_size=1, max_size=1),
            values(),
        )

    def run(example: tuple[str, Any]) -> None:
        kind = configuration_class(example[0])

        def call() -> None:
            config = kind.from_flat(example[1])
            config.save(room.out / "config.yaml")
            from bgan_discrete.config import load_config_values

            if repr(kind.from_flat(load_config_values(room.out / "config.yaml"))) != repr(config):
                raise AstrayError("a configuration that was accepted does not come back from its file")

        attempt(room, "configurations", call)

    return st.one_of([st.tuples(st.just(name), drawn(name)) for name in TRAININGS]), run


def yaml_texts() -> Any:
    """Texts that are YAML, nearly YAML, or anything."""
    from hypothesis import strategies as st

    keys = configuration_keys()
    scalars = st.one_of(
        values().map(lambda value: str(value) if not isinstance(value, int) or abs(value) < 10**99 else "9" * 5000),
        st.sampled_from(YAML_SCALARS),
    )
    lines = st.tuples(st.sampled_from([*keys, "<<", "", "config", "a.b", "1", "? [1]"]), scalars).map(": ".join)
    return st.one_of(
        st.lists(lines, max_size=5).map("\n".join).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.text(alphabet=string.printable, max_size=60).map(str.encode),
        st.binary(max_size=40),
    )


def yaml(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Whole files of options."""
    from hypothesis import strategies as st

    def run(example: tuple[str, bytes]) -> None:
        from bgan_discrete.config import load_config_values

        path = room.fresh() / "config.yaml"
        path.write_bytes(example[1])
        attempt(room, "yaml", lambda: configuration_class(example[0]).from_flat(load_config_values(path)))

    return st.tuples(st.sampled_from(TRAININGS), yaml_texts()), run


def image_options() -> Any:
    """Options of `load_images`."""
    from hypothesis import strategies as st

    from bgan_discrete.codecs import CodecOptions, LevelsCodec, PaletteCodec

    codecs = st.one_of(
        st.builds(
            lambda **options: lambda: CodecOptions(**options),
            name=st.sampled_from(["levels", "binary", "palette", "jpeg"]),
            num_categories=st.sampled_from([None, 2, 3, 16, 256, 257, True]),
            stochastic=st.booleans(),
            dither=st.booleans(),
        ),
        st.sampled_from([lambda: LevelsCodec(4), lambda: LevelsCodec(3, 3), lambda: PaletteCodec(3)]),
    )
    return st.fixed_dictionaries(
        {"codec": codecs},
        optional={
            "resize": st.sampled_from(["4", "3x5", "x", "0", 7, "99999", "4x"]),
            "color": st.sampled_from(["auto", "grey", "rgb", "blue"]),
            "limit": st.sampled_from([None, 1, 2, 3, 10, 0, 2.5, True]),
            "holdout": st.sampled_from([0.1, 0.5, 0.999, 1e-320, 0, 1, float("nan"), "x"]),
            "seed": st.sampled_from([0, 5, 2**63 - 1, 2**63, -1, None]),
            "split": st.sampled_from(["train", "test", "", "dev"]),
            "column": st.sampled_from([None, "image", "images", "a"]),
            "label_column": st.sampled_from([None, "label", "image", "b"]),
        },
    )


def arrays(max_dims: int = 4, max_side: int = 7) -> Any:
    """Arrays of any dtype and shape, and what is none."""
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp

    dtypes = st.one_of(
        st.just("u1"),
        st.just("u1"),
        st.sampled_from(["u1", "i1", "<i2", ">i4", "i8", "u8", "?", "f2", "f4", "f8", "c8", "S3", "U2", "M8[s]", "V3"]),
    )
    shapes = hnp.array_shapes(min_dims=0, max_dims=max_dims, min_side=0, max_side=max_side)
    # A seed rather than elements: the contents matter less than the time that drawing them takes.
    filled = st.builds(_filled, dtypes, shapes, st.integers(0, 9), st.sampled_from([1, 2, 4, 256]))
    return st.one_of(filled, filled, filled, values())


def _filled(dtype: str, shape: tuple[int, ...], seed: int, high: int) -> Any:
    import numpy as np

    drawn = np.random.default_rng(seed).integers(0, high, shape)
    return np.zeros(shape, dtype) if dtype in ("V3", "M8[s]") else np.asarray(drawn).astype(dtype)


def images(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Arrays, with options."""
    from hypothesis import strategies as st

    def run(example: tuple[Any, dict[str, Any]]) -> None:
        from bgan_discrete.sources import describe, load_images

        def call() -> None:
            options = {**example[1], "codec": example[1]["codec"]()}
            data = load_images(example[0], cache_dir=room.root / "cache", **options)
            describe(data)
            data.codec.decode(data.codes)

        if not isinstance(example[0], str):  # names are the business of texts and command lines
            attempt(room, "images", call)

    fitting = st.builds(
        _filled,
        st.just("u1"),
        st.sampled_from([(9, 4, 5), (30, 3, 3), (9, 4, 5, 3), (5, 1, 1), (9, 3, 3, 1), (9, 3, 3, 4)]),
        st.integers(0, 9),
        st.sampled_from([1, 2, 3, 256]),
    )
    few = st.fixed_dictionaries({"codec": st.sampled_from(["levels", "binary", "palette"]).map(_codec_maker)})
    return st.tuples(st.one_of(arrays(), fitting), st.one_of(few, image_options())), run


def _codec_maker(name: str) -> Callable[[], Any]:
    from bgan_discrete.codecs import CodecOptions

    return lambda: CodecOptions(name, 2)


def mutations() -> Any:
    """What happens to a file's bytes: flips, cuts, insertions, blanks."""
    from hypothesis import strategies as st

    place = st.floats(0, 1, exclude_max=True)
    single = st.one_of(
        st.tuples(st.just("flip"), place, st.integers(1, 255)),
        st.tuples(st.just("cut"), place, st.just(0)),
        st.tuples(st.just("head"), place, st.just(0)),
        st.tuples(st.just("blank"), place, st.integers(1, 64)),
        st.tuples(st.just("double"), place, st.integers(1, 64)),
        st.tuples(st.just("digit"), place, st.integers(0, 9)),
    )
    return st.lists(single, min_size=1, max_size=4)


def mutated(content: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    """The bytes after the changes."""
    for name, share, number in changes:
        at = int(share * len(content))
        if name == "flip" and content:
            content = content[:at] + bytes([content[at] ^ number]) + content[at + 1 :]
        elif name == "cut":
            content = content[:at]
        elif name == "head":
            content = content[at:]
        elif name == "blank":
            content = content[:at] + bytes(min(number, len(content) - at)) + content[at + number :]
        elif name == "double":
            content = content[: at + number] + content[at:]
        elif name == "digit":
            digits = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
            if digits:
                chosen = digits[int(share * len(digits))]
                content = content[:chosen] + str(number).encode() + content[chosen + 1 :]
    return content


def good_image_files() -> dict[str, bytes]:
    """A small file of every kind that holds images."""
    import numpy as np
    import pyarrow
    import pyarrow.parquet
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 256, (9, 5, 6), dtype=np.uint8)
    files: dict[str, bytes] = {}
    for name, write in (("a.npy", np.save), ("a.npz", np.savez), ("b.npz", np.savez_compressed)):
        buffer = io.BytesIO()
        write(buffer, **({"arr": pixels} if name == "a.npy" else {"images": pixels, "labels": np.arange(9)}))
        files[name] = buffer.getvalue()
    encoded = []
    for number, image in enumerate(pixels):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, SUFFIXES[number % 5].upper())
        encoded.append({"bytes": buffer.getvalue(), "path": None})
        files[f"folder/{number}.{SUFFIXES[number % 5]}"] = buffer.getvalue()
    for name, columns in (
        ("a.parquet", {"image": encoded, "label": list(range(9))}),
        ("b.parquet", {"image": pixels.tolist()}),
    ):
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns), buffer, row_group_size=4, compression="none")
        files[name] = buffer.getvalue()
    return files


def image_files(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Damaged .npy, .npz and parquet files and folders of images."""
    from hypothesis import strategies as st

    files = good_image_files()
    singles = [name for name in files if "/" not in name]
    chosen = st.one_of(st.sampled_from(singles), st.sampled_from(["folder/0.png", "folder/3.tiff", "folder/2.gif"]))

    def run(example: tuple[str, list[Any]]) -> None:
        from bgan_discrete.sources import describe, load_images

        name, changes = example
        folder = room.fresh()
        for other, content in files.items():
            if other == name or ("/" in name and "/" in other):
                (folder / other).parent.mkdir(exist_ok=True)
                (folder / other).write_bytes(mutated(content, changes) if other == name else content)
        place = folder / name.split("/", maxsplit=1)[0]
        attempt(room, "image_files", lambda: describe(load_images(place, cache_dir=room.root / "cache")))

    return st.tuples(chosen, mutations()), run


def good_array_files() -> dict[str, bytes]:
    """A small file of every kind that holds integers or a table."""
    import datetime

    import numpy as np
    import pyarrow
    import pyarrow.parquet

    codes = np.random.default_rng(1).integers(0, 5, (40, 3))
    columns = {
        "day": [datetime.datetime(2024, 1 + number % 3, 1) for number in range(40)],
        "kind": ["a", "b", None, "dé"] * 10,
        "size": [number / 7 for number in range(40)],
        "paid": [True, False] * 20,
    }
    files: dict[str, bytes] = {}
    for name, write in (("a.npy", np.save), ("a.npz", np.savez), ("b.npz", np.savez_compressed)):
        buffer = io.BytesIO()
        write(buffer, **({"arr": codes} if name == "a.npy" else {"codes": codes, "other": codes[0]}))
        files[name] = buffer.getvalue()
    named = np.zeros(40, [("größe", "<i4"), ("name", "<U3"), ("share", "<f4")])
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, named, version=(3, 0))
    files["c.npy"] = buffer.getvalue()
    for name, compression in (("a.parquet", "none"), ("b.parquet", "snappy")):
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns), buffer, row_group_size=16, compression=compression)
        files[name] = buffer.getvalue()
    lines = [f'{number % 3},"a ""b"", {number % 2}",{number / 4},é' for number in range(40)]
    files["a.csv"] = "\n".join(["id,words,share,sign", *lines, ""]).encode()
    files["a.tsv"] = "\r\n".join(["x\ty", *(f"{number % 4}\t" for number in range(40)), ""]).encode()
    return files


def array_files(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Damaged .npy, .npz, .csv and parquet files, with options."""
    from hypothesis import strategies as st

    files = good_array_files()
    options = st.fixed_dictionaries(
        {},
        optional={
            "layout": st.sampled_from(["auto", "array", "table", "rows"]),
            "columns": st.sampled_from([None, ["kind"], ["column_0"], [], ["id", "id"]]),
            "drop": st.sampled_from([[], ["day"], ["x"], ["\ud800"]]),
            "bins": st.sampled_from([None, 2, 4, 1, 10**9]),
            "max_categories": st.sampled_from([None, 2, 9, 1]),
            "column": st.sampled_from([None, "id=integer:4", "share=number", {"kind": "category:2"}, "=", "x"]),
            "rare": st.sampled_from(["drawn", "private", ""]),
            "missing": st.sampled_from([(), ("a",), ("\0",)]),
            "delimiter": st.sampled_from([None, ";", " ", "\0", '"', "é", "\ud800"]),
            "header": st.booleans(),
            "key": st.sampled_from([None, "codes", "other", ""]),
            "label_column": st.sampled_from([None, "kind", "share"]),
            "limit": st.sampled_from([None, 3, 30, 0]),
            "holdout": st.sampled_from([0.1, 0.5, 0.999, 1e-320, 1.0]),
        },
    )
    few = st.sampled_from([{}, {"bins": 4, "layout": "table"}, {"bins": 9}])

    def run(example: tuple[str, list[Any], dict[str, Any]]) -> None:
        import numpy as np

        from bgan_discrete.codecs import TableCodec
        from bgan_discrete.sources import describe, load_array

        name, changes, chosen = example
        path = room.fresh() / name
        path.write_bytes(mutated(files[name], changes))

        def call() -> None:
            data = load_array(path, **chosen)
            describe(data)
            data.codec.decode(data.codes)
            if isinstance(data.codec, TableCodec):
                data.codec.decode(data.codes, rng=np.random.default_rng(0))

        attempt(room, "array_files", call)

    return st.tuples(
        st.sampled_from(sorted(files)), st.one_of(mutations(), st.builds(list)), st.one_of(few, few, options)
    ), run


def trainers(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Arrays of codes for the Trainer, which takes one step where it takes them."""
    from hypothesis import strategies as st

    def run(codes: Any) -> None:
        import torch

        from bgan_discrete import Trainer, TrainingConfig
        from bgan_discrete.nn import MLPDiscriminator, MLPGenerator

        def call() -> None:
            torch.manual_seed(0)
            config = TrainingConfig(batch_size=2, num_draws=2, max_steps=1, device="cpu", threads=1)
            space = SampleSpace((3, 2), 4)
            parts = MLPGenerator(space, 2, 4, 1), MLPDiscriminator(space, 4, 1)
            Trainer(*parts, codes, config).train(progress=False)

        attempt(room, "trainers", call)

    # The Trainer takes arrays and tensors by contract, of the shape of its networks.
    fitting = st.builds(
        _filled,
        st.sampled_from(["u1", "i1", "<i2", ">i4", "i8", "u2", "u8", "?", "f2", "f8", "c8", "S3", "M8[s]"]),
        st.sampled_from([(1, 3, 2), (5, 3, 2), (9, 3, 2), (0, 3, 2), (3, 2, 0), (6,), ()]),
        st.integers(0, 9),
        st.sampled_from([1, 4, 5, 256]),
    )
    return fitting, run


def codecs(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Fitting, encoding, decoding, and configurations of codecs."""
    from hypothesis import strategies as st

    from bgan_discrete.codecs import BinaryCodec, CharacterCodec, LevelsCodec, PaletteCodec, SentencePieceCodec

    pieces = SentencePieceCodec(5).fit(["abc abd"] * 9)
    makers: list[Callable[[], Any]] = [
        lambda: BinaryCodec(stochastic=True),
        lambda: LevelsCodec(None),
        lambda: LevelsCodec(5, 3),
        lambda: PaletteCodec(3, 1),
        lambda: PaletteCodec(3, dither=True),
        lambda: CharacterCodec(4).fit(["abc"]),
        lambda: CharacterCodec(4, False),
        lambda: pieces,
    ]
    texts = st.lists(st.text(max_size=9), max_size=4)

    def run(example: tuple[int, str, Any, Any]) -> None:
        number, method, data, change = example
        attempt(room, "codecs", lambda: _use_codec(makers[number](), method, data, change))

    methods = st.sampled_from(["fit", "encode", "decode", "config"])
    change = st.tuples(st.integers(0, 9), values())
    return st.tuples(st.integers(0, len(makers) - 1), methods, st.one_of(arrays(), texts), change), run


def _use_codec(codec: Any, method: str, data: Any, change: tuple[int, Any]) -> None:
    from bgan_discrete.codecs import TextCodec, codec_from_config

    if method == "config":
        config = codec.to_config()
        key = sorted(config)[change[0] % len(config)]
        config[key] = change[1]
        changed = codec_from_config(config)
        if changed.fingerprint() != codec_from_config(changed.to_config()).fingerprint():
            raise AstrayError("a codec that was accepted does not come back from its configuration")
    elif isinstance(codec, TextCodec) and method != "decode":
        # Texts are strings by contract; every string is one.
        texts = [text for text in data if isinstance(text, str)] if isinstance(data, list) else ["\udcff", "\0"]
        codec.fit(texts)
        codec.decode(codec.encode([text.ljust(codec.length) for text in texts]))
    elif method == "fit":
        codec.fit(data)
        codec.decode(codec.encode(data))
    else:
        getattr(codec, method)(data)


def json_files(values_of: Any, content: bytes) -> Any:
    """A JSON file whose bytes or values were changed."""
    from hypothesis import strategies as st

    document = json.loads(content)
    paths = list(_json_paths(document))

    def replaced(path: tuple[Any, ...], value: Any) -> bytes:
        changed = json.loads(content)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        return json.dumps(changed, default=str).encode("utf-8", "surrogatepass")

    # Numbers beyond 4,300 digits cannot be written as JSON.
    writable = values_of.filter(lambda value: not isinstance(value, int) or abs(value) < 10**999)
    return st.one_of(
        st.builds(replaced, st.sampled_from(paths), writable),
        mutations().map(lambda changes: mutated(content, changes)),
        st.binary(max_size=20),
        st.sampled_from([b"", b"null", b"[" * 9999, b"9" * 9999, b'{"a": 1e999}', b"NaN", b"\xff"]),
    )


def _json_paths(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs: Any = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from _json_paths(value, (*path, key))


def codec_files(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Damaged files of codecs, with a fingerprint that fits or not."""
    from hypothesis import strategies as st

    from bgan_discrete.codecs import BinaryCodec, CharacterCodec, LevelsCodec, PaletteCodec, load_codec
    from bgan_discrete.codecs.base import config_fingerprint

    folder = room.root / "codecs"
    folder.mkdir(exist_ok=True)
    kinds = []
    for number, codec in enumerate(
        [BinaryCodec(), LevelsCodec(5, 3), PaletteCodec(2, 1), CharacterCodec(4).fit(["ab"])]
    ):
        codec.save(folder / f"{number}.json")
        kinds.append(json_files(values(), (folder / f"{number}.json").read_bytes()))

    def run(example: tuple[bytes, bool]) -> None:
        content, sealed = example
        path = room.fresh() / "codec.json"
        if sealed:
            with contextlib.suppress(Exception):
                document = json.loads(content)
                document["fingerprint"] = config_fingerprint(document["codec"])
                content = json.dumps(document).encode()
        path.write_bytes(content)
        attempt(room, "codec_files", lambda: load_codec(path))

    return st.tuples(st.one_of(kinds), st.booleans()), run


def texts(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Files of text, with every unit, layout and tokenizer and with tiny limits."""
    from hypothesis import strategies as st

    from bgan_discrete.codecs import TextCodecOptions

    characters = st.sampled_from(
        [*"abc \n\n\n\t", "\r\n", "\0", "\u2581", "é", "\U0001f600", "\ufeff", "\u2028", "\x85"]
    )
    content = st.one_of(
        st.lists(characters, max_size=80).map("".join).map(str.encode),
        st.integers(1, 90).map(
            lambda count: "".join(f"line {n} of {n % 7}\n\n"[: 9 + n % 9] for n in range(count)).encode()
        ),
        st.integers(20, 90).map(lambda count: "".join(f"abc{n}\n" for n in range(count)).encode()),
        st.binary(max_size=60),
    )
    codec = st.fixed_dictionaries(
        {"length": st.sampled_from([1, 2, 5, 32])},
        optional={
            "ends": st.booleans(),
            "tokenizer": st.sampled_from(["char", "char", "sentencepiece", "sentencepiece", "words"]),
            "vocabulary_size": st.sampled_from([None, 2, 3, 4, 260, 300, 65536, 65537]),
            "min_count": st.sampled_from([1, 2, 1000]),
            "model_type": st.sampled_from(["unigram", "bpe", "char", "word"]),
            "model_file": st.sampled_from([None, None, "absent.model", "", "\0"]),
        },
    )
    options = st.fixed_dictionaries(
        {},
        optional={
            "unit": st.sampled_from(["line", "paragraph", "text", "word"]),
            "layout": st.sampled_from(["pad", "window"]),
            "limit": st.sampled_from([None, 1, 2, 3, 30, 0]),
            "holdout": st.sampled_from([0.1, 0.5, 0.99, 1e-320, 0.0, 1.0]),
            "seed": st.sampled_from([0, 1, 2**63 - 1, -1]),
            "split": st.sampled_from(["train", ""]),
            "column": st.sampled_from([None, None, "a"]),
            "streaming": st.sampled_from([False, False, True]),
            "heldout": st.sampled_from(["same", "absent", "", "\0", "x" * 3000, "/dev/null"]),
        },
    )
    names = st.sampled_from([None] * 9 + ["", "\0", "\udcff", "~nobody/x", "x" * 3000, "/dev/zero", ".", "a", "a/b/c"])

    def run(example: tuple[bytes, dict[str, Any], dict[str, Any], str | None]) -> None:
        from bgan_discrete.sources import describe, load_text

        written, drawn, chosen, name = example
        path = room.fresh() / "text.txt"
        path.write_bytes(written)
        chosen = {**chosen, **({"heldout": path} if chosen.get("heldout") == "same" else {})}

        def call() -> None:
            drawn.setdefault("ends", chosen.get("layout", "pad") == "pad")
            data = load_text(path if name is None else name, codec=TextCodecOptions(**drawn), **chosen)
            describe(data)
            data.codec.decode(data.codes)

        attempt(room, "texts", call)

    few = st.fixed_dictionaries(
        {"unit": st.sampled_from(["line", "paragraph"]), "layout": st.sampled_from(["pad", "window"])},
        optional={"limit": st.just(20), "heldout": st.just("same")},
    )
    short = st.fixed_dictionaries(
        {"length": st.sampled_from([1, 3]), "tokenizer": st.sampled_from(["char", "sentencepiece"])}
    )
    return st.one_of(st.tuples(content, short, few, st.none()), st.tuples(content, codec, options, names)), run


def models(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Damaged folders of models, from which a sample is drawn where they load."""
    from hypothesis import strategies as st

    folders = {kind: room.root / "models" / kind for kind in DATA}
    names = sorted(path.name for path in folders["images"].iterdir() if path.suffix != ".md")
    changes = {}
    for kind, folder in folders.items():
        for name in names:
            content = (folder / name).read_bytes()
            if name.endswith(".json"):
                changed = json_files(_sizes(), content)
            else:
                changed = mutations().map(lambda drawn, content=content: mutated(content, drawn))
            changes[kind, name] = st.one_of(changed, changed, changed, st.none(), st.just(b""))

    def run(example: tuple[str, str, bytes | None]) -> None:
        kind, name, content = example
        folder = room.fresh() / "model"
        shutil.copytree(folders[kind], folder)
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        attempt(room, "models", lambda: _load_and_draw(kind, folder))

    single = [st.tuples(st.just(kind), st.just(name), drawn) for (kind, name), drawn in changes.items()]
    return st.one_of(single), run


def _sizes() -> Any:
    """Values for settings: what is accepted must be small, since it is built."""
    from hypothesis import strategies as st

    return st.sampled_from(SIZES)


def _load_and_draw(kind: str, folder: Path) -> None:
    from bgan_discrete import Pipeline

    kinds = {"images": Pipeline, "text": Pipeline, "array": Pipeline}
    kinds[kind].from_pretrained(folder).generate(2, batch_size=2)


def argument_lists(room: Room) -> Any:
    """Command lines of any script: flags of all of them, good and bad values, and anything."""
    from hypothesis import strategies as st

    flags = [f"--{name.replace('_', '-')}" for name in configuration_keys()]
    flags += ["--model", "--output", "--temperature", "--top-k", "--top-p", "--prompt", "--columns", "--against"]
    flags += [
        "--protocol",
        "--sweep-temperature",
        "--help",
        "--print_config",
        "--config",
        "--",
        "-",
        "--no-overwrite",
        "--x",
    ]
    words = st.one_of(
        st.sampled_from(["1", "0", "-1", "2.5", "nan", "null", "true", "", "x", "[1", "{a: 1}", "*a", "!!float x"])
        | st.sampled_from(
            ["\0", "\udcff", "a\nb", "9" * 5000, "[" * 2000, "2001-13-45", "é", "@x", "latest", "cpu", "1e3"]
        ),
        st.text(max_size=6),
        st.integers(-2, 99).map(str),
    )
    pair = st.one_of(
        st.tuples(st.sampled_from(flags), words),
        st.tuples(st.sampled_from(flags), words).map(lambda both: ("=".join(both),)),
        st.tuples(st.sampled_from(flags)),
        st.tuples(words),
    )
    return st.lists(pair, max_size=4).map(lambda pairs: [word for pair in pairs for word in pair])


def command_lines(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Command lines up to where the work would begin, and YAML files given to them."""
    from hypothesis import strategies as st

    import bgan_discrete.runs.evaluate
    import bgan_discrete.runs.generate
    import bgan_discrete.runs.train
    from bgan_discrete.command_line.calls import Call
    from bgan_discrete.command_line.verbs import VERBS

    verbs = {
        "train": bgan_discrete.runs.train,
        "generate": bgan_discrete.runs.generate,
        "evaluate": bgan_discrete.runs.evaluate,
    }

    def reach(*args: Any, **options: Any) -> None:
        raise Reached

    def run(example: tuple[str, list[str], bytes | None]) -> None:
        name, arguments, config = example
        if config is not None:
            path = room.fresh() / "config.yaml"
            path.write_bytes(config)
            arguments = [*arguments, "--config", str(path)]
        required = ["--model", "m"] if not name.startswith("train") else []
        verb, kind = name.split("_")
        home: Any = verbs[verb]

        def call() -> None:
            kept = getattr(home, verb)
            setattr(home, verb, reach)
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    VERBS[verb].run(Call(verb, [*required, *arguments], {"array": "arrays"}.get(kind, kind)))
            except Reached:
                pass
            except SystemExit as error:
                if error.code not in (0, None):
                    raise AstrayError(f"exit code {error.code}") from error
            finally:
                setattr(home, verb, kept)

        attempt(room, "command_lines", call)

    files = st.one_of(st.none(), st.none(), yaml_texts())
    return st.tuples(st.sampled_from(sorted(SCRIPTS)), argument_lists(room), files), run


def processes(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Whole programs, as a user starts them."""
    from hypothesis import strategies as st

    def run(example: tuple[str, list[str], str, str]) -> None:
        name, arguments, *streams = example
        of = name.split("_")[1]
        model = ["--model", str(room.root / "models" / of)]
        data = ["--dataset", str(room.root / DATA[of])]
        where = ["--output-dir", str(room.out / "run"), "--max-steps", "1", "--batch-size", "2", "--num-samples", "0"]
        common = {"train": [*data, *where], "evaluate": [*model, *data, "--num-samples", "9"], "generate": model}
        kind = name.split("_")[0]
        suffix = "npz" if name in ("generate_images", "generate_array") else "txt"
        output = [] if kind == "train" else ["--output", str(room.out / f"x.{suffix}")]
        words = [word for word in (*common[kind], *output, "--device", "cpu", *arguments) if "\0" not in word]
        attempt(room, "processes", lambda: _run_process(room, name, words, *streams), SECONDS_PER_PROCESS + 5)

    flags = st.sampled_from(BAD_FLAGS)
    arguments = st.lists(flags, max_size=2).map(lambda pairs: [word for pair in pairs for word in pair])
    streams = st.sampled_from(ENCODINGS[:4]), st.sampled_from(STREAMS)
    return st.tuples(st.sampled_from(sorted(SCRIPTS)), arguments, *streams), run


def _run_process(room: Room, name: str, arguments: list[str], encoding: str, streams: str) -> None:
    program = shlex.join([sys.executable, str(ROOT / "scripts" / f"{name}.py")])
    command: list[Any] = ["bash", "-c", f'{program} "$@" {streams}; exit ${{PIPESTATUS[0]}}', name]
    command += map(os.fsencode, arguments)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BGAN_DISCRETE_CACHE": str(room.root / "cache")}
    environment["PYTHONIOENCODING"] = encoding
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=SECONDS_PER_PROCESS, check=False, cwd=room.work, env=environment
        )
    except subprocess.TimeoutExpired:
        raise AstrayError(f"{name} {arguments} took over {SECONDS_PER_PROCESS} s") from None
    said = done.stderr.decode(encoding)
    if done.returncode not in (0, 1, 2, 141) or "Traceback" in said:
        raise AstrayError(f"{name} {arguments} {streams} ended with {done.returncode}: {said[-600:]}")
    if UNSEEN.search(said) or UNSEEN.search(done.stdout.decode(encoding, "ignore")):
        raise AstrayError(f"{name} {arguments} {streams} wrote control characters: {said[-600:]!r}")
    if done.returncode and "2>" not in streams:
        line = said.rstrip("\n").split("\n")[-1]
        if not line.startswith(f"{name}.py: error: "):
            raise AstrayError(f"{name} {arguments} ended with {done.returncode} and said: {said[-600:]}")
        raise InputError(line)


def messages(room: Room) -> tuple[Any, Callable[[Any], None]]:
    """Texts of any kind, for people, on consoles of any kind."""
    from hypothesis import strategies as st

    def run(example: tuple[str, str, bool]) -> None:
        from bgan_discrete.streams import say, write_product

        text, encoding, closed = example
        raw = io.BytesIO()

        def call() -> None:
            console = None if closed else io.TextIOWrapper(raw, encoding, newline="")
            with contextlib.redirect_stdout(console):
                say(text)
                if UNSEEN.search(raw.getvalue().decode(encoding)):
                    raise AstrayError("control characters reach a console")
                write_product(text)

        attempt(room, "messages", call)

    texts = st.one_of(st.text(max_size=9), st.text(alphabet=f"{ODD}\r\udcff a", max_size=9))
    return st.tuples(texts, st.sampled_from(ENCODINGS), st.booleans()), run


KINDS: dict[str, Callable[[Room], tuple[Any, Callable[[Any], None]]]] = {
    "configurations": configurations,
    "yaml": yaml,
    "images": images,
    "image_files": image_files,
    "array_files": array_files,
    "trainers": trainers,
    "codecs": codecs,
    "codec_files": codec_files,
    "texts": texts,
    "models": models,
    "command_lines": command_lines,
    "processes": processes,
    "messages": messages,
}


def _written(example: Any) -> str:
    try:
        return repr(example)
    except ValueError:  # Python does not write out numbers of thousands of digits
        return f"an example of the keys {list(example[1])} that cannot be written"


def fuzz(room: Room, kind: str, examples: int, seed: int | None) -> list[str]:
    """Draw and run examples of a kind.

    Args:
        room: Where they run.
        kind: One of `KINDS`.
        examples: How many.
        seed: Of the draws; None for the same ones each time.

    Returns:
        What went astray, one text each, with the smallest example that was found.
    """
    import hypothesis

    strategy, run = KINDS[kind](room)
    _listings.pop(room.root, None)
    _listing_at_first(room)
    settings = hypothesis.settings(
        max_examples=examples,
        derandomize=seed is None,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        report_multiple_bugs=True,
        print_blob=False,
    )
    found: dict[str, str] = {}

    def watch(example: Any) -> None:
        try:
            run(example)
        except AstrayError as error:
            # The line that raised tells one fault from another; of a fault, the last example is the smallest.
            cause = error.__cause__
            trace = cause.__traceback__ if cause is not None else None
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "-"
            found[f"{where} {str(error)[:40]}"] = f"{kind}: {error}\n    at {where}\n    with {_written(example)}"[
                :2000
            ]
            raise

    decorators: list[Any] = [hypothesis.given(strategy), settings]
    test: Any = watch
    for decorate in decorators if seed is None else [*decorators, hypothesis.seed(seed)]:
        test = decorate(test)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            test()
    except Exception:  # several faults come as a group
        if not found:
            raise
    return list(found.values())


@contextlib.contextmanager
def open_room() -> Iterator[Room]:
    """A room in a temporary folder, which is the current folder meanwhile; without a network."""
    before, environment = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="bgan-fuzz-", ignore_cleanup_errors=True) as root:
        os.environ["HF_HUB_OFFLINE"] = "1"
        room = Room(Path(root).resolve())
        log = logging.getLogger("bgan_discrete")
        level = log.level
        log.setLevel(logging.CRITICAL)
        os.chdir(room.work)
        if importlib.util.find_spec("hypothesis") is not None:
            from hypothesis.configuration import set_hypothesis_home_dir

            set_hypothesis_home_dir(room.root / "hypothesis")
        try:
            yield room
        finally:
            os.chdir(before)
            log.setLevel(level)
            os.environ.clear()
            os.environ.update(environment)
            if importlib.util.find_spec("hypothesis") is not None:
                set_hypothesis_home_dir(None)


def main() -> int:
    """Parse, draw, report."""
    parser = Parser(
        "Throw drawn nonsense at everything that reads a user's input.", EXAMPLES, "python scripts/trials/fuzz.py"
    )
    parser.add_argument("--examples", type=int, default=10_000, metavar="INT", help="how many, over all kinds")
    parser.add_argument("--seed", type=int, default=0, metavar="INT", help="seed of the draws")
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all", help="what is fuzzed")
    options = parser.values(sys.argv[1:])
    if options["examples"] < 1:
        raise InputError(f"examples must be at least 1, got {options['examples']}")
    if importlib.util.find_spec("hypothesis") is None:
        raise InputError("hypothesis is needed: pip install hypothesis")
    names = list(KINDS) if options["kind"] == "all" else [options["kind"]]
    whole = sum(SHARES[name] for name in names)
    faults: list[str] = []
    with open_room() as room:
        for name in names:
            started = time.monotonic()
            found = fuzz(room, name, max(1, round(options["examples"] * SHARES[name] / whole)), options["seed"])
            used, refused = room.outcomes[name, "used"], room.outcomes[name, "refused"]
            seconds = time.monotonic() - started
            print(f"{name:15} {used:6} used {refused:6} refused {len(found):3} astray {seconds:6.0f} s", flush=True)
            faults += found
            print("".join(f"{fault}\n" for fault in found), end="", flush=True)
    print(f"{sum(room.outcomes.values())} examples, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    run_script(main)
