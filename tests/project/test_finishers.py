"""The finishers of a likelihood start: their losses by enumeration, and cells of a few steps."""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bgan_discrete import Game, MLPDiscriminator, Players, SampleSpace, discriminator_step, generator_step
from bgan_discrete.errors import InputError
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.likelihood import likelihood_step
from bgan_discrete.metrics.verdict import Verdict
from bgan_discrete.nn.residual import CausalMLPGenerator, MaskedMLPGenerator

cells: Any = importlib.import_module("experiments.cells")
finishers: Any = importlib.import_module("experiments.finishers")
finishers_game: Any = importlib.import_module("experiments.finishers_game")
generations: Any = importlib.import_module("experiments.finishers_generations")
implicit: Any = importlib.import_module("experiments.finishers_implicit")
rounds: Any = importlib.import_module("experiments.rounds")

K = 3
COUNTS = torch.tensor([5, 1, 2, 1, 3, 1, 2, 1, 4])
"""How often the data have each pair of codes, of 20."""

PAIRS = torch.cartesian_prod(torch.arange(K), torch.arange(K))
DATA = PAIRS.repeat_interleave(COUNTS, 0)
P = COUNTS.double() / COUNTS.sum()


def made(causal: bool, num_positions: int = 2, rounds: int = 2) -> Any:
    torch.manual_seed(0)
    build: Any = CausalMLPGenerator if causal else MaskedMLPGenerator
    generator = build(SampleSpace((num_positions,), K), 2, width=16, depth=1, rounds=rounds, order="left_to_right")
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.normal_(std=0.5)
    return generator


def uniform(causal: bool) -> Any:
    """A reference that gives all pairs the same probability, so that few draws hold each as often as it is due."""
    generator = made(causal)
    with torch.no_grad():
        generator.to_logits.weight.zero_()
        generator.code_bias.zero_()
    return generator


# Generations.


@pytest.mark.usefixtures("float64")
def test_weights_of_an_exact_discriminator_turn_draws_into_the_data() -> None:
    drawn = torch.tensor([2, 4, 3, 3, 1, 5, 2, 3, 1])  # by the frozen generator, of 24
    log_ratio = (P / (drawn / drawn.sum())).log()
    weights = generations.importance_weights(log_ratio.repeat_interleave(drawn) + 7)  # F may be off by a constant
    target = torch.zeros(9).index_add(0, torch.arange(9).repeat_interleave(drawn), weights)
    torch.testing.assert_close(target, P)

    # A generator that is fitted to them is the data's distribution.
    generator, latents = made(causal=True), torch.randn(3, 2)
    optimizer = torch.optim.LBFGS(generator.parameters(), max_iter=150, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        of_draws = implicit.exact_log_prob(generator, latents, PAIRS.repeat_interleave(drawn, 0), None)
        loss = -(weights * of_draws).sum()
        loss.backward()
        return loss

    optimizer.step(loss)
    with torch.no_grad():
        torch.testing.assert_close(implicit.exact_log_prob(generator, latents, PAIRS, None).exp(), P, atol=1e-3, rtol=0)


def test_no_weight_is_more_than_the_root_of_the_count_times_the_mean() -> None:
    log_ratios = torch.zeros(100)
    log_ratios[:10] = 5.0
    log_ratios[0] = 9.0
    weights = generations.importance_weights(log_ratios)
    raw = log_ratios.exp() / log_ratios.exp().sum()
    capped = raw.clamp_max(0.1)
    torch.testing.assert_close(weights, capped / capped.sum())
    assert raw[0] > 0.8 and weights[0] < 0.5


# The implicit discriminator.


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("num_positions", "num_rounds"), [(2, 2), (3, 2), (3, 3)])
def test_log_probs_are_exact_for_the_latents(causal: bool, num_positions: int, num_rounds: int) -> None:
    generator, latents = made(causal, num_positions, num_rounds), torch.randn(4, 2)
    codes = torch.cartesian_prod(*[torch.arange(K)] * num_positions)
    with torch.no_grad():
        whole = implicit.exact_log_prob(generator, latents, codes, None)
        of_latents = generator(latents).log_prob(codes[:, None].expand(-1, 4, -1))
        in_turn = sum(implicit.exact_log_prob(generator, latents, codes, s) for s in range(num_rounds))
    torch.testing.assert_close(whole, torch.logsumexp(of_latents, 1) - np.log(4))
    torch.testing.assert_close(whole.exp().sum(), torch.tensor(1.0))
    torch.testing.assert_close(in_turn, whole)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("causal", [False, True])
def test_where_the_implicit_loss_is_least_the_generator_is_the_data(causal: bool) -> None:
    generator, reference, latents = made(causal), uniform(causal), torch.randn(3, 2)
    optimizer = torch.optim.LBFGS(generator.parameters(), max_iter=200, line_search_fn="strong_wolfe")
    # What the reference draws: all pairs; or, of round 1, all codes after each first one of the data.
    after = torch.stack([DATA[:, 0].repeat_interleave(K), torch.arange(K).repeat(len(DATA))], 1)
    fakes = {None: PAIRS} if causal else {0: PAIRS, 1: after}

    def loss() -> Tensor:
        optimizer.zero_grad()
        losses = [
            implicit.implicit_loss(generator, reference, latents, DATA, fake, number).loss
            for number, fake in fakes.items()
        ]
        torch.stack(losses).sum().backward()
        return torch.stack(losses).sum()

    optimizer.step(loss)
    with torch.no_grad():
        torch.testing.assert_close(implicit.exact_log_prob(generator, latents, PAIRS, None).exp(), P, atol=1e-3, rtol=0)


@pytest.mark.parametrize("causal", [False, True])
def test_opponents_are_draws_of_the_reference(causal: bool) -> None:
    reference, latents, rng = made(causal), torch.randn(3, 2), torch.Generator().manual_seed(0)
    real = torch.tensor([[1, 2]]).expand(6000, 2)
    with torch.no_grad():
        probs = implicit.exact_log_prob(reference, latents, PAIRS, None).exp().view(K, K)
    whole = implicit.opponents(reference, latents, real, None, rng).long()
    first = implicit.opponents(reference, latents, real, 0, rng).long()
    second = implicit.opponents(reference, latents, real, 1, rng).long()
    assert (first[:, 1] == K).all() and (second[:, 0] == 1).all()
    for drawn, wanted in (
        (whole[:, 0] * K + whole[:, 1], probs.flatten()),
        (first[:, 0], probs.sum(1)),
        (second[:, 1], probs[1] / probs[1].sum()),
    ):
        shares = torch.bincount(drawn, minlength=len(wanted)) / 6000
        assert (shares - wanted).abs().max() < 4 * (wanted.max() / 6000).sqrt()


# The anchored game.


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("causal", [False, True])
def test_the_anchored_gradient_is_the_sum_of_both(causal: bool) -> None:
    generator, discriminator = made(causal), MLPDiscriminator(SampleSpace((2,), K), width=8, partial=True)
    still: Any = [torch.optim.SGD(network.parameters(), lr=0.0) for network in (generator, discriminator)]
    players = Players(generator, discriminator, *still)
    game, latents = Game(make_estimator("jeffreys"), num_draws=4), torch.randn(len(DATA), 2)

    def gradients() -> list[Tensor]:
        return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in generator.parameters()]

    finishers_game.anchored_step(game, players, DATA, latents, rng=torch.Generator().manual_seed(1), weight=2.5)
    together, rng = gradients(), torch.Generator().manual_seed(1)
    discriminator_step(game, players, DATA, latents, rng=rng)
    generator_step(game, players, latents, rng=rng)
    of_game = gradients()
    likelihood_step(players, DATA, latents, rng=rng)
    for both, one, other in zip(together, of_game, gradients(), strict=True):
        torch.testing.assert_close(both, one + 2.5 * other)
    assert any(one.abs().max() > 0 for one in of_game)


# Cells.


def test_the_game_comes_with_each_estimator_that_is_right_in_rounds() -> None:
    assert {"game_jeffreys", "game_bgan_centered", "game_rloo"} <= set(finishers.FINISHERS)
    assert not {"game_reinforce", "game_maligan", "game_unknown"} & set(finishers.FINISHERS)


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Levels of random signs and rows of a table, networks of few numbers, and generations of few samples."""
    rng = np.random.default_rng(0)
    for folder in ("sokoban", "tables"):
        (tmp_path / folder).mkdir()
    for split, count in (("train", 120), ("test", 60)):
        np.save(tmp_path / "sokoban" / f"{split}.npy", rng.integers(0, 5, (count, 10, 10)).astype(np.uint8))
        lines = [",".join("abc"[code] for code in row) for row in rng.integers(0, 3, (count, 9))]
        (tmp_path / "tables" / f"nursery_{split}.csv").write_text(
            "\n".join([",".join(f"column{i}" for i in range(9)), *lines]) + "\n", encoding="utf-8"
        )
    for name, width in (("sokoban", 8), ("nursery", 16)):
        small = dataclasses.replace(finishers.DATA_SETS[name], sizes={"width": width, "depth": 1}, samples=20)
        monkeypatch.setitem(finishers.DATA_SETS, name, dataclasses.replace(small, batch_size=8))
    few = generations.Generations(count=2, look_every=1, pool=30, seen_by_discriminator=10, sets=2, judged=12)
    monkeypatch.setitem(finishers.FINISHERS, "generations", finishers.Finisher(generations.by_generations, few))
    monkeypatch.setattr(rounds, "SCORED", 8)
    torch.set_num_threads(1)
    return tmp_path


def run(data_dir: Path, *names: str) -> list[dict[str, Any]]:
    laboratory = finishers.Laboratory(data_dir, data_dir / "cache", rounds.Spending(4, 2, in_steps=True))
    cells.run_cells(names, laboratory, data_dir / "results.jsonl", finishers.CELLS)
    records: list[dict[str, Any]] = cells.read_records(data_dir / "results.jsonl")
    return records


@pytest.mark.parametrize("cell", ["game_jeffreys", "anchored", "generations", "implicit"])
@pytest.mark.parametrize("setup", ["sokoban_10", "nursery_causal"])
def test_a_cell_is_measured_next_to_its_start_and_its_twin(data_dir: Path, setup: str, cell: str) -> None:
    [record] = run(data_dir, f"{setup}/{cell}/0")
    assert (record["budget"], record["total"], record["steps"]) == ("2 + 4 steps", 6, 4)
    assert record["figures"]["nats of held-out"] > 0 and "floor" in record["references"]
    if setup == "sokoban_10" and cell in ("generations", "implicit"):
        again = finishers.Laboratory(data_dir, data_dir / "cache", rounds.Spending(4, 2, in_steps=True))
        assert again.measure(finishers.Cell(setup, cell, 0))["figures"] == record["figures"]


def test_the_report_compares_with_start_and_twin(data_dir: Path) -> None:
    records = run(data_dir, *(f"sokoban_10/{finisher}/[01]" for finisher in ("start", "twin", "implicit")))
    assert [record["total"] for record in records] == [2, 2, 6, 6, 6, 6]
    assert sorted(path.name.split("-")[-1] for path in (data_dir / "cache").iterdir()) == [
        "2steps.pt", "2steps.pt", "6steps.pt", "6steps.pt",
    ]  # fmt: skip
    text = finishers.render(records)
    assert "| start | 2 steps | 2 | 0, 1 |" in text and "| implicit | 2 + 4 steps | 4 | 0, 1 |" in text
    assert text.count("- 2 + 4 steps: right counts of implicit") == 2 and ", twin 0" in text and "| floor |" in text


@pytest.mark.parametrize("is_better", [False, True])
def test_a_generation_is_kept_if_the_judge_prefers_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, is_better: bool
) -> None:
    values = iter([5.0, 4.0, 4.5] if is_better else [5.0, 5.5, 4.95])
    monkeypatch.setattr(generations.Judge, "__call__", lambda self, generator: Verdict(next(values), 0.1))
    laboratory = finishers.Laboratory(data_dir, data_dir / "cache", rounds.Spending(4, 2, in_steps=True))
    cell = finishers.Cell("sokoban_10", "generations", 0)
    start, made = laboratory.by_likelihood(cell, 2)["generator"], laboratory.trained(cell)
    assert [one["accepted"] for one in made["seen"]] == [float(is_better), 0.0]
    assert all(torch.equal(made["generator"][name], start[name]) for name in start) is not is_better


def test_unknown_cells_are_refused(data_dir: Path) -> None:
    with pytest.raises(InputError, match=r"cells must match names such as captions_4/start/0 .*, got 'mars/\*'"):
        run(data_dir, "mars/*")
