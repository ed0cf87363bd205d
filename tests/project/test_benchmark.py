"""The benchmark: it runs as a user runs it, times what it says, and the figures that do not depend on speed hold."""

import importlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from in_process import run_script

from bgan_discrete.game.step import generator_loss

ROOT = Path(__file__).resolve().parents[2]
timing: Any = importlib.import_module("benchmarks.timing")
agreement: Any = importlib.import_module("benchmarks.agreement")
step: Any = importlib.import_module("benchmarks.step")
text: Any = importlib.import_module("benchmarks.text")
processes: Any = importlib.import_module("benchmarks.processes")
textbook: Any = importlib.import_module("benchmarks.textbook")
CPU = torch.device("cpu")


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_script("benchmark", *arguments, cwd=ROOT)


def test_a_suite_runs_and_writes_its_files(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    done = benchmark(
        "--suite", "memory", "--scale", "smoke", "--threads", "1", "--device", "cpu", "--output", str(output)
    )
    assert done.returncode == 0, done.stderr
    assert list(json.loads(output.read_text(encoding="utf-8"))["suites"]) == ["memory"]
    assert output.with_suffix(".md").is_file()


@pytest.mark.long
def test_all_suites_run_and_write_tables_figures_and_a_plot(tmp_path: Path) -> None:
    output = tmp_path / "new" / "bench.json"
    done = benchmark("--scale", "smoke", "--threads", "1", "--device", "cpu", "--output", str(output))
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text(encoding="utf-8"))
    assert list(found["suites"]) == ["estimator", "step", "text", "generate", "metrics", "memory", "processes"]
    assert found["machine"]["threads"] == 1
    for suite in found["suites"].values():
        assert suite["tables"] and suite["claims"]
        assert all(claim["holds"] for claim in suite["claims"])
    report = output.with_suffix(".md").read_text(encoding="utf-8")
    assert "## A training step of images" in report and "times floor" in report
    assert report in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--output", "bench.txt"), "output must be a .json file, got 'bench.txt'"),
        (("--threads", "0"), "threads must lie in 1 to 1024, got 0"),
        (("--device", "tpu9"), "device 'tpu9' cannot be used"),
        (("--suite", "speed"), "suite"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = benchmark("--scale", "smoke", *arguments)
    assert done.returncode == 2
    assert told in done.stderr and "Traceback" not in done.stderr


@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="needs a machine without two CUDA devices")
def test_two_processes_are_not_measured_on_one_accelerator() -> None:
    found = processes.run(torch.device("cuda"), timing.SCALES["smoke"])
    assert "not measured" in timing.markdown({"processes": found}, {})
    assert not found.tables and not found.claims


def test_what_failed_in_a_process_is_told_rather_than_the_rule_below_it() -> None:
    told = "Traceback (most recent call last):\n[rank1]: bgan_discrete.errors.InputError: batch_size\n...\n=====\n"
    assert processes._reason(told) == "[rank1]: bgan_discrete.errors.InputError: batch_size"
    assert processes._reason("killed\n-----\n") == "killed"
    assert processes._reason("") == "it said nothing"


def test_contenders_take_turns_in_both_orders() -> None:
    called: list[str] = []
    found = timing.interleave({name: (lambda name=name: called.append(name)) for name in "ab"}, 4, CPU)
    assert all(len(seconds) == 4 and min(seconds) > 0 for seconds in found.seconds.values())
    turns = [name for name, before in zip(called, [None, *called], strict=False) if name != before]
    # a and b to warm up, then a b, b a, a b, b a: neighbours of one name are one turn.
    assert "".join(turns) == "abababa"
    assert found.ratio("a", "a") == 1


def test_a_ratio_is_that_of_the_rounds_not_of_the_medians() -> None:
    found = timing.Timing({"slow": [2.0, 20.0, 6.0], "fast": [1.0, 10.0, 2.0]})
    assert found.ratio("slow", "fast") == 2
    assert found.median("slow") == 6


def test_growth_is_an_exponent_or_a_slope() -> None:
    sizes = [1.0, 2.0, 4.0, 8.0]
    assert timing.exponent(sizes, [3 * x**1.5 for x in sizes]) == pytest.approx(1.5)
    assert timing.slope(sizes, [5 + 0.25 * x for x in sizes]) == pytest.approx(0.25)


def test_living_tensors_are_counted_and_dead_ones_are_not() -> None:
    def run() -> None:
        for _ in range(5):
            torch.zeros(1000)
        kept = [torch.zeros(1000) for _ in range(3)]
        kept[0].view(10, 100).add_(1)

    assert timing.peak_bytes(run, CPU) == 3 * 4000


def test_a_claim_that_is_missed_says_so() -> None:
    result = timing.SuiteResult("x", claims=[timing.Claim("a", 2.0, 3.0, True), timing.Claim("b", 2.0, 3.0, False)])
    report = timing.markdown({"x": result}, {})
    assert "- a: 2 (wanted: at least 3; missed)" in report
    assert "- b: 2 (wanted: at most 3)" in report


@pytest.mark.parametrize("num_categories", [2, 16])
def test_memory_grows_with_the_codes_alone(num_categories: int) -> None:
    """From M = 10 to M = 100 at a fixed number of samples scored at a time: the codes, and at most a fifth more."""
    peaks = []
    for num_draws in (10, 100):
        bench = step.Bench(step.Setup(32, num_categories, num_draws, 64, 2), CPU)
        bench.players.score_chunk = 64
        bench.ours()
        peaks.append(timing.peak_bytes(bench.ours, CPU))
    assert peaks[1] - peaks[0] <= 1.2 * 90 * 64 * 1024


def test_a_large_vocabulary_needs_a_small_multiple_of_one_tensor_of_logits() -> None:
    """With M = 16 draws, less than five tensors ``[N, L, K]`` beside the networks; all logits would be sixteen."""
    bench = text.Bench(text.Setup(16, 8000, 16, 16, 16), CPU)
    one = 4 * 16 * 16 * 8000
    networks = sum(p.numel() * 4 for net in (bench.generator, bench.discriminator) for p in net.parameters())
    assert timing.peak_bytes(bench.ours, CPU) - 4 * networks < 5 * one


def test_drawing_by_prefix_gives_the_distribution_that_cached_drawing_gives() -> None:
    bench = text.Bench(text.Setup(3, 4, 3, 2, 8), CPU)
    with torch.no_grad():
        for parameter in bench.generator.parameters():
            parameter.mul_(3)
    torch.manual_seed(1)
    latents = bench.latents[:1].repeat(20_000, 1)
    ours = bench.generator(bench.latents[:1]).sample(20_000, bench.rng)[:, 0].long()
    theirs = textbook.draw_by_prefix(bench.generator.logits, latents, 3)
    place = torch.tensor([16, 4, 1])
    counts = [torch.bincount((codes * place).sum(1), minlength=64) / 20_000 for codes in (ours, theirs)]
    assert (counts[0] - counts[1]).abs().sum() / 2 < 0.03


@pytest.mark.parametrize("discriminator_draws", [None, 1])
@pytest.mark.parametrize("kind", ["images", "text"])
def test_a_textbook_step_has_the_gradients_of_ours(
    kind: str, discriminator_draws: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same draws, which are put in the place of those that it makes."""
    is_text = kind == "text"
    bench = text.Bench(text.Setup(5, 7, 3, 4, 8), CPU) if is_text else step.Bench(step.Setup(8, 3, 4, 4, 4), CPU)
    generator, discriminator = bench.generator.double(), bench.discriminator.double()
    bench.latents = bench.latents.double()
    distribution = generator(bench.latents)
    codes = distribution.sample(bench.setup.num_draws, bench.rng).long()
    own = codes if discriminator_draws is None else distribution.sample(1, bench.rng).long()

    def drawn(*given: Any) -> torch.Tensor:
        if is_text:
            return codes.flatten(0, 1) if len(given[1]) == codes[..., 0].numel() else own.flatten(0, 1)
        found = codes if given[1] == len(codes) else own
        return torch.nn.functional.one_hot(found, bench.setup.num_categories).double()

    monkeypatch.setattr(textbook, "draw_by_prefix" if is_text else "one_hot_draws", drawn)
    bench.textbook(*([] if is_text else ["gumbel"]), discriminator_draws)
    theirs = [p.grad.clone() for network in (generator, discriminator) for p in network.parameters()]
    for network in (generator, discriminator):
        network.zero_grad()
    agreement.move_discriminator(bench, own.flatten(0, 1))
    generator_loss(bench.game, bench.players, generator(bench.latents), codes).loss.backward()
    ours = [p.grad for network in (generator, discriminator) for p in network.parameters()]
    for found, expected in zip(ours, theirs, strict=True):
        # The optimisers' rate is 1e-9, not 0.
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("suite", [step, text])
def test_a_textbook_that_learns_something_else_is_not_timed(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = suite.Bench(suite.SMOKE[0] if suite is step else suite.SMOKE, CPU)
    bench.check()
    name = "losses" if suite is step else "text_losses"
    right = getattr(suite, name)
    for wrong in (lambda d, g: (d, -g), lambda d, g: (-d, g), lambda d, g: (1.1 * d, g)):
        monkeypatch.setattr(suite, name, lambda *given, wrong=wrong: wrong(*right(*given)))
        with pytest.raises(AssertionError):
            bench.check()
