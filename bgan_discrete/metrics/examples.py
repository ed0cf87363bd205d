"""The figures that only the embedded examples of arrays have, because a program made them."""

import numpy as np

from bgan_discrete.codecs import IntegersCodec, TableCodec
from bgan_discrete.codecs.columns import CategoryColumn
from bgan_discrete.metrics.arrays import Entry, Extra, kmer_divergence
from bgan_discrete.sources import ArrayData
from bgan_discrete.sources.examples import SEQUENCE_LENGTH, VALUES_OF_RULES, broken_rules, motif_places

KMER = 4


def figures_of_example(data: ArrayData) -> Extra | None:
    """What only the examples can be judged by, because a program made them; None for other data.

    None too where columns, bins or other rows make the examples something else.
    """
    codec = data.codec
    if data.name == "table" and isinstance(codec, TableCodec):
        columns = {column.name: column for column in codec.columns if isinstance(column, CategoryColumn)}
        if not all(
            name in columns and columns[name].other is None and set(columns[name].categories) <= values
            for name, values in VALUES_OF_RULES.items()
        ):
            return None

        def rules(codes: np.ndarray) -> dict[str, Entry]:
            broken = broken_rules(codec.decode(codes))
            return {f"rows that break: {rule}": (share, "lower") for rule, share in broken.items()}

        return rules
    is_motifs = isinstance(codec, IntegersCodec) and codec.describe() == f"{SEQUENCE_LENGTH} integers from 0 to 3"
    if data.name != "motifs" or not is_motifs:
        return None
    places = _shares_of_places(data.codes)

    def motif(codes: np.ndarray) -> dict[str, Entry]:
        found = _shares_of_places(codes)
        return {
            "share of sequences with the motif": (float((motif_places(codes) >= 0).mean()), "floor"),
            "places of the motif, total variation": (0.5 * float(np.abs(found - places).sum()), "lower"),
            f"{KMER}-mers, divergence (bits)": (kmer_divergence(codes, data.codes, KMER, data.num_categories), "lower"),
        }

    return motif


def _shares_of_places(codes: np.ndarray) -> np.ndarray:
    """How often the motif begins at each position, among the sequences that have it; zeros where none has."""
    places = motif_places(codes)
    counts = np.bincount(places[places >= 0], minlength=codes.shape[1])
    return counts / max(counts.sum(), 1)
