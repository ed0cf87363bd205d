"""Data sets -> uint8 images -> cached codes.

`load_images` goes one way: open the rows of a data set without decoding them (from an array, files, a folder or the
Hub), decode each image once, hold some out, fit the codec on the rest, encode both parts, and keep the codes in a
cache. Only data are read: no loading script is run and nothing is unpickled.
"""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs import CodecOptions, ImageCodec
from bgan_discrete.errors import InputError
from bgan_discrete.sources.cache import build_cached, cache_root, read_cache
from bgan_discrete.sources.conservation import report
from bgan_discrete.sources.data import Data, ImageData
from bgan_discrete.sources.dataset_rows import load_hub, open_files, open_table
from bgan_discrete.sources.decoding import Losses, decode, learn_form
from bgan_discrete.sources.digests import content_digest, hub_digest
from bgan_discrete.sources.folders import DATA, Files, find_files, split_files
from bgan_discrete.sources.holdout import MIN_TRAINING_ROWS, draw_images
from bgan_discrete.sources.numpy_files import open_numpy_file
from bgan_discrete.sources.pictures import open_pictures
from bgan_discrete.sources.rows import MAX_HELDOUT_ROWS, Opened, open_array
from bgan_discrete.sources.settings import Settings, locate, parse_size, resolve_color
from bgan_discrete.sources.storage import chunks_of, count_repeats, release_unused_memory, row_hashes, stack
from bgan_discrete.sources.values import fit_codec, value_notes


def load_images(
    dataset: "str | os.PathLike[str] | NDArray[np.uint8]",
    *,
    column: str | None = None,
    label_column: str | None = None,
    split: str = "train",
    resize: str | None = None,
    color: str = "auto",
    limit: int | None = None,
    holdout: float = 0.1,
    codec: CodecOptions | ImageCodec = CodecOptions(),  # noqa: B008 - it is frozen
    seed: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
    revision: str | None = None,
) -> ImageData:
    """Load images, hold some out, and turn both parts into codes; a second call reads the codes from a cache.

    EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bits. The held-out images are
    the split ``test``, ``validation`` or ``valid`` (its first 10,000 rows), or else drawn from ``split``.

    Args:
        dataset: 'digits' (embedded); the path of a .parquet, .npy or .npz file, or of a folder of pictures or .parquet
            files; images themselves, uint8 ``[N, H, W]`` or ``[N, H, W, 3]``; or a Hub id.
        column: Column (.npz: key) of the images; None for the only one that holds images.
        label_column: Column (.npz: key) of the labels, classes, integers or words; None for the only class column, an
            integer column ``label``, a metadata file's, or folders. What cannot be used then is a note, not an error.
        split: To train on; a single file or array is the split ``train``.
        resize: 'HxW' or 'N' for both sides: area means where no side grows, else Lanczos.
        color: 'grey', 'rgb', or 'auto': as the first image is, but grey for the binary codec and as the codec wants
            where a codec is given. Colours that are lost are a warning.
        limit: Take only the first so many rows of the split, >= 1.
        holdout: Share of rows held out where there is no other split, in (0, 1).
        codec: Options of a codec to build and fit; or a fitted codec, such as that of a trained model.
        seed: Of the drawn held-out rows, 0 .. 2^63 - 1.
        cache_dir: Folder of the caches; None for ``$BGAN_DISCRETE_CACHE`` or ``~/.cache/bgan_discrete``.
        revision: Branch, tag or commit of a Hub data set; None for its main branch.

    Returns:
        The codes.

    Raises:
        InputError: If an argument or the data cannot be used.
    """
    size, color = parse_size(resize), resolve_color(color, codec)
    settings = Settings(column, label_column, split, size, color, limit, holdout, codec, seed)
    settings.check()
    place = locate(dataset)
    name = "array" if isinstance(place, np.ndarray) else str(dataset)
    if revision is not None and not isinstance(place, str):
        raise InputError(f"revision is for data sets of the Hub, got {revision!r} for {name!r}")
    with contextlib.ExitStack() as stack:
        digest, open_data, commit = _locate_content(place, name, settings, revision, stack)
        folder = cache_root(cache_dir) / settings.cache_key(digest)
        data = read_cache(folder)
        if data is None:
            opened = open_data()
            data = build_cached(lambda working: _build(opened, settings, working), folder)
    report(data.notes)
    return dataclasses.replace(data, name=name, digest=folder.name, commit=commit)


def _locate_content(
    place: NDArray[Any] | Path | str, name: str, settings: Settings, revision: str | None, stack: contextlib.ExitStack
) -> tuple[str, Callable[[], Opened], str | None]:
    """The digest of the images, what opens their rows, and the commit of a Hub data set."""
    if isinstance(place, np.ndarray):
        array = open_array(place, settings)
        return content_digest(place), lambda: array, None
    if isinstance(place, str):
        hub = load_hub(place, revision=revision)
        return hub_digest(hub, settings), partial(open_table, hub, name, settings), hub.commit
    files = find_files(place)
    return content_digest(files), partial(_open_files, files, name, settings, stack), None


def _open_files(files: Files, name: str, settings: Settings, stack: contextlib.ExitStack) -> Opened:
    if files.pictures:
        return open_pictures(files, name, settings)
    if not files.is_folder and not files.tables[0].lower().endswith(".parquet"):
        return open_numpy_file(files.root / files.tables[0], settings)
    splits, notes = split_files(files.tables) if files.is_folder else ({"train": [*files.tables]}, [])
    # The library's own copy goes stale after a change that keeps the files' dates: it is not kept.
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="bgan-", ignore_cleanup_errors=True))
    opened = open_files(files, splits, scratch, name, settings, notes)
    release_unused_memory()
    return opened


def _build(opened: Opened, settings: Settings, folder: Path | None) -> ImageData:
    training, heldout = opened.training, opened.heldout
    count = training.count if settings.limit is None else min(settings.limit, training.count)
    if count < MIN_TRAINING_ROWS:
        raise InputError(
            f"dataset must have at least {MIN_TRAINING_ROWS} images to train on, got {count} of {training.place}"
        )
    form, losses = learn_form(training, settings), Losses()
    pixels = decode(training, count, form, folder, "pixels", losses)
    labels = None if training.labels is None else training.labels[:count]
    if heldout is not None:
        heldout_count = min(heldout.count, MAX_HELDOUT_ROWS)
        heldout_pixels = decode(heldout, heldout_count, form, folder, "heldout_pixels", losses)
        heldout_labels = None if heldout.labels is None else heldout.labels[:heldout_count]
        source = f"split {opened.heldout_split!r}"
        notes = losses.notes(count + heldout_count)
    else:
        notes = losses.notes(count)
        rows, one_by_one = draw_images(row_hashes(pixels), settings.holdout, settings.seed, training.place)
        kept = np.setdiff1d(np.arange(count), rows)
        heldout_pixels = _gather(pixels, rows, folder, "heldout_pixels")
        pixels = _gather(pixels, kept, folder, "training_pixels")
        heldout_labels = None if labels is None else labels[rows]
        labels = None if labels is None else labels[kept]
        source = f"{len(rows)} rows held out of split {settings.split!r} by --holdout {settings.holdout:g}"
        source += ", one by one" if one_by_one else ""
    codec = fit_codec(settings.codec, pixels)
    codes = _encode(codec, pixels, 0, folder, "codes")
    heldout_codes = _encode(codec, heldout_pixels, len(pixels), folder, "heldout_codes")
    notes += value_notes(settings.codec, codec, (pixels, codes), (heldout_pixels, heldout_codes))
    if settings.color == "auto" and all(map(_planes_are_equal, (codes, heldout_codes))):
        notes.append(
            f"all images of {DATA} are grey, though they are stored in colour: color 'grey' (--color grey) needs a "
            "third of the codes"
        )
    repeated, leaked = count_repeats(codes, heldout_codes)
    return Data(
        name="",  # equal contents have one cache, whatever they are called
        codes=codes,
        labels=labels,
        heldout_codes=heldout_codes,
        heldout_labels=heldout_labels,
        class_names=opened.class_names,
        codec=codec,
        heldout_source=source,
        counts={"found": opened.found, "repeated": repeated, "leaked": leaked},
        notes=(*opened.notes, *notes),
    )


def _planes_are_equal(codes: NDArray[np.uint8]) -> bool:
    """Whether codes have a plane for each channel, and all say the same."""
    return codes.ndim == 4 and all((codes[chunk] == codes[chunk, :1]).all() for chunk in chunks_of(len(codes)))


def _gather(pixels: NDArray[np.uint8], rows: NDArray[np.int64], folder: Path | None, name: str) -> NDArray[np.uint8]:
    chunks = (pixels[rows[chunk]] for chunk in chunks_of(len(rows)))
    return stack(chunks, (len(rows), *pixels.shape[1:]), folder, name)


def _encode(
    codec: ImageCodec, pixels: NDArray[np.uint8], first_row: int, folder: Path | None, name: str
) -> NDArray[np.uint8]:
    chunks = (codec.encode(pixels[chunk], first_row + chunk.start) for chunk in chunks_of(len(pixels)))
    planes = (3,) if codec.channels_first and codec.channels == 3 else ()
    return stack(chunks, (len(pixels), *planes, *pixels.shape[1:3]), folder, name)
