"""The kind of data, models and runs, by what they are called and hold."""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from bgan_discrete.config import CONFIGS
from bgan_discrete.errors import InputError
from bgan_discrete.kinds.finding import kind_of_dataset, kind_of_model, kind_of_run, kinds_with
from bgan_discrete.sources import load_array, load_images, load_text

SENTENCE = "A sentence of text, which is longer than the name of any category."


def parquet(path: Path, **columns: Any) -> None:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    np.save(folder / "grey.npy", rng.integers(0, 256, (40, 8, 9), dtype=np.uint8))
    np.save(folder / "rgb.npy", rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8))
    np.save(folder / "planes.npy", rng.integers(0, 3, (40, 7, 9), dtype=np.uint8))
    np.save(folder / "codes.npy", rng.integers(0, 3, (40, 5)))
    np.savez(folder / "pictures.npz", x_train=rng.integers(0, 256, (40, 8, 8), dtype=np.uint8))
    np.savez(folder / "codes.npz", codes=rng.integers(0, 3, (40, 8), dtype=np.uint8))
    (folder / "lines.txt").write_text("".join(f"line {n} of {n % 7}\n" for n in range(60)), encoding="utf-8")
    (folder / "notes").write_text("caf\u00e9 " * 5000, encoding="utf-8")
    (folder / "rows.csv").write_text("a,b\n" + "".join(f"{n % 3},{n % 2}\n" for n in range(60)), encoding="utf-8")
    parquet(folder / "rows.parquet", a=[1, 2, 3] * 20, b=["x", "y"] * 30)
    parquet(folder / "words.parquet", a=["x", "y", "z"] * 20)
    parquet(folder / "texts.parquet", text=[f"{SENTENCE} {n}" for n in range(60)])
    data = datasets.load_dataset("parquet", data_files=str(Path("data/digits/test.parquet").resolve()), split="train")
    (folder / "pictures").mkdir()
    for number, row in enumerate(data.select(range(40))):
        row["image"].save(folder / "pictures" / f"{number}.png")
    data.to_parquet(folder / "pictures.parquet")
    return folder


KINDS = {
    "images": ("grey.npy", "rgb.npy", "pictures.npz", "pictures", "pictures.parquet"),
    "text": ("lines.txt", "notes", "texts.parquet"),
    "arrays": ("planes.npy", "codes.npy", "codes.npz", "rows.csv", "rows.parquet", "words.parquet"),
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in KINDS.items() for name in names])
def test_the_kind_that_is_found_can_be_loaded(place: Path, kind: str, name: str) -> None:
    assert kind_of_dataset(str(place / name)) == kind
    load: Any = {"images": load_images, "text": load_text, "arrays": load_array}[kind]
    assert len(load(str(place / name)).codes) > 0 if name != "notes" else True


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_default_data_of_a_kind_are_of_it(kind: str) -> None:
    assert kind_of_dataset(CONFIGS[kind]().to_flat()["dataset"]) == kind


def test_options_decide_between_kinds_that_could_read_the_data(place: Path) -> None:
    assert kind_of_dataset(str(place / "rows.csv"), ("dataset", "tokenizer")) == "text"
    assert kind_of_dataset(str(place / "grey.npy"), ("dataset", "bins")) == "arrays"
    assert kind_of_dataset("owner/name", ("codec",)) == "images", "without a look at the Hub"
    assert kind_of_dataset(str(place / "grey.npy"), ("dataset", "tokenizer")) == "images"
    assert kinds_with(("codec", "tokenizer")) == []


@pytest.mark.parametrize(
    ("features", "kind"),
    [
        ({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a"])}, "images"),
        ({"text": datasets.Value("string"), "stars": datasets.Value("int64")}, "text"),
    ],
)
def test_data_of_the_hub_are_known_by_their_features(
    features: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Builder:
        def __init__(self, name: str, revision: str | None) -> None:
            asked.append((name, revision))
            self.info = datasets.DatasetInfo(features=datasets.Features(features))

    monkeypatch.setattr(datasets, "load_dataset_builder", Builder)
    assert kind_of_dataset("owner/name@v1") == kind
    assert asked == [("owner/name", "v1")]
    features.clear()
    with pytest.raises(InputError, match=r"'owner/name' may be images, text or arrays: .*give its kind \(--kind\)"):
        kind_of_dataset("owner/name")


def test_what_is_in_doubt_names_what_was_seen(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    for number, suffix in enumerate((".xyz", ".xyz", ".txt")):
        (tmp_path / "mixed" / f"{number}{suffix}").write_text("x")
    (tmp_path / "b.bin").write_bytes(b"\0\1")
    (tmp_path / "b.npy").write_bytes(b"no array")
    (tmp_path / "b.npz").write_bytes(b"no archive")
    (tmp_path / "b.parquet").write_bytes(b"no table")
    for name, words in {
        "empty": "no files; give its kind", "mixed": "the files 2 .xyz, 1 .txt; give its kind",
        "b.bin": "bytes that are no text, in a file .bin; give its kind", "b.npy": "cannot be read",
        "b.npz": "cannot be read", "b.parquet": "cannot be read", "no.csv": "is neither embedded",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=words) as caught:
            kind_of_dataset(str(tmp_path / name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_kind_of_a_run_is_that_of_its_options(kind: str, tmp_path: Path) -> None:
    CONFIGS[kind]().save(tmp_path / "config.yaml")
    assert kind_of_run(tmp_path) == kind


def test_the_kind_of_a_model_is_that_of_its_codec(place: Path, tmp_path: Path) -> None:
    for kind, data in {
        "images": load_images(str(place / "grey.npy")), "text": load_text(str(place / "lines.txt")),
        "arrays": load_array(str(place / "rows.csv")),
    }.items():  # fmt: skip
        data.codec.save(tmp_path / "codec.json")
        assert kind_of_model(str(tmp_path)) == kind
    with pytest.raises(InputError, match="is not a folder that exists"):
        kind_of_model(str(tmp_path / "no" / "such" / "model"))
