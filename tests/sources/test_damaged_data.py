"""Damaged data are refused before training, in one line that names the file and, where there is one, the row."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from refusals import refusal

from bgan_discrete.codecs import CodecOptions, TextCodecOptions
from bgan_discrete.sources import dataset_rows, describe, load_images, load_text, storage
from bgan_discrete.sources import text as text_source

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 10), dtype=np.uint8)
LINES = "".join(f"line {number} of it\n" for number in range(60)).encode()
Maker = Callable[[Path], Path]


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def declared_png(width: int, height: int) -> bytes:
    """A small file that says to be a large picture."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [part(b"IHDR", header), part(b"IDAT", zlib.compress(bytes(width + 1))), part(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def structs(images: Any) -> list[dict[str, Any]]:
    return [{"bytes": image if isinstance(image, bytes) else png(image), "path": None} for image in images]


def with_sixth(content: bytes | None) -> list[dict[str, Any]]:
    rows = structs(IMAGES)
    rows[6]["bytes"] = content
    return rows


def file(name: str, content: bytes) -> Maker:
    def make(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return make


def folder(*parts: Maker) -> Maker:
    def make(root: Path) -> Path:
        for part in parts:
            part(root / "data")
        return root / "data"

    return make


def parquet_bytes(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=5)
    return buffer.getvalue()


def parquet(name: str = "data.parquet", **columns: Any) -> Maker:
    return file(name, parquet_bytes(**columns))


GOOD_PARQUET = parquet_bytes(image=structs(IMAGES))


def with_damaged_second_group() -> bytes:
    start = pq.ParquetFile(io.BytesIO(GOOD_PARQUET)).metadata.row_group(1).column(0).data_page_offset
    return GOOD_PARQUET[:start] + b"\xff" * 200 + GOOD_PARQUET[start + 200 :]


def npy_bytes(shape: tuple[int, ...], content: bytes, descr: str = "|u1", fortran: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": fortran, "shape": shape})
    return buffer.getvalue() + content


def npy(*arguments: Any) -> Maker:
    return file("data.npy", npy_bytes(*arguments))


def npz_bytes(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npz(**members: bytes) -> Maker:
    return file("data.npz", npz_bytes(**members))


def pipe(name: str) -> Maker:
    def make(root: Path) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        os.mkfifo(root / name)
        return root / name

    return make


def link(name: str, target: str) -> Maker:
    def make(root: Path) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
        return root / name

    return make


def at(path: str) -> Maker:
    return lambda root: Path(path)


PNGS = [file(f"{row:03d}.png", png(image)) for row, image in enumerate(IMAGES)]
PIXELS = IMAGES.tobytes()

IMAGE_CASES: dict[str, tuple[Maker, tuple[str, ...]]] = {
    # parquet
    "cut in the middle": (file("data.parquet", GOOD_PARQUET[: len(GOOD_PARQUET) // 2]), ("data.parquet", "footer")),
    "cut in the footer": (file("data.parquet", GOOD_PARQUET[:-6]), ("data.parquet", "footer")),
    "zero bytes": (file("data.parquet", b""), ("data.parquet", "0 bytes")),
    "no parquet": (file("data.parquet", b"PAR1" * 30), ("data.parquet: ",)),
    "damaged rows": (file("data.parquet", with_damaged_second_group()), ("data.parquet from row 5 on: ",)),
    "one file of a folder": (
        folder(file("a-train.parquet", GOOD_PARQUET), file("b-train.parquet", GOOD_PARQUET[:300])),
        ("b-train.parquet: ",),
    ),
    "other columns": (
        folder(parquet("train-0.parquet", image=structs(IMAGES)), parquet("train-1.parquet", other=["x"])),
        ("train-1.parquet has the columns other (string), but ", "train-0.parquet has image"),
    ),
    "other types": (
        folder(parquet("train-0.parquet", image=structs(IMAGES)), parquet("train-1.parquet", image=["x"])),
        ("train-1.parquet has the columns image (string), but ",),
    ),
    "no row": (parquet(image=pa.array([], pa.struct([("bytes", pa.binary())]))), ("data.parquet has no rows",)),
    "one row": (parquet(image=structs(IMAGES[:1])), ("at least 2 images to train on, got 1 of", "data.parquet")),
    "strings for images": (parquet(image=["a"] * 5), ("no column holds images",)),
    "no value": (parquet(image=[*structs(IMAGES[:4]), None]), ("row 4 of", "data.parquet", "it is missing")),
    "ragged lists": (parquet(image=[[[1, 2], [3, 4]]] * 4 + [[[1, 2], [3]]]), ("row 4 of", "data.parquet")),
    "holes in lists": (parquet(image=[[[1, 2], [3, 4]]] * 4 + [[[1, 2], [3, None]]]), ("row 4 of", "data.parquet")),
    "two sizes": (parquet(image=[[[1, 2], [3, 4]]] * 4 + [[[1, 2, 3]]]), ("1x3 in row 4 of", "data.parquet")),
    # encoded images
    "a PNG that ends early": (
        parquet(image=with_sixth(png(IMAGES[6])[:60])),
        ("row 6 of", "data.parquet", "truncated"),
    ),
    "a PNG with a flipped byte": (
        parquet(image=with_sixth(png(IMAGES[6])[:45] + bytes([png(IMAGES[6])[45] ^ 255]) + png(IMAGES[6])[46:])),
        ("row 6 of", "data.parquet", "cannot be read"),
    ),
    "an empty image": (parquet(image=with_sixth(b"")), ("row 6 of", "its 0 bytes are no image of a known kind")),
    "no image": (parquet(image=with_sixth(b"nonsense")), ("row 6 of", "its 8 bytes are no image of a known kind")),
    "PostScript": (
        parquet(image=with_sixth(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 8\n%%EndComments\nshowpage\n")),
        ("row 6 of", "EPS, which another program would have to draw"),
    ),
    "a picture of 100 million pixels": (
        parquet(image=with_sixth(declared_png(10_000, 10_000))),
        ("row 6 of", "100000000 pixels"),
    ),
    "a picture of 3,600 million pixels": (
        parquet(image=with_sixth(declared_png(60_000, 60_000))),
        ("row 6 of", "3600000000 pixels"),
    ),
    "a path to a device": (
        parquet(image=[*structs(IMAGES[:4]), {"bytes": None, "path": "/dev/zero"}]),
        ("row 4 of", "/dev/zero", "its path leads out of the folder of its file"),
    ),
    "a path to a pipe": (
        folder(parquet(image=[*structs(IMAGES[:4]), {"bytes": None, "path": "x.pipe"}]), pipe("x.pipe")),
        ("row 4 of", "x.pipe", "it is a pipe, socket, device or folder"),
    ),
    "a path to nothing": (
        parquet(image=[*structs(IMAGES[:4]), {"bytes": None, "path": "absent.png"}]),
        ("row 4 of", "absent.png", "it is missing"),
    ),
    # folders of images
    "a broken image among files": (folder(*PNGS, file("004.png", png(IMAGES[4])[:60])), ("row 4 of", "004.png")),
    "an empty image among files": (folder(*PNGS, file("004.png", b"")), ("row 4 of", "004.png", "its 0 bytes")),
    "a pipe among files": (folder(*PNGS, pipe("x.png")), ("holds what is no file: ", "x.png")),
    "a device among files": (folder(*PNGS, link("x.png", "/dev/zero")), ("holds what is no file: ", "x.png")),
    "links in a circle": (folder(*PNGS, link("x", "y.png"), link("y.png", "x")), ("symbolic links", "data/")),
    "a link to nothing": (folder(*PNGS, link("x.png", "absent")), ("No such file", "x.png")),
    "a file that cannot be read": (folder(*PNGS, link("x.png", "/proc/self/mem")), ("Input/output error",)),
    # .npy
    "more promised than there is": (
        npy((100, 8, 10), PIXELS),
        ("data.npy", "promises [100, 8, 10] of uint8, 8,000 bytes, but 960 bytes follow"),
    ),
    "less promised than there is": (npy((11, 8, 10), PIXELS), ("880 bytes, but 960 bytes follow",)),
    "a huge shape": (npy((2**40, 8, 10), PIXELS), ("data.npy", "but 960 bytes follow")),
    "a shape beyond 64 bits": (npy((2**62, 8, 10), PIXELS), ("data.npy", "but 960 bytes follow")),
    "a negative side": (npy((-1, 8, 10), PIXELS), ("data.npy", "promises [-1, 8, 10]")),
    "Python objects": (npy((12, 8, 10), PIXELS, "|O"), ("data.npy", "Python objects")),
    "fields": (file("data.npy", npy_bytes((12, 8, 10), PIXELS, [("a", "|u1")])), ("must be uint8",)),  # type: ignore[arg-type]
    "other integers": (npy((3, 8, 10), PIXELS, "<i4"), ("must be uint8, 0 .. 255, got int32",)),
    "no dimension": (npy((), b"x"), ("must be [N, H, W] or [N, H, W, 3], got []",)),
    "no images": (npy((0, 8, 10), b""), ("are empty",)),
    "no header": (file("data.npy", b""), ("data.npy", "cannot be read as a NumPy file")),
    "half a header": (file("data.npy", npy_bytes((12, 8, 10), b"")[:40]), ("data.npy", "cannot be read as a NumPy")),
    "a header of nonsense": (
        file("data.npy", b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': ".ljust(0x76)),
        ("data.npy", "cannot be read as a NumPy file"),
    ),
    "a header that nests": (
        file("data.npy", b"\x93NUMPY\x01\x00\x28\x23" + b"(" * 9000),
        ("data.npy", "cannot be read as a NumPy file"),
    ),
    "a header of gigabytes": (
        file("data.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{'descr': "),
        ("data.npy", "cannot be read as a NumPy file"),
    ),
    # .npz
    "no arrays": (npz(), ("data.npz", "has no arrays")),
    "several arrays": (
        npz(a=npy_bytes((12, 8, 10), PIXELS), b=npy_bytes((12, 8, 10), PIXELS)),
        ("column must name the images of", "data.npz, which has the keys: a, b"),
    ),
    "keys of several lines": (
        npz(**{"a\nb\r": npy_bytes((12, 8, 10), PIXELS)}),
        ("data.npz, which has the keys: a b ",),
    ),
    "columns of several lines": (parquet(**{"a\nb": ["x"] * 5}), ("its columns are: a b",)),
    "a member that is no array": (npz(images=b"hello"), ("the array 'images' of", "data.npz")),
    "a member of Python objects": (npz(images=npy_bytes((12,), b"x", "|O")), ("'images' of", "Python objects")),
    "a member that promises too much": (
        npz(images=npy_bytes((2**40, 8, 10), PIXELS)),
        ("the array 'images' of", "data.npz", "but 960 bytes follow"),
    ),
    "a cut archive": (
        file("data.npz", npz_bytes(images=npy_bytes((12, 8, 10), PIXELS))[:200]),
        ("data.npz", "cannot be read as a NumPy file"),
    ),
    # no data at all
    "a pipe": (pipe("data.npy"), ("data.npy", "pipe, socket or device")),
    "a device": (at("/dev/zero"), ("'/dev/zero', which is a pipe, socket or device",)),
    "a file that is a folder": (lambda root: file("data.npy/x", b"")(root).parent, ("data.npy", "must hold pictures")),
    "a link to itself": (link("data.npy", "data.npy"), ("data.npy", "does not exist")),
    "a name that is too long": (at("./" + "a" * 5000), ("does not exist",)),
    "the home of nobody": (at("~nobody-of-this-name/data.npy"), ("does not exist",)),
    "an unreadable file": (link("data.npy", "/proc/self/mem"), ("data.npy",)),
}


@pytest.mark.parametrize(("make", "words"), IMAGE_CASES.values(), ids=IMAGE_CASES)
def test_damaged_images(make: Maker, words: tuple[str, ...], tmp_path: Path) -> None:
    path = make(tmp_path)
    text = refusal(lambda: load_images(path, codec=CodecOptions(num_categories=256)))
    for word in words:
        assert word in text


LABEL_CASES: dict[str, tuple[Maker, str, str]] = {
    "no label": (parquet(image=structs(IMAGES), label=[0, 1, None] * 4), "label", "got no value in row 2"),
    "labels too large": (
        parquet(image=structs(IMAGES), label=pa.array([0, 5, 2**64 - 1] * 4, pa.uint64())),
        "label",
        "must be below 2**63, got 18446744073709551615 in row 2",
    ),
    "labels below 0": (
        parquet(image=structs(IMAGES), label=[0, 1, -1] * 4),
        "label",
        "got np.int64(-1) in row 2 (4 of 12 rows)",
    ),
    "float labels": (
        npz(images=npy_bytes((12, 8, 10), PIXELS), labels=npy_bytes((12,), bytes(96), "<f8")),
        "labels",
        "must be 12 integers, one for each image, got float64 [12]",
    ),
    "labels of Python objects": (
        npz(images=npy_bytes((12, 8, 10), PIXELS), labels=npy_bytes((12,), b"x", "|O")),
        "labels",
        "Python objects",
    ),
    "unlike metadata": (
        folder(*PNGS, file("metadata.csv", b"file_name,label\n000.png,a\n")),
        "label",
        "must not be missing, got '' in row 1 (11 of 12 rows)",
    ),
    "metadata without names": (
        folder(*PNGS, file("metadata.csv", b"a;label\n0;1\n")),
        "label",
        "must have a file_name",
    ),
    "metadata of odd rows": (
        folder(*PNGS, file("metadata.csv", b"file_name,label\n000.png,a,b\n")),
        "label",
        "must be in a table that can be read, got metadata.csv",
    ),
    "metadata in no UTF-8": (
        folder(*PNGS, file("metadata.jsonl", b'{"file_name": "000.png", "label": "\xff"}\n')),
        "label",
        "got metadata.jsonl",
    ),
    "metadata of lists": (folder(*PNGS, file("metadata.jsonl", b"[1]\n")), "label", "got metadata.jsonl"),
}


@pytest.mark.parametrize(("make", "column", "words"), LABEL_CASES.values(), ids=LABEL_CASES)
def test_labels_that_cannot_be_used_are_refused_only_if_asked_for(
    make: Maker, column: str, words: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    data = load_images(path)
    assert data.labels is None
    assert any(note.startswith("labels are left aside: ") and words in note for note in data.notes)
    assert data.notes == load_images(path).notes, "the cache remembers"
    assert words in refusal(lambda: load_images(path, label_column=column))


def test_images_that_cannot_be_used_cost_no_cache(tmp_path: Path) -> None:
    path = parquet(image=with_sixth(b"nonsense"))(tmp_path)
    refusal(lambda: load_images(path, cache_dir=tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []


def test_columns_of_the_wrong_kind_are_named(tmp_path: Path) -> None:
    path = parquet(image=structs(IMAGES), label=[0.5] * 12, word=["a"] * 12)(tmp_path)
    assert load_images(path).labels is None, "what nobody asked for and is no class is left alone"
    text = refusal(lambda: load_images(path, label_column="label"))
    assert "must hold classes, integers or words, got 'label'" in text
    assert load_images(path, label_column="word").class_names == ("a",)
    text = refusal(lambda: load_images(path, column="word"))
    assert "row 0 of" in text
    assert "data.parquet" in text
    assert "got str" in text


def test_labels_may_have_gaps(tmp_path: Path) -> None:
    data = load_images(parquet(image=structs(IMAGES), label=[0, 5, 2**40] * 4)(tmp_path))
    assert data.labels is not None
    assert set(data.labels) == {0, 5, 2**40}
    assert f"{2**40} " in describe(data)


def test_the_order_of_columns_is_read(tmp_path: Path) -> None:
    path = file("data.npy", npy_bytes((12, 8, 10), IMAGES.tobytes("F"), "|u1", True))(tmp_path)
    expected = load_images(IMAGES)
    assert np.array_equal(load_images(path).codes, expected.codes)
    path = npz(images=npy_bytes((12, 8, 10), IMAGES.tobytes("F"), "|u1", True))(tmp_path)
    assert np.array_equal(load_images(path).codes, expected.codes)


def test_a_large_member_goes_through_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_images(IMAGES)
    monkeypatch.setattr(storage, "MAPPED_BYTES", 100)
    path = npz(images=npy_bytes((12, 8, 10), PIXELS), labels=npy_bytes((12,), bytes(96), "<i8"))(tmp_path)
    data = load_images(path)
    assert np.array_equal(data.codes, expected.codes)
    assert data.labels is not None
    assert not data.labels.any()


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MAPPED_BYTES", 10**5)
    path = npz(images=npy_bytes((10**4, 10, 10), bytes(10**6)))(tmp_path)
    assert "bytes would unpack to 1,000,128; save it uncompressed" in refusal(lambda: load_images(path))


TEXT_CASES: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "a NUL in a line": (file("t.txt", LINES + b"a\0b\n" + LINES), ("t.txt", "byte 0x00 at offset 831 (line 61)")),
    "a block of NULs": (file("t.txt", LINES + bytes(4096)), ("t.txt", "byte 0x00 at offset 830 (line 61)")),
    "UTF-16": (file("t.txt", LINES.decode().encode("utf-16")), ("t.txt", "not UTF-8: byte 0xff at offset 0 (line 1)")),
    "UTF-16 without a mark": (file("t.txt", LINES.decode().encode("utf-16-le")), ("t.txt", "offset 1 (line 1)")),
    "Latin-1": (file("t.txt", LINES + "café".encode("latin-1")), ("byte 0xe9 at offset 833 (line 61)",)),
    "a cut character": (file("t.txt", LINES + "café".encode()[:-1]), ("byte 0xc3 at offset 833 (line 61)",)),
    "a surrogate": (file("t.txt", LINES + b"\xed\xa0\x80"), ("byte 0xed at offset 830 (line 61)",)),
    "compressed": (file("t.txt", zlib.compress(LINES)), ("t.txt", "offset")),
    "no byte": (file("t.txt", b""), ("t.txt", "no documents to train on")),
    "blank lines": (file("t.txt", b"\n \r\n\t\n"), ("t.txt", "no documents to train on")),
    "one line": (file("t.txt", b"one"), ("t.txt", "at least 2 are needed")),
    "a folder": (lambda root: root, ("is a folder",)),
    "a pipe": (pipe("t.txt"), ("t.txt", "pipe, socket or device")),
    "a device": (at("/dev/zero"), ("'/dev/zero' is a pipe, socket or device",)),
    "a link to itself": (link("t.txt", "t.txt"), ("t.txt", "neither")),
    "an unreadable file": (link("t.txt", "/proc/self/mem"), ("t.txt", "Input/output error")),
    "a name with a NUL": (at("./a\0b.txt"), ("neither",)),
    "a name that is too long": (at("./" + "a" * 5000), ("neither",)),
    "the home of nobody": (at("~nobody-of-this-name/t.txt"), ("neither",)),
}


@pytest.mark.parametrize(("make", "words"), TEXT_CASES.values(), ids=TEXT_CASES)
def test_damaged_text(make: Maker, words: tuple[str, ...], tmp_path: Path) -> None:
    path = make(tmp_path)
    text = refusal(lambda: load_text(path, codec=TextCodecOptions("sentencepiece", 8)))
    for word in words:
        assert word in text
    judged = refusal(lambda: load_text("arithmetic", codec=TextCodecOptions(length=8), heldout=path))
    assert "heldout" in judged or "to judge by" in judged


def test_other_control_characters_are_data(tmp_path: Path) -> None:
    lines = [f"{number}\ta\x1b[1mb\x07\x0c\x0b\x1c\x85\u2028\rc" for number in range(60)]
    data = load_text(file("t.txt", "\n".join(lines).encode())(tmp_path), codec=TextCodecOptions(length=32))
    assert sorted(data.codec.decode(data.codes) + data.codec.decode(data.heldout_codes)) == sorted(lines)


def test_a_nul_in_a_row_of_the_hub_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"words": [f"row {row}" for row in range(60)] + ["a\0b"]})
    monkeypatch.setattr(text_source, "load_hub", lambda name, streaming, revision: dataset_rows.HubSplits(train=rows))
    text = refusal(lambda: load_text("owner/name", codec=TextCodecOptions(length=8)))
    assert text == "row 60 of dataset 'owner/name' is damaged: 'words' holds a NUL character"
