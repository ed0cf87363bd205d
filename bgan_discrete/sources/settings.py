"""What is asked for: a place of images, and all that decides what codes come out of it."""

import dataclasses
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_choice, check_limit, check_seed, check_share
from bgan_discrete.codecs import CodecOptions, ImageCodec
from bgan_discrete.codecs.base import config_fingerprint
from bgan_discrete.errors import InputError

EMBEDDED = "digits"
CACHE_VERSION = 4
"""Part of every cache's name: raise it when the same input would give other codes, or the files another layout."""

PATH_SUFFIXES = (".parquet", ".npy", ".npz")
MAX_SIDE = 4096
HUB_ID = r"\w[\w.-]*(/\w[\w.-]*)?"
"""What a data set of the Hub may be called, in ASCII."""


@dataclass(frozen=True)
class Settings:
    """All that decides what codes come out of the same data."""

    image_column: str | None
    label_column: str | None
    split: str
    size: tuple[int, int] | None
    color: str
    limit: int | None
    holdout: float
    codec: CodecOptions | ImageCodec
    seed: int

    def check(self) -> None:
        """Refuse wrong values before anything is read."""
        check_limit(self.limit)
        check_share("holdout", self.holdout)
        if not isinstance(self.split, str) or not self.split:
            raise InputError(f"split must be the name of a split, got {self.split!r}")
        check_seed(self.seed)
        if isinstance(self.codec, CodecOptions) and self.color != "auto":
            self.codec.build(channels=1 if self.color == "grey" else 3)

    def cache_key(self, content: str) -> str:
        """The name of the cache of a content with these settings."""
        codec = self.codec
        options = codec.fingerprint() if isinstance(codec, ImageCodec) else dataclasses.asdict(codec)
        return config_fingerprint({**vars(self), "codec": options, "content": content, "cache_version": CACHE_VERSION})


def parse_size(resize: str | None) -> tuple[int, int] | None:
    """Height and width."""
    if resize is None:
        return None
    match = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", str(resize).strip())
    height = int(match[1]) if match else 0
    width = int(match[2] or match[1]) if match else 0
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise InputError(
            f"resize must be HxW or one number, such as 32x24 or 32, with sides 1 .. {MAX_SIDE}, got {resize!r}"
        )
    return height, width


def resolve_color(color: str, codec: CodecOptions | ImageCodec) -> str:
    """'grey', 'rgb', or 'auto' where the first image decides."""
    check_choice("color", color, ("auto", "grey", "rgb"))
    if not isinstance(codec, (CodecOptions, ImageCodec)):
        raise InputError(f"codec must be a codec or options of one, such as CodecOptions('palette'), got {codec!r}")
    if isinstance(codec, CodecOptions):
        return "grey" if color == "auto" and codec.name == "binary" else color
    wanted = "grey" if codec.channels == 1 else "rgb"
    if color not in ("auto", wanted):
        raise InputError(f"color must be {wanted}, as the codec was made for it, got {color!r}")
    return wanted


def locate(dataset: Any) -> "NDArray[Any] | Path | str":
    """The array itself, an existing path, or a Hub id."""
    if isinstance(dataset, np.ndarray):
        return dataset
    if not isinstance(dataset, (str, os.PathLike)) or not str(dataset).strip():
        what = repr(dataset) if isinstance(dataset, (str, os.PathLike)) else type(dataset).__name__
        raise InputError(f"dataset must be a name, a path or a NumPy array, got {what}")
    text = str(dataset)
    if text == EMBEDDED:
        return embedded_folder()
    path = existing(text)
    if path is not None:
        if path.is_file() and path.suffix.lower() not in PATH_SUFFIXES:
            raise InputError(
                f"dataset must be a {', '.join(PATH_SUFFIXES)} file or a folder, got the file {text!r}: lines "
                "of text go to train_text.py, tables to train_array.py"
            )
        if not path.is_file() and not path.is_dir():
            raise InputError(f"dataset must be a file or a folder, got {text!r}, which is a pipe, socket or device")
        return path
    looks_like_a_path = text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text
    if isinstance(dataset, os.PathLike) or looks_like_a_path or text.lower().endswith(PATH_SUFFIXES):
        raise InputError(f"dataset {text!r} does not exist: it is read as the path of a file or folder")
    if not re.fullmatch(HUB_ID, text, flags=re.ASCII):
        raise unknown(text, "the Hub has no such names")
    return text


def existing(text: str) -> Path | None:
    """The path that a text names, if there is something there; never an error, whatever the text."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, or the home of nobody
        return None


def unknown(name: str, reason: str) -> InputError:
    """The error for a name that leads to no data."""
    return InputError(
        f"dataset {name!r} is neither '{EMBEDDED}', nor an existing path, nor a Hub data set that could be reached: "
        f"{reason}"
    )


def embedded_folder() -> Path:
    """Where the embedded digits lie, in an installation or a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "data" / EMBEDDED, package.parent / "data" / EMBEDDED):
        if folder.is_dir():
            return folder
    raise InputError(
        f"dataset '{EMBEDDED}' is missing from this installation: {package / 'data' / EMBEDDED} does not exist"
    )
