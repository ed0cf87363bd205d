"""Folders of pictures: links, metadata, classes, splits, and what single pictures lose."""

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from refusals import refusal

from bgan_discrete.codecs import CodecOptions
from bgan_discrete.kinds.images import count_classes
from bgan_discrete.sources import ImageData, dataset_rows, load_images, rows
from bgan_discrete.sources import images as loading

EXACT = CodecOptions(num_categories=256)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)


def fill(root: Path, *names: str) -> Path:
    """A folder with the first images under these names."""
    for name, image in zip(names, IMAGES, strict=False):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)
    return root


def labels_of(data: ImageData) -> list[str | None]:
    """The class of each of the first images, and None for those that are not there."""
    found: list[str | None] = [None] * len(IMAGES)
    for codes, labels in ((data.codes, data.labels), (data.heldout_codes, data.heldout_labels)):
        for row, image in enumerate(data.codec.decode(codes)):
            if labels is not None:
                (place,) = np.flatnonzero((image == IMAGES).all((1, 2)))
                found[place] = (data.class_names or list(map(str, range(99))))[labels[row]]
    return found


FLAT = [f"{number}.png" for number in range(6)]


# --- the walk ---


def test_links_are_followed_once_and_those_that_lead_out_are_noted(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", "b/0.png", "b/1.png", "c/2.png")
    fill(tmp_path / "elsewhere", *FLAT)
    (root / "a").symlink_to("b")  # another name of a folder
    (root / "b" / "up").symlink_to("..")  # a circle
    (root / "c" / "copy.png").symlink_to("2.png")
    (root / "d").symlink_to(tmp_path / "elsewhere")
    (root / "c" / "one.png").symlink_to(tmp_path / "elsewhere" / "5.png")
    (root / "no picture").symlink_to("absent")
    data = load_images(root, codec=EXACT)
    assert data.counts["found"] == 2 + 3 + 6
    assert data.class_names == ("b", "c", "d")
    left = "of 14 files of the data set are left out"
    assert data.notes[:3] == (
        f"2 {left} ('a', 'b/up'): they are links to folders that are read under other names",
        f"1 {left} ('no picture'): they are no pictures by the ends of their names (.png, .jpg, ...); convert or rename"
        " those that are",
        "2 links of the data set lead out of it and are followed ('c/one.png', 'd')",
    )


def test_hidden_files_are_named_and_those_of_the_system_are_not(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", *FLAT, "._0.png", ".trash/1.png")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (root / name).write_bytes(b"x")
    data = load_images(root, codec=EXACT)
    assert data.counts["found"] == 6
    assert len(data.notes) == 1
    assert data.notes[0].startswith(
        "2 of 8 files of the data set are left out ('._0.png', '.trash'): their names begin"
    )


def test_archives_are_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data" / "a.zip", "w") as archive:
        archive.writestr("0.png", b"")
    text = refusal(lambda: load_images(tmp_path / "data"))
    assert (
        "must hold pictures (.png, .jpg, ...) or .parquet files, got 1 others ('a.zip'): archives are not read" in text
    )
    assert load_images(fill(tmp_path / "data", *FLAT)).notes[0] == (
        "1 of 7 files of the data set are left out ('a.zip'): archives are not read; unpack them"
    )


def test_pictures_next_to_tables_are_named(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", "preview.png")
    encoded = [{"bytes": (root / "preview.png").read_bytes(), "path": None}] * 3
    for name in ("mnist_train.parquet", "mnist_test.parquet"):
        pq.write_table(pa.table({"image": encoded}), root / name)
    data = load_images(root)
    assert (data.counts["found"], len(data.codes), data.heldout_source) == (6, 3, "split 'test'")
    assert data.notes[0].startswith("1 of 3 files of the data set are left out ('preview.png'): a folder holds either")


def test_tables_have_splits_only_if_all_are_called_like_one(tmp_path: Path) -> None:
    root = fill(tmp_path / "a *?[b]#%::c", *FLAT[:3])
    encoded = [{"bytes": (root / name).read_bytes(), "path": None} for name in FLAT[:3]]
    for name in FLAT[:3]:
        (root / name).unlink()
    for name in ("crash test.parquet", "street 1.parquet", "street 10.parquet"):
        pq.write_table(pa.table({"image": encoded}), root / name)
    data = load_images(root)
    assert data.counts["found"] == len(data.codes) + len(data.heldout_codes) == 9
    assert data.notes[0].startswith(
        "1 of 3 files of the data set are called like splits ('crash test.parquet'), and are"
    )


def test_splits_that_are_not_read_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(tmp_path / "data", *(f"{split}/{name}" for split in ("train", "test", "val") for name in FLAT[:4]))
    assert load_images(root, codec=EXACT).notes == (
        "4 of 12 images of the data set are left out: they are in split 'validation', which is not read",
    )
    for module in (rows, loading):
        monkeypatch.setattr(module, "MAX_HELDOUT_ROWS", 3)
    assert load_images(root, codec=EXACT, seed=1).notes[1] == (
        "1 of 4 images of split 'test' of the data set are left out: the first 3 are held out"
    )


# --- classes ---


def test_pictures_straight_in_their_splits_have_no_labels(tmp_path: Path) -> None:
    data = load_images(fill(tmp_path / "data", *(f"Training/{name}" for name in FLAT), "testing/0.png"), codec=EXACT)
    assert (data.labels, data.notes, data.heldout_source) == (None, (), "split 'test'")


@pytest.mark.parametrize(
    ("names", "classes", "note"),
    [
        (["cat/0.png", "cat/1.png", "2/2.png", "10/3.png"], ["cat", "cat", "2", "10"], None),
        (["all/cat/0.png", "all/cat/1.png", "all/dog/2.png", "all/dog/3.png"], ["cat", "cat", "dog", "dog"], None),
        (
            ["2020/cat/0.png", "2021/cat/1.png", "2020/dog/2.png", "2021/dog/3.png"],
            ["cat", "cat", "dog", "dog"],
            "4 different folders of the data set become 2 (such as '2020/cat' and '2021/cat' become 'cat')",
        ),
        (["cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png"], [None] * 4, None),
        (
            ["cat/0.png", "cat/1.png", "dog/2.png", "3.png"],
            [None] * 4,
            "labels are left aside: they must be folders of one depth, got '3.png' and 'dog/2.png'",
        ),
    ],
)
def test_classes_are_the_folders(names: list[str], classes: list[str | None], note: str | None, tmp_path: Path) -> None:
    data = load_images(fill(tmp_path / "data", *names), codec=EXACT)
    assert labels_of(data)[:4] == classes
    assert [found for found in data.notes if found.startswith(note or "")] == list(data.notes)
    assert len(data.notes) == (note is not None)


def test_a_split_without_classes_is_noted(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", *(f"train/{'ab'[n % 2]}/{n}.png" for n in range(6)), "test/6.png", "test/7.png")
    data = load_images(root, codec=EXACT)
    assert data.class_names == ("a", "b") and data.heldout_labels is None
    assert len(data.notes) == 1 and data.notes[0].startswith("labels are left aside: they must be folders, as of other")
    assert data.notes[0].endswith("(split 'test' of the data set)")
    rows_ = "".join(f"{'ab'[n % 2]}/{n}.png,{n % 2}\n" for n in range(6))
    (root / "train" / "metadata.csv").write_text("file_name,label\n" + rows_)
    (note,) = load_images(root, codec=EXACT).notes
    assert note.endswith("must not be missing, got '' in row 0 (2 of 2 rows) (split 'test' of the data set)")


def test_numbers_of_a_split_next_to_words_of_another_are_noted(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_images=IMAGES, train_labels=np.array(["a", "b"] * 6),
             test_images=IMAGES[:2], test_labels=np.array([0, 1]))  # fmt: skip
    data = load_images(tmp_path / "a.npz", codec=EXACT)
    assert data.class_names == ("a", "b") and data.heldout_labels is None
    assert (
        "labels are left aside: they must be words, as those of another split are, got integers ('test_images'"
        in data.notes[0]
    )


def test_a_conditional_run_is_told_why_there_are_no_labels(tmp_path: Path) -> None:
    data = load_images(fill(tmp_path / "data", "cat/0.png", "cat/1.png", "dog/2.png", "3.png"))
    assert "none that can be used (labels are left aside: they must be folders of one depth" in refusal(
        lambda: count_classes(data)
    )


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_words_of_a_table_next_to_the_pictures_are_labels(kind: str, tmp_path: Path) -> None:
    root = fill(tmp_path / "data", "cat/e\u0301 0.png", "cat/1.png", "2.png", "3.png")
    names = ["cat/\u00e9 0.png", "cat/1.png", "./2.png", "3.png", "absent.png"]
    labels = ["NA", "10", "9", "a, b\n", "x"]
    if kind == "csv":
        lines = [f'"{name}","{label}",{row}\r\n' for row, (name, label) in enumerate(zip(names, labels, strict=True))]
        (root / "metadata.csv").write_text("file_name,label,row\r\n" + "".join(lines), encoding="utf-8-sig", newline="")
    else:
        cells = [{"file_name": name, "label": label, "row": 3} for name, label in zip(names, labels, strict=True)]
        (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in cells))
    data = load_images(root, codec=EXACT)
    assert data.class_names == ("9", "10", "NA", "a, b\\n")
    assert labels_of(data)[:4] == ["NA", "10", "9", "a, b\\n"]
    assert data.notes[0].startswith(
        "1 of 5 metadata rows of the data set are left out ('absent.png'): there is no such"
    )
    assert load_images(root, codec=EXACT, label_column="row").class_names == tuple("0123" if kind == "csv" else "3")
    assert "label_column 'kind' is not in metadata" in refusal(lambda: load_images(root, label_column="kind"))


def test_captions_are_no_labels_unless_asked_for(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", *FLAT)
    lines = [f"{name},text {name}\n" for name in FLAT]
    (root / "metadata.csv").write_text("file_name,text\n" + "".join(lines))
    assert (
        load_images(root, codec=EXACT)
        .notes[0]
        .startswith("labels are left aside: they must not all differ, as in 'text'")
    )
    assert load_images(root, codec=EXACT, label_column="text").class_names == tuple(f"text {name}" for name in FLAT)
    (root / "metadata.csv").write_text("file_name,a,b\n" + "".join(f"{name},1,2\n" for name in FLAT))
    assert "must be named by label_column (--label-column): there are a, b" in load_images(root, codec=EXACT).notes[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file_name,label,label\n0.png,a,b\n", "it has two columns of one name in its first line"),
        ('file_name,label\n0.png,"a"0\n', "it is no CSV file after line 1"),
        ("file_name,label\n0.png,a\n\n1.png\n", "it has 1 cells in line 4, but 2 columns"),
    ],
)
def test_a_table_that_would_change_is_not_read(content: str, words: str, tmp_path: Path) -> None:
    root = fill(tmp_path / "data", *FLAT)
    (root / "metadata.csv").write_text(content)
    assert f"must be in a table that can be read, got metadata.csv: {words}" in load_images(root, codec=EXACT).notes[0]


def test_labels_that_are_spelt_alike_are_noted(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", *FLAT)
    rows = [{"file_name": name, "label": label} for name, label in zip(FLAT, [1, "1", 1.0, True, [1], 1], strict=True)]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = load_images(root, codec=EXACT)
    assert data.class_names is not None and set(data.class_names) == {"1", "1.0", "true", "[1]"}
    assert "5 different labels of 'label' of the data set become 4 (such as 1 and '1' of 'label'" in data.notes[0]
    del rows[3]["file_name"]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert load_images(root, codec=EXACT).notes[0].endswith("metadata.jsonl, got {'label': True} in row 3")
    (root / "metadata.jsonl").write_text('{"file_name": "0.png", "label": 1, "label": 2}\n')
    assert (
        load_images(root, codec=EXACT).notes[0].endswith("metadata.jsonl: row 0 of it has 2 values of the key 'label'")
    )


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "a/../../secret.png", ".."])
def test_metadata_do_not_lead_out_of_their_folder(name: str, tmp_path: Path) -> None:
    fill(tmp_path, "secret.png")
    root = fill(tmp_path / "data", *FLAT)
    (root / "metadata.csv").write_text(f"file_name,label\n0.png,a\n{name},b\n")
    assert f"names {name!r} in its file_name, which leads out of its folder" in refusal(lambda: load_images(root))


def test_labels_without_a_table_are_asked_for_by_name(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", "a/0.png", "b/1.png", "a/2.png", "b/3.png")
    assert load_images(root, label_column="label").class_names == ("a", "b")
    assert "put a metadata.csv with the columns file_name and kind next to" in refusal(
        lambda: load_images(root, label_column="kind")
    )
    assert "column 'picture' is not in" in refusal(lambda: load_images(root, column="picture"))


# --- paths in data files ---


def write_paths(path: Path, *paths: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array([{"bytes": None, "path": name} for name in paths], kind)}), path)
    return path


def test_paths_in_a_table_are_followed_in_its_folder_only(tmp_path: Path) -> None:
    fill(tmp_path / "data", *FLAT)
    fill(tmp_path, "secret.png")
    (tmp_path / "data" / "link.png").symlink_to("../secret.png")
    inside = write_paths(tmp_path / "data" / "a.parquet", *FLAT[:5], str(tmp_path / "data" / "5.png"))
    assert load_images(inside, codec=EXACT).counts["found"] == 6
    for name in ("../secret.png", str(tmp_path / "secret.png"), "link.png", "x/../../secret.png"):
        path = write_paths(tmp_path / "data" / "b.parquet", *FLAT, name)
        text = refusal(lambda path=path: load_images(path))
        assert "row 6 of" in text and repr(name) in text and "leads out of the folder of its file" in text


def test_paths_in_a_table_of_the_hub_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    fill(tmp_path, *FLAT)
    path = write_paths(tmp_path / "a.parquet", *(str(tmp_path / name) for name in FLAT))
    loaded = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "hf"))
    monkeypatch.setattr(loading, "load_hub", lambda name, **options: dataset_rows.HubSplits(loaded))
    assert "leads out of the folder of its file" in refusal(lambda: load_images("owner/name"))


# --- what single pictures lose ---


def saved(folder: Path, images: list[Image.Image], kind: str = "png", **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        image.save(folder / f"{number}.{kind}", **options)
    return folder


def deep_png(values: np.ndarray) -> bytes:
    """Colours of 16 bits, which Pillow does not write."""
    height, width = values.shape[:2]
    rows_ = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + part(b"IDAT", zlib.compress(rows_)) + part(b"IEND", b"")


def test_sixteen_bits_that_merge_are_noted_and_those_that_vanish_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    full = [Image.fromarray(rng.integers(0, 40000, (8, 8)).astype(np.uint16)) for _ in range(6)]
    (note, *_) = load_images(saved(tmp_path / "full", full), codec=EXACT).notes
    assert "different values of 16 bits of the data set become" in note and "of 65535, becomes 15" in note
    twelve = [Image.fromarray(rng.integers(0, 4096, (8, 8)).astype(np.uint16)) for _ in range(6)]
    assert "scale them to 0 .. 65535" in refusal(lambda: load_images(saved(tmp_path / "twelve", twelve)))
    classes = [Image.fromarray(rng.integers(0, 2, (8, 8)).astype(np.uint16)) for _ in range(6)]
    assert "2 different values of 16 bits of the data set become 1 (such as 0 and 1 become 0)" in refusal(
        lambda: load_images(saved(tmp_path / "classes", classes))
    )
    masks = [Image.fromarray((rng.integers(0, 2, (8, 8)) * 65535).astype(np.uint16)) for _ in range(6)]
    assert load_images(saved(tmp_path / "masks", masks)).notes == ()
    (tmp_path / "colour").mkdir()
    for number in range(6):
        (tmp_path / "colour" / f"{number}.png").write_bytes(deep_png(rng.integers(0, 65536, (8, 8, 3))))
    notes = load_images(tmp_path / "colour", codec=EXACT).notes
    assert (
        "6 of 6 images of the data set have 16 bits for each colour ('0.png', '1.png', '2.png', ...): the upper 8"
        in (notes[0])
    )


def test_frames_doubled_palettes_and_pictures_of_one_colour_are_noted(tmp_path: Path) -> None:
    grey = [Image.fromarray(image) for image in IMAGES[:6]]
    saved(tmp_path / "frames", grey[:5])
    grey[5].save(tmp_path / "frames" / "x.gif", save_all=True, append_images=grey[:2])
    assert "1 of 6 images of the data set hold several frames ('x.gif'): the first is read" in str(
        load_images(tmp_path / "frames", codec=EXACT, color="grey").notes
    )
    doubled = []
    for image in IMAGES[:6]:
        picture = Image.fromarray(image % 4).convert("P")
        picture.putpalette([0, 0, 0, 9, 9, 9, 9, 9, 9, 200, 200, 200])
        doubled.append(picture)
    assert "6 of 6 images of the data set have a palette in which several numbers are one colour" in str(
        load_images(saved(tmp_path / "palette", doubled), color="grey").notes
    )
    white = [Image.merge("RGBA", [Image.new("L", (8, 8), 255)] * 3 + [Image.fromarray(image)]) for image in IMAGES[:6]]
    text = refusal(lambda: load_images(saved(tmp_path / "white", white)))
    assert "6 of 6 images of the data set become one colour" in text and "laid on white" in text
    saved(tmp_path / "some", white[:2])
    saved(tmp_path / "some", [*white[:2], *(image.convert("RGBA") for image in grey)])
    assert "2 of 8 images of the data set become one colour ('0.png', '1.png')" in str(
        load_images(tmp_path / "some").notes
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I"])
def test_pictures_of_every_mode_come_in(mode: str, tmp_path: Path) -> None:
    deep = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}
    pictures = []
    for image in IMAGES[:6]:
        picture = Image.fromarray(image.astype(deep[mode]) * 257 if mode in deep else image)
        if mode not in deep:
            picture = Image.merge("LAB", [picture] * 3) if mode == "LAB" else picture.convert("RGB").convert(mode)
        pictures.append(picture)
    data = load_images(saved(tmp_path / "data", pictures, "tif"), codec=EXACT)
    assert len(data.codes) + len(data.heldout_codes) == data.counts["found"] == 6
    if mode in ("L", "LA", *deep):
        assert {image.tobytes() for image in data.codes} <= {image.tobytes() for image in IMAGES}
