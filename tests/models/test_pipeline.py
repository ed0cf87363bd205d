"""A saved model: complete, strict, and the same codes for the same seed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bgan_discrete import ConvGenerator, InputError, MLPDiscriminator, MLPGenerator, Pipeline
from bgan_discrete.codecs import IntegersCodec, LevelsCodec, PaletteCodec
from bgan_discrete.space import SampleSpace


def small_pipeline() -> Pipeline:
    torch.manual_seed(0)
    return Pipeline(ConvGenerator(SampleSpace((8, 9), 5, ordered=True), latent_size=4, width=8), LevelsCodec(5))


def test_a_model_saved_and_loaded_generates_the_same_codes(tmp_path: Path) -> None:
    pipeline = small_pipeline()
    pipeline.save_pretrained(tmp_path / "model")
    loaded = Pipeline.from_pretrained(tmp_path / "model")
    first, second = pipeline.generate(30, seed=3), loaded.generate(30, seed=3)
    assert np.array_equal(first.codes, second.codes)
    assert np.array_equal(first.values, second.values)
    assert first.codes.shape == (30, 8, 9)
    assert first.values.dtype == np.uint8
    assert not np.array_equal(first.codes, loaded.generate(30, seed=4).codes)


def test_the_folder_holds_all_that_generating_needs_and_nothing_else(tmp_path: Path) -> None:
    small_pipeline().save_pretrained(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["README.md", "codec.json", "config.json", "manifest.json", "model.safetensors"]


def test_samples_are_drawn_not_the_most_probable(tmp_path: Path) -> None:
    pipeline = small_pipeline()
    latents = torch.zeros(500, 4)
    codes = pipeline.generator(latents).sample(1)[0]
    assert (codes != codes[0]).any(), "one latent gives different draws"


def test_the_palette_travels_with_the_model(tmp_path: Path) -> None:
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 200, 10], [250, 250, 250], [9, 9, 99]], np.uint8)
    pipeline = Pipeline(ConvGenerator(SampleSpace((8, 8), 5), 4, 8), PaletteCodec(5, palette=palette))
    pipeline.save_pretrained(tmp_path)
    images = Pipeline.from_pretrained(tmp_path).generate(50).values
    colours = {tuple(colour) for colour in images.reshape(-1, 3).tolist()}
    assert images.shape == (50, 8, 8, 3)
    assert colours <= {tuple(colour) for colour in palette.tolist()}


def test_generator_and_codec_must_agree() -> None:
    with pytest.raises(InputError, match="of the same space, got num_categories: 5 and 7"):
        Pipeline(ConvGenerator(SampleSpace((8, 8), 5, ordered=True), 4, 8), LevelsCodec(7))


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (SampleSpace((4,), 7), "num_categories: 5 and 7"),
        (SampleSpace((4,), 5, sizes=(5, 5, 5, 2)), r"sizes: None and \(5, 5, 5, 2\)"),
        (SampleSpace((4,), 5, end_id=0), "end_id: None and 0"),
    ],
)
def test_generator_and_discriminator_must_agree(space: SampleSpace, words: str) -> None:
    generator, codec = MLPGenerator(SampleSpace((4,), 5), 4, 8), IntegersCodec((4,), 5)
    with pytest.raises(InputError, match=f"discriminator must be of the same space, got {words}"):
        Pipeline(generator, codec, discriminator=MLPDiscriminator(space, 8))
    ordered = MLPDiscriminator(SampleSpace((4,), 5, ordered=True), 8)
    assert len(Pipeline(generator, codec, discriminator=ordered).generate(3, resample=2).codes) == 3


def test_numbers_of_numpy_are_settings(tmp_path: Path) -> None:
    size, width = np.int64(4), np.int64(8)
    generator = ConvGenerator(SampleSpace((8, 9), 5, ordered=True), size, width)  # type: ignore[arg-type]
    Pipeline(generator, LevelsCodec(5)).save_pretrained(tmp_path)
    assert Pipeline.from_pretrained(tmp_path).generator.settings == small_pipeline().generator.settings


@pytest.mark.parametrize("num_samples", [0, -1])
def test_no_samples_are_refused(num_samples: int) -> None:
    with pytest.raises(InputError, match="num_samples must be at least 1"):
        small_pipeline().generate(num_samples)


def _edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def _damage(folder: Path, kind: str) -> None:
    weights = folder / "model.safetensors"
    if kind == "renamed key":
        tensors = load_file(weights)
        tensors["other"] = tensors.pop("position_bias")
        save_file(tensors, weights)
    elif kind == "wrong shape":
        tensors = load_file(weights)
        tensors["position_bias"] = tensors["position_bias"][:1].clone()
        save_file(tensors, weights)
    elif kind == "cut weights":
        weights.write_bytes(weights.read_bytes()[:200])
    elif kind == "no weights":
        weights.unlink()
    elif kind == "no codec":
        (folder / "codec.json").unlink()
    elif kind == "no config":
        (folder / "config.json").unlink()
    elif kind == "unknown generator":
        _edit_config(folder, generator="os.system")
    elif kind == "unknown setting":
        _edit_config(folder, settings={"space": {}, "depht": 2})
    elif kind == "unknown key":
        _edit_config(folder, extra=1)
    elif kind == "newer format":
        _edit_config(folder, format_version=99)
    elif kind == "no json":
        (folder / "config.json").write_text("{", encoding="utf-8")


KINDS = (
    "renamed key", "wrong shape", "cut weights", "no weights", "no codec", "no config", "unknown generator",
    "unknown setting", "unknown key", "newer format", "no json",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_model_is_one_clear_line(tmp_path: Path, kind: str) -> None:
    small_pipeline().save_pretrained(tmp_path)
    _damage(tmp_path, kind)
    with pytest.raises(InputError) as caught:
        Pipeline.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        Pipeline.from_pretrained(tmp_path / "none")


def test_the_folder_of_a_run_is_no_model_but_has_one(tmp_path: Path) -> None:
    small_pipeline().save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match=r"is the folder of a run; give the model in it, '.*model'"):
        Pipeline.from_pretrained(tmp_path)
