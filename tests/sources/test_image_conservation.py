"""Of images nothing is lost without a word: whatever the folder, the source or the codec, all is kept or noted.

Each property runs over generated cases, and is shown to fail where an old fault is put back.
"""

import csv
import io
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from bgan_discrete.codecs import CodecOptions
from bgan_discrete.errors import InputError
from bgan_discrete.sources import ImageData, describe, folders, load_images, pictures, rows, values
from bgan_discrete.sources import images as loading

CASES = pytest.mark.parametrize("cases", [100, pytest.param(1000, marks=pytest.mark.long)])
EXACT = CodecOptions(num_categories=256)
SPLIT_WORDS = ["train", "Test", "validation", "val", "dev", "training"]


def check(cases: int, strategy: st.SearchStrategy[Any], holds: Callable[[Any], None]) -> None:
    kept = settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    kept(given(strategy)(holds))()


def numbered(number: int) -> np.ndarray:
    """A picture that tells its number."""
    picture = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
    picture[0, :2] = divmod(number, 256)
    return picture


def all_pixels(data: ImageData) -> Counter[bytes]:
    decoded = [data.codec.decode(part) for part in (data.codes, data.heldout_codes)]
    return Counter(image.tobytes() for part in decoded for image in part)


@contextmanager
def room() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def loaded_twice(place: Any, root: Path, **options: Any) -> ImageData:
    """The data, which come from the cache as they were made."""
    made, again = (load_images(place, cache_dir=root / "cache", **options) for _ in range(2))
    assert (made.from_cache, again.from_cache) == (False, True)
    assert all_pixels(made) == all_pixels(again)
    assert (made.notes, made.counts, made.class_names) == (again.notes, again.counts, again.class_names)
    assert np.array_equal(made.labels, again.labels) or made.labels is None is again.labels
    assert all(f"note:        {note}" in describe(again) for note in made.notes)
    return made


# --- folders ---

CHARACTERS = st.sampled_from(
    [*"ab10 .*?[]{}#%&'\"\\:;,=+~$!-_\n\t\r\x1b\x7f", "é", "e\u0301", "\udcff", "\u202e", "中"]
)
WORDS = st.sampled_from([*SPLIT_WORDS, "test set", "crash test", "train 2", "cat", "dog", "10", "9", "x" * 240])
STEMS = st.one_of(
    WORDS, st.lists(CHARACTERS, min_size=1, max_size=6).map("".join).filter(lambda name: name not in (".", ".."))
)
SUFFIXES = st.sampled_from([".png", ".PNG", ".bmp", ".tif", ".gif", ".png", ".txt", ".zip", ".csv", ""])
TREES = st.lists(st.tuples(st.lists(STEMS, max_size=2), STEMS, SUFFIXES), min_size=3, max_size=12)
"""Folders, name and suffix of each file."""


def plant(root: Path, tree: list[tuple[list[str], str, str]]) -> dict[str, int]:
    """Write the files of a tree; the number of each picture by its name."""
    numbers: dict[str, int] = {}
    for number, (parents, stem, suffix) in enumerate(tree):
        path = root.joinpath(*parents, stem[: 250 - len(suffix)] + suffix)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError:  # a file has the name of the folder
            continue
        if path.exists():
            continue
        if suffix.lower() in folders.PICTURE_SUFFIXES and suffix:
            Image.fromarray(numbered(number)).save(path)
        else:
            path.write_bytes(b"text")
        numbers[path.relative_to(root).as_posix()] = number
    return numbers


def model_of(names: list[str]) -> tuple[list[str], list[str]]:
    """Pictures, and files or whole folders that are left out, by the rules in words."""
    is_hidden = {name: any(part.startswith(".") for part in name.split("/")) for name in names}
    is_picture = {name: Path(name.lower()).suffix in folders.PICTURE_SUFFIXES for name in names}
    kept = [name for name in names if is_picture[name] and not is_hidden[name]]
    others = [name for name in names if not is_picture[name] and not is_hidden[name]]
    hidden = {
        next(n for n in prefixes(name) if n.rpartition("/")[2].startswith(".")) for name in names if is_hidden[name]
    }
    return kept, [*others, *hidden]


def prefixes(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def splits_by_the_rule(names: list[str]) -> dict[str, list[str]]:
    kind = {"train": "train", "training": "train", "test": "test", "validation": "validation", "val": "validation"}
    kind["dev"] = "validation"
    tops = [kind.get(name.split("/")[0].lower()) if "/" in name else None for name in names]
    if None in tops:
        return {"train": names}
    return {str(top): [name for name, t in zip(names, tops, strict=True) if t == top] for top in tops}


def every_picture_comes_in(tree: list[tuple[list[str], str, str]]) -> None:
    with room() as root:
        numbers = plant(root / "data", tree)
        kept, left = model_of(list(numbers))
        splits = splits_by_the_rule(kept)
        heldout = next((split for split in ("test", "validation") if split in splits), None)
        try:
            data = loaded_twice(root / "data", root, codec=EXACT, color="grey")
        except InputError as error:
            few = len(splits.get("train", [])) < (2 if heldout else 3)
            assert few, f"{error} of {kept}"
            return
        read = [name for split in ("train", heldout) if split for name in splits[split]]
        assert all_pixels(data) == Counter(numbered(numbers[name]).tobytes() for name in read)
        assert data.counts["found"] == len(kept)
        counted = [re.match(r"([\d,]+) of ([\d,]+) (files|images) of the data set are left out", n) for n in data.notes]
        counts = {kind: sum(int(m[1]) for m in counted if m and m[3] == kind) for kind in ("files", "images")}
        assert counts == {"files": len(left), "images": len(kept) - len(read)}


@CASES
def test_every_picture_of_a_folder_comes_in_or_is_counted_as_left_out(cases: int) -> None:
    check(cases, TREES, every_picture_comes_in)


def by_words_anywhere(names: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """As it was: files whose names hold the word of a split are the split, and the others vanish."""
    found = {
        split: [n for n in names if re.search(rf"(^|[-_. /]){split}($|[-_. /])", n)]
        for split in ("train", "test", "dev")
    }
    found = {split: files for split, files in found.items() if files}
    return (found, []) if found else ({"train": list(names)}, [])


def without_the_others(place: Path) -> folders.Files:
    files = folders.find_files(place)
    return folders.Files(files.root, files.pictures, files.tables, files.metadata)


@pytest.mark.parametrize(
    ("module", "name", "fault"),
    [(pictures, "split_files", by_words_anywhere), (loading, "find_files", without_the_others)],
)
def test_the_property_of_folders_can_fail(module: Any, name: str, fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, name, fault)
    with pytest.raises(AssertionError):
        check(100, TREES, every_picture_comes_in)


NUMBERED = st.tuples(STEMS, st.lists(st.integers(0, 10**30), min_size=3, max_size=8, unique=True), st.booleans())


def order_is_natural(case: tuple[str, list[int], bool]) -> None:
    stem, numbers, are_folders = case
    stem = stem.strip(".0123456789")[:100]
    with room() as root:
        for number in numbers:
            path = root / "data" / (f"{stem}{number}/x.png" if are_folders else f"{stem}{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        found = folders.find_files(root / "data").pictures
        assert found == tuple(f"{stem}{n}/x.png" if are_folders else f"{stem}{n}.png" for n in sorted(numbers))


@CASES
def test_the_order_of_a_folder_is_natural(cases: int) -> None:
    check(cases, NUMBERED, order_is_natural)


def test_the_property_of_the_order_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "natural_key", str)
    with pytest.raises(AssertionError):
        check(100, NUMBERED, order_is_natural)


# --- sources ---

LABELS: dict[str, Any] = {
    "none": lambda n: None,
    "numbers": lambda n: np.arange(n) % 3,
    "words": lambda n: np.array([f"kind {i % 4 * 5}" for i in range(n)]),
    "one-hot": lambda n: np.eye(3)[np.arange(n) % 3],
    "missing": lambda n: np.where(np.arange(n) % 5, np.arange(n) % 2, -1),
    "fractions": lambda n: np.arange(n) / 2,
    "too few": lambda n: np.arange(n - 1),
    "many-hot": lambda n: np.ones((n, 3)),
}
USABLE = {"numbers", "words", "one-hot"}
SOURCES = st.tuples(
    st.sampled_from(["npz", "parquet", "metadata"]), st.sampled_from(sorted(LABELS)), st.integers(3, 40), st.booleans()
)


def write_source(root: Path, kind: str, images: list[np.ndarray], labels: Any) -> Path:
    if kind == "npz":
        columns = {} if labels is None else {"labels": labels}
        np.savez(root / "data.npz", images=np.stack(images), **columns)
        return root / "data.npz"
    cells = [] if labels is None else labels.tolist()
    cells += [None] * (len(images) - len(cells))
    if kind == "parquet":
        encoded = []
        for image in images:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "BMP")
            encoded.append({"bytes": buffer.getvalue(), "path": None})
        pq.write_table(
            pa.table({"image": encoded, **({} if labels is None else {"label": cells})}), root / "a*.parquet"
        )
        return root / "a*.parquet"
    (root / "data").mkdir()
    with (root / "data" / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", *(["label"] if labels is not None else [])])
        for number, (image, cell) in enumerate(zip(images, cells, strict=True)):
            Image.fromarray(image).save(root / "data" / f"é {number}.png")
            missing = cell is None or cell == -1
            table.writerow([f"é {number}.png", *(["" if missing else cell] if labels is not None else [])])
    return root / "data"


def every_row_comes_in(case: tuple[str, str, int, bool]) -> None:
    kind, label, count, is_wanted = case
    images = [numbered(number) for number in range(count)]
    labels = LABELS[label](count)
    with room() as root:
        place = write_source(root, kind, images, labels)
        wanted = {"npz": "labels"}.get(kind, "label") if is_wanted and labels is not None else None
        # Lists of numbers in a table are no labels, and numbers in a text are words.
        in_table = kind == "parquet" and label in ("one-hot", "many-hot", "fractions")
        is_usable = (label in USABLE and not in_table) or (
            kind == "metadata" and label in ("one-hot", "many-hot", "fractions")
        )
        try:
            data = loaded_twice(place, root, codec=EXACT, label_column=wanted)
        except InputError as error:
            assert wanted and not is_usable and ("label" in str(error)), f"{case}: {error}"
            return
        assert all_pixels(data) == Counter(image.tobytes() for image in images)
        assert data.counts["found"] == count == len(data.codes) + len(data.heldout_codes)
        is_noted = any(note.startswith(rows.LABELS_ASIDE) or "label" in note for note in data.notes)
        if not is_usable:
            assert data.labels is None and (is_noted or labels is None)
        elif label in USABLE:
            assert labels is not None and data.labels is not None and data.heldout_labels is not None
            names = data.class_names or [str(number) for number in range(3)]
            expected = labels.argmax(1) if label == "one-hot" and kind == "npz" else labels.tolist()
            for codes, found in ((data.codes, data.labels), (data.heldout_codes, data.heldout_labels)):
                for image, number in zip(codes, found, strict=True):
                    assert names[number] == str(expected[int(image[0, 0]) * 256 + int(image[0, 1])])


@CASES
def test_every_row_of_a_source_comes_in_whatever_its_labels(cases: int) -> None:
    check(cases, SOURCES, every_row_comes_in)


def test_the_property_of_sources_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    from bgan_discrete.sources import dataset_rows, numpy_files

    def as_it_was(read: Any, place: str, notes: list[str], wanted: bool) -> Any:
        return rows.try_labels(read, place, notes, wanted=True)

    for module in (numpy_files, dataset_rows, pictures):
        monkeypatch.setattr(module, "try_labels", as_it_was)
    with pytest.raises(AssertionError):
        check(100, SOURCES, every_row_comes_in)


# --- codecs ---

CODECS = st.one_of(
    st.just(CodecOptions()),
    st.builds(CodecOptions, num_categories=st.integers(2, 256)),
    st.builds(CodecOptions, name=st.just("binary"), threshold=st.integers(1, 255), stochastic=st.booleans()),
    st.builds(CodecOptions, name=st.just("palette"), num_categories=st.integers(2, 20), dither=st.booleans()),
)
PIXELS = st.tuples(CODECS, st.lists(st.integers(0, 255), min_size=2, max_size=90, unique=True), st.booleans())
SMALL = st.tuples(CODECS, st.integers(2, 80).map(lambda high: list(range(high))), st.booleans())


def merges_are_reported(case: tuple[CodecOptions, list[int], bool]) -> None:
    options, present, in_colour = case
    shape = (12, 8, 8, 3) if in_colour and options.name != "binary" else (12, 8, 8)
    images = np.random.default_rng(len(present)).choice(np.array(present, np.uint8), shape)
    with room() as root:
        try:
            data = load_images(images, codec=options, cache_dir=root)
        except InputError as error:
            fault = "pixels of the training images run from|distinct (levels|colours)|holdout finds"
            assert re.search(fault, str(error)), error
            if str(error).startswith("pixels"):
                assert "palette" in str(error) or options != CodecOptions()
            return
        decoded = [data.codec.decode(part) for part in (data.codes, data.heldout_codes)]
        before, after = (
            len(np.unique(part.reshape(-1, 3 if len(shape) == 4 else 1), axis=0))
            for part in (images, np.concatenate(decoded))
        )
        (pair,) = [
            re.match(r"([\d,]+) different .* become ([\d,]+) ", note) for note in data.notes if "different" in note
        ] or [None]
        if after < before:
            assert pair is not None and [int(pair[n].replace(",", "")) for n in (1, 2)] == [before, after]
        else:
            assert pair is None
        training = Counter(image.tobytes() for image in decoded[0])
        if options == CodecOptions() and len(shape) == 3 and len(present) <= 64:
            assert not training - Counter(image.tobytes() for image in images), "few values stay as they are"


@CASES
@pytest.mark.parametrize("strategy", [PIXELS, SMALL], ids=["any values", "small ranges"])
def test_values_that_merge_are_reported(cases: int, strategy: st.SearchStrategy[Any]) -> None:
    check(cases, strategy, merges_are_reported)


def test_the_property_of_values_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "value_notes", lambda *arguments: [])
    with pytest.raises(AssertionError):
        check(100, PIXELS, merges_are_reported)
    monkeypatch.setattr(loading, "value_notes", values.value_notes)
    monkeypatch.setattr(
        loading, "fit_codec", lambda options, pixels: options.build(1 + pixels.ndim // 4 * 2).fit(pixels)
    )
    with pytest.raises(AssertionError):
        check(100, SMALL, merges_are_reported)
