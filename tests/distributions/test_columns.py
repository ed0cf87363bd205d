"""Positions that differ in their number of categories: what is impossible has probability 0 everywhere, exactly."""

import itertools

import numpy as np
import pytest
import torch
from players import players
from torch import Tensor

from bgan_discrete import ColumnCategorical, Trainer, TrainingConfig, make_estimator
from bgan_discrete.distributions import Distribution, FactorizedCategorical
from bgan_discrete.errors import InputError
from bgan_discrete.game.credit import AlternativesCredit
from bgan_discrete.game.penalties import r1_penalty
from bgan_discrete.game.rules import Game
from bgan_discrete.game.step import generator_loss
from bgan_discrete.nn import AlternativesDiscriminator, MLPDiscriminator, MLPGenerator
from bgan_discrete.space import SampleSpace

SIZES = torch.tensor([1, 2, 4, 3])
OUTCOMES = torch.tensor(list(itertools.product(range(4), repeat=4)))
IS_POSSIBLE = (OUTCOMES < SIZES).all(1)


def make(latents: int = 3, seed: int = 0, requires_grad: bool = False) -> tuple[Tensor, ColumnCategorical]:
    logits = 3 * torch.randn(latents, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    logits.requires_grad_(requires_grad)
    return logits, ColumnCategorical(logits, SIZES)


def naive_log_probs(logits: Tensor) -> list[Tensor]:
    """A softmax for each position over its own categories alone."""
    return [torch.log_softmax(logits[:, place, :size], -1) for place, size in enumerate(SIZES.tolist())]


def test_probabilities_of_all_outcomes_sum_to_one_and_impossible_ones_have_none() -> None:
    logits, distribution = make()
    log_prob = distribution.log_prob(OUTCOMES[:, None].expand(-1, 3, -1))
    torch.testing.assert_close(log_prob.exp().sum(0), torch.ones(3, dtype=torch.float64))
    assert (log_prob[~IS_POSSIBLE].exp() == 0).all()
    parts = naive_log_probs(logits)
    for outcome, found in zip(OUTCOMES[IS_POSSIBLE], log_prob[IS_POSSIBLE], strict=True):
        torch.testing.assert_close(
            found, torch.stack([part[:, k] for part, k in zip(parts, outcome, strict=True)]).sum(0)
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_everything_stays_finite_and_equals_the_naive_version(dtype: torch.dtype) -> None:
    logits = make()[0].to(dtype)
    distribution = ColumnCategorical(logits, SIZES)
    parts = naive_log_probs(logits.double())
    entropy = torch.stack([-(part.exp() * part).sum(-1) for part in parts]).sum(0)
    torch.testing.assert_close(distribution.entropy().double(), entropy, rtol=1e-5, atol=1e-5)
    codes = distribution.sample(5)
    mixture = distribution.mixture_log_prob(codes[0])
    log_prob = distribution.log_prob(codes)
    by_latent = torch.stack([distribution.log_prob(codes[0][i].expand(1, 3, -1))[0] for i in range(3)])
    torch.testing.assert_close(mixture, torch.logsumexp(by_latent, 1) - np.log(3))
    for found in (mixture, log_prob, distribution.logits, distribution.log_probs):
        assert torch.isfinite(found).all()
    assert distribution.alternatives(codes[0])[1] is None
    assert torch.equal(distribution.sharpened().logits, distribution.logits)
    assert isinstance(distribution, Distribution)


@pytest.mark.parametrize("method", ["counts", "gather", None])
@pytest.mark.parametrize("zero_sum", [False, True])
def test_the_surrogate_and_its_gradient_equal_the_naive_version(method: str | None, zero_sum: bool) -> None:
    logits, distribution = make(requires_grad=True)
    codes = distribution.sample(6, torch.Generator().manual_seed(1))
    advantages = torch.randn(6, 3, dtype=torch.float64)
    advantages = advantages - advantages.mean(0) if zero_sum else advantages
    found = distribution.weighted_log_prob(codes, advantages, zero_sum, method)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    parts = naive_log_probs(logits)
    wanted = sum(
        (advantages * part.expand(6, -1, -1).gather(2, codes[:, :, place, None].long()).squeeze(2)).sum(0)
        for place, part in enumerate(parts)
    )
    (wanted_gradient,) = torch.autograd.grad(wanted.sum(), logits)
    torch.testing.assert_close(gradient, wanted_gradient)
    if not zero_sum:  # with it a constant is left out
        torch.testing.assert_close(found, wanted)
    impossible = torch.arange(4) >= SIZES[:, None]
    assert (gradient[:, impossible] == 0).all()


@pytest.mark.parametrize("categories", [2, 5, 64, 65, 300])
@pytest.mark.parametrize("draws", [1, 40])
def test_what_is_impossible_is_never_drawn(categories: int, draws: int) -> None:
    sizes = torch.tensor([1, 2, categories, max(categories // 2, 1), categories - 1]).clamp_max(categories)
    logits = torch.randn(200, 5, categories)
    logits[torch.arange(categories).expand(200, 5, -1) >= sizes[:, None]] = 80.0  # what is masked would be certain
    codes = ColumnCategorical(logits, sizes).sample(draws)
    assert (codes < sizes).all()
    for place, size in enumerate(sizes.tolist()):
        if size <= 5 and draws > 1:
            assert set(codes[..., place].unique().tolist()) == set(range(size))


def test_a_sampler_that_rounds_wrongly_cannot_draw_it_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def last_of_all(logits: Tensor, num_draws: int, rng: torch.Generator | None = None) -> Tensor:
        return torch.full((num_draws, *logits.shape[:-1]), logits.shape[-1] - 1, dtype=torch.uint8)

    monkeypatch.setattr("bgan_discrete.distributions.factorized.sample_categorical", last_of_all)
    codes = make()[1].sample(2)
    assert codes.dtype == torch.uint8
    assert (codes == SIZES - 1).all()


def test_frequencies_of_draws_are_the_probabilities() -> None:
    logits = torch.tensor([[[0.3, -0.5, 0.0, 9.0], [0.0, 1.0, -1.0, 0.5]]])
    distribution = ColumnCategorical(logits, torch.tensor([3, 4]))
    codes = distribution.sample(40_000, torch.Generator().manual_seed(0))[:, 0]
    shares = torch.nn.functional.one_hot(codes.long(), 4).float().mean(0)
    torch.testing.assert_close(shares, distribution.log_probs[0].exp(), atol=0.01, rtol=0)


def test_a_generator_with_sizes_and_its_shape() -> None:
    sizes = (1, 2, 3, 5, 4, 5)
    generator = MLPGenerator(SampleSpace((2, 3), 5, sizes=sizes), 4, 8, 1)
    codes = generator(torch.randn(50, 4)).sample(20)
    assert (codes < torch.tensor(sizes).reshape(2, 3)).all()
    assert generator.settings["space"]["sizes"] == list(sizes)
    assert MLPGenerator(SampleSpace((2, 3), 5, sizes=(5,) * 6), 4, 8, 1).settings["space"]["sizes"] is None
    assert "sizes" not in MLPGenerator(SampleSpace((2, 3), 5), 4, 8, 1).state_dict()


@pytest.mark.parametrize("sizes", [None, (2, 5, 3, 1, 5, 4)])
@pytest.mark.parametrize("encoding", [None, "scalar", "cosine", "onehot", "embedding"])
def test_alternatives_of_a_discriminator_equal_its_value_of_each_exchanged_sample(
    sizes: tuple[int, ...] | None, encoding: str | None
) -> None:
    if sizes is not None and encoding not in (None, "onehot"):
        with pytest.raises(InputError, match="encoding must be 'onehot' with sizes"):
            MLPDiscriminator(SampleSpace((2, 3), 5, sizes=sizes), 7, 2, encoding)
        return
    torch.manual_seed(0)
    discriminator = MLPDiscriminator(SampleSpace((2, 3), 5, sizes=sizes), 7, 2, encoding)
    limits = torch.tensor(sizes or [5] * 6).reshape(2, 3)
    codes = (torch.rand(4, 2, 3) * limits).to(torch.uint8)
    found = discriminator.alternatives(codes)
    assert found.shape == (4, 2, 3, 5)
    for place in np.ndindex(2, 3):
        for code in range(5):
            exchanged = codes.clone()
            exchanged[(slice(None), *place)] = code
            wanted = discriminator(exchanged) if code < limits[place] else torch.zeros(4)
            torch.testing.assert_close(found[(slice(None), *place, code)], wanted, rtol=1e-4, atol=1e-5)


def test_a_penalty_has_no_part_in_what_is_impossible() -> None:
    sizes = (1, 2, 4, 3)
    discriminator = MLPDiscriminator(SampleSpace((4,), 4, sizes=sizes), 8)
    codes = torch.tensor([[0, 1, 3, 2], [0, 0, 1, 0]])
    soft = torch.nn.functional.one_hot(codes, 4).float().requires_grad_()
    torch.testing.assert_close(discriminator(soft), discriminator(codes))
    (gradient,) = torch.autograd.grad(discriminator(soft).sum(), soft)
    assert (gradient[:, torch.arange(4) >= SIZES[:, None]] == 0).all()
    assert r1_penalty(discriminator, codes, codes, 4) > 0


@pytest.mark.parametrize("estimator", ["jeffreys", "rloo", "bgan_centered"])
@pytest.mark.parametrize("escort", [1.0, 0.5])
def test_alternatives_give_impossible_codes_no_gradient(estimator: str, escort: float) -> None:
    logits, distribution = make(requires_grad=True)
    discriminator = AlternativesDiscriminator(SampleSpace((4,), 4), 8, 1, "rest", "mlp")
    game = Game(make_estimator(estimator), credit=AlternativesCredit(escort))
    found = generator_loss(game, players(None, discriminator), distribution, distribution.sample(2))
    (gradient,) = torch.autograd.grad(found.loss, logits)
    assert torch.isfinite(found.loss)
    assert isinstance(found.seen, Tensor) and torch.isfinite(found.seen).all()
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
    assert (gradient[:, torch.arange(4) >= SIZES[:, None]] == 0).all()


@pytest.mark.parametrize("credit", ["sample", "alternatives"])
def test_training_on_columns_learns_a_rule_between_them(credit: str) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, 2000)
    codes = np.stack([first, first % 2, rng.integers(0, 5, 2000)], axis=1).astype(np.uint8)
    torch.manual_seed(0)
    generator = MLPGenerator(SampleSpace((3,), 5, sizes=(3, 2, 5)), 8, 32)
    discriminator = MLPDiscriminator(SampleSpace((3,), 5, sizes=(3, 2, 5)), 32)
    config = TrainingConfig(
        estimator="jeffreys", credit=credit, num_draws=1 if credit == "alternatives" else 8, max_steps=300,
        sample_interval=0, checkpoint_interval=0, ema_decay=0.98, device="cpu",
    )  # fmt: skip
    trainer = Trainer(generator, discriminator, codes, config)
    trainer.train(progress=False)
    samples = trainer.sample(2000)
    assert (samples < np.array([3, 2, 5])).all()
    assert (samples[:, 0] % 2 == samples[:, 1]).mean() > 0.9
    assert np.bincount(samples[:, 0], minlength=3).min() > 300


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ColumnCategorical(torch.zeros(2, 3, 4), torch.tensor([1, 2])), "sizes must have the event shape"),
        (lambda: ColumnCategorical(torch.zeros(2, 2, 2, 4), torch.ones(4)), "sizes must have the event shape"),
        (lambda: MLPGenerator(SampleSpace((2,), 4), latent_kind="uniform"), "latent_kind must be one of"),
    ],
)
def test_errors(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


def test_equal_sizes_are_the_plain_distribution() -> None:
    generator = MLPGenerator(SampleSpace((2,), 3, sizes=(3, 3)), 4, 8)
    assert type(generator(torch.randn(2, 4))) is FactorizedCategorical


def test_columns_stay_on_the_device_of_their_logits() -> None:
    """On the device that holds no values, which refuses tensors of another."""
    distribution = ColumnCategorical(torch.zeros(2, 4, 4, device="meta"), SIZES.to("meta"))
    assert distribution.logits.device.type == "meta"
