"""How a generator of arrays starts: near the frequencies of each position, and away from what never occurs there."""

import numpy as np
import torch

from bgan_discrete.config import ArrayTrainingConfig
from bgan_discrete.kinds import get_kind
from bgan_discrete.sources import load_array


def test_what_never_occurs_at_a_position_is_not_drawn_there() -> None:
    rows = np.random.default_rng(0).choice(3, (900, 4), p=[0.6, 0.3, 0.1])
    rows[:, 0] = np.minimum(rows[:, 0], 1)  # no 2 at the first position
    data, arrays = load_array(rows), get_kind("arrays")
    config = ArrayTrainingConfig.from_flat({"generator": "mlp", "logit_spread": 0.01})
    generator = arrays.networks(config, data.space)[0]
    arrays.start(generator, config, data)
    with torch.no_grad():
        shares = generator(torch.randn(4000, config.model.latent_size)).logits.softmax(-1).mean(0)
    assert shares[0, 2] < 1e-6
    counts = np.array([np.bincount(column, minlength=3) for column in data.codes.T])
    expected = torch.from_numpy(counts / len(data.codes))
    torch.testing.assert_close(shares.double(), expected, atol=0.01, rtol=0)
