"""Samples drawn in rounds: positions of a round are independent given all earlier rounds.

    q(x) = [ E_z prod_{p in round 0} q(x_p | z) ]  prod_{s >= 1}  prod_{p in round s} q(x_p | rounds before s)

One round is a generator of independent positions, one position a round an autoregressive one. The latent feeds round 0
only: a game that is played round by round would otherwise have fixed points that are not the data.

A position that is not drawn yet holds the code K, *hidden* (`bgan_discrete.distributions.partly_drawn`). A network
computes the logits of hidden positions (`bgan_discrete.distributions.conditionals`); the distribution draws, hides and
weighs. What samples are to have that does not come first is the matter of `bgan_discrete.distributions.asked`.

Letters: N latents, M draws, B samples, S rounds, P positions (the event shape, flattened), R those of a round,
K categories.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions.autoregressive import Precision
from bgan_discrete.distributions.conditionals import Conditionals
from bgan_discrete.distributions.hiding import random_first_sizes, random_hiding
from bgan_discrete.distributions.one_round import RoundCategorical
from bgan_discrete.distributions.orders import cut_sizes
from bgan_discrete.distributions.partly_drawn import PartlyDrawn
from bgan_discrete.distributions.protocol import Distribution, RoundsNetwork
from bgan_discrete.distributions.sampling import check_sharpening, sample_categorical
from bgan_discrete.errors import InputError
from bgan_discrete.space import SampleSpace


class RoundsCategorical(Distribution):
    """A distribution over samples that are drawn in rounds, for each of N latents.

    Args:
        network: Computes the logits.
        latents: ``[N, Z]``.
        space: What one sample is. Where sequences end early, the padding is a category like the others; drawn from left
            to right, whatever follows an end of an earlier round is padding with certainty.
        ranks: int64 ``[P]``, the order of the positions (`bgan_discrete.distributions.orders`).
        sizes: Positions of each round.
        labels: int64 ``[N]``; None without classes.
        sharpening: Temperature, top_k and top_p of each conditional (`bgan_discrete.distributions.sampling.sharpen`).

    Raises:
        InputError: If the sizes do not fit, or a number is out of its range.

    Source:
        Masked and autoregressive models as one family: Uria, Murray, Larochelle, "A deep and tractable density
        estimator" (2014); Hoogeboom et al., "Autoregressive diffusion models" (2022).
    """

    is_mixture = True

    def __init__(
        self,
        network: RoundsNetwork,
        latents: Tensor,
        space: SampleSpace,
        ranks: Tensor,
        sizes: Sequence[int],
        labels: Tensor | None = None,
        sharpening: tuple[float, int | None, float | None] = (1.0, None, None),
    ) -> None:
        check_sharpening(*sharpening)
        sizes = cut_sizes(space.num_positions, len(sizes), sizes)
        # The network runs when the distribution is used: then in the precision in which its generator was called.
        precision = Precision.current(latents.device)
        partly = PartlyDrawn(space, latents.device)
        self._use(Conditionals(network, latents, labels, partly, ranks, sizes, sharpening, precision))

    def _use(self, conditionals: Conditionals) -> None:
        self.conditionals = conditionals
        self.network, self.latents, self.labels = conditionals.network, conditionals.latents, conditionals.labels
        self.partly, self.space = conditionals.partly, conditionals.partly.space
        self.ranks, self.sizes, self.rounds = conditionals.ranks, conditionals.sizes, conditionals.rounds

    @property
    def batch_size(self) -> int:
        """N, the number of latents."""
        return len(self.latents)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.space.event_shape

    @property
    def num_categories(self) -> int:
        """K, the number of categories of each position; the code K is a hidden one."""
        return self.space.num_categories

    @property
    def num_rounds(self) -> int:
        """S."""
        return len(self.sizes)

    def in_rounds(self, num_rounds: int, cut: str | Sequence[int] = "halving") -> "RoundsCategorical":
        """The distribution of the same network and order in other rounds.

        Args:
            num_rounds: S.
            cut: See `bgan_discrete.distributions.orders.cut_sizes`.

        Returns:
            The distribution.

        Raises:
            InputError: If the network has learnt one cut alone, because it is causal.
        """
        sizes = cut_sizes(self.space.num_positions, num_rounds, cut)
        if self.network.is_causal and sizes != self.sizes:
            raise InputError(
                f"rounds must be {self.num_rounds}, those of the training, for a causal generator, got {num_rounds}; "
                "a masked one draws in any number of rounds"
            )
        return self._changed(sizes=sizes)

    def sharpened(
        self, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
    ) -> "RoundsCategorical":
        """The distribution whose every conditional is changed, as in `bgan_discrete.distributions.sampling.sharpen`."""
        check_sharpening(temperature, top_k, top_p)
        return self._changed(sharpening=(temperature, top_k, top_p))

    def _changed(self, **changes: Any) -> "RoundsCategorical":
        changed = copy(self)
        changed._use(replace(self.conditionals, **changes))
        return changed

    def check_finite(self, who: str = "generator") -> None:
        """Check the logits of all later draws; see `Distribution`."""
        self.conditionals = replace(self.conditionals, checked_as=who)

    @torch.no_grad()
    def sample(self, num_draws: int, rng: torch.Generator | None = None, fixed: Tensor | None = None) -> Tensor:
        """Draw samples round by round, all of them in one batch, without gradients.

        Args:
            num_draws: M >= 1.
            rng: Source of the random numbers; torch's global one if None.
            fixed: Integers ``[*event_shape]`` or ``[N, *event_shape]`` in ``[0, K]``: codes that samples are to have,
                K where they are to be drawn; None for nothing. They are visible from the first round on.

        Returns:
            Codes ``[M, N, *event_shape]`` of the smallest integer dtype that holds K.

        Raises:
            InputError: If ``num_draws`` < 1 or the fixed codes do not fit.
        """
        check_at_least_one(num_draws=num_draws)
        start = self._start(fixed).repeat(num_draws, 1)
        for codes in self._each_round(self.conditionals.repeated(num_draws), start, self.num_rounds, rng):
            last = codes
        return self.partly.finished(last).view(num_draws, self.batch_size, *self.event_shape)

    @torch.no_grad()
    def stages(self, rng: torch.Generator | None = None) -> list[Tensor]:
        """Draw one sample of each latent, and keep what there is of it after each round.

        Args:
            rng: As in `sample`, whose samples are the last ones.

        Returns:
            S times codes ``[N, *event_shape]`` in ``[0, K]``, K where hidden.
        """
        each_round = self._each_round(self.conditionals, self._start(None), self.num_rounds, rng)
        *earlier, codes = [codes.clone() for codes in each_round]
        return [self.partly.shown(part) for part in (*earlier, self.partly.finished(codes))]

    @torch.no_grad()
    def resampled(
        self,
        choose: Callable[[Tensor, Tensor | None], Tensor],
        num_candidates: int,
        rng: torch.Generator | None = None,
        fixed: Tensor | None = None,
        tilt: Callable[[Tensor, Tensor | None, int], Tensor] | None = None,
    ) -> Tensor:
        """Draw with a choice after every round: of C candidates of a round one is kept.

        A round of one position needs no candidates where F is known of each category: its code is drawn from
        ``softmax(log q + F)``, in round 0 with the mixture q of the candidates' latents.

        Args:
            choose: Partly drawn codes ``[B C, *event_shape]``, the C candidates of a sample next to each other, and
                their labels -> which one is kept, int64 ``[B]`` in ``[0, C)``.
            num_candidates: C; N must be a multiple of it. In round 0 each candidate has a latent of its own: the choice
                among candidates that share one would not lead to the data, however many there are.
            rng: Source of the draws.
            fixed: As in `sample`, one for each sample that is kept, or one for all.
            tilt: Partly drawn codes ``[B, *event_shape]``, their labels and the number of a position in ``[0, P)`` -> F
                with each category there, ``[B, K]``; None to choose in every round.

        Returns:
            Codes ``[N / C, *event_shape]``.

        Raises:
            InputError: If N is no multiple of C, or the fixed codes do not fit.
        """
        check_at_least_one(num_candidates=num_candidates)
        if self.batch_size % num_candidates:
            raise InputError(f"latents must be a multiple of {num_candidates} candidates, got {self.batch_size}")
        if fixed is not None and tuple(fixed.shape) != self.event_shape:
            fixed = fixed.repeat_interleave(num_candidates, 0)
        codes = self._start(fixed)
        first = torch.arange(0, self.batch_size, num_candidates, device=codes.device)
        # What candidates remember of earlier rounds is the same for all of a sample.
        logits_of_round = self.conditionals.session()
        for s in range(self.num_rounds):
            logits = logits_of_round(codes, s)
            if tilt is not None and self.sizes[s] == 1:
                labels = None if self.labels is None else self.labels[first]
                kept = self._with_tilted_round(codes[first], labels, s, logits, tilt, rng)
            else:
                codes = self._with_round(codes, s, logits, rng)
                kept = codes[first + choose(self.partly.shown(codes), self.labels)]
            codes = kept.repeat_interleave(num_candidates, 0)
        return self.partly.finished(codes[first]).view(-1, *self.event_shape)

    def is_begun_by(self, fixed: Tensor) -> bool:
        """Whether `sample` with these ``fixed`` codes draws the rest by its conditional law, for each of them.

        So it does for a masked network, which sees them all from the first round on: its law is that of the order in
        which they come first. A causal one sees what comes before in its order, so that there they must be its first
        codes; and of round 0 all or nothing, since its positions have the latent in common.

        Args:
            fixed: Codes ``[B, *event_shape]``, K where they are to be drawn.

        Returns:
            Whether no weights are needed.

        Raises:
            InputError: If the codes do not fit.
        """
        if not self.network.is_causal:
            return True
        is_fixed = self.partly.read_fixed(fixed) < self.num_categories
        of_first = is_fixed[:, self.rounds == 0]
        is_whole = not is_fixed.any(1).ne(of_first.all(1)).any()
        return self._are_first(~is_fixed) and is_whole

    def log_prob(self, codes: Tensor) -> Tensor:
        """``log g(x_m | z_n)``, ``[M, N]``, of codes ``[M, N, *event_shape]``; S passes, or one of a causal network.

        Raises:
            InputError: If the codes have another shape, or are not integers.
        """
        wanted = (self.batch_size, *self.event_shape)
        if codes.shape[1:] != wanted:
            raise InputError(f"codes must have shape [M, {', '.join(map(str, wanted))}], got {list(codes.shape)}")
        codes_BP = self.partly.read(codes.flatten(0, 1))
        return self.conditionals.repeated(len(codes)).log_prob_from(codes_BP, 0).view(codes.shape[:2])

    def mixture_log_prob(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """``log 1/N sum_n g(x_b | z_n)``, ``[B]``: the latents count in round 0 alone.

        Args:
            codes: Integers ``[B, *event_shape]`` in ``[0, K)``.
            labels: With classes, int64 ``[B]``: the mixture of a sample is that over the latents of its label.

        Returns:
            ``[B]``. Its mean over latents is at most the log-likelihood, and equal if they are all that there are.

        Raises:
            InputError: If the codes have another event shape.
        """
        codes_BP, conditionals = self.partly.read(codes), self.conditionals
        first_B = self._mixture(conditionals.first_logits(), codes_BP[:, conditionals.positions[0]], labels)
        return first_B + conditionals.of_samples(len(codes_BP), labels).log_prob_from(codes_BP, 1)

    def estimated_log_prob(
        self, codes: Tensor, labels: Tensor | None = None, rng: torch.Generator | None = None
    ) -> Tensor:
        """An estimate of the log-likelihood with one pass of the network over the samples, for maximum likelihood.

        Of a causal network, and of one round, it is `mixture_log_prob`. A masked network learns every number of rounds
        at once: the log-probabilities of what `bgan_discrete.distributions.hiding` hides, and that of round 0 of a
        random one of 1, 2, 4, ... P rounds. Padding is a category like the others here.

        Args:
            codes: Integers ``[B, *event_shape]`` in ``[0, K)``.
            labels: As in `mixture_log_prob`.
            rng: Source of what is hidden.

        Returns:
            ``[B]``, differentiable.
        """
        if self.network.is_causal or self.num_rounds == 1:
            return self.mixture_log_prob(codes, labels)
        codes_BP, conditionals = self.partly.read(codes), self.conditionals
        is_first = self.ranks < random_first_sizes(codes_BP, rng)
        is_hidden, weights = random_hiding(self.ranks, len(codes_BP), rng)
        shown = codes_BP.masked_fill(~is_first, self.num_categories)  # what is hidden counts for nothing
        first_B = self._mixture(conditionals.logits(self._start(None)), shown, labels)
        shown = codes_BP.masked_fill(is_hidden, self.num_categories)
        log_probs_BP = conditionals.of_samples(len(codes_BP), labels).log_probs(shown, codes_BP)
        return first_B + (log_probs_BP * weights).sum(1)

    def at_round(
        self, numbers: Tensor | int, rng: torch.Generator | None = None, prefix: Tensor | None = None
    ) -> RoundCategorical:
        """One round of each latent's sample, given earlier rounds that are drawn without gradients.

        Args:
            numbers: int64 ``[N]`` in ``[0, S)``, or one for all.
            rng: Source of the earlier rounds.
            prefix: Codes ``[N, *event_shape]`` whose earlier rounds are used; None to draw them.

        Returns:
            The distribution of that round, differentiable.
        """
        if isinstance(numbers, int):
            numbers = torch.full((self.batch_size,), numbers, device=self.latents.device)
        if prefix is None:
            codes = self._drawn(self._start(None), numbers, rng)
        else:
            codes = self.partly.read(prefix).masked_fill(self.rounds >= numbers[:, None], self.num_categories)
        logits = self.conditionals.with_ends(self.conditionals.logits(codes), codes)
        shape = (self.batch_size, *self.event_shape)
        return RoundCategorical(
            logits.view(*shape, self.num_categories),
            self.partly.shown(codes),
            (self.rounds == numbers[:, None]).view(shape),
            None if self.space.sizes is None else self.partly.largest.view(self.event_shape),
        )

    def in_play(self, rng: torch.Generator | None = None) -> RoundCategorical:
        """See `Distribution`: a random round of each latent, uniform in 0 .. S - 1."""
        numbers = torch.randint(self.num_rounds, (self.batch_size,), generator=rng, device=self.latents.device)
        return self.at_round(numbers, rng)

    # Drawing; samples are int64 [B, P], K where hidden.

    def _start(self, fixed: Tensor | None) -> Tensor:
        """Everything hidden, but for the codes that are fixed."""
        if fixed is None:
            return self.partly.blank(self.batch_size)
        codes = self.partly.read_fixed(fixed[None] if tuple(fixed.shape) == self.event_shape else fixed)
        if len(codes) not in (1, self.batch_size):
            raise InputError(f"fixed must be one sample, or one for each of {self.batch_size}, got {len(codes)}")
        if self.network.is_causal and not self._are_first(codes == self.num_categories):
            raise InputError(
                "fixed codes must be the first ones of the order for a causal generator, which sees nothing else; a "
                "masked one fills any gaps"
            )
        return codes.repeat(self.batch_size // len(codes), 1)

    def _are_first(self, is_free: Tensor) -> bool:
        """Whether no position that is not free ``[B, P]`` comes after one that is, in the order."""
        return not bool((is_free[:, self.ranks.argsort()].int().diff(dim=1) < 0).any())

    @torch.no_grad()
    def _drawn(self, codes: Tensor, numbers: Tensor, rng: torch.Generator | None) -> Tensor:
        """The samples with all rounds before those of the given ``numbers [N]`` drawn, one after the other."""
        count = int(numbers.max())
        if self.network.is_causal:  # to remember what was computed saves more than to leave samples out
            for drawn in self._each_round(self.conditionals, codes, count, rng):
                codes = drawn
            return codes.masked_fill(self.rounds >= numbers[:, None], self.num_categories)
        for s in range(count):
            rows = (numbers > s).nonzero()[:, 0]
            some = codes[rows]
            logits = self.conditionals.rows(rows).logits(some, s)
            codes = codes.index_copy(0, rows, self._with_round(some, s, logits, rng))
        return codes

    def _each_round(
        self, conditionals: Conditionals, codes: Tensor, num_rounds: int, rng: torch.Generator | None
    ) -> Iterator[Tensor]:
        """The samples after each of the first rounds, drawn in place."""
        logits_of_round = conditionals.session()
        for s in range(num_rounds):
            codes = self._with_round(codes, s, logits_of_round(codes, s), rng)
            yield codes

    def _with_round(self, codes: Tensor, s: int, logits: Tensor, rng: torch.Generator | None) -> Tensor:
        """The samples with round s drawn by its logits ``[B, R, K]``, where it is hidden, in place."""
        positions = self.conditionals.positions[s]
        drawn = sample_categorical(self.conditionals.with_ends(logits, codes), 1, rng)[0].long()
        drawn = torch.minimum(drawn, self.partly.largest[positions])
        there = codes[:, positions]
        return codes.index_copy_(1, positions, torch.where(there == self.num_categories, drawn, there))

    def _with_tilted_round(
        self,
        codes: Tensor,
        labels: Tensor | None,
        s: int,
        logits: Tensor,
        tilt: Callable[[Tensor, Tensor | None, int], Tensor],
        rng: torch.Generator | None,
    ) -> Tensor:
        """The samples with the one position of round s drawn from ``softmax(log q + F)``.

        The logits ``[B C, 1, K]`` are those of the C candidates of each sample, over which q is the mixture.
        """
        log_probs = torch.log_softmax(logits, dim=-1).unflatten(0, (len(codes), -1))
        log_ratios = tilt(self.partly.shown(codes), labels, int(self.conditionals.positions[s]))[:, : logits.shape[-1]]
        return self._with_round(codes, s, torch.logsumexp(log_probs, dim=1) + log_ratios[:, None].to(logits), rng)

    # Log-probabilities.

    def _mixture(self, logits_NRK: Tensor, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Of codes ``[B, R]``, K where they do not count, under the mixture over the latents of the label."""
        log_probs_NRK = torch.log_softmax(logits_NRK, dim=-1)
        is_code = codes[..., None] == torch.arange(logits_NRK.shape[-1], device=codes.device)
        log_probs_BN = is_code.to(log_probs_NRK.dtype).flatten(1) @ log_probs_NRK.flatten(1).T
        if labels is None or self.labels is None:
            return torch.logsumexp(log_probs_BN, dim=1) - math.log(self.batch_size)
        is_alike = labels[:, None] == self.labels
        log_sum = torch.logsumexp(log_probs_BN.masked_fill(~is_alike, -math.inf), dim=1)
        return log_sum - is_alike.sum(1).clamp_min(1).log()  # -inf for a label that no latent has
