"""Samples in rounds by enumeration: a generator whose every conditional is in a table, and its law in plain loops.

The laws are written from the definition, in float64 and in the plain domain, and share no code with the package.
Letters: N latents, P positions, K categories; a partly drawn sample holds K where it is hidden.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from bgan_discrete import Discriminator, SampleSpace
from bgan_discrete.nn.rounds import RoundsGenerator

BITS = torch.tensor([[-1.0], [1.0]])
"""Both latents that there are."""

RARE = 5
"""Chi-square counts what is expected less often than this together."""

Codes = tuple[int, ...]


class TabledRounds(RoundsGenerator):
    """Logits from a table of all partly drawn samples; where nothing is visible a latent bit chooses between two more.

    Masked and causal ones of the same table have the same law.
    """

    def __init__(
        self,
        space: SampleSpace,
        sizes: Sequence[int],
        ranks: Sequence[int] | None = None,
        causal: bool = False,
        num_classes: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(space, 1, len(sizes), "left_to_right", sizes, "binary", num_classes)
        if ranks is not None:
            self.set_order(torch.tensor(ranks))
        self.is_causal = causal
        dice = torch.Generator().manual_seed(seed)
        categories, classes = space.num_categories, num_classes or 1
        rows = (space.num_positions, categories)
        patterns = (categories + 1) ** space.num_positions
        self.table = nn.Parameter(torch.randn(classes, patterns, *rows, generator=dice, dtype=torch.float64))
        self.of_bit = nn.Parameter(torch.randn(2, *rows, generator=dice, dtype=torch.float64))

    def pattern(self, codes: Tensor) -> Tensor:
        """The row of partly drawn samples ``[..., P]`` in the table."""
        base = self.space.num_categories + 1
        return (codes * base ** torch.arange(codes.shape[-1])).sum(-1)

    def logits(
        self, codes: Tensor, latents: Tensor, labels: Tensor | None, rounds: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        hidden, num_positions = self.space.num_categories, self.space.num_positions
        seen_BPP = codes[:, None].expand(-1, num_positions, -1)
        if self.is_causal:
            seen_BPP = seen_BPP.masked_fill(rounds >= rounds[:, None], hidden)
        of_class = torch.zeros(len(codes), dtype=torch.long) if labels is None else labels
        logits = self.table[of_class[:, None], self.pattern(seen_BPP), torch.arange(num_positions)]
        of_bit = self.of_bit[(latents[:, 0] > 0).long()]
        logits = logits + of_bit * (seen_BPP == hidden).all(-1)[..., None]
        return logits if positions is None else logits[:, positions]

    # The law, by loops.

    @property
    def round_of(self) -> list[int]:
        """The round of each position."""
        numbers = [s for s, size in enumerate(self.sizes) for _ in range(size)]
        return [numbers[rank] for rank in self.ranks.tolist()]

    def samples(self) -> list[Codes]:
        """Every sample that there is."""
        sizes = self.space.sizes or (self.space.num_categories,) * self.space.num_positions
        return list(itertools.product(*map(range, sizes)))

    def visible(self, sample: Codes, rounds: int) -> Codes:
        """A sample of which only the first rounds are drawn."""
        return tuple(
            code if s < rounds else self.space.num_categories for code, s in zip(sample, self.round_of, strict=True)
        )

    def conditional(self, seen: Codes, position: int, bit: int, label: int = 0) -> Tensor:
        """Probabilities ``[K]`` of a position given what is visible."""
        hidden = self.space.num_categories
        logits = self.table[label, int(self.pattern(torch.tensor(seen))), position]
        if all(code == hidden for code in seen):
            logits = logits + self.of_bit[bit, position]
        limit = hidden if self.space.sizes is None else self.space.sizes[position]
        return torch.cat([logits[:limit].softmax(0), torch.zeros(hidden - limit)])

    def probability(self, sample: Codes, bit: int, label: int = 0, first: int = 0, end: int | None = None) -> Tensor:
        """Of rounds ``first`` .. ``end - 1`` of a sample, given the rounds before."""
        total = torch.ones(())
        for s in range(first, len(self.sizes) if end is None else end):
            seen = self.visible(sample, s)
            for position, of_round in enumerate(self.round_of):
                if of_round == s:
                    total = total * self.conditional(seen, position, bit, label)[sample[position]]
        return total

    def filled(self, sample: Codes, fixed: Codes, bit: int) -> Tensor:
        """Of a sample whose ``fixed`` codes are visible from the first round on; K where they are to be drawn."""
        total = torch.ones(())
        for s in range(len(self.sizes)):
            drawn = self.visible(sample, s)
            seen = tuple(min(pair) for pair in zip(drawn, fixed, strict=True))
            for position, of_round in enumerate(self.round_of):
                if fixed[position] != self.space.num_categories:
                    if sample[position] != fixed[position]:
                        return torch.zeros(())
                elif of_round == s:
                    total = total * self.conditional(seen, position, bit)[sample[position]]
        return total

    def law(self, rounds: int | None = None) -> dict[Codes, Tensor]:
        """Probabilities of what the first rounds can look like, over both latents."""
        rounds = len(self.sizes) if rounds is None else rounds
        looks = {self.visible(sample, rounds): sample for sample in self.samples()}
        return {
            look: torch.stack([self.probability(sample, bit, end=rounds) for bit in (0, 1)]).mean()
            for look, sample in looks.items()
        }


def random_law(generator: TabledRounds, seed: int = 5) -> dict[Codes, Tensor]:
    """Some data: probabilities of all samples."""
    dice = torch.Generator().manual_seed(seed)
    samples = generator.samples()
    logits = 1.5 * torch.randn(len(samples), generator=dice, dtype=torch.float64)
    return dict(zip(samples, logits.softmax(0), strict=True))


def seen_law(generator: TabledRounds, data: dict[Codes, Tensor], rounds: int) -> dict[Codes, Tensor]:
    """Probabilities of what the data look like where only the first rounds are visible."""
    law: dict[Codes, Tensor] = {}
    for sample, probability in data.items():
        look = generator.visible(sample, rounds)
        law[look] = law.get(look, torch.zeros(())) + probability
    return law


def best_log_ratios(generator: TabledRounds, data: dict[Codes, Tensor]) -> dict[Codes, float]:
    """``F_s = log p_s/q_s`` of everything that the first s rounds can look like, s = 1 .. S."""
    ratios: dict[Codes, float] = {}
    for rounds in range(1, len(generator.sizes) + 1):
        q, p = generator.law(rounds), seen_law(generator, data, rounds)
        ratios |= {look: (p[look] / q[look]).log().item() for look in q}
    return ratios


class TabledRatios(Discriminator):
    """F of partly drawn samples from a dictionary; of alternatives where nothing is there, what must not count."""

    credits = ("sample", "alternatives")

    def __init__(self, space: SampleSpace, ratios: dict[Codes, float]) -> None:
        super().__init__(space, partial=True)
        self.ratios, self.seen = ratios, list[Tensor]()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        self.seen.append(samples.clone())
        return torch.tensor([self.ratios.get(tuple(row), 0.0) for row in samples.flatten(1).tolist()]) + self.weight

    def alternatives(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        hidden = self.space.num_categories
        found = torch.full((*codes.shape, hidden), 1e3)
        for row, position, category in itertools.product(range(len(codes)), range(codes.shape[1]), range(hidden)):
            if codes[row, position] != hidden:
                changed = codes[row].tolist()
                changed[position] = category
                found[row, position, category] = self.ratios.get(tuple(changed), -1e3)
        return found


def fits(drawn: Tensor, law: dict[Codes, Tensor]) -> bool:
    """Whether samples ``[B, P]`` follow a law, by chi-square; nothing may occur that has no probability in it."""
    counts = dict.fromkeys(law, 0)
    for row in drawn.flatten(1).tolist():
        counts[tuple(row)] += 1
    possible = [sample for sample in law if law[sample].item() > 0]
    assert all(counts[sample] == 0 for sample in law if sample not in possible)
    expected = np.array([law[sample].item() for sample in possible]) * len(drawn)
    observed = np.array([counts[sample] for sample in possible])
    assert np.isclose(expected.sum(), observed.sum())
    is_rare = expected < RARE
    if is_rare.any():  # all of them as one
        expected = np.append(expected[~is_rare], expected[is_rare].sum())
        observed = np.append(observed[~is_rare], observed[is_rare].sum())
    return len(expected) == 1 or bool(stats.chisquare(observed, expected).pvalue > 1e-3)


def kl(first: dict[Codes, Tensor], second: dict[Codes, Tensor]) -> Tensor:
    """``KL(first || second)``."""
    return torch.stack([p * (p / second[sample]).log() for sample, p in first.items() if p.item() > 0]).sum()
