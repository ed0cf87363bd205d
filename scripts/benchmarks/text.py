"""Whole training steps of text with a recurrent generator, and of a large vocabulary."""

from dataclasses import dataclass
from functools import partial

import torch
from benchmarks.agreement import assert_same_gradients, move_discriminator
from benchmarks.textbook import text_losses, text_step
from benchmarks.timing import (
    Claim,
    Contender,
    Scale,
    SuiteResult,
    comparison,
    interleave,
    peak_bytes,
    show_bytes,
)
from einops import repeat
from experiments.laboratory import Table

from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.players import Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.scoring import Scorer
from bgan_discrete.game.step import adversarial_step
from bgan_discrete.nn import ConvSequenceDiscriminator, GRUGenerator
from bgan_discrete.space import SampleSpace
from bgan_discrete.training.setup import default_score_chunk

LATENT_SIZE = 32


@dataclass(frozen=True)
class Setup:
    """Sizes of a step.

    Attributes:
        length: L.
        num_categories: K.
        num_draws: M.
        num_latents: N.
        width: Of both networks.
    """

    length: int = 32
    num_categories: int = 64
    num_draws: int = 8
    num_latents: int = 64
    width: int = 128

    @property
    def title(self) -> str:
        """For tables."""
        return f"L = {self.length}, K = {self.num_categories}, M = {self.num_draws}, N = {self.num_latents}"


MAIN = Setup()
SMOKE = Setup(5, 7, 3, 4, 8)
LARGE = Setup(64, 32_000, 16, 64, 64)
SMOKE_LARGE = Setup(6, 300, 4, 8, 8)


class Bench:
    """The networks and batches of one game, made from one seed."""

    def __init__(self, setup: Setup, device: torch.device) -> None:
        torch.manual_seed(0)
        self.setup, self.device = setup, device
        space = SampleSpace((setup.length,), setup.num_categories)
        self.generator = GRUGenerator(space, LATENT_SIZE, setup.width).to(device)
        self.discriminator = ConvSequenceDiscriminator(space, setup.width, 3).to(device)
        self.real = torch.randint(0, setup.num_categories, (setup.num_latents, setup.length)).to(device)
        self.latents = torch.randn(setup.num_latents, LATENT_SIZE).to(device)
        self.rng = torch.Generator(device).manual_seed(0)
        self.game = Game(make_estimator("bgan_centered"), setup.num_draws)
        self.players = Players(
            self.generator,
            self.discriminator,
            *self._optimizers(True),
            score_chunk=default_score_chunk(device, setup.length),
        )
        self.plain = self._optimizers(False)

    def _optimizers(self, fused: bool) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        generator, discriminator = (
            torch.optim.Adam(network.parameters(), lr=1e-9, fused=fused or None)
            for network in (self.generator, self.discriminator)
        )
        return generator, discriminator

    def ours(self) -> None:
        """One step as the Trainer takes it."""
        adversarial_step(self.game, self.players, self.real, self.latents, rng=self.rng)

    def check(self) -> None:
        """The textbook and ours learn the same from the same draws."""
        distribution = self.generator(self.latents)
        codes = distribution.sample(self.setup.num_draws, self.rng).long()
        found = text_losses(self.generator.logits, codes.flatten(0, 1), self.discriminator, self.real, self.latents)
        assert_same_gradients(self, distribution, codes, found)

    def textbook(self, discriminator_draws: int | None = None) -> None:
        """One step by the formulas."""
        text_step(
            self.generator.logits,
            self.discriminator,
            self.plain,
            self.real,
            self.latents,
            self.setup.num_draws,
            discriminator_draws,
        )

    def floor(self, with_drawing: bool) -> Contender:
        """What the networks alone take.

        Scoring, the generator's pass over all draws forward and backward, the discriminator's own step; and, where
        asked for, the generator's passes code by code, without which there are no draws.
        """
        setup = self.setup
        codes = self.generator(self.latents).sample(setup.num_draws, self.rng)
        fake = codes[0]
        upstream = torch.randn((setup.num_draws * setup.num_latents, setup.length, setup.num_categories)).to(
            self.device
        )
        repeated = repeat(self.latents, "n z -> (m n) z", m=setup.num_draws)

        def draw() -> None:
            with torch.no_grad():
                state, previous = self.generator.start(repeated, setup.length), None
                for position in range(setup.length):
                    _, state = self.generator.step(previous, state)
                    previous = codes[:, :, position].flatten()

        def run() -> None:
            if with_drawing:
                draw()
            move_discriminator(self, fake)
            Scorer(self.players).draws(codes)
            self.generator.zero_grad(set_to_none=True)
            self.generator.logits(codes.flatten(0, 1), repeated).backward(upstream)

        return run


def run(device: torch.device, scale: Scale) -> SuiteResult:
    """Compare whole steps, then take some with a large vocabulary."""
    result = SuiteResult("A training step of text with a recurrent generator")
    setup = SMOKE if scale.is_smoke else MAIN
    bench = Bench(setup, device)
    bench.check()
    runs: dict[str, Contender] = {
        "floor": bench.floor(with_drawing=True),
        "floor without drawing": bench.floor(with_drawing=False),
        "ours": bench.ours,
        "textbook": bench.textbook,
        "textbook, one draw for the discriminator": partial(bench.textbook, 1),
    }
    timing = interleave(runs, scale.rounds, device)
    result.timings[setup.title] = timing.seconds
    result.tables.append(comparison(setup.title, timing, "floor"))
    smoke = scale.is_smoke
    result.claims += [
        Claim("ours, times the floor", timing.ratio("ours", "floor"), 1e9 if smoke else 1.4, False),
        Claim(
            "ours, times the floor without drawing",
            timing.ratio("ours", "floor without drawing"),
            1e9 if smoke else 1.4,
            False,
        ),
        *(
            Claim(f"{form}, times ours", timing.ratio(form, "ours"), 0 if smoke else 3, True)
            for form in runs
            if form.startswith("textbook")
        ),
    ]
    _large(device, scale, result)
    return result


def _large(device: torch.device, scale: Scale, result: SuiteResult) -> None:
    setup = SMOKE_LARGE if scale.is_smoke else LARGE
    bench = Bench(setup, device)
    timing = interleave({"ours": bench.ours}, 1 if scale.is_smoke else 3, device, warmup=0)
    peak = peak_bytes(bench.ours, device)
    one = 4 * setup.num_latents * setup.length * setup.num_categories
    networks = sum(4 * p.numel() for network in (bench.generator, bench.discriminator) for p in network.parameters())
    result.timings[setup.title] = timing.seconds
    result.tables.append(
        Table(
            f"A large vocabulary: {setup.title}, width {setup.width}",
            ["what", "figure"],
            [
                ["a step", timing.cells("ours")[0]],
                ["most bytes of tensors alive at once, beside the networks", show_bytes(peak)],
                ["one [N, L, K] tensor of float32", show_bytes(one)],
                ["parameters of both networks", show_bytes(networks)],
                ["all logits, [M, N, L, K], would be", show_bytes(one * setup.num_draws)],
            ],
        )
    )
    result.claims.append(
        Claim("large vocabulary: peak, times one [N, L, K] tensor", peak / one, 9 if scale.is_smoke else 2, False)
    )
