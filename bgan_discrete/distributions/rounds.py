"""Samples drawn in rounds: positions of a round are independent given all earlier rounds.

    q(x) = [ E_z prod_{p in round 0} q(x_p | z) ]  prod_{s >= 1}  prod_{p in round s} q(x_p | rounds before s)

One round is a generator of independent positions, one position a round an autoregressive one. The latent feeds round 0
only: a game that is played round by round would otherwise have fixed points that are not the data.

A position that is not drawn yet holds the code K, *hidden*. A network computes the logits of hidden positions; the
distribution draws, hides and weighs.

Letters: N latents, M draws, B samples, S rounds, P positions (the event shape, flattened), K categories.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions.autoregressive import Precision
from bgan_discrete.distributions.endings import pad_after_end
from bgan_discrete.distributions.hiding import random_first_sizes, random_hiding
from bgan_discrete.distributions.one_round import RoundCategorical
from bgan_discrete.distributions.orders import cut_sizes, round_numbers
from bgan_discrete.distributions.protocol import Distribution, RoundSession, RoundsNetwork, check_logits
from bgan_discrete.distributions.sampling import as_index, check_sharpening, code_dtype, sample_categorical, sharpen
from bgan_discrete.errors import InputError
from bgan_discrete.space import SampleSpace

IMPOSSIBLE = -1e30
"""A log-probability below this is that of a code which a position cannot have."""


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
        self.network, self.latents, self.space, self.labels = network, latents, space, labels
        self.ranks, self.sizes = ranks, cut_sizes(space.num_positions, len(sizes), sizes)
        self.rounds = round_numbers(ranks, self.sizes)
        self._sharpening = sharpening
        self._checked_as: str | None = None
        # The network runs when the distribution is used: then in the precision in which its generator was called.
        self._precision = Precision.current(latents.device)
        is_from_left = bool((ranks[1:] > ranks[:-1]).all())
        self._end_id = space.end_id if is_from_left else None

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
        return self._changed(sharpening=(temperature, top_k, top_p))

    def check_finite(self, who: str = "generator") -> None:
        """Check the logits of all later draws; see `Distribution`."""
        self._checked_as = who

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
        whole = self._repeated(num_draws)
        for codes in whole._each_round(self._start(fixed).repeat(num_draws, 1), self.num_rounds, rng):
            last = codes
        return self._finished(last).view(num_draws, self.batch_size, *self.event_shape)

    @torch.no_grad()
    def stages(self, rng: torch.Generator | None = None) -> list[Tensor]:
        """Draw one sample of each latent, and keep what there is of it after each round.

        Args:
            rng: As in `sample`, whose samples are the last ones.

        Returns:
            S times codes ``[N, *event_shape]`` in ``[0, K]``, K where hidden.
        """
        *earlier, codes = [codes.clone() for codes in self._each_round(self._start(None), self.num_rounds, rng)]
        shape = (self.batch_size, *self.event_shape)
        return [part.to(self._partial_dtype).view(shape) for part in (*earlier, self._finished(codes))]

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
        logits_of_round = self._session()  # what candidates remember of earlier rounds is the same for all of a sample
        for s in range(self.num_rounds):
            logits = logits_of_round(codes, s)
            if tilt is not None and self.sizes[s] == 1:
                kept = self._rows(first)._with_tilted_round(codes[first], s, logits, tilt, rng)
            else:
                codes = self._with_round(codes, s, logits, rng)
                kept = codes[first + choose(self._shown(codes), self.labels)]
            codes = kept.repeat_interleave(num_candidates, 0)
        return self._finished(codes[first]).view(-1, *self.event_shape)

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
        is_fixed = self._as_fixed(fixed) < self.num_categories
        of_first = is_fixed[:, self.rounds == 0]
        is_whole = not is_fixed.any(1).ne(of_first.all(1)).any()
        return self._are_first(~is_fixed) and is_whole

    @torch.no_grad()
    def weighted(
        self, fixed: Tensor, allowed: Mapping[int, Tensor] | None = None, rng: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw the rounds up to the last one of which something is asked, and weigh the draws by its probability.

            log w = sum over rounds of log q(codes asked for | all that was drawn before)

        Codes that are asked for are set as they come up, and those of a set are drawn inside it. A draw that is taken
        in proportion to ``w``, and drawn to its end by `sample`, follows the conditional law. A masked network sees the
        fixed codes first, and draws positions with sets next, one a round.

        Args:
            fixed: Integers ``[N, *event_shape]`` in ``[0, K]``: codes that samples are to have, K elsewhere.
            allowed: Number of a position in ``[0, P)`` -> bool ``[K]``, the codes that it may have where none is fixed.
            rng: Source of the draws.

        Returns:
            Codes ``[N, *event_shape]``, K in later rounds, and log weights, float64 ``[N]``, at most 0; -inf where
            something is asked for that cannot be. Factors that are the same for all draws with the same fixed codes are
            left out.

        Raises:
            InputError: If the codes do not fit.

        Source:
            Likelihood weighting: Fung and Chang (1990); Shachter and Peot (1990).
        """
        allowed = {} if allowed is None else allowed
        fixed_BP = self._as_fixed(fixed)
        is_asked_P = (fixed_BP < self.num_categories).any(0)
        is_asked_P[list(allowed)] = True
        if self.network.is_causal:
            return self._weighted_rounds(
                self._start(None), fixed_BP, allowed, int(self.rounds[is_asked_P].max()) + 1, rng
            )
        first = self._with_first(list(allowed))
        return first._weighted_rounds(fixed_BP, fixed_BP, allowed, len(allowed), rng)

    @torch.no_grad()
    def beginning_log_prob(
        self, codes: Tensor, num_rounds: Tensor, labels: Tensor | None = None, with_first: bool = True
    ) -> Tensor:
        """Log-probabilities of the first rounds of samples; of a causal network.

        Args:
            codes: Integers ``[B, *event_shape]``, in later rounds anything.
            num_rounds: int64 ``[B]``, how many rounds count.
            labels: int64 ``[B]``; None without classes.
            with_first: Whether round 0 counts, as in `mixture_log_prob`; else what comes after is meant, given round 0.

        Returns:
            ``[B]``, float64.

        Raises:
            InputError: If the codes have another event shape.
        """
        codes_BP = self._as_partial(codes)
        is_counted = self.rounds < num_rounds[:, None]
        codes_BP = codes_BP.masked_fill(~is_counted, 0)
        whole = self._of_samples(codes_BP, labels)
        before = self.rounds[:, None] < self.rounds
        logits = whole._with_ends(whole._logits(codes_BP), codes_BP, before)
        later_B = (_log_prob_of(logits.double(), codes_BP) * (is_counted & (self.rounds > 0))).sum(1)
        if not with_first:
            return later_B
        log_q_of_latents = torch.log_softmax(self._session()(self._start(None), 0).double(), dim=-1)
        is_code = codes_BP[:, self._positions(0), None] == torch.arange(
            log_q_of_latents.shape[-1], device=codes_BP.device
        )
        log_q_BN = is_code.double().flatten(1) @ log_q_of_latents.flatten(1).T
        if labels is not None and self.labels is not None:
            log_q_BN = log_q_BN.masked_fill(labels[:, None] != self.labels, -math.inf)
        count_B = (log_q_BN > -math.inf).sum(1)  # of the label's latents; -inf for a label that no latent has
        return later_B + torch.logsumexp(log_q_BN, dim=1) - count_B.clamp_min(1).log()

    def log_prob(self, codes: Tensor) -> Tensor:
        """``log g(x_m | z_n)``, ``[M, N]``, of codes ``[M, N, *event_shape]``; S passes, or one of a causal network.

        Raises:
            InputError: If the codes have another shape, or are not integers.
        """
        wanted = (self.batch_size, *self.event_shape)
        if codes.shape[1:] != wanted:
            raise InputError(f"codes must have shape [M, {', '.join(map(str, wanted))}], got {list(codes.shape)}")
        codes_BP = self._as_partial(codes.flatten(0, 1))
        return self._repeated(len(codes))._log_prob_from(codes_BP, 0).view(codes.shape[:2])

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
        codes_BP = self._as_partial(codes)
        positions = self._positions(0)
        with self._precision.autocast():
            logits = self.network.first_logits(self.latents, self.labels, self.rounds)
        first_B = self._mixture(self._checked(logits, positions), codes_BP[:, positions], labels)
        return first_B + self._of_samples(codes_BP, labels)._log_prob_from(codes_BP, 1)

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
        codes_BP = self._as_partial(codes)
        is_first = self.ranks < random_first_sizes(codes_BP, rng)
        is_hidden, weights = random_hiding(self.ranks, len(codes_BP), rng)
        shown = codes_BP.masked_fill(~is_first, self.num_categories)  # what is hidden counts for nothing
        first_B = self._mixture(self._logits(self._start(None)), shown, labels)
        shown = codes_BP.masked_fill(is_hidden, self.num_categories)
        return first_B + (self._of_samples(codes_BP, labels)._log_probs(shown, codes_BP) * weights).sum(1)

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
            codes = self._as_partial(prefix).masked_fill(self.rounds >= numbers[:, None], self.num_categories)
        logits = self._with_ends(self._logits(codes), codes)
        shape = (self.batch_size, *self.event_shape)
        largest = None if self.space.sizes is None else (self._category_sizes - 1).view(self.event_shape)
        return RoundCategorical(
            logits.view(*shape, self.num_categories),
            codes.to(self._partial_dtype).view(shape),
            (self.rounds == numbers[:, None]).view(shape),
            largest,
        )

    def in_play(self, rng: torch.Generator | None = None) -> RoundCategorical:
        """See `Distribution`: a random round of each latent, uniform in 0 .. S - 1."""
        numbers = torch.randint(self.num_rounds, (self.batch_size,), generator=rng, device=self.latents.device)
        return self.at_round(numbers, rng)

    # Other latents, rounds and sharpening of the same network.

    def _changed(self, **changes: Any) -> "RoundsCategorical":
        same = {"latents": self.latents, "labels": self.labels, "sizes": self.sizes, "sharpening": self._sharpening}
        same["ranks"] = self.ranks
        changed = RoundsCategorical(self.network, space=self.space, **{**same, **changes})
        changed._checked_as, changed._precision = self._checked_as, self._precision
        return changed

    def _repeated(self, num_draws: int) -> "RoundsCategorical":
        """M draws of each latent as M N latents."""
        labels = None if self.labels is None else self.labels.repeat(num_draws)
        return self._changed(latents=self.latents.repeat(num_draws, 1), labels=labels) if num_draws > 1 else self

    def _rows(self, rows: Tensor) -> "RoundsCategorical":
        labels = None if self.labels is None else self.labels[rows]
        return self._changed(latents=self.latents[rows], labels=labels)

    def _of_samples(self, codes_BP: Tensor, labels: Tensor | None) -> "RoundsCategorical":
        """For samples of which something is visible, so that their latents do not count."""
        return self._changed(latents=self.latents[:1].expand(len(codes_BP), -1), labels=labels)

    # Partly drawn samples, int64 [B, P], K where hidden.

    @property
    def _partial_dtype(self) -> torch.dtype:
        return code_dtype(self.num_categories + 1)

    def _as_partial(self, codes: Tensor) -> Tensor:
        if tuple(codes.shape[1:]) != self.event_shape:
            raise InputError(f"codes must have shape [B, {str(list(self.event_shape))[1:-1]}], got {list(codes.shape)}")
        return as_index(codes.to(self.latents.device)).flatten(1)

    def _start(self, fixed: Tensor | None) -> Tensor:
        """Everything hidden, but for the codes that are fixed."""
        device, shape = self.latents.device, (self.batch_size, self.space.num_positions)
        if fixed is None:
            return torch.full(shape, self.num_categories, dtype=torch.long, device=device)
        codes = self._as_fixed(fixed[None] if tuple(fixed.shape) == self.event_shape else fixed)
        if len(codes) not in (1, self.batch_size):
            raise InputError(f"fixed must be one sample, or one for each of {self.batch_size}, got {len(codes)}")
        if self.network.is_causal and not self._are_first(codes == self.num_categories):
            raise InputError(
                "fixed codes must be the first ones of the order for a causal generator, which sees nothing else; a "
                "masked one fills any gaps"
            )
        return codes.repeat(self.batch_size // len(codes), 1)

    def _as_fixed(self, fixed: Tensor) -> Tensor:
        """Codes ``[B, P]`` that samples are to have, K where they are to be drawn."""
        codes = self._as_partial(fixed)
        is_free = codes == self.num_categories
        if bool(((codes < 0) | (codes >= self._category_sizes) & ~is_free).any()):
            raise InputError(
                f"fixed must hold codes in [0, {self.num_categories}) that their positions have, and "
                f"{self.num_categories} where they are to be drawn"
            )
        return codes

    def _are_first(self, is_free: Tensor) -> bool:
        """Whether no position that is not free ``[B, P]`` comes after one that is, in the order."""
        return not bool((is_free[:, self.ranks.argsort()].int().diff(dim=1) < 0).any())

    def _with_first(self, positions: Sequence[int]) -> "RoundsCategorical":
        """The distribution that draws some positions first, one a round, and then the others in their rounds."""
        is_first = torch.zeros_like(self.ranks, dtype=torch.bool)
        is_first[list(positions)] = True
        order = torch.argsort(self.ranks - len(self.ranks) * is_first)
        left = torch.bincount(self.rounds[~is_first], minlength=self.num_rounds).tolist()
        return self._changed(ranks=order.argsort(), sizes=[1] * len(positions) + [size for size in left if size])

    def _shown(self, codes: Tensor) -> Tensor:
        """Partly drawn samples as a discriminator reads them, ``[B, *event_shape]``."""
        return codes.to(self._partial_dtype).view(-1, *self.event_shape)

    def _finished(self, codes_BP: Tensor) -> Tensor:
        return pad_after_end(codes_BP.to(code_dtype(self.num_categories)), self.space.end_id)

    @functools.cached_property
    def _category_sizes(self) -> Tensor:
        """Categories of each position, ``[P]``."""
        sizes = self.space.sizes or (self.num_categories,) * self.space.num_positions
        return torch.tensor(sizes, device=self.latents.device)

    @torch.no_grad()
    def _drawn(self, codes: Tensor, numbers: Tensor, rng: torch.Generator | None) -> Tensor:
        """The samples with all rounds before those of the given ``numbers [N]`` drawn, one after the other."""
        count = int(numbers.max())
        if self.network.is_causal:  # to remember what was computed saves more than to leave samples out
            for drawn in self._each_round(codes, count, rng):
                codes = drawn
            return codes.masked_fill(self.rounds >= numbers[:, None], self.num_categories)
        for s in range(count):
            rows = (numbers > s).nonzero()[:, 0]
            part, some = self._rows(rows), codes[rows]
            codes = codes.index_copy(0, rows, part._with_round(some, s, part._logits(some, self._positions(s)), rng))
        return codes

    def _each_round(self, codes: Tensor, num_rounds: int, rng: torch.Generator | None) -> Iterator[Tensor]:
        """The samples after each of the first rounds, drawn in place."""
        logits_of_round = self._session()
        for s in range(num_rounds):
            codes = self._with_round(codes, s, logits_of_round(codes, s), rng)
            yield codes

    def _weighted_rounds(
        self,
        codes: Tensor,
        fixed: Tensor,
        allowed: Mapping[int, Tensor],
        num_rounds: int,
        rng: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        """What `weighted` gives, of the first rounds; ``codes`` are those that are visible before round 0."""
        log_w_B = torch.zeros(len(codes), dtype=torch.float64, device=codes.device)
        was_hidden = codes == self.num_categories
        is_random = torch.zeros_like(was_hidden[:, 0])  # whether something before this round was drawn
        logits_of_round = self._session()
        for s in range(num_rounds):
            positions = self._positions(s)
            logits = self._with_ends(logits_of_round(codes, s), codes)
            fixed_there = fixed[:, positions]
            is_fixed = fixed_there < self.num_categories
            may_be = torch.ones(logits.shape[1:], dtype=torch.bool, device=codes.device)
            for place, position in enumerate(positions.tolist()):
                if position in allowed:
                    may_be[place] = allowed[position][: logits.shape[-1]].to(codes.device)

            # 1. The probability of what is asked for; nothing of codes that were visible, which the network knew.
            log_q = torch.log_softmax(logits.double(), dim=-1)
            of_set = torch.logsumexp(log_q.masked_fill(~may_be, -math.inf), dim=-1)
            of_set = of_set.masked_fill(may_be.all(1), 0.0)
            of_code = log_q.gather(-1, (fixed_there * is_fixed)[..., None]).squeeze(-1) * was_hidden[:, positions]
            if s == 0:  # the latent, which is drawn, counts where anything of this round is, and nothing is visible
                is_random = ~is_fixed.all(1) if self.network.is_causal else was_hidden.all(1)
            log_w_B += torch.where(is_fixed, of_code, of_set).sum(1) * is_random
            is_random = is_random | (~is_fixed).any(1)

            # 2. The codes: those that are fixed, and draws inside the sets.
            logits = logits.masked_fill(~may_be, torch.finfo(logits.dtype).min)
            drawn = sample_categorical(logits, 1, rng)[0].long()
            drawn = torch.minimum(drawn, self._category_sizes[positions] - 1)
            codes = codes.index_copy(1, positions, torch.where(is_fixed, fixed_there, drawn))
        log_w_B = log_w_B.masked_fill(log_w_B < IMPOSSIBLE, -math.inf)
        return self._shown(codes), log_w_B

    def _with_round(self, codes: Tensor, s: int, logits: Tensor, rng: torch.Generator | None) -> Tensor:
        """The samples with round s drawn by its logits ``[B, R, K]``, where it is hidden, in place."""
        positions = self._positions(s)
        drawn = sample_categorical(self._with_ends(logits, codes), 1, rng)[0].long()
        drawn = torch.minimum(drawn, self._category_sizes[positions] - 1)
        there = codes[:, positions]
        return codes.index_copy_(1, positions, torch.where(there == self.num_categories, drawn, there))

    def _with_tilted_round(
        self,
        codes: Tensor,
        s: int,
        logits: Tensor,
        tilt: Callable[[Tensor, Tensor | None, int], Tensor],
        rng: torch.Generator | None,
    ) -> Tensor:
        """The samples with the one position of round s drawn from ``softmax(log q + F)``.

        The logits ``[B C, 1, K]`` are those of the C candidates of each sample, over which q is the mixture.
        """
        log_probs = torch.log_softmax(logits, dim=-1).unflatten(0, (len(codes), -1))
        log_ratios = tilt(self._shown(codes), self.labels, int(self._positions(s)))[:, : logits.shape[-1]]
        return self._with_round(codes, s, torch.logsumexp(log_probs, dim=1) + log_ratios[:, None].to(logits), rng)

    # Logits, in float32 at least, [B, P, K] or those of a round's positions [B, R, K].

    @functools.cached_property
    def _positions_of_rounds(self) -> tuple[Tensor, ...]:
        return torch.argsort(self.rounds, stable=True).split(list(self.sizes))

    def _positions(self, s: int) -> Tensor:
        return self._positions_of_rounds[s]

    def _session(self) -> RoundSession:
        """Logits of each round in turn, by what the network remembers of those before."""
        with self._precision.autocast():
            session = self.network.session(self.latents, self.labels, self.rounds)

        def logits_of_round(codes: Tensor, s: int) -> Tensor:
            with self._precision.autocast():
                logits = session(codes, s)
            return self._checked(logits, self._positions(s))

        return logits_of_round

    def _logits(self, codes: Tensor, positions: Tensor | None = None) -> Tensor:
        with self._precision.autocast():
            logits = self.network.logits(codes, self.latents, self.labels, self.rounds, positions)
        return self._checked(logits, positions)

    def _checked(self, logits: Tensor, positions: Tensor | None) -> Tensor:
        """Finite if that is asked for, nothing where a position has no such code, and sharpened."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self._checked_as is not None:
            check_logits(logits, self._checked_as)
        if self.space.sizes is not None:
            limits = self._category_sizes if positions is None else self._category_sizes[positions]
            categories = torch.arange(logits.shape[-1], device=logits.device)
            logits = logits.masked_fill(categories >= limits[:, None], torch.finfo(logits.dtype).min / 2)
        return sharpen(logits, *self._sharpening) if self._sharpening != (1.0, None, None) else logits

    def _with_ends(self, logits: Tensor, codes: Tensor, before: Tensor | None = None) -> Tensor:
        """Padding with certainty after a visible end, for samples that are drawn from left to right.

        ``before`` says for all pairs of positions whether the first is of an earlier round than the second, where all
        of the samples are visible.
        """
        if self._end_id is None:
            return logits
        is_end = (codes == self._end_id).to(logits.dtype)
        has_ended = is_end.sum(1, keepdim=True) if before is None else is_end @ before.to(logits.dtype)
        is_other = torch.arange(self.num_categories, device=logits.device) != self._end_id
        padding = torch.zeros_like(logits[0, 0]).masked_fill(is_other, torch.finfo(logits.dtype).min / 2)
        return torch.where((has_ended > 0)[..., None], padding, logits)

    # Log-probabilities of samples, [B].

    def _log_probs(self, shown: Tensor, codes: Tensor, before: Tensor | None = None) -> Tensor:
        """Of each position's code, ``[B, P]``, given what is shown; with ``before``, padding follows an end."""
        if not self.network.is_ragged or self._end_id is not None or self._sharpening != (1.0, None, None):
            logits = self._logits(shown)
            return _log_prob_of(logits if before is None else self._with_ends(logits, codes, before), codes)
        with self._precision.autocast():
            log_probs = self.network.log_probs(shown, codes, self.latents, self.labels, self.rounds)
        if self._checked_as is not None:
            check_logits(log_probs, self._checked_as)
        return log_probs

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

    def _log_prob_from(self, codes: Tensor, first: int) -> Tensor:
        """Of all rounds from the first one on, given those before it."""
        if self.network.is_causal:
            before = self.rounds[:, None] < self.rounds
            return (self._log_probs(codes, codes, before) * (self.rounds >= first)).sum(1)
        total = torch.zeros(len(codes), device=codes.device)
        for s in range(first, self.num_rounds):
            visible = codes.masked_fill(self.rounds >= s, self.num_categories)
            logits = self._with_ends(self._logits(visible, self._positions(s)), visible)
            total = total + _log_prob_of(logits, codes[:, self._positions(s)]).sum(1)
        return total


def _log_prob_of(logits: Tensor, codes: Tensor) -> Tensor:
    """``log softmax(logits)[code]`` of codes ``[B, R]`` under logits ``[B, R, K]``."""
    return torch.log_softmax(logits, dim=-1).gather(-1, codes[..., None]).squeeze(-1)  # quicker than by logsumexp
