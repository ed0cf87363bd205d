"""Under TRL: both trainers take the reward, the callback checks, stops, saves and resumes; skipped without TRL."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bgan_discrete.nn.tokens import TokenNgrams
from bgan_discrete.rewards import AdversarialReward, PairReader, RewardSettings, StopRule, reward_callback

pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore")

LENGTH = 12
LINES = [f"a {colour} {animal} sits" for colour in ("red", "old") for animal in ("cat", "dog", "bird", "cow")] * 8


def parts(patience: int = 9) -> tuple[Any, Any, AdversarialReward]:
    from experiments import reward_trl

    tokenizer = reward_trl.make_tokenizer(LINES, 280)
    policy = reward_trl.make_policy(tokenizer, 40, 0, width=16, depth=1)
    reader = PairReader(tokenizer, takes_ids=True)
    reward = AdversarialReward(
        reader, TokenNgrams(reader.num_tokens), RewardSettings(warmup=1, lr=0.05),
        StopRule(patience, critic_steps=5), lambda: TokenNgrams(reader.num_tokens),
    )  # fmt: skip
    return tokenizer, policy, reward


def train(kind: str, steps: int, folder: Path, patience: int = 9) -> tuple[Any, AdversarialReward]:
    from experiments import reward_own, reward_trl

    tokenizer, policy, reward = parts(patience)
    plan = reward_own.Plan(steps=steps - 1, warmup=1, prompts=3, completions=2, every=2)
    trainer = reward_trl.by_trl(
        policy, tokenizer, reward, LINES, plan, kind=kind, length=LENGTH, output_dir=folder,
        callbacks=[reward_callback(reward)], heldout=LINES[:60],
    )  # fmt: skip
    return trainer, reward


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_both_trainers_take_the_reward(kind: str, tmp_path: Path) -> None:
    trainer, reward = train(kind, 4, tmp_path)
    assert reward.calls == 4 and trainer.state.global_step == 4, "evaluations are no calls to learn from"
    logged = [log for log in trainer.state.log_history if "eval_critic" in log and "step" in log]
    assert [log["step"] for log in logged] == [2, 4] and len(reward.stop_rule.verdicts) == 2
    named = {name for log in trainer.state.log_history for name in log}
    assert "rewards/adversarial_reward/mean" in named and "adversarial_reward/d_real" in named
    assert reward.history[-1]["d_real"] > 0.5, "it learns"
    # An answer has the first space of the rest of a line, and the end; the policy's is cut, or has it, too.
    assert reward.history[0]["length_real"] > 2 and 0 < reward.history[0]["length_fake"] <= LENGTH


def test_the_training_ends_where_the_stop_rule_says_so(tmp_path: Path) -> None:
    trainer, reward = train("grpo", 40, tmp_path, patience=1)
    assert trainer.state.global_step == 2 * (reward.stop_rule.stopped_at or 0) + 2 < 40


def test_the_callback_saves_with_the_trainer_and_resumes_from_that(tmp_path: Path) -> None:
    class State:
        global_step, is_world_process_zero = 3, True

    class Arguments:
        output_dir = str(tmp_path)

    _, _, reward = parts()
    for _ in range(3):
        reward(["a red"] * 2, [" cat", " dog"], teacher=[" cow"] * 2)
    reward_callback(reward).on_save(Arguments(), State(), None)
    _, _, again = parts()
    reward_callback(again).on_train_begin(Arguments(), State(), None)
    assert again.calls == 3 and again.history == reward.history
    for name, value in reward.discriminator.state_dict().items():
        assert torch.equal(value, again.discriminator.state_dict()[name])


def test_chat_messages_as_trl_gives_them(tmp_path: Path) -> None:
    _, _, reward = parts()
    prompts = [[{"role": "user", "content": "a red"}]] * 2
    completions = [[{"role": "assistant", "content": text}] for text in (" cat", " dog")]
    teacher = [[{"role": "assistant", "content": " cat"}]] * 2
    for _ in range(20):
        found = reward(prompts, completions, teacher=teacher)
    assert found[0] > found[1]
