"""Data of six positions in three categories, and small networks for them."""

import numpy as np
import torch

from bgan_discrete import MLPDiscriminator, MLPGenerator, SampleSpace

CODES = np.random.default_rng(0).integers(0, 3, (50, 6)).astype(np.uint8)
SPACE = SampleSpace((6,), 3)


def small_networks(seed: int = 0) -> tuple[MLPGenerator, MLPDiscriminator]:
    torch.manual_seed(seed)
    return MLPGenerator(SPACE, latent_size=4, width=16, depth=1), MLPDiscriminator(SPACE, width=16, depth=1)
