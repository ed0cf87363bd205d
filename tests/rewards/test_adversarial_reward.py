"""The discriminator as a reward: its optimum by enumeration, its figures by hand, and a resumed one bit for bit."""

import copy
import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import refusal
from torch import Tensor, nn

from bgan_discrete import AdversarialReward, InputError, NonFiniteError
from bgan_discrete.codecs import CharacterCodec
from bgan_discrete.game.divergences import DIVERGENCES
from bgan_discrete.nn.tokens import TokenGRU
from bgan_discrete.rewards import PairReader, RewardSettings, StopRule
from bgan_discrete.rewards.adversarial import PAIRWISE
from bgan_discrete.rewards.figures import WINDOW

LETTERS = "abcdefgh"


def ids_of(text: str) -> list[int]:
    return [LETTERS.index(letter) for letter in text]


def reader(**options: Any) -> PairReader:
    return PairReader(ids_of, num_tokens=len(LETTERS), **options)


class Tabled(nn.Module):
    """F of a pair of letters, a number for each: the prompt's is the row."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        assert ids.shape == mask.shape == (len(ids), 2) and bool(mask.all())
        return self.table[ids[:, 0], ids[:, 1]]


P = torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
Q = torch.tensor([[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]])
"""Of teacher and policy: three answers to each of two prompts, in eighths."""


def enumerated() -> tuple[list[str], list[str], list[str]]:
    """Prompts, completions and answers in which each pair of answer and completion is as frequent as it is probable."""
    rows = []
    for prompt in range(2):
        for teacher in range(3):
            for completion in range(3):
                count = round(64 * float(P[prompt, teacher] * Q[prompt, completion]))
                rows += [(LETTERS[prompt], LETTERS[completion], LETTERS[teacher])] * count
    prompts, completions, teacher = (list(side) for side in zip(*rows, strict=True))
    return prompts, completions, teacher


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("loss", [*DIVERGENCES, PAIRWISE])
def test_at_the_optimum_no_step_is_taken(loss: str) -> None:
    """F = log p/q given the prompt, where pairwise up to a number of each prompt, has no gradient; others have one."""
    prompts, completions, teacher = enumerated()
    table = (P.double() / Q.double()).log()
    for shift, is_optimum in ((torch.zeros(2, 1), True), (torch.tensor([[0.7], [-2.0]]), loss == PAIRWISE)):
        network = Tabled(table + shift)
        reward = AdversarialReward(reader(), network, RewardSettings(loss, batch_size=1000))
        batch, _ = reward._read(prompts, completions, None, {"teacher": teacher})
        # Every row has its own teacher's answer, however few groups there are.
        reward._loss(network, batch).backward()
        assert (float(network.table.grad.abs().max()) < 1e-12) == is_optimum  # type: ignore[union-attr]


@pytest.mark.usefixtures("float64")
def test_rewards_are_the_functions_of_f_that_they_are_called() -> None:
    table = torch.tensor([[0.3, -1.0, 2.0]])
    wanted: dict[tuple[str, str], Callable[[Tensor], Tensor]] = {
        ("gan", "log_ratio"): lambda f: f,
        ("gan", "log_sigmoid"): lambda f: -torch.log1p(torch.exp(-f)),
        ("gan", "fake_term"): lambda f: torch.log1p(torch.exp(f)),
        ("reverse_kl", "fake_term"): lambda f: f - 1,
        ("kl", "fake_term"): torch.exp,
        (PAIRWISE, "log_ratio"): lambda f: f,
    }
    for (loss, name), function in wanted.items():
        reward = AdversarialReward(reader(), Tabled(table.clone()), RewardSettings(loss, name))
        found = reward(["a"] * 3, list("abc"), teacher=["a"] * 3)
        assert found == pytest.approx(function(table[0]).tolist(), abs=1e-12), (loss, name)


def test_a_pairwise_loss_allows_no_reward_but_f() -> None:
    for name in ("log_sigmoid", "fake_term"):
        assert "must be 'log_ratio' with the loss 'pairwise'" in refusal(partial(RewardSettings, PAIRWISE, name))


def test_completions_are_scored_before_they_are_learnt_from_and_never_in_the_warm_up() -> None:
    rows = (["a", "a", "b", "b"], ["bc", "hh", "a", "hhh"])
    teacher = ["bc", "bc", "c", "c"]
    reward = AdversarialReward(reader(), settings=RewardSettings(warmup=2, lr=0.01))
    before = reward.score([reward.reader.read(*pair) for pair in zip(*rows, strict=True)])
    copied = AdversarialReward(reader(), copy.deepcopy(reward.discriminator))
    assert copied(*rows, teacher=teacher) == pytest.approx(before.tolist(), abs=1e-6)
    found = [reward(*rows, teacher=teacher) for _ in range(4)]
    assert found[:2] == [[0.0] * 4] * 2 and 0.0 not in found[2]
    for _ in range(60):
        reward(*rows, teacher=teacher)
    last = reward(*rows, teacher=teacher)
    assert last[0] > 0 > max(last[1:]), "the teacher's own answer is preferred"
    assert reward.history[-1]["d_real"] > 0.5 > reward.history[-1]["d_fake"]


def test_the_figures_by_hand() -> None:
    f = torch.tensor([[0.0, math.log(3), 0.0, 0.0, 0.0, 0.0, 0.0, math.log(7)]])
    network = Tabled(torch.cat([f, f]))
    reward = AdversarialReward(reader(), network)
    reward(list("aaaabb"), list("bbaccc"), teacher=list("hhhhcc"))
    seen = reward.history[-1]
    # Two groups: weights 3, 3, 1, 1 (ESS (8)^2/20 = 3.2 of 4) and two equal ones.
    assert seen["ess_fraction"] == pytest.approx((0.8 + 1) / 2)
    assert seen["no_spread"] == 0.5
    assert seen["d_real"] == pytest.approx((7 / 8 + 1 / 2) / 2)
    assert seen["d_fake"] == pytest.approx((2 * 0.75 + 4 * 0.5) / 6)
    assert seen["log_ratio_fake"] == pytest.approx(2 * math.log(3) / 6)
    assert (seen["length_real"], seen["length_fake"], seen["cut"], seen["length_correlation"]) == (1, 1, 0, 0)


class Length(nn.Module):
    """F is the number of tokens, which nothing teaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return mask.sum(1) * self.scale


@pytest.mark.parametrize(("answer", "is_hacked"), [("a", True), ("abcdefgh", False)])
def test_length_hacking_is_reported_where_longer_is_better_and_too_long_already(
    answer: str, is_hacked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    reward = AdversarialReward(reader(), Length(), RewardSettings(lr=0.0, warmup=3))
    with caplog.at_level(logging.WARNING):
        for _ in range(WINDOW + 2):
            reward(list("aabb"), ["b", "bb", "ccc", "c"], teacher=[answer] * 4)
        assert reward.findings() == [] and not caplog.records, "calls of the warm-up do not count"
        reward(list("aabb"), ["b", "bb", "ccc", "c"], teacher=[answer] * 4)
    assert reward.history[-1]["length_correlation"] == pytest.approx(1.0)
    assert [finding.key for finding in reward.findings()] == ["length_hacking"] * is_hacked
    assert len(caplog.records) == is_hacked
    if is_hacked:
        assert "correlation +1.00" in caplog.text and "75% longer" in caplog.text


def calls(reward: AdversarialReward, numbers: range, held_out: bool = True) -> list[list[float]]:
    """Calls of the same numbers are the same: four prompts with two completions each, of which one is held out."""
    found = []
    for number in numbers:
        rng = torch.Generator().manual_seed(number)
        rows = torch.randint(0, 8, (8, 6), generator=rng).tolist()
        completions = ["".join(LETTERS[i] for i in row[: 1 + row[0] % 5]) for row in rows]
        prompts = [LETTERS[i // 2] for i in range(8)]
        marks = [held_out and prompt == "d" for prompt in prompts]
        found.append(reward(prompts, completions, teacher=[prompt * 3 for prompt in prompts], held_out=marks))
    return found


@pytest.mark.parametrize("loss", ["gan", PAIRWISE])
def test_a_resumed_reward_equals_an_uninterrupted_one_bit_for_bit(loss: str, tmp_path: Path) -> None:
    def fresh() -> AdversarialReward:
        return AdversarialReward(reader(), settings=RewardSettings(loss, warmup=2, batch_size=3, lr=0.01, seed=5))

    through, begun, resumed = fresh(), fresh(), fresh()
    wanted = calls(through, range(9))
    assert calls(begun, range(4)) == wanted[:4]
    written = begun.save(tmp_path / "reward")
    assert sorted(file.name for file in written.iterdir()) == ["manifest.json", "state.pt"]
    resumed.load(tmp_path / "reward")
    assert calls(resumed, range(4, 9)) == wanted[4:]
    ours, theirs = resumed.state_dict(), through.state_dict()
    assert ours["history"] == theirs["history"] and ours["held_out"] == theirs["held_out"]
    for name, value in theirs["discriminator"].items():
        assert torch.equal(value, ours["discriminator"][name])
    resumed.save(tmp_path / "reward")
    assert len(list((tmp_path / "reward").iterdir())) == 1, "an earlier state is removed"


def test_a_state_of_other_settings_or_of_another_network_is_refused(tmp_path: Path) -> None:
    AdversarialReward(reader(), settings=RewardSettings(lr=0.01)).save(tmp_path)
    other = AdversarialReward(reader(), settings=RewardSettings(lr=0.02))
    assert refusal(lambda: other.load(tmp_path)) == "lr must be 0.01, as in the saved state, got 0.02"
    wider = AdversarialReward(reader(), TokenGRU(8, width=7), RewardSettings(lr=0.01))
    assert "discriminator is not that of the saved state" in refusal(lambda: wider.load(tmp_path))
    assert "no saved state of an AdversarialReward: it has no 'calls'" in refusal(lambda: other.load_state_dict({}))


def test_nothing_is_learnt_from_held_out_prompts_and_one_completion_of_each_is_kept() -> None:
    with_them, without = (AdversarialReward(reader(), settings=RewardSettings(lr=0.01)) for _ in range(2))
    prompts, completions, teacher = list("aabb"), ["cd", "hh", "e", "f"], ["cd", "cd", "aa", "aa"]
    marks = [False, False, True, True]
    rewards = with_them(prompts, completions, teacher=teacher, held_out=marks)
    assert rewards[:2] == pytest.approx(without(prompts[:2], completions[:2], teacher=teacher[:2]), abs=1e-6)
    for name, value in without.discriminator.state_dict().items():
        assert torch.equal(value, with_them.discriminator.state_dict()[name])
    ((real, fake),) = with_them._held_out
    assert (real.tokens, fake.tokens) == ((1, 0, 0), (1, 4))
    with_them(prompts, completions, teacher=teacher, held_out=[True] * 4)
    assert with_them.calls == 1 and len(with_them._held_out) == 3


def test_a_fresh_critic_tells_the_teacher_from_a_poor_policy_and_not_from_itself() -> None:
    reward = AdversarialReward(reader(), stop_rule=StopRule(critic_steps=60), make_critic=lambda: TokenGRU(8, 16))
    rng = torch.Generator().manual_seed(0)
    answers = [["".join(LETTERS[i] for i in row) for row in torch.randint(k, k + 3, (200, 3), generator=rng).tolist()]
               for k in (0, 0, 4)]  # fmt: skip
    found = []
    for completions in answers[1:]:
        reward(["h"] * 200, completions, teacher=answers[0], held_out=[True] * 200)
        found.append(reward.check())
    same, other = found
    assert abs(same.value) < 0.1 and 0.9 < other.value <= 2 * math.log(2) + 1e-6
    assert reward.stop_rule.verdicts == found and reward.calls == 0
    assert "at least 50 held-out prompts, got 0" in refusal(reward.check)


def test_metrics_are_passed_on_and_what_else_a_trainer_gives_is_ignored() -> None:
    seen: dict[str, float] = {}
    reward = AdversarialReward(reader())
    reward(["a"], ["b"], completion_ids=[[7]], teacher=["c"], trainer_state=object(), log_metric=seen.__setitem__)
    assert {name.removeprefix("adversarial_reward/"): value for name, value in seen.items()} == reward.history[-1]
    assert reward.__name__ == "adversarial_reward" and not isinstance(reward, nn.Module)


def test_bad_input_is_refused_before_anything_moves() -> None:
    reward = AdversarialReward(reader())
    before = copy.deepcopy(reward.state_dict())
    good: dict[str, Any] = {"prompts": ["a", "b"], "completions": ["c", "d"], "teacher": ["e", "f"]}
    for change, words in (
        ({"teacher": ["e"]}, "teacher must be as many as the prompts, 2, got 1"),
        ({"completions": ["c"]}, "completions must be as many as the prompts, 2, got 1"),
        ({"held_out": [True]}, "held_out must be as many"),
        ({"completions": ["c", None]}, "completions must hold strings, or lists of messages"),
        ({"teacher": ["e", 3]}, "teacher must hold strings, or lists of messages"),
        ({"prompts": [], "completions": [], "teacher": []}, "prompts must be at least one"),
    ):
        assert words in refusal(partial(reward, **{**good, **change}))
    del good["teacher"]
    assert "there is no column 'teacher' with the teacher's answers, only answer" in refusal(
        lambda: reward(**good, answer=["e", "f"])
    )
    for name, value in before["discriminator"].items():
        assert torch.equal(value, reward.discriminator.state_dict()[name])
    with pytest.raises(InputError, match="discriminator must be a module"):
        AdversarialReward(reader(), lambda ids, mask: ids)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"must give F of shape \[1\] for ids \[1, L\], got \[1, 2\]"):
        AdversarialReward(reader(), Twice())(["a"], ["b"], teacher=["b"])
    for options, words in (
        ({"loss": "tv"}, "refused"), ({"reward": "d"}, "reward must be one of"), ({"warmup": -1}, "warmup"),
        ({"lr": -1.0}, "lr"), ({"batch_size": 0}, "batch_size"), ({"seed": -1}, "seed"),
    ):  # fmt: skip
        assert words in refusal(partial(RewardSettings, **options))  # type: ignore[arg-type]


class Twice(Length):
    """Two numbers for each pair."""

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return super().forward(ids, mask)[:, None].expand(-1, 2)


def test_inf_and_nan_are_errors_before_a_step_is_taken() -> None:
    network = Length()
    reward = AdversarialReward(reader(), network)
    with torch.no_grad():
        network.scale.fill_(math.nan)
    with pytest.raises(NonFiniteError, match="F of the discriminator is inf or NaN"):
        reward(["a"], ["b"], teacher=["b"])
    with torch.no_grad():
        network.scale.fill_(100.0)
    steep = AdversarialReward(reader(), network, RewardSettings("kl", "fake_term"))
    with pytest.raises(NonFiniteError, match=r"the reward 'fake_term' is inf or NaN for \|F\| up to 200"):
        steep(["a"], ["b"], teacher=["b"])
    steep = AdversarialReward(reader(), network, RewardSettings("kl"))
    with pytest.raises(NonFiniteError, match="loss or gradient is inf or NaN"):
        steep(["a"], ["b"], teacher=["b"])
    assert float(network.scale.detach()) == 100.0


def test_one_in_two_processes_learns_as_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The discriminator is wrapped once by what the processes give, and that is what learns."""
    from bgan_discrete.rewards import adversarial

    wrapped: list[nn.Module] = []

    class Two:
        size = 2

        def replicate(self, network: nn.Module) -> nn.Module:
            wrapped.append(nn.Sequential())
            wrapped[-1].forward = network.forward  # type: ignore[method-assign]
            return wrapped[-1]

    monkeypatch.setattr(adversarial, "current_processes", Two)
    reward, alone = AdversarialReward(reader()), AdversarialReward(reader())
    alone._wrapped = alone.discriminator
    assert calls(reward, range(2)) == calls(alone, range(2)) and len(wrapped) == 1


def test_a_codec_of_ours_is_a_tokenizer() -> None:
    codec = CharacterCodec(length=8).fit(["abc"])
    reward = AdversarialReward(codec)
    assert reward.reader.num_tokens == codec.num_categories and reward.reader.end_id == 0
    assert len(reward(["a"], ["bz"], teacher=["b"])) == 1
