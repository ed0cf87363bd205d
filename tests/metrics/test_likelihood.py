"""The likelihood of held-out data under generators that draw in rounds, against sums over everything."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from bgan_discrete import SampleSpace
from bgan_discrete.distributions.sampling import all_binary_latents
from bgan_discrete.metrics.chow_liu import ChowLiuTree
from bgan_discrete.metrics.likelihood import _baselines, likelihood_figure
from bgan_discrete.metrics.marginals import log_frequencies
from bgan_discrete.metrics.ngrams import MarkovModel
from bgan_discrete.nn import CausalMLPGenerator, MaskedTransformerGenerator
from bgan_discrete.nn.rounds import RoundsGenerator

SPACE = SampleSpace((3,), 2)
TRAINING = np.random.default_rng(0).integers(0, 2, (50, 3)).astype(np.uint8)
HELDOUT = np.array([[0, 1, 1], [1, 1, 0]], np.uint8)


def small(kind: type[RoundsGenerator], latent_kind: str, space: SampleSpace = SPACE, **cut: Any) -> RoundsGenerator:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"rounds": 2, "order": "left_to_right", "latent_kind": latent_kind, **cut}
    generator = kind(space, 2, width=8, depth=1, **settings)  # type: ignore[call-arg]
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter)
    return generator


@pytest.mark.parametrize("kind", [MaskedTransformerGenerator, CausalMLPGenerator])
def test_with_few_binary_latents_the_figure_is_exact(kind: type[RoundsGenerator]) -> None:
    generator = small(kind, "binary")
    figure = likelihood_figure(generator, TRAINING, HELDOUT)
    latents = all_binary_latents(2)
    everything = torch.tensor(list(itertools.product((0, 1), repeat=3)))
    with torch.no_grad():
        log_prob = generator(latents).log_prob(everything[:, None].expand(-1, 4, -1))
    probabilities = log_prob.exp().mean(1)
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)
    of_heldout = [int("".join(map(str, row)), 2) for row in HELDOUT.tolist()]
    assert figure.value == pytest.approx(-float(probabilities[of_heldout].log().mean()), abs=1e-5)
    assert figure.title == "held-out nats a sample" and figure.count == 2
    independent = log_frequencies(TRAINING, 2)
    wanted = -np.mean([sum(independent[place, code] for place, code in enumerate(row)) for row in HELDOUT])
    assert figure.baseline == pytest.approx(float(wanted), abs=1e-5)


def test_the_baselines_are_a_tree_or_of_sequences_a_markov_model() -> None:
    generator = small(CausalMLPGenerator, "binary")
    figure = likelihood_figure(generator, TRAINING, HELDOUT)
    assert list(figure.baselines) == ["independent", "Chow-Liu tree"]
    tree = ChowLiuTree(TRAINING, [2, 2, 2])
    assert figure.baselines["Chow-Liu tree"] == pytest.approx(-tree.log_prob(HELDOUT).mean())
    figure = likelihood_figure(generator, TRAINING, HELDOUT, markov_order=2)
    assert list(figure.baselines) == ["independent", "Markov 2"]
    texts = ["".join("ab"[code] for code in row) for row in TRAINING]
    expected = -MarkovModel(texts, 2).log_prob(["abb", "bba"]).mean()
    assert figure.baselines["Markov 2"] == pytest.approx(expected)


@pytest.mark.parametrize("end_id", [None, 2])
def test_probabilities_of_a_markov_model_of_codes_sum_to_one(end_id: int | None) -> None:
    """Of sequences that may end early too, each of which has one form: its end fills what is behind it."""
    space = SampleSpace((3,), 3, end_id=end_id)
    every = [row for row in itertools.product(range(3), repeat=3) if end_id is None or 2 not in row[:-1]]
    every += [] if end_id is None else [(a, 2, 2) for a in (0, 1)] + [(2, 2, 2)]
    rows = np.array(every, np.uint8)
    training = rows[np.random.default_rng(0).integers(len(rows), size=40)]
    nats = [_baselines(training, row[None], space, 2)["Markov 2"] for row in rows]
    unknown = 0.02  # what a code that was never seen has at most, of each position
    assert 1 - 3 * unknown < np.exp(-np.array(nats)).sum() < 1


def test_with_normal_latents_the_figure_is_a_bound_and_says_so() -> None:
    assert likelihood_figure(small(MaskedTransformerGenerator, "normal"), TRAINING, HELDOUT).title.endswith("at most")


def test_a_masked_generator_has_a_figure_for_every_number_of_rounds() -> None:
    generator = small(MaskedTransformerGenerator, "binary")
    values = {rounds: likelihood_figure(generator, TRAINING, HELDOUT, rounds).value for rounds in (1, 2, 3)}
    assert len(set(values.values())) == 3
    assert values[2] == likelihood_figure(generator, TRAINING, HELDOUT).value


def test_other_rounds_are_cut_as_samples_are() -> None:
    space, heldout = SampleSpace((6,), 2), np.array([[0, 1, 1, 0, 1, 0]], np.uint8)
    generator = small(MaskedTransformerGenerator, "binary", space, cut="equal")
    figure = likelihood_figure(generator, heldout, heldout, 4)
    with torch.no_grad():
        distribution = generator(all_binary_latents(2)).in_rounds(4, "equal")
        wanted = distribution.mixture_log_prob(torch.from_numpy(heldout))
        halved = distribution.in_rounds(4, "halving").mixture_log_prob(torch.from_numpy(heldout))
    assert figure.value == pytest.approx(-float(wanted), abs=1e-5)
    assert figure.value != pytest.approx(-float(halved), abs=1e-5)
