"""A discriminator that trains itself, as the reward function of a trainer of language models.

    prompts, completions, teacher's answers -> F -> rewards;  then one pass of the discriminator over them

The policy's gradient needs no derivative of the reward, so the discriminator may read text.

Letters: B completions of a call.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from bgan_discrete.checks import check_at_least_one, check_choice, check_integer, check_not_negative, check_seed
from bgan_discrete.diagnosis.findings import Finding
from bgan_discrete.errors import InputError, NonFiniteError, one_line
from bgan_discrete.game.divergences import DIVERGENCES, get_divergence
from bgan_discrete.game.scoring import at_rest
from bgan_discrete.game.weights import at_least_float32
from bgan_discrete.metrics.verdict import Verdict
from bgan_discrete.nn.tokens import TokenGRU, TokenNgrams
from bgan_discrete.parallel import current_processes
from bgan_discrete.rewards.figures import WINDOW, call_figures, length_findings
from bgan_discrete.rewards.pairs import Pair, PairReader, padded, text_of
from bgan_discrete.rewards.stop_rule import StopRule
from bgan_discrete.training.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint

PAIRWISE = "pairwise"
REWARDS = ("log_ratio", "log_sigmoid", "fake_term")
MAX_GRADIENT_NORM = 1.0

SCORED = 256
"""Pairs that are scored at once."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RewardSettings:
    """How the discriminator learns, and what of it is the reward.

    Attributes:
        loss: A key of `bgan_discrete.game.divergences.DIVERGENCES`, whose optimum is ``F = log p/q`` of teacher p and
            policy q, given the prompt; or ``"pairwise"``, ``-log sigmoid(F(teacher's) - F(policy's))`` for the same
            prompt (Bradley and Terry), whose optimum is the same but for a number of each prompt.
        reward: ``"log_ratio"`` F, ``"log_sigmoid"`` log D, or ``"fake_term"`` h(F) of the divergence, whose mean the
            policy raises to lower the divergence. A pairwise F is known up to a number of each prompt only, so that it
            allows the first alone.
        warmup: Calls in which the discriminator learns and every reward is 0.
        lr: Adam's learning rate.
        batch_size: Completions of one step; a call takes one pass over its completions.
        teacher: The column with the teacher's answers.
        held_out: The column that is true for prompts that the discriminator never learns from; may be absent.
        seed: Of the initial weights of a discriminator that is not given, and of the order within calls.

    Raises:
        InputError: If a name is unknown, a number out of its range, or the reward none of the loss.
    """

    loss: str = "gan"
    reward: str = "log_ratio"
    warmup: int = 0
    lr: float = 1e-3
    batch_size: int = 64
    teacher: str = "teacher"
    held_out: str = "held_out"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        if self.loss != PAIRWISE:
            get_divergence(self.loss)
        check_choice("reward", self.reward, REWARDS)
        if self.loss == PAIRWISE and self.reward != "log_ratio":
            raise InputError(
                f"reward must be 'log_ratio' with the loss 'pairwise', got {self.reward!r}: F is known up to a number "
                "of each prompt only, which nothing but differences leave out"
            )
        check_integer("warmup", self.warmup, 0)
        check_not_negative(lr=self.lr)
        check_at_least_one(batch_size=self.batch_size)
        check_seed(self.seed)


@dataclass(frozen=True)
class _Batch:
    """The pairs of a call: the teacher's once for each group of equal rows, the policy's, and the group of each row."""

    real: list[Pair]
    fake: list[Pair]
    group: Tensor

    def of(self, rows: Tensor) -> "_Batch":
        """Some of the rows, with the groups that they need."""
        numbers, group = self.group[rows].unique(return_inverse=True)
        return _Batch([self.real[n] for n in numbers.tolist()], [self.fake[r] for r in rows.tolist()], group)

    def groups(self) -> list[Tensor]:
        """The rows of each group."""
        return [(self.group == number).nonzero()[:, 0] for number in range(len(self.real))]


class AdversarialReward:
    """The reward of TRL's `GRPOTrainer` and `RLOOTrainer`: F of a discriminator that learns with each call.

    Each call first scores the completions, which the discriminator has not seen, then learns from them and from the
    teacher's answers. Neighbouring rows with the same prompt and answer are a group. Rows of held-out prompts are
    scored and kept for `check`, and nothing is learnt from them.

    Args:
        reader: How pairs become token ids; also a tokenizer, as `PairReader` takes it.
        discriminator: Ids ``[B, L]`` and mask ``[B, L]`` -> F ``[B]``; a `TokenGRU` if None. It stays on its device.
        settings: How it learns, and what of it is the reward.
        stop_rule: When to stop; by default a new one.
        make_critic: Makes an untrained network for `check`, of the same form; a `TokenNgrams` if None.

    Attributes:
        calls: In which the discriminator learnt.
        history: The figures of each of them: see `bgan_discrete.rewards.figures.call_figures`; besides the mean lengths
            ``length_real`` and ``length_fake``, the share of pairs that were ``cut``, and ``discriminator_loss``.

    Raises:
        InputError: If an argument is none of these.

    Examples:
        >>> reward = AdversarialReward(PairReader(lambda text: [ord(c) - 97 for c in text], num_tokens=26))
        >>> reward(prompts=["a", "a"], completions=["b", "zz"], teacher=["b", "b"]) != [0, 0]
        True
        >>> reward.calls, sorted(reward.history[-1])[:3]
        (1, ['cut', 'd_fake', 'd_real'])
    """

    def __init__(
        self,
        reader: PairReader | Callable[[str], Any],
        discriminator: nn.Module | None = None,
        settings: RewardSettings | None = None,
        stop_rule: StopRule | None = None,
        make_critic: Callable[[], nn.Module] | None = None,
    ) -> None:
        self.__name__ = "adversarial_reward"  # by which trainers call it in their logs
        self.reader = reader if isinstance(reader, PairReader) else PairReader(reader)
        self.settings = RewardSettings() if settings is None else settings
        self.stop_rule = StopRule() if stop_rule is None else stop_rule
        if not isinstance(self.settings, RewardSettings):
            raise InputError(f"settings must be RewardSettings(...), got {settings!r:.100}")
        if discriminator is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.settings.seed)
                discriminator = TokenGRU(self.reader.num_tokens)
        if not isinstance(discriminator, nn.Module):
            raise InputError(f"discriminator must be a module of ids and mask, got {discriminator!r:.100}")
        self.discriminator = discriminator
        self.optimizer = torch.optim.Adam(discriminator.parameters(), self.settings.lr)
        self.make_critic = make_critic or (lambda: TokenNgrams(self.reader.num_tokens))
        self.calls = 0
        self.history: list[dict[str, float]] = []
        self._held_out: list[tuple[Pair, Pair]] = []
        self._wrapped: nn.Module | None = None
        self._warned = -WINDOW

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[float]:
        """Rewards of completions.

        Args:
            prompts: B texts, or lists of chat messages.
            completions: Likewise.
            completion_ids: What the policy drew for each; used if the reader takes ids.
            columns: The data's other columns, the teacher's answers among them; ``log_metric``, if there, is called
                with each figure. What else trainers give is not looked at.

        Returns:
            B numbers.

        Raises:
            InputError: If the teacher's column is missing, the lengths differ, or a text is none.
            NonFiniteError: If F, a reward, a step's loss or its gradient is inf or NaN, before that step is taken.
        """
        batch, is_held_out = self._read(prompts, completions, completion_ids, columns)
        log_ratio_fake = self.score(batch.fake)
        rewards = self._rewards(log_ratio_fake)
        learnt = (~is_held_out).nonzero()[:, 0]
        for rows in batch.groups():
            if is_held_out[rows[0]]:  # one completion of each prompt, so that a check has as many of both sides
                self._held_out.append((batch.real[int(batch.group[rows[0]])], batch.fake[int(rows[0])]))
        if len(learnt):
            figures = self._figures(batch.of(learnt), log_ratio_fake[learnt], rewards[learnt])
            figures["discriminator_loss"] = self._learn(batch, learnt)
            self._note(figures, columns.get("log_metric"))
        return rewards.tolist()

    @torch.no_grad()
    def score(self, pairs: Sequence[Pair]) -> Tensor:
        """F of pairs as they are now, in evaluation mode.

        Args:
            pairs: B of them, as `reader` reads them.

        Returns:
            ``[B]`` on the CPU, float32 or float64.

        Raises:
            InputError: If the discriminator gives another shape.
            NonFiniteError: If F is inf or NaN.
        """
        found = []
        with at_rest(self.discriminator):
            for start in range(0, len(pairs), SCORED):
                found.append(self._log_ratio(self.discriminator, pairs[start : start + SCORED]).cpu())
        log_ratio = torch.cat(found)
        if not torch.isfinite(log_ratio).all():
            raise NonFiniteError(f"F of the discriminator is inf or NaN after {self.calls} calls")
        return log_ratio

    def check(self) -> Verdict:
        """What a fresh critic says of the held-out pairs that were scored since the last check; see `StopRule`.

        Returns:
            The bound in nats, lower is better, with its standard error; the stop rule has it, too. Several processes
            have a critic each, and share the mean.

        Raises:
            InputError: If there are too few pairs.
        """
        real, fake = zip(*self._held_out, strict=True) if self._held_out else ((), ())
        verdict = self.stop_rule.measure(real, fake, self.make_critic)
        value, variance = current_processes().mean(torch.tensor([verdict.value, verdict.noise**2], dtype=torch.float64))
        verdict = Verdict(float(value), float(variance / current_processes().size) ** 0.5)
        self.stop_rule.verdicts.append(verdict)
        self._held_out = []
        return verdict

    @property
    def should_stop(self) -> bool:
        """Whether the checks no longer show clear progress."""
        return self.stop_rule.stopped_at is not None

    def findings(self) -> list[Finding]:
        """What is wrong lately: length hacking, or nothing."""
        return length_findings(self.history[self.settings.warmup :])

    def save(self, folder: Path | str) -> Path:
        """Write the whole state, from which `load` continues as if nothing had happened, bit for bit.

        Args:
            folder: Of one reward; an earlier state in it is removed once this one is complete.

        Returns:
            The state's own folder in it.

        Raises:
            StorageError: If it cannot be written.
        """
        return save_checkpoint(Path(folder), self.calls, self.state_dict(), keep_last=1)

    def load(self, folder: Path | str) -> None:
        """Continue from what `save` wrote, in a reward with the same arguments; nothing in the files is executed.

        Args:
            folder: As in `save`.

        Raises:
            InputError: If there is no such state, it is damaged, or belongs to other settings or another network.
        """
        self.load_state_dict(load_checkpoint(find_checkpoint(Path(folder), "latest"), torch.device("cpu")))

    def state_dict(self) -> dict[str, Any]:
        """The whole state as tensors and plain types."""
        return {
            "settings": asdict(self.settings),
            "calls": self.calls,
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": [dict(figures) for figures in self.history],
            "verdicts": [(verdict.value, verdict.noise) for verdict in self.stop_rule.verdicts],
            "held_out": [
                tuple((list(pair.tokens), pair.length, pair.is_cut) for pair in two) for two in self._held_out
            ],
            "warned": self._warned,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; InputError if it is none, or of other settings or another network."""
        if missing := set(self.state_dict()) - set(state):
            raise InputError(f"this is no saved state of an AdversarialReward: it has no {min(missing)!r}")
        for name, value in asdict(self.settings).items():
            if state["settings"].get(name) != value:
                raise InputError(
                    f"{name} must be {state['settings'].get(name)!r}, as in the saved state, got {value!r}"
                )
        try:
            self.discriminator.load_state_dict(state["discriminator"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise InputError(f"discriminator is not that of the saved state: {one_line(error)}") from None
        self.calls, self._warned = state["calls"], state["warned"]
        self.history = [dict(figures) for figures in state["history"]]
        self.stop_rule.verdicts = [Verdict(*verdict) for verdict in state["verdicts"]]
        self._held_out = [
            (Pair(tuple(real[0]), *real[1:]), Pair(tuple(fake[0]), *fake[1:])) for real, fake in state["held_out"]
        ]

    def _read(
        self, prompts: Sequence[Any], completions: Sequence[Any], ids: Any, columns: dict[str, Any]
    ) -> tuple[_Batch, Tensor]:
        """The pairs of a call, and which rows are held out, ``[B]``."""
        column, size = self.settings.teacher, len(prompts)
        if column not in columns:
            raise InputError(
                f"there is no column {column!r} with the teacher's answers, only {', '.join(sorted(columns)) or 'none'}"
            )
        teacher, held_out = columns[column], columns.get(self.settings.held_out)
        sides = {"completions": completions, column: teacher, "completion_ids": ids, self.settings.held_out: held_out}
        for name, values in sides.items():
            if values is not None and len(values) != size:
                raise InputError(f"{name} must be as many as the prompts, {size}, got {len(values)}")
        if not size:
            raise InputError("prompts must be at least one, got none")
        real: list[Pair] = []
        group = []
        for row, (prompt, answer) in enumerate(zip(prompts, teacher, strict=True)):
            if row == 0 or prompt != prompts[row - 1] or answer != teacher[row - 1]:
                text_of(column, answer)
                real.append(self.reader.read(prompt, answer))
            group.append(len(real) - 1)
        fake = [
            self.reader.read(prompt, completion, None if ids is None else ids[row])
            for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
        ]
        is_held_out = torch.zeros(size) if held_out is None else torch.tensor([bool(value) for value in held_out])
        return _Batch(real, fake, torch.tensor(group)), is_held_out.bool()

    def _rewards(self, log_ratio: Tensor) -> Tensor:
        """Rewards ``[B]`` of F ``[B]``."""
        if self.calls < self.settings.warmup:
            return torch.zeros_like(log_ratio)
        rewards = log_ratio
        if self.settings.reward == "log_sigmoid":
            rewards = logsigmoid(log_ratio)
        elif self.settings.reward == "fake_term":
            rewards = DIVERGENCES[self.settings.loss].fake_term(log_ratio)
        if not torch.isfinite(rewards).all():
            largest = float(log_ratio.abs().max())
            raise NonFiniteError(f"the reward {self.settings.reward!r} is inf or NaN for |F| up to {largest:.3g}")
        return rewards

    def _log_ratio(self, network: nn.Module, pairs: Sequence[Pair]) -> Tensor:
        device = next((parameter.device for parameter in self.discriminator.parameters()), torch.device("cpu"))
        log_ratio: Tensor = network(*padded(pairs, device))
        if not isinstance(log_ratio, Tensor) or log_ratio.shape != (len(pairs),):
            got = list(log_ratio.shape) if isinstance(log_ratio, Tensor) else type(log_ratio).__name__
            raise InputError(f"discriminator must give F of shape [{len(pairs)}] for ids [{len(pairs)}, L], got {got}")
        return at_least_float32(log_ratio)

    def _figures(self, batch: _Batch, log_ratio_fake: Tensor, rewards: Tensor) -> dict[str, float]:
        """The figures of the completions that are learnt from, before that."""
        lengths = torch.tensor([pair.length for pair in batch.fake])
        log_ratio_real = self.score(batch.real)
        figures = call_figures(log_ratio_real, log_ratio_fake, rewards, lengths, batch.groups())
        figures["length_real"] = float(torch.tensor([float(pair.length) for pair in batch.real]).mean())
        figures["length_fake"] = float(lengths.double().mean())
        pairs = [*batch.real, *batch.fake]
        figures["cut"] = sum(pair.is_cut for pair in pairs) / len(pairs)
        return figures

    def _learn(self, batch: _Batch, learnt: Tensor) -> float:
        """One pass of the discriminator over rows of a call, whole groups as far as they fit; gives the mean loss."""
        if self._wrapped is None:
            self._wrapped = current_processes().replicate(self.discriminator)
        rng = torch.Generator().manual_seed((self.settings.seed * 1_000_003 + self.calls) % 2**63)
        order = torch.randperm(len(batch.real), generator=rng)[batch.group[learnt]].argsort(stable=True)
        steps = -(-len(learnt) // self.settings.batch_size)
        self.discriminator.train()
        losses = []
        for rows in learnt[order].tensor_split(steps):
            loss = self._loss(self._wrapped, batch.of(rows))
            self.optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.discriminator.parameters(), MAX_GRADIENT_NORM)
            if not torch.isfinite(loss + norm):
                raise NonFiniteError(f"the discriminator's loss or gradient is inf or NaN after {self.calls} calls")
            self.optimizer.step()
            losses.append(float(loss.detach()))
        return sum(losses) / len(losses)

    def _loss(self, network: nn.Module, batch: _Batch) -> Tensor:
        sizes = [len(batch.real), len(batch.fake)]
        of_real, of_fake = self._log_ratio(network, [*batch.real, *batch.fake]).split(sizes)
        of_real = of_real[batch.group.to(of_real.device)]
        if self.settings.loss == PAIRWISE:
            return softplus(of_fake - of_real).mean()
        return DIVERGENCES[self.settings.loss].discriminator_loss(of_real, of_fake)

    def _note(self, figures: dict[str, float], log_metric: Callable[[str, float], object] | None) -> None:
        """Keep the figures of a call, pass them on, and warn where something is wrong."""
        self.calls += 1
        self.history.append(figures)
        if log_metric is not None:
            for name, value in figures.items():
                log_metric(f"{self.__name__}/{name}", value)
        if self.calls - self._warned >= WINDOW:
            for finding in self.findings():
                _log.warning("%s %s", finding.seen, finding.advice)
                self._warned = self.calls
