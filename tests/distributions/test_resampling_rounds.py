"""The law of samples that are chosen round by round: by enumeration for P = 3 positions of K = 2 categories."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import bgan_discrete.distributions.rounds as rounds_module
from bgan_discrete import AlternativesDiscriminator, InputError, MLPDiscriminator, SampleSpace
from bgan_discrete.distributions.orders import round_numbers
from bgan_discrete.distributions.rounds import RoundsCategorical
from bgan_discrete.game.players import Discriminator
from bgan_discrete.game.resampling import Resampler
from bgan_discrete.nn import MaskedMLPGenerator
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.nn.transformers import CausalTransformerGenerator

BITS = SampleSpace((3,), 2)
HIDDEN = 2
WEIGHTS = torch.tensor([9, 3, 1])
ORDERS = [(0, 1, 2), (2, 0, 1)]
CUTS = [(3,), (1, 2), (2, 1), (1, 1, 1)]
pytestmark = pytest.mark.usefixtures("float64")


class Tabular(RoundsGenerator):
    """Logits of every state of a sample; where nothing is visible, of every binary latent too."""

    def __init__(self, ranks: Sequence[int], sizes: Sequence[int]) -> None:
        super().__init__(BITS, 1, len(sizes), "left_to_right", sizes, "binary")
        self.set_order(torch.tensor(ranks))
        rng = torch.Generator().manual_seed(1)
        self.first = torch.nn.Parameter(torch.randn(2, 3, 2, generator=rng))
        self.later = torch.nn.Parameter(torch.randn(27, 3, 2, generator=rng))

    def logits(
        self, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        is_blank = (codes == HIDDEN).all(1)[:, None, None]
        found = torch.where(is_blank, self.first[(latents[:, 0] > 0).long()], self.later[codes @ WEIGHTS])
        return found if positions is None else found[:, positions]


class Table(Discriminator):
    """F of every state."""

    credits = ("sample",)

    def __init__(self, partial: bool = True) -> None:
        super().__init__(BITS, partial=partial)
        self.table = 1.5 * torch.randn(27, generator=torch.Generator().manual_seed(2))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.table[samples.long() @ WEIGHTS]


class Tilting(Table):
    """Which knows F of each alternative too."""

    credits = ("sample", "alternatives")

    def alternatives(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        found = torch.empty(*codes.shape, 2)
        for position, code in itertools.product(range(3), range(2)):
            exchanged = codes.long().clone()
            exchanged[:, position] = code
            found[:, position, code] = self(exchanged)
        return found


def both_latents() -> Tensor:
    return torch.tensor([[-1.0], [1.0]])


def candidates_of(generator: Tabular, state: tuple[int, ...], positions: list[int]) -> dict[tuple[int, ...], float]:
    """``q(round | state)``, with the mean over the latents, by definition."""
    found = {}
    for drawn in itertools.product(range(2), repeat=len(positions)):
        after = list(state)
        for position, code in zip(positions, drawn, strict=True):
            after[position] = code
        logits = generator.logits(torch.tensor([state, state]), both_latents(), None, torch.zeros(3))
        log_probs = torch.log_softmax(logits, -1)[:, positions, list(drawn)].sum(1)
        found[tuple(after)] = float(log_probs.exp().mean())
    return found


def law(generator: Tabular, judge: Table, num_candidates: int) -> dict[tuple[int, ...], float]:
    """Of what is kept: over all tuples of candidates of every round, each by its probability."""
    rounds = round_numbers(generator.ranks, generator.sizes).tolist()
    states = {(HIDDEN,) * 3: 1.0}
    for s in range(generator.num_rounds):
        after: dict[tuple[int, ...], float] = {}
        for state, probability in states.items():
            drawn = candidates_of(generator, state, [p for p in range(3) if rounds[p] == s])
            for several in itertools.product(drawn, repeat=num_candidates):
                weights = judge(torch.tensor(several)).exp()
                chance = probability * torch.tensor([drawn[one] for one in several]).prod()
                for one, weight in zip(several, weights / weights.sum(), strict=True):
                    after[one] = after.get(one, 0.0) + float(chance * weight)
        states = after
    return states


def shares(codes: Tensor) -> Tensor:
    return torch.bincount(codes.long() @ torch.tensor([4, 2, 1]), minlength=8) / len(codes)


def latents_of(count: int, seed: int) -> Tensor:
    return torch.randint(2, (count, 1), generator=torch.Generator().manual_seed(seed)).to(torch.float64) * 2 - 1


@torch.no_grad()
@pytest.mark.parametrize("ranks", ORDERS)
@pytest.mark.parametrize("sizes", CUTS)
def test_one_of_two_candidates_is_kept_by_the_law_that_enumeration_gives(
    ranks: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    generator, judge, count = Tabular(ranks, sizes), Table(), 40_000
    distribution = generator(latents_of(2 * count, 3))
    kept = Resampler(judge, 2).draw_in_rounds(distribution, torch.Generator().manual_seed(4))
    expected = law(generator, judge, 2)
    assert sum(expected.values()) == pytest.approx(1)
    wanted = torch.tensor([expected[codes] for codes in itertools.product(range(2), repeat=3)])
    chi_square = count * ((shares(kept) - wanted) ** 2 / wanted).sum()
    assert chi_square < 24.3  # of 7 degrees of freedom, 1 in 1,000
    # It is neither what the generator draws nor what one choice at the end would keep.
    assert (wanted - shares(distribution.sample(1)[0])).abs().max() > 0.02


@torch.no_grad()
@pytest.mark.parametrize("ranks", ORDERS)
@pytest.mark.parametrize("num_candidates", [1, 3])
def test_a_round_of_one_position_is_drawn_from_the_tilted_law_itself(
    ranks: tuple[int, ...], num_candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, judge, count = Tabular(ranks, (1, 1, 1)), Tilting(), 20
    latents, drawn_from = latents_of(count * num_candidates, 5), []

    def watched(logits: Tensor, num_draws: int, rng: torch.Generator | None) -> Tensor:
        drawn_from.append(logits.softmax(-1))
        return sample_categorical(logits, num_draws, rng)

    sample_categorical = rounds_module.sample_categorical
    monkeypatch.setattr(rounds_module, "sample_categorical", watched)
    rng = torch.Generator().manual_seed(6)
    kept = Resampler(judge, num_candidates).draw_in_rounds(generator(latents), rng).long()
    assert len(kept) == count and len(drawn_from) == 3
    state = torch.full_like(kept, HIDDEN)
    for s, position in enumerate(torch.tensor(ranks).argsort().tolist()):
        of_candidates = generator.logits(
            state.repeat_interleave(num_candidates, 0), latents, None, torch.zeros(3), torch.tensor([position])
        )
        q = of_candidates.softmax(-1).view(count, num_candidates, 2).mean(1)
        tilted = q * judge.alternatives(state)[:, position].exp()
        assert torch.allclose(drawn_from[s][:, 0], tilted / tilted.sum(1, keepdim=True))
        state[:, position] = kept[:, position]


@torch.no_grad()
def test_fixed_codes_stay_with_their_samples() -> None:
    generator = Tabular((0, 1, 2), (1, 2))
    fixed = torch.tensor([[0, 2, 1], [1, 0, 2]]).repeat(50, 1)
    for judge in (Table(), Tilting()):
        kept = Resampler(judge, 3).draw_in_rounds(generator(latents_of(300, 7)), fixed=fixed)
        assert torch.where(fixed == HIDDEN, fixed, kept.long()).equal(fixed) and int(kept.max()) < 2
        alike = Resampler(judge, 3).draw_in_rounds(generator(latents_of(300, 7)), fixed=fixed[0])
        assert (alike[:, 0] == 0).all() and (alike[:, 2] == 1).all() and 0 < alike[:, 1].float().mean() < 1


def test_a_discriminator_of_whole_samples_cannot_choose_in_rounds() -> None:
    distribution: RoundsCategorical = Tabular((0, 1, 2), (1, 2))(latents_of(4, 0))
    with pytest.raises(InputError, match=r"resample in 2 rounds needs a discriminator of partly drawn samples"):
        Resampler(Table(partial=False), 2).draw_in_rounds(distribution)
    one = Tabular((0, 1, 2), (3,))(latents_of(4, 0))
    assert Resampler(Table(partial=False), 2).draw_in_rounds(one).shape == (2, 3)


@torch.no_grad()
@pytest.mark.parametrize("num_rounds", [3, 6])
def test_candidates_share_what_a_network_remembers(num_rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    space = SampleSpace((6,), 3)
    generator = CausalTransformerGenerator(space, 4, 8, 2, 2, rounds=num_rounds).eval()
    judge = AlternativesDiscriminator(space, 8, 1, partial=True)
    latents = torch.randn(120, 4)
    # The judge that chooses also tilts, not the mean over all judges.
    monkeypatch.setattr(judge, "alternatives", lambda *_: pytest.fail("other judges"))

    def drawn() -> Tensor:
        return Resampler(judge, 3).draw_in_rounds(generator(latents), torch.Generator().manual_seed(1))

    quick = drawn()
    monkeypatch.setattr(CausalTransformerGenerator, "session", RoundsGenerator.session)
    assert torch.equal(quick, drawn()) and len(quick.unique(dim=0)) > 20


@pytest.mark.parametrize("sizes", [None, (3, 2, 3)])
def test_a_perceptron_tilts_by_f_of_the_sample_with_each_code(
    sizes: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its alternatives exchange a code that is there, and know nothing of a hidden position.
    space = SampleSpace((3,), 3, sizes=sizes)
    torch.manual_seed(0)
    judge = MLPDiscriminator(space, width=8, depth=1, partial=True)
    resampler, found = Resampler(judge, 1), []

    def resampled(choose: Any, num_candidates: int, rng: Any, fixed: Any, tilt: Any) -> torch.Tensor:
        found.append(tilt(torch.tensor([[1, 3, 3], [0, 3, 3]], dtype=torch.uint8), None, 1))
        return torch.empty(0)

    generator = MaskedMLPGenerator(space, latent_size=2, width=8, depth=1, rounds=3)
    distribution = generator(torch.zeros(1, 2))
    monkeypatch.setattr(distribution, "resampled", resampled)
    resampler.draw_in_rounds(distribution)
    for first, scores in zip((1, 0), found[0], strict=True):
        for code in range(2):
            whole = torch.tensor([[first, code, 3]], dtype=torch.uint8)
            assert torch.allclose(scores[code], judge.sample_log_ratio(whole).double(), atol=1e-6)
