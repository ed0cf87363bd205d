"""Samples into files, part by part, so that memory does not grow with their number."""

import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
import torch
from tqdm import tqdm

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.sources.code_store import CodeStore
from bgan_discrete.sources.storage import chunks_of
from bgan_discrete.sources.table_files import write_npy
from bgan_discrete.training.labels import labels_of_samples

PART = 1000
"""Samples that are drawn at once."""


def draw_in_parts(pipeline: Any, num_samples: int, seed: int, *, resample: int = 1, **options: Any) -> Iterator[Any]:
    """The samples of ``pipeline.generate``, of which `PART` are held at a time, with a bar on a terminal.

    Args:
        pipeline: The model.
        num_samples: As in its ``generate``.
        seed: Likewise.
        resample: Likewise.
        **options: Likewise.

    Returns:
        Parts, each as ``generate`` gives it.
    """
    check_at_least_one(num_samples=num_samples, resample=resample)
    rng = torch.Generator(pipeline.device).manual_seed(seed)
    classes = pipeline.num_classes
    shared = options.get("labels", range(classes or 0))
    places = None if classes is None else labels_of_samples(np.arange(len(shared)), num_samples, len(shared))
    size = max(PART // resample, 1)  # always whole batches, so that the samples are those of one call
    with tqdm(total=num_samples, desc="drawing", unit=" samples", file=sys.stderr, disable=None, leave=False) as bar:
        for start in range(0, num_samples, size):
            count = min(size, num_samples - start)
            if places is not None:
                options["labels"] = [shared[place] for place in places[start : start + count]]
            yield pipeline.generate(count, rng, PART, resample=resample, **options)
            bar.update(count)


def write_npz(
    file: BinaryIO,
    parts: Iterable[Any],
    num_samples: int,
    decoded: Mapping[str, Callable[[np.ndarray], Any]],
    **arrays: np.ndarray,
) -> None:
    """Write the codes of samples, and what is made of them, as a ``.npz`` file.

    Args:
        file: To write.
        parts: Of samples, with ``codes`` and perhaps ``labels``; many codes are kept on the disk until all are drawn.
        num_samples: Of all parts.
        decoded: Name -> what makes an array ``[n, ...]`` of codes ``[n, *event_shape]``.
        **arrays: Others, by their names.
    """
    store: CodeStore | None = None
    labels = []
    for part in parts:
        labels += [] if getattr(part, "labels", None) is None else [part.labels]
        store = store or CodeStore(part.codes[0].size, part.codes.dtype)
        store.add(part.codes.reshape(len(part.codes), -1))
    assert store is not None
    codes = store.finish().reshape(num_samples, *part.codes.shape[1:])
    if labels:
        arrays["labels"] = np.concatenate(labels)
    made: dict[str, Callable[[np.ndarray], Any]] = {"codes": np.asarray, **decoded}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (*made, *arrays):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                chunks = (codes[chunk] for chunk in chunks_of(num_samples))
                whole = [arrays[name]] if name in arrays else map(made[name], chunks)
                write_npy(member, whole, len(arrays[name]) if name in arrays else num_samples)
