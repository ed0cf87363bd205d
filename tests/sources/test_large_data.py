"""Memory does not grow with the rows of a data set, beyond a few bytes for each."""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import ran

from bgan_discrete import Trainer
from bgan_discrete.codecs import CodecOptions, TextCodecOptions
from bgan_discrete.config import TrainingConfig
from bgan_discrete.nn import MLPDiscriminator, MLPGenerator
from bgan_discrete.sources import code_store, describe, load_images, load_text, storage
from bgan_discrete.space import SampleSpace

ROOT = Path(__file__).resolve().parents[2]
BYTES_PER_ROW = 80
"""Hashes, their order, the permutation of an epoch: ten numbers of eight bytes at the most."""


def peak_of(call: Callable[[], Any]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(autouse=True)
def _everything_goes_to_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MAPPED_BYTES", 0)
    monkeypatch.setattr(code_store.CodeStore.__init__, "__defaults__", (0,))


def train(codes: Any, num_categories: int) -> None:
    parts = (
        MLPGenerator(SampleSpace(codes.shape[1:], num_categories), 2, 4, 1),
        MLPDiscriminator(SampleSpace(codes.shape[1:], num_categories), 4, 1),
    )
    config = TrainingConfig(batch_size=4, num_draws=2, max_steps=2, penalty="none", device="cpu", threads=1)
    Trainer(*parts, codes, config).train(progress=False)


def test_images_cost_a_few_bytes_each(tmp_path: Path) -> None:
    def use(count: int) -> None:
        path = tmp_path / f"{count}.npz"
        images = np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)
        np.savez(path, images=images, labels=np.arange(count) % 10)
        del images
        tracemalloc.reset_peak()
        data = load_images(path, codec=CodecOptions(num_categories=16))
        assert isinstance(data.codes, np.memmap)
        describe(data)
        train(data.codes, 16)

    few, many = (peak_of(lambda count=count: use(count)) for count in (2000, 10_000))  # type: ignore[misc]
    assert (many - few) / 8000 < BYTES_PER_ROW


def test_lines_cost_a_few_bytes_each(tmp_path: Path) -> None:
    def use(count: int) -> None:
        path = tmp_path / f"{count}.txt"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"line {number % 1000} of {number}\n" for number in range(count))
        tracemalloc.reset_peak()
        data = load_text(path, codec=TextCodecOptions(length=40))
        assert isinstance(data.codes, np.memmap)
        assert f"{len(data.codes):,} to train on" in describe(data)
        train(data.codes, data.num_categories)

    few, many = (peak_of(lambda count=count: use(count)) for count in (2000, 10_000))  # type: ignore[misc]
    assert (many - few) / 8000 < BYTES_PER_ROW


def test_rows_in_memory_are_there_once() -> None:
    rows = np.ones((1000, 64), np.uint8)

    def fill() -> None:
        store = code_store.CodeStore(64, rows.dtype, 10**9)
        for _ in range(100):
            store.add(rows)
        assert store.finish().shape == (100_000, 64)

    assert peak_of(fill) < 1.3 * 100 * rows.nbytes


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="only Linux has smaps_rollup")
def test_the_trial_runs_and_reports(tmp_path: Path) -> None:
    arguments = ["--images", "200", "--lines", "1000", "--side", "8", "--in-memory-mib", "0", "--kind", "text"]
    done = ran("trials/large_data", "--folder", str(tmp_path), *arguments, cwd=tmp_path)
    first, second, grown = done.stdout.splitlines()
    assert "100 rows" in first and "in a file" in first
    assert "1,000 rows" in second and "peak RSS" in second
    assert grown.endswith("bytes of private memory for each further row")
    assert list(tmp_path.iterdir()) == []
