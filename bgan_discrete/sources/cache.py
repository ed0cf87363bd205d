"""The cache of the codes: a folder for each content and settings."""

import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bgan_discrete.codecs import ImageCodec, load_codec
from bgan_discrete.codecs.base import config_fingerprint
from bgan_discrete.durable import clean_leftovers, discard, working_folder
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources.digests import file_digest
from bgan_discrete.sources.image_data import ImageData
from bgan_discrete.sources.storage import read_npy

CACHE_VARIABLE = "BGAN_DISCRETE_CACHE"

_log = logging.getLogger(__name__)


_ARRAYS = ("codes", "labels", "heldout_codes", "heldout_labels")
_META_FILE, _CODEC_FILE = "meta.json", "codec.json"


def cache_root(cache_dir: str | os.PathLike[str] | None) -> Path:
    """The folder of the caches."""
    return Path(cache_dir or os.environ.get(CACHE_VARIABLE) or "~/.cache/bgan_discrete").expanduser()


def read_cache(folder: Path, name: str, verify: bool = True) -> ImageData | None:
    """The data in a cache; None if there is none, or it is damaged."""
    if not folder.is_dir():
        return None
    try:
        meta = json.loads((folder / _META_FILE).read_text(encoding="utf-8"))
        if meta.pop("digest") != config_fingerprint(meta):
            raise ValueError(f"{_META_FILE} was changed")
        if verify:
            _verify_files(folder, meta["files"])
        arrays = {key: read_npy(folder / f"{key}.npy") if f"{key}.npy" in meta["files"] else None for key in _ARRAYS}
        codec = load_codec(folder / _CODEC_FILE)
        if not isinstance(codec, ImageCodec):
            raise ValueError("the codec is not one of images")
        return ImageData(
            name=name,
            class_names=None if meta["class_names"] is None else tuple(meta["class_names"]),
            codec=codec,
            heldout_source=meta["heldout_source"],
            from_cache=True,
            notes=tuple(map(str, meta["notes"])),
            found=int(meta["found"]),
            **arrays,  # type: ignore[arg-type]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        _log.warning("the cache %s is damaged and will be made anew: %s", folder, one_line(error))
        return None


def _verify_files(folder: Path, files: Mapping[str, Any]) -> None:
    for name, expected in files.items():
        path = folder / name
        if path.stat().st_size != expected["size"] or file_digest(path) != expected["digest"]:
            raise ValueError(f"{name} was changed")


def build_cached(build: Callable[[Path | None], ImageData], folder: Path, name: str) -> ImageData:
    """Make the data and leave them in the cache; a cache that cannot be written costs a warning, not the run."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        clean_leftovers(folder.parent)
        with working_folder(folder.parent) as working:
            data = build(working)
            _write_cache(working, data)
            _publish(working, folder)
        # What was mapped from the working folder is now reached by its final name.
        moved = read_cache(folder, name, verify=False)
        if moved is None:
            raise FileNotFoundError(f"{folder} was removed")
        return dataclasses.replace(moved, from_cache=False)
    except OSError as error:
        _log.warning("the cache %s cannot be written, going on without: %s", folder.parent, one_line(error))
        return build(None)


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
        "notes": list(data.notes),
        "found": data.found,
    }
    text = json.dumps({"digest": config_fingerprint(meta), **meta}, indent=2)
    (folder / _META_FILE).write_text(text + "\n", encoding="utf-8")


def _file_facts(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "digest": file_digest(path)}


def _publish(working: Path, folder: Path) -> None:
    """Give a finished cache its name. What has that name now is damaged, or the same from another process."""
    with contextlib.suppress(FileNotFoundError):
        discard(folder)
    try:
        working.rename(folder)
    except OSError:
        if not (folder / _META_FILE).is_file():
            raise
