"""Large tables that a program makes: the rows follow the tree, and a seed gives the same ones."""

from pathlib import Path

import numpy as np
from benchmarks.large_tables import Table, Tree, write_rows


def test_rows_follow_the_tree_and_repeat(tmp_path: Path) -> None:
    tree = Tree(Table(1000, 4, (2, 5), first=1500), np.random.default_rng(1))
    assert tree.sizes[0] == 1500
    rows = tree.rows(200_000, np.random.default_rng(2))
    assert (rows >= 0).all() and (rows < tree.sizes).all()
    for place in range(1, 4):
        parent = tree.parents[place]
        groups = tree.groups[parent][rows[:, parent]]
        for group in range(3):
            found = rows[groups == group, place]
            expected = np.diff(tree.ends[place][group], prepend=0)
            shares = np.bincount(found, minlength=tree.sizes[place]) / len(found)
            assert np.abs(shares - expected).max() < 5 * (0.25 / len(found)) ** 0.5
    for name in "ab":
        write_rows(tmp_path / name, tree, 30, np.random.default_rng(3))
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    assert len((tmp_path / "a").read_text().splitlines()) == 31
