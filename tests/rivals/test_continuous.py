"""The continuous objective: from F and never from probabilities, on a game whose optimum is known, by the script."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import run_script
from players import players
from torch import Tensor, nn

from bgan_discrete import Discriminator, Generator, SampleSpace
from bgan_discrete.config import ImageTrainingConfig, TrainingConfig
from bgan_discrete.errors import InputError
from bgan_discrete.game.divergences import DIVERGENCES
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.rules import Game
from bgan_discrete.kinds import get_kind
from bgan_discrete.models.pipeline import Pipeline
from bgan_discrete.nn import ContinuousConvGenerator, ConvDiscriminator, MLPGenerator
from bgan_discrete.rivals.continuous import (
    CONTINUOUS_LOSSES,
    GreyLevels,
    boundary_seeking_loss,
    continuous_step,
    corrected_boundary_seeking_loss,
    get_continuous_loss,
    mixtures,
    non_saturating_loss,
)
from bgan_discrete.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]


def naive_loss(log_ratio: Tensor) -> Tensor:
    """The published form, with probabilities."""
    d = torch.sigmoid(log_ratio)
    return 0.5 * (torch.log(d) - torch.log(1 - d)).square().mean()


def test_the_loss_is_the_published_one_where_that_can_be_computed() -> None:
    log_ratio = torch.linspace(-6, 6, 13, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(boundary_seeking_loss(log_ratio), naive_loss(log_ratio))
    (found,) = torch.autograd.grad(boundary_seeking_loss(log_ratio), log_ratio)
    (wanted,) = torch.autograd.grad(naive_loss(log_ratio), log_ratio)
    assert torch.allclose(found, wanted)


@pytest.mark.parametrize("value", [30.0, -120.0, 1e4])
def test_it_stays_finite_where_the_form_with_probabilities_does_not(value: float) -> None:
    log_ratio = torch.tensor([value, 0.5], requires_grad=True)
    naive = naive_loss(log_ratio)
    (naive_gradient,) = torch.autograd.grad(naive, log_ratio)
    assert not (torch.isfinite(naive) and torch.isfinite(naive_gradient).all())
    for name in CONTINUOUS_LOSSES:
        loss = get_continuous_loss(name)(log_ratio)
        (gradient,) = torch.autograd.grad(loss, log_ratio)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all(), name


def test_the_correction_takes_a_constant_out_of_f() -> None:
    log_ratio = torch.randn(50, dtype=torch.float64, requires_grad=True)
    a, b = corrected_boundary_seeking_loss(log_ratio), corrected_boundary_seeking_loss(log_ratio + 3)
    assert torch.allclose(a, b)
    centred = log_ratio - torch.logsumexp(log_ratio.detach(), 0) + np.log(50)
    assert torch.allclose(a, 0.5 * centred.square().mean())
    (gradient,) = torch.autograd.grad(a, log_ratio)
    assert torch.allclose(gradient, centred.detach() / 50)


def test_the_usual_loss() -> None:
    log_ratio = torch.randn(9)
    assert torch.allclose(non_saturating_loss(log_ratio), -torch.log(torch.sigmoid(log_ratio)).mean())


class Constant(Generator):
    """One grey level at one position, whatever the latent."""

    def __init__(self, start: float) -> None:
        super().__init__(SampleSpace((1,), 11, ordered=True), latent_size=1)
        self.level = nn.Parameter(torch.tensor(start))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> GreyLevels:
        return GreyLevels(self.level.expand(len(latents), 1), 11)


class Slope(Discriminator):
    """F(v) = slope (v - 0.6): the boundary lies at 0.6."""

    def __init__(self) -> None:
        super().__init__(SampleSpace((1,), 2, ordered=True))
        self.slope = nn.Parameter(torch.tensor(2.0))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.slope * (samples[:, 0, 1] - 0.6)


@pytest.mark.parametrize("start", [0.1, 0.95])
def test_samples_move_onto_the_boundary_from_both_sides(start: float) -> None:
    generator, discriminator = Constant(start), Slope()
    still = torch.optim.SGD(discriminator.parameters(), 0.0)
    both = players(generator, discriminator, discriminator_optimizer=still)
    real, latents = torch.full((4, 1), 6, dtype=torch.uint8), torch.zeros(4, 1)
    for _ in range(60):
        found = continuous_step(Game(), both, real, latents)
    assert abs(float(generator.level.detach()) - 0.6) < 1e-3
    assert abs(found["d_fake"] - 0.5) < 1e-3 and abs(found["log_beta"]) < 1e-2
    assert all(p.requires_grad for p in discriminator.parameters())


def test_the_discriminators_part_is_its_bound_on_mixtures() -> None:
    generator, discriminator = Constant(0.25), Slope()
    whole = torch.optim.SGD(discriminator.parameters(), 1.0)
    both = players(generator, discriminator, discriminator_optimizer=whole)
    real = torch.tensor([[10], [5]], dtype=torch.uint8)
    slope = discriminator.slope.detach().clone().requires_grad_()
    f_real, f_fake = slope * (torch.tensor([1.0, 0.5]) - 0.6), slope * (torch.tensor([0.25, 0.25]) - 0.6)
    (wanted,) = torch.autograd.grad(DIVERGENCES["gan"].discriminator_loss(f_real, f_fake), slope)
    found = continuous_step(Game(), both, real, torch.zeros(2, 1), moves_both=False)
    assert torch.allclose(slope.detach() - discriminator.slope.detach(), wanted, atol=1e-6)
    assert generator.level.item() == 0.25 and "generator_loss" not in found


@pytest.mark.parametrize("penalty", ["r1", "roth", "wgan_gp"])
def test_penalties_apply_to_grey_levels(penalty: str) -> None:
    torch.manual_seed(0)
    generator = ContinuousConvGenerator(SampleSpace((8, 8), 17), latent_size=4, width=4, depth=1)
    discriminator = ConvDiscriminator(SampleSpace((8, 8), 2), width=4)
    real = torch.randint(0, 17, (3, 8, 8), dtype=torch.uint8)
    game = Game(penalty=get_penalty(penalty))
    found = continuous_step(game, players(generator, discriminator), real, torch.randn(3, 4))
    assert found["penalty"] > 0 and found["generator_gradient_norm"] > 0


def test_grey_levels_round_to_codes_and_have_no_probabilities() -> None:
    levels = GreyLevels(torch.tensor([[0.0, 0.26, 0.4, 1.0]]), 5)
    assert levels.sample(2).tolist() == [[[0, 1, 2, 4]], [[0, 1, 2, 4]]]
    assert levels.sample(1).dtype == torch.uint8
    assert torch.equal(mixtures(torch.tensor([0.25])), torch.tensor([[0.75, 0.25]]))
    with pytest.raises(InputError, match="num_draws must be at least 1, got 0"):
        levels.sample(0)
    with pytest.raises(InputError, match="has no log-probabilities"):
        levels.weighted_log_prob(levels.sample(1), torch.ones(1, 1))


def test_the_generator_starts_at_the_mean_of_the_data() -> None:
    torch.manual_seed(0)
    generator = ContinuousConvGenerator(SampleSpace((8, 9), 5), latent_size=4, width=4, depth=1)
    frequencies = torch.softmax(torch.randn(8, 9, 5), -1)
    generator.set_output_bias(frequencies.log())
    mean = frequencies @ torch.linspace(0, 1, 5)
    assert (generator(torch.randn(64, 4)).values.mean(0) - mean).abs().max() < 0.1


def test_errors() -> None:
    with pytest.raises(InputError, match="continuous loss 'hinge' is unknown; choose one of boundary_seeking"):
        get_continuous_loss("hinge")
    generator, discriminator = MLPGenerator(SampleSpace((1,), 3), latent_size=1, width=4), Slope()
    with pytest.raises(InputError, match="needs a generator of GreyLevels, got FactorizedCategorical"):
        continuous_step(
            Game(), players(generator, discriminator), torch.zeros(2, 1, dtype=torch.uint8), torch.zeros(2, 1)
        )


def test_the_trainer_moves_the_generator_and_its_average_only_when_it_is_its_turn() -> None:
    torch.manual_seed(0)
    generator = ContinuousConvGenerator(SampleSpace((8, 8), 17), latent_size=4, width=4, depth=1)
    discriminator = ConvDiscriminator(SampleSpace((8, 8), 2), width=4)
    codes = np.random.default_rng(0).integers(0, 17, (40, 8, 8)).astype(np.uint8)
    config = TrainingConfig(
        continuous="boundary_seeking",
        batch_size=8,
        discriminator_steps=3,
        phases="discriminator=0.5,game",
        max_steps=4,
        threads=1,
        lr_decay="none",
    )
    trainer = Trainer(generator, discriminator, codes, config)
    moved, learnt, averaged = [], [], []
    for _ in range(4):
        before = [[p.detach().clone() for p in network.parameters()] for network in (generator, discriminator)]
        found = trainer._train_step()
        trainer.state.step += 1
        trainer._course.after_step(trainer.state.step / 4)
        for list_, network, old in zip((moved, learnt), (generator, discriminator), before, strict=True):
            list_.append(any(not torch.equal(a, b) for a, b in zip(old, network.parameters(), strict=True)))
        averaged.append(int(trainer.average.n_averaged))
        assert ("generator_loss" in found) == moved[-1]
    assert moved == [False, False, True, True] and all(learnt) and averaged == [0, 0, 1, 2]
    steps = {name: state["step"] for name, state in _first_states(trainer).items()}
    assert steps == {"generator": 2, "discriminator": 12}
    assert "draws_per_second" not in trainer._figures("game", 1.0) and "log_beta" in found


def _first_states(trainer: Trainer) -> dict[str, Any]:
    optimizers = trainer.state.optimizers
    return {name.removesuffix("_optimizer"): next(iter(o.state.values())) for name, o in optimizers.items()}


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_script("train_images", *arguments, cwd=ROOT)


def test_the_script_trains_resumes_and_saves_a_continuous_model(tmp_path: Path) -> None:
    small = ("--generator-width", "4", "--generator-depth", "1", "--discriminator-width", "4")
    common = (*small, "--continuous", "boundary_seeking", "--threads", "1", "--checkpoint-interval", "3",
              "--lr-decay", "none")  # fmt: skip
    whole = script(*common, "--num-samples", "60", "--max-steps", "6", "--output-dir", str(tmp_path / "a"))
    assert whole.returncode == 0, whole.stderr
    assert "nearest" in whole.stdout
    half = script(*common, "--num-samples", "0", "--max-steps", "3", "--output-dir", str(tmp_path / "b"))
    assert half.returncode == 0, half.stderr
    rest = script("--output-dir", str(tmp_path / "b"), "--resume", "latest", "--max-steps", "6")
    assert rest.returncode == 0, rest.stderr
    weights = [(tmp_path / run / "model" / "model.safetensors").read_bytes() for run in "ab"]
    assert weights[0] == weights[1]
    made = Pipeline.from_pretrained(tmp_path / "a" / "model").generate(5, seed=3)
    assert made.codes.shape == (5, 8, 8) and made.values.dtype == np.uint8


def test_the_configuration_knows_its_losses() -> None:
    TrainingConfig(continuous="boundary_seeking", num_draws=1).check()
    with pytest.raises(InputError, match=r"continuous .hinge. is unknown; known are none, boundary_seeking"):
        TrainingConfig(continuous="hinge").check()  # type: ignore[arg-type]


def test_codes_that_are_no_scale_are_refused() -> None:
    with pytest.raises(InputError, match="continuous needs codes that are a scale"):
        config = ImageTrainingConfig.from_flat({"continuous": "boundary_seeking", "num_draws": 1})
        get_kind("images").networks(config, SampleSpace((8, 8), 4))
