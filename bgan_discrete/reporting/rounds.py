"""What a report shows of a generator that draws in rounds: what is drawn when.

Letters: S rounds, N samples, P positions (the event shape, flattened), K categories; the code K is a hidden one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.imaging import image_grid, save_png

MAX_STAGES, MAX_LINES = 8, 32
"""Of pictures and lines of samples, and of lines that name what is drawn; where rounds are more, one shows several."""

MAX_POSITIONS = 400
"""Of a sample that is shown as a line."""

MAX_VALUES = 20
"""Of a plane, that are named with their colours."""

OWN = "of its own"
"""The order or cut of a generator that does not name it."""

HIDDEN = "\N{MIDDLE DOT}"
GAP, CELL_PIXELS, STRIPE_PIXELS = 2, 96, 3
STRIPES = ((150, 160, 180), (205, 212, 224))
"""Colours of the hatching of hidden pixels."""

ORDERS = {
    "left_to_right": "as positions are stored, row by row where there are rows",
    "interleaved": "every position halves the widest gap, so that the first ones are spread over the whole sample",
    "coarse_to_fine": "every pixel halves a gap on both axes, so that the first ones are a coarse picture",
    "information": "the column that shares most information with all others first, then always the one that shares "
    "most with a column that is already there",
    "random": "a fixed permutation",
}
CUTS = {"halving": "rounds grow, where possible by a factor of 2", "equal": "rounds of equal size"}

Codes = NDArray[np.integer]
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class DrawnRounds:
    """Samples as they are after each round.

    Attributes:
        stages: Integers ``[S, N, *event_shape]`` in ``[0, K]``.
        rounds: Integers ``[*event_shape]``, the round of each position.
        num_categories: K.
        order: Its name.
        cut: Its name, or the sizes.
    """

    stages: Codes
    rounds: Codes
    num_categories: int
    order: str
    cut: str | Sequence[int]

    def shown(self, most: int) -> list[tuple[int, int]]:
        """The first and the last round of at most so many stages, evenly spaced, that together are all rounds."""
        count = len(self.stages)
        ends = [round(count * (k + 1) / min(most, count)) for k in range(min(most, count))]
        return list(zip([0, *ends[:-1]], [end - 1 for end in ends], strict=True))

    def facts(self, noun: str, shown: Sequence[tuple[int, int]], note: str, **more: Any) -> dict[str, Any]:
        """What a report says of rounds of positions that are called ``noun``; ``note`` says what is shown."""
        sizes = np.bincount(self.rounds.ravel(), minlength=len(self.stages))
        how = ORDERS.get(self.order, "")
        cut = CUTS.get(str(self.cut), "") if len(set(sizes.tolist())) > 1 else ""
        sentences = [
            f"Samples are drawn in {counted_rounds(sizes.tolist(), noun)}, each round given all earlier ones",
            f"Order: {self.order}{how and f' ({how})'}",
            f"Cut: {cut_name(self.cut)}{cut and f' ({cut})'}",
            note,
        ]
        stages = [
            {"first": first + 1, "last": last + 1, "drawn": counted(int(sizes[first : last + 1].sum()), noun)}
            for first, last in shown
        ]
        return {"count": len(sizes), "caption": ". ".join(sentences) + ".", "stages": stages, **more}


def sentence_of_rounds(order: str, cut: str | Sequence[int], sizes: Sequence[int]) -> str:
    """How samples are drawn, for a model card."""
    return f"It draws a sample in {counted_rounds(sizes, 'positions')}, order {order}, cut {cut_name(cut)}."


def counted_rounds(sizes: Sequence[int], noun: str) -> str:
    """The number of rounds and their sizes, in words."""
    start = f"{len(sizes)} rounds of"
    if len(set(sizes)) == 1:
        return f"{start} {counted(sizes[0], noun)} each"
    if len(sizes) > MAX_STAGES:
        return f"{start} {min(sizes):,} to {max(sizes):,} {noun}"
    *most, last = (f"{size:,}" for size in sizes)
    return f"{start} {', '.join(most)} and {last} {noun}"


def counted(number: int, noun: str) -> str:
    """A number of what has a plural in s."""
    return f"{number:,} {noun if number != 1 else noun.removesuffix('s')}"


def cut_name(cut: str | Sequence[int]) -> str:
    """The name of a cut."""
    return cut if isinstance(cut, str) else "given sizes"


def lines_of_rounds(
    drawn: DrawnRounds,
    noun: str,
    write: Callable[[Codes], str],
    length: Callable[[Codes], int] = len,
    row: int = 0,
    gap: str = "",
) -> dict[str, Any]:
    """One sample as a line after each round, as facts of a report.

    Args:
        drawn: The samples.
        noun: What positions are called.
        write: The text of visible codes ``[R]``.
        length: How many codes ``[P]`` belong to the sample.
        row: Which sample.
        gap: What ``write`` puts between the texts of two codes.
    """
    shown, rounds = drawn.shown(MAX_STAGES), drawn.rounds.ravel()[:MAX_POSITIONS]
    lines = []
    for first, last in shown:
        codes = drawn.stages[last, row].ravel()[:MAX_POSITIONS]
        codes = codes[: length(codes)]
        states = np.where(rounds > last, "hidden", np.where(rounds >= first, "new", "earlier"))[: len(codes)]
        bounds = sorted({0, len(codes), *np.flatnonzero(states != np.roll(states, 1)).tolist()})
        parts = []
        for start, end in pairwise(bounds):
            is_hidden = states[start] == "hidden"
            text = gap.join([HIDDEN] * (end - start)) if is_hidden else write(codes[start:end])
            parts.append([text + gap, str(states[start])])
        lines.append(parts)
    note = f"One sample after each round: what is new is marked, {HIDDEN} is hidden"
    if drawn.rounds.size > MAX_POSITIONS:
        note += f"; the first {MAX_POSITIONS} {noun} alone"
    return drawn.facts(noun, shown, note, lines=lines)


def columns_of_rounds(drawn: DrawnRounds, names: Sequence[str], values: Sequence[str]) -> dict[str, Any]:
    """The columns of each round, with their values in one row, as facts of a report."""
    shown = drawn.shown(MAX_LINES)
    cells = [
        [
            [name, value]
            for name, value, number in zip(names, values, drawn.rounds.tolist(), strict=True)
            if first <= number <= last
        ]
        for first, last in shown
    ]
    return drawn.facts("columns", shown, "One row, filled round by round", cells=cells)


def picture_of_rounds(
    drawn: DrawnRounds,
    noun: str,
    decode: Callable[[Codes], Images],
    path: Path,
    values: Sequence[str] = (),
) -> dict[str, Any]:
    """A picture of the round of each pixel and of four samples after each round, as facts of a report.

    A PNG is written, with columns of equal width: the map, and the samples after each round that is shown.

    Args:
        drawn: The samples, of event shape ``[H, W]`` or ``[C, H, W]``.
        noun: What positions are called.
        decode: Images ``[N, H, W]`` or ``[N, H, W, 3]`` of whole codes.
        path: The file.
        values: Of the codes, which are named with their colours.
    """
    shown, (height, width) = drawn.shown(MAX_STAGES), drawn.rounds.shape[-2:]
    scale = max(1, round(CELL_PIXELS / max(height, width)))
    tiles = []
    for _, last in shown:
        codes = drawn.stages[last]
        is_hidden = codes == drawn.num_categories
        # Of a pixel some of whose channels are drawn, the others get the middle.
        images = decode(np.where(is_hidden, drawn.num_categories // 2, codes))
        tiles.append(_tile(images, is_hidden.reshape(len(codes), -1, height, width).all(1), scale))
    numbers = drawn.rounds.reshape(-1, height, width)
    maps = np.unique(numbers, axis=0) if (numbers == numbers[0]).all() else numbers
    colours = np.array([rgb_of_round(number, len(drawn.stages)) for number in range(len(drawn.stages))], np.uint8)
    if len(maps) == 1:
        drawn_map = image_grid(colours[maps], 1, GAP, 2 * scale)
    else:
        drawn_map = image_grid(colours[maps[:4]], 2, GAP, scale)
    tall, wide = tiles[0].shape[:2]
    drawn_map = np.pad(
        drawn_map,
        ((0, tall - drawn_map.shape[0]), (0, wide - drawn_map.shape[1]), (0, 0)),
        constant_values=128,
    )
    save_png(np.concatenate([drawn_map, *tiles], axis=1), path)
    note = "First the round of each pixel, in the colours of the rounds; then four samples after each round, hatched "
    note += "where they are hidden"
    if len(maps) > 1:
        note += (
            "; channels differ in their rounds: each has a map of its own, and a hidden one of a pixel is at its middle"
        )
    return drawn.facts(noun, shown, note, values=list(values) if len(values) <= MAX_VALUES else [])


def _tile(images: Images, is_hidden: NDArray[np.bool_], scale: int) -> Images:
    """Four images, two in a row, hatched where they are hidden."""
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, axis=-1)
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    is_hidden = is_hidden.repeat(scale, axis=1).repeat(scale, axis=2)
    row, column = np.indices(images.shape[1:3])
    stripes = np.array(STRIPES, np.uint8)[(row + column) // STRIPE_PIXELS % 2]
    return image_grid(np.where(is_hidden[..., None], stripes, images), 2, GAP, 1)


def rgb_of_round(number: int, count: int) -> tuple[int, int, int]:
    """The colour of a round of so many."""
    from matplotlib import colormaps

    red, green, blue, _ = colormaps["viridis"](number / max(count - 1, 1), bytes=True)
    return int(red), int(green), int(blue)


def rgb_of_code(code: int, num_categories: int) -> tuple[int, int, int]:
    """The colour of a code of a plane: one of few that are easily told apart, or of a scale."""
    from matplotlib import colormaps

    if num_categories <= MAX_VALUES:
        name = "tab10" if num_categories <= 10 else "tab20"
        red, green, blue, _ = colormaps[name](code, bytes=True)
    else:
        red, green, blue, _ = colormaps["cividis"](code / (num_categories - 1), bytes=True)
    return int(red), int(green), int(blue)


def hexadecimal(colour: tuple[int, int, int]) -> str:
    """A colour as HTML has it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
