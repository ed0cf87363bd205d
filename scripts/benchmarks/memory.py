"""Memory against the number of draws, at a fixed number of samples scored at a time."""

import torch
from benchmarks.step import SMOKE, Bench, Setup
from benchmarks.timing import Claim, Scale, SuiteResult, peak_bytes, show_bytes
from experiments.laboratory import Table

SETUPS = (Setup(32, 16, width=16), Setup(28, 2, width=16))
DRAWS = (10, 20, 50, 100)


def run(device: torch.device, scale: Scale) -> SuiteResult:
    """The peak of a whole step at growing M."""
    result = SuiteResult("Memory of a training step against M")
    for setup in SMOKE if scale.is_smoke else SETUPS:
        rows, peaks = [], []
        draws = (2, 4) if scale.is_smoke else DRAWS
        for num_draws in draws:
            bench = Bench(Setup(**{**vars(setup), "num_draws": num_draws}), device)
            bench.players.score_chunk = 64
            bench.ours()  # Adam's state is there from the second step on
            peaks.append(peak_bytes(bench.ours, device))
            codes = num_draws * setup.num_latents * setup.side**2
            rows.append([str(num_draws), show_bytes(peaks[-1]), show_bytes(codes)])
        what = f"{setup.side}x{setup.side}, K = {setup.num_categories}, N = {setup.num_latents}, 64 scored at once"
        result.tables.append(Table(what, ["M", "most bytes of tensors alive at once", "the codes alone"], rows))
        growth = peaks[-1] - peaks[0]
        codes = (draws[-1] - draws[0]) * setup.num_latents * setup.side**2
        result.claims.append(
            Claim(
                f"{setup.side}x{setup.side}, K = {setup.num_categories}: growth of the peak from M = {draws[0]} to "
                f"{draws[-1]}, times that of the codes",
                growth / codes,
                1e9 if scale.is_smoke else 1.2,
                False,
            )
        )
    return result
