"""Targets on enumerable truth: all sequences of eight bases, a Markov chain as the data, an assay as the reward.

    python scripts/experiments/targets.py --scores FILE --cells '*/*'

The generator sees samples of the chain p and the scores r of its own draws; its target is ``p e^(lambda r) / Z``. A
cell is ``METHOD/LAMBDA``: the game in one of its forms; a game whose discriminator knows nothing, which is reward
maximisation; and the likelihood that all begin with, resampled by the reward. All laws are exact: q of all 65,536
sequences. An anchored game is also measured with as many candidates, of which its own log weights choose one.

One setting serves every lambda. The rate of the generator counts most: with the known ratio as the discriminator, and
200 steps of 2,048 draws at lambda = 0.5, the divergence falls to 0.184 at 3e-4 and to 0.040 at 1e-2.
"""

import argparse
import json
import platform
import sys
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from experiments import binding
from torch import Tensor, nn

from bgan_discrete import SampleSpace, Target, Trainer, TrainingConfig
from bgan_discrete.durable import replace_text
from bgan_discrete.errors import InputError
from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.players import Discriminator
from bgan_discrete.game.targets import at_once
from bgan_discrete.nn import MLPDiscriminator
from bgan_discrete.nn.residual import CausalMLPGenerator

FORMS = ("anchored", "additive", "shifted", "weighted")
METHODS = (*FORMS, "reward", "resampling")
WEIGHTS = (0.0, 0.25, 0.5, 1.0)
ROWS, CANDIDATES, NUM_LATENTS = 100_000, 16, 1024
LIKELIHOOD, ALONE = 0.4, 0.01
"""Shares of the steps: of likelihood, which learns rows by heart in more steps, and of the discriminator alone."""

SPACE = SampleSpace((binding.LENGTH,), len(binding.BASES))


class Blind(Discriminator):
    """A discriminator that says nothing: what is left of the game is the reward."""

    credits = ("sample",)

    def __init__(self) -> None:
        super().__init__(SPACE, partial=True)
        self.nothing = nn.Parameter(torch.zeros(()))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """0 of every sample."""
        return 0 * self.nothing + torch.zeros(len(samples))


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        method: One of `METHODS`.
        weight: lambda.
    """

    method: str
    weight: float

    @property
    def name(self) -> str:
        """As it is chosen by."""
        return f"{self.method}/{self.weight:g}"


def cells() -> list[Cell]:
    """Every cell: without a reward the forms are the same but for anchored, and nothing is maximised."""
    return [Cell(method, weight) for weight in WEIGHTS for method in (METHODS if weight else ("anchored", "additive"))]


def law(generator: Any) -> np.ndarray:
    """Log-probabilities ``[65536]`` of a generator, its latent averaged over `NUM_LATENTS`."""
    latents = draw_latents(generator, NUM_LATENTS, torch.Generator().manual_seed(1))
    with torch.no_grad():
        distribution = generator.eval()(latents)
        parts = [distribution.mixture_log_prob(part) for part in torch.from_numpy(binding.all_codes()).split(4096)]
    return torch.cat(parts).double().numpy()


def train(cell: Cell, scores: np.ndarray, steps: int, seed: int) -> Trainer:
    """The training of a cell, at its end."""
    torch.manual_seed(seed)
    generator = CausalMLPGenerator(
        SPACE, 2, 256, 2, rounds=binding.LENGTH, order="left_to_right", cut="equal"
    )  # fmt: skip
    discriminator: Discriminator = (
        Blind() if cell.method == "reward" else MLPDiscriminator(SPACE, width=256, depth=2, partial=True)
    )
    table = torch.from_numpy(scores)
    powers = torch.tensor([len(binding.BASES) ** (binding.LENGTH - 1 - i) for i in range(binding.LENGTH)])
    reward = at_once(lambda codes: table[(codes.long() * powers).sum(1)])
    target = Target(reward=reward, reward_weight=cell.weight, form=cell.method if cell.method in FORMS else "additive")
    without_game = cell.method in ("weighted", "resampling")
    config = TrainingConfig(
        estimator="rloo",
        num_draws=8,
        batch_size=128,
        phases="likelihood" if without_game else f"likelihood={LIKELIHOOD},discriminator={ALONE},game",
        penalty="none",
        generator_lr=0.12,  # of which a game after likelihood takes a twentieth
        ema_decay=0.995,
        max_steps=steps,
        keep="last",
        seed=seed,
        threads=1,
        device="cpu",
    )
    codes = binding.sample_chain(ROWS, seed)
    is_aimed = cell.method != "resampling"
    trainer = Trainer(generator, discriminator, codes, config, target=target if is_aimed else None)
    trainer.train(progress=False)
    return trainer


def log_weights(trainer: Trainer, log_reward: np.ndarray) -> np.ndarray:
    """The log weights ``[65536]`` that an anchored game gives samples of its model."""
    anchored, codes = trainer.players.discriminator, torch.from_numpy(binding.all_codes())
    with torch.no_grad():
        parts = [
            anchored.network(part) + anchored.since_start(trainer.kept_generator, part) for part in codes.split(4096)
        ]
    return torch.cat(parts).double().numpy() + log_reward


def resampled(log_q: np.ndarray, log_weight: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The law of one of `CANDIDATES`, its divergence from the target, and the error of that."""
    laws = [binding.resampled_law(log_q, log_weight, CANDIDATES, seed=s) for s in range(3)]
    divergences = [binding.divergence(one, wanted) for one in laws]
    return laws[0], divergences[0], float(np.std(divergences))


def measure(cell: Cell, scores: np.ndarray, steps: int, seed: int) -> dict[str, Any]:
    """Train a cell; its record."""
    began = time.process_time()
    trainer = train(cell, scores, steps, seed)
    seconds = time.process_time() - began
    log_q, wanted = law(trainer.kept_generator), binding.target_log_prob(scores, cell.weight)
    error, of_candidates = 0.0, {}
    if cell.method == "resampling":
        log_q, _, error = resampled(log_q, cell.weight * scores, wanted)
    if cell.method == "anchored":
        _, kl, kl_error = resampled(log_q, log_weights(trainer, cell.weight * scores), wanted)
        of_candidates = {"kl_of_candidates": kl, "kl_of_candidates_error": kl_error}
    q = np.exp(log_q)
    return {
        "cell": cell.name,
        "seed": seed,
        "steps": steps,
        "kl": binding.divergence(log_q, wanted),
        "kl_error": error,
        **of_candidates,
        "kl_of_data": binding.divergence(binding.chain_log_prob(), wanted),
        "mean_reward": float(q @ scores),
        "mean_reward_of_target": float(np.exp(wanted) @ scores),
        "entropy": float(-(q @ log_q)),
        "entropy_of_target": float(-(np.exp(wanted) @ wanted)),
        "cpu_seconds": round(seconds, 1),
        "machine": f"{platform.machine()}, one thread",
    }


def main() -> None:
    """Train the chosen cells, and keep a record of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, help="the assay, as `binding.load_scores` reads it")
    parser.add_argument("--cells", nargs="+", default=["*"], help="which, such as 'anchored/*' or '*/0.5'")
    parser.add_argument("--steps", type=int, default=4000, help="of each training")
    parser.add_argument("--seed", type=int, default=0, help="of all chance")
    parser.add_argument("--records", type=Path, default=Path("docs/laboratory/targets.jsonl"), help="where they go")
    options = parser.parse_args()
    scores = binding.load_scores(options.scores)
    chosen = [cell for cell in cells() if any(fnmatch(cell.name, pattern) for pattern in options.cells)]
    if not chosen:
        names = ", ".join(cell.name for cell in cells())
        raise InputError(f"cells must name some of {names}, got {' '.join(options.cells)}")
    for cell in chosen:
        record = measure(cell, scores, options.steps, options.seed)
        known = options.records.read_text(encoding="utf-8") if options.records.is_file() else ""
        replace_text(options.records, known + json.dumps(record) + "\n")
        print(f"{cell.name}: KL to the target {record['kl']:.4f} nats, {record['cpu_seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
