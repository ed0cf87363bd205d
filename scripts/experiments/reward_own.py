"""Our own loop for the adversarial reward of a causal Transformer: policy gradient in groups, or the implicit form.

Letters: N prompts, M completions of each, B = N M of them, L positions of a line.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from experiments.reward_lines import split_line
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from bgan_discrete.codecs.text import TextCodec
from bgan_discrete.distributions.endings import counted_positions
from bgan_discrete.distributions.sampling import sample_categorical
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.nn import TransformerGenerator
from bgan_discrete.rewards import AdversarialReward
from bgan_discrete.training.batches import BatchOrder

MAX_NORM = 1.0


@dataclass(frozen=True)
class Plan:
    """How a policy is trained.

    Attributes:
        steps: Of the policy, besides the warm-up.
        prompts: N, in a step.
        completions: M, of each prompt.
        every: Steps between two looks.
    """

    steps: int = 300
    warmup: int = 50
    prompts: int = 16
    completions: int = 8
    lr: float = 2e-4
    every: int = 30
    seed: int = 0
    estimator: str = "rloo"
    beta: float = 1.0
    refresh: int = 50


@dataclass(frozen=True)
class Drawn:
    """Completed lines: codes ``[B, L]``, and where a completion begins ``[B]``."""

    codes: Tensor
    starts: Tensor


class Policy:
    """A causal Transformer over the codes of lines; its latent is 0."""

    def __init__(self, codec: TextCodec, seed: int, width: int = 128, depth: int = 2) -> None:
        torch.manual_seed(seed)
        self.codec = codec
        self.network = TransformerGenerator(codec.space, latent_size=1, width=width, depth=depth)

    def pretrain(self, lines: Sequence[str], steps: int, seed: int, batch_size: int = 32, lr: float = 1e-3) -> None:
        """Maximum likelihood for some steps."""
        codes = torch.from_numpy(self.codec.encode(lines)).long()
        order, optimizer = BatchOrder(len(codes), batch_size, seed), torch.optim.Adam(self.network.parameters(), lr)
        for step in range(steps):
            batch = codes[torch.from_numpy(order.indices(step))]
            loss = -self.log_prob(Drawn(batch, torch.zeros(len(batch), dtype=torch.long))).sum() / len(batch)
            descend(optimizer, loss)

    @torch.no_grad()
    def complete(self, prompts: Sequence[str], rng: torch.Generator) -> Drawn:
        """One completion of each of B prompts."""
        given = torch.from_numpy(self.codec.encode(prompts)).long()
        starts = torch.tensor([len(codes) for codes in self.codec.tokenize(prompts)])
        codes, has_ended = torch.zeros_like(given), torch.zeros(len(given), dtype=torch.bool)
        state, previous = self.network.start(torch.zeros(len(given), 1), given.shape[1]), None
        for position in range(given.shape[1]):
            logits, state = self.network.step(previous, state)
            drawn = sample_categorical(logits, 1, rng)[0].long()
            drawn = torch.where(position < starts, given[:, position], drawn).masked_fill(has_ended, 0)
            has_ended |= (drawn == 0) & (position >= starts)
            codes[:, position] = previous = drawn
            if bool(has_ended.all()):
                break
        return Drawn(codes, starts)

    def log_prob(self, drawn: Drawn) -> Tensor:
        """``log pi(completion | prompt)``, ``[B]``, exact."""
        logits = self.network.logits(drawn.codes, torch.zeros(len(drawn.codes), 1))
        of_each = -cross_entropy(logits.transpose(1, 2), drawn.codes, reduction="none")
        places = torch.arange(drawn.codes.shape[1])
        return (of_each * (counted_positions(drawn.codes, 0) & (places >= drawn.starts[:, None]))).sum(1)

    def texts(self, drawn: Drawn, prompts: Sequence[str]) -> tuple[list[str], list[list[int]]]:
        """The completions as text, and as codes with the end where they came to it."""
        stops = counted_positions(drawn.codes, 0).sum(1)
        lines = self.codec.decode(drawn.codes.numpy().astype(self.codec.dtype))
        rows = zip(drawn.codes.tolist(), drawn.starts.tolist(), stops.tolist(), strict=True)
        texts = [line[len(prompt) :] for line, prompt in zip(lines, prompts, strict=True)]
        return texts, [codes[start:stop] for codes, start, stop in rows]


class Sum(nn.Module):
    """A discriminator whose F is the sum of others': one that learns n-grams soon, and one that sees lengths."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See `bgan_discrete.nn.TokenGRU`."""
        return torch.stack([network(ids, mask) for network in self.networks]).sum(0)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step with clipped gradients."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], MAX_NORM)
    optimizer.step()


def batches(lines: Sequence[str], plan: Plan, count: int) -> Iterator[list[tuple[str, str]]]:
    """Prompts with the teacher's answers, N at a time."""
    order = BatchOrder(len(lines), plan.prompts, plan.seed)
    for step in range(count):
        yield [split_line(lines[row]) for row in order.indices(step)]


def by_reward(
    policy: Policy, reward: AdversarialReward, lines: Sequence[str], plan: Plan, look: Callable[[int], None]
) -> None:
    """Policy gradient on the reward, with the advantages of one of the package's estimators within each group."""
    optimizer = torch.optim.Adam(policy.network.parameters(), plan.lr)
    estimator, rng = make_estimator(plan.estimator), torch.Generator().manual_seed(plan.seed)
    for step, rows in enumerate(batches(lines, plan, plan.warmup + plan.steps), 1 - plan.warmup):
        prompts, teacher = ([row[side] for row in rows for _ in range(plan.completions)] for side in (0, 1))
        drawn = policy.complete(prompts, rng)
        texts, ids = policy.texts(drawn, prompts)
        rewards = reward(prompts, texts, ids, teacher=teacher)
        if step < 1:
            continue
        advantages = estimator(torch.tensor(rewards).view(plan.prompts, plan.completions).T).T.flatten()
        descend(optimizer, -(advantages * policy.log_prob(drawn)).sum() / plan.prompts)
        if step % plan.every == 0:
            look(step)


def by_implicit(policy: Policy, lines: Sequence[str], plan: Plan, look: Callable[[int], None]) -> None:
    """The policy as its own discriminator: ``F = beta (log pi - log pi_ref)`` between teacher and an earlier self.

    ``-log sigmoid(F(teacher's)) - log sigmoid(-F(reference's))`` is least where F is ``log p/pi_ref``: with beta = 1
    where pi is p. No second network and no draw of the policy is needed; the reference draws.
    """
    optimizer = torch.optim.Adam(policy.network.parameters(), plan.lr)
    rng, reference = torch.Generator().manual_seed(plan.seed), copy.deepcopy(policy)
    count = plan.prompts * plan.completions
    order = BatchOrder(len(lines), count, plan.seed)
    for step in range(1, plan.steps + 1):
        if step % plan.refresh == 0:
            reference.network.load_state_dict(policy.network.state_dict())
        rows = [lines[row] for row in order.indices(step - 1)]
        prompts = [split_line(line)[0] for line in rows]
        fake = reference.complete(prompts, rng)
        real = Drawn(torch.from_numpy(policy.codec.encode(rows)).long(), fake.starts)
        both = Drawn(torch.cat([real.codes, fake.codes]), fake.starts.repeat(2))
        with torch.no_grad():
            before = reference.log_prob(both)
        of_real, of_fake = (plan.beta * (policy.log_prob(both) - before)).split(count)
        descend(optimizer, softplus(-of_real).mean() + softplus(of_fake).mean())
        if step % plan.every == 0:
            look(step)
