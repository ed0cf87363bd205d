"""Isolation for every test: its own caches, no network, one thread."""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before any library reads them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="bgan-tests-")
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from bgan_discrete.metrics.classifier import train_classifier  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _classifiers_are_trained_once() -> Iterator[None]:
    """An evaluation trains a classifier on the training images, for seconds, and always the same one of the same."""
    known: dict[bytes, Any] = {}

    def remembered(codes: Any, labels: Any, *given: Any, **options: Any) -> Any:
        key = hashlib.sha256(repr((codes.shape, codes.dtype, labels.dtype, given, sorted(options.items()))).encode())
        key.update(np.ascontiguousarray(codes).tobytes() + np.ascontiguousarray(labels).tobytes())
        if key.digest() not in known:
            known[key.digest()] = train_classifier(codes, labels, *given, **options)
        return known[key.digest()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bgan_discrete.metrics.images.train_classifier", remembered)
        yield


@pytest.fixture
def float64() -> Iterator[None]:
    """New tensors of floating point are in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BGAN_DISCRETE_CACHE", str(tmp_path / "bgan-cache"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-golden",
        action="store_true",
        help="write tests/training/golden/*.json anew rather than compare with them",
    )
