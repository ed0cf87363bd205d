"""Batches of samples: how large they are, and that the first samples do not depend on how many are drawn."""

import pytest
import torch

from bgan_discrete.game import drawing
from bgan_discrete.game.drawing import kept_of_batch, sample_codes
from bgan_discrete.nn import CausalMLPGenerator, CausalTransformerGenerator, MaskedMLPGenerator, MLPGenerator
from bgan_discrete.space import SampleSpace

CPU = torch.device("cpu")
SPACE = SampleSpace((3,), 4, (4, 2, 3))


@pytest.mark.parametrize(
    ("build_class", "settings", "kept"),
    [
        (MLPGenerator, {}, 1000),
        (CausalMLPGenerator, {"rounds": 3}, 1000),
        (MaskedMLPGenerator, {"rounds": 3}, 100),
        (CausalTransformerGenerator, {"rounds": 3, "heads": 2}, 100),
    ],
)
def test_only_rounds_that_are_passes_have_smaller_batches(build_class, settings, kept: int) -> None:
    generator = build_class(SPACE, latent_size=2, width=8, depth=1, **settings)
    assert kept_of_batch(generator, 1, CPU, 1000) == kept
    assert kept_of_batch(generator, 2, CPU, 1000) == kept // 2


def test_positions_of_many_categories_have_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MOST_LOGITS", 40)
    generator = CausalMLPGenerator(SPACE, latent_size=2, width=8, depth=1, rounds=3)
    assert kept_of_batch(generator, 1, CPU, 1000) == 10
    assert kept_of_batch(generator, 20, CPU, 1000) == 1


@pytest.mark.parametrize("build_class", [CausalMLPGenerator, MaskedMLPGenerator])
def test_the_first_samples_do_not_depend_on_their_number(build_class) -> None:
    generator = build_class(SPACE, latent_size=2, width=8, depth=1, rounds=3).eval()
    many = sample_codes(generator, 25, 0, CPU, batch_size=100)
    for count in (1, 10, 11, 24):
        assert torch.equal(sample_codes(generator, count, 0, CPU, batch_size=100), many[:count])
    assert len(many.unique(dim=0)) > 5
