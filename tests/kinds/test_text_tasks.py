"""How a training of text is put together: options that reach the networks, the generator's start, what judges it."""

from typing import Any

import numpy as np
import pytest
import torch

from bgan_discrete.codecs import TextCodecOptions
from bgan_discrete.config import TextTrainingConfig
from bgan_discrete.errors import InputError
from bgan_discrete.game.credit import AlternativesCredit
from bgan_discrete.kinds import get_kind
from bgan_discrete.kinds import text as text_kind
from bgan_discrete.nn import AlternativesDiscriminator
from bgan_discrete.sources import TextData, load_text
from bgan_discrete.space import SampleSpace
from bgan_discrete.training.setup import make_game
from bgan_discrete.training.trainer import Trainer

TEXT = get_kind("text")
WINDOW = TextCodecOptions(length=8, ends=False)
SPACE = SampleSpace((8,), 16)


def small_config(**changes: Any) -> TextTrainingConfig:
    return TextTrainingConfig.from_flat(
        {"layout": "window", "length": 8, "generator_width": 16, "discriminator_width": 8, "latent_size": 6, **changes}
    )


@pytest.fixture(scope="module")
def data() -> TextData:
    return load_text("arithmetic", layout="window", codec=WINDOW)


def test_the_bound_reaches_the_judges(data: TextData) -> None:
    judge = TEXT.networks(small_config(log_ratio_bound=0.5), data.space)[1]
    assert isinstance(judge, AlternativesDiscriminator)
    with torch.no_grad():
        for parameter in judge.parameters():
            parameter.mul_(50)
        found = judge.alternatives(torch.from_numpy(data.codes[:9].astype(np.int64)))
    assert 0.4 < found.abs().max() <= 0.5


@pytest.mark.parametrize(("changes", "spread"), [({}, 1.0), ({"logit_spread": 2.5}, 2.5), ({"credit": "sample"}, None)])
@pytest.mark.parametrize("kind", ["conv", "mlp"])
def test_how_a_generator_starts(data: TextData, kind: str, changes: dict[str, Any], spread: float | None) -> None:
    config = small_config(generator=kind, num_draws=2, **changes)
    generator = TEXT.networks(config, data.space)[0]
    TEXT.start(generator, config, data)
    with torch.no_grad():
        logits = generator(torch.randn(2000, 6)).logits
    occurs = np.isin(np.arange(data.num_categories), data.codes)
    assert not occurs.all(), "the unknown character"
    assert (torch.softmax(logits, -1)[..., ~torch.from_numpy(occurs)] < 1e-6).all()
    found = logits.std(0).mean().item()
    assert found == pytest.approx(spread, rel=0.1) if spread is not None else found < 0.5


def test_options_of_credit_reach_the_game() -> None:
    config = small_config(escort=0.5).training
    assert make_game(config).credit == AlternativesCredit(escort=0.5)


def test_text_is_not_continuous() -> None:
    with pytest.raises(InputError, match="continuous is for images; leave it out, got 'boundary_seeking'"):
        small_config(continuous="boundary_seeking")


@pytest.mark.parametrize(
    ("generator", "escort", "expected"),
    [("conv", None, 0.5), ("mlp", None, 0.5), ("gru", None, 1.0), ("transformer", None, 1.0), ("conv", 1.0, 1.0)],
)
def test_the_escort_suits_the_generator_unless_it_is_given(
    generator: str, escort: float | None, expected: float
) -> None:
    training = TEXT.algorithm(small_config(generator=generator, escort=escort), SPACE)
    assert make_game(training).credit == AlternativesCredit(expected)
    other = small_config(generator=generator, credit="sample", num_draws=2)
    assert TEXT.algorithm(other, SPACE).escort is None


def test_likelihood_takes_a_latent_for_each_sample(data: TextData) -> None:
    config = small_config(phases="likelihood", max_steps=1, batch_size=4)
    generator, judge = TEXT.networks(config, data.space)
    seen: list[int] = []
    generator.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    Trainer(generator, judge, data.codes, config.training).train(progress=False)
    assert seen[1:] == [4], "after the look at a generator that a new trainer takes"


def test_large_data_are_judged_by_a_part_that_is_spread_evenly(data: TextData, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = tuple(map(len, text_kind._evaluated_texts(data)))
    assert everything == (len(data.codes), len(data.heldout_codes))
    monkeypatch.setattr(text_kind, "MAX_EVALUATED_TEXTS", 700)
    training, heldout = text_kind._evaluated_texts(data)
    assert (len(training), len(heldout)) == (700, len(data.heldout_codes))
    assert len(set(training)) == 700
    assert training[0] == data.codec.decode(data.codes[:1])[0]
    assert training[-1] == data.codec.decode(data.codes[-1:])[0]
