"""Samples beside what is nearest to them in the training data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.imaging import save_png
from bgan_discrete.metrics.neighbours import squared_distances

IMAGE_PAIRS, TEXT_PAIRS, ROW_PAIRS = 16, 16, 16
PIXELS_AT_ONCE = 4_000_000

MAX_EDIT_CELLS = 3e8
"""Cells of the tables of edit distances; the training texts that are searched are so few that these suffice."""

Codes = NDArray[np.integer]


def nearest_images(
    samples: Codes, training: Codes, decode: Callable[[Codes], NDArray[np.uint8]], path: Path
) -> dict[str, Any]:
    """The nearest training image of each of the first `IMAGE_PAIRS` samples, by the distance of their decoded pixels.

    A PNG is written: the samples in its upper row, their neighbours in the lower, without gaps. Of the ``pairs``,
    ``row`` is of the neighbour in the training data, ``distance`` the root mean square over the pixels as a share of
    the grey scale, and ``differing`` the share of codes that differ.
    """
    samples = samples[:IMAGE_PAIRS]
    images = decode(samples)
    pixels = images.reshape(len(images), -1) / 255
    best, rows = np.full(len(samples), np.inf), np.zeros(len(samples), np.int64)
    rows_at_once = max(1, PIXELS_AT_ONCE // pixels.shape[1])
    for start in range(0, len(training), rows_at_once):
        part = decode(np.ascontiguousarray(training[start : start + rows_at_once]))
        distances = squared_distances(pixels, part.reshape(len(part), -1) / 255)
        nearest = distances.argmin(1)
        found = distances[np.arange(len(samples)), nearest]
        rows = np.where(found < best, start + nearest, rows)
        best = np.minimum(best, found)
    neighbours = np.ascontiguousarray(training[rows])
    shown = decode(neighbours)
    save_png(np.concatenate([np.concatenate(list(images), 1), np.concatenate(list(shown), 1)], 0), path)
    # Once more from the pixels themselves, so that a copy is at exactly 0.
    distances = np.sqrt(((pixels - shown.reshape(len(shown), -1) / 255) ** 2).mean(1))
    differing = (samples != neighbours).reshape(len(samples), -1).mean(1)
    pairs = [
        {"row": int(row), "distance": float(distance), "differing": float(share)}
        for row, distance, share in zip(rows, distances, differing, strict=True)
    ]
    note = (
        "Left the sample, right the training image that is nearest in pixels; the distance is the root mean square "
        f"difference, as a share of the grey scale. Searched: {len(training):,} training images."
    )
    return {"noun": "image", "note": note, "pairs": pairs}


def absent_classes(
    training: NDArray[np.integer] | None, heldout: NDArray[np.integer] | None, names: tuple[str, ...] | None
) -> list[str]:
    """Names of the classes that held-out images have and training images have not; none without labels."""
    if training is None or heldout is None:
        return []
    absent = np.setdiff1d(heldout, training)
    return [names[value] if names else str(value) for value in absent]


def nearest_texts(
    samples: Codes,
    training: Codes,
    lengths: Callable[[Codes], NDArray[np.int64]],
    decode: Callable[[Codes], list[str]],
    max_cells: float = MAX_EDIT_CELLS,
) -> dict[str, Any]:
    """The nearest training text of each of the first `TEXT_PAIRS` samples, by tokens to insert, delete or exchange.

    Exact copies are looked for among all training texts, near ones among as many, evenly spaced, as ``max_cells`` of
    edit distances allow. ``distance`` and ``length``, of the sample, are in tokens.
    """
    samples = samples[:TEXT_PAIRS]
    length = samples.shape[1]
    most = max(1, int(max_cells / (len(samples) * length**2)))
    rows = np.linspace(0, len(training) - 1, min(len(training), most)).astype(np.int64)
    candidates = np.ascontiguousarray(training[rows])
    candidate_lengths = lengths(candidates)
    texts = decode(samples)
    found = []
    for text, codes, size in zip(texts, samples, lengths(samples), strict=True):
        copies = _equal_rows(training, codes)
        if len(copies):
            neighbour, distance = np.asarray(training[copies[:1]]), 0
        else:
            distances = edit_distances(codes[:size], candidates, candidate_lengths)
            best = int(distances.argmin())
            neighbour, distance = candidates[best : best + 1], int(distances[best])
        found.append({"text": text, "neighbour": decode(neighbour)[0], "distance": distance, "length": int(size)})
    note = (
        "Distance: tokens to insert, delete or exchange, of as many as the sample has. Searched: "
        f"{len(rows):,} training texts, and all of them for copies."
    )
    return {"noun": "text", "note": note, "pairs": found}


def nearest_rows(samples: Codes, training: Codes, write: Callable[[Codes], list[str]]) -> dict[str, Any]:
    """The nearest training row of each of the first `ROW_PAIRS` samples, by the number of codes that differ."""
    samples = samples[:ROW_PAIRS]
    flat, others = (part.reshape(len(part), -1) for part in (samples, training))
    best, rows = np.full(len(flat), flat.shape[1] + 1), np.zeros(len(flat), np.int64)
    rows_at_once = max(1, PIXELS_AT_ONCE // flat.shape[1])
    for start in range(0, len(others), rows_at_once):
        part = np.asarray(others[start : start + rows_at_once])
        for place, row in enumerate(flat):
            distances = (part != row).sum(1)
            nearest = int(distances.argmin())
            if distances[nearest] < best[place]:
                best[place], rows[place] = distances[nearest], start + nearest
    lines = zip(write(samples), write(np.ascontiguousarray(training[rows])), best.tolist(), strict=True)
    pairs = [
        {"text": text, "neighbour": other, "distance": distance, "length": flat.shape[1]}
        for text, other, distance in lines
    ]
    note = f"Distance: codes that differ, of as many as a row has. Searched: {len(training):,} training rows."
    return {"noun": "row", "note": note, "pairs": pairs}


def _equal_rows(training: Codes, codes: Codes) -> NDArray[np.int64]:
    """Rows that are equal to some codes; position by position, so that little is read."""
    rows = np.flatnonzero(training[:, 0] == codes[0])
    for place in range(1, len(codes)):
        rows = rows[training[rows, place] == codes[place]]
    return rows


def edit_distances(codes: Codes, candidates: Codes, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Levenshtein's distance ``[C]`` of codes ``[l]`` to the first ``lengths`` codes of each candidate ``[C, L]``.

    Source: Wagner and Fischer (1974); the insertions of a row are taken at once, as a running minimum.
    """
    width = candidates.shape[1]
    places = np.arange(width + 1, dtype=np.int32)
    row = np.broadcast_to(places, (len(candidates), width + 1)).copy()
    for count, code in enumerate(codes, 1):
        reached = np.empty_like(row)
        reached[:, 0] = count
        np.minimum(row[:, 1:] + 1, row[:, :-1] + (candidates != code), out=reached[:, 1:])
        # row[j] = min over i <= j of reached[i] + (j - i)
        row = np.minimum.accumulate(reached - places, axis=1) + places
    return row[np.arange(len(candidates)), lengths].astype(np.int64)
