#!/usr/bin/env python
"""Let a coverage-guided fuzzer bend the bytes of the files that are read: codecs, models, arrays, parquet, text."""

import importlib
import importlib.util
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser
from bgan_discrete.errors import BGANError, InputError

COMMAND = "python scripts/trials/fuzz_bytes.py"
EXAMPLES = ("--reader codec --seconds 60",)

READERS = ("codec", "model", "npy", "npz", "parquet", "text")


def main() -> int:
    """Parse, then hand over to the fuzzer, which ends the process."""
    parser = Parser(
        "Bend the bytes of files under the guidance of coverage.", EXAMPLES, "python scripts/trials/fuzz_bytes.py"
    )
    parser.add_argument("--reader", choices=READERS, default="codec", help="what reads the bytes")
    parser.add_argument("--seconds", type=int, default=60, metavar="INT", help="for how long")
    parser.add_argument("--seed", type=int, default=1, metavar="INT", help="of the fuzzer, >= 1")
    options = parser.values(sys.argv[1:])
    for name in ("seconds", "seed"):
        if options[name] < 1:
            raise InputError(f"{name} must be at least 1, got {options[name]}")
    if importlib.util.find_spec("atheris") is None:
        raise InputError("atheris is needed, in an environment of its own: pip install atheris")
    atheris = importlib.import_module("atheris")
    with tempfile.TemporaryDirectory(prefix="bgan-bytes-") as root:
        folder = Path(root)
        with atheris.instrument_imports(
            include=["bgan_discrete", "json", "numpy.lib", "zipfile", "safetensors", "PIL"]
        ):
            read, samples = make_reader(options["reader"], folder)
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, sample in enumerate(samples):
            (corpus / str(number)).write_bytes(sample)
        counts = {"used": 0, "refused": 0}
        started = time.monotonic()

        def once(content: bytes) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    read(content)
                    counts["used"] += 1
                except BGANError:
                    counts["refused"] += 1
            if time.monotonic() - started > options["seconds"]:
                print(
                    f"{options['reader']}: {counts['used']} used, {counts['refused']} refused, none astray", flush=True
                )
                shutil.rmtree(root, ignore_errors=True)
                sys.stdout.flush()
                # The fuzzer has no other way to end without a fault.
                import os

                os._exit(0)

        flags = [f"-seed={options['seed']}", "-timeout=20", "-rss_limit_mb=6000", "-verbosity=0", "-close_fd_mask=0"]
        atheris.Setup([sys.argv[0], *flags, f"-artifact_prefix={tempfile.gettempdir()}/bgan-bytes-", str(corpus)], once)
        atheris.Fuzz()
    return 0


def make_reader(name: str, folder: Path) -> tuple[Callable[[bytes], Any], list[bytes]]:
    """What reads the bytes, and good files to begin with."""

    from bgan_discrete import Pipeline
    from bgan_discrete.codecs import CharacterCodec, PaletteCodec, TextCodecOptions, load_codec
    from bgan_discrete.sources import load_images, load_text

    fuzz = importlib.import_module("fuzz")  # beside this file
    path = folder / "file"
    if name == "codec":
        samples = []
        for number, codec in enumerate([PaletteCodec(2, 1), CharacterCodec(4).fit(["ab"])]):
            codec.save(folder / f"{number}.json")
            samples.append((folder / f"{number}.json").read_bytes())
        return _through(path, load_codec), samples
    if name == "text":
        lines = "".join(f"line {number}\n\n" for number in range(30)).encode()
        return _through(path, lambda path: load_text(path, codec=TextCodecOptions(length=4))), [lines]
    if name == "model":
        room = fuzz.Room(folder / "room")
        model = room.root / "models" / "images"
        weights = next(path for path in model.iterdir() if path.suffix == ".safetensors")
        return _through(weights, lambda _: Pipeline.from_pretrained(model)), [weights.read_bytes()]
    path = folder / f"file.{name}"
    samples = [content for key, content in fuzz.good_image_files().items() if key.endswith(f".{name}")]
    return _through(path, lambda path: load_images(path, cache_dir=folder / "cache")), samples


def _through(path: Path, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    def run(content: bytes) -> None:
        path.write_bytes(content)
        try:
            read(path)
        finally:
            shutil.rmtree(path.parent / "cache", ignore_errors=True)

    return run


if __name__ == "__main__":
    run_script(main)
