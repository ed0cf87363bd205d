"""Data sets -> uint8 images -> cached codes.

`load_images` goes one way: open the rows of a data set without decoding them (from an array, files, a folder or the
Hub), decode each image once, hold some out, fit the codec on the rest, encode both parts, and keep the codes in a
cache. Only data are read: no loading script is run and nothing is unpickled.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from bgan_discrete.codecs import CodecOptions, ImageCodec, load_codec
from bgan_discrete.codecs.base import config_fingerprint, validate_seed
from bgan_discrete.errors import InputError

EMBEDDED = "digits"
CACHE_VARIABLE = "BGAN_DISCRETE_CACHE"
CACHE_VERSION = 1
"""Part of every cache's name: raise it when the same input would give other codes."""

MAPPED_BYTES = 256 * 2**20
"""Arrays above this size stay in their files and are read through a memory map."""

HELDOUT_SPLITS = ("test", "validation", "valid")
MAX_HELDOUT_ROWS = 10_000
MIN_TRAINING_ROWS = 2
MAX_SIDE = 4096
HUB_TIMEOUT_SECONDS = 10.0

PATH_SUFFIXES = (".parquet", ".npy", ".npz")
NPZ_KEYS = {
    "images": "labels",
    "image": "label",
    "x": "y",
    "x_train": "y_train",
    "train_images": "train_labels",
    "x_test": "y_test",
    "test_images": "test_labels",
}
"""Keys of images that are looked for, in this order, with the key of their labels."""

_NPZ_TEST_KEYS = {"x_train": "x_test", "train_images": "test_images"}
_GREY_MODES = frozenset({"1", "L", "LA", "I", "F"})
_ROWS_AT_ONCE = 1024
_PROGRESS_FROM_ROWS = 5000
_HOLDOUT_STREAM = 1
_EXIF_ORIENTATION = 0x0112

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageData:
    """Images as codes, in a part to train on and a part to judge by.

    Attributes:
        name: What was asked for: 'digits', a path, a Hub id, or 'array'.
        codes: Training codes, uint8 ``[S, H, W]`` or ``[S, 3, H, W]``; a read-only memory map where they are large.
        labels: int64 ``[S]``, or None.
        heldout_codes: Codes of the held-out images, likewise.
        heldout_labels: int64, or None.
        class_names: Of the labels, or None.
        codec: Fitted on the training images only; it encoded both parts.
        heldout_source: Where the held-out images come from, such as "split 'test'".
        from_cache: Whether the codes were read rather than made.
    """

    name: str
    codes: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    heldout_codes: NDArray[np.uint8]
    heldout_labels: NDArray[np.int64] | None
    class_names: tuple[str, ...] | None
    codec: ImageCodec
    heldout_source: str
    from_cache: bool

    @property
    def event_shape(self) -> tuple[int, ...]:
        """``(H, W)`` or ``(3, H, W)`` of the codes."""
        return tuple(self.codes.shape[1:])

    @property
    def num_categories(self) -> int:
        """K."""
        return self.codec.num_categories


def load_images(
    dataset: "str | os.PathLike[str] | NDArray[np.uint8]",
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    split: str = "train",
    resize: str | None = None,
    color: str = "auto",
    limit: int | None = None,
    holdout: float = 0.1,
    codec: CodecOptions | ImageCodec = CodecOptions(),  # noqa: B008 - it is frozen
    seed: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
) -> ImageData:
    """Load images, hold some out, and turn both parts into codes; a second call reads the codes from a cache.

    Images are uint8, grey or RGB. EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled to
    8 bits. The held-out images are the split ``test``, ``validation`` or ``valid`` (its first 10,000 rows) where there
    is one, and else rows drawn from ``split``, where all copies of an image go to the same side.

    Args:
        dataset: 'digits' (embedded); the path of a .parquet, .npy or .npz file, or of a folder that
            ``datasets.load_dataset`` opens; images themselves, uint8 ``[N, H, W]`` or ``[N, H, W, 3]``; or a Hub id.
        image_column: Column (.npz: key) of the images; None for the only one that holds images.
        label_column: Column (.npz: key) of the labels; None for the only class column or an integer column ``label``.
        split: To train on; a single file or array is the split ``train``.
        resize: 'HxW' or 'N' for both sides, without keeping the aspect ratio: area means where no side grows, else
            Lanczos.
        color: 'grey', 'rgb', or 'auto': as the first image is, but grey for the binary codec and as the codec wants
            where a codec is given.
        limit: Take only the first so many rows of the split, >= 1.
        holdout: Share of rows held out where there is no other split, in (0, 1).
        codec: Options of a codec to build and fit; or a fitted codec, such as that of a trained model.
        seed: Of the drawn held-out rows, 0 .. 2^63 - 1.
        cache_dir: Folder of the caches; None for ``$BGAN_DISCRETE_CACHE`` or ``~/.cache/bgan_discrete``.

    Returns:
        The codes.

    Raises:
        InputError: If an argument or the data cannot be used.
    """
    settings = _Settings(
        image_column,
        label_column,
        split,
        _parse_size(resize),
        _resolve_color(color, codec),
        limit,
        holdout,
        codec,
        seed,
    )
    settings.check()
    place = _locate(dataset)
    name = "array" if isinstance(place, np.ndarray) else str(dataset)
    with contextlib.ExitStack() as stack:
        hub = _load_hub(place) if isinstance(place, str) else None
        key = settings.cache_key(_content_digest(place) if hub is None else _hub_digest(hub, settings))
        folder = _cache_root(cache_dir) / key
        cached = _read_cache(folder, name)
        if cached is not None:
            return cached
        if isinstance(place, np.ndarray):
            opened = _open_array(place, settings)
        elif hub is not None:
            opened = _open_table(hub, name, settings)
        elif isinstance(place, Path) and place.suffix.lower() in (".npy", ".npz"):
            opened = _open_numpy_file(place, settings)
        else:
            assert isinstance(place, Path)
            # The library's own copy of local files goes stale after a change that keeps their dates: it is not kept.
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="bgan-", ignore_cleanup_errors=True))
            opened = _open_table(_load_local(place, scratch), name, settings)
        return _build_cached(opened, settings, folder, name)


def describe(data: ImageData) -> str:
    """Say in several lines what is in the data.

    Args:
        data: From `load_images`.

    Returns:
        Text without a final line break.
    """
    counts = _category_counts(data.codes, data.num_categories)
    common = int(counts.argmax())
    sides = " x ".join(str(side) for side in data.event_shape)
    training = set(_row_digests(data.codes))
    repeated = len(data.codes) - len(training)
    leaked = sum(digest in training for digest in _row_digests(data.heldout_codes))
    lines = [
        f"data set:    {data.name}",
        f"images:      {len(data.codes):,} to train on, {len(data.heldout_codes):,} held out ({data.heldout_source})",
        f"codes:       {sides}, K = {data.num_categories} ({data.codec.describe()})",
        f"most common: category {common}, {counts[common] / counts.sum():.1%} of the training codes",
        f"classes:     {_describe_classes(data)}",
        f"duplicates:  {repeated:,} training codes repeat earlier ones; {leaked:,} held-out codes are in training too",
        f"cache:       {'read' if data.from_cache else 'made now'}",
    ]
    return "\n".join(lines)


def _describe_classes(data: ImageData) -> str:
    if data.labels is None:
        return "no labels"
    values, counts = np.unique(data.labels, return_counts=True)
    names = data.class_names
    shown = [
        f"{names[value] if names else value} {count:,}" for value, count in zip(values[:20], counts[:20], strict=True)
    ]
    return ", ".join(shown) + (f", and {len(values) - 20} more" if len(values) > 20 else "")


def _category_counts(codes: NDArray[np.uint8], num_categories: int) -> NDArray[np.int64]:
    counts = np.zeros(num_categories, dtype=np.int64)
    for start in range(0, len(codes), _ROWS_AT_ONCE):
        counts += np.bincount(codes[start : start + _ROWS_AT_ONCE].ravel(), minlength=num_categories)
    return counts


# --- What is asked for ---


@dataclass(frozen=True)
class _Settings:
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
        if self.limit is not None and (
            isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1
        ):
            raise InputError(f"limit must be an integer of at least 1, got {self.limit!r}")
        if isinstance(self.holdout, bool) or not isinstance(self.holdout, (int, float)) or not 0 < self.holdout < 1:
            raise InputError(f"holdout must be a share between 0 and 1, exclusive, got {self.holdout!r}")
        if not isinstance(self.split, str) or not self.split:
            raise InputError(f"split must be the name of a split, got {self.split!r}")
        validate_seed(self.seed)
        if isinstance(self.codec, CodecOptions) and self.color != "auto":
            self.codec.build(channels=1 if self.color == "grey" else 3)

    def cache_key(self, content: str) -> str:
        """The name of the cache of a content with these settings."""
        codec = self.codec
        options = codec.fingerprint() if isinstance(codec, ImageCodec) else dataclasses.asdict(codec)
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return config_fingerprint({**values, "codec": options, "content": content, "cache_version": CACHE_VERSION})


def _parse_size(resize: str | None) -> tuple[int, int] | None:
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


def _resolve_color(color: str, codec: CodecOptions | ImageCodec) -> str:
    if color not in ("auto", "grey", "rgb"):
        raise InputError(f"color must be auto, grey or rgb, got {color!r}")
    if isinstance(codec, CodecOptions):
        return "grey" if color == "auto" and codec.name == "binary" else color
    wanted = "grey" if codec.channels == 1 else "rgb"
    if color not in ("auto", wanted):
        raise InputError(f"color must be {wanted}, as the codec was made for it, got {color!r}")
    return wanted


def _locate(dataset: Any) -> "NDArray[Any] | Path | str":
    """The array itself, an existing path, or a Hub id."""
    if isinstance(dataset, np.ndarray):
        return dataset
    if not isinstance(dataset, (str, os.PathLike)) or not str(dataset).strip():
        raise InputError(f"dataset must be a name, a path or a NumPy array, got {dataset!r}")
    text = str(dataset)
    if text == EMBEDDED:
        return _embedded_folder()
    path = Path(text).expanduser()
    try:
        found = path.exists()
    except (OSError, ValueError):
        found = False
    if found:
        if path.is_file() and path.suffix.lower() not in PATH_SUFFIXES:
            raise InputError(f"dataset must be a {', '.join(PATH_SUFFIXES)} file or a folder, got the file {text!r}")
        return path
    looks_like_a_path = text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text
    if isinstance(dataset, os.PathLike) or looks_like_a_path or path.suffix.lower() in PATH_SUFFIXES:
        raise InputError(f"dataset {text!r} does not exist: it is read as the path of a file or folder")
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", text, flags=re.ASCII):
        raise _unknown(text, "the Hub has no such names")
    return text


def _unknown(name: str, reason: str) -> InputError:
    return InputError(
        f"dataset {name!r} is neither '{EMBEDDED}', nor an existing path, nor a Hub data set that could be reached: "
        f"{reason}"
    )


def _embedded_folder() -> Path:
    package = Path(__file__).resolve().parent
    for folder in (package / "data" / EMBEDDED, package.parent / "data" / EMBEDDED):
        if folder.is_dir():
            return folder
    raise InputError(
        f"dataset '{EMBEDDED}' is missing from this installation: {package / 'data' / EMBEDDED} does not exist"
    )


# --- Opening: rows that are not decoded yet ---


@dataclass(frozen=True)
class _Rows:
    """Undecoded images of one split.

    `read(start, stop)` gives arrays ``[H, W(, C)]``, nested lists, encoded bytes, or ``{"bytes", "path"}``.
    """

    place: str
    count: int
    read: Callable[[int, int], Any]
    labels: NDArray[np.int64] | None


@dataclass(frozen=True)
class _Opened:
    """The split to train on, and the split to judge by if there is one."""

    training: _Rows
    heldout: _Rows | None
    heldout_split: str | None
    class_names: tuple[str, ...] | None = None


def _choose_splits(names: Iterable[str], split: str, place: str) -> str | None:
    """The held-out split, if there is one; refuses a training split that is not there."""
    known = list(names)
    if split not in known:
        raise InputError(f"split {split!r} is not in {place}, which has: {', '.join(known)}")
    return next((name for name in HELDOUT_SPLITS if name in known and name != split), None)


def _open_array(images: NDArray[Any], settings: _Settings) -> _Opened:
    for option in ("image_column", "label_column"):
        if getattr(settings, option) is not None:
            raise InputError(f"{option} is for data with columns, got {getattr(settings, option)!r} for an array")
    _choose_splits(["train"], settings.split, "the array")
    return _Opened(_array_rows(images, None, "the array"), None, None)


def _open_numpy_file(path: Path, settings: _Settings) -> _Opened:
    try:
        loaded = np.load(path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"dataset {str(path)!r} cannot be read as a NumPy file: {_one_line(error)}") from error
    if isinstance(loaded, np.ndarray):
        return _open_array(loaded, settings)
    with loaded:
        return _open_npz(loaded, path, settings)


def _open_npz(archive: Any, path: Path, settings: _Settings) -> _Opened:
    image_key = settings.image_column or next((key for key in NPZ_KEYS if key in archive.files), None)
    if image_key is None:
        raise InputError(f"image_column must name the images of {path}, which has the keys: {', '.join(archive.files)}")
    test_key = _NPZ_TEST_KEYS.get(image_key, "")
    keys = {"train": image_key, "test": test_key} if test_key in archive.files else {"train": image_key}
    heldout = _choose_splits(keys, settings.split, str(path))

    def rows(split: str) -> _Rows:
        guessed = NPZ_KEYS.get(keys[split], "labels")
        label_key = settings.label_column if settings.label_column and split == settings.split else guessed
        wanted = label_key in archive.files or label_key == settings.label_column
        labels = _npz_array(archive, label_key, "label_column", path) if wanted else None
        images = _npz_array(archive, keys[split], "image_column", path)
        return _array_rows(images, labels, f"{keys[split]!r} of {path}")

    return _Opened(rows(settings.split), rows(heldout) if heldout else None, heldout)


def _npz_array(archive: Any, key: str, option: str, path: Path) -> NDArray[Any]:
    if key not in archive.files:
        raise InputError(f"{option} {key!r} is not in {path}, which has the keys: {', '.join(archive.files)}")
    try:
        array: NDArray[Any] = archive[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise InputError(f"the array {key!r} of {path} cannot be read: {_one_line(error)}") from error
    return array


def _array_rows(images: NDArray[Any], labels: NDArray[Any] | None, place: str) -> _Rows:
    if images.dtype != np.uint8:
        advice = "; multiply images in [0, 1] by 255, round, and convert" if images.dtype.kind == "f" else ""
        raise InputError(f"images of {place} must be uint8, 0 .. 255, got {images.dtype}{advice}")
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[-1] in (3, 4)):
        advice = "; transpose to channels last" if images.ndim == 4 and images.shape[1] in (1, 3) else ""
        raise InputError(f"images of {place} must be [N, H, W] or [N, H, W, 3], got {list(images.shape)}{advice}")
    if images.size == 0:
        raise InputError(f"images of {place} are empty: got the shape {list(images.shape)}")
    if labels is not None:
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        if labels.shape != (len(images),) or labels.dtype.kind not in "iub":
            found = f"{labels.dtype} {list(labels.shape)}"
            raise InputError(f"labels of {place} must be {len(images)} integers, one for each image, got {found}")
    return _Rows(place, len(images), lambda start, stop: images[start:stop], _known_labels(labels))


def _known_labels(labels: Any) -> NDArray[np.int64] | None:
    """Labels as int64; None where some are missing, which data sets write as -1."""
    if labels is None:
        return None
    values = np.asarray(labels, dtype=np.int64)
    return None if (values < 0).any() else values


@contextlib.contextmanager
def _quiet_datasets() -> Iterator[Any]:
    """The library without its progress bars and its log, whose settings are put back afterwards."""
    import datasets

    log = datasets.utils.logging
    verbosity, bars_were_on = log.get_verbosity(), not datasets.are_progress_bars_disabled()
    log.set_verbosity(log.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield datasets
    finally:
        log.set_verbosity(verbosity)
        if bars_were_on:
            datasets.enable_progress_bars()


def _load_dataset(name: str, **options: Any) -> Mapping[str, Any]:
    """All splits of a data set that consists of data files alone."""
    with _quiet_datasets() as datasets:
        if int(datasets.__version__.split(".")[0]) < 4:
            # Later versions cannot run loading scripts at all.
            options["trust_remote_code"] = False
        loaded: Mapping[str, Any] = datasets.load_dataset(name, **options)
        return loaded


def _load_local(path: Path, scratch: str) -> Mapping[str, Any]:
    try:
        if path.is_file():
            return _load_dataset("parquet", data_files={"train": _without_patterns(path)}, cache_dir=scratch)
        return _load_dataset(str(path.resolve()), cache_dir=scratch)
    except Exception as error:  # the library and what reads files for it raise whatever they like
        raise InputError(f"dataset {str(path)!r} cannot be opened: {_one_line(error.__cause__ or error)}") from error


def _without_patterns(path: Path) -> str:
    """A path as the library takes it: characters of patterns stand for themselves."""
    return re.sub(r"([*?\[])", r"[\1]", str(path.resolve()))


def _load_hub(name: str) -> Mapping[str, Any]:
    import datasets
    import huggingface_hub

    if datasets.config.HF_HUB_OFFLINE:
        if "/" not in name:
            raise _unknown(name, "HF_HUB_OFFLINE is set; earlier downloads go by owner/name")
    else:
        try:
            # Asked first, because loading would try an unreachable Hub for long. The answer also tells the full name,
            # so that a name such as 'csv' is never taken for the library's own way to read files.
            name = huggingface_hub.HfApi().dataset_info(name, timeout=HUB_TIMEOUT_SECONDS).id
        except Exception as error:  # of whichever HTTP library is in use
            raise _unknown(name, _one_line(error)) from error
        if "/" not in name:
            raise _unknown(name, "Hub data sets go by owner/name")
    try:
        return _load_dataset(name)
    except Exception as error:
        raise _unknown(name, _one_line(error.__cause__ or error)) from error


def _open_table(splits: Mapping[str, Any], name: str, settings: _Settings) -> _Opened:
    heldout = _choose_splits(splits, settings.split, name)
    features = splits[settings.split].features
    image_column = _find_image_column(features, settings.image_column, name)
    label_column = _find_label_column(features, settings.label_column, name)

    def rows(split: str) -> _Rows:
        return _table_rows(splits[split], image_column, label_column, f"split {split!r} of {name}")

    return _Opened(
        rows(settings.split),
        rows(heldout) if heldout else None,
        heldout,
        tuple(getattr(features[label_column], "names", ())) or None if label_column else None,
    )


def _table_rows(table: Any, image_column: str, label_column: str | None, place: str) -> _Rows:
    import datasets

    if image_column not in table.column_names:
        raise InputError(f"image_column {image_column!r} is not in {place}, which has: {', '.join(table.column_names)}")
    if table.num_rows == 0:
        raise InputError(f"{place} has no rows")
    images = table.select_columns([image_column])
    if isinstance(images.features[image_column], datasets.Image):
        images = images.cast_column(image_column, datasets.Image(decode=False))
    labels = None
    if label_column in table.column_names:
        labels = table.select_columns([label_column])[:][label_column]
        if None in labels:
            raise InputError(f"label_column {label_column!r} of {place} has no value in row {labels.index(None)}")
    return _Rows(place, table.num_rows, lambda start, stop: images[start:stop][image_column], _known_labels(labels))


def _find_image_column(features: Mapping[str, Any], wanted: str | None, name: str) -> str:
    import datasets

    if wanted is not None:
        if wanted not in features:
            raise InputError(f"image_column {wanted!r} is not in {name}, which has: {', '.join(features)}")
        return wanted
    encoded = [
        column
        for column, feature in features.items()
        if isinstance(feature, datasets.Image) or (isinstance(feature, dict) and "bytes" in feature)
    ]
    found = encoded or [column for column, feature in features.items() if _is_pixel_array(feature)]
    if len(found) != 1:
        problem = f"several columns hold images ({', '.join(found)})" if found else "no column holds images"
        raise InputError(f"image_column must be given for {name}: {problem}; its columns are: {', '.join(features)}")
    return found[0]


def _is_pixel_array(feature: Any) -> bool:
    """Whether a feature is rows of integers, as Array2D, Array3D or nested lists."""
    shape = getattr(feature, "shape", None)
    depth = len(shape) if shape else 0
    while shape is None and (isinstance(feature, list) or getattr(feature, "feature", None) is not None):
        feature = feature[0] if isinstance(feature, list) else feature.feature
        depth += 1
    return depth in (2, 3) and str(getattr(feature, "dtype", "")).startswith(("int", "uint"))


def _find_label_column(features: Mapping[str, Any], wanted: str | None, name: str) -> str | None:
    import datasets

    integers = [
        column
        for column, feature in features.items()
        if isinstance(feature, datasets.Value) and feature.dtype.startswith(("int", "uint", "bool"))
    ]
    classes = [column for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    if wanted is not None:
        if wanted not in features:
            raise InputError(f"label_column {wanted!r} is not in {name}, which has: {', '.join(features)}")
        if wanted not in integers + classes:
            raise InputError(f"label_column must hold classes or integers, got {wanted!r} with {features[wanted]}")
        return wanted
    if len(classes) == 1:
        return classes[0]
    return next((column for column in ("label", "labels") if column in integers), None)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]} ..."


# --- Decoding ---


@dataclass(frozen=True)
class _Form:
    """What every image is brought to, and where that was learnt."""

    grey: bool
    resize: tuple[int, int] | None
    size: tuple[int, int]
    learnt_from: str


def _learn_form(rows: _Rows, settings: _Settings) -> _Form:
    """Colour and size of the first image, where they were not asked for."""
    raw = _read_rows(rows, 0, 1)[0]
    with _naming_row(rows, 0, raw):
        grey = settings.color == "grey" or (settings.color == "auto" and _is_grey(_open_image(raw)))
        pixels = _to_pixels(raw, grey, settings.size)
    return _Form(grey, settings.size, (pixels.shape[0], pixels.shape[1]), f"row 0 of {rows.place}")


def _decode(rows: _Rows, count: int, form: _Form, folder: Path | None, name: str) -> NDArray[np.uint8]:
    """The first rows of a split as pixels, uint8 ``[count, H, W]`` or ``[count, H, W, 3]``."""

    def chunks() -> Iterator[NDArray[np.uint8]]:
        hidden = None if count >= _PROGRESS_FROM_ROWS else True  # None: shown on a terminal
        with tqdm(total=count, desc="decoding", unit=" images", file=sys.stderr, disable=hidden, leave=False) as bar:
            for start in range(0, count, _ROWS_AT_ONCE):
                stop = min(start + _ROWS_AT_ONCE, count)
                yield _decode_chunk(rows, start, stop, form)
                bar.update(stop - start)

    return _stack(chunks(), (count, *form.size, *(() if form.grey else (3,))), folder, name)


def _decode_chunk(rows: _Rows, start: int, stop: int, form: _Form) -> NDArray[np.uint8]:
    decoded = []
    for row, raw in enumerate(_read_rows(rows, start, stop), start):
        with _naming_row(rows, row, raw):
            pixels = _to_pixels(raw, form.grey, form.resize)
        if pixels.shape[:2] != form.size:
            first, other = "x".join(map(str, form.size)), "x".join(map(str, pixels.shape[:2]))
            raise InputError(
                f"images must have one size, got {first} in {form.learnt_from} and {other} in row {row} of "
                f"{rows.place}: bring them to one with --resize, such as --resize {first}"
            )
        decoded.append(pixels)
    return np.stack(decoded)


def _read_rows(rows: _Rows, start: int, stop: int) -> list[Any]:
    try:
        return list(rows.read(start, stop))
    except Exception as error:  # Arrow's own errors are of many kinds
        raise InputError(f"rows {start} to {stop - 1} of {rows.place} cannot be read: {_one_line(error)}") from error


class _naming_row:  # noqa: N801 - a context manager that reads as a verb; a generator would cost as much as decoding
    """Whatever decoding raises becomes one line that says which image it was."""

    def __init__(self, rows: _Rows, row: int, raw: Any) -> None:
        self._context = rows, row, raw

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            rows, row, raw = self._context
            path = raw.get("path") if isinstance(raw, dict) and raw.get("bytes") is None else None
            file = f" ({path})" if path else ""
            raise InputError(
                f"the image in row {row} of {rows.place}{file} cannot be read: {_one_line(error)}"
            ) from error


def _to_pixels(raw: Any, grey: bool, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """One image as uint8 ``[H, W]`` or ``[H, W, 3]``."""
    if isinstance(raw, (np.ndarray, list)):
        array = _byte_array(raw)
        if size is None and array.shape[2:] == (() if grey else (3,)):
            return array
        raw = array
    image = _to_mode(_open_image(raw), "L" if grey else "RGB")
    if size is not None and image.size != size[::-1]:
        shrinks = size[0] <= image.height and size[1] <= image.width
        image = image.resize(size[::-1], Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS)
    return np.asarray(image)


def _open_image(raw: Any) -> Image.Image:
    if isinstance(raw, (np.ndarray, list)):
        return Image.fromarray(_byte_array(raw))
    image = Image.open(io.BytesIO(_encoded_bytes(raw)))
    if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        return ImageOps.exif_transpose(image)
    return image


def _encoded_bytes(raw: Any) -> bytes:
    """An undecoded image: bytes, or ``{"bytes", "path"}`` of which one is None."""
    content = raw.get("bytes") if isinstance(raw, dict) else raw
    if content is None and isinstance(raw, dict) and raw.get("path"):
        return Path(raw["path"]).read_bytes()
    if content is None:
        raise InputError("it is missing")
    if not isinstance(content, bytes):
        raise InputError(f"it must be an encoded image or an array of integers, got {type(content).__name__}")
    return content


def _byte_array(values: Any) -> NDArray[np.uint8]:
    """Pixels ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]`` from an array or nested lists of integers 0 .. 255."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        advice = "; multiply values in [0, 1] by 255, round, and convert" if array.dtype.kind == "f" else ""
        raise InputError(f"its pixels must be integers, 0 .. 255, got {array.dtype}{advice}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise InputError(f"it must have the shape [H, W] or [H, W, 3], got {list(array.shape)}")
    if array.dtype != np.uint8 and not 0 <= array.min() <= array.max() <= 255:
        raise InputError(f"its pixels must lie in 0 .. 255, got {array.min()} .. {array.max()}")
    return array.astype(np.uint8, copy=False)


def _is_grey(image: Image.Image) -> bool:
    return image.mode.split(";")[0] in _GREY_MODES


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    """Any image as ``L`` or ``RGB``; transparency is laid on white."""
    if image.mode.split(";")[0] in ("I", "F"):
        image = _sixteen_to_eight_bits(image)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode != mode:
        image = image.convert(mode)
    return image


def _sixteen_to_eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise InputError(
            f"its pixels must be bytes or 16-bit grey, got {values.dtype} {values.min()} .. {values.max()}"
        )
    return Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))


def _stack(
    chunks: Iterable[NDArray[np.uint8]], shape: tuple[int, ...], folder: Path | None, name: str
) -> NDArray[np.uint8]:
    """Chunks as one array: in memory, or, where it is large and there is a folder, as a map of a file."""
    if folder is None or int(np.prod(shape)) <= MAPPED_BYTES:
        stacked = np.empty(shape, dtype=np.uint8)
        filled = 0
        for chunk in chunks:
            stacked[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
        return stacked
    path = folder / f"{name}.npy"
    # Written rather than mapped, because a full disk kills a process that writes through a map.
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk).data)
    return _load_array(path)


def _load_array(path: Path) -> NDArray[Any]:
    large = path.stat().st_size > MAPPED_BYTES
    array: NDArray[Any] = np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
    return array


# --- Holding out and encoding ---


def _build(opened: _Opened, settings: _Settings, folder: Path | None, name: str) -> ImageData:
    training, heldout = opened.training, opened.heldout
    count = training.count if settings.limit is None else min(settings.limit, training.count)
    if count < MIN_TRAINING_ROWS:
        raise InputError(
            f"dataset must have at least {MIN_TRAINING_ROWS} images to train on, got {count} of {training.place}"
        )
    form = _learn_form(training, settings)
    pixels = _decode(training, count, form, folder, "pixels")
    labels = None if training.labels is None else training.labels[:count]
    if heldout is not None:
        heldout_count = min(heldout.count, MAX_HELDOUT_ROWS)
        heldout_pixels = _decode(heldout, heldout_count, form, folder, "heldout_pixels")
        heldout_labels = None if heldout.labels is None else heldout.labels[:heldout_count]
        source = f"split {opened.heldout_split!r}"
    else:
        rows = _draw_heldout(_row_digests(pixels), settings.holdout, settings.seed, training.place)
        kept = np.setdiff1d(np.arange(count), rows)
        heldout_pixels = _gather(pixels, rows, folder, "heldout_pixels")
        pixels = _gather(pixels, kept, folder, "training_pixels")
        heldout_labels = None if labels is None else labels[rows]
        labels = None if labels is None else labels[kept]
        source = f"{len(rows)} rows held out of split {settings.split!r}"
    codec = _fitted_codec(settings.codec, pixels, channels=1 if form.grey else 3)
    return ImageData(
        name=name,
        codes=_encode(codec, pixels, 0, folder, "codes"),
        labels=labels,
        heldout_codes=_encode(codec, heldout_pixels, len(pixels), folder, "heldout_codes"),
        heldout_labels=heldout_labels,
        class_names=opened.class_names,
        codec=codec,
        heldout_source=source,
        from_cache=False,
    )


def _row_digests(images: NDArray[np.uint8]) -> list[bytes]:
    return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images]


def _draw_heldout(digests: list[bytes], share: float, seed: int, place: str) -> NDArray[np.int64]:
    """Rows to hold out, sorted: whole sets of equal images, in a drawn order, as long as they fit into the share."""
    count = len(digests)
    if count < MIN_TRAINING_ROWS + 1:
        raise InputError(f"holdout needs at least {MIN_TRAINING_ROWS + 1} images, got {count} of {place}")
    copies: dict[bytes, list[int]] = {}
    for row, digest in enumerate(digests):
        copies.setdefault(digest, []).append(row)
    sets = list(copies.values())
    wanted = min(max(1, round(share * count)), count - MIN_TRAINING_ROWS)
    philox = np.random.Philox(key=np.array([seed, _HOLDOUT_STREAM], dtype=np.uint64))
    # Raw words, unlike the methods of a Generator, are the same in every version of NumPy.
    order = np.argsort(philox.random_raw(len(sets)), kind="stable")
    chosen: list[int] = []
    for number in order:
        if len(chosen) + len(sets[number]) <= wanted:
            chosen += sets[number]
    if not chosen:
        chosen = min(sets, key=len)
    if count - len(chosen) < MIN_TRAINING_ROWS:
        raise InputError(f"holdout finds no images to hold out: the {count} of {place} are copies of {len(sets)}")
    return np.sort(np.array(chosen, dtype=np.int64))


def _gather(pixels: NDArray[np.uint8], rows: NDArray[np.int64], folder: Path | None, name: str) -> NDArray[np.uint8]:
    chunks = (pixels[rows[start : start + _ROWS_AT_ONCE]] for start in range(0, len(rows), _ROWS_AT_ONCE))
    return _stack(chunks, (len(rows), *pixels.shape[1:]), folder, name)


def _fitted_codec(codec: CodecOptions | ImageCodec, pixels: NDArray[np.uint8], channels: int) -> ImageCodec:
    return codec if isinstance(codec, ImageCodec) else codec.build(channels).fit(pixels)


def _encode(
    codec: ImageCodec, pixels: NDArray[np.uint8], first_row: int, folder: Path | None, name: str
) -> NDArray[np.uint8]:
    starts = range(0, len(pixels), _ROWS_AT_ONCE)
    chunks = (codec.encode(pixels[start : start + _ROWS_AT_ONCE], first_row + start) for start in starts)
    planes = (3,) if codec.channels_first and codec.channels == 3 else ()
    return _stack(chunks, (len(pixels), *planes, *pixels.shape[1:3]), folder, name)


# --- The cache: a folder for each content and settings ---

_ARRAYS = ("codes", "labels", "heldout_codes", "heldout_labels")
_META_FILE, _CODEC_FILE = "meta.json", "codec.json"


def _cache_root(cache_dir: str | os.PathLike[str] | None) -> Path:
    return Path(cache_dir or os.environ.get(CACHE_VARIABLE) or "~/.cache/bgan_discrete").expanduser()


def _content_digest(place: Any) -> str:
    """Of an array, of a file, or of all files of a folder that are not hidden."""
    digest = hashlib.blake2b(digest_size=32)
    if isinstance(place, np.ndarray):
        digest.update(f"{place.dtype.str} {place.shape}".encode())
        if not place.dtype.hasobject:
            for start in range(0, len(place) if place.ndim else 0, _ROWS_AT_ONCE):
                digest.update(np.ascontiguousarray(place[start : start + _ROWS_AT_ONCE]).data)
        return digest.hexdigest()
    try:
        for name, path in _files_of(place):
            digest.update(f"{name}\0{_file_digest(path)}\0".encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise InputError(f"dataset {str(place)!r} cannot be read: {error.strerror}: {error.filename}") from error
    return digest.hexdigest()


def _files_of(place: Path) -> list[tuple[str, Path]]:
    if place.is_file():
        return [(place.suffix.lower(), place)]
    found = []
    for folder, folders, files in os.walk(place, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder) / name for name in files if not name.startswith(".")]
    return sorted((path.relative_to(place).as_posix(), path) for path in found)


def _file_digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=32)
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def _hub_digest(splits: Mapping[str, Any], settings: _Settings) -> str:
    """Of the undecoded images and the labels that would be used."""
    opened = _open_table(splits, "the data set", settings)
    digest = hashlib.blake2b(digest_size=32)
    for rows in filter(None, (opened.training, opened.heldout)):
        labels = b"" if rows.labels is None else rows.labels.tobytes()
        digest.update(f"{rows.place}\0{rows.count}\0{opened.class_names}\0".encode() + labels)
        for start in range(0, rows.count, _ROWS_AT_ONCE):
            for row, raw in enumerate(_read_rows(rows, start, min(start + _ROWS_AT_ONCE, rows.count)), start):
                with _naming_row(rows, row, raw):
                    content = repr(raw).encode() if isinstance(raw, list) else _encoded_bytes(raw)
                digest.update(f"{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _read_cache(folder: Path, name: str, verify: bool = True) -> ImageData | None:
    """The data in a cache; None if there is none, or it is damaged."""
    if not folder.is_dir():
        return None
    try:
        meta = json.loads((folder / _META_FILE).read_text(encoding="utf-8"))
        if meta.pop("digest") != config_fingerprint(meta):
            raise ValueError(f"{_META_FILE} was changed")
        if verify:
            _verify_files(folder, meta["files"])
        arrays = {key: _load_array(folder / f"{key}.npy") if f"{key}.npy" in meta["files"] else None for key in _ARRAYS}
        return ImageData(
            name=name,
            class_names=None if meta["class_names"] is None else tuple(meta["class_names"]),
            codec=load_codec(folder / _CODEC_FILE),
            heldout_source=meta["heldout_source"],
            from_cache=True,
            **arrays,  # type: ignore[arg-type]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        _log.warning("the cache %s is damaged and will be made anew: %s", folder, _one_line(error))
        return None


def _verify_files(folder: Path, files: Mapping[str, Any]) -> None:
    for name, expected in files.items():
        path = folder / name
        if path.stat().st_size != expected["size"] or _file_digest(path) != expected["digest"]:
            raise ValueError(f"{name} was changed")


def _build_cached(opened: _Opened, settings: _Settings, folder: Path, name: str) -> ImageData:
    """Make the data and leave them in the cache; a cache that cannot be written costs a warning, not the run."""
    working: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        data = _build(opened, settings, working, name)
        _write_cache(working, data)
        _publish(working, folder)
        # What was mapped from the working folder is now reached by its final name.
        moved = _read_cache(folder, name, verify=False)
        if moved is None:
            raise FileNotFoundError(f"{folder} was removed")
        return dataclasses.replace(moved, from_cache=False)
    except OSError as error:
        _log.warning("the cache %s cannot be written, going on without: %s", folder.parent, _one_line(error))
        return _build(opened, settings, None, name)
    finally:
        if working is not None:
            shutil.rmtree(working, ignore_errors=True)


def _write_cache(folder: Path, data: ImageData) -> None:
    try:
        data.codec.save(folder / _CODEC_FILE)
    except InputError as error:
        raise OSError(str(error)) from error
    for leftover in folder.glob("*pixels.npy"):
        leftover.unlink()
    files = {_CODEC_FILE: _file_facts(folder / _CODEC_FILE)}
    for key in _ARRAYS:
        array, path = getattr(data, key), folder / f"{key}.npy"
        if array is None:
            continue
        if not path.exists():
            np.save(path, array, allow_pickle=False)
        files[path.name] = _file_facts(path)
    meta = {
        "files": files,
        "class_names": None if data.class_names is None else list(data.class_names),
        "heldout_source": data.heldout_source,
    }
    text = json.dumps({"digest": config_fingerprint(meta), **meta}, indent=2)
    (folder / _META_FILE).write_text(text + "\n", encoding="utf-8")


def _file_facts(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "digest": _file_digest(path)}


def _publish(working: Path, folder: Path) -> None:
    """Give a finished cache its name. What has that name now is damaged, or the same from another process."""
    working.chmod(0o755)
    discarded = Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent))
    try:
        with contextlib.suppress(FileNotFoundError):
            folder.rename(discarded / folder.name)
        try:
            working.rename(folder)
        except OSError:
            if not (folder / _META_FILE).is_file():
                raise
    finally:
        shutil.rmtree(discarded, ignore_errors=True)
