"""What a report shows of a generator that draws in rounds: the right positions at the right time, for every kind."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_reporting import SMALL, check_page, copy_of

import bgan_discrete.runs.train
from bgan_discrete.codecs import CharacterCodec, IntegersCodec, LevelsCodec, TableCodec
from bgan_discrete.config import ArrayTrainingConfig, ImageTrainingConfig, TextTrainingConfig
from bgan_discrete.kinds.arrays import Arrays
from bgan_discrete.kinds.images import Images
from bgan_discrete.kinds.text import Text
from bgan_discrete.models.pipeline import Pipeline
from bgan_discrete.models.saving import model_facts
from bgan_discrete.nn import ConvDiscriminator
from bgan_discrete.nn.transformers import CausalTransformerGenerator, MaskedTransformerGenerator
from bgan_discrete.publishing.card import Samples, render_card
from bgan_discrete.reporting import write_report_page
from bgan_discrete.reporting.rounds import (
    HIDDEN,
    MAX_STAGES,
    STRIPES,
    DrawnRounds,
    counted_rounds,
    lines_of_rounds,
    rgb_of_code,
    rgb_of_round,
)
from bgan_discrete.run_folder import RunFolder
from bgan_discrete.runs.rounds import drawn_rounds
from bgan_discrete.space import SampleSpace

from browser import VARIABLE, Browser, find_browser  # type: ignore[import-not-found]  # isort: skip

HOSTILE = "<script>alert(1)</script>"
CPU = torch.device("cpu")


def generator(space: SampleSpace, **options: Any) -> MaskedTransformerGenerator:
    torch.manual_seed(0)
    return MaskedTransformerGenerator(space, latent_size=4, width=8, depth=1, heads=2, **options)


def drawn(space: SampleSpace, **options: Any) -> DrawnRounds:
    return drawn_rounds(generator(space, **options), 0, CPU)


# The stages.


@pytest.mark.parametrize("network", [MaskedTransformerGenerator, CausalTransformerGenerator])
@pytest.mark.parametrize("order", ["left_to_right", "interleaved", "random"])
def test_a_stage_shows_what_its_rounds_have_drawn_and_the_last_one_is_the_sample(network: Any, order: str) -> None:
    space = SampleSpace((12,), 5, end_id=0)
    torch.manual_seed(0)
    distribution = network(space, 4, 8, 1, 2, rounds=4, order=order)(torch.randn(50, 4))
    stages = distribution.stages(torch.Generator().manual_seed(1))
    assert len(stages) == 4
    for s, (before, after) in enumerate(pairwise(stages[:-1])):
        assert torch.equal(before == 5, (distribution.rounds > s).expand(50, -1))
        assert torch.equal(before[before < 5], after[before < 5])
    assert torch.equal(stages[-1], distribution.sample(1, torch.Generator().manual_seed(1))[0])


@pytest.mark.parametrize("count", [2, 7, 8, 9, 64])
def test_the_stages_that_are_shown_are_together_all_rounds(count: int) -> None:
    shown = drawn(SampleSpace((64,), 3), rounds=count, cut="equal").shown(MAX_STAGES)
    assert [number for first, last in shown for number in range(first, last + 1)] == list(range(count))
    assert len(shown) == min(count, MAX_STAGES)


def test_rounds_are_counted_in_words() -> None:
    assert counted_rounds([4, 4, 8, 16], "pixels") == "4 rounds of 4, 4, 8 and 16 pixels"
    assert counted_rounds([1] * 30, "characters") == "30 rounds of 1 character each"
    assert counted_rounds([1] * 10 + [1000], "pixels") == "11 rounds of 1 to 1,000 pixels"


# What each kind shows.


def tiles_of(path: Path, count: int) -> list[np.ndarray]:
    return np.split(np.asarray(Image.open(path)), count, axis=1)


def cells_of(tile: np.ndarray, height: int, width: int, scale: int) -> np.ndarray:
    """The four images of a tile in their own size ``[4, H, W, 3]``: the upper left corner of each of their pixels."""
    tall, wide = height * scale + 2, width * scale + 2
    corners = [(2 + row * tall, 2 + column * wide) for row in (0, 1) for column in (0, 1)]
    return np.stack([tile[y : y + tall - 2 : scale, x : x + wide - 2 : scale] for y, x in corners])


def test_the_picture_of_images_is_what_was_drawn(tmp_path: Path) -> None:
    codec = LevelsCodec(5)
    some = drawn(SampleSpace((6, 8), 5, ordered=True), rounds=3, order="coarse_to_fine")
    facts = Images().rounds(some, codec, tmp_path / "rounds.png")
    assert [stage["drawn"] for stage in facts["stages"]] == ["12 pixels", "12 pixels", "24 pixels"]
    for words in (
        "3 rounds of 12, 12 and 24 pixels",
        "Order: coarse_to_fine (every pixel",
        "Cut: halving (rounds grow",
    ):
        assert words in facts["caption"]
    first, *stages = tiles_of(tmp_path / "rounds.png", 4)
    number_map = first[2 : 2 + 6 * 24 : 24, 2 : 2 + 8 * 24 : 24]
    assert number_map.tolist() == [[list(rgb_of_round(number, 3)) for number in row] for row in some.rounds]
    for s, tile in enumerate(stages):
        shown = cells_of(tile, 6, 8, 12)
        is_hidden = some.rounds > s
        grey = codec.decode(some.stages[-1])
        assert (shown[:, ~is_hidden] == grey[:, ~is_hidden][..., None]).all()
        assert all(tuple(colour) in STRIPES for colour in shown[:, is_hidden].reshape(-1, 3).tolist())


def test_channels_that_differ_in_their_rounds_have_a_map_each(tmp_path: Path) -> None:
    some = drawn(SampleSpace((3, 4, 4), 5, ordered=True), rounds=3, order="left_to_right", cut="equal")
    facts = Images().rounds(some, LevelsCodec(5, channels=3), tmp_path / "rounds.png")
    assert "each has a map of its own" in facts["caption"]
    first, after_red, *_ = tiles_of(tmp_path / "rounds.png", 4)
    maps = cells_of(first, 4, 4, 24)
    assert [{tuple(colour) for colour in part.reshape(-1, 3).tolist()} for part in maps[:3]] == [
        {rgb_of_round(number, 3)} for number in range(3)
    ]
    assert not {tuple(colour) for colour in cells_of(after_red, 4, 4, 24).reshape(-1, 3).tolist()} & set(STRIPES)


def test_a_plane_is_shown_in_colours_that_are_named(tmp_path: Path) -> None:
    codec = IntegersCodec((8, 8), 4, low=-1)
    some = drawn(codec.space, rounds=8, order="random", cut="equal")
    facts = Arrays().rounds(some, codec, tmp_path / "rounds.png")
    assert facts["values"] == ["-1", "0", "1", "2"]
    last = cells_of(tiles_of(tmp_path / "rounds.png", 9)[-1], 8, 8, 12)
    colours = np.array([rgb_of_code(code, 4) for code in range(4)])
    assert np.array_equal(last, colours[some.stages[-1]])


def test_text_is_filled_round_by_round(tmp_path: Path) -> None:
    codec = CharacterCodec(12, ends=False).fit(["abcdefghijkl"])
    some = drawn(codec.space, rounds=4, order="left_to_right", cut=(1, 2, 3, 6))
    facts = Text().rounds(some, codec, tmp_path / "rounds.png")
    (text,) = codec.decode(some.stages[-1][:1])
    states = [[(len(part), state) for part, state in line] for line in facts["lines"]]
    assert states == [
        [(1, "new"), (11, "hidden")],
        [(1, "earlier"), (2, "new"), (9, "hidden")],
        [(3, "earlier"), (3, "new"), (6, "hidden")],
        [(6, "earlier"), (6, "new")],
    ]
    assert "".join(part for part, _ in facts["lines"][-1]) == text
    assert facts["lines"][0][1][0] == HIDDEN * 11
    assert "Cut: given sizes." in facts["caption"]
    assert not (tmp_path / "rounds.png").exists()


def test_text_ends_where_an_end_is_visible() -> None:
    codec = CharacterCodec(6).fit(["ab"])
    a, b, hidden = 2, 3, 4
    stages = np.array([[[hidden, b, hidden, 0, hidden, a]], [[a, b, 0, 0, 0, 0]]])
    some = DrawnRounds(stages, np.array([1, 0, 1, 0, 1, 0]), hidden, "own", [3, 3])
    lines = Text().rounds(some, codec, Path("none"))["lines"]
    assert ["".join(part for part, _ in line) for line in lines] == [f"{HIDDEN}b{HIDDEN}", "ab"]
    nothing = DrawnRounds(np.array([[[0, hidden]], [[0, 0]]]), np.array([0, 1]), hidden, "own", [1, 1])
    assert Text().rounds(nothing, codec, Path("none"))["lines"] == [[], []]


def test_the_columns_of_a_table_are_named_once_each_in_their_rounds() -> None:
    codec = TableCodec.fit({"colour": ["red", "blue", None], "size": ["1", "2", "3"], "kind": ["x", "y", "x"]})
    some = drawn(codec.space, rounds=2, order="left_to_right", cut=(1, 2))
    facts = Arrays().rounds(some, codec, Path("none"))
    row = codec.decode(some.stages[-1][:1])
    value = {name: "(missing)" if cells[0] is None else str(cells[0]) for name, cells in row.items()}
    assert facts["cells"] == [[["colour", value["colour"]]], [["size", value["size"]], ["kind", value["kind"]]]]
    assert [stage["drawn"] for stage in facts["stages"]] == ["1 column", "2 columns"]


def test_other_arrays_are_lines_of_their_values() -> None:
    codec = IntegersCodec((2, 2, 3), 3, low=10)
    some = drawn(codec.space, rounds=12, order="interleaved", cut="equal")
    facts = Arrays().rounds(some, codec, Path("none"))
    assert len(facts["lines"]) == MAX_STAGES
    last = "".join(part for part, _ in facts["lines"][-1]).split()
    assert last == [str(value) for value in codec.decode(some.stages[-1][:1]).ravel()]
    first = "".join(part for part, _ in facts["lines"][0]).split()
    assert first.count(HIDDEN) == 12 - facts["stages"][0]["last"]


def test_of_a_long_sample_the_beginning_is_shown() -> None:
    some = drawn(SampleSpace((500,), 3), rounds=2)
    facts = lines_of_rounds(some, "positions", lambda codes: "x" * len(codes))
    assert sum(len(part) for part, _ in facts["lines"][-1]) == 400
    assert "the first 400 positions alone" in facts["caption"]


def test_a_card_names_the_rounds_of_a_generator_that_draws_in_several() -> None:
    def card(rounds: int) -> str:
        network = generator(SampleSpace((4, 4), 5, ordered=True), rounds=rounds, order="interleaved")
        pipeline = Pipeline(network, LevelsCodec(5))
        facts = model_facts(pipeline.kind, pipeline.generator, pipeline.codec)
        return render_card(facts, None, Samples(), "model")

    sentence = "It draws a sample in 3 rounds of 4, 4 and 8 positions, order interleaved, cut halving."
    assert sentence in card(3)
    assert "rounds" not in card(1)


# Whole runs.

KINDS = ("images", "planes", "text", "table")


def networks_of_images(kind: Images, config: Any, space: SampleSpace, num_classes: int | None = None) -> Any:
    """A small generator that draws in ten rounds, and a discriminator of what is drawn in part."""
    options = {"rounds": 10, "order": "coarse_to_fine", "num_classes": num_classes}
    return generator(space, **options), ConvDiscriminator(space, 8, 1, num_classes=num_classes, partial=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A short run of each kind with a generator that draws in rounds."""
    place = tmp_path_factory.mktemp("rounds")
    lines = "".join(f"{HOSTILE}{n % 10}\n" for n in range(200))
    (place / "lines.txt").write_text(lines, encoding="utf-8")
    np.save(place / "levels.npy", np.random.default_rng(0).integers(0, 6, (200, 8, 8)))
    options: dict[str, tuple[Any, dict[str, Any]]] = {
        "images": (ImageTrainingConfig, {"dataset": "digits", "conditional": True}),
        "planes": (ArrayTrainingConfig, {"dataset": str(place / "levels.npy")}),
        "text": (TextTrainingConfig, {"dataset": str(place / "lines.txt"), "order": "random", "cut": "equal"}),
        "table": (ArrayTrainingConfig, {"dataset": "table", "rounds": 3, "limit": 500}),
    }
    for name, (config, own) in options.items():
        given = {**SMALL, "generator": "masked", "max_steps": 2, "output_dir": str(place / name), **own}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Images, "networks", networks_of_images)
            bgan_discrete.runs.train.train(config.from_flat(given), progress=False)
    return {name: place / name for name in options}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_in_rounds_ends_with_a_report_of_them(runs: dict[str, Path], kind: str) -> None:
    written = (runs[kind] / "report.html").read_text(encoding="utf-8")
    page = check_page(written)
    assert "Rounds: what is drawn when" in page.text
    expected = {
        "images": ("10 rounds of", "Order: coarse_to_fine", "rounds 3–4", "round 10,"),
        "planes": ("4 rounds of 8, 8, 16 and 32 positions", "Order: coarse_to_fine", "round 4, 32 positions"),
        "text": ("4 rounds of", "Order: random", "Cut: equal", HIDDEN),
        "table": ("3 rounds of 3, 3 and 5 columns", "Order: information", "satisfaction"),
    }
    for words in expected[kind]:
        assert words in page.text, words
    alts = [attributes["alt"] or "" for attributes in page.all("img")]
    has_picture = kind in ("images", "planes")
    assert RunFolder(runs[kind]).rounds.is_file() == has_picture
    assert ("The round of each pixel" in alts) == has_picture
    shown = {"images": 8, "planes": 4}.get(kind, 0)
    assert sum(alt.startswith("Samples after round ") for alt in alts) == shown
    assert len(page.all("script")) == 1
    assert HOSTILE not in written
    card = (runs[kind] / "model" / "README.md").read_text(encoding="utf-8")
    assert "It draws a sample in " in card


def test_a_run_without_rounds_says_nothing_of_them(runs: dict[str, Path], tmp_path: Path) -> None:
    """Also where it overwrites one that had some."""
    folder = copy_of(runs["images"], tmp_path / "run", "config.yaml", "rounds.png")
    given = {**SMALL, "max_steps": 2, "output_dir": str(folder), "overwrite": True}
    bgan_discrete.runs.train.train(ImageTrainingConfig.from_flat(given), progress=False)
    assert not RunFolder(folder).rounds.exists()
    assert "rounds" not in json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    page = check_page((folder / "report.html").read_text(encoding="utf-8"))
    assert "what is drawn when" not in page.text


def test_a_picture_of_rounds_that_cannot_be_shown_is_named(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = copy_of(runs["images"], tmp_path / "run", "config.yaml", "facts.json")
    (folder / "rounds.png").write_bytes(b"GIF89a")
    page = check_page(write_report_page(folder).read_text(encoding="utf-8"))
    assert "The picture of the rounds cannot be shown: " in page.text
    (folder / "rounds.png").unlink()
    assert "what is drawn when" in check_page(write_report_page(folder).read_text(encoding="utf-8")).text


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip(f"no Chromium or Chrome is installed: none on the path, nor named by {VARIABLE}")
    with Browser(program) as opened:
        yield opened


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_fits(browser: Browser, runs: dict[str, Path], kind: str, width: int, dark: bool) -> None:
    browser.open(runs[kind] / "report.html", width, dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    tops = "[...document.querySelectorAll('.rounds figure')].map((part) => part.getBoundingClientRect().left)"
    columns = len(set(browser.evaluate(tops)))
    assert columns == {"images": 2 if width == 400 else 6, "planes": 2 if width == 400 else 5}.get(kind, 0)
    assert browser.console == [], "no error and no breach of the page's own policy"
