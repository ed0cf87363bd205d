"""The report of a run: what it says, that it is sound HTML of one piece, and how it looks in a real browser."""

import base64
import io
import json
import math
import os
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_process import run_script
from PIL import Image

import bgan_discrete.runs.train
from bgan_discrete.config import ImageTrainingConfig, TextTrainingConfig
from bgan_discrete.diagnosis import Outcome, check_outcome
from bgan_discrete.errors import InputError, NonFiniteError
from bgan_discrete.metrics.figure import Direction, Evaluation, Figure, figures_of, readable
from bgan_discrete.reporting import (
    findings_of,
    load_record,
    recorded,
    write_comparison_page,
    write_report_page,
)
from bgan_discrete.reporting.charts import COLOURS, _Curve, _draw, _Panel, _thinned, charts_of, plot_curves
from bgan_discrete.reporting.neighbours import (
    absent_classes,
    edit_distances,
    nearest_images,
    nearest_rows,
    nearest_texts,
)
from bgan_discrete.reporting.page import MAX_FRAMES, _verdict, best_of
from bgan_discrete.run_folder import RunFolder
from bgan_discrete.templating import TEMPLATES, markup, render

from browser import VARIABLE, Browser, find_browser  # type: ignore[import-not-found]  # isort: skip

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"generator_width": 8, "discriminator_width": 8, "generator_depth": 1, "discriminator_depth": 1,
         "batch_size": 16, "threads": 1, "device": "cpu", "log_interval": 10, "num_samples": 0}  # fmt: skip
HOSTILE = "<script>alert(1)</script>"
FACTS = ("command", "neighbours", "training", "versions", "description", "started", "unknown_share", "figures", "rows",
         "model", "floor", "num_samples", "class_shares", "class_histogram", "classifier_accuracy", "block_size",
         "step", "d_real", "ess_fraction", "steps", "seconds", "stopped_by", "differing", "distance", "searched",
         "noun", "pairs", "direction", "baselines", "notes", "method", "training_repeated", "copies",
         "value", "classes_absent_from_training", "failure", "nearest_neighbour_accuracy", "num_heldout",
         "rounds", "stages", "caption", "count", "last", "first", "drawn", "lines", "cells", "values")  # fmt: skip


def train(folder: Path, **options: Any) -> str:
    """Train on images and give back the page."""
    bgan_discrete.runs.train.train(ImageTrainingConfig.from_flat({**SMALL, "output_dir": str(folder), **options}))
    return (folder / "report.html").read_text(encoding="utf-8")


def keys(page: str) -> set[str]:
    """The warnings that a page names."""
    return set(re.findall(r'data-key="(\w+)"', page))


class Page(HTMLParser):
    """A page taken apart: what is nested wrongly, and all that a browser would look at."""

    VOID = {"meta", "img", "input", "br", "link", "source"}

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute stands twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"{tag} may not close itself in HTML"
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def check_page(text: str) -> Page:
    """Assert that a page is sound and needs nothing else, whatever it shows."""
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("title")) == len(page.all("main")) == 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name, attributes in page.elements:
        for key in ("src", "href", "data", "action", "poster", "xlink:href", "srcset"):
            target = attributes.get(key)
            assert target is None or target.startswith("data:image/") or target[1:] in ids, f"{name} wants {target}"
        assert "style" not in attributes, "the page's own policy forbids these"
        assert not any(key.startswith("on") for key in attributes), name
        if attributes.get("for"):
            assert attributes["for"] in ids
    assert not {"link", "iframe", "object", "embed", "base", "audio", "video"} & {name for name, _ in page.elements}
    assert "url(" not in text
    assert "@import" not in text
    assert not re.search(r"https?://", text)
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in page.all("svg"))
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for attributes in (*page.all("img"), *page.all("source")):
        source = attributes.get("src") or attributes.get("srcset") or ""
        kind, content = re.fullmatch(r"data:image/([\w+]+);base64,(.*)", source).groups()  # type: ignore[union-attr]
        if kind == "svg+xml":
            check_drawing(base64.b64decode(content).decode())
            continue
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            assert (image.format or "").lower() == kind
    assert len(text) < 4_000_000
    return page


def check_drawing(svg: str) -> ElementTree.Element:
    """Assert that a drawing is sound, asks for nothing and runs nothing."""
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    for part in root.iter():
        assert part.tag.rpartition("}")[2] not in ("script", "image", "foreignObject")
        assert all(value.startswith("#") for key, value in part.attrib.items() if key.endswith("href"))
    assert "nan" not in svg
    return root


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on the digits, whose folder's name is markup."""
    folder = tmp_path_factory.mktemp("images") / 'run <i>&"1'
    train(folder, max_steps=60, sample_interval=2, num_samples=60, num_draws=3)
    return folder


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on lines that are markup."""
    place = tmp_path_factory.mktemp("text")
    lines = "".join(f"{HOSTILE}{n % 10}\n" for n in range(200))
    (place / "lines.txt").write_text(lines, encoding="utf-8")
    options = {**SMALL, "output_dir": str(place / "run"), "dataset": str(place / "lines.txt"), "max_steps": 20,
               "sample_interval": 5, "num_samples": 60, "generator": "mlp"}  # fmt: skip
    bgan_discrete.runs.train.train(TextTrainingConfig.from_flat(options))
    return place / "run"


def test_a_run_of_images_ends_with_a_report(images: Path) -> None:
    page = check_page((images / "report.html").read_text(encoding="utf-8"))
    for words in (
        "Run run <i>&\"1", "--max-steps", "--num-draws", "1,297 to train on, 500 held out", "bgan_discrete 0.",
        "Fréchet distance, pixels", "better", "as the floor", "D(real)", "log beta", "ESS/M", "Throughput",
        "steps a second", "Gradient norms", "of the codes differ", "classifier is right on",
    ):  # fmt: skip
        assert words in page.text, words
    pictures = [attributes["alt"] or "" for attributes in page.all("img")]
    steps = [alt for alt in pictures if alt.startswith("Samples at step ")]
    assert len(steps) == MAX_FRAMES
    assert (steps[0], steps[-1]) == ("Samples at step 2", "Samples at step 60")
    assert sum(alt.startswith("nearest training image") for alt in pictures) == 16
    assert page.all("input")[0]["max"] == str(MAX_FRAMES - 1)
    assert all(attributes.get("scope") for attributes in page.all("th"))


def test_a_run_of_text_ends_with_a_report_that_escapes_everything(text: Path) -> None:
    written = (text / "report.html").read_text(encoding="utf-8")
    page = check_page(written)
    assert len(page.all("script")) == 1
    assert HOSTILE not in written
    assert HOSTILE in page.text, "as text, in the column of the nearest training texts"
    for words in ("nearest training text", "JSD-4", "Markov 5", "as the floor", "step 20", "--generator"):
        assert words in page.text, words
    facts = json.loads((text / "facts.json").read_text(encoding="utf-8"))
    assert len(facts["neighbours"]["pairs"]) == 16
    assert facts["training"]["stopped_by"] == "max_steps"


def test_what_a_folder_holds_is_named_in_one_way(images: Path) -> None:
    folder = RunFolder(images)
    assert folder.page.is_file()
    assert folder.facts.is_file()
    assert folder.neighbours.is_file()
    assert {folder.page, folder.facts, folder.neighbours} <= set(folder.parts())


def test_the_pictures_of_the_pairs_are_the_data(images: Path) -> None:
    from bgan_discrete.sources import load_images

    data = load_images("digits")
    pairs = json.loads((images / "facts.json").read_text(encoding="utf-8"))["neighbours"]["pairs"]
    whole = np.asarray(Image.open(images / "neighbours.png"))
    assert whole.shape == (16, 16 * 8)
    for place, pair in enumerate(pairs):
        shown = whole[8:, 8 * place : 8 * place + 8]
        assert np.array_equal(shown, data.codec.decode(data.codes[pair["row"]][None])[0])


def test_a_report_is_made_again_by_the_script_alone(images: Path, tmp_path: Path) -> None:
    before = (images / "report.html").read_bytes()
    (images / "report.html").unlink()
    said = script(str(images))
    assert said.stdout.strip() == f"report: {images / 'report.html'}"
    assert (images / "report.html").read_bytes() == before
    script(str(images), "--output", str(tmp_path / "sub" / "page.html"))
    assert (tmp_path / "sub" / "page.html").read_bytes() == before


def script(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_script("report", *arguments, cwd=ROOT)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_bad_input_is_one_line(images: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ([str(tmp_path)], "is not the folder of a run"),
        ([str(images), str(images.parent)], "--output"),
        ([str(images), "--output", "page.pdf"], "ends in .html"),
    ):
        said = script(*arguments, code=2).stderr
        assert len(said.strip().splitlines()) == 1
        assert said.startswith("report.py: error: ")
        assert words in said
    assert "--output" in script("--help").stdout


def copy_of(run: Path, to: Path, *names: str) -> Path:
    to.mkdir()
    for name in names:
        (to / name).write_bytes((run / name).read_bytes())
    return to


def test_an_unfinished_run_has_a_report_of_what_there_is(images: Path, tmp_path: Path) -> None:
    begun = copy_of(images, tmp_path / "begun", "config.yaml")
    page = check_page(write_report_page(begun).read_text(encoding="utf-8"))
    assert "No figures were logged yet." in page.text
    assert findings_of(load_record(begun))[0].key == "unfinished"
    going = copy_of(images, tmp_path / "going", "config.yaml", "metrics.jsonl", "facts.json")
    (going / "metrics.jsonl").open("a", encoding="utf-8").write('{"step": 70, "d_re')
    facts = json.loads((going / "facts.json").read_text(encoding="utf-8"))
    (going / "facts.json").write_text(json.dumps({"description": facts["description"]}), encoding="utf-8")
    page = check_page(write_report_page(going).read_text(encoding="utf-8"))
    assert "60 steps so far" in page.text
    assert "D(real)" in page.text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.yaml", "a: [", "is not YAML"),
        ("config.yaml", "seed: 2001-13-45", "is not YAML"),
        ("config.yaml", "- 1", "must hold a mapping"),
        ("config.yaml", "seed: 1", "does not hold the options"),
        ("report.json", "{", "is not JSON"),
        ("report.json", "[" * 10**5, "is not JSON"),
        ("facts.json", '{"a": ' + "9" * 5000 + "}", "is not JSON"),
        ("report.json", "[]", "does not hold a JSON object"),
        ("facts.json", "\0", "is not JSON"),
    ],
)
def test_a_broken_file_is_named(images: Path, tmp_path: Path, name: str, content: str, words: str) -> None:
    run = copy_of(images, tmp_path / "run", "config.yaml", "metrics.jsonl")
    (run / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=f"{re.escape(name)}'? {words}"):
        write_report_page(run)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5) | st.sampled_from(FACTS), part, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(["dataset: digits", "dataset: x\ntokenizer: characters", "dataset: x\nmax_categories: null"]),
    *[st.dictionaries(st.sampled_from(FACTS), JSON, max_size=6) for _ in range(3)],
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_its_json_files_hold_a_run_has_a_page_or_one_line(
    tmp_path: Path, options: str, facts: Any, report: Any, line: Any
) -> None:
    (tmp_path / "config.yaml").write_text(options, encoding="utf-8")
    (tmp_path / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, **line}), encoding="utf-8")
    (tmp_path / "samples.png").write_bytes(_png_of(4, 4))
    (tmp_path / "other").mkdir(exist_ok=True)
    ImageTrainingConfig().save(tmp_path / "other" / "config.yaml")
    for call in (
        lambda: write_report_page(tmp_path),
        lambda: write_comparison_page([tmp_path, tmp_path / "other"], tmp_path / "c.html"),
    ):
        try:
            page = call()
        except InputError as error:
            assert "\n" not in str(error)
        else:
            check_page(page.read_text(encoding="utf-8"))


def _png_of(width: int, height: int) -> bytes:
    """A small file whose head tells of a picture of this size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(height * (width + 1)) if width < 100 else b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _out_of_the_folder(path: Path) -> None:
    (path.parent / ".." / "secret.png").resolve().write_bytes(_png_of(4, 4))
    path.symlink_to(path.parent / ".." / "secret.png")


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("samples.png", lambda path: path.write_bytes(_png_of(60000, 60000)), "samples.png cannot be shown: .*pixels"),
        ("samples.png", lambda path: path.write_bytes(_png_of(10000, 10000)), "samples.png cannot be shown: .*pixels"),
        ("samples.png", os.mkfifo, "samples.png cannot be shown: .*samples.png is not a file"),
        ("samples.png", Path.mkdir, "samples.png cannot be shown: .*samples.png is not a file"),
        ("samples.png", lambda path: path.write_bytes(b"GIF89a"), "samples.png cannot be shown"),
        ("samples.png", lambda path: path.symlink_to("nowhere"), "samples.png cannot be shown"),
        ("samples.png", _out_of_the_folder, "samples.png is a link that leads out of the folder"),
        ("neighbours.png", _out_of_the_folder, "neighbours.png is a link that leads out of the folder"),
        ("samples/step-0000001.png", os.mkfifo, "samples/step-0000001.png cannot be shown"),
        ("samples/step-²²²²²²².png", Path.touch, "None were written"),
        ("samples/step-0000001.png", lambda path: path.symlink_to("nowhere"), "This cannot be shown"),
    ],
)
def test_a_page_shows_what_can_be_read(tmp_path: Path, name: str, make: Any, words: str) -> None:
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)
    (run / "config.yaml").write_text("dataset: digits\n", encoding="utf-8")
    (run / "facts.json").write_text(
        json.dumps({"command": 5, "neighbours": {"pairs": [{}]}, "device": "odd"}), encoding="utf-8"
    )
    (run / "metrics.jsonl").write_text('{"step": 1, "d_real": 0.5}\n', encoding="utf-8")
    if name != "samples.png":
        (run / "samples.png").write_bytes(_png_of(4, 4))
    make(run / name)
    page = check_page(write_report_page(run).read_text(encoding="utf-8"))
    assert re.search(words, page.text)
    assert "Mean D" in page.text, "the curves are shown"
    assert len(page.all("img")) == 1 + (name != "samples.png"), "the curves and the samples"


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", "facts.json", "report.json", "samples.txt"])
def test_a_file_of_a_run_that_is_a_pipe_or_a_link_out_of_it_is_one_line(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for make, words in ((os.mkfifo, "is not a file"), (_out_of_the_folder, "leads out of the folder")):
        (run / "config.yaml").unlink(missing_ok=True)
        if name != "config.yaml":
            (run / "config.yaml").write_text("dataset: x\ntokenizer: characters\n", encoding="utf-8")
        make(run / name)
        with pytest.raises(InputError, match=f"{name} .*{words}"):
            write_report_page(run)
        (run / name).unlink()


def test_a_page_that_cannot_be_made_does_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(run: Path) -> Path:
        raise ValueError("math domain error")

    monkeypatch.setattr("bgan_discrete.reporting.recording.write_report_page", fails)
    with recorded(tmp_path, "data"):
        pass
    assert "cannot be written: math domain error" in caplog.text
    with pytest.raises(NonFiniteError, match="the run's own"), recorded(tmp_path, "data"):
        raise NonFiniteError("the run's own")


def test_runs_are_compared(images: Path, tmp_path: Path) -> None:
    other = copy_of(images, tmp_path / "other", "config.yaml", "metrics.jsonl", "report.json", "samples.png")
    options = (other / "config.yaml").read_text(encoding="utf-8")
    options = options.replace("num_draws: 3", "num_draws: 4").replace("\nseed: 0", "\nseed: 1")
    (other / "config.yaml").write_text(options, encoding="utf-8")
    report = json.loads((other / "report.json").read_text(encoding="utf-8"))
    report["figures"]["precision"]["value"] = 1.0
    (other / "report.json").write_text(json.dumps(report), encoding="utf-8")
    page = check_page(write_comparison_page([images, other], tmp_path / "both.html").read_text(encoding="utf-8"))
    for words in ("--num-draws", "--seed", "(best)", "other: D(real)", 'run <i>&"1: D(fake)', "Options that differ"):
        assert words in page.text, words
    assert "--generator-width" not in page.text, "it is the same in both"
    assert [a["alt"] for a in page.all("img")][:2] == ['A grid of samples of run <i>&"1', "A grid of samples of other"]


def test_what_cannot_be_compared(images: Path, text: Path, tmp_path: Path) -> None:
    for runs, words in (
        ([images], "at least two"),
        ([images, images], "named twice"),
        ([images, text], "of one kind of data"),
        ([images, tmp_path], "is not the folder of a run"),
    ):
        with pytest.raises(InputError, match=words):
            write_comparison_page(runs, tmp_path / "both.html")
    assert not (tmp_path / "both.html").exists()


def test_runs_of_one_name_are_told_apart(images: Path, tmp_path: Path) -> None:
    runs = []
    for parent in ("a", "b"):
        (tmp_path / parent).mkdir()
        runs.append(copy_of(images, tmp_path / parent / "run", "config.yaml", "metrics.jsonl"))
    page = check_page(write_comparison_page(runs, tmp_path / "both.html").read_text(encoding="utf-8"))
    assert "a/run: D(real)" in page.text
    assert "All options are the same." in page.text


def test_no_verdict_is_green_over_samples_that_a_judge_tells_from_data() -> None:
    def severity(key: str, value: float, floor: float, direction: Direction = "lower") -> str:
        figures = {key: Figure("a figure", value, direction, floor, {}, 1200)}
        found = check_outcome(Outcome(figures, {"training": {"steps": 8, "stopped_by": "max_steps"}}, {}))
        return _verdict(found)["severity"]

    auc = "auc_of_boosted_trees"
    assert severity(auc, 0.52, 0.5, direction="half") == "good"
    assert severity(auc, 0.7, 0.5, direction="half") == "note"
    assert severity(auc, 0.9, 0.5, direction="half") == "warning"
    assert severity(auc, 0.99, 0.5, direction="half") == "critical"
    for key in ("jsd_4", "frechet_pixels", "frechet_features", "total_variation_of_a_pair_dependent_tenth"):
        assert severity(key, 1.9, 1.0) == "good"
        assert severity(key, 2.0, 1.0) == "note"


class TestPlantedIllnesses:
    """A run is made ill on purpose, and its report must name the illness."""

    def test_a_discriminator_that_is_far_too_strong(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        page = train(tmp_path / "run", discriminator_lr=0.2, discriminator_steps=3, penalty="none", num_draws=4,
                     max_steps=260, sample_interval=0)  # fmt: skip
        assert "discriminator_saturated" in keys(page)
        text = check_page(page).text
        assert "tells real from generated samples almost without error" in text
        assert "--discriminator-lr (now 0.2)" in text
        live = [line for line in capsys.readouterr().err.splitlines() if line.startswith("health, step")]
        assert any("almost without error" in line for line in live), "and while it trains"

    def test_too_few_draws(self, tmp_path: Path) -> None:
        page = train(tmp_path / "run", discriminator_lr=0.01, penalty="none", num_draws=2, max_steps=260,
                     sample_interval=0)  # fmt: skip
        assert "few_draws" in keys(page)
        assert "M = 2 draws are too few" in check_page(page).text
        assert "--num-draws (now 2)" in check_page(page).text

    def test_missing_classes(self, tmp_path: Path) -> None:
        """The generator's steps are so large that it makes nearly one image only."""
        page = train(tmp_path / "run", generator_lr=0.5, num_draws=4, max_steps=120, num_samples=150, sample_interval=0)
        assert "classes_missing" in keys(page)
        report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
        missing = [
            name for name, share in report["class_histogram"].items() if share < 0.1 * report["class_shares"][name]
        ]
        assert missing
        text = check_page(page).text
        assert f"{len(missing)} of 10 classes are missing" in text
        assert ", ".join(map(repr, missing)) in text

    def test_a_discriminator_that_does_not_learn(self, tmp_path: Path) -> None:
        page = train(tmp_path / "run", discriminator_lr=1e-8, num_draws=2, max_steps=220, sample_interval=0)
        assert "discriminator_weak" in keys(page)

    def test_a_run_that_breaks_off(self, tmp_path: Path) -> None:
        with pytest.raises(NonFiniteError):
            train(tmp_path / "run", generator_lr=1e30, max_steps=50)
        page = check_page((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
        assert "The run ended with an error: step 2 was not taken" in page.text


def test_a_report_is_read_as_it_was_written(images: Path, text: Path) -> None:
    for run in (images, text):
        document = json.loads((run / "report.json").read_text(encoding="utf-8"))
        figures = figures_of(document)
        assert len(figures) > 10
        assert {key: figure.to_dict() for key, figure in figures.items()} == document["figures"]
    directions = {figure.title: figure.direction for figure in figures.values()}
    assert (directions["JSD-4"], directions["unique rate"], directions["reverse perplexity"]) == (
        "lower", "floor", "lower",
    )  # fmt: skip


def test_a_report_of_an_earlier_version_is_one_line(images: Path, tmp_path: Path) -> None:
    for number, report in enumerate(
        ({"rows": {"model": {"JSD-1": 0.5}}}, {"figures": {"recall": {"better": "higher"}}})
    ):
        run = copy_of(images, tmp_path / str(number), "config.yaml")
        (run / "report.json").write_text(json.dumps(report), encoding="utf-8")
        with pytest.raises(InputError, match="was written by an earlier version: evaluate the model again"):
            write_report_page(run)


def test_a_share_of_one_is_no_count() -> None:
    figures = {
        "recall": Figure("recall", 1.0, "higher", 0.5, {"independent": 0.0}),
        "classes": Figure("classes", 1.0, "higher", 10.0, {"independent": 2.0}, whole=True),
    }
    shown = [figure.shown(n) for figure in figures.values() for n in (figure.value, figure.floor, figure.baseline)]
    assert shown == ["1.000", "0.500", "0.000", "1", "10", "2"]
    table = Evaluation(figures, "images", "").format_table().splitlines()
    assert table[2].split()[1:4] == ["1.000", "0.500", "0.000"]
    assert table[3].split()[1:4] == ["1", "10", "2"]


def test_a_run_with_labels_names_the_rows_and_one_frame_has_no_slider(images: Path, tmp_path: Path) -> None:
    run = copy_of(images, tmp_path / "run", "config.yaml", "report.json", "samples.png")
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(config.replace("conditional: false", "conditional: true"), encoding="utf-8")
    (run / "samples").mkdir()
    (run / "samples" / "step-0000500.png").write_bytes((images / "samples.png").read_bytes())
    page = check_page(write_report_page(run).read_text(encoding="utf-8"))
    assert "A class in each row: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in page.text
    assert not list(page.all("input"))
    assert "step 500" in page.text


def test_the_best_of_several() -> None:
    def of(direction: Direction, *values: float | None, floor: float | None = None) -> set[int]:
        return best_of([Figure("a", math.nan if value is None else value, direction, floor) for value in values])

    assert of("lower", 3, 1, 2) == {1}
    assert of("higher", 3, None, 3) == set(), "there is nothing to choose"
    assert of("higher", 3, 1, 3) == {0, 2}
    assert of("half", 0.9, 0.4) == {1}
    assert of("floor", 0.2, 0.5, floor=0.45) == {1}
    assert of("floor", 0.2, 0.5) == set()


def test_whatever_goes_into_a_template_is_escaped() -> None:
    hostile = "<b>&\"'\x1b\u202e"
    assert "&lt;b&gt;&amp;&#34;&#39;\\x1b\\u202e" in render("fault.html", fault=hostile)
    assert "<b>x</b>" in render("fault.html", fault=markup("<b>x</b>"))
    for template in TEMPLATES.glob("*.html"):
        assert "safe" not in template.read_text(encoding="utf-8").replace("safe range", ""), "nothing is let through"


def test_a_long_line_is_thinned_and_keeps_its_peaks() -> None:
    points = [(float(i), float(np.sin(i / 50))) for i in range(10_000)]
    points[4321] = (4321.0, 50.0)
    points[8765] = (8765.0, -50.0)
    kept = _thinned(points)
    assert len(kept) <= 410
    assert {points[0], points[-1], points[4321], points[8765]} <= set(kept)
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)
    assert _thinned(points[:10]) == points[:10]


AWKWARD: dict[str, list[tuple[float, float]]] = {
    "one point": [(50.0, 3.0)],
    "constant": [(1.0, 0.0), (2.0, 0.0), (3.0, 0.0)],
    "gaps": [(1.0, 1.0), (2.0, float("nan")), (3.0, float("inf")), (4.0, 2.0), (5.0, 3.0)],
    "wide": [(float(i), 10.0 ** (i % 9 - 4)) for i in range(40)],
    "negative": [(1.0, -1e10), (2.0, 1e-10)],
    "an outlier": [(float(i), 1e9 if i == 70 else 1.0 + i % 5) for i in range(200)],
}


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("logarithmic", [False, True])
def test_charts_of_awkward_figures(name: str, logarithmic: bool) -> None:
    panel = _Panel(name, "nats", {}, aim=0.0, may_be_logarithmic=logarithmic)
    chart = _draw(panel, [_Curve(name, AWKWARD[name])])
    for picture in chart.pictures.values():
        root = check_drawing(base64.b64decode(picture).decode())
        texts = [part.text for part in root.iter() if part.tag.endswith("text")]
        assert "step" in texts
        steps = texts[: texts.index("step")]
        assert len(steps) == len(set(steps)), "a step is marked once"
    assert chart.hidden == (name == "an outlier")
    assert chart.unit == ("nats, logarithmic" if logarithmic and name in ("wide", "an outlier") else "nats")
    assert name in chart.description


def test_charts_are_drawn_of_what_there_is_and_in_two_palettes(tmp_path: Path) -> None:
    lines = [{"step": n, "d_real": 0.5, "penalty": 1e300 * 10, "log_beta": None, "ess_fraction": 0.9} for n in (1, 2)]
    (one, two) = charts_of({"run": lines})
    assert (one.panel.title, two.panel.title) == ("Mean D", "Effective sample size")
    light, dark = (base64.b64decode(one.pictures[theme]).decode() for theme in ("light", "dark"))
    assert COLOURS["light"][0] in light and COLOURS["dark"][0] in dark and COLOURS["light"][0] not in dark
    assert [curve.name for curve in charts_of({"a": lines, "b": lines})[0].curves] == ["a: D(real)", "b: D(real)"]
    assert charts_of({"run": []}) == []
    assert not plot_curves(lines[:1], tmp_path / "curves.png")
    assert plot_curves(lines, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size[0] > 1000


def test_numbers_are_short() -> None:
    assert [readable(v) for v in (0.0, 0.5, 1234.0, 2.5e7, 1e-5, -0.25, 40.0, None)] == [
        "0.000", "0.500", "1,234", "2.5e7", "1.0e-5", "-0.250", "40.000", "-",
    ]  # fmt: skip


def naive_distance(a: list[int], b: list[int]) -> int:
    table = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
    return table[len(a), len(b)]


def test_edit_distances_equal_the_naive_ones() -> None:
    rng = np.random.default_rng(0)
    candidates = rng.integers(0, 3, (60, 7))
    lengths = rng.integers(0, 8, 60)
    for size in range(9):
        codes = rng.integers(0, 3, size)
        found = edit_distances(codes, candidates, lengths)
        assert found.tolist() == [
            naive_distance(codes.tolist(), row[:length].tolist())
            for row, length in zip(candidates, lengths, strict=True)
        ]


def test_the_nearest_texts_are_found_with_bounded_work() -> None:
    rng = np.random.default_rng(1)
    training = rng.integers(0, 5, (3000, 6))
    samples = rng.integers(0, 5, (4, 6))
    samples[0] = training[2999]
    samples[1] = training[1234]

    def lengths(codes: Any) -> Any:
        return np.full(len(codes), 6)

    def decode(codes: Any) -> list[str]:
        return ["".join(map(str, row)) for row in codes]

    for cells in (1e9, 4 * 36 * 100):
        found = nearest_texts(samples, training, lengths, decode, cells)
        pairs = found["pairs"]
        assert [pair["distance"] for pair in pairs[:2]] == [0, 0], "a copy is found, however few texts are searched"
        assert pairs[1]["text"] == pairs[1]["neighbour"] == decode(samples)[1]
        assert f"Searched: {3000 if cells == 1e9 else 100:,} training texts" in found["note"]
    best = [int(edit_distances(row, training, lengths(training)).min()) for row in samples]
    assert [pair["distance"] for pair in nearest_texts(samples, training, lengths, decode)["pairs"]] == best


def test_the_nearest_rows_equal_the_naive_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    training, samples = rng.integers(0, 3, (50, 2, 3)), rng.integers(0, 3, (5, 2, 3))
    samples[0] = training[49]
    for at_once in (4_000_000, 40):
        monkeypatch.setattr("bgan_discrete.reporting.neighbours.PIXELS_AT_ONCE", at_once)
        found = nearest_rows(samples, training, lambda codes: [str(row.tolist()) for row in codes])
        pairs = found["pairs"]
        distances = (samples[:, None] != training).reshape(5, 50, -1).sum(-1)
        assert [pair["distance"] for pair in pairs] == distances.min(1).tolist()
        assert [pair["neighbour"] for pair in pairs] == [str(training[k].tolist()) for k in distances.argmin(1)]
        assert (pairs[0]["distance"], pairs[0]["length"]) == (0, 6) and "Searched: 50 training rows" in found["note"]


def test_the_nearest_images_equal_the_naive_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    training, samples = (
        rng.integers(0, 4, (5000, 3, 3)).astype(np.uint8),
        rng.integers(0, 4, (5, 3, 3)).astype(np.uint8),
    )
    samples[2] = training[4500]

    def decode(codes: Any) -> Any:
        return (codes * 85).astype(np.uint8)

    pairs = nearest_images(samples, training, decode, tmp_path / "pairs.png")["pairs"]
    gaps = ((samples[:, None].astype(float) - training) / 3).reshape(5, 5000, 9)
    naive = np.sqrt((gaps**2).mean(2).min(1))
    assert np.allclose([pair["distance"] for pair in pairs], naive)
    assert (pairs[2]["distance"], pairs[2]["differing"]) == (0.0, 0.0)
    assert np.asarray(Image.open(tmp_path / "pairs.png")).shape == (6, 15)


def test_classes_that_training_lacks() -> None:
    labels = np.array([0, 1, 1])
    assert absent_classes(labels, np.array([1, 2, 2]), ("a", "b", "c")) == ["c"]
    assert absent_classes(labels, np.array([3]), None) == ["3"]
    assert absent_classes(labels, None, None) == absent_classes(None, labels, None) == []


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_contrast(theme: int) -> None:
    """As WCAG 2.1 wants: 4.5 for text, 3 for graphics."""
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8").split("@media (prefers-color-scheme: dark)")[theme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", css))
    drawn = [colours[name] for name in ("c0", "c1", "c2", "c3", "c4", "c5", "quiet", "line")]
    assert list(COLOURS["dark" if theme else "light"]) == drawn, "charts have the page's colours"
    for ink in ("ink", "quiet", "link", "good"):
        for paper in ("paper", "panel"):
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    for kind in ("critical", "warning", "note", "good"):
        assert contrast(colours[kind], colours[f"{kind}-paper"]) >= 4.5, kind
        assert contrast(colours["ink"], colours[f"{kind}-paper"]) >= 4.5, kind
    for number in range(6):
        assert contrast(colours[f"c{number}"], colours["paper"]) >= 3, number


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip(f"no Chromium or Chrome is installed: none on the path, nor named by {VARIABLE}")
    with Browser(program) as opened:
        yield opened


class TestInABrowser:
    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    @pytest.mark.parametrize("width", [1200, 360])
    @pytest.mark.parametrize("kind", ["images", "text", "comparison"])
    def test_the_page_fits_and_asks_for_nothing(
        self, browser: Browser, images: Path, text: Path, tmp_path: Path, kind: str, width: int, dark: bool
    ) -> None:
        page = {"images": images / "report.html", "text": text / "report.html"}.get(kind)
        if page is None:
            other = copy_of(images, tmp_path / "another run with quite a long name", "config.yaml", "metrics.jsonl",
                            "report.json", "samples.png")  # fmt: skip
            page = write_comparison_page([images, other], tmp_path / "both.html")
        browser.open(page, width, dark)
        browser.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate("document.querySelector('h1').textContent")
        paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")
        assert browser.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
        assert all(url.startswith(("file:", "data:")) for url in browser.requests)
        assert browser.console == [], "no error and no breach of the page's own policy"

    @pytest.mark.parametrize("kind", ["images", "text"])
    def test_the_slider_moves_through_the_steps(self, browser: Browser, images: Path, text: Path, kind: str) -> None:
        browser.open((images if kind == "images" else text) / "report.html", 1200)
        frames = "[...document.querySelectorAll('.slides > figure')]"
        seen = f"{frames}.filter((frame) => frame.offsetParent).map((frame) => frame.dataset.step)"
        last = "60" if kind == "images" else "20"
        assert browser.evaluate(seen) == [last]
        slider = "document.querySelector('.slider input')"
        browser.evaluate(f"{slider}.value = 0; {slider}.dispatchEvent(new Event('input')); 0")
        first = "2" if kind == "images" else "5"
        assert browser.evaluate(seen) == [first]
        assert browser.evaluate("document.querySelector('.slider output').textContent") == f"step {first}"

    def test_without_scripts_all_steps_are_there(self, browser: Browser, images: Path) -> None:
        browser.open(images / "report.html", 360, script=False)
        count = "[...document.querySelectorAll('.slides > figure')].filter((f) => f.offsetParent).length"
        assert browser.evaluate(count) == MAX_FRAMES
        assert browser.evaluate("document.querySelector('.slider').offsetParent === null")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 360
