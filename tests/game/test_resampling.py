"""Samples that are chosen by importance weight: the distribution by enumeration, and the way to them."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bgan_discrete
from bgan_discrete import (
    AlternativesDiscriminator,
    ContinuousConvGenerator,
    ConvDiscriminator,
    ConvGenerator,
    Discriminator,
    InputError,
    MLPDiscriminator,
    MLPGenerator,
    Pipeline,
    Resampler,
    Trainer,
    TrainingConfig,
)
from bgan_discrete.codecs import IntegersCodec, LevelsCodec
from bgan_discrete.config import (
    ArrayDataConfig,
    ArrayTrainingConfig,
    ImageTrainingConfig,
    TextDataConfig,
    TextTrainingConfig,
)
from bgan_discrete.game.drawing import sample_codes
from bgan_discrete.game.resampling import sample_log_ratios
from bgan_discrete.runs.evaluate import evaluate
from bgan_discrete.runs.generate import generate
from bgan_discrete.runs.train import train
from bgan_discrete.space import SampleSpace

PAIRS = SampleSpace((2,), 2)
P, Q = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.4, 0.3, 0.2, 0.1])
QUICK = {"max_steps": 4, "sample_interval": 0, "log_interval": 4, "threads": 1, "num_samples": 0}


class TrueLogRatio(Discriminator):
    """Of two binary codes: log p/q."""

    def __init__(self) -> None:
        super().__init__(PAIRS)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return (P / Q).log()[codes.long() @ torch.tensor([2, 1])]


class Scored(Discriminator):
    """Gives what a function says."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__(PAIRS)
        self.function = function

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.function(codes) if labels is None else self.function(codes, labels)


def drawn_from_q(count: int, seed: int = 0) -> Tensor:
    found = torch.multinomial(Q, count, replacement=True, generator=torch.Generator().manual_seed(seed))
    return torch.stack([found // 2, found % 2], dim=1).to(torch.uint8)


def exact(num_draws: int) -> Tensor:
    """The distribution of what is kept of so many draws, over all tuples of draws."""
    found = torch.zeros(4, dtype=torch.float64)
    for draws in itertools.product(range(4), repeat=num_draws):
        weights = (P / Q)[list(draws)].double()
        for place, draw in enumerate(draws):
            found[draw] += Q[list(draws)].double().prod() * weights[place] / weights.sum()
    return found


@pytest.mark.parametrize("num_draws", [1, 2, 4])
def test_what_is_kept_has_the_distribution_that_enumeration_gives(num_draws: int) -> None:
    count = 40_000
    kept = Resampler(TrueLogRatio(), num_draws)(drawn_from_q(count * num_draws), rng=torch.Generator().manual_seed(1))
    shares = torch.bincount(kept.long() @ torch.tensor([2, 1]), minlength=4) / count
    expected = exact(num_draws)
    assert torch.allclose(expected.sum(), torch.tensor(1.0, dtype=torch.float64))
    assert (shares - expected).abs().max() < 4 * math.sqrt(0.25 / count)


def test_more_draws_come_nearer_to_the_data() -> None:
    distances = [float((exact(num_draws) - P).abs().sum() / 2) for num_draws in (1, 2, 4, 6)]
    assert distances[0] == pytest.approx(0.4)
    assert distances == sorted(distances, reverse=True)
    # The bias is of order 1/M.
    assert distances[3] == pytest.approx(distances[2] * 4 / 6, rel=0.15)


def test_a_sure_discriminator_decides_and_labels_are_given_to_it() -> None:
    judge = Scored(lambda codes, labels: 50.0 * (codes[:, 0] == labels))
    codes = torch.arange(600).remainder(3).view(-1, 1).to(torch.uint8)  # 0 1 2, 0 1 2, ...
    labels = torch.arange(200).remainder(3).repeat_interleave(3)
    assert Resampler(judge, 3)(codes, labels)[:, 0].tolist() == labels[::3].tolist()


def test_the_mode_of_a_discriminator_is_left_as_it_was() -> None:
    discriminator = Scored(nn.Sequential(nn.Flatten(0), nn.Dropout(0.5))).train()
    found = sample_log_ratios(discriminator, torch.ones(700))
    assert discriminator.training
    assert (found == 1).all()
    assert found.dtype == torch.float64


@pytest.mark.parametrize("end_id", [None, 0])
@pytest.mark.parametrize("context", ["rest", "prefix"])
def test_the_log_ratio_of_a_sample_by_a_discriminator_of_alternatives(context: Any, end_id: int | None) -> None:
    torch.manual_seed(0)
    network = AlternativesDiscriminator(SampleSpace((5,), 3, end_id=end_id), 8, 2, context, "conv")
    codes = torch.tensor([[1, 2, 1, 2, 1], [2, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    last = network(codes).view(3, -1, 5)[:, -1]  # of the judge that sees most
    lengths = [5, 5, 5] if end_id is None else [5, 3, 1]
    # The alternatives by which a round of one position is drawn are those of the same judge.
    of_codes = network.sample_alternatives(codes).gather(-1, codes[..., None]).squeeze(-1)
    for alike, judged, length in zip(of_codes, last, lengths, strict=True):
        assert torch.equal(alike[:length], judged[:length])
    for found, judged, length in zip(network.sample_log_ratio(codes), last, lengths, strict=True):
        assert torch.isclose(found, judged[:length].mean() if context == "rest" else judged[length - 1])
    assert torch.equal(sample_log_ratios(network, codes), network.sample_log_ratio(codes).double())


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="num_draws must be at least 1, got 0"):
        Resampler(TrueLogRatio(), 0)
    with pytest.raises(InputError, match="codes must be 3 draws for each sample, got 4"):
        Resampler(TrueLogRatio(), 3)(drawn_from_q(4))
    with pytest.raises(InputError, match=r"one F for each of 4 samples, got \[4, 2, 1\]"):
        sample_log_ratios(Scored(nn.Unflatten(1, (2, 1))), drawn_from_q(4))
    with pytest.raises(InputError, match="inf or NaN"):
        sample_log_ratios(Scored(nn.Flatten(0)), torch.tensor([0.0, math.inf]))
    with pytest.raises(InputError, match=r"discriminator must extend bgan_discrete\.Discriminator, got Flatten"):
        Resampler(nn.Flatten(0), 2)  # type: ignore[arg-type]


def test_samples_of_a_seed_do_not_depend_on_how_many_are_drawn() -> None:
    torch.manual_seed(0)
    generator = MLPGenerator(PAIRS, latent_size=3, width=8, depth=1)

    def draw(count: int, resampler: Resampler | None) -> Tensor:
        return sample_codes(generator, count, 5, torch.device("cpu"), 50, resampler=resampler)

    resampler = Resampler(TrueLogRatio(), 4)
    assert draw(30, resampler).shape == (30, 2)
    assert torch.equal(draw(30, resampler), draw(7 * 12, resampler)[:30])
    assert torch.equal(draw(40, Resampler(TrueLogRatio(), 1)), draw(40, None))
    # More draws than a batch holds are one batch.
    assert draw(2, Resampler(TrueLogRatio(), 60)).shape == (2, 2)
    trainer = Trainer(
        generator,
        MLPDiscriminator(PAIRS, width=8, depth=1),
        drawn_from_q(50).numpy(),
        TrainingConfig(threads=1),
    )
    assert trainer.sample(6, resample=3).shape == (6, 2)
    with pytest.raises(InputError, match="num_draws must be at least 1, got 0"):
        trainer.sample(6, resample=0)


def test_pipelines_resample_by_a_discriminator_that_they_are_given() -> None:
    torch.manual_seed(0)
    codec, space = LevelsCodec(4), LevelsCodec(4).space_of((8, 8))
    judge = ConvDiscriminator(space, 8, 1, num_classes=3)
    pipeline = Pipeline(ConvGenerator(space, 4, 8, 1, num_classes=3), codec, discriminator=judge)
    made = pipeline.generate(9, seed=1, resample=4, labels=[2, 0, 1])
    assert made.labels is not None
    assert made.labels.tolist() == [2, 2, 2, 0, 0, 0, 1, 1, 1]
    assert made.codes.shape == (9, 8, 8)
    assert np.array_equal(made.codes, pipeline.generate(9, seed=1, resample=4, labels=[2, 0, 1]).codes)
    assert not np.array_equal(made.codes, pipeline.generate(9, seed=1, labels=[2, 0, 1]).codes)
    assert "ConvGenerator" in repr(pipeline)
    alone = Pipeline(MLPGenerator(PAIRS, latent_size=3, width=8, depth=1), IntegersCodec((2,), 2))
    with pytest.raises(InputError, match=r"resample 4 needs a discriminator .* pipeline\.discriminator = "):
        alone.generate(3, resample=4)
    with pytest.raises(InputError, match="resample must be at least 1, got 0"):
        alone.generate(3, resample=0)
    with pytest.raises(InputError, match=r"resample must be an integer, got 2\.5"):
        alone.generate(3, resample=2.5)  # type: ignore[arg-type]
    alone.discriminator = TrueLogRatio()
    rows = alone.generate(2000, resample=8).codes
    before = alone.generate(2000).codes
    # The true log-ratio prefers 1 1 over 0 0.
    assert rows.mean() > before.mean() + 0.05


def test_the_scripts_find_the_discriminator_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bgan_discrete.metrics.arrays.CRITIC_STEPS", 30)
    np.save("rows.npy", np.random.default_rng(0).integers(0, 3, (200, 6)))
    quick = {**QUICK, "phases": "likelihood=0.5,discriminator"}
    text = {"layout": "window", "length": 8, "generator_width": 8, "discriminator_width": 8, "latent_size": 4}
    train(TextTrainingConfig.from_flat({**quick, **text, "output_dir": "text"}))
    prefix = {"credit": "prefix", "estimator": "rloo", "generator": "gru"}
    train(TextTrainingConfig.from_flat({**quick, **text, **prefix, "output_dir": "gru"}))
    train(ArrayTrainingConfig.from_flat({**quick, "dataset": "rows.npy", "output_dir": "rows"}))
    small = {"generator_width": 8, "discriminator_width": 8, "conditional": True}
    train(ImageTrainingConfig.from_flat({**QUICK, **small, "output_dir": "images"}))
    for run in ("text", "gru"):
        for name, resample in (("weighed.txt", 3), ("plain.txt", 1)):
            generate(f"{run}/model", 5, device="cpu", resample=resample, output=Path(name))
            assert len(Path(name).read_text(encoding="utf-8").splitlines()) == 5
        assert Path("weighed.txt").read_bytes() != Path("plain.txt").read_bytes()
    for name, resample in (("weighed.npy", 3), ("plain.npy", 1)):
        generate("rows/model", 40, Path(name), device="cpu", resample=resample)
    assert not np.array_equal(np.load("weighed.npy"), np.load("plain.npy"))
    generate("images/model", 20, Path("made.npz"), device="cpu", resample=3)
    assert np.load("made.npz")["labels"].tolist() == np.arange(10).repeat(2).tolist()
    with pytest.raises(InputError, match="resample must be at least 1, got 0"):
        generate("rows/model", 3, Path("none.npy"), device="cpu", resample=0)
    report = evaluate("text/model", TextDataConfig(dataset="arithmetic"), 60, Path("t.json"), device="cpu", resample=2)
    assert '"resample": 2' in Path("t.json").read_text(encoding="utf-8")
    assert report.figures
    evaluate("rows/model", ArrayDataConfig(dataset="rows.npy"), 20, Path("r.json"), device="cpu", resample=2)
    train(
        ArrayTrainingConfig.from_flat(
            {**QUICK, "dataset": "rows.npy", "output_dir": "likely", "phases": "likelihood=1"}
        )
    )
    with pytest.raises(InputError, match="that of the run was never trained"):
        generate("likely/model", 3, Path("none.npy"), device="cpu", resample=2)
    # A model that left its run, and a run whose discriminator is another.
    bgan_discrete.load("rows/model").save_pretrained("alone/model")
    with pytest.raises(InputError, match=r"give as model the 'model' folder in the folder of its run; 'alone' has no"):
        generate("alone/model", 3, Path("none.npy"), device="cpu", resample=2)
    config = Path("rows/config.yaml")
    options = config.read_text(encoding="utf-8")
    assert "discriminator_width: 64" in options
    config.write_text(options.replace("discriminator_width: 64", "discriminator_width: 63"), encoding="utf-8")
    with pytest.raises(InputError, match=r"holds no discriminator of model 'rows/model': .*size mismatch"):
        generate("rows/model", 3, Path("none.npy"), device="cpu", resample=2)
    config.write_text(options, encoding="utf-8")
    train(ArrayTrainingConfig.from_flat({**quick, "dataset": "rows.npy", "output_dir": "other", "seed": 1}))
    Path("other/model").rename("other/first")
    Path("rows/model").rename("other/model")
    with pytest.raises(
        InputError, match="holds the discriminator of another generator than that of model 'other/model'"
    ):
        generate("other/model", 3, Path("none.npy"), device="cpu", resample=2)
    Path("other/model").rename("rows/model")
    # One that is damaged, and a run of another kind.
    config.write_text(options, encoding="utf-8")
    for state in Path("rows/checkpoints").rglob("state.pt"):
        state.write_bytes(b"")
    with pytest.raises(
        InputError, match=r"resample 2 needs the run's discriminator, and finds no checkpoint that can be used"
    ):
        generate("rows/model", 3, Path("none.npy"), device="cpu", resample=2)
    config.write_text("conditional: true\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"'rows/config.yaml' is not of a run that trains such a model"):
        generate("rows/model", 3, Path("none.npy"), device="cpu", resample=2)
    assert not Path("none.npy").exists()


def test_continuous_grey_levels_are_not_resampled(tmp_path: Path) -> None:
    generator = ContinuousConvGenerator(LevelsCodec(4).space_of((8, 8)), 4, 8, 1)
    codes = np.random.default_rng(0).integers(0, 4, (20, 8, 8)).astype(np.uint8)
    told = "resample must be 1 for a generator of continuous grey levels, got 3"
    discriminator = ConvDiscriminator(SampleSpace((8, 8), 2), 8, 1)
    with pytest.raises(InputError, match=told):
        Pipeline(generator, LevelsCodec(4), discriminator=discriminator).generate(2, resample=3)
    small = {"generator_width": 8, "discriminator_width": 8, "continuous": "boundary_seeking", "num_draws": 1}
    train(ImageTrainingConfig.from_flat({**QUICK, **small, "output_dir": str(tmp_path / "run")}))
    with pytest.raises(InputError, match=told):
        generate(tmp_path / "run" / "model", 2, tmp_path / "made.npz", device="cpu", resample=3)
    config = TrainingConfig(threads=1, continuous="boundary_seeking", batch_size=4)
    trainer = Trainer(generator, discriminator, codes, config)
    with pytest.raises(InputError, match=told):
        trainer.sample(2, resample=3)


def test_draws_of_any_finite_f_are_weighed() -> None:
    table = Scored(lambda codes: values[codes[:, 0].long()])
    codes = torch.tensor([0, 1, 2]).repeat(4000)[:, None]
    rng = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16):
        for size in (1e5, 1e30, 3e38, -3e38):
            values = torch.full((3,), size, dtype=dtype)
            chosen = Resampler(table, 3)(codes, rng=rng)[:, 0].bincount(minlength=3)
            assert chosen.min() > 1200, "equal ones are as probable, however large they are"
            values = torch.tensor([-size, size / 2, size], dtype=dtype)
            assert set(Resampler(table, 3)(codes, rng=rng)[:, 0].tolist()) == {2 if size > 0 else 0}


# Small faults that nothing above would notice.


class Prefixes(Discriminator):
    """F of every prefix: the sum of the codes so far, times a parameter."""

    credits = ("prefix",)

    def __init__(self) -> None:
        super().__init__(SampleSpace((4,), 5))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.scale * samples.float().cumsum(1)


def test_of_the_prefixes_of_a_sequence_the_whole_counts_and_no_gradient_is_kept() -> None:
    codes = torch.tensor([[1, 2, 3, 4], [4, 0, 0, 1]])
    found = sample_log_ratios(Prefixes(), codes)
    assert found.tolist() == [10.0, 5.0] and found.dtype == torch.float64
    assert not found.requires_grad


def test_the_choice_is_made_where_the_codes_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device that holds no values, which refuses tensors of another."""
    monkeypatch.setattr("bgan_discrete.game.resampling.sample_log_ratios", lambda _, codes, __: codes[:, 0].double())
    kept = Resampler(Prefixes(), 3)(torch.zeros(12, 2, device="meta"))
    assert kept.shape == (4, 2) and kept.device.type == "meta"
