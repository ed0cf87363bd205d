"""Discriminators as rewards, for trainers of language models."""

from bgan_discrete.rewards.adversarial import AdversarialReward, RewardSettings
from bgan_discrete.rewards.callback import reward_callback
from bgan_discrete.rewards.pairs import PairReader
from bgan_discrete.rewards.stop_rule import StopRule

__all__ = ["AdversarialReward", "PairReader", "RewardSettings", "StopRule", "reward_callback"]
