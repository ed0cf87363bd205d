"""The embedded data set: what it holds, where it comes from, and that its program makes it again."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bgan_discrete.sources import load_images

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Levels 0 .. 16 and labels of both splits, as ``datasets`` opens them."""
    import datasets

    cache = str(tmp_path_factory.mktemp("datasets"))
    loaded = datasets.load_dataset(str(ROOT / "data" / "digits"), cache_dir=cache)
    found = {}
    for name, split in loaded.items():
        pixels = np.stack([np.asarray(image) for image in split[:]["image"]])
        assert pixels.dtype == np.uint8
        levels = np.rint(pixels * (16 / 255)).astype(np.int64)
        assert np.array_equal(np.rint(levels * (255 / 16)), pixels), "pixels are exact levels"
        found[name] = levels, np.array(split[:]["label"])
    return found


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_digits", ROOT / "data" / "make_digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_it_holds(splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    (train, train_labels), (test, test_labels) = splits["train"], splits["test"]
    assert train.shape == (1297, 8, 8)
    assert test.shape == (500, 8, 8)
    assert np.unique(np.concatenate([train, test])).tolist() == list(range(17))
    assert np.bincount(test_labels).tolist() == [50] * 10
    assert set(train_labels.tolist()) == set(range(10))


def test_it_is_the_copy_of_scikit_learn(splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    bunch = pytest.importorskip("sklearn.datasets").load_digits()

    def rows(images: np.ndarray, labels: np.ndarray) -> list[list[int]]:
        return sorted(np.column_stack([images.reshape(-1, 64), labels]).astype(int).tolist())

    images = np.concatenate([splits["train"][0], splits["test"][0]])
    labels = np.concatenate([splits["train"][1], splits["test"][1]])
    assert rows(images, labels) == rows(bunch.images, bunch.target)


def test_the_program_makes_the_same_rows(splits: dict[str, tuple[np.ndarray, np.ndarray]], program: ModuleType) -> None:
    pytest.importorskip("sklearn")
    for name, made in program.make_splits().items():
        pixels = np.stack([np.asarray(image) for image in made[:]["image"]])
        assert np.array_equal(np.rint(pixels * (16 / 255)), splits[name][0])
        assert made[:]["label"] == splits[name][1].tolist()


def test_as_codes_they_are_the_levels(splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    data = load_images("digits")
    assert (data.name, data.num_categories, data.event_shape) == ("digits", 17, (8, 8))
    assert data.heldout_source == "split 'test'"
    assert data.class_names == tuple("0123456789")
    assert data.labels is not None
    assert np.array_equal(data.codes, splits["train"][0])
    assert np.array_equal(data.labels, splits["train"][1])
    assert np.array_equal(data.heldout_codes, splits["test"][0])


def test_the_card_tells_the_counts() -> None:
    card = (ROOT / "data" / "digits" / "README.md").read_text(encoding="utf-8")
    for words in ("| `train` | 1,297 |", "| `test` | 500 |", "license: cc-by-4.0"):
        assert words in card
