"""The card of a model: true, whole, and without anything of where it was made; whatever the samples hold."""

import re
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from markdown import markdown

import bgan_discrete
from bgan_discrete import ConvGenerator, InputError, MLPGenerator, Pipeline
from bgan_discrete.codecs import IntegersCodec, LevelsCodec
from bgan_discrete.config import ArrayTrainingConfig, ImageTrainingConfig, TextTrainingConfig
from bgan_discrete.imaging import save_png
from bgan_discrete.models.saving import model_facts
from bgan_discrete.publishing.card import (
    CARD_FILE,
    PICTURE_FILE,
    ModelFacts,
    Samples,
    fenced,
    is_as_written,
    pointed_at,
    render_card,
    with_license,
    write_card,
)  # fmt: skip
from bgan_discrete.runs import model_card
from bgan_discrete.runs.train import train
from bgan_discrete.space import SampleSpace
from bgan_discrete.templating import escaped

SMALL = {
    "max_steps": 4, "num_draws": 3, "batch_size": 8, "generator_width": 8, "discriminator_width": 8, "threads": 1,
    "device": "cpu", "num_samples": 60, "sample_interval": 0, "log_interval": 4,
}  # fmt: skip
HOSTILE = (
    "---", "a: b", "`` ``` ````", "| a | b |", "<script>alert(1)</script>", "[link](http://evil.example)", "# title",
    "![picture](x.png)", "\x1b[31mred\x00", "one\ntwo\r\nthree", "\u202eturned\u2028next", "    indented", "~~~", "",
)  # fmt: skip


def small_pipeline() -> Pipeline:
    torch.manual_seed(0)
    return Pipeline(ConvGenerator(SampleSpace((8, 9), 5, ordered=True), latent_size=4, width=8), LevelsCodec(5))


def small_facts() -> ModelFacts:
    pipeline = small_pipeline()
    return model_facts(pipeline.kind, pipeline.generator, pipeline.codec)


def metadata(card: str) -> dict[str, object]:
    head, rest = card.removeprefix("---\n").split("\n---\n", 1)
    assert rest.startswith("\n# ")
    found: dict[str, object] = yaml.safe_load(head)
    return found


def program_of(card: str) -> str:
    (program,) = re.findall(r"^```python\n(.*?)^```$", card, re.M | re.S)
    return program


def run_it(card: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the names of the card's program are after it ran beside the model's folder."""
    monkeypatch.chdir(place)
    names: dict[str, object] = {}
    exec(program_of(card), names)
    return names


@pytest.fixture(autouse=True)
def _critics_are_trained_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bgan_discrete.metrics.arrays.CRITIC_STEPS", 30)


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose name, like that of the data in it, is nobody's business."""
    folder = tmp_path / "jane doe" / "customers-of-acme"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def check_private(card: str, folder: Path) -> None:
    for word in ("jane", "acme", str(folder), str(Path.home()), socket.gethostname(), "/tmp", "secret"):
        assert word not in card, word


def test_the_card_of_a_run_on_images(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for number in range(90):
        label = "acme-secret" if number % 3 else "other"
        save_png(rng.integers(0, 256, (8, 8)).astype(np.uint8), private / "secret data" / label / f"{number}.png")
    options = {**SMALL, "dataset": str(private / "secret data"), "output_dir": str(private / "secret run")}
    monkeypatch.setenv("BGAN_DISCRETE_CACHE", str(private / "cache"))
    train(ImageTrainingConfig.from_flat({**options, "seed": 7}))
    model = private / "secret run" / "model"
    card = (model / CARD_FILE).read_text(encoding="utf-8")
    check_private(card, private)
    assert is_as_written(card)
    head = metadata(card)
    assert (head["library_name"], head["pipeline_tag"]) == ("bgan_discrete", "unconditional-image-generation")
    assert not {"license", "datasets"} & set(head)
    assert "bgan train --kind images" in card
    assert "--dataset DATA " in card
    assert "--seed 7" in card
    assert "Seed 7, 4 generator steps" in card
    assert "Fréchet distance, pixels" in card
    assert (model / PICTURE_FILE).read_bytes() == (model.parent / "samples.png").read_bytes()
    assert f"]({PICTURE_FILE})" in card
    images = run_it(card, model.parent, monkeypatch)["images"]
    assert isinstance(images, list)
    assert [image.size for image in images] == [(8, 8)] * 16
    from huggingface_hub import ModelCard

    read = ModelCard(pointed_at(card, "me/faces"))
    assert read.data.model_name == "faces"
    results = {result.metric_type: result.metric_value for result in read.data.eval_results}
    assert results["copies"] == 0
    assert {result.task_type for result in read.data.eval_results} == {"unconditional-image-generation"}


def test_the_card_of_a_run_on_text(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (private / "secret.txt").write_text("".join(f"{n} | <b>{n * 7}</b> ```\n" for n in range(300)), encoding="utf-8")
    (private / "secret2.txt").write_text("".join(f"{n} | {n * 7}\n" for n in range(300, 400)), encoding="utf-8")
    options = {**SMALL, "dataset": str(private / "secret.txt"), "holdout": str(private / "secret2.txt")}
    train(TextTrainingConfig.from_flat({**options, "output_dir": str(private / "run"), "length": 16}))
    model = private / "run" / "model"
    card = (model / CARD_FILE).read_text(encoding="utf-8")
    check_private(card, private)
    assert metadata(card)["pipeline_tag"] == "text-generation"
    assert "--dataset DATA.txt" in card
    assert "--holdout HELDOUT" in card
    assert "| JSD-4 |" in card
    texts = run_it(card, model.parent, monkeypatch)["texts"]
    assert isinstance(texts, list)
    assert len(texts) == 16


def test_the_card_of_a_run_on_a_table(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**SMALL, "dataset": "table", "limit": 400, "output_dir": str(private / "run")}
    train(ArrayTrainingConfig.from_flat(options))
    model = private / "run" / "model"
    card = (model / CARD_FILE).read_text(encoding="utf-8")
    check_private(card, private)
    head = metadata(card)
    assert "tabular" in head["tags"]  # type: ignore[operator]
    assert "pipeline_tag" not in head  # the Hub has no such task
    assert "city,country,currency" in card
    rows = run_it(card, model.parent, monkeypatch)["rows"]
    assert isinstance(rows, pd.DataFrame)
    assert len(rows["city"]) == 16


def test_a_card_that_cannot_be_made_stops_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(model_card, "write_card", fail)
    options = {**SMALL, "dataset": "table", "limit": 400, "output_dir": str(tmp_path / "run")}
    assert train(ArrayTrainingConfig.from_flat(options)).report is not None
    assert "card:    could not be written: no space left" in capsys.readouterr().out
    monkeypatch.setattr("bgan_discrete.models.saving.write_card", fail)
    with pytest.warns(UserWarning, match="the model is saved, its card is not: no space left"):
        small_pipeline().save_pretrained(tmp_path / "model")
    assert isinstance(bgan_discrete.load(tmp_path / "model"), Pipeline)


def test_samples_can_hold_anything() -> None:
    card = render_card(small_facts(), None, Samples(lines=HOSTILE), "model")
    assert is_as_written(card)
    assert set(metadata(card)) == {"library_name", "pipeline_tag", "tags"}
    page = markdown(card.split("\n---\n", 1)[1], extensions=["fenced_code", "tables"])
    assert "<script>" not in page
    assert "<a href" not in page.replace('<a href="https://arxiv.org/abs/1702.08431">', "")
    assert "<table>" not in page and "<img" not in page
    assert page.count("<h1") == 1
    for hidden in ("\x1b", "\x00", "\u202e", "\u2028", "\r"):
        assert hidden not in card
    assert "one\\ntwo\\r\\nthree" in card
    assert fenced(["````"]).startswith("`````text\n")
    assert len(fenced(["x" * 1000] * 50).splitlines()) == 22
    page = markdown("\n".join(f"- {escaped(line)}" for line in HOSTILE if line) + "\n\n| " + escaped("a|b") + " |")
    assert not re.search("<(script|a|img|h1|code|table)", page)


def test_a_picture_goes_with_the_card_that_shows_it(tmp_path: Path) -> None:
    facts = small_facts()
    assert write_card(tmp_path, render_card(facts, None, Samples(picture=b"PNG"), "model"), b"PNG")
    assert (tmp_path / PICTURE_FILE).read_bytes() == b"PNG"
    assert write_card(tmp_path, render_card(facts, None, Samples(), "model"), None)
    assert not (tmp_path / PICTURE_FILE).exists()
    (tmp_path / PICTURE_FILE).write_bytes(b"mine")
    small_pipeline().save_pretrained(tmp_path)
    assert (tmp_path / PICTURE_FILE).read_bytes() == b"mine"


def test_a_licence_and_another_name_are_put_in_place() -> None:
    card = render_card(small_facts(), None, Samples(), 'a "name"')
    assert 'load("a \\"name\\"")' in card
    licensed = with_license(pointed_at(card, "me/x"), "mit")
    assert is_as_written(licensed)
    assert metadata(licensed)["license"] == "mit"
    assert 'load("me/x")' in licensed


def test_a_temperature_sharpens_and_one_is_exact(tmp_path: Path) -> None:
    pipeline = small_pipeline()
    with torch.no_grad():
        pipeline.generator.position_bias.normal_(0, 2)  # type: ignore[union-attr, operator]
    whole = pipeline.generate(200, seed=1)
    assert np.array_equal(whole.codes, pipeline.generate(200, seed=1, temperature=1.0).codes)
    probabilities = pipeline.generator(torch.zeros(1, 4)).log_probs.exp()
    for temperature in (0.25, 3.0):
        wanted = (probabilities ** (1 / temperature)) / (probabilities ** (1 / temperature)).sum(-1, keepdim=True)
        found = pipeline.generator(torch.zeros(1, 4)).sharpened(temperature).log_probs.exp()
        torch.testing.assert_close(found, wanted)
    coldest = pipeline.generate(5, seed=1, temperature=1e-300).codes
    rng = torch.Generator().manual_seed(1)
    most_probable = pipeline.generator(torch.randn(1000, 4, generator=rng)[:5]).logits.argmax(-1)
    assert np.array_equal(coldest, most_probable.numpy())
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="temperature must be above 0"):
            pipeline.generate(5, temperature=wrong)
    assert [image.mode for image in whole.pil()[:2]] == ["L", "L"]
    assert np.array_equal(np.stack([np.asarray(image) for image in whole.pil()]), whole.values)


def test_a_temperature_keeps_impossible_codes_impossible() -> None:
    torch.manual_seed(0)
    sizes = [2, 5, 3]
    generator = MLPGenerator(SampleSpace((3,), 5, sizes=sizes), 4, 8, 1)
    for temperature in (1e-300, 1e-20, 0.3, 1e20):
        distribution = generator(torch.randn(50, 4)).sharpened(temperature)
        assert torch.isfinite(distribution.logits).all()
        codes = distribution.sample(40)
        assert (codes < torch.tensor(sizes)).all()
    assert torch.unique(codes[..., 2]).tolist() == [0, 1, 2]
    pipeline = Pipeline(MLPGenerator(SampleSpace((3,), 5), 4, 8, 1), IntegersCodec((3,), 5))
    assert len(np.unique(pipeline.generate(300, temperature=50.0).codes)) == 5
