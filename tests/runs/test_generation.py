"""Generation: what is no distribution is refused, and samples in parts are those of one call."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from torch import Tensor, nn

from bgan_discrete import Pipeline
from bgan_discrete.codecs import CharacterCodec, IntegersCodec, LevelsCodec, TableCodec
from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.distributions.columns import ColumnCategorical
from bgan_discrete.errors import NonFiniteError
from bgan_discrete.game.drawing import sample_codes
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.kinds.sample_files import on_one_line
from bgan_discrete.nn import (
    ContinuousConvGenerator,
    ConvGenerator,
    ConvSequenceGenerator,
    GRUGenerator,
    MLPGenerator,
    MLPSequenceGenerator,
    TransformerGenerator,
)
from bgan_discrete.runs.generate import draw_in_parts, generate
from bgan_discrete.sources.table_files import write_table
from bgan_discrete.space import SampleSpace

CODEC = CharacterCodec(6).fit(["abc\n"])
TABLE = {"kind": ["a", "b\n", None, "c"] * 30, "count": [1, 2, 3, None] * 30, "share": [0.5, 1.5, 2.5, 3.5] * 30,
         "größe": [1, 2, 3, 4] * 30}  # fmt: skip


def text_model(kind: type[nn.Module] = ConvSequenceGenerator) -> Pipeline:
    torch.manual_seed(0)
    return Pipeline(kind(CODEC.space, 4, 8, 1), CODEC)


def image_model(classes: int | None = 3) -> Pipeline:
    torch.manual_seed(0)
    return Pipeline(ConvGenerator(SampleSpace((8, 8), 4, ordered=True), 4, 8, 1, num_classes=classes), LevelsCodec(4))


def table_model() -> Pipeline:
    torch.manual_seed(0)
    codec = TableCodec.fit(TABLE)
    return Pipeline(MLPGenerator(codec.space, 4, 8, 1), codec)


def array_model() -> Pipeline:
    torch.manual_seed(0)
    return Pipeline(MLPGenerator(SampleSpace((2, 3), 3), 4, 8, 1), IntegersCodec((2, 3), 3))


# --- what is no distribution ---


@pytest.mark.parametrize("value", [3e38, math.nan])
@pytest.mark.parametrize(
    "make",
    [
        array_model, table_model, image_model, text_model, lambda: text_model(GRUGenerator),
        lambda: text_model(TransformerGenerator), lambda: text_model(MLPSequenceGenerator),
        lambda: Pipeline(ContinuousConvGenerator(SampleSpace((8, 8), 4, ordered=True), 4, 8, 1), LevelsCodec(4)),
    ],
)  # fmt: skip
def test_no_sample_comes_of_logits_that_are_not_finite(make: Any, value: float) -> None:
    pipeline = make()
    pipeline.generate(3)
    for parameter in pipeline.generator.parameters():
        parameter.data.fill_(value)
    name = type(pipeline.generator).__name__
    sharpened = {} if name == "ContinuousConvGenerator" else {"temperature": 0.5}
    for options in ({}, sharpened):
        with pytest.raises(NonFiniteError, match=rf"the {name}'s logits must be finite, got (NaN|inf|-inf) among them"):
            pipeline.generate(3, **options)


class Given(Generator):
    """A generator of somebody else that gives one distribution."""

    def __init__(self, distribution: Any) -> None:
        super().__init__(SampleSpace((3,), 2), latent_size=2)
        self.weight = nn.Parameter(torch.zeros(1))
        self.distribution = distribution

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Any:
        return self.distribution


@pytest.mark.parametrize(("value", "named"), [(math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "NaN")])
def test_a_single_value_is_named(value: float, named: str) -> None:
    logits = torch.zeros(4, 3, 2)
    logits[3, 1, 0] = value
    for distribution in (FactorizedCategorical(logits), ColumnCategorical(logits, torch.tensor([2, 2, 2]))):
        with pytest.raises(NonFiniteError, match=f"the Given's logits must be finite, got {named} among them"):
            sample_codes(Given(distribution), 4, 0, torch.device("cpu"), 4)
    # What the message advises works, and the largest numbers are numbers.
    logits[3, 1, 0] = -1e4
    assert sample_codes(Given(FactorizedCategorical(logits)), 4, 0, torch.device("cpu"), 4)[3, 1] == 1
    for large in (3e38, -3e38):
        given = Given(FactorizedCategorical(torch.full((4, 3, 2), large)))
        drawn = sample_codes(given, 4, 0, torch.device("cpu"), 4)
        assert drawn.shape == (4, 3)


# --- in parts ---


def whole(parts: Iterator[Any], name: str) -> Any:
    found = [getattr(part, name) for part in parts]
    assert all(len(part) <= 7 for part in found) and len(found) > 2
    return np.concatenate(found) if isinstance(found[0], np.ndarray) else [value for part in found for value in part]


@pytest.mark.parametrize("resample", [1, 2])
@pytest.mark.parametrize("make", [array_model, image_model, text_model, lambda: text_model(GRUGenerator)])
@pytest.mark.usefixtures("small_parts")
def test_samples_in_parts_are_those_of_one_call(make: Any, resample: int) -> None:
    pipeline = make()
    pipeline.discriminator = Weigh(pipeline.generator.space)
    options: dict[str, Any] = {"resample": resample}
    if pipeline.kind.name == "text":
        options |= {"temperature": 0.7, "top_k": 3}
    if pipeline.num_classes:
        options |= {"labels": [2, 0]}
    made = pipeline.generate(20, 5, 7, **options)
    for name in ("codes", "values", *(["labels"] if pipeline.num_classes else [])):
        found = whole(draw_in_parts(pipeline, 20, 5, **options), name)
        assert np.array_equal(found, getattr(made, name)) and len(found) == 20


class Weigh(Discriminator):
    """F is the sum of the codes."""

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return codes.float().flatten(1).sum(1)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 7 samples, rather than of 1,000."""
    monkeypatch.setattr("bgan_discrete.runs.generate.PART", 7)


def saved(pipeline: Any, folder: Path) -> tuple[str, Any]:
    pipeline.save_pretrained(folder / "model")
    return str(folder / "model"), pipeline.generate(20, 5, 7)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".npy", ".npz"])
def test_rows_of_a_table_are_written_in_parts(suffix: str, tmp_path: Path) -> None:
    pipeline = table_model()
    model, made = saved(pipeline, tmp_path)
    path, expected = tmp_path / f"made{suffix}", tmp_path / f"expected{suffix}"
    generate(model, 20, path, seed=5, device="cpu")
    if suffix == ".npz":
        with np.load(path) as found:
            assert np.array_equal(found["codes"], made.codes) and found["columns"].tolist() == list(TABLE)
        return
    write_table(made.values, expected)
    if suffix == ".parquet":
        assert pyarrow.parquet.ParquetFile(path).num_row_groups == 3
        found, wanted = pyarrow.parquet.read_table(path), pyarrow.parquet.read_table(expected)
        assert found.equals(wanted) and found.to_pydict() == made.values
    elif suffix == ".npy":
        found, wanted = np.load(path), np.load(expected)
        assert found.dtype == wanted.dtype and [str(row) for row in found] == [str(row) for row in wanted]
        assert found["größe"].tolist() == made.values["größe"]
    else:
        assert path.read_bytes() == expected.read_bytes()


@pytest.mark.usefixtures("small_parts")
def test_arrays_are_written_in_parts(tmp_path: Path) -> None:
    model, made = saved(array_model(), tmp_path)
    for suffix in (".npy", ".npz", ".csv"):
        generate(model, 20, tmp_path / f"made{suffix}", seed=5, device="cpu")
    read = np.load(tmp_path / "made.npy")
    assert np.array_equal(read, made.values) and read.dtype == made.values.dtype
    with np.load(tmp_path / "made.npz") as found:
        assert np.array_equal(found["codes"], made.codes) and np.array_equal(found["rows"], made.values)
        assert found["codes"].dtype == made.codes.dtype
    assert np.array_equal(np.loadtxt(tmp_path / "made.csv", int, delimiter=","), made.values.reshape(20, -1))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("classes", [None, 3])
def test_images_are_written_in_parts(classes: int | None, tmp_path: Path) -> None:
    from PIL import Image

    model, made = saved(image_model(classes), tmp_path)
    for name in ("made.npz", "folder", "grid.png"):
        generate(model, 20, tmp_path / name, seed=5, device="cpu")
    with np.load(tmp_path / "made.npz") as found:
        assert set(found) == {"codes", "images"} | ({"labels"} if classes else set())
        assert all(
            np.array_equal(found[name], made.values if name == "images" else getattr(made, name)) for name in found
        )
    pictures = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "folder").iterdir())]
    assert np.array_equal(pictures, made.values)


@pytest.mark.usefixtures("small_parts")
def test_texts_are_written_in_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, made = saved(text_model(), tmp_path)
    for name in ("made.txt", "made.jsonl"):
        generate(model, 20, seed=5, output=tmp_path / name, device="cpu")
    lines = [on_one_line(sample) for sample in made.values]
    assert (tmp_path / "made.txt").read_text(encoding="utf-8") == "".join(f"{line}\n" for line in lines)
    found = (tmp_path / "made.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in found] == made.values
    capsys.readouterr()
    generate(model, 20, seed=5, device="cpu")
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.usefixtures("small_parts")
def test_a_draw_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Any, codes: Any, **options: Any) -> Any:
        nonlocal parts
        parts += 1
        if parts == 3:
            raise NonFiniteError("no more")
        return decode(self, codes, **options)

    for pipeline, suffixes in ((array_model(), (".npy", ".csv")), (table_model(), (".csv", ".parquet", ".npy"))):
        model, _ = saved(pipeline, tmp_path / type(pipeline.codec).__name__)
        decode = type(pipeline.codec).decode
        for suffix in suffixes:
            parts = 0
            with monkeypatch.context() as patch, pytest.raises(NonFiniteError, match="no more"):
                patch.setattr(type(pipeline.codec), "decode", failing)
                generate(model, 20, tmp_path / f"made{suffix}", device="cpu")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == set()


@pytest.mark.parametrize("make", [array_model, table_model, image_model, text_model, lambda: text_model(GRUGenerator)])
def test_a_low_temperature_draws_what_is_most_probable(make: Any) -> None:
    pipeline = make()

    def codes(**options: Any) -> np.ndarray:
        return pipeline.generate(40, 5, **options).codes

    assert np.array_equal(codes(temperature=1e-5), codes(top_k=1)), "nothing but the most probable"
    assert not np.array_equal(codes(top_k=1), codes())
