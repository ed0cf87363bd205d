"""Whole training steps of images: ours, the textbook formulation, and the floor of what the networks alone take."""

from dataclasses import dataclass, replace
from functools import partial

import torch
from benchmarks.agreement import assert_same_gradients, move_discriminator
from benchmarks.textbook import Draw, image_step, losses
from benchmarks.timing import (
    Claim,
    Contender,
    Scale,
    SuiteResult,
    comparison,
    exponent,
    interleave,
    peak_bytes,
    show_bytes,
    show_seconds,
    slope,
)
from experiments.laboratory import Table
from torch import Tensor
from torch.nn.functional import one_hot

from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.penalties import get_penalty
from bgan_discrete.game.players import Players
from bgan_discrete.game.rules import Game
from bgan_discrete.game.scoring import Scorer
from bgan_discrete.game.step import adversarial_step
from bgan_discrete.nn import ConvDiscriminator, ConvGenerator
from bgan_discrete.space import SampleSpace
from bgan_discrete.training.setup import default_score_chunk

LATENT_SIZE = 16


@dataclass(frozen=True)
class Setup:
    """Sizes of a step.

    Attributes:
        side: Pixels of a side.
        num_categories: K.
        num_draws: M.
        num_latents: N.
        width: Channels of both networks at full size.
        depth: Convolutions at each size.
    """

    side: int
    num_categories: int
    num_draws: int = 20
    num_latents: int = 64
    width: int = 32
    depth: int = 1

    @property
    def title(self) -> str:
        """For tables."""
        return f"{self.side}x{self.side}, K = {self.num_categories}, M = {self.num_draws}, N = {self.num_latents}"


MAIN = (Setup(32, 16), Setup(28, 2))
SMOKE = (Setup(8, 3, 4, 4, 4),)
GROWTH = {
    "M": [Setup(16, 16, m, width=16) for m in (5, 10, 20, 40)],
    "N": [Setup(16, 16, 20, n, width=16) for n in (16, 32, 64, 128)],
    "P": [Setup(side, 16, width=16) for side in (8, 16, 24, 32)],
    "K": [Setup(16, k, width=16) for k in (2, 4, 8, 16, 32, 64)],
}


class Bench:
    """The networks and batches of one game, made from one seed."""

    def __init__(self, setup: Setup, device: torch.device) -> None:
        torch.manual_seed(0)
        shape = (setup.side, setup.side)
        space = SampleSpace(shape, setup.num_categories)
        self.setup, self.device = setup, device
        self.generator = ConvGenerator(space, LATENT_SIZE, setup.width, setup.depth).to(device)
        self.discriminator = ConvDiscriminator(space, setup.width, setup.depth).to(device)
        self.players = Players(
            self.generator,
            self.discriminator,
            *self._optimizers(True),
            score_chunk=default_score_chunk(device, setup.side**2),
        )
        self.plain = self._optimizers(False)
        real = torch.randint(0, setup.num_categories, (setup.num_latents, *shape))
        self.real = real.to(device, torch.uint8)
        self.latents = torch.randn(setup.num_latents, LATENT_SIZE).to(device)
        self.rng = torch.Generator(device).manual_seed(0)
        self.game = Game(make_estimator("bgan_centered"), setup.num_draws)

    def _optimizers(self, fused: bool) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        # So small a rate that networks stay what they are however often a step is timed.
        generator, discriminator = (
            torch.optim.Adam(network.parameters(), lr=1e-9, fused=fused or None)
            for network in (self.generator, self.discriminator)
        )
        return generator, discriminator

    def ours(self, penalty_scale: float = 0.0, game: Game | None = None, players: Players | None = None) -> None:
        """One step as the Trainer takes it."""
        adversarial_step(
            game or self.game,
            players or self.players,
            self.real,
            self.latents,
            penalty_scale=penalty_scale,
            rng=self.rng,
        )

    def check(self) -> None:
        """The textbook and ours learn the same from the same draws."""
        distribution = self.generator(self.latents)
        codes = distribution.sample(self.setup.num_draws, self.rng)
        samples = one_hot(codes.long(), distribution.num_categories).float()
        log_probs = torch.log_softmax(distribution.logits, -1)
        assert_same_gradients(self, distribution, codes, losses(log_probs, samples, self.discriminator, self.real))

    def textbook(self, draw: Draw, discriminator_draws: int | None = None) -> None:
        """One step by the formulas."""
        image_step(
            self._logits,
            self.discriminator,
            self.plain,
            self.real,
            self.latents,
            self.setup.num_draws,
            draw,
            discriminator_draws,
        )

    def floor(self) -> Contender:
        """What the networks alone take: scoring, the generator forward and backward, the discriminator's own step."""
        with torch.no_grad():
            distribution = FactorizedCategorical(self._logits(self.latents))
        codes = distribution.sample(self.setup.num_draws, self.rng)
        fake = distribution.sample(1, self.rng)[0]
        upstream = torch.randn_like(distribution.logits) / distribution.logits.numel()

        def run() -> None:
            move_discriminator(self, fake)
            Scorer(self.players).draws(codes)
            self.generator.zero_grad(set_to_none=True)
            self._logits(self.latents).backward(upstream)

        return run

    def scoring(self) -> Contender:
        """The discriminator's forward pass over all draws."""
        shape = (self.setup.num_draws, *self.real.shape)
        codes = torch.randint(0, self.setup.num_categories, shape, device=self.device).to(torch.uint8)
        return lambda: Scorer(self.players).draws(codes)

    def _logits(self, latents: Tensor) -> Tensor:
        logits: Tensor = self.generator(latents).logits
        return logits


def with_all_draws(bench: Bench) -> Game:
    """The game whose discriminator learns from all M draws, as in the textbook's algorithm."""
    return replace(bench.game, discriminator_draws=bench.setup.num_draws)


def run(device: torch.device, scale: Scale) -> SuiteResult:
    """Compare whole steps, see what each lever gives, then how the time grows."""
    result = SuiteResult("A training step of images")
    for setup in SMOKE if scale.is_smoke else MAIN:
        bench = Bench(setup, device)
        bench.check()
        runs: dict[str, Contender] = {
            "floor": bench.floor(),
            "ours": bench.ours,
            "ours, all draws for the discriminator": partial(bench.ours, game=with_all_draws(bench)),
            "textbook, Gumbel": partial(bench.textbook, "gumbel"),
            "textbook, multinomial": partial(bench.textbook, "multinomial"),
            "textbook, Gumbel, one draw for the discriminator": partial(bench.textbook, "gumbel", 1),
            "textbook, multinomial, one draw for the discriminator": partial(bench.textbook, "multinomial", 1),
        }
        timing = interleave(runs, scale.rounds, device)
        result.timings[setup.title] = timing.seconds
        result.tables.append(comparison(setup.title, timing, "floor"))
        forms = ("textbook, Gumbel", "textbook, multinomial")
        by_algorithm = min(forms, key=timing.median)
        with_one_draw = min((f"{form}, one draw for the discriminator" for form in forms), key=timing.median)
        smoke = scale.is_smoke
        result.claims += [
            Claim(
                f"{setup.title}: ours, times the floor", timing.ratio("ours", "floor"), 1e9 if smoke else 1.25, False
            ),
            *(
                Claim(f"{setup.title}: {form}, times ours", timing.ratio(form, "ours"), 0 if smoke else 3, True)
                for form in (by_algorithm, with_one_draw)
            ),
        ]
        memory = {name: peak_bytes(run, device) for name, run in runs.items()}
        result.tables.append(
            Table(
                f"{setup.title}: most bytes of tensors alive at once",
                ["contender", "peak"],
                [[name, show_bytes(size)] for name, size in memory.items()],
            )
        )
    _levers(device, scale, result)
    if not scale.is_smoke:
        _growth(device, scale, result)
    return result


def _levers(device: torch.device, scale: Scale, result: SuiteResult) -> None:
    """A step with one lever changed at a time."""
    setup = SMOKE[0] if scale.is_smoke else Setup(16, 16, width=32)
    bench = Bench(setup, device)
    with_penalty = replace(bench.game, penalty=get_penalty("r1"))
    all_at_once = replace(bench.players, score_chunk=None)

    def lazily() -> None:
        for step in range(4):
            bench.ours(4.0 if step == 3 else 0.0, with_penalty)

    runs: dict[str, Contender] = {
        "ours": bench.ours,
        "draws scored all at once": lambda: bench.ours(players=all_at_once),
        "R1 at every step": lambda: bench.ours(1.0, with_penalty),
        "R1 at every fourth step": lazily,
    }
    timing = interleave(runs, scale.rounds, device)
    timing.seconds["R1 at every fourth step"] = [t / 4 for t in timing.seconds["R1 at every fourth step"]]
    result.timings["levers"] = timing.seconds
    result.tables.append(comparison(f"Levers, {setup.title}", timing, "ours"))


def _growth(device: torch.device, scale: Scale, result: SuiteResult) -> None:
    rows = []
    for axis, setups in GROWTH.items():
        sizes = [_size(axis, setup) for setup in setups]
        lines: dict[str, tuple[list[float], list[float]]] = {}
        seconds: dict[str, list[float]] = {"ours": [], "scoring": []}
        for setup in setups:
            bench = Bench(setup, device)
            timing = interleave({"ours": bench.ours, "scoring": bench.scoring()}, max(5, scale.rounds), device)
            result.timings[f"growth {axis} {setup.title}"] = timing.seconds
            for name, found in seconds.items():
                found.append(timing.median(name))
        for name, found in seconds.items():
            lines[name] = (sizes, found)
            rows.append([axis, name, ", ".join(map(show_seconds, found)), f"{exponent(sizes, found):.2f}"])
        result.curves.append((f"step: {axis}", axis, "seconds", lines))
        if axis == "M":
            ratio = slope(sizes, seconds["ours"]) / slope(sizes, seconds["scoring"])
            result.claims.append(Claim("slope of a step against M, times that of scoring alone", ratio, 1.15, False))
    values = {axis: ", ".join(f"{_size(axis, setup):g}" for setup in setups) for axis, setups in GROWTH.items()}
    result.tables.append(
        Table(
            "How the time grows, all else as at 16x16, K = 16, M = 20, N = 64, width 16 ("
            + "; ".join(f"{axis} = {found}" for axis, found in values.items())
            + ")",
            ["size", "what", "medians", "exponent"],
            rows,
        )
    )


def _size(axis: str, setup: Setup) -> float:
    return {"M": setup.num_draws, "N": setup.num_latents, "P": setup.side**2, "K": setup.num_categories}[axis]
