#!/usr/bin/env python
"""Train a tiny language model, made from scratch, by a discriminator as its reward: by TRL, or by our own loop.

The policy learns from half of the lines by likelihood, for few steps. The teacher is all lines, a prompt the first two
words of one. Each look completes held-out prompts: a fresh critic, JSD of 4-grams to other held-out lines, entropy.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bgan_discrete.command_line import run_script
from bgan_discrete.command_line.flags import Parser

COMMAND = "python scripts/experiments/adversarial_reward.py"
EXAMPLES = (
    "--loop own --steps 60",
    "--loop grpo --data ../data/captions --results runs/reward",
)
DISCRIMINATORS = ("ngrams", "gru", "ngrams+gru")
LOOPS = ("own", "implicit", "grpo", "rloo")


def make_parser() -> Parser:
    """The flags."""
    parser = Parser("Train a tiny language model by an adversarial reward.", EXAMPLES, COMMAND)
    parser.add_argument("--loop", choices=LOOPS, default="own", help="our own, or one of TRL's trainers")
    parser.add_argument("--data", default=None, help="folder with train.txt and test.txt (default: embedded sentences)")
    parser.add_argument("--results", default=None, help="folder for the figures (default: nothing is written)")
    parser.add_argument("--pretrain", type=int, default=100, help="steps of likelihood before")
    parser.add_argument("--steps", type=int, default=150, help="steps of the policy")
    parser.add_argument("--warmup", type=int, default=40, help="steps of the discriminator alone, before these")
    parser.add_argument("--every", type=int, default=30, help="steps between two looks")
    parser.add_argument("--prompts", type=int, default=16, help="prompts in a step")
    parser.add_argument("--completions", type=int, default=4, help="completions of each prompt")
    parser.add_argument("--width", type=int, default=64, help="of policy and discriminator")
    parser.add_argument("--lr", type=float, default=2e-4, help="learning rate of the policy")
    parser.add_argument("--reward-lr", type=float, default=2e-2, help="learning rate of the discriminator")
    parser.add_argument("--discriminator", choices=DISCRIMINATORS, default="ngrams+gru", help="whose F are added")
    parser.add_argument("--loss", default="gan", help="a divergence, or pairwise")
    parser.add_argument("--reward", default="log_ratio", help="log_ratio, log_sigmoid or fake_term")
    parser.add_argument("--estimator", default="rloo", help="advantages within a group, for our own loop")
    parser.add_argument("--tokens", type=int, default=600, help="size of the vocabulary")
    parser.add_argument("--length", type=int, default=36, help="tokens of a line, at most")
    parser.add_argument(
        "--prompted", type=int, default=2000, help="held-out lines whose prompts are completed at a look"
    )
    parser.add_argument("--critic-steps", type=int, default=200, help="steps of a fresh critic")
    parser.add_argument("--seed", type=int, default=0, help="of everything")
    return parser


def main() -> int:
    """Train, print the looks and the summary."""
    values = make_parser().values(sys.argv[1:])

    import torch
    from experiments.reward_lines import Course, Lines
    from experiments.reward_own import Plan

    torch.set_num_threads(1)
    started = time.process_time()
    lines = Lines.load(None if values["data"] is None else Path(values["data"]), values["prompted"])
    course = Course(lines)
    names = ("steps", "warmup", "lr", "every", "seed", "estimator", "prompts", "completions")
    plan = Plan(**{name: values[name] for name in names})
    train = train_own if values["loop"] in ("own", "implicit") else train_by_trl
    reward = train(values, lines, course, plan)
    found = {"options": values, **course.summary(reward.stop_rule.stopped_at), "looks": course.looks}
    found["history"] = reward.history[-1:]
    found["cpu_seconds"] = time.process_time() - started
    print(json.dumps({name: value for name, value in found.items() if name != "looks"}, indent=2))
    if values["results"] is not None:
        folder = Path(values["results"])
        folder.mkdir(parents=True, exist_ok=True)
        name = "-".join(str(values[key]) for key in ("loop", "loss", "reward", "estimator", "seed"))
        (folder / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def make_reward(values: dict[str, Any], tokenizer: Any) -> Any:
    """The reward by the options; it reads the policy's own ids."""
    import torch
    from experiments.reward_own import Sum

    from bgan_discrete.nn.tokens import TokenGRU, TokenNgrams
    from bgan_discrete.rewards import AdversarialReward, PairReader, RewardSettings, StopRule

    reader = PairReader(tokenizer, takes_ids=True)
    settings = RewardSettings(
        loss=values["loss"], reward=values["reward"], warmup=values["warmup"], lr=values["reward_lr"],
        batch_size=16, seed=values["seed"],
    )  # fmt: skip
    stop_rule = StopRule(critic_steps=values["critic_steps"], seed=values["seed"])

    torch.manual_seed(values["seed"])
    parts = {"ngrams": TokenNgrams(reader.num_tokens), "gru": TokenGRU(reader.num_tokens, values["width"])}
    names = values["discriminator"].split("+")
    discriminator = Sum([parts[name] for name in names])
    return AdversarialReward(reader, discriminator, settings, stop_rule, lambda: TokenNgrams(reader.num_tokens))


def train_own(values: dict[str, Any], lines: Any, course: Any, plan: Any) -> Any:
    """Our own loop; gives the reward."""
    import torch
    from experiments.reward_lines import split_line
    from experiments.reward_own import Policy, by_implicit, by_reward

    from bgan_discrete.codecs import SentencePieceCodec

    codec = SentencePieceCodec(values["length"], vocabulary_size=values["tokens"]).fit(lines.training)
    policy = Policy(codec, plan.seed, values["width"])
    policy.pretrain(lines.training[: len(lines.training) // 2], values["pretrain"], plan.seed)
    reward = make_reward(values, codec)
    prompts, teacher = (list(side) for side in zip(*map(split_line, lines.prompted), strict=True))

    def look(step: int) -> None:
        texts, ids = policy.texts(policy.complete(prompts, torch.Generator().manual_seed(step)), prompts)
        reward(prompts, texts, ids, teacher=teacher, held_out=[True] * len(prompts))
        course.look(step, [a + b for a, b in zip(prompts, texts, strict=True)], reward.check())

    look(0)
    if values["loop"] == "implicit":
        by_implicit(policy, lines.training, plan, look)
    else:
        by_reward(policy, reward, lines.training, plan, look)
    return reward


def train_by_trl(values: dict[str, Any], lines: Any, course: Any, plan: Any) -> Any:
    """TRL's trainer; gives the reward."""
    import tempfile

    from experiments import reward_trl
    from experiments.reward_lines import split_line

    tokenizer = reward_trl.make_tokenizer(lines.training, values["tokens"])
    policy = reward_trl.make_policy(tokenizer, 2 * values["length"], plan.seed, values["width"])
    half = lines.training[: len(lines.training) // 2]
    reward_trl.pretrain(policy, tokenizer, half, values["pretrain"], plan.seed)
    reward = make_reward(values, tokenizer)
    prompts, teacher = (list(side) for side in zip(*map(split_line, lines.prompted), strict=True))

    def look(step: int) -> None:
        texts, ids = reward_trl.complete(policy, tokenizer, prompts, values["length"])
        reward(prompts, texts, ids, teacher=teacher, held_out=[True] * len(prompts))
        course.look(step, [a + b for a, b in zip(prompts, texts, strict=True)], reward.check())

    look(0)
    with tempfile.TemporaryDirectory() as folder:
        reward_trl.by_trl(
            policy, tokenizer, reward, lines.training, plan, kind=values["loop"], length=values["length"],
            output_dir=Path(folder), callbacks=[reward_trl.Looks(plan, look)],
        )  # fmt: skip
    return reward


if __name__ == "__main__":
    run_script(main)
