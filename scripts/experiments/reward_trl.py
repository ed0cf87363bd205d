"""TRL's trainers with the adversarial reward: a tiny GPT-2 made from scratch, with byte pairs as tokens.

Needs the extra ``trl``.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from experiments.reward_lines import split_line
from experiments.reward_own import Plan, descend
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from bgan_discrete.training.batches import BatchOrder

END, PAD = "<end>", "<pad>"


def make_tokenizer(lines: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """Byte pairs of lines, with an end and a padding."""
    pairs = ByteLevelBPETokenizer()
    pairs.train_from_iterator(lines, vocab_size=size, special_tokens=[END, PAD], show_progress=False)
    return PreTrainedTokenizerFast(tokenizer_object=pairs._tokenizer, eos_token=END, pad_token=PAD, padding_side="left")


def make_policy(tokenizer: PreTrainedTokenizerFast, length: int, seed: int, width: int = 128, depth: int = 2) -> Any:
    """A GPT-2 with random weights, which is not taken from anywhere."""
    torch.manual_seed(seed)
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=length, n_embd=width, n_layer=depth, n_head=4, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=end, eos_token_id=end, pad_token_id=pad,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def pretrain(
    policy: Any, tokenizer: Any, lines: Sequence[str], steps: int, seed: int, batch_size: int = 32, lr: float = 1e-3
) -> None:
    """Maximum likelihood for some steps, from the first token of a line on."""
    order, optimizer = BatchOrder(len(lines), batch_size, seed), torch.optim.Adam(policy.parameters(), lr)
    for step in range(steps):
        texts = [lines[row] + END for row in order.indices(step)]
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        loss = policy(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
        # Of a line, not of a token, as in our own loop.
        descend(optimizer, loss * (labels[:, 1:] >= 0).sum() / len(texts))


@torch.no_grad()
def complete(policy: Any, tokenizer: Any, prompts: Sequence[str], length: int) -> tuple[list[str], list[list[int]]]:
    """One completion of each prompt, as text and as ids."""
    texts, ids = [], []
    for start in range(0, len(prompts), 256):
        batch = tokenizer(prompts[start : start + 256], return_tensors="pt", padding=True)
        drawn = policy.generate(**batch, do_sample=True, top_k=0, max_new_tokens=length)
        for row in drawn[:, batch["input_ids"].shape[1] :].tolist():
            stop = row.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in row else len(row)
            ids.append(row[:stop])
            texts.append(tokenizer.decode(row[:stop], skip_special_tokens=True))
    return texts, ids


def as_data(lines: Sequence[str], held_out: bool) -> Dataset:
    """Prompts with the teacher's answers."""
    prompts, teacher = zip(*map(split_line, lines), strict=True)
    return Dataset.from_dict({"prompt": list(prompts), "teacher": list(teacher), "held_out": [held_out] * len(prompts)})


class Looks(TrainerCallback):  # type: ignore[misc]
    """Calls a function after some steps of the policy, as often as the plan says."""

    def __init__(self, plan: Plan, look: Callable[[int], None]) -> None:
        self.plan, self.look = plan, look

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """See `transformers.TrainerCallback`."""
        step = state.global_step - self.plan.warmup
        if step > 0 and step % self.plan.every == 0:
            self.look(step)


def by_trl(
    policy: Any,
    tokenizer: Any,
    reward: Callable[..., list[float]],
    lines: Sequence[str],
    plan: Plan,
    *,
    kind: str,
    length: int,
    output_dir: Path,
    callbacks: Sequence[TrainerCallback] = (),
    heldout: Sequence[str] = (),
) -> Any:
    """Train by TRL's `GRPOTrainer` or `RLOOTrainer`; gives the trainer."""
    config_of, trainer_of = (GRPOConfig, GRPOTrainer) if kind == "grpo" else (RLOOConfig, RLOOTrainer)
    config = config_of(
        output_dir=str(output_dir), max_steps=plan.warmup + plan.steps, learning_rate=plan.lr, beta=0.0,
        per_device_train_batch_size=plan.prompts * plan.completions, num_generations=plan.completions,
        per_device_eval_batch_size=256, num_generations_eval=1, max_completion_length=length, top_k=0,
        lr_scheduler_type="constant", seed=plan.seed, use_cpu=True, bf16=False, report_to=[], save_strategy="no",
        eval_strategy="steps" if heldout else "no", eval_steps=plan.every, logging_steps=plan.every,
        gradient_checkpointing=False, disable_tqdm=True,
    )  # fmt: skip
    trainer = trainer_of(
        model=policy, args=config, reward_funcs=reward, train_dataset=as_data(lines, held_out=False),
        eval_dataset=as_data(heldout, held_out=True) if heldout else None, processing_class=tokenizer,
        callbacks=list(callbacks),
    )  # fmt: skip
    trainer.train()
    return trainer
