"""Sokoban levels: whether they have what a level needs, and whether they can be won, by a search over pushes.

The squares of a board are bits of one integer, row after row with a wall between two rows, so that a shift moves all
boxes at once. The search opens the cheapest state first, the oldest of equal ones: its cost is the fewest pushes that
bring each box to a goal of its own where no other box is in the way.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from operator import add

import numpy as np
from numpy.typing import NDArray

FLOOR, WALL, BOX, GOAL, PLAYER = range(5)

BOXES = 4

LIMIT = 20_000
"""States that are opened; docs/results.md says of how many levels fewer are enough."""

NEVER = 1 << 20
"""The pushes that bring a box to a goal which it cannot reach."""

_OPEN, _BOX, _GOAL, _PLAYER = (
    bytes(ord("1" if code in codes else "0") for code in range(256))
    for codes in ({FLOOR, BOX, GOAL, PLAYER}, {BOX}, {GOAL}, {PLAYER})
)
"""Of each code the digit of a binary number."""

_PAIRS = [*combinations(range(BOXES), 2)]
"""Pairs of goals; in reverse order they are the goals that each pair leaves."""


def counts_right(levels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each level ``[N, H, W]`` has one player, four boxes and four goals."""
    counts = ((PLAYER, 1), (BOX, BOXES), (GOAL, BOXES))
    return np.logical_and.reduce([(levels == code).sum((1, 2)) == count for code, count in counts])


def solved(levels: NDArray[np.integer], limit: int = LIMIT) -> NDArray[np.bool_]:
    """Whether each level ``[N, H, W]`` has the right counts and is won by a search that opens so many states."""
    won = counts_right(levels)
    for place in np.flatnonzero(won):
        won[place] = search(levels[place], limit)[0] is True
    return won


def won(levels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """`solved` with a limit that suits a training, which asks of many levels that cannot be won."""
    return solved(levels, 2000)


def search(level: NDArray[np.integer], limit: int = LIMIT) -> tuple[bool | None, int]:
    """Look for pushes that bring all boxes to goals.

    Args:
        level: Codes ``[H, W]`` with the right counts; what is none of the five codes is a wall.
        limit: States that are opened at most.

    Returns:
        True if the level can be won, False if it cannot, None if the limit came first; and the states opened.
    """
    stride = level.shape[1] + 1
    board = np.full((level.shape[0] + 2, stride), WALL, np.uint8)
    board[1:-1, :-1] = level
    text = board.tobytes()
    boxes, goals, player = (int(text.translate(table), 2) for table in (_BOX, _GOAL, _PLAYER))
    floor = reach(player, int(text.translate(_OPEN), 2), stride)
    if (boxes | goals) & ~floor:
        return False, 0
    distances = [_distances(goal, floor, stride) for goal in _bits(goals)]
    live = sum(set().union(*distances))
    cost = _cost(distances)
    if boxes & ~live or cost(boxes) >= NEVER:
        return False, 0
    outside = (1 << board.size) - 1
    is_lost = _lost(outside ^ floor, outside ^ live, outside ^ goals, stride)

    queues: list[deque[tuple[int, int]]] = [deque() for _ in range(cost(boxes) + 1)]
    queues[-1].append((boxes, player))
    seen: set[tuple[int, int]] = set()
    while (boxes_and_player := _cheapest(queues)) is not None:
        boxes, player = boxes_and_player
        region = reach(player, floor ^ boxes, stride)
        if (boxes, region) in seen:
            continue
        if len(seen) == limit:
            return None, limit
        seen.add((boxes, region))
        for box, target in _pushes(boxes, region, live ^ boxes, stride):
            pushed = boxes ^ box ^ target
            if is_lost(pushed) or (pushes := cost(pushed)) >= NEVER:
                continue
            if pushes == 0:
                return True, len(seen)
            while pushes >= len(queues):
                queues.append(deque())
            queues[pushes].append((pushed, box))
    return False, len(seen)


def _cheapest(queues: Sequence[deque[tuple[int, int]]]) -> tuple[int, int] | None:
    return next((queue.popleft() for queue in queues if queue), None)


def reach(start: int, free: int, stride: int) -> int:
    """The squares that are connected with ``start`` by free ones."""
    while True:
        region = (start | start << 1 | start >> 1 | start << stride | start >> stride) & free
        if region == start:
            return region
        start = region


def _bits(squares: int) -> Iterator[int]:
    while squares:
        square = squares & -squares
        yield square
        squares ^= square


def _distances(goal: int, floor: int, stride: int) -> dict[int, int]:
    """The pushes that bring a lone box from each square to a goal, found by pulls; other squares are absent."""
    # A box comes from ``square`` to its neighbour on one side if there is floor for the player on the other.
    sides = [floor & floor << 1, floor & floor >> 1, floor & floor << stride, floor & floor >> stride]
    distances: dict[int, int] = {}
    front, known, pushes = goal, goal, 0
    while front:
        distances |= dict.fromkeys(_bits(front), pushes)
        from_left, from_right, from_below, from_above = sides
        front = (
            (front >> 1) & from_left
            | (front << 1) & from_right
            | (front >> stride) & from_below
            | (front << stride) & from_above
        )
        front &= ~known
        known |= front
        pushes += 1
    return distances


def _pushes(boxes: int, region: int, ok: int, stride: int) -> list[tuple[int, int]]:
    """Each push from a region of the player onto squares that are ok: where the box is, and where it comes to."""
    pushes = []
    for step in (1, stride):
        up = boxes & region << step & ok >> step
        while up:
            box = up & -up
            up ^= box
            pushes.append((box, box << step))
        down = boxes & region >> step & ok << step
        while down:
            box = down & -down
            down ^= box
            pushes.append((box, box >> step))
    return pushes


def _lost(walls: int, dead: int, loose: int, stride: int) -> Callable[[int], bool]:
    """The test whether boxes are frozen where one is on no goal.

    A box is frozen if it cannot move in either direction: there is a wall or another frozen box on one of its sides, or
    both sides are squares from which no goal can be reached. This is the largest set of boxes that freeze each other.

    Args:
        walls: Squares that are no floor.
        dead: Squares from which no goal can be reached, walls too.
        loose: Squares that are no goals.
        stride: The distance of two rows.

    Returns:
        Boxes -> whether they are lost.
    """
    dead_columns, dead_rows = dead << 1 & dead >> 1, dead << stride & dead >> stride

    def is_lost(boxes: int) -> bool:
        frozen = boxes
        while True:
            fixed = walls | frozen
            still = frozen & (fixed << 1 | fixed >> 1 | dead_columns) & (fixed << stride | fixed >> stride | dead_rows)
            if still == frozen:
                return frozen & loose != 0
            frozen = still

    return is_lost


def _cost(distances: Sequence[Mapping[int, int]]) -> Callable[[int], int]:
    """The fewest pushes that bring four boxes to the four goals, one each; `NEVER` or more if there are none."""
    of_square = {square: [goal.get(square, NEVER) for goal in distances] for square in set().union(*distances)}
    of_pair: dict[int, list[int]] = {}

    def pair(boxes: int) -> list[int]:
        """Of two boxes, by pairs of goals."""
        if boxes not in of_pair:
            first, second = (of_square[box] for box in _bits(boxes))
            of_pair[boxes] = [min(first[a] + second[b], first[b] + second[a]) for a, b in _PAIRS]
        return of_pair[boxes]

    def cost(boxes: int) -> int:
        others = boxes & boxes - 1
        others &= others - 1
        return min(map(add, pair(boxes ^ others), reversed(pair(others))))

    return cost
