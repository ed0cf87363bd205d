"""Data sets of every kind -> codes: equal whatever the way, cached, and refused in one line that names the fault."""

import io
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from refusals import refusal

from bgan_discrete.codecs import CodecOptions, LevelsCodec, PaletteCodec
from bgan_discrete.errors import InputError
from bgan_discrete.sources import ImageData, cache, dataset_rows, describe, load_images, storage
from bgan_discrete.sources import images as loading

EXACT = CodecOptions(num_categories=256)
"""Codes are the pixels."""

SIXTEEN = CodecOptions(num_categories=16)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


GREY, RGB = noise(12, 8, 10), noise(12, 8, 10, 3)
LABELS = np.arange(12) % 3


def png(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def structs(images: Any) -> list[dict[str, Any]]:
    return [{"bytes": image if isinstance(image, bytes) else png(image), "path": None} for image in images]


def write_parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def write_annotated(path: Path, images: np.ndarray, labels: Any = LABELS) -> Path:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})
    columns = {"image": structs(images), "label": np.asarray(labels).tolist()}
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
    return path


def write_folder(root: Path, images: np.ndarray, labels: np.ndarray, suffix: str = "png") -> Path:
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = root / "abc"[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{row:03d}.{suffix}")
    return root


def all_pixels(data: ImageData) -> list[bytes]:
    return sorted(image.tobytes() for part in (data.codes, data.heldout_codes) for image in data.codec.decode(part))


def pixels_of(image: Any, folder: Path, color: str = "auto") -> np.ndarray:
    """One image as it is decoded."""
    encoded = image if isinstance(image, bytes) else png(image)
    for split in ("train", "test"):
        write_parquet(folder / "one" / f"{split}.parquet", image=structs([encoded] * 2))
    data = load_images(folder / "one", color=color, codec=EXACT)
    return data.codec.decode(data.codes)[0]


# --- the ways in ---


@pytest.mark.parametrize("images", [GREY, RGB], ids=["grey", "rgb"])
def test_every_way_gives_the_same_codes(images: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "a.npz", images=images, labels=LABELS)
    write_annotated(tmp_path / "a.parquet", images)
    write_parquet(tmp_path / "plain" / "train.parquet", image=structs(images), label=LABELS)
    write_parquet(tmp_path / "lists.parquet", pixels=images.tolist(), label=LABELS)
    ways: list[Any] = [images, *(tmp_path / name for name in ("a.npy", "a.npz", "a.parquet", "plain", "lists.parquet"))]
    expected = load_images(images, codec=EXACT, seed=5)
    assert sorted(image.tobytes() for image in images) == all_pixels(expected)
    for way in ways[1:]:
        data = load_images(way, codec=EXACT, seed=5)
        assert np.array_equal(data.codes, expected.codes), way
        assert np.array_equal(data.heldout_codes, expected.heldout_codes), way
        assert data.codes.dtype == np.uint8
        if way.suffix != ".npy":
            assert data.labels is not None
            assert data.labels.dtype == np.int64
            assert sorted([*data.labels, *(data.heldout_labels if data.heldout_labels is not None else [])]) == sorted(
                LABELS
            )


def test_a_folder_of_images_gives_the_same_images_in_the_order_of_its_names(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", GREY, LABELS)
    data = load_images(tmp_path / "photos", codec=EXACT)
    order = np.argsort(LABELS, kind="stable")
    expected = load_images(GREY[order], codec=EXACT)
    assert np.array_equal(data.codes, expected.codes)
    assert data.class_names == ("a", "b", "c")
    assert data.labels is not None
    for image, label in zip(data.codes, data.labels, strict=True):
        assert LABELS[(image == GREY).all((1, 2))] == [label]


def test_splits_of_folders(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos" / "train", GREY[:8], LABELS[:8])
    write_folder(tmp_path / "photos" / "test", GREY[8:], LABELS[8:])
    write_annotated(tmp_path / "files" / "train-00000-of-00001.parquet", GREY[:8], LABELS[:8])
    write_annotated(tmp_path / "files" / "test-00000-of-00001.parquet", GREY[8:], LABELS[8:])
    for name in ("photos", "files"):
        data = load_images(tmp_path / name, codec=EXACT)
        assert (len(data.codes), len(data.heldout_codes)) == (8, 4)
        assert data.heldout_source == "split 'test'"
        assert {image.tobytes() for image in data.heldout_codes} == {image.tobytes() for image in GREY[8:]}
        other_way = load_images(tmp_path / name, codec=EXACT, split="test")
        assert other_way.heldout_source == "1 rows held out of split 'test' by --holdout 0.1"
    assert "split 'dev' is not in" in refusal(lambda: load_images(tmp_path / "files", split="dev"))
    assert "which has: train, test" in refusal(lambda: load_images(tmp_path / "files", split="dev"))
    assert "which has: train" in refusal(lambda: load_images(GREY, split="test"))


def test_validation_is_held_out_where_there_is_no_test(tmp_path: Path) -> None:
    write_annotated(tmp_path / "d" / "train.parquet", GREY[:8], LABELS[:8])
    write_annotated(tmp_path / "d" / "validation.parquet", GREY[8:], LABELS[8:])
    assert load_images(tmp_path / "d").heldout_source == "split 'validation'"


def test_npz_with_a_test_part(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=GREY[:8], y_train=LABELS[:8], x_test=GREY[8:], y_test=LABELS[8:])
    data = load_images(path, codec=EXACT)
    assert np.array_equal(data.codes, GREY[:8])
    assert np.array_equal(data.heldout_codes, GREY[8:])
    assert data.heldout_labels is not None
    assert data.heldout_labels.tolist() == LABELS[8:].tolist()
    assert data.heldout_source == "split 'test'"


def test_npz_keys_can_be_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pictures=GREY, kinds=LABELS[:, None])
    data = load_images(tmp_path / "a.npz", column="pictures", label_column="kinds")
    assert data.labels is not None
    keys = "which has the keys: pictures, kinds"
    assert keys in refusal(lambda: load_images(tmp_path / "a.npz"))
    assert keys in refusal(lambda: load_images(tmp_path / "a.npz", column="x"))
    assert keys in refusal(lambda: load_images(tmp_path / "a.npz", column="pictures", label_column="y"))


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "two.parquet", left=structs(GREY), right=structs(RGB), kind=LABELS, name=list("abcdefghijkl")
    )
    assert load_images(path, column="left").labels is None
    data = load_images(path, column="right", label_column="kind")
    assert data.labels is not None
    assert data.event_shape == (3, 8, 10)
    text = refusal(lambda: load_images(path))
    assert "column must be given" in text
    assert "several columns hold images (left, right)" in text
    assert "its columns are: left, right, kind, name" in text
    assert "column 'middle' is not in" in refusal(lambda: load_images(path, column="middle"))
    assert "label_column 'sort' is not in" in refusal(lambda: load_images(path, column="left", label_column="sort"))
    words = load_images(path, column="left", label_column="name")
    assert words.class_names == tuple("abcdefghijkl"), "words are classes where they are asked for"
    assert (
        "3 of 4 columns of the data set are left out ('left', 'kind', 'name'): the images are 'right', the labels None"
        in str(load_images(path, column="right").notes)
    )
    assert "no column holds images; its columns are: kind" in refusal(
        lambda: load_images(write_parquet(tmp_path / "none.parquet", kind=LABELS))
    )


def test_array_features_are_images(tmp_path: Path) -> None:
    features = datasets.Features({"pixels": datasets.Array2D((8, 10), "uint8"), "kind": datasets.Value("int64")})
    table = datasets.Dataset.from_dict({"pixels": list(GREY), "kind": LABELS.tolist()}, features=features)
    table.to_parquet(tmp_path / "a.parquet")
    data = load_images(tmp_path / "a.parquet", codec=EXACT)
    assert np.array_equal(data.codes, load_images(GREY, codec=EXACT).codes)


def test_missing_labels(tmp_path: Path) -> None:
    write_annotated(tmp_path / "a" / "train.parquet", GREY[:8], LABELS[:8])
    write_annotated(tmp_path / "a" / "test.parquet", GREY[8:], [-1] * 4)
    data = load_images(tmp_path / "a")
    assert data.labels is not None
    assert data.heldout_labels is None, "-1 stands for no label"
    path = write_parquet(tmp_path / "b.parquet", image=structs(GREY), label=[*range(11), None])
    data = load_images(path)
    fault = "must not be missing, got no value in row 11"
    assert data.labels is None and f"labels are left aside: they {fault} (split 'train' of the data set)" in data.notes
    assert f"b.parquet {fault}" in refusal(lambda: load_images(path, label_column="label"))


# --- refused data sets ---


@pytest.mark.parametrize(
    "name", ["./no/such", "/no/such", "~/no-such-folder", "no/such/folder", "none.parquet", "x.npz"]
)
def test_missing_paths_are_refused_without_the_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_hub", lambda name, revision=None: pytest.fail("tried the network"))
    assert f"dataset {name!r} does not exist" in refusal(lambda: load_images(name))


@pytest.mark.parametrize("name", ["digts", "nobody/nothing", "csv", "what is this"])
def test_unknown_names_are_refused_quickly(name: str) -> None:
    began = time.monotonic()
    text = refusal(lambda: load_images(name))
    assert f"{name!r} is neither 'digits', nor an existing path, nor a Hub data set that could be reached" in text
    assert time.monotonic() - began < 5


def test_an_unreachable_hub_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    def unreachable(self: Any, name: str, revision: str | None, timeout: float) -> None:
        asked.append(timeout)
        raise ConnectionError("no\nroute")

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    assert refusal(lambda: load_images("owner/name")).endswith("could be reached: no route")
    assert asked == [dataset_rows.HUB_TIMEOUT_SECONDS]


def test_a_hub_data_set_is_cached_by_its_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_annotated(tmp_path / "d" / "train.parquet", GREY)
    loaded = datasets.load_dataset(str(tmp_path / "d"), cache_dir=str(tmp_path / "hf"))
    monkeypatch.setattr(loading, "load_hub", lambda name, revision=None: dataset_rows.HubSplits(loaded))
    fresh, again = (load_images("owner/name", codec=EXACT) for _ in range(2))
    assert (fresh.from_cache, again.from_cache) == (False, True)
    assert fresh.name == "owner/name"
    assert np.array_equal(fresh.codes, load_images(GREY, codec=EXACT).codes)
    monkeypatch.setattr(
        loading, "load_hub", lambda name, revision=None: dataset_rows.HubSplits(train=loaded["train"].select(range(6)))
    )
    assert not load_images("owner/name", codec=EXACT).from_cache


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "a.npy").write_bytes(b"text")
    (tmp_path / "a.npz").write_bytes(b"text")
    (tmp_path / "a.parquet").write_bytes(b"text")
    (tmp_path / "empty").mkdir()
    assert "must be a .parquet, .npy, .npz file or a folder" in refusal(lambda: load_images(tmp_path / "a.txt"))
    assert "cannot be read as a NumPy file" in refusal(lambda: load_images(tmp_path / "a.npy"))
    assert "cannot be read as a NumPy file" in refusal(lambda: load_images(tmp_path / "a.npz"))
    assert "cannot be opened" in refusal(lambda: load_images(tmp_path / "a.parquet"))
    assert "cannot be opened" in refusal(lambda: load_images(tmp_path / "empty"))
    assert "must be a name, a path or a NumPy array, got int" in refusal(lambda: load_images(3))  # type: ignore[arg-type]
    named = refusal(lambda: load_images("digits", codec="palette"))  # type: ignore[arg-type]
    assert "such as CodecOptions('palette'), got 'palette'" in named


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", images=np.array([{"a": 1}], dtype=object))
    for name in ("a.npy", "a.npz"):
        assert "cannot be" in refusal(lambda name=name: load_images(tmp_path / name))


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=GREY)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[400] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    assert "the array 'images' of" in refusal(lambda: load_images(tmp_path / "a.npz"))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (GREY / 255, "must be uint8, 0 .. 255, got float64; multiply images in [0, 1] by 255"),
        (GREY > 9, 'must be uint8, 0 .. 255, got bool; convert them by .astype("uint8") * 255'),
        (GREY.astype(int), 'got int64; scale them to 0 .. 255, if they are not, and convert by .astype("uint8")'),
        (GREY.astype("u2"), 'got uint16; scale them to 0 .. 255, if they are not, and convert by .astype("uint8")'),
        (np.zeros((3, 2, 2), "M8[s]"), "must be uint8, 0 .. 255, got datetime64[s]"),
        (np.full((3, 2, 2), None), "must be uint8, 0 .. 255, got object"),
        (np.full((), 3, np.uint8), "must be [N, H, W] or [N, H, W, 3], got []"),
        (GREY[0], "must be [N, H, W] or [N, H, W, 3], got [8, 10]"),
        (RGB.transpose(0, 3, 1, 2), "got [12, 3, 8, 10]; transpose to channels last"),
        (GREY[:0], "are empty"),
        (GREY[:1], "must have at least 2 images to train on, got 1"),
        (GREY[:2], "holdout needs at least 3 images, got 2"),
        (np.repeat(GREY[:1], 90, 0), "the 90 of the array are copies of 1"),
        (np.repeat(GREY[:1], 9, 0), "holdout finds no images to hold out: the 9 of the array are copies of 1"),
    ],
)
def test_wrong_arrays_are_refused(images: np.ndarray, words: str) -> None:
    assert words in refusal(lambda: load_images(images))


def test_columns_make_no_sense_for_arrays(tmp_path: Path) -> None:
    assert "column is for data with columns" in refusal(lambda: load_images(GREY, column="x"))
    assert "label_column is for data with columns" in refusal(lambda: load_images(GREY, label_column="y"))
    np.savez(tmp_path / "a.npz", images=GREY, labels=LABELS[:5])
    fault = "must be 12 integers, one for each image, got int64 [5]"
    assert fault in refusal(lambda: load_images(tmp_path / "a.npz", label_column="labels"))
    assert load_images(tmp_path / "a.npz").notes[0] == f"labels are left aside: they {fault}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resize": "8x"}, "resize must be HxW or one number"),
        ({"resize": "0"}, "resize must be HxW or one number"),
        ({"resize": "9999"}, "sides 1 .. 4096, got '9999'"),
        ({"color": "cmyk"}, "color must be one of auto, grey, rgb, got 'cmyk'"),
        ({"limit": 0}, "limit must be an integer of at least 1, got 0"),
        ({"holdout": 0.0}, "holdout must be a share between 0 and 1, exclusive, got 0.0"),
        ({"holdout": 1}, "holdout must be a share between 0 and 1, exclusive, got 1"),
        ({"seed": -1}, "seed must be an integer"),
        ({"split": ""}, "split must be the name of a split"),
        ({"codec": CodecOptions("binary"), "color": "rgb"}, "binary codec takes grey images"),
        ({"codec": LevelsCodec(4), "color": "rgb"}, "color must be grey, as the codec was made for it, got 'rgb'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    assert words in refusal(lambda: load_images(GREY, **options))


def test_a_broken_image_is_named_by_file_and_row(tmp_path: Path) -> None:
    broken = [png(image) for image in GREY]
    broken[5] = broken[5][:-40]
    path = write_parquet(tmp_path / "a.parquet", image=structs(broken))
    text = refusal(lambda: load_images(path))
    assert f"the image in row 5 of split 'train' of {path} cannot be read" in text
    write_folder(tmp_path / "photos", GREY, LABELS * 0)
    (tmp_path / "photos" / "a" / "007.png").write_bytes(b"\x89PNG")
    text = refusal(lambda: load_images(tmp_path / "photos"))
    assert "row 7 of" in text
    assert "007.png" in text
    path = write_parquet(tmp_path / "b.parquet", image=[*structs(GREY[:5]), {"bytes": None, "path": None}])
    assert "row 5" in refusal(lambda: load_images(path))
    assert "it is missing" in refusal(lambda: load_images(path))


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        ([[[0, 256]]] * 4, "its pixels must lie in 0 .. 255, got 0 .. 256"),
        ([[[0.0, 1.0]]] * 4, "its pixels must be integers, 0 .. 255, got float64; multiply"),
        ([[[True, False]]] * 4, 'got bool; convert them by .astype("uint8") * 255'),
        ([[[[0] * 2] * 4] * 4] * 4, "it must have the shape [H, W] or [H, W, 3], got [4, 4, 2]"),
        (["text"] * 4, "it must be an encoded image or an array of integers, got str"),
    ],
)
def test_wrong_pixels_in_columns_are_refused(pixels: list[Any], words: str, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", pixels=pixels)
    text = refusal(lambda: load_images(path, column="pixels"))
    assert words in text
    assert "row 0" in text


def test_different_sizes_need_resize(tmp_path: Path) -> None:
    images = [*GREY[:6], noise(9, 9)]
    path = write_parquet(tmp_path / "a.parquet", image=structs(images))
    text = refusal(lambda: load_images(path))
    assert "got 8x10 in row 0 of" in text
    assert "and 9x9 in row 6 of" in text
    assert "--resize 8x10" in text
    assert load_images(path, resize="4x6").event_shape == (4, 6)
    assert load_images(path, resize="5").event_shape == (5, 5)


# --- pixels ---


def test_shrinking_takes_the_mean_of_areas() -> None:
    data = load_images(GREY, codec=EXACT, resize="4x5")
    mean = GREY.reshape(12, 4, 2, 5, 2).mean((2, 4))
    made = np.array([np.frombuffer(image, np.uint8) for image in all_pixels(data)])
    for image in mean.reshape(12, -1):
        assert np.abs(made - image).max(1).min() <= 1


def test_files_of_other_kinds_among_images_are_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = write_folder(tmp_path / "images", GREY, LABELS)
    for place in (root, root / "a"):
        (place / "README.md").write_text("# Notes\n", encoding="utf-8")
        (place / "notes.txt").write_text("notes\n", encoding="utf-8")
    assert load_images(root, codec=EXACT).class_names == ("a", "b", "c")
    assert capfd.readouterr().err == "", "the Hub's library would complain of a README.md that is no card"


def test_colour_follows_the_first_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    grey_first = write_parquet(tmp_path / "a.parquet", image=structs([*GREY[:4], *RGB[:4]]))
    rgb_first = write_parquet(tmp_path / "b.parquet", image=structs([*RGB[:4], *GREY[:4]]))
    with caplog.at_level(logging.WARNING):
        assert load_images(grey_first).event_shape == (8, 10)
    assert "4 of 8 images" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert load_images(grey_first).from_cache
    assert "4 of 8 images" in caplog.text, "the cache remembers"
    assert "(--color rgb) keeps colours" in caplog.text
    assert load_images(rgb_first).event_shape == (3, 8, 10)
    assert load_images(grey_first, color="rgb").event_shape == (3, 8, 10)
    assert load_images(rgb_first, color="grey").event_shape == (8, 10)
    assert load_images(rgb_first, codec=CodecOptions("binary")).event_shape == (8, 10)
    assert load_images(rgb_first, codec=CodecOptions("palette", 4)).event_shape == (8, 10)


def test_grey_images_in_files_of_colour_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    palettes = [png(Image.fromarray(image).convert("P")) for image in GREY]
    path = write_parquet(tmp_path / "a.parquet", image=structs(palettes))
    for from_cache in (False, True):
        caplog.clear()
        assert load_images(path).from_cache == from_cache
        assert "all images of" in caplog.text and "color 'grey' (--color grey) needs a third" in caplog.text
    caplog.clear()
    assert load_images(path, color="grey").event_shape == (8, 10)
    assert load_images(path, color="rgb").event_shape == (3, 8, 10), "as it was asked for"
    assert load_images(path, codec=CodecOptions("palette", 4)).event_shape == (8, 10), "a colour is one code"
    load_images(RGB)
    load_images(write_parquet(tmp_path / "b.parquet", image=structs([*palettes, RGB[0]])))
    assert "all images of" not in caplog.text


def test_luminance_is_that_of_pillow() -> None:
    expected = sorted(np.asarray(Image.fromarray(image).convert("L")).tobytes() for image in RGB)
    assert all_pixels(load_images(RGB, codec=EXACT, color="grey")) == expected


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, 4:, 3] = 255
    for color in ("grey", "rgb"):
        found = pixels_of(rgba, tmp_path, color)
        assert (found[:, :4] == 255).all()
        assert (found[:, 4:] == 0).all()
    palette = Image.fromarray(np.repeat([[0] * 4 + [1] * 4], 8, 0).astype(np.uint8)).convert("P")
    found = pixels_of(png(palette, transparency=0), tmp_path, "grey")
    assert (found[:, :4] == 255).all()
    la = Image.new("LA", (8, 8), (0, 51))
    assert (pixels_of(png(la), tmp_path) == 204).all()


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    deep = (np.arange(64).reshape(8, 8) * 1040).astype(np.uint16)
    assert np.array_equal(pixels_of(deep, tmp_path), np.rint(deep / 257).astype(np.uint8))
    bitmap = Image.fromarray(deep > 30000)
    assert bitmap.mode == "1"
    assert np.array_equal(pixels_of(png(bitmap), tmp_path), np.where(deep > 30000, 255, 0))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0] = 255
    found = pixels_of(png(pixels, exif=exif), tmp_path)
    assert np.array_equal(found, np.rot90(pixels, -1))


def test_levels_are_found_in_the_training_images() -> None:
    black_and_white = (GREY // 128) * np.uint8(255)
    assert load_images(black_and_white).num_categories == 2
    assert load_images(GREY).num_categories == 16


@pytest.mark.parametrize(
    ("images", "options", "words"),
    [
        (GREY % 2, {"codec": CodecOptions("binary")},
         "from 0 to 1, as 8 bits, and all have the code 0: multiply them by 255, or take the threshold 1 "
         "(in Python, CodecOptions(threshold=1)), or take the codec 'levels' without num_categories"),
        (GREY % 4, {"codec": SIXTEEN}, "from 0 to 3, as 8 bits, and all have the code 0: spread them over 0 .. 255"),
        (GREY % 4 + 252, {"codec": SIXTEEN}, "all have the code 15: spread them over 0 .. 255, or take the codec"),
        (GREY % 33, {"codec": SIXTEEN},
         "from 0 to 32, as 8 bits, and their 33 different values have only 3 of 16 codes: spread them over 0 .. 255"),
        (GREY // 3, {"codec": CodecOptions("binary")}, "to 85, as 8 bits, and all have the code 0: spread them over 0"),
        (RGB % 2, {}, "multiply them by 255, or take the codec 'palette' without num_categories"),
    ],
)  # fmt: skip
def test_different_pixels_of_one_code_are_refused(
    images: np.ndarray, options: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "ROWS_AT_ONCE", 5)
    assert words in refusal(lambda: load_images(images, **options))


def test_a_given_codec_that_gives_one_code_is_not_to_be_changed() -> None:
    assert refusal(lambda: load_images(GREY % 2, codec=LevelsCodec(16))).endswith("code 0: multiply them by 255")
    (note, dark) = load_images(GREY % 33, codec=LevelsCodec(16)).notes
    assert note.startswith("33 different grey values of the data set become 3 (such as 0 and 1 become 0)")
    assert "run from 0 to 32 of 0 .. 255, so that pictures look like one colour" in dark


def test_masks_and_images_of_one_colour_are_taken() -> None:
    threshold = load_images(GREY % 2, codec=CodecOptions("binary", threshold=1))
    assert np.unique(threshold.codes).tolist() == [0, 1]
    assert load_images(RGB % 2, codec=CodecOptions("palette", 8)).num_categories == 8
    black = np.zeros((6, 8, 8), np.uint8)
    black[5] = 3  # held out
    assert np.unique(load_images(black).codes).tolist() == [0]
    reddish = np.zeros((6, 8, 8, 3), np.uint8)
    reddish[..., 0], reddish[5] = 3, 7
    assert np.unique(load_images(reddish).codes).tolist() == [0]


def test_stochastic_codes_of_held_out_rows_go_on_after_the_training_rows() -> None:
    images = np.full((10, 8, 8), 128, np.uint8)
    images[:, 0, 0] = np.arange(10)
    data = load_images(images, codec=CodecOptions("binary", stochastic=True, seed=2))
    pixels = np.full((10, 8, 8), 128, np.uint8)
    whole = CodecOptions("binary", stochastic=True, seed=2).build(1).encode(pixels)
    assert np.array_equal(data.codes[:, 1:], whole[: len(data.codes), 1:])
    assert np.array_equal(data.heldout_codes[:, 1:], whole[len(data.codes) :, 1:])


def test_a_codec_is_fitted_to_the_training_images_alone() -> None:
    images = noise(60, 4, 5) // 128 * np.uint8(255)
    heldout = load_images(images, codec=EXACT).heldout_codes
    rows = [place for place, image in enumerate(images) if any(np.array_equal(image, own) for own in heldout)]
    assert len(rows) == len(heldout) == 6
    # Other pictures in the same rows are held out again.
    images[rows] = noise(6, 4, 5, seed=1) // 2 + 60
    assert load_images(images).num_categories == 2, "that of all of them is 16"
    found = load_images(images, codec=CodecOptions("palette", num_categories=2))
    assert isinstance(found.codec, PaletteCodec) and found.codec.palette is not None
    assert found.codec.palette.ravel().tolist() == [0, 255]
    assert found.heldout_codes.shape == (6, 4, 5)


def test_a_given_codec_is_used_as_it_is() -> None:
    codec = PaletteCodec(3, channels=1).fit(GREY)
    data = load_images(RGB, codec=codec)
    assert data.codec.fingerprint() == codec.fingerprint()
    assert data.event_shape == (8, 10)
    assert load_images(RGB, codec=codec).from_cache


# --- holding out ---


def test_held_out_rows_are_drawn_by_the_seed() -> None:
    images = noise(200, 8, 8)
    data, again, other = (load_images(images, codec=EXACT, seed=seed) for seed in (0, 0, 1))
    assert (len(data.codes), len(data.heldout_codes)) == (180, 20)
    assert np.array_equal(data.heldout_codes, again.heldout_codes)
    assert not np.array_equal(data.heldout_codes, other.heldout_codes)
    assert data.heldout_source == "20 rows held out of split 'train' by --holdout 0.1"
    assert all_pixels(data) == sorted(image.tobytes() for image in images), "every row once"
    assert len(load_images(images, holdout=0.5).heldout_codes) == 100


@pytest.mark.parametrize(("share", "heldout"), [(0.001, 1), (0.999, 2)])
def test_both_parts_have_rows(share: float, heldout: int) -> None:
    data = load_images(noise(4, 8, 8), holdout=share)
    assert (len(data.codes), len(data.heldout_codes)) == (4 - heldout, heldout)


@pytest.mark.parametrize("seed", range(8))
def test_copies_of_an_image_stay_together(seed: int) -> None:
    images = noise(30, 8, 8)[np.random.default_rng(seed).integers(0, 30, 90)]
    data = load_images(images, codec=EXACT, seed=seed)
    training, heldout = ({image.tobytes() for image in part} for part in (data.codes, data.heldout_codes))
    assert not training & heldout
    assert len(data.codes) + len(data.heldout_codes) == 90
    assert 1 <= len(data.heldout_codes) <= 9


def test_copies_that_exceed_the_share_are_held_out_nevertheless() -> None:
    images = np.repeat(noise(3, 8, 8), [3, 4, 5], 0)
    data = load_images(images, codec=EXACT, holdout=0.1)
    assert len(data.heldout_codes) == 3


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_few_different_images_are_held_out_one_by_one(seed: int) -> None:
    images = np.tile(noise(10, 8, 8), (20, 1, 1))
    data, again = (load_images(images, codec=EXACT, holdout=0.2, seed=seed) for _ in range(2))
    assert data.heldout_source == "40 rows held out of split 'train' by --holdout 0.2, one by one"
    assert np.array_equal(data.heldout_codes, again.heldout_codes)
    assert all_pixels(data) == sorted(image.tobytes() for image in images), "every row once"
    assert len(np.unique(data.codes, axis=0)) == 10, "nothing is kept from training"
    order = np.random.Philox(key=np.array([seed, 1], np.uint64)).random_raw(200).argsort(kind="stable")
    assert np.array_equal(data.heldout_codes, images[np.sort(order[:40])])


@pytest.mark.parametrize(("different", "copies", "one_by_one"), [(10, 10, True), (10, 9, False), (2, 40, True),
                                                                 (99, 10, True), (100, 10, False)])  # fmt: skip
def test_where_different_images_are_few(different: int, copies: int, one_by_one: bool) -> None:
    data = load_images(np.tile(noise(different, 8, 8), (copies, 1, 1)), codec=EXACT, holdout=0.1)
    assert data.heldout_source.endswith("one by one") == one_by_one


def test_limit_comes_before_holding_out(tmp_path: Path) -> None:
    data = load_images(noise(100, 8, 8), codec=EXACT, limit=20)
    assert all_pixels(data) == sorted(image.tobytes() for image in noise(100, 8, 8)[:20])
    np.savez(tmp_path / "a.npz", x_train=GREY[:8], x_test=GREY[8:], y_train=LABELS[:8], y_test=LABELS[8:])
    data = load_images(tmp_path / "a.npz", limit=3)
    assert (len(data.codes), len(data.heldout_codes)) == (3, 4), "the test split is not limited"
    assert data.labels is not None and data.heldout_labels is not None
    assert (data.labels.tolist(), data.heldout_labels.tolist()) == ([0, 1, 2], [2, 0, 1, 2])


def test_labels_of_which_some_are_missing_are_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=GREY, labels=np.where(np.arange(12) == 5, -1, LABELS))
    assert load_images(tmp_path / "a.npz").labels is None
    np.savez(tmp_path / "b.npz", images=GREY, labels=LABELS + 0.5)
    with pytest.raises(InputError, match=r"labels of .* must be 12 integers, one for each image, got float64 \[12\]"):
        load_images(tmp_path / "b.npz", label_column="labels")
    assert load_images(tmp_path / "b.npz").labels is None


@pytest.mark.parametrize("kind", ["U", "S"])
def test_labels_of_words_are_numbered_and_keep_their_names(kind: str, tmp_path: Path) -> None:
    words = np.array(["cat", "dog", "owl 10", "owl 9"])[np.arange(12) % 4].astype(kind)
    np.savez(tmp_path / "a.npz", images=GREY, labels=words)
    data = load_images(tmp_path / "a.npz", codec=EXACT)
    assert data.class_names == ("cat", "dog", "owl 9", "owl 10")
    assert data.labels is not None and data.heldout_labels is not None
    for codes, labels in ((data.codes, data.labels), (data.heldout_codes, data.heldout_labels)):
        for image, label in zip(codes, labels, strict=True):
            (row,) = np.flatnonzero((image == GREY).all((1, 2)))
            assert data.class_names[label] == str(words[row].decode() if kind == "S" else words[row])
    np.savez(tmp_path / "b.npz", images=GREY, labels=np.eye(4)[np.arange(12) % 4])
    onehot = load_images(tmp_path / "b.npz", codec=EXACT)
    assert onehot.labels is not None and onehot.heldout_labels is not None
    assert sorted([*onehot.labels, *onehot.heldout_labels]) == sorted(np.arange(12) % 4)
    np.savez(tmp_path / "c.npz", images=GREY, labels=np.ones((12, 4)), more=GREY)
    lost = load_images(tmp_path / "c.npz").notes[:2]
    assert lost[0] == "labels are left aside: they must be 12 integers, one for each image, got float64 [12, 4]"
    assert lost[1] == "1 of 3 arrays of the data set are left out ('more'): only images and their labels are read"


def test_a_large_test_split_is_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MAX_HELDOUT_ROWS", 3)
    np.savez(tmp_path / "a.npz", x_train=GREY[:6], x_test=GREY[6:])
    assert np.array_equal(load_images(tmp_path / "a.npz", codec=EXACT).heldout_codes, GREY[6:9])


# --- the cache ---


def assert_same(data: ImageData, other: ImageData) -> None:
    for name in ("codes", "labels", "heldout_codes", "heldout_labels"):
        assert np.array_equal(getattr(data, name), getattr(other, name)), name
        assert getattr(data, name).dtype == getattr(other, name).dtype
    assert data.codec.fingerprint() == other.codec.fingerprint()
    assert (data.name, data.class_names, data.heldout_source) == (other.name, other.class_names, other.heldout_source)


def cache_folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if not path.name.startswith(".")]


def test_a_cached_data_set_equals_a_fresh_one(tmp_path: Path) -> None:
    path = write_annotated(tmp_path / "a.parquet", RGB)
    options: dict[str, Any] = {"codec": CodecOptions("palette", 5), "cache_dir": tmp_path / "cache"}
    fresh, cached = (load_images(path, **options) for _ in range(2))
    assert (fresh.from_cache, cached.from_cache) == (False, True)
    assert_same(fresh, cached)
    assert len(list((tmp_path / "cache").iterdir())) == 1, "nothing temporary stays"


def test_the_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BGAN_DISCRETE_CACHE", str(tmp_path / "named"))
    load_images(GREY)
    assert cache_folders(tmp_path / "named")
    monkeypatch.delenv("BGAN_DISCRETE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    load_images(GREY)
    assert cache_folders(tmp_path / ".cache" / "bgan_discrete")


@pytest.mark.parametrize(
    "options",
    [
        {"split": "test"},
        {"resize": "8"},
        {"color": "rgb"},
        {"limit": 7},
        {"holdout": 0.3},
        {"seed": 1},
        {"codec": CodecOptions(num_categories=4)},
        {"label_column": "label"},
    ],
    ids=str,
)
def test_other_options_are_another_cache(options: dict[str, Any], tmp_path: Path) -> None:
    write_annotated(tmp_path / "d" / "train.parquet", GREY)
    write_annotated(tmp_path / "d" / "test.parquet", GREY[::-1])
    load_images(tmp_path / "d")
    assert not load_images(tmp_path / "d", **options).from_cache
    assert load_images(tmp_path / "d").from_cache


def test_another_content_is_another_cache(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", GREY, LABELS)
    load_images(tmp_path / "photos")
    Image.fromarray(GREY[1]).save(tmp_path / "photos" / "a" / "000.png")
    assert not load_images(tmp_path / "photos").from_cache
    (tmp_path / "photos").rename(tmp_path / "moved")
    moved = load_images(tmp_path / "moved")
    assert moved.from_cache, "the content counts, not its place"
    assert moved.name == str(tmp_path / "moved")
    (tmp_path / "moved" / "a").rename(tmp_path / "moved" / "other")
    renamed = load_images(tmp_path / "moved")
    assert not renamed.from_cache, "the names of a folder's folders are classes"
    assert renamed.class_names is not None and "other" in renamed.class_names
    load_images(GREY)
    assert not load_images(GREY.reshape(12, 10, 8)).from_cache


def damage_meta(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    change(meta)
    (folder / "meta.json").write_text(json.dumps(meta))


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "codes.npy").unlink(),
        lambda folder: (folder / "labels.npy").unlink(),
        lambda folder: flip_a_byte(folder / "heldout_codes.npy"),
        lambda folder: (folder / "codes.npy").write_bytes((folder / "codes.npy").read_bytes()[:-9]),
        lambda folder: np.save(folder / "codes.npy", np.zeros((2, 8, 10), np.uint8)),
        lambda folder: (folder / "meta.json").write_text("{"),
        lambda folder: (folder / "meta.json").write_text("[]"),
        lambda folder: (folder / "meta.json").unlink(),
        lambda folder: damage_meta(folder, lambda meta: meta.pop("files")),
        lambda folder: damage_meta(folder, lambda meta: meta.update(class_names=["x", "y", "z"])),
        lambda folder: flip_a_byte(folder / "codec.json"),
        lambda folder: (folder / "codec.json").unlink(),
    ],
)
def test_a_damaged_cache_is_made_anew(
    damage: Callable[[Path], Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_annotated(tmp_path / "a.parquet", GREY)
    cache = tmp_path / "cache"
    fresh = load_images(path, cache_dir=cache)
    (folder,) = cache_folders(cache)
    damage(folder)
    with caplog.at_level(logging.WARNING):
        again = load_images(path, cache_dir=cache)
    assert not again.from_cache
    assert "is damaged and will be made anew" in caplog.text
    assert_same(fresh, again)
    assert load_images(path, cache_dir=cache).from_cache


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        data = load_images(GREY, codec=EXACT, cache_dir=tmp_path / "file" / "cache")
    assert "cannot be written, going on without" in caplog.text
    assert np.array_equal(data.codes, load_images(GREY, codec=EXACT).codes)


def test_a_full_disk_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with caplog.at_level(logging.WARNING):
        data = load_images(GREY, cache_dir=tmp_path / "cache")
    assert "No space left on device" in caplog.text
    assert len(data.codes) == 11
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_process_may_be_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = cache._publish

    def after_another(working: Path, folder: Path) -> None:
        monkeypatch.setattr(cache, "_publish", publish)
        load_images(GREY, cache_dir=folder.parent)
        publish(working, folder)

    monkeypatch.setattr(cache, "_publish", after_another)
    data = load_images(GREY, cache_dir=tmp_path / "cache")
    assert np.array_equal(data.codes, load_images(GREY, cache_dir=tmp_path / "cache").codes)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_what_a_killed_process_left_in_the_cache_goes(tmp_path: Path) -> None:
    (tmp_path / ".writing-00000001").mkdir()
    (tmp_path / ".writing-00000001" / "pixels.npy").write_bytes(b"half")
    load_images(GREY, cache_dir=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert (folder / "meta.json").is_file()


@pytest.mark.parametrize("images", [GREY, RGB], ids=["grey", "rgb"])
def test_large_codes_stay_in_their_files(images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_images(images, cache_dir=tmp_path / "small")
    monkeypatch.setattr(storage, "MAPPED_BYTES", 200)
    for from_cache in (False, True):
        data = load_images(images, cache_dir=tmp_path / "large")
        assert data.from_cache is from_cache
        assert isinstance(data.codes, np.memmap)
        assert not data.codes.flags.writeable
        assert np.array_equal(data.codes, expected.codes)
        assert np.array_equal(data.heldout_codes, expected.heldout_codes)
    (folder,) = cache_folders(tmp_path / "large")
    assert sorted(path.name for path in folder.iterdir()) == [
        "codec.json",
        "codes.npy",
        "heldout_codes.npy",
        "meta.json",
    ]


def test_images_are_decoded_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_images(RGB, codec=CodecOptions("palette", 4, dither=True), cache_dir=tmp_path / "whole")
    monkeypatch.setattr(storage, "ROWS_AT_ONCE", 5)
    data = load_images(RGB, codec=CodecOptions("palette", 4, dither=True), cache_dir=tmp_path / "chunks")
    assert np.array_equal(data.codes, expected.codes)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_images(write_annotated(tmp_path / "d" / "train.parquet", GREY).parent)
    capfd.readouterr()
    load_images(tmp_path / "d", seed=3)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert not datasets.are_progress_bars_disabled()


# --- the description ---


def test_the_description(tmp_path: Path) -> None:
    images = np.concatenate([GREY, GREY[:2]])
    write_annotated(tmp_path / "d" / "train.parquet", images, [*LABELS, 0, 1])
    write_annotated(tmp_path / "d" / "test.parquet", GREY[:3], LABELS[:3])
    data = load_images(tmp_path / "d")
    counts = np.bincount(data.codes.ravel(), minlength=16)
    expected = [
        f"data set:    {tmp_path / 'd'} (digest {data.digest[:12]})",
        "samples:     14 to train on, 3 held out (split 'test'), of 17 found",
        "codes:       8 x 10, K = 16 (16 grey levels)",
        f"most common: category {counts.argmax()}, {counts.max() / counts.sum():.1%} of the training codes",
        "duplicates:  2 training samples repeat earlier ones; 3 held-out samples are in training too",
        "classes:     a 5, b 5, c 4",
        "note:        246 different grey values of the data set become 16 (such as 0 and 1 become 0): --codec "
        "palette --num-categories 246 keeps those of the training images",
    ]
    assert describe(data).splitlines() == expected
    assert "cache:       read\nnote:" in describe(load_images(tmp_path / "d"))
    assert "classes" not in describe(load_images(GREY))
    assert describe(load_images(GREY)).startswith("data set:    array")
