"""Rows of images through the `datasets` library: parquet files and the Hub."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.errors import InputError, one_line
from bgan_discrete.sources.conservation import left_out
from bgan_discrete.sources.folders import DATA, Files
from bgan_discrete.sources.parquet_files import find_fault
from bgan_discrete.sources.rows import (
    LABEL_COLUMNS,
    Opened,
    PictureFile,
    Rows,
    UnusableLabelsError,
    checked_labels,
    choose_splits,
    opened,
    try_labels,
)
from bgan_discrete.sources.settings import Settings, unknown
from bgan_discrete.sources.storage import chunks_of

HUB_TIMEOUT_SECONDS = 10.0

_WORDS = ("string", "large_string")


@contextlib.contextmanager
def _quiet_datasets() -> Iterator[Any]:
    """The library without its progress bars and its log, whose settings are put back afterwards."""
    import datasets

    log, hub_log = datasets.utils.logging, logging.getLogger("huggingface_hub")
    verbosity, bars_were_on = log.get_verbosity(), not datasets.are_progress_bars_disabled()
    hub_level = hub_log.level
    log.set_verbosity(log.CRITICAL)
    hub_log.setLevel(logging.CRITICAL)  # it reads a README.md beside the images, and complains of it
    datasets.disable_progress_bars()
    try:
        yield datasets
    finally:
        log.set_verbosity(verbosity)
        hub_log.setLevel(hub_level)
        if bars_were_on:
            datasets.enable_progress_bars()


def _load_dataset(name: str, **options: Any) -> Mapping[str, Any]:
    """All splits of a data set that consists of data files alone."""
    with _quiet_datasets() as datasets:
        loaded: Mapping[str, Any] = datasets.load_dataset(name, **options)
        return loaded


def open_files(
    files: Files, splits: Mapping[str, Sequence[str]], scratch: str, name: str, settings: Settings, notes: list[str]
) -> Opened:
    """The rows of local parquet files; the library's own copy goes to the folder ``scratch``."""
    data_files: dict[str, list[str]] = {}
    within: dict[str, Path] = {}
    try:
        for split, names in splits.items():
            within[split] = Path(os.path.commonpath([(files.root / file).parent for file in names]))
            data_files[split] = []
            for file in names:
                # The library takes some characters of paths for patterns or addresses: it sees names of our own.
                link = Path(scratch) / f"{split}-{len(data_files[split]):05d}.parquet"
                link.symlink_to((files.root / file).resolve())
                data_files[split].append(str(link))
        loaded = _load_dataset("parquet", data_files=data_files, cache_dir=str(Path(scratch) / "cache"))
    except Exception as error:  # the library and what reads files for it raise whatever they like
        reason = find_fault([files.root / file for file in files.tables]) or one_line(error.__cause__ or error)
        raise InputError(f"dataset {name!r} cannot be opened: {reason}") from error
    return open_table(loaded, name, settings, within, [*files.notes, *notes])


class HubSplits(dict[str, Any]):
    """All splits of a data set of the Hub, and the commit that was read, as far as it is known."""

    commit: str | None = None


def load_hub(name: str, streaming: bool = False, revision: str | None = None) -> HubSplits:
    """All splits of a data set of the Hub, downloaded or read row by row; offline, a revision must be a full commit."""
    import datasets
    import huggingface_hub

    options: dict[str, Any] = {"revision": revision, **({"streaming": True} if streaming else {})}
    wanted = revision
    if datasets.config.HF_HUB_OFFLINE:
        if "/" not in name:
            raise unknown(name, "HF_HUB_OFFLINE is set; earlier downloads go by owner/name")
    else:
        try:
            # Asked first, because loading would try an unreachable Hub for long. The answer also tells the full name,
            # so that a name such as 'csv' is never taken for the library's own way to read files.
            info = huggingface_hub.HfApi().dataset_info(name, revision=revision, timeout=HUB_TIMEOUT_SECONDS)
        except Exception as error:  # of whichever HTTP library is in use
            raise unknown(name, one_line(error)) from error
        name, wanted = info.id, info.sha
        if "/" not in name:
            raise unknown(name, "Hub data sets go by owner/name")
    try:
        splits = HubSplits(_load_dataset(name, **options))
    except Exception as error:
        raise unknown(name, one_line(error.__cause__ or error)) from error
    # The library takes what it has on the disk, of whatever commit, where the Hub gives no answer.
    splits.commit = _commit_of_copy(splits) or (None if datasets.config.HF_HUB_OFFLINE else wanted)
    if revision is not None and splits.commit != wanted:
        found = splits.commit or "an unknown one"
        raise unknown(name, f"revision {revision!r} is not what is on the disk, which is commit {found}")
    return splits


def _commit_of_copy(splits: Mapping[str, Any]) -> str | None:
    """The commit of a downloaded data set, by the addresses of its files."""
    for table in splits.values():
        for address in table.info.download_checksums or ():
            if match := re.search(r"@([0-9a-f]{40})/", address):
                return match[1]
    return None


def open_table(
    splits: Mapping[str, Any],
    name: str,
    settings: Settings,
    within: Mapping[str, Path] | None = None,
    notes: Sequence[str] = (),
) -> Opened:
    """The rows of the split to train on and of the one to evaluate with; ``notes`` are of what was left out before.

    Paths in local files are followed in the folder of each split's files, ``within``.
    """
    import datasets

    choose_splits(splits, settings.split, name)
    features = splits[settings.split].features
    image_column = _find_image_column(features, settings.image_column, name)
    label_column = _find_label_column(features, settings.label_column, name)
    lines = list(notes)
    others = [column for column in features if column not in (image_column, label_column)]
    if others:
        reason = f"the images are {image_column!r}, the labels {label_column!r}"
        lines.append(left_out("columns", DATA, len(features), others, len(others), reason))

    def rows(split: str) -> Rows:
        table, wanted = splits[split], settings.label_column is not None and split == settings.split
        found = _table_rows(
            table, image_column, (within[split],) if within else _cache_folders(table), f"split {split!r} of {name}"
        )
        if label_column is None or label_column not in table.column_names:
            return found
        read = partial(_table_labels, table, label_column)
        return replace(found, labels=try_labels(read, found.place, lines, wanted))

    found = opened(rows, {split: table.num_rows for split, table in splits.items()}, settings, name, lines)
    labels = features[label_column] if label_column else None
    return replace(found, class_names=tuple(labels.names)) if isinstance(labels, datasets.ClassLabel) else found


def _cache_folders(table: Any) -> tuple[Path, ...]:
    """Where the library keeps pictures of the Hub that are files of their own; other paths are not followed."""
    from datasets import config
    from huggingface_hub.constants import HF_HUB_CACHE

    caches = (config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, HF_HUB_CACHE)
    return tuple(map(Path, caches)) if table.info.builder_name == "imagefolder" else ()


def _table_rows(table: Any, image_column: str, folders: tuple[Path, ...], place: str) -> Rows:
    import datasets

    if image_column not in table.column_names:
        raise InputError(f"column {image_column!r} is not in {place}, which has: {', '.join(table.column_names)}")
    if table.num_rows == 0:
        raise InputError(f"{place} has no rows")
    images = table.select_columns([image_column])
    if isinstance(images.features[image_column], datasets.Image):
        images = images.cast_column(image_column, datasets.Image(decode=False))

    def read(start: int, stop: int) -> list[Any]:
        return [
            PictureFile(raw["path"], raw["path"], folders)
            if isinstance(raw, dict) and raw.get("bytes") is None and raw.get("path")
            else raw
            for raw in images[start:stop][image_column]
        ]

    return Rows(place, table.num_rows, read, None)


def _table_labels(table: Any, label_column: str) -> NDArray[Any]:
    """Labels part by part: eight bytes a row, not a Python object each; words as they are."""
    column = table.select_columns([label_column])
    is_word = column.features[label_column].dtype in _WORDS
    labels: NDArray[Any] = np.empty(table.num_rows, object if is_word else np.int64)
    for chunk in chunks_of(table.num_rows):
        values = column[chunk][label_column]
        if None in values:
            raise UnusableLabelsError(f"must not be missing, got no value in row {chunk.start + values.index(None)}")
        try:
            labels[chunk] = values
        except OverflowError:
            row = chunk.start + values.index(max(values))
            raise UnusableLabelsError(f"must be below 2**63, got {max(values)} in row {row}") from None
    return checked_labels(labels, len(labels))


def _find_image_column(features: Mapping[str, Any], wanted: str | None, name: str) -> str:
    import datasets

    if wanted is not None:
        if wanted not in features:
            raise InputError(f"column {wanted!r} is not in {name}, which has: {', '.join(features)}")
        return wanted
    encoded = [
        column
        for column, feature in features.items()
        if isinstance(feature, datasets.Image) or (isinstance(feature, dict) and "bytes" in feature)
    ]
    found = encoded or [column for column, feature in features.items() if _is_pixel_array(feature)]
    if len(found) != 1:
        problem = f"several columns hold images ({', '.join(found)})" if found else "no column holds images"
        raise InputError(f"column must be given for {name}: {problem}; its columns are: {', '.join(features)}")
    return found[0]


def _is_pixel_array(feature: Any) -> bool:
    """Whether a feature is rows of integers, as Array2D, Array3D or nested lists."""
    import datasets

    depth = 0
    while isinstance(feature, (list, datasets.List, datasets.LargeList)):
        feature, depth = feature[0] if isinstance(feature, list) else feature.feature, depth + 1
    is_right = isinstance(feature, (datasets.Array2D, datasets.Array3D)) if depth == 0 else depth in (2, 3)
    return is_right and str(feature.dtype).startswith(("int", "uint"))


def _find_label_column(features: Mapping[str, Any], wanted: str | None, name: str) -> str | None:
    import datasets

    usable = [
        column
        for column, feature in features.items()
        if isinstance(feature, datasets.Value) and feature.dtype.startswith(("int", "uint", "bool", *_WORDS))
    ]
    classes = [column for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    if wanted is not None:
        if wanted not in features:
            raise InputError(f"label_column {wanted!r} is not in {name}, which has: {', '.join(features)}")
        if wanted not in usable + classes:
            raise InputError(
                f"label_column must hold classes, integers or words, got {wanted!r} with {features[wanted]}"
            )
        return wanted
    if len(classes) == 1:
        return classes[0]
    return next((column for column in LABEL_COLUMNS if column in usable), None)
