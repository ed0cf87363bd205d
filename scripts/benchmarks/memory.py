"""Memory against the number of draws, at a fixed number of samples scored at a time."""

import torch
from benchmarks.step import SMOKE, Game, Players
from benchmarks.timing import Claim, Scale, SuiteResult, peak_bytes, show_bytes
from experiments.laboratory import Table

GAMES = (Game(32, 16, width=16), Game(28, 2, width=16))
DRAWS = (10, 20, 50, 100)


def run(device: torch.device, scale: Scale) -> SuiteResult:
    """The peak of a whole step at growing M."""
    result = SuiteResult("Memory of a training step against M")
    for game in SMOKE if scale.is_smoke else GAMES:
        rows, peaks = [], []
        draws = (2, 4) if scale.is_smoke else DRAWS
        for num_draws in draws:
            players = Players(Game(**{**vars(game), "num_draws": num_draws}), device)
            players.objective.score_chunk = 64
            players.ours()  # Adam's state is there from the second step on
            peaks.append(peak_bytes(players.ours, device))
            codes = num_draws * game.num_latents * game.side**2
            rows.append([str(num_draws), show_bytes(peaks[-1]), show_bytes(codes)])
        what = (
            f"{game.side}x{game.side}, K = {game.num_categories}, N = {game.num_latents}, 64 samples scored at a time"
        )
        result.tables.append(Table(what, ["M", "most bytes of tensors alive at once", "the codes alone"], rows))
        growth = peaks[-1] - peaks[0]
        codes = (draws[-1] - draws[0]) * game.num_latents * game.side**2
        result.claims.append(
            Claim(
                f"{game.side}x{game.side}, K = {game.num_categories}: growth of the peak from M = {draws[0]} to "
                f"{draws[-1]}, times that of the codes",
                growth / codes,
                1e9 if scale.is_smoke else 1.2,
                False,
            )
        )
    return result
