"""Sokoban levels of the laboratory: their counts, and the search against one that moves the player step by step."""

import importlib
from typing import Any

import numpy as np
import pytest

sokoban: Any = importlib.import_module("experiments.sokoban")

SIGNS = " #$.@"

EASY = """
    ##########
    #@       #
    # $ $ $ $#
    #        #
    # . . . .#
    ##########
"""
IN_A_CORNER = """
    ######
    #$ . #
    # $ @#
    #$ $ #
    # ...#
    ######
"""
FROZEN_WALL = """
    #########
    #  $$   #
    # $ $ @ #
    # .. .. #
    #########
"""
ONE_GOAL_FOR_TWO = """
    #########
    #.#  @  #
    # #$    #
    # #$    #
    # # $$  #
    # #  .  #
    # #  .. #
    #########
"""
CLOSED_IN = """
    ##########
    #@#  $$$$#
    ###      #
    #   .... #
    ##########
"""
NEEDS_AN_ORDER = """
    ########
    #..$@###
    #..$ ###
    ## $ $ #
    ##     #
    ########
"""


def drawn(text: str) -> np.ndarray:
    """A level drawn by signs, cut where the drawing begins."""
    lines = [line.strip("\n")[4:] for line in text.split("\n") if line.strip()]
    width = max(map(len, lines))
    return np.array([[SIGNS.index(sign) for sign in line.ljust(width)] for line in lines], np.uint8)


def random_level(rng: np.random.Generator) -> np.ndarray:
    """4 x 5 squares with few walls, or none of them around."""
    level = np.zeros(20, np.uint8)
    places = rng.permutation(20)
    level[places[:9]] = [4, 2, 2, 2, 2, 3, 3, 3, 3]
    level[places[9 : 9 + rng.integers(0, 4)]] = 1
    return level.reshape(4, 5)


def can_be_won(level: np.ndarray) -> bool:
    """By all moves of the player, one square each."""
    cells = {(int(row), int(column)) for row, column in np.argwhere(level != 1)}
    boxes, goals = (frozenset(map(tuple, np.argwhere(level == code).tolist())) for code in (2, 3))
    start = (tuple(np.argwhere(level == 4)[0].tolist()), boxes)
    seen, waiting = {start}, [start]
    while waiting:
        (row, column), boxes = waiting.pop()
        if boxes == goals:
            return True
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            there, behind = (row + down, column + right), (row + 2 * down, column + 2 * right)
            if there not in cells or (there in boxes and (behind not in cells or behind in boxes)):
                continue
            state = there, boxes - {there} | {behind} if there in boxes else boxes
            if state not in seen:
                seen.add(state)
                waiting.append(state)
    return False


@pytest.mark.parametrize("text", [EASY, NEEDS_AN_ORDER])
def test_levels_that_can_be_won(text: str) -> None:
    level = drawn(text)
    won, opened = sokoban.search(level)
    assert won and 0 < opened < 200
    assert sokoban.search(level, opened)[0] and sokoban.search(level, opened - 1) == (None, opened - 1)
    turned = np.stack([np.rot90(level, 2), level[::-1, ::-1]])
    assert sokoban.solved(turned).all() and sokoban.solved(level[None].astype(np.int64)).all()
    assert sokoban.search(level.T)[0]


@pytest.mark.parametrize("text", [IN_A_CORNER, FROZEN_WALL, ONE_GOAL_FOR_TWO, CLOSED_IN])
def test_levels_that_cannot(text: str) -> None:
    won, opened = sokoban.search(drawn(text))
    assert won is False and opened <= 1  # seen at once
    assert not can_be_won(drawn(text))


def test_the_search_finds_what_all_moves_find() -> None:
    rng = np.random.default_rng(3)
    levels = [random_level(rng) for _ in range(80)]
    expected = [can_be_won(level) for level in levels]
    assert sum(expected) >= 3
    assert [sokoban.search(level)[0] for level in levels] == expected
    assert sokoban.solved(np.stack(levels)).tolist() == expected


def test_the_pushes_of_a_lone_box() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        is_floor = np.pad(rng.random((4, 5)) < 0.8, 1)
        goal = tuple(rng.permutation(np.argwhere(is_floor))[0].tolist())
        expected, front = {goal: 0}, [goal]
        for row, column in front:  # it grows
            for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                before, player = (row - down, column - right), (row - 2 * down, column - 2 * right)
                if before not in expected and is_floor[before] and is_floor[player]:
                    expected[before] = expected[row, column] + 1
                    front.append(before)
        square = {(row, column): 1 << 7 * row + column for row in range(6) for column in range(7)}
        floor = sum(square[row, column] for row, column in np.argwhere(is_floor).tolist())
        assert sokoban._distances(square[goal], floor, 7) == {
            square[place]: pushes for place, pushes in expected.items()
        }


def test_levels_need_the_right_counts() -> None:
    level = drawn(EASY)
    wrong = [level.copy() for _ in range(4)]
    wrong[1][1, 3] = sokoban.PLAYER
    wrong[2][2, 2] = sokoban.FLOOR
    wrong[3][1, 3] = sokoban.GOAL
    assert sokoban.counts_right(np.stack(wrong)).tolist() == [True, False, False, False]
    assert sokoban.solved(np.stack(wrong)).tolist() == [True, False, False, False]
    assert sokoban.solved(np.stack(wrong)[:0]).shape == (0,)
