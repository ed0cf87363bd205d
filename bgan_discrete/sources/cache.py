"""The cache of the codes: a folder for each content and settings."""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable
from pathlib import Path

from bgan_discrete.codecs import ImageCodec
from bgan_discrete.durable import clean_leftovers, discard, working_folder
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources.data import META_FILE, ImageData, load_data, save_data

CACHE_VARIABLE = "BGAN_DISCRETE_CACHE"

_log = logging.getLogger(__name__)


def cache_root(cache_dir: str | os.PathLike[str] | None) -> Path:
    """The folder of the caches."""
    return Path(cache_dir or os.environ.get(CACHE_VARIABLE) or "~/.cache/bgan_discrete").expanduser()


def read_cache(folder: Path, verify: bool = True) -> ImageData | None:
    """The data in a cache; None if there is none, or it is damaged."""
    if not folder.is_dir():
        return None
    try:
        data = load_data(folder, verify)
        if not isinstance(data.codec, ImageCodec):
            raise ValueError("the codec is not one of images")
        return dataclasses.replace(data, from_cache=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        _log.warning("the cache %s is damaged and will be made anew: %s", folder, one_line(error))
        return None


def build_cached(build: Callable[[Path | None], ImageData], folder: Path) -> ImageData:
    """Make the data and leave them in the cache; a cache that cannot be written costs a warning, not the run."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        clean_leftovers(folder.parent)
        with working_folder(folder.parent) as working:
            data = build(working)
            _save(data, working)
            _publish(working, folder)
        # What was mapped from the working folder is now reached by its final name.
        moved = read_cache(folder, verify=False)
        if moved is None:
            raise FileNotFoundError(f"{folder} was removed")
        return dataclasses.replace(moved, from_cache=False)
    except OSError as error:
        _log.warning("the cache %s cannot be written, going on without: %s", folder.parent, one_line(error))
        return build(None)


def _save(data: ImageData, folder: Path) -> None:
    for leftover in folder.glob("*pixels.npy"):
        leftover.unlink()
    try:
        save_data(data, folder)
    except InputError as error:
        raise OSError(str(error)) from error


def _publish(working: Path, folder: Path) -> None:
    """Give a finished cache its name. What has that name now is damaged, or the same from another process."""
    with contextlib.suppress(FileNotFoundError):
        discard(folder)
    try:
        working.rename(folder)
    except OSError:
        if not (folder / META_FILE).is_file():
            raise
