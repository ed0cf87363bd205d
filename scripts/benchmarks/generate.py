"""Generation: lines with cached states against a fresh pass over the prefix for each token, and images."""

import torch
from benchmarks.textbook import draw_by_prefix
from benchmarks.timing import Claim, Contender, Scale, SuiteResult, interleave
from experiments.laboratory import Table

from bgan_discrete.game.drawing import sample_codes
from bgan_discrete.game.players import Generator
from bgan_discrete.nn import ConvGenerator, ConvSequenceGenerator, GRUGenerator, TransformerGenerator
from bgan_discrete.space import SampleSpace

LENGTH, CATEGORIES, LATENT_SIZE = 32, 64, 32


def run(device: torch.device, scale: Scale) -> SuiteResult:
    """10,000 samples of each kind of generator."""
    result = SuiteResult("Generation")
    count, length = (20, 5) if scale.is_smoke else (10_000, LENGTH)
    # The slow way is timed on a share of the lines, in the same batches.
    batch = slow_count = 20 if scale.is_smoke else 1000
    rows = []
    torch.manual_seed(0)
    for name, kind in (("GRU", GRUGenerator), ("Transformer", TransformerGenerator)):
        generator = kind(SampleSpace((length,), CATEGORIES), LATENT_SIZE).to(device).eval()
        latents = torch.randn(slow_count, LATENT_SIZE).to(device)
        runs: dict[str, Contender] = {
            "ours": lambda generator=generator: sample_codes(generator, count, 0, device, batch),  # type: ignore[misc]
            "prefix": lambda generator=generator, latents=latents: draw_by_prefix(generator.logits, latents, length),  # type: ignore[misc]
        }
        timing = interleave(runs, 2 if scale.is_smoke else 3, device)
        timing.seconds["prefix"] = [seconds * count / slow_count for seconds in timing.seconds["prefix"]]
        result.timings[name] = timing.seconds
        ratio = timing.ratio("prefix", "ours")
        rows += [
            [f"{name}: {count:,} lines of {length}", timing.cells("ours")[0]],
            [f"{name}: by a fresh pass over the prefix, from {slow_count:,} lines", timing.cells("prefix")[0]],
        ]
        result.claims.append(
            Claim(f"{name}: times ours of a fresh pass over the prefix", ratio, 0 if scale.is_smoke else 10, True)
        )
    lines = SampleSpace((length,), CATEGORIES)
    others: dict[str, Generator] = {
        f"all positions at once: {count:,} lines of {length}": ConvSequenceGenerator(lines, LATENT_SIZE),
        f"{count:,} images of 28x28, K = 2": ConvGenerator(SampleSpace((28, 28), 2), LATENT_SIZE, 32),
    }
    for title, module in others.items():
        network = module.to(device).eval()
        timing = interleave(
            {"ours": lambda network=network: sample_codes(network, count, 0, device, batch)},  # type: ignore[misc]
            2 if scale.is_smoke else 3,
            device,
        )
        result.timings[title] = timing.seconds
        rows.append([title, timing.cells("ours")[0]])
    result.tables.append(Table(f"Samples in batches of {batch:,}", ["what", "median"], rows))
    return result
