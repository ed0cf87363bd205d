"""Codecs: what they keep, what they learn, and how they are written down."""

import itertools
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refusal

from bgan_discrete.codecs import (
    BinaryCodec,
    CodecOptions,
    ImageCodec,
    LevelsCodec,
    PaletteCodec,
    codec_from_config,
    load_codec,
)
from bgan_discrete.codecs.levels import DEFAULT_LEVELS, MAX_EXACT_LEVELS, choose_num_levels, pixel_of_level

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 9, 7), dtype=np.uint8)
RGB = RNG.integers(0, 256, (5, 9, 7, 3), dtype=np.uint8)


# --- levels ---


@pytest.mark.parametrize("num_categories", range(2, 257))
def test_levels_give_back_their_codes_for_every_k(num_categories: int) -> None:
    codes = np.arange(num_categories, dtype=np.uint8).reshape(1, 1, -1)
    codec = LevelsCodec(num_categories)
    assert np.array_equal(codec.encode(codec.decode(codes)), codes)


def test_levels_take_the_nearest_level() -> None:
    for num_categories in (2, 3, 16, 17, 100, 256):
        codec = LevelsCodec(num_categories)
        error = np.abs(codec.decode(codec.encode(GREY)).astype(int) - GREY)
        assert error.max() <= 255 / (num_categories - 1) / 2 + 0.5
    assert np.array_equal(LevelsCodec(256).encode(GREY), GREY)


def test_levels_of_colours_have_a_plane_for_each_channel() -> None:
    codec = LevelsCodec(8, channels=3)
    codes = codec.encode(RGB)
    assert codes.shape == (5, 3, 9, 7)
    assert np.array_equal(codes[:, 1], LevelsCodec(8).encode(np.ascontiguousarray(RGB[..., 1])))
    assert np.array_equal(codec.encode(codec.decode(codes)), codes)


@pytest.mark.parametrize("num_levels", [2, 3, 4, 5, 16, 17, 18, 33, 64])
def test_the_fewest_exact_levels_are_found(num_levels: int) -> None:
    images = pixel_of_level(num_levels).reshape(1, 1, -1)
    codec = LevelsCodec(None).fit(images)
    assert codec.num_categories == num_levels
    assert np.array_equal(codec.decode(codec.encode(images)), images)


@given(st.lists(st.integers(0, 255), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_chosen_levels_are_exact_and_no_fewer_would_be(values: list[int]) -> None:
    images = np.array(values, dtype=np.uint8).reshape(1, 1, -1)

    def is_exact(num_levels: int) -> bool:
        codec = LevelsCodec(num_levels)
        return np.array_equal(codec.decode(codec.encode(images)), images)

    expected = next((k for k in range(2, MAX_EXACT_LEVELS + 1) if is_exact(k)), DEFAULT_LEVELS)
    assert choose_num_levels(images) == expected


def test_photographs_get_the_default_levels() -> None:
    every_pixel = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert CodecOptions().build(1).fit(every_pixel).num_categories == DEFAULT_LEVELS
    assert LevelsCodec(None, channels=3).fit(RGB).num_categories == DEFAULT_LEVELS
    assert LevelsCodec(5).fit(every_pixel).num_categories == 5, "what was asked for stays"


def test_levels_without_k_wait_for_data() -> None:
    codec = LevelsCodec(None)
    assert not codec.is_fitted
    assert "call fit first" in refusal(lambda: codec.encode(GREY))
    assert "call fit first" in refusal(lambda: codec.decode(GREY))
    assert codec.describe() == "as many as the data need grey levels"
    assert not codec_from_config(codec.to_config()).is_fitted


# --- binary ---


def test_the_threshold_is_the_least_pixel_that_becomes_one() -> None:
    pixels = np.array([[[0, 99, 100, 101, 255]]], dtype=np.uint8)
    assert BinaryCodec(100).encode(pixels).tolist() == [[[0, 0, 1, 1, 1]]]
    assert BinaryCodec().decode(np.array([[[0, 1]]])).tolist() == [[[0, 255]]]


def test_stochastic_codes_depend_on_row_and_seed_alone() -> None:
    codec = BinaryCodec(stochastic=True, seed=4)
    whole = codec.encode(GREY)
    pieces = [codec.encode(GREY[start : start + 2], first_row=start) for start in (0, 2, 4)]
    assert np.array_equal(np.concatenate(pieces), whole)
    assert not np.array_equal(BinaryCodec(stochastic=True, seed=5).encode(GREY), whole)


def test_stochastic_codes_have_the_pixels_as_probabilities() -> None:
    pixels = np.broadcast_to(np.array([0, 51, 128, 255], dtype=np.uint8), (200, 100, 4))
    shares = BinaryCodec(stochastic=True).encode(np.ascontiguousarray(pixels)).mean((0, 1))
    assert shares[0] == 0
    assert shares[3] == 1
    assert np.allclose(shares, np.array([0, 51, 128, 255]) / 255, atol=0.016), "4.5 standard errors"


# --- palette ---


@pytest.mark.parametrize("channels", [1, 3])
def test_the_nearest_colour_is_that_of_brute_force(channels: int) -> None:
    images = GREY if channels == 1 else RGB
    codec = PaletteCodec(6, channels).fit(images)
    assert codec.palette is not None
    difference = images.reshape(-1, 1, channels).astype(int) - codec.palette.astype(int)
    expected = (difference**2).sum(-1).argmin(1)
    assert np.array_equal(codec.encode(images).ravel(), expected)


def test_looking_colours_up_is_the_same_as_computing_them() -> None:
    images = RNG.integers(0, 256, (90, 64, 64, 3), dtype=np.uint8)
    codec = PaletteCodec(5).fit(images)
    small = codec.encode(images[:1])
    assert codec._code_of_colour is None
    assert np.array_equal(codec.encode(images)[:1], small)
    assert codec._code_of_colour is not None
    assert np.array_equal(codec.encode(images[:1]), small)


def test_a_palette_is_determined_by_data_and_seed() -> None:
    first, again = PaletteCodec(4, seed=3).fit(RGB), PaletteCodec(4, seed=3).fit(RGB)
    assert first.fingerprint() == again.fingerprint()
    assert first.fingerprint() != PaletteCodec(4, seed=4).fit(RGB).fingerprint()


def test_a_palette_of_few_colours_is_exact_and_sorted_by_luminance() -> None:
    colours = np.array([[255, 255, 255], [0, 0, 255], [255, 0, 0], [0, 255, 0], [0, 0, 0]], dtype=np.uint8)
    images = colours[RNG.integers(0, 5, (20, 8, 8))]
    codec = PaletteCodec(5).fit(images)
    assert np.array_equal(codec.decode(codec.encode(images)), images)
    assert codec.palette is not None
    assert codec.palette.tolist() == [[0, 0, 0], [0, 0, 255], [255, 0, 0], [0, 255, 0], [255, 255, 255]]
    assert PaletteCodec(5).ordered is False
    assert PaletteCodec(5, channels=1).ordered is True


def test_dithering_keeps_the_mean_and_comes_only_on_request() -> None:
    flat = np.full((1, 32, 32), 100, dtype=np.uint8)
    palette = np.array([[0], [255]], dtype=np.uint8)
    plain, dithered = (PaletteCodec(2, 1, palette=palette, dither=dither) for dither in (False, True))
    assert np.unique(plain.encode(flat)).tolist() == [0]
    assert abs(dithered.decode(dithered.encode(flat)).mean() - 100) < 4
    assert CodecOptions("palette").dither is False
    both = np.concatenate([flat, flat[:, ::-1] // 2])
    assert np.array_equal(dithered.encode(both)[1:], dithered.encode(both[1:])), (
        "an image does not change its neighbour"
    )


FLOYD_STEINBERG = {(0, 1): 7 / 16, (1, -1): 3 / 16, (1, 0): 5 / 16, (1, 1): 1 / 16}
"""The share of a pixel's error that each pixel to come is given, by its rows and columns from it (1976)."""


@pytest.mark.parametrize("channels", [1, 3])
def test_dithering_is_that_of_the_published_matrix(channels: int) -> None:
    palette = np.array([[0], [90], [200]]) if channels == 1 else np.array([[0, 0, 0], [200, 30, 60], [90, 250, 200]])
    codec = PaletteCodec(3, channels, palette=palette.astype(np.uint8), dither=True)
    assert codec.palette is not None
    images = RNG.integers(0, 256, (4, 5, 6, channels)).astype(np.uint8)
    images[3] = 250  # bright everywhere: the errors run over the end of the scale
    expected = np.empty(images.shape[:3], np.uint8)
    for number, image in enumerate(images):
        wanted = {(y, x): image[y, x].astype(np.float32) for y in range(5) for x in range(6)}
        for (y, x), value in wanted.items():
            clipped = np.clip(value, 0, 255)
            distances = ((np.rint(clipped) - codec.palette.astype(np.float64)) ** 2).sum(1)
            expected[number, y, x] = distances.argmin()
            error = clipped - codec.palette[distances.argmin()]
            for (down, right), share in FLOYD_STEINBERG.items():
                if (y + down, x + right) in wanted:
                    wanted[y + down, x + right] += error * np.float32(share)
    assert np.array_equal(codec.encode(images if channels == 3 else images[..., 0]), expected)
    assert len(np.unique(expected)) == 3


@pytest.mark.parametrize(("place", "least"), [((0, 2), 72), ((1, 0), 104), ((1, 1), 67), ((1, 2), 76)])
def test_an_error_is_spread_by_hand(place: tuple[int, int], least: int) -> None:
    """127 in the middle of the first row becomes 0: its error reaches four pixels, 55.6 to 23.8 of it, and more later.

    The least value of each pixel that then becomes 255, the others being 0: 127.5 less what reaches it.
    """
    codec = PaletteCodec(2, 1, palette=np.array([[0], [255]], np.uint8), dither=True)
    for pixel, code in ((least, 1), (least - 1, 0)):
        image = np.array([[[0, 127, 0], [0, 0, 0]]], np.uint8)
        image[0][place] = pixel
        assert codec.encode(image)[0][place] == code


def test_a_palette_is_learnt_from_pixels_of_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """More pixels than are taken: those of the first images alone are dark, of the last bright."""
    monkeypatch.setattr("bgan_discrete.codecs.palette.MAX_FITTED_PIXELS", 200)
    images = np.concatenate([RNG.integers(0, 20, (50, 6, 6)), RNG.integers(230, 256, (50, 6, 6))]).astype(np.uint8)
    palette = PaletteCodec(2, 1).fit(images).palette
    assert palette is not None
    assert palette[0, 0] < 20 and palette[1, 0] > 230
    assert not np.array_equal(PaletteCodec(8, 1, seed=1).fit(images).palette, PaletteCodec(8, 1).fit(images).palette)
    # A colour that the drawn pixels miss is found where there are no more.
    rare = np.zeros((30, 6, 6, 3), np.uint8)
    rare[:15] = 9
    rare[29, 5, 5] = 7
    found = PaletteCodec(3).fit(rare).palette
    assert found is not None and found[:, 0].tolist() == [0, 7, 9]


def test_the_palette_is_weighed_by_how_often_a_colour_occurs() -> None:
    """0 and 10 share a colour; 0 is 99 times as frequent."""
    image = np.array([[0] * 99 + [10] + [100] * 50], np.uint8).reshape(1, 1, -1)
    palette = PaletteCodec(2, 1).fit(image).palette
    assert palette is not None and palette.ravel().tolist() == [0, 100], "unweighted it would be 5 and 100"


def test_equal_luminance_is_sorted_by_red_then_green() -> None:
    colours = [[0, 0, 68], [11, 1, 34], [22, 2, 0]]
    assert {299 * r + 587 * g + 114 * b for r, g, b in colours} == {7752}
    for order in itertools.permutations(colours):
        palette = PaletteCodec(3, palette=np.array(order, np.uint8)).palette
        assert palette is not None and palette.tolist() == colours


def test_the_table_of_met_colours_is_not_saved_and_a_palette_cannot_be_changed() -> None:
    codec = PaletteCodec(4, channels=1, seed=1).fit(GREY)
    codec.encode(GREY)
    assert codec._code_of_colour is not None
    again = pickle.loads(pickle.dumps(codec))
    assert again._code_of_colour is None and np.array_equal(again.encode(GREY), codec.encode(GREY))
    assert codec.palette is not None
    with pytest.raises(ValueError, match="read-only"):
        codec.palette[0] = 3


# --- k-means ---


@pytest.mark.parametrize("seed", range(3))
def test_the_colours_are_the_weighted_means_of_clusters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    middles = np.array([[40, 40, 40], [40, 90, 200], [220, 60, 40]])
    pixels = np.concatenate(
        [middle + rng.integers(-9, 10, (count, 3)) for middle, count in zip(middles, (90, 20, 40), strict=True)]
    )
    found = PaletteCodec(3, seed=seed).fit(pixels.astype(np.uint8).reshape(1, 10, 15, 3)).palette
    assert found is not None
    means = np.rint([part.mean(0) for part in np.split(pixels, [90, 110])]).astype(int)
    assert sorted(found.tolist()) == sorted(means.tolist())


def test_a_seed_gives_one_palette_on_any_number_of_threads() -> None:
    images = RNG.integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
    palettes = []
    for threads in (1, 3):
        with threadpoolctl.threadpool_limits(threads):
            palettes.append(PaletteCodec(16, seed=5).fit(images).palette)
    assert np.array_equal(*palettes)  # type: ignore[arg-type]
    assert not np.array_equal(palettes[0], PaletteCodec(16, seed=6).fit(images).palette)  # type: ignore[arg-type]


def test_more_colours_than_the_data_have_are_refused() -> None:
    two = np.array([[[0, 255]]], dtype=np.uint8)
    assert "num_categories is 3, but the images have only 2 distinct levels" in refusal(
        lambda: PaletteCodec(3, channels=1).fit(two)
    )


def test_an_unfitted_palette_is_refused() -> None:
    assert "call fit first" in refusal(lambda: PaletteCodec(3).encode(RGB))


# --- what is common to all ---

CODECS: list[ImageCodec] = [
    BinaryCodec(77, stochastic=True, seed=9),
    LevelsCodec(7),
    LevelsCodec(9, channels=3),
    PaletteCodec(4, channels=1, seed=1).fit(GREY),
    PaletteCodec(6, dither=True).fit(RGB),
]


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_a_saved_codec_comes_back(codec: ImageCodec, tmp_path: Path) -> None:
    codec.save(tmp_path / "codec.json")
    loaded = load_codec(tmp_path / "codec.json")
    images = GREY if codec.channels == 1 else RGB
    assert loaded.fingerprint() == codec.fingerprint()
    assert np.array_equal(loaded.encode(images), codec.encode(images))
    assert np.array_equal(loaded.decode(codec.encode(images)), codec.decode(codec.encode(images)))
    assert [path.name for path in tmp_path.iterdir()] == ["codec.json"], "no temporary file stays"


def edited(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "codec.json"
    PaletteCodec(4, channels=1).fit(GREY).save(path)
    document = json.loads(path.read_text())
    for key, value in changes.items():
        target = document if key in document else document["codec"]
        target[key] = value
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 5}, "damaged or was edited"),
        ({"palette": ["#00", "#01", "#02", "#ff"]}, "damaged or was edited"),
        ({"palette": ["#00", "#00", "#02", "#ff"]}, "4 distinct colours"),
        ({"palette": ["#00", "#zz", "#02", "#ff"]}, "got the colour '#zz'"),
        ({"palette": "black"}, "got 'black'"),
        ({"num_categories": 1}, "2 .. 256, got 1"),
        ({"num_categories": "4"}, "must be an integer"),
        ({"dither": "no"}, "dither must be true or false, got 'no'"),
        (
            {"name": "wavelet"},
            "must have a name of binary, levels, palette, characters, sentencepiece, integers, table, got 'wavelet'",
        ),
        ({"format": "other"}, "is not a codec"),
        ({"format_version": 99}, "format version 99"),
        ({"codec": {"name": "levels", "bits": 3}}, "lacks channels, lacks num_categories, has the unknown bits"),
        ({"codec": [1]}, "must be a dictionary"),
    ],
)
def test_edited_files_are_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = edited(tmp_path, **changes)
    text = refusal(lambda: load_codec(path))
    assert words in text
    assert str(path) in text


def test_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    assert "cannot read the codec" in refusal(lambda: load_codec(tmp_path / "none.json"))
    (tmp_path / "half.json").write_text('{"format": ')
    assert "is not JSON" in refusal(lambda: load_codec(tmp_path / "half.json"))
    assert "cannot write" in refusal(lambda: LevelsCodec(2).save(tmp_path / "no" / "codec.json"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "jpeg"}, "codec must be one of levels, binary, palette, got 'jpeg'"),
        ({"num_categories": 257}, "num_categories must be an integer, 2 .. 256, got 257"),
        ({"name": "palette", "num_categories": 2.5}, "num_categories must be an integer"),
        ({"name": "binary", "num_categories": 3}, "num_categories of the binary codec is 2, got 3"),
        ({"name": "binary", "threshold": 0}, "threshold must be an integer, 1 .. 255, got 0"),
        ({"name": "binary", "stochastic": "yes"}, "stochastic must be true or false"),
        ({"name": "palette", "seed": -1}, "seed must be an integer, 0 .. 2**63 - 1, got -1"),
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any], words: str) -> None:
    assert words in refusal(lambda: CodecOptions(**options))


def test_the_defaults_of_k() -> None:
    assert CodecOptions("palette").build(1).num_categories == 16
    assert CodecOptions("binary").build(1).num_categories == 2
    assert not CodecOptions("levels").build(1).is_fitted
    assert "binary codec takes grey images" in refusal(lambda: CodecOptions("binary").build(3))
    assert "channels must be 1 (grey) or 3 (RGB), got 2" in refusal(lambda: CodecOptions("levels").build(2))


def test_wrong_arrays_are_refused() -> None:
    grey, colour = LevelsCodec(4), LevelsCodec(4, channels=3)
    assert "must be a uint8 array [N, H, W], got float64" in refusal(lambda: grey.encode(GREY / 255))
    assert "must have the shape [N, H, W], got [5, 9, 7, 3]" in refusal(lambda: grey.encode(RGB))
    assert "must have the shape [N, H, W, 3], got [5, 9, 7]" in refusal(lambda: colour.encode(GREY))
    assert "first_row must be at least 0, got -1" in refusal(lambda: grey.encode(GREY, first_row=-1))
    assert "codes must be an array of integers, got float64" in refusal(lambda: grey.decode(np.zeros((1, 2, 2))))
    assert "codes must lie in [0, 4), got 4" in refusal(lambda: grey.decode(np.full((1, 2, 2), 4)))
    assert "codes must lie in [0, 4), got -1" in refusal(lambda: grey.decode(np.full((1, 2, 2), -1)))
    assert "shape [N, 3, H, W], got [1, 2, 2]" in refusal(lambda: colour.decode(np.zeros((1, 2, 2), np.uint8)))
