"""Sampling, weights and surrogate, forward and backward: the method without its networks."""

import torch
from benchmarks.textbook import generator_surrogate, one_hot_draws
from benchmarks.timing import (
    Claim,
    Contender,
    Scale,
    SuiteResult,
    comparison,
    exponent,
    interleave,
    peak_bytes,
    show_bytes,
    show_seconds,
)
from experiments.laboratory import Table
from torch import Tensor
from torch.nn.functional import one_hot

from bgan_discrete.distributions import FactorizedCategorical
from bgan_discrete.game.estimators import make_estimator

Sizes = tuple[int, int, int, int]
"""N, P, K, M."""

MAIN: tuple[tuple[str, Sizes, float], ...] = (
    ("32x32, K = 16, M = 20", (64, 1024, 16, 20), 25),
    ("28x28, K = 2, M = 20", (64, 784, 2, 20), 8),
)
SMOKE: tuple[tuple[str, Sizes, float], ...] = (("8x8, K = 3, M = 4", (4, 64, 3, 4), 0),)

AXES = ("N", "P", "K", "M")
GROWTH: dict[str, list[Sizes]] = {
    "N": [(n, 1024, 16, 20) for n in (16, 32, 64, 128)],
    "P": [(64, p, 16, 20) for p in (256, 512, 1024, 2048)],
    "K": [(64, 1024, k, 20) for k in (2, 4, 8, 16, 32, 64, 128)],
    "M": [(64, 1024, 16, m) for m in (5, 10, 20, 40, 80)],
}
TEXTBOOK_ELEMENTS = 2**27
"""The textbook formulation is left out where its one-hots would have more elements."""


def contenders(sizes: Sizes, device: torch.device) -> dict[str, Contender]:
    """Ours and the textbook formulation in its two forms, on the same logits and log weights."""
    num_latents, positions, categories, num_draws = sizes
    rng = torch.Generator(device).manual_seed(0)
    logits = torch.randn((num_latents, positions, categories), generator=rng, device=device).requires_grad_()
    log_w = torch.randn((num_draws, num_latents), generator=rng, device=device)
    estimator = make_estimator("bgan_centered")
    _assert_same_gradient(logits, log_w)

    def ours() -> None:
        logits.grad = None
        distribution = FactorizedCategorical(logits)
        codes = distribution.sample(num_draws, rng)
        loss = -distribution.weighted_log_prob(codes, estimator(log_w), zero_sum=True).mean()
        loss.backward()

    def textbook(draw: str) -> None:
        logits.grad = None
        log_probs = torch.log_softmax(logits, -1)
        samples = one_hot_draws(log_probs.detach(), num_draws, draw)  # type: ignore[arg-type]
        generator_surrogate(log_probs, samples, log_w).backward()

    found: dict[str, Contender] = {"ours": ours}
    if num_latents * positions * categories * num_draws <= TEXTBOOK_ELEMENTS:
        found["textbook, Gumbel"] = lambda: textbook("gumbel")
        found["textbook, multinomial"] = lambda: textbook("multinomial")
    return found


def _assert_same_gradient(logits: Tensor, log_w: Tensor) -> None:
    distribution = FactorizedCategorical(logits)
    codes = distribution.sample(len(log_w), torch.Generator(logits.device).manual_seed(1))
    advantages = make_estimator("bgan_centered")(log_w)
    (ours,) = torch.autograd.grad(-distribution.weighted_log_prob(codes, advantages, zero_sum=True).mean(), logits)
    log_probs = torch.log_softmax(logits, -1)
    samples = one_hot(codes.long(), logits.shape[-1]).float()
    (theirs,) = torch.autograd.grad(generator_surrogate(log_probs, samples, log_w), logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    # Draws follow the distribution: over all positions, each category as often as its mean probability says.
    counts = torch.bincount(codes.long().flatten(), minlength=logits.shape[-1])
    expected = log_probs.exp().mean((0, 1))
    found = counts / counts.sum()
    spread = (expected * (1 - expected) / counts.sum()).sqrt()
    if bool(((found - expected).abs() > 6 * spread).any()):
        raise AssertionError("draws do not follow the distribution")


def run(device: torch.device, scale: Scale) -> SuiteResult:
    """Compare at the sizes of images, then see how the time grows."""
    result = SuiteResult("Sampling, weights and surrogate")
    for title, sizes, bound in SMOKE if scale.is_smoke else MAIN:
        runs = contenders(sizes, device)
        timing = interleave(runs, scale.rounds, device)
        result.timings[title] = timing.seconds
        result.tables.append(comparison(f"{title}, N = {sizes[0]}", timing, "ours"))
        fastest = min((name for name in runs if name != "ours"), key=timing.median)
        result.claims.append(
            Claim(f"{title}: times ours of the faster textbook form", timing.ratio(fastest, "ours"), bound, True)
        )
        memory = {name: peak_bytes(run, device) for name, run in runs.items()}
        result.tables.append(
            Table(
                f"{title}: most bytes of tensors alive at once",
                ["contender", "peak"],
                [[name, show_bytes(size)] for name, size in memory.items()],
            )
        )
    if not scale.is_smoke:
        _growth(device, scale, result)
    return result


def _growth(device: torch.device, scale: Scale, result: SuiteResult) -> None:
    rows = []
    for axis, all_sizes in GROWTH.items():
        number = AXES.index(axis)
        lines: dict[str, tuple[list[float], list[float]]] = {}
        for sizes in all_sizes:
            timing = interleave(contenders(sizes, device), max(3, scale.rounds // 2), device)
            for name in timing.seconds:
                line = lines.setdefault(name, ([], []))
                line[0].append(sizes[number])
                line[1].append(timing.median(name))
        result.curves.append((f"surrogate: {axis}", axis, "seconds", lines))
        for name, (x, y) in lines.items():
            rows.append([axis, name, ", ".join(map(show_seconds, y)), f"{exponent(x, y):.2f}" if len(x) > 1 else "-"])
    values = {axis: ", ".join(str(sizes[AXES.index(axis)]) for sizes in found) for axis, found in GROWTH.items()}
    result.tables.append(
        Table(
            "How the time grows, all else as at 32x32, K = 16, M = 20 ("
            + "; ".join(f"{axis} = {found}" for axis, found in values.items())
            + ")",
            ["size", "contender", "medians", "exponent"],
            rows,
        )
    )
