"""Generations: a discriminator at its best on a frozen generator, whose own draws are weighed, and fitted.

Letters: B samples.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from experiments.finishers_game import Task
from experiments.rounds import draw
from experiments.rounds_report import BETTER
from experiments.rounds_training import KEPT_BACK, Play, make_discriminator
from torch import Tensor

from bgan_discrete.game.divergences import DIVERGENCES
from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.likelihood import likelihood_step
from bgan_discrete.game.players import Discriminator, Generator, Players
from bgan_discrete.game.resampling import sample_log_ratios
from bgan_discrete.game.scoring import at_rest
from bgan_discrete.game.updates import Outcome, move
from bgan_discrete.game.weights import effective_sample_size
from bgan_discrete.metrics.verdict import Verdict
from bgan_discrete.training.average import MovingAverage
from bgan_discrete.training.batches import BatchOrder

GAN = DIVERGENCES["gan"]
BETAS = (0.9, 0.99)
LATENTS = 16
"""Of the mixture in round 0, as in the training by likelihood."""

JUDGED_WITH, WEIGHED_WITH = 5_000, 10_000
"""Seeds of draws; those of the figures are others."""

JUDGED_SHARE = 0.2
"""The most of a budget that the judge may take: where it is too dear, there are fewer generations."""


@dataclass(frozen=True)
class Generations:
    """A frozen generator, a discriminator at its best, and a fit to what the frozen one drew, by importance.

    Attributes:
        count: Generations of a budget, at most.
        alone: The most of a generation that its discriminator may take.
        discriminator: Of text, where that of the data set scores positions rather than samples.
        look_every: Steps between looks at the discriminator's held-out loss.
        patience: Looks without a better one after which the discriminator is done.
        pool: Draws of the frozen generator that are weighed.
        seen_by_discriminator: Of the pool, those of its held-out loss, which are not weighed.
        share: Of the pool in a batch of the fit; the rest is data.
        sets: Of samples that are judged, from whose spread the noise is.
        judged: Samples of a set.
    """

    lr: float = 2e-4
    discriminator_lr: float = 1e-3
    average: float = 0.99
    count: int = 4
    alone: float = 0.4
    discriminator: str = "sequence"
    look_every: int = 25
    patience: int = 6
    pool: int = 3000
    seen_by_discriminator: int = 500
    share: float = 0.5
    sets: int = 3
    judged: int = 500


def importance_weights(log_ratios: Tensor) -> Tensor:
    """Self-normalised weights ``e^F / sum e^F`` of draws, truncated.

    No weight is more than ``sqrt(B)`` times the mean one before it is truncated: the variance is then finite, and the
    bias vanishes as B grows.

    Args:
        log_ratios: F ``[B]``.

    Returns:
        ``[B]``, summing to 1.

    Source:
        Ionides, "Truncated importance sampling" (2008).
    """
    log_weights = torch.log_softmax(log_ratios, dim=0)
    return torch.softmax(log_weights.clamp_max(-0.5 * math.log(len(log_ratios))), dim=0)


class Rival:
    """A discriminator of whole samples, trained on draws of a frozen generator to its held-out best.

    Args:
        task: Of the finisher.
        plan: Likewise.
        heldout: Samples of the data ``[n, *event_shape]``, on which the best is chosen.
    """

    def __init__(self, task: Task, plan: Generations, heldout: Tensor) -> None:
        name = plan.discriminator if task.dataset.discriminator == "alternatives" else None
        self.network: Discriminator = make_discriminator(task.dataset, task.data, Play(discriminator=name))
        optimizer = torch.optim.Adam(self.network.parameters(), plan.discriminator_lr, BETAS, fused=True)
        self.players = Players(None, self.network, None, optimizer)
        self.clock, self.plan, self.heldout = task.clock, plan, heldout

    @torch.no_grad()
    def loss(self, fake: Tensor) -> float:
        """Its loss on held-out data and draws; log 4 where it sees nothing."""
        with at_rest(self.network):
            scores = (sample_log_ratios(self.network, codes) for codes in (self.heldout, fake))
            return float(GAN.discriminator_loss(*scores))

    def train(self, batches: Callable[[], tuple[Tensor, Tensor]], fake: Tensor, end: float) -> float:
        """Train until its held-out loss falls no more, or to a share of the budget; keep the best weights.

        Args:
            batches: Gives samples of the data, and draws.
            fake: Other draws, for the held-out loss.
            end: The share.

        Returns:
            The best held-out loss.
        """

        def loss_of(real: Tensor, fake: Tensor) -> Outcome:
            scores = self.network.sample_log_ratio(torch.cat([real, fake.to(real.dtype)])).split([len(real), len(fake)])
            loss = GAN.discriminator_loss(*scores)
            return Outcome(loss, {"loss": loss.detach()})

        best, weights, stale = self.loss(fake), copy.deepcopy(self.network.state_dict()), 0
        while self.clock.share < end and stale < self.plan.patience:
            for _ in range(self.plan.look_every):
                move(self.players, "discriminator", loss_of, *batches())
                self.clock.steps += 1
                if self.clock.share >= end:
                    break
            stale += 1
            if (now := self.loss(fake)) < best:
                best, weights, stale = now, copy.deepcopy(self.network.state_dict()), 0
        self.network.load_state_dict(weights)
        return best


class Judge:
    """The first figure of quality of a data set, on rows that no finisher learns from; lower is better.

    Args:
        task: Of the finisher.
        plan: Likewise.
        rows: Codes ``[n, *event_shape]``.
    """

    def __init__(self, task: Task, plan: Generations, rows: Tensor) -> None:
        self.figures = task.dataset.figures(replace(task.data, heldout_codes=rows.numpy()), plan.judged)
        self.plan, self.seed = plan, task.seed

    def __call__(self, generator: Generator) -> Verdict:
        """Of several sets of samples, the same latents and dice for every generator."""
        values = []
        for number in range(self.plan.sets):
            figures = self.figures.figures(draw(generator, self.figures.count, JUDGED_WITH + 10 * self.seed + number))
            title = next(title for title in BETTER if title in figures)
            values.append(figures[title] if BETTER[title] == "lower" else -figures[title])
        return Verdict(float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5)


class Lineage:
    """The generator of a finisher by generations, and all that has a part in them.

    Attributes:
        accepted: Weights of the generator that the judge likes best.
        verdict: On it.
        count: Of generations, which divide the budget.
    """

    def __init__(self, task: Task, plan: Generations) -> None:
        self.task, self.plan, self.clock = task, plan, task.clock
        codes = task.codes()
        kept_back = codes[::KEPT_BACK]  # one half chooses the discriminator, the other accepts the generator
        self.codes = codes[torch.arange(len(codes)) % KEPT_BACK != 0]
        self.order = BatchOrder(len(self.codes), task.dataset.batch_size, task.seed)
        self.rng, self.generator = torch.Generator().manual_seed(task.seed), task.generator()
        self.rival = Rival(task, plan, kept_back[::2][: plan.seen_by_discriminator])
        self.judge = Judge(task, plan, kept_back[1::2])
        began = self.clock.share
        self.accepted, self.verdict = copy.deepcopy(self.generator.state_dict()), self.judge(self.generator)
        self.to_judge = self.clock.share - began
        affordable = int(JUDGED_SHARE / self.to_judge) if self.to_judge else plan.count
        self.count = max(min(plan.count, affordable), 1)

    def generation(self, number: int) -> dict[str, float]:
        """Train the discriminator, weigh, fit and judge; what was seen."""
        plan = self.plan
        self.generator.load_state_dict(self.accepted)
        drawn = torch.from_numpy(draw(self.generator, plan.pool, WEIGHED_WITH + 100 * self.task.seed + number))
        unseen, pool = drawn.split([plan.seen_by_discriminator, plan.pool - plan.seen_by_discriminator])
        loss = self.rival.train(self._both_sides, unseen, (number + plan.alone) / self.count)
        weights = importance_weights(sample_log_ratios(self.rival.network, pool))
        fitted = self._fit(pool, weights, (number + 1) / self.count - self.to_judge)
        now = self.judge(fitted)
        before, is_better = self.verdict.value, now.beats(self.verdict)
        if is_better:
            self.accepted, self.verdict = copy.deepcopy(fitted.state_dict()), now
        ess = float(effective_sample_size(weights.log()[:, None]))
        return {
            "heldout_loss": loss, "ess_fraction": ess / len(pool), "before": before, "judged": now.value,
            "noise": now.noise, "accepted": float(is_better),
        }  # fmt: skip

    def _of_data(self, count: int) -> Tensor:
        return self.codes[torch.from_numpy(self.order.indices(self.clock.steps))][:count]

    @torch.no_grad()
    def _both_sides(self) -> tuple[Tensor, Tensor]:
        """A batch of the data and one of draws of the frozen generator."""
        count = self.task.dataset.batch_size
        drawn: Any = self.generator(draw_latents(self.generator, count, self.rng))
        return self._of_data(count), drawn.sample(1, self.rng)[0]

    def _fit(self, pool: Tensor, weights: Tensor, end: float) -> Generator:
        """The averaged generator after likelihood of the weighted pool, mixed with data, to a share of the budget."""
        plan, count = self.plan, self.task.dataset.batch_size
        optimizer = torch.optim.Adam(self.generator.parameters(), plan.lr, BETAS, fused=True)
        players, average = Players(self.generator, None, optimizer), MovingAverage(self.generator, plan.average)
        average.update_parameters(self.generator)
        of_pool = int(count * plan.share)
        while self.clock.share < end:
            # Rows that are drawn by their weights have the weighted likelihood as their mean.
            rows = torch.multinomial(weights, of_pool, replacement=True, generator=self.rng)
            samples = torch.cat([self._of_data(count - of_pool), pool[rows].to(self.codes.dtype)])
            likelihood_step(players, samples, draw_latents(self.generator, LATENTS, self.rng), rng=self.rng)
            average.update_parameters(self.generator)
            self.clock.steps += 1
        return cast(Generator, average.module)


def by_generations(task: Task, plan: Generations) -> dict[str, Any]:
    """Generations until the budget is used up; each is kept if the judge prefers it by more than its noise."""
    lineage, seen = Lineage(task, plan), []
    for number in range(lineage.count):
        seen.append(lineage.generation(number))
    return {"generator": lineage.accepted, "seen": seen}
