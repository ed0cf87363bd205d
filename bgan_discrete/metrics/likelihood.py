"""The likelihood of held-out data under generators that draw in rounds."""

import numpy as np
import torch

from bgan_discrete.distributions.sampling import all_binary_latents, sample_latents
from bgan_discrete.game.scoring import at_rest
from bgan_discrete.metrics.chow_liu import TREE, baseline_tree
from bgan_discrete.metrics.figure import Figure
from bgan_discrete.metrics.marginals import evenly_spaced, log_frequencies
from bgan_discrete.metrics.ngrams import MarkovModel
from bgan_discrete.nn.rounds import RoundsGenerator, cut_in_other_rounds
from bgan_discrete.space import SampleSpace

MAX_ROWS = 500
"""Held-out samples whose likelihood is taken, evenly spaced."""

MAX_LATENTS = 512
"""Latents of the mixture in round 0; where there are no more, as of 9 binary numbers, the figure is exact."""

MAX_MARKOV_ROWS = 30_000
"""Sequences that a Markov model is learnt from, evenly spaced among more."""

AT_ONCE = 100


@torch.no_grad()
def likelihood_figure(
    generator: RoundsGenerator,
    training: np.ndarray,
    heldout: np.ndarray,
    rounds: int | None = None,
    markov_order: int | None = None,
) -> Figure:
    """Nats of a held-out sample, next to those of independent positions and of other simple models.

    Args:
        generator: Without classes.
        training: Codes ``[S, *event_shape]``, whose frequencies are the baselines.
        heldout: Codes ``[S', *event_shape]``.
        rounds: In which samples are drawn; None for the generator's own.
        markov_order: Of a Markov model of codes, the baseline of sequences; None for a Chow-Liu tree.

    Returns:
        The figure. With other latents than few binary ones it is an upper bound.
    """
    device = next(generator.parameters()).device
    unseen = np.ascontiguousarray(heldout[evenly_spaced(len(heldout), MAX_ROWS)])
    codes = torch.from_numpy(unseen).to(device)
    is_exact = generator.latent_kind == "binary" and 2**generator.latent_size <= MAX_LATENTS
    rng = torch.Generator().manual_seed(0)
    latents = (
        all_binary_latents(generator.latent_size)
        if is_exact
        else sample_latents(MAX_LATENTS, generator.latent_size, generator.latent_kind, rng)
    )
    with at_rest(generator):
        distribution = generator(latents.to(device))
        if rounds is not None and rounds != generator.num_rounds:
            distribution = distribution.in_rounds(rounds, cut_in_other_rounds(generator))
        log_prob = torch.cat([distribution.mixture_log_prob(some) for some in codes.split(AT_ONCE)])
    title = "held-out nats a sample" + ("" if is_exact else ", at most")
    baselines = _baselines(training, unseen, generator.space, markov_order)
    return Figure(title, -float(log_prob.mean()), "lower", baselines=baselines, count=len(codes))


def _baselines(
    training: np.ndarray, unseen: np.ndarray, space: SampleSpace, markov_order: int | None
) -> dict[str, float | None]:
    """Nats of an unseen sample under simple models of the training data."""
    flat = unseen.reshape(len(unseen), -1).astype(np.int64)
    frequencies = log_frequencies(training, space.num_categories).reshape(flat.shape[1], -1)
    nats: dict[str, float | None] = {"independent": -float(frequencies[np.arange(flat.shape[1]), flat].sum(1).mean())}
    if markov_order is not None:
        some = np.asarray(training[evenly_spaced(len(training), MAX_MARKOV_ROWS)])
        model = MarkovModel(_as_texts(some, space.end_id), markov_order)
        nats[f"Markov {markov_order}"] = -float(model.log_prob(_as_texts(unseen, space.end_id)).mean())
    elif (tree := baseline_tree(training, space)) is not None:
        nats[TREE] = -float(tree.log_prob(unseen).mean())
    return nats


def _as_texts(rows: np.ndarray, end_id: int | None) -> list[str]:
    """Codes ``[n, L]`` as texts of a character each; the first end is one too, the padding behind it is left out."""
    if end_id is None:
        return ["".join(map(chr, row)) for row in rows.tolist()]
    has_ended = rows == end_id
    lengths = np.where(has_ended.any(1), has_ended.argmax(1) + 1, rows.shape[1])
    return ["".join(map(chr, row[:length])) for row, length in zip(rows.tolist(), lengths.tolist(), strict=True)]
