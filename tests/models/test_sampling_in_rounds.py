"""Samples of generators in rounds: other rounds, what samples are to have, prompts, and a choice after every round."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from torch import Tensor

from bgan_discrete import Discriminator, InputError, MLPGenerator, Pipeline, SampleSpace
from bgan_discrete.codecs import (
    CharacterCodec,
    IntegersCodec,
    LevelsCodec,
    PaletteCodec,
    TableCodec,
)
from bgan_discrete.models.sampling import change_of
from bgan_discrete.nn import GRUGenerator
from bgan_discrete.nn.transformers import CausalTransformerGenerator, MaskedTransformerGenerator
from bgan_discrete.runs.generate import draw_in_parts

SMALL = {"latent_size": 4, "width": 8, "depth": 1, "heads": 2}
TABLE = {
    "sex": ["m", "f"] * 60,
    "age": [float(n) for n in range(120)],
    "children": [0, 1, 2, None] * 30,
    "job": ["Exec, managerial", "farm", "none"] * 40,
}
TEXT = CharacterCodec(6).fit(["abc"])


def model(codec: Any, event_shape: tuple[int, ...] = (), kind: Any = MaskedTransformerGenerator, **options: Any) -> Any:
    torch.manual_seed(0)
    space = codec.space_of(event_shape)
    return Pipeline(kind(space, **SMALL, rounds=3, **options), codec)


HALVES = (slice(10), slice(10, None))


def table_model() -> Any:
    return model(TableCodec.fit(TABLE, bins=5))


def text_model(kind: Any = MaskedTransformerGenerator, **options: Any) -> Any:
    return model(TEXT, kind=kind, **options)


class Judge(Discriminator):
    """F is large where many codes are 1, also of partly drawn samples."""

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return 8.0 * (samples == 1).flatten(1).sum(1)


# --- rounds ---


def test_a_saved_order_that_is_none_is_refused(tmp_path: Path) -> None:
    forged = text_model()
    forged.generator.ranks.fill_(0)
    forged.save(tmp_path / "model")
    with pytest.raises(InputError, match=r"model.safetensors.*ranks must be a permutation"):
        Pipeline.from_pretrained(tmp_path / "model")


def test_a_chosen_sample_has_no_likelihood_in_the_figures() -> None:
    pipeline = table_model()
    pipeline.discriminator = Judge(pipeline.generator.space, partial=True)
    frame = pandas.DataFrame(TABLE)
    reports = {number: pipeline.evaluate(frame, 20, resample=number, holdout=0.5) for number in (1, 2)}
    nats = {number: "held-out nats" in str(report) for number, report in reports.items()}
    assert nats == {1: True, 2: False}
    assert list(reports[1].figures["held_out_nats_a_sample_at_most"].baselines) == ["independent", "Chow-Liu tree"]


def test_the_likelihood_of_texts_is_next_to_that_of_a_markov_model() -> None:
    report = text_model().evaluate(["abab", "abba", "baab", "bbaa"] * 5, 4, holdout=0.5)
    (figure,) = (figure for figure in report.figures.values() if figure.title.startswith("held-out nats"))
    assert list(figure.baselines) == ["independent", "Markov 4"]


def test_rounds_are_chosen_at_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = text_model()
    passes = []
    logits = pipeline.generator.logits
    monkeypatch.setattr(pipeline.generator, "logits", lambda *given: passes.append(1) or logits(*given))
    for rounds, wanted in ((None, 3), (1, 1), (2, 2), (6, 6)):
        passes.clear()
        made = pipeline.sample(4, seed=1, rounds=rounds, temperature=0.9)
        assert (len(passes), len(made)) == (wanted, 4)
    # The rounds of the training keep their own cut.
    cut = text_model(cut=(4, 1, 1))
    assert cut.sample(9, seed=2, rounds=3) == cut.sample(9, seed=2)
    # Others are cut by the same name, or, where sizes were given, by halving.
    for cut, sizes in (("equal", (2, 1, 1, 2)), ((4, 1, 1), (1, 1, 1, 3)), ("halving", (1, 1, 1, 3))):
        generator = text_model(cut=cut).generator
        change = change_of(generator, 1.0, None, None, 4)
        assert change is not None and change(generator(torch.zeros(1, 4))).sizes == sizes


@pytest.mark.parametrize(
    ("make", "rounds", "reason"),
    [
        (text_model, 7, "rounds must be between 1 and the 6 positions of a sample, got 7"),
        (text_model, 0, "rounds must be at least 1, got 0"),
        (text_model, 1.5, "rounds must be an integer, got 1.5"),
        (lambda: text_model(CausalTransformerGenerator), 2, "rounds must be 3, those of the training, for a causal"),
        (lambda: Pipeline(GRUGenerator(TEXT.space, 4, 8, 1), TEXT), 2,
         r"rounds 2 needs a generator that draws in rounds \(masked, causal\); this model is a GRUGenerator"),
    ],
)  # fmt: skip
def test_rounds_that_cannot_be(make: Callable[[], Any], rounds: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        make().generate(2, rounds=rounds)


# --- given ---


@pytest.mark.parametrize("rounds", [None, 1, 4])
def test_columns_of_a_table_are_given_and_the_rest_is_drawn(rounds: int | None) -> None:
    pipeline = table_model()
    made = pipeline.sample(40, given={"sex": "f", "job": "Exec, managerial"}, rounds=rounds)
    assert set(made["sex"]) == {"f"} and set(made["job"]) == {"Exec, managerial"} and made["children"].nunique() > 1
    # A frame with missing cells, whose rows are shared as labels are; its index does not matter.
    frame = pandas.DataFrame({"children": [2, None, 0, 1], "age": [7.0, 119.0, None, 50.0]})[1:3]
    made = pipeline.sample(20, given=frame, rounds=rounds)
    assert made["children"][10:].tolist() == [0] * 10 and made["children"][:10].nunique(dropna=False) > 1
    (given, other) = (pipeline.codec.columns[1].encode(made["age"][rows].tolist(), np.dtype(int)) for rows in HALVES)
    assert set(given.tolist()) == {4} and len(set(other.tolist())) > 1
    for text in ("sex=f,children=2", '"job=Exec, managerial"'):
        given = pipeline.given_codes(text).codes
        assert given.shape == (1, 4) and (given < pipeline.generator.space.num_categories).sum() == text.count("=")
    lists = pipeline.sample(3, given={"sex": ["m", "f", None], "children": 1})
    assert lists["sex"][:2].tolist() == ["m", "f"] and lists["children"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"size": 3}, "given has the column 'size', which the model does not know; it has sex, age, children, job"),
        ({"sex": ["f", "x"]}, "given: column 'sex' has the value 'x' in row 2, which is none of its 2 categories"),
        ({"age": "old"}, "given: column 'age' holds numbers, cut into bins, but 'old' stands in row 1"),
        ({"sex": ["f"] * 3}, "given must be at most as many as num_samples = 2, got 3"),
        ({"sex": ["f"] * 2, "age": [1.0]}, r"columns of one length, at least 1, got \[1, 2\]"),
        ({}, "columns of one length, at least 1, got no column"),
        (3, "given must be a dictionary or a data frame of some columns, got 3"),
        ("sex", r"given must be such as sex=Female,age>=40,job in \(farm, none\), or a file, got 'sex'"),
        ("=f", r"given must be such as .* got '=f'"),
        ("sex=f,sex=m", "given: column 'sex' has no value with sex=f and sex=m"),
        ("age>=40,age<30", "given: column 'age' has no value with age>=40 and age<30"),
        ("age>1000", "given: column 'age' has no value with age>1000"),
        ("children>2", "given: column 'children' has no value with children>2"),
        ("sex in (f, x)", "given: column 'sex' has the value 'x' in row 1, which is none of its 2 categories"),
        ("sex in ()", r"given must have values with commas between them in 'sex in \(\)'"),
        ("job>=farm", "column 'job' holds text, which has no order, so that 'job>=farm' cannot be: list the values"),
        ("age>=old", "column 'age' holds numbers, so that 'age>=old' cannot be"),
        ("children<old", "column 'children' holds numbers, so that 'children<old' cannot be"),
        ("age not in (3, 4)", "column 'age' is cut into bins: give ranges instead of 'age not in"),
        ("size in (3, 4)", "given has the column 'size', which the model does not know; it has sex, age, children"),
        ("size>3", "given has the column 'size', which the model does not know"),
        ("none.csv", r"given 'none\.csv' is no file"),
    ],
)
def test_columns_that_cannot_be_given(given: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        table_model().generate(2, given=given)


def test_rows_of_a_file_are_given(tmp_path: Any) -> None:
    pipeline = table_model()
    frame = pandas.DataFrame({"sex": ["f", None], "children": [1, 2]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    hidden = pipeline.generator.space.num_categories
    for name in ("rows.csv", "rows.parquet"):
        codes = pipeline.given_codes(tmp_path / name).codes
        assert codes.tolist() == [[0, hidden, 1, hidden], [hidden, hidden, 2, hidden]]


def test_positions_of_arrays_are_given(tmp_path: Any) -> None:
    pipeline = model(IntegersCodec((2, 3), 3, low=5))
    one = np.array([[5, -1, 7], [-1, -1, 6]])
    made = pipeline.sample(30, given=one)
    assert (made[:, one > 0] == one[one > 0]).all() and len(np.unique(made[:, 0, 1])) == 3
    np.save(tmp_path / "one.npy", np.stack([one, 12 - one]))
    with pytest.raises(InputError, match=r"given: the array's values must lie in \[5, 8\), got 13 in row 1"):
        pipeline.generate(30, given=tmp_path / "one.npy")
    masked = np.ma.masked_array(one, one < 0)
    assert np.array_equal(pipeline.generate(30, given=masked).codes, pipeline.generate(30, given=one).codes)
    negative = model(IntegersCodec((3,), 3, low=-1))
    assert (negative.sample(9, given=np.ma.masked_array([-1, 0, 0], [False, True, True]))[:, 0] == -1).all()
    with pytest.raises(InputError, match=r"given must be a masked array .* for data that hold -1"):
        negative.generate(9, given=[-1, 0, 0])
    letters = model(IntegersCodec((3,), 2, values=["A", "B"]))
    assert {row[1] for row in letters.sample(9, given=["", "B", ""]).tolist()} == {"B"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (np.zeros(6, int), r"given must have the shape \[2, 3\] or \[num_samples, 2, 3\], got \[6\]"),
        (np.zeros((2, 3)), "given must be an array of integers, -1 where they are drawn"),
        ("none.npy", r"given must be a \.npy file for a model of arrays, got 'none\.npy'"),
        (4, "given must be an array of integers"),
    ],
)
def test_arrays_that_cannot_be_given(given: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        model(IntegersCodec((2, 3), 3)).generate(2, given=given)


@pytest.mark.parametrize(
    ("codec", "event_shape"),
    [(LevelsCodec(4), (5, 4)), (LevelsCodec(4, channels=3), (3, 5, 4)),
     (PaletteCodec(2, palette=np.array([[0, 0, 0], [255, 0, 0]], np.uint8)), (5, 4))],
)  # fmt: skip
def test_pixels_that_are_not_transparent_are_given(codec: Any, event_shape: tuple[int, ...], tmp_path: Any) -> None:
    pipeline = model(codec, event_shape)
    picture = np.zeros((5, 4, 4), np.uint8)
    picture[:2] = [255, 0, 0, 255]
    grey = codec.channels == 1
    array = np.stack([picture[..., 0], picture[..., 3]], -1) if grey else picture
    image = Image.fromarray(array, "LA" if grey else "RGBA")
    image.save(tmp_path / "picture.png")
    made = pipeline.generate(20, given=array).values
    assert (made[:, :2] == (255 if grey else [255, 0, 0])).all() and len(np.unique(made[:, 2:])) > 1
    if grey:  # also of a picture with colours
        image = Image.fromarray(np.where(picture[..., :1] > 0, 255, picture), "RGBA")
    for given in (image, [image], tmp_path / "picture.png", str(tmp_path / "picture.png")):
        assert np.array_equal(pipeline.generate(20, given=given).values, made)


def test_pixels_are_drawn_where_they_are_rather_transparent() -> None:
    edge = np.zeros((5, 4, 2), np.uint8)
    edge[0, :2, 1] = 127, 128
    codes = model(LevelsCodec(4), (5, 4)).given_codes(edge).codes.reshape(20)
    assert (codes < 4).nonzero()[0].tolist() == [1]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (Image.new("L", (4, 5)), "given must have transparent pixels, .* got a picture of mode L"),
        (Image.new("LA", (5, 4)), r"uint8 \[5, 4, 2\] or \[num_samples, 5, 4, 2\], got uint8 \[1, 4, 5, 2\]"),
        ([Image.new("LA", (4, 5)), Image.new("LA", (5, 4))], "pictures of one size, got 2 sizes"),
        (np.zeros((5, 4), np.uint8), r"pictures with an alpha channel, uint8 \[5, 4, 2\]"),
        (3, r"pictures with an alpha channel, .* got 3"),
        ("none.png", r"given 'none\.png' is no picture that can be read"),
    ],
)
def test_pictures_that_cannot_be_given(given: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        model(LevelsCodec(4), (5, 4)).generate(2, given=given)


@pytest.mark.parametrize("order", ["left_to_right", "interleaved"])
def test_tokens_are_given_and_prompts_continued(order: str) -> None:
    pipeline = text_model(order=order)
    codes = pipeline.generate(40, given=["a", None, "b", None, None, "c"]).codes
    wanted = pipeline.codec.tokenize(["abc"])[0]
    # Left to right an end is followed by padding alone; else what is given stays until it is cut at an end.
    assert (codes[:, 0] == wanted[0]).all() and set(codes[:, 2].tolist()) <= {wanted[1], 0}
    assert all(text.startswith("ab") for text in pipeline.sample(20, prompt="ab"))
    two = pipeline.generate(10, given=[[None] * 5 + ["a"], ["b"] * 6]).values
    assert two[5:] == ["bbbbbb"] * 5


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"given": ["a"]}, "given must have 6 tokens, the model's length, got 1"),
        ({"given": "abc"}, "given must be a list of 6 tokens, .* text that samples begin with is a prompt"),
        ({"given": ["x"] * 6}, "given must hold single tokens of the model's vocabulary, got 'x'"),
        ({"given": ["ab"] * 6}, "single tokens of the model's vocabulary, got 'ab'"),
        ({"given": ["a"] * 6, "prompt": "a"}, "prompt and given exclude each other"),
        ({"prompt": "abcabca"}, "prompt must have at most 6 tokens"),
    ],
)
def test_tokens_that_cannot_be_given(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        text_model().generate(2, **options)


def test_causal_generators_are_given_the_beginning_of_their_order() -> None:
    pipeline = text_model(CausalTransformerGenerator)
    assert all(text.startswith("ab") for text in pipeline.sample(20, prompt="ab"))
    assert all(text.startswith("b") for text in pipeline.sample(20, given=["b"] + [None] * 5))
    # What comes later is given by weights.
    assert pipeline.given_codes([None] * 5 + ["b"]).is_weighted and not pipeline.given_codes(["b"] * 6).is_weighted
    in_order = text_model(CausalTransformerGenerator, order="left_to_right")
    assert all(text[1] == "b" for text in in_order.sample(20, given=[None, "b", *[None] * 4]))


def test_a_generator_of_independent_positions_is_given_nothing() -> None:
    pipeline = Pipeline(MLPGenerator(SampleSpace((2,), 3), 4, 8, 1), IntegersCodec((2,), 3))
    with pytest.raises(InputError, match=r"given needs a generator that draws in rounds .* this model is a MLPGen"):
        pipeline.generate(2, given=[1, -1])


# --- all together, and in batches ---


def test_labels_given_values_and_the_choice_of_each_round_keep_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    space = SampleSpace((2, 3), 4, ordered=True)
    generator = MaskedTransformerGenerator(space, **SMALL, rounds=3, num_classes=2)
    pipeline = Pipeline(generator, LevelsCodec(4), discriminator=Judge(space, num_classes=2, partial=True))
    pictures = np.zeros((5, 2, 3, 2), np.uint8)
    pictures[:, 0, :, 1], pictures[:, 0, 0, 0] = 255, [0, 85, 170, 255, 0]
    options: dict[str, Any] = {"labels": [1, 0], "given": pictures, "rounds": 2}
    for resample in (1, 3):
        made = pipeline.generate(20, 5, 7, resample=resample, **options)
        assert made.codes[:, 0, 0].tolist() == np.repeat([0, 1, 2, 3, 0], 4).tolist()
        assert made.labels.tolist() == [1] * 10 + [0] * 10 and (made.codes[:, 0, 1:] == 0).all()
        # In parts they are those of one call.
        monkeypatch.setattr("bgan_discrete.runs.generate.PART", 7)
        parts = list(draw_in_parts(pipeline, 20, 5, resample=resample, **options))
        assert len(parts) > 2 and np.array_equal(np.concatenate([part.codes for part in parts]), made.codes)
    plain = pipeline.generate(300, labels=1, rounds=3).codes
    assert (pipeline.generate(300, labels=1, resample=8).codes == 1).mean() > (plain == 1).mean() + 0.3


def test_resampling_in_rounds_needs_a_discriminator_of_partly_drawn_samples() -> None:
    pipeline = text_model()
    pipeline.discriminator = Judge(TEXT.space)
    with pytest.raises(InputError, match="resample in 3 rounds needs a discriminator of partly drawn samples"):
        pipeline.generate(4, resample=2)
    assert pipeline.generate(4, resample=2, rounds=1).codes.shape == (4, 6)
