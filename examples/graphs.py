"""A kind of data of your own, in one file: undirected graphs, coded by the upper triangle of their adjacency matrix.

    python examples/graphs.py train --kind graphs --dataset communities --max-steps 3000 --output-dir runs/graphs
    python examples/graphs.py generate --model runs/graphs/model --num-samples 100 --output graphs.npy
    python examples/graphs.py evaluate --model runs/graphs/model

A codec says what codes mean, and a `Kind` answers the questions that training, generating and evaluating ask. All else
is the package's own: checkpoints, reports, saved models, the program and its options.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bgan_discrete.codecs import register_codec
from bgan_discrete.codecs.arrays import ArrayCodec
from bgan_discrete.config import ArrayTrainingConfig
from bgan_discrete.durable import replace_text, replacing_file
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.kinds import register_kind
from bgan_discrete.kinds.kind import METRICS_SEED, Kind, Samples, check_file
from bgan_discrete.metrics.figure import Evaluation, Figure
from bgan_discrete.metrics.marginals import log_frequencies
from bgan_discrete.nn import AlternativesDiscriminator, MLPGenerator
from bgan_discrete.publishing.card import Words
from bgan_discrete.sources import Data
from bgan_discrete.space import SampleSpace


@register_codec
class GraphCodec(ArrayCodec):
    """Adjacency matrices ``[N, V, V]`` <-> one bit for each pair of vertices, ``[N, V (V - 1) / 2]``."""

    name = "graph"
    ordered = False
    column_names = None

    def __init__(self, vertices: int) -> None:
        self.vertices, self.num_categories = vertices, 2
        self.pairs = np.triu_indices(vertices, 1)
        self.space = SampleSpace((len(self.pairs[0]),), 2)

    def describe(self) -> str:
        return f"graphs of {self.vertices} vertices"

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name, "vertices": self.vertices}

    def encode(self, data: Any) -> np.ndarray:
        graphs = np.asarray(data)
        if graphs.shape[1:] != (self.vertices, self.vertices) or not np.array_equal(graphs, graphs.transpose(0, 2, 1)):
            raise InputError(f"graphs must be symmetric, [N, {self.vertices}, {self.vertices}], got {graphs.shape}")
        return np.ascontiguousarray(graphs[:, self.pairs[0], self.pairs[1]] != 0, dtype=np.uint8)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        self.validate_codes(codes)
        graphs = np.zeros((len(codes), self.vertices, self.vertices), np.uint8)
        graphs[:, self.pairs[0], self.pairs[1]] = codes
        return graphs + graphs.transpose(0, 2, 1)


@dataclass(frozen=True)
class GraphConfig(ArrayTrainingConfig):
    """The options of arrays; those that graphs have no use for keep their defaults."""

    front = replace(ArrayTrainingConfig.front, output="graphs.npy", output_help="*.npy: matrices [N, V, V]")


class Graphs(Kind):
    """Undirected graphs of equally many vertices."""

    name, noun, suffix = "graphs", "graphs", ".txt"
    config_class = GraphConfig
    codec_class = GraphCodec

    def load(self, config: Any, codec: GraphCodec | None = None, dataset: Any = None) -> Data[GraphCodec]:
        """Graphs in memory, in a .npy file, or the example ``communities``; a tenth of them is held out."""
        if dataset is None:
            is_example = config.dataset == "communities"
            dataset = communities(2000) if is_example else np.load(config.dataset, allow_pickle=False)
        codec = codec or GraphCodec(np.shape(dataset)[1])
        codes = codec.encode(dataset)
        heldout, training = np.split(np.random.default_rng(0).permutation(codes), [len(codes) // 10])
        return Data(config.dataset, training, heldout, codec, "a tenth of the graphs")

    def check_counts(self, num_samples: int, data: Data[GraphCodec]) -> None:
        if len(data.heldout_codes) < 2:
            raise InputError(f"dataset must have at least 20 graphs, got {len(data.codes) + len(data.heldout_codes)}")

    def networks(
        self, config: ArrayTrainingConfig, space: SampleSpace, num_classes: int | None = None
    ) -> tuple[Generator, Discriminator]:
        torch.manual_seed(config.training.seed)
        model = config.model
        generator = MLPGenerator(space, model.latent_size, model.generator_width or 256, model.generator_depth or 2)
        sizes = (model.discriminator_width, model.discriminator_depth)
        return generator, AlternativesDiscriminator(space, *sizes, "rest", "mlp", 5.0)

    def start(self, generator: Generator, config: ArrayTrainingConfig, data: Data[GraphCodec]) -> None:
        generator.set_output_bias(torch.from_numpy(log_frequencies(data.codes, 2)))

    def save(self, samples: Samples, path: Path) -> str:
        text = "".join(f"{line}\n" for line in map(edges, samples.values))
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text)
        return text

    def lines(self, samples: Samples) -> list[str]:
        return [edges(graph) for graph in samples.values[:10]]

    def check_output(self, output: Path | None, codec: GraphCodec) -> None:
        if output is None:
            raise InputError("output must be a .npy file, got none")
        check_file(output, (".npy", ".npy"))

    def write(
        self, parts: Iterable[Samples], output: Path | None, num_samples: int, codec: GraphCodec, **_: Any
    ) -> None:
        assert output is not None
        with replacing_file(output) as file:
            np.save(file, np.concatenate([part.values for part in parts]))

    def facts(self, samples: Samples, data: Data[GraphCodec], picture: Path) -> Mapping[str, Any]:
        return {}

    def evaluate(
        self, pipeline: Any, data: Data[GraphCodec], num_samples: int, seed: int = METRICS_SEED, **options: Any
    ) -> Evaluation:
        """How far the numbers of edges and triangles are from those of held-out graphs."""
        asked = {name: options[name] for name in ("resample", "rounds") if name in options}
        drawn = pipeline.generate(num_samples, seed=seed, **asked).values
        training, heldout = map(data.codec.decode, (data.codes, data.heldout_codes))
        apart = np.random.default_rng(seed).random(data.heldout_codes.shape) < data.codes.mean(0)
        independent = data.codec.decode(apart.astype(np.uint8))
        figures = {}
        for name, count in (("edges", count_edges), ("triangles", count_triangles)):
            value, floor, other = (distance(count(graphs), count(heldout)) for graphs in (drawn, training, independent))
            title, baselines = f"total variation of the number of {name}", {"independent": other}
            figures[name] = Figure(title, value, "lower", floor, baselines, len(heldout))
        method = f"{num_samples:,} samples and {len(heldout):,} held-out graphs; floor: training graphs."
        return Evaluation(figures, self.noun, method, facts={"num_samples": num_samples, "num_training": len(training)})

    def words(self, codec: GraphCodec) -> Words:
        return Words("graphs", "graphs", tags=("graph",))


def communities(count: int, vertices: int = 8) -> np.ndarray:
    """Graphs of two halves, dense inside and sparse between, uint8 ``[count, V, V]``."""
    rng = np.random.default_rng(0)
    halves = np.stack([rng.permutation(np.arange(vertices) % 2) for _ in range(count)])
    dense = halves[:, :, None] == halves[:, None]
    upper = np.triu(rng.random((count, vertices, vertices)) < np.where(dense, 0.9, 0.05), 1)
    return (upper | upper.transpose(0, 2, 1)).astype(np.uint8)


def edges(graph: np.ndarray) -> str:
    """A graph as text, such as ``0-1 0-3 1-3``."""
    return " ".join(f"{a}-{b}" for a, b in np.argwhere(np.triu(graph)))


def count_edges(graphs: np.ndarray) -> np.ndarray:
    """Of each graph."""
    return graphs.sum((1, 2), dtype=int) // 2


def count_triangles(graphs: np.ndarray) -> np.ndarray:
    """Of each graph."""
    return np.trace(np.linalg.matrix_power(graphs.astype(int), 3), axis1=1, axis2=2) // 6


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Total variation of two samples of whole numbers."""
    most = max(ours.max(), theirs.max()) + 1
    shares = [np.bincount(counts, minlength=most) / len(counts) for counts in (ours, theirs)]
    return 0.5 * float(np.abs(shares[0] - shares[1]).sum())


register_kind(Graphs())

if __name__ == "__main__":
    from bgan_discrete.command_line import main

    raise SystemExit(main())
