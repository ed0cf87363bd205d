"""What a trainer of `transformers` has to do for an adversarial reward: check, stop, save and resume it."""

from pathlib import Path
from typing import Any

from bgan_discrete.errors import InputError
from bgan_discrete.rewards.adversarial import AdversarialReward

FOLDER = "adversarial_reward"
"""In each checkpoint of the trainer."""


def reward_callback(reward: AdversarialReward) -> Any:
    """A callback for TRL's trainers.

    After each evaluation, whose data have the column of held-out prompts, it checks the policy with a fresh critic: the
    value is in the trainer's log, and is the metric ``critic`` for ``metric_for_best_model``. It ends the training
    where the stop rule says so, saves the reward in each checkpoint, and loads it where a training is resumed from one
    in its output folder.

    Args:
        reward: The trainer's reward function.

    Returns:
        A `transformers.TrainerCallback`.

    Raises:
        InputError: If `transformers` is not installed.
    """
    try:
        from transformers import TrainerCallback
    except ImportError:
        raise InputError("reward_callback needs transformers: pip install 'bgan_discrete[trl]'") from None

    class RewardCallback(TrainerCallback):  # type: ignore[misc]
        """Calls the reward's own methods."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if state.global_step > 0:
                reward.load(Path(args.output_dir) / f"checkpoint-{state.global_step}" / FOLDER)

        def on_evaluate(
            self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **others: Any
        ) -> None:
            verdict = reward.check()
            found = {"eval_critic": verdict.value, "eval_critic_noise": verdict.noise}
            state.log_history.append({**found, "step": state.global_step})
            if metrics is not None:
                metrics.update(found)
            if reward.should_stop:
                control.should_training_stop = True

        def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if state.is_world_process_zero:
                reward.save(Path(args.output_dir) / f"checkpoint-{state.global_step}" / FOLDER)

    return RewardCallback()
