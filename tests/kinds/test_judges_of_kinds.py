"""Every kind answers with a judge of its data."""

import numpy as np
import pytest

from bgan_discrete.kinds.arrays import Arrays
from bgan_discrete.kinds.images import Images
from bgan_discrete.kinds.kind import Kind
from bgan_discrete.kinds.text import Text

KINDS: dict[str, tuple[Kind, str]] = {
    "digits": (Images(), "Fréchet"),
    "arithmetic": (Text(), "JSD-"),
    "table": (Arrays(), "AUC"),
}


@pytest.mark.parametrize("dataset", KINDS)
def test_real_samples_are_better_than_independent_positions(dataset: str) -> None:
    kind, title = KINDS[dataset]
    config = kind.config_class.from_flat({"dataset": dataset})
    data = kind.load(config.data)
    judge = kind.judge(config, data)
    rng = np.random.default_rng(0)
    real, half = rng.permutation(data.codes)[:1000], rng.permutation(data.heldout_codes)[:500]
    assert title in judge.title
    assert judge.measure(real, half).beats(judge.measure(rng.permuted(real, axis=0), half))


def test_a_kind_that_does_not_say_has_the_judge_of_arrays() -> None:
    assert Arrays.judge is Kind.judge
