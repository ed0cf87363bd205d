"""Our own loop: what it draws and weighs, by enumeration; both of its forms bring a policy nearer to the teacher."""

import itertools
from typing import Any

import pytest
import torch
from experiments.reward_lines import Course, Lines, embedded_lines, measure, split_line
from experiments.reward_own import Drawn, Plan, Policy, by_implicit, by_reward

from bgan_discrete.codecs import CharacterCodec
from bgan_discrete.nn.tokens import TokenNgrams
from bgan_discrete.rewards import AdversarialReward, PairReader, RewardSettings

VERDICT_LINES = ["x a b", "x a a", "x b b"]


def tiny(length: int) -> Policy:
    return Policy(CharacterCodec(length, vocabulary=" abx"), seed=0, width=16, depth=1)


def test_lines_are_split_behind_two_words_and_joined_again() -> None:
    for line in embedded_lines(20, 0):
        prompt, rest = split_line(line)
        assert prompt + rest == line and prompt.count(" ") == 1 and rest.startswith(" ")
    assert embedded_lines(5, 1) == embedded_lines(5, 1) != embedded_lines(5, 2)


def test_the_probabilities_of_all_completions_of_a_prompt_are_one() -> None:
    policy = tiny(4)
    codec = policy.codec
    symbols = range(codec.num_categories)
    (prompt,) = codec.tokenize(["xa"])
    rows = {(*prompt.tolist(), a, b if a else 0) for a, b in itertools.product(symbols, repeat=2)}
    codes = torch.tensor(sorted(rows))
    with torch.no_grad():
        total = policy.log_prob(Drawn(codes, torch.full((len(codes),), 2))).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_completions_begin_with_their_prompts_and_are_drawn_as_they_are_probable() -> None:
    policy = tiny(3)
    prompts = ["x", "xa"] * 2000
    drawn = policy.complete(prompts, torch.Generator().manual_seed(0))
    texts, ids = policy.texts(drawn, prompts)
    lines = policy.codec.decode(drawn.codes.numpy())
    assert all(line == prompt + text for line, prompt, text in zip(lines, prompts, texts, strict=True))
    codec = policy.codec
    for row in (0, 1):
        again = codec.tokenize([prompts[row] + texts[row]])[0].tolist()[len(prompts[row]) :]
        assert ids[row] in (again, [*again, 0])
    different, counts = torch.cat([drawn.codes, drawn.starts[:, None]], 1).unique(dim=0, return_counts=True)
    with torch.no_grad():
        wanted = policy.log_prob(Drawn(different[:, :3], different[:, 3])).exp()
    assert float((counts / 2000 - wanted).abs().max()) < 0.05


def test_the_implicit_form_stays_where_the_policy_is_the_teacher_and_moves_where_it_is_not() -> None:
    """With draws of the reference for the teacher's answers, the expected gradient is 0; with others it is not."""
    torch.manual_seed(0)
    policy = tiny(4)
    logits = torch.zeros(6, requires_grad=True)
    p = torch.tensor([0.1, 0.2, 0.3, 0.1, 0.2, 0.1])
    for teacher, is_fixed in ((p, True), (p.flip(0), False)):
        ratio = torch.log_softmax(logits + p.log(), 0) - p.log()
        loss = (teacher * torch.nn.functional.softplus(-ratio)).sum() + (p * torch.nn.functional.softplus(ratio)).sum()
        (gradient,) = torch.autograd.grad(loss, logits)
        assert (float(gradient.abs().max()) < 1e-7) == is_fixed
    assert policy.network.space.length == 4


def probability(policy: Policy, lines: list[str]) -> float:
    """Mean log-probability of lines' rests."""
    starts = torch.tensor([len(codes) for codes in policy.codec.tokenize([split_line(line)[0] for line in lines])])
    with torch.no_grad():
        return float(policy.log_prob(Drawn(torch.from_numpy(policy.codec.encode(lines)).long(), starts)).mean())


@pytest.mark.parametrize("form", ["reward", "implicit"])
def test_both_forms_bring_the_policy_nearer_to_the_teacher(form: str) -> None:
    policy, looks = tiny(6), []  # five characters and the end
    lines = VERDICT_LINES * 12
    before = probability(policy, VERDICT_LINES)
    plan = Plan(steps=30, warmup=10, prompts=6, completions=4, lr=3e-3, every=10, refresh=10)
    if form == "reward":
        reader = PairReader(policy.codec, takes_ids=True)
        reward = AdversarialReward(
            reader, TokenNgrams(reader.num_tokens), RewardSettings(warmup=10, lr=0.1, batch_size=8)
        )
        by_reward(policy, reward, lines, plan, looks.append)
        assert reward.calls == 40
    else:
        by_implicit(policy, lines, plan, looks.append)
    assert looks == [10, 20, 30]
    assert probability(policy, VERDICT_LINES) > before + 0.3


def test_the_summary_is_of_the_look_that_the_critics_like_best_before_the_stop() -> None:
    course = Course(Lines([], ["abcd ef gh"] * 3, ["abcd ef gh"] * 3))
    values: list[Any] = [(0, 1.0, 0.5), (30, 0.5, 0.2), (60, 0.6, 0.3), (90, 0.4, 0.1)]
    course.looks = [{"step": step, "critic": critic, "JSD-4": jsd} for step, critic, jsd in values]
    summary = course.summary(2)
    assert (summary["stopped_at"], summary["kept"]["step"], summary["best"]["step"]) == (60, 30, 90)
    assert summary["change"] == pytest.approx(0.2 / 0.5 - 1) and summary["behind_best"] == pytest.approx(1.0)
    assert course.summary(None)["kept"]["step"] == 90 and summary["floor"]["JSD-4"] == 0
    assert measure(["abcd"], ["efgh"])["JSD-4"] == 1
