"""A verifier that takes its time, in processes of its own: what a step costs next to the step and the verifier alone.

    python scripts/trials/slow_verifier.py

Each step draws new samples, so that nothing is known of them. The larger of the step alone, with a verifier that
answers at once, and of (new draws x 10 ms / processes) is what a step would cost if both went on side by side.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor

from bgan_discrete import Game, SampleSpace, Target, adversarial_step, make_estimator
from bgan_discrete.game.players import Players
from bgan_discrete.game.targets import Answers, Program, at_once
from bgan_discrete.nn import MLPDiscriminator
from bgan_discrete.nn.residual import CausalMLPGenerator
from bgan_discrete.programs import Program as OwnProgram

SLEEP = 0.01


def patient(rows: np.ndarray) -> np.ndarray:
    """Every other sample is valid, after a while."""
    time.sleep(SLEEP * len(rows))
    return rows.sum(1) % 2 == 0


def in_processes(program: OwnProgram) -> Program:
    """The program as a target asks it."""

    def ask(codes: Tensor) -> Answers:
        pending = program.submit(codes.numpy(), lambda rows: rows)
        return lambda: torch.from_numpy(pending.result())

    return ask


def seconds_of_steps(verifier: Program, num_latents: int, num_draws: int, steps: int, width: int) -> list[float]:
    """Seconds of each of some steps, after one that does not count."""
    torch.manual_seed(0)
    space = SampleSpace((24,), num_categories=8)
    generator = CausalMLPGenerator(space, 4, width, 2, rounds=24, order="left_to_right", cut="equal")
    discriminator = MLPDiscriminator(space, width=width, depth=2)
    adam = torch.optim.Adam
    players = Players(generator, discriminator, adam(generator.parameters()), adam(discriminator.parameters()))
    game = Game(make_estimator("rloo"), num_draws=num_draws, target=Target(verifier))
    rng, found = torch.Generator().manual_seed(0), []
    for _ in range(steps + 1):
        real = torch.randint(0, 8, (num_latents, 24), dtype=torch.uint8, generator=rng)
        began = time.perf_counter()
        adversarial_step(game, players, real, torch.randn(num_latents, 4, generator=rng), rng=rng)
        found.append(time.perf_counter() - began)
    return found[1:]


def main() -> None:
    """Measure, in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2, help="that run the verifier")
    parser.add_argument("--steps", type=int, default=10, help="of each measurement")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 512], help="of both networks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for width in options.widths:
        for num_latents, num_draws in ((16, 2), (16, 8), (64, 8)):
            alone = statistics.median(
                seconds_of_steps(
                    at_once(lambda codes: codes.sum(1) % 2 == 0), num_latents, num_draws, options.steps, width
                )
            )
            with OwnProgram("trials.slow_verifier:patient", options.processes, name="verifier") as program:
                both = statistics.median(
                    seconds_of_steps(in_processes(program), num_latents, num_draws, options.steps, width)
                )
                new = program.usage.new / (options.steps + 1)
            verifier = new * SLEEP / options.processes
            what = f"width {width}, N = {num_latents}, M = {num_draws}: step {alone:.3f} s, verifier {verifier:.3f} s"
            print(
                f"{what}, both {both:.3f} s: {both / max(alone, verifier):.2f} of the larger",
                flush=True,
            )


if __name__ == "__main__":
    main()
