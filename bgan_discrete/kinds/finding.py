"""Of which kind data, a model or a run are, without torch: by a name, by the ends of file names, by what files hold.

What the loaders of `bgan_discrete.sources` would read is found; where two of them would, the error asks for the kind.
"""

import codecs
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bgan_discrete.config import CONFIGS, EMBEDDED, load_config_values, split_revision
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.kinds.registry import own_kinds
from bgan_discrete.sources.settings import HUB_ID, existing

LEAST_SIDE = 8
"""Planes of bytes with shorter sides are arrays: no generator of images makes them."""

LONG_TEXT = 30
"""A file of one column of strings with more characters than this on average is text; with fewer, categories."""

CODEC_FILE = "codec.json"
MODEL_FORMAT = "bgan_discrete.model"
"""Of the manifest of a model on the Hub."""

MOST_FILES = 1000
"""A folder is known by so many of its files."""

_TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst", ".jsonl", ".ndjson", ".json", ".log", ".tex", ".py")


def kind_of_dataset(dataset: str, options: Iterable[str] = ()) -> str:
    """The kind of data: the name of embedded ones, a file, a folder or an id on the Hub; InputError with what was seen.

    Of several kinds that could read the data, one that alone has all ``options`` that are asked for is meant.
    """
    if dataset in EMBEDDED:
        return EMBEDDED[dataset]
    path = existing(dataset)
    readers = _readers(path)
    kinds = set(kinds_with(options)) & readers
    if len(kinds) == 1 < len(readers):
        return kinds.pop()
    if path is None:
        return _of_hub(dataset)
    try:
        return _of_folder(path) if path.is_dir() else _of_file(path)
    except OSError as error:
        raise InputError(f"dataset {dataset!r} cannot be read: {error.strerror or error}") from None


def kind_of_model(model: str, revision: str | None = None) -> str:
    """The kind of a saved model, a folder or an id on the Hub, by its codec."""
    from bgan_discrete.codecs import ArrayCodec, ImageCodec, TextCodec, load_codec
    from bgan_discrete.publishing.hub import find_model

    folder = find_model(model, MODEL_FORMAT, revision).folder
    if not (folder / CODEC_FILE).exists() and (folder / "model" / CODEC_FILE).exists():
        raise InputError(f"model {model!r} is the folder of a run; give the model in it, {str(folder / 'model')!r}")
    codec = load_codec(folder / CODEC_FILE)
    own = [(kind.name, kind.codec_class) for kind in own_kinds()]
    for kind, codec_class in (*own, ("images", ImageCodec), ("text", TextCodec), ("arrays", ArrayCodec)):
        if isinstance(codec, codec_class):
            return str(kind)
    raise _in_doubt(f"model {model!r}", f"a codec {codec.name!r}")


def kind_of_run(folder: str | os.PathLike[str]) -> str:
    """The kind of a run, by the options in its ``config.yaml``."""
    return kind_of_options(load_config_values(Path(folder) / "config.yaml"), f"run {str(folder)!r}")


def kind_of_options(names: Iterable[str], what: str) -> str:
    """The kind that alone has these options; ``what`` has them, says the error."""
    kinds = kinds_with(names)
    if len(kinds) != 1:
        raise _in_doubt(what, f"options of {' and '.join(kinds) or 'no kind'}")
    return kinds[0]


def kinds_with(names: Iterable[str]) -> list[str]:
    """Kinds of data that have all these options."""
    wanted = set(names)
    return [kind for kind, config in CONFIGS.items() if wanted <= config().to_flat().keys()]


def _readers(path: Path | None) -> set[str]:
    """Kinds whose loaders might read a file, a folder, or, if None, a data set of the Hub."""
    if path is None or path.is_dir():
        return {"images", "text"}
    match path.suffix.lower():
        case ".parquet":
            return {"images", "text", "arrays"}
        case ".npy" | ".npz":
            return {"images", "arrays"}
        case ".csv" | ".tsv":
            return {"text", "arrays"}
        case _:
            return {"text"}


def _in_doubt(what: str, seen: str) -> InputError:
    return InputError(f"{what} may be images, text or arrays: it holds {seen}; give its kind (--kind)")


def _of_file(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in _TEXT_SUFFIXES:
        return "text"
    if suffix in (".csv", ".tsv"):
        return "arrays"
    if suffix in (".npy", ".npz"):
        return _of_numpy(path)
    if suffix == ".parquet":
        return _of_parquet(path)
    with path.open("rb") as file:
        start = file.read(2**13)
    if b"\0" in start or not _is_utf8(start):
        raise _in_doubt(f"dataset {str(path)!r}", f"bytes that are no text, in a file {suffix or 'without a suffix'}")
    return "text"


def _is_utf8(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # whose last character may be cut
    except UnicodeDecodeError:
        return False
    return True


def _of_numpy(path: Path) -> str:
    """Images are bytes ``[N, H, W]`` or ``[N, H, W, channels]``, in an archive where the loader of images looks."""
    import zipfile

    import numpy as np

    from bgan_discrete.sources.numpy_files import NPZ_KEYS, members_of

    def shape_of(file: Any) -> tuple[tuple[int, ...], Any]:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        return shape, dtype

    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return _of_shape(*shape_of(file))
        with zipfile.ZipFile(path) as archive:
            members = members_of(archive)
            key = next((key for key in NPZ_KEYS if key in members), None)
            if key is None:
                return "arrays"
            with archive.open(members[key]) as member:
                return _of_shape(*shape_of(member))
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"dataset {str(path)!r} cannot be read: {one_line(error)}") from None


def _of_shape(shape: tuple[int, ...], dtype: Any) -> str:
    is_image = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3, 4))
    return "images" if dtype == "uint8" and is_image and min(shape[1:3]) >= LEAST_SIDE else "arrays"


def _of_parquet(path: Path) -> str:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            schema = table.schema_arrow
            first = next(table.iter_batches(100), None) if len(schema) == 1 else None
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"dataset {str(path)!r} cannot be read: {one_line(error)}") from None
    if any(map(_holds_pictures, (field.type for field in schema))):
        return "images"
    texts = [text for text in first.column(0).to_pylist() if isinstance(text, str)] if first else []
    return "text" if texts and sum(map(len, texts)) > LONG_TEXT * len(texts) else "arrays"


def _holds_pictures(column: Any) -> bool:
    """Whether a column of a parquet file holds encoded pictures, or rows of pixels."""
    from pyarrow import BaseExtensionType, types

    if types.is_struct(column):
        return any(column.field(number).name == "bytes" for number in range(column.num_fields))
    is_list = types.is_list(column) or types.is_large_list(column) or types.is_fixed_size_list(column)
    if is_list and types.is_nested(column.value_type):
        return True
    is_extension = isinstance(column, BaseExtensionType)
    return is_extension and column.extension_name.startswith("datasets.features.features.Array")


def _of_folder(folder: Path) -> str:
    from bgan_discrete.sources.folders import PICTURE_SUFFIXES

    names = [path for path in _files_of(folder) if not path.name.startswith((".", "README", "LICENSE"))]
    suffixes = Counter(path.suffix.lower() for path in names)
    pictures = sum(suffixes[suffix] for suffix in PICTURE_SUFFIXES)
    tables, texts = suffixes[".parquet"], sum(suffixes[suffix] for suffix in _TEXT_SUFFIXES)
    if pictures and pictures >= max(tables, texts):
        return "images"
    if tables and tables >= texts:
        return _of_parquet(next(path for path in names if path.suffix.lower() == ".parquet"))
    if texts and texts > len(names) / 2:
        return "text"
    seen = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in suffixes.most_common(3))
    raise _in_doubt(f"dataset {str(folder)!r}", f"the files {seen}" if seen else "no files")


def _files_of(folder: Path) -> list[Path]:
    files: list[Path] = []
    for place, _, names in os.walk(folder, followlinks=False):
        files += [Path(place) / name for name in sorted(names)]
        if len(files) >= MOST_FILES:
            break
    return files[:MOST_FILES]


def _of_hub(dataset: str) -> str:
    """By the features that the Hub tells, or the copy on the disk; only images and text are read from there."""
    name, revision = split_revision(dataset)
    if not re.fullmatch(HUB_ID, name, flags=re.ASCII) or Path(name).suffix.lower() in (".csv", ".npy", ".txt"):
        embedded = ", ".join(EMBEDDED)
        raise InputError(
            f"dataset {dataset!r} is neither embedded ({embedded}), nor an existing file or folder, nor an id of the "
            "Hub (owner/name)"
        )
    import datasets

    try:
        features = datasets.load_dataset_builder(name, revision=revision).info.features or {}
    except Exception as error:  # of whichever HTTP library is in use
        raise InputError(
            f"dataset {dataset!r} is no embedded data set, file or folder, and the Hub does not tell what it holds "
            f"({one_line(error)}); give its kind (--kind)"
        ) from None
    values = list(features.values())
    if any(isinstance(value, (datasets.Image, datasets.Array2D, datasets.Array3D)) for value in values):
        return "images"
    if any(isinstance(value, datasets.Value) and value.dtype in ("string", "large_string") for value in values):
        return "text"
    raise _in_doubt(f"dataset {dataset!r}", f"the columns {', '.join(features) or '(unknown)'}")
