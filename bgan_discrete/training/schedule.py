"""The learning rates of each step."""

import math

from bgan_discrete.config import TrainingConfig

FINAL_LR_SHARE = 0.02
"""Where the linear decay of the learning rate ends, as a share of its start."""

PRETRAIN_LR = 2e-3
"""Adam's learning rate of the generator while it is trained by maximum likelihood."""


def learning_rates(config: TrainingConfig, step: int, seconds: float) -> tuple[float, float]:
    """The generator's and the discriminator's rate of the next step, those of its phase.

    A linear decay is constant for half of the budget that ends first, and ends with the training.
    """
    scale = 1.0
    if config.lr_decay == "linear":
        share_used = max(step / config.max_steps, seconds / (config.max_seconds or math.inf))
        scale = max(min(1.0, 2 * (1 - share_used)), FINAL_LR_SHARE)
    generator_lr = PRETRAIN_LR if step < config.pretrain_steps else config.generator_lr
    return generator_lr * scale, config.discriminator_lr * scale
