"""Several processes: the mathematics of one, real processes, real signals, real deaths."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import warm_start
from comparing import equal
from in_process import run_file
from parallel_program import CASES, run_case

from bgan_discrete import InputError, MLPDiscriminator, MLPGenerator, SampleSpace, TrainingConfig
from bgan_discrete.config import TextTrainingConfig
from bgan_discrete.distributions import RoundsCategorical
from bgan_discrete.game.estimators import make_estimator
from bgan_discrete.game.step import Game
from bgan_discrete.kinds import get_kind
from bgan_discrete.parallel import ALONE, Processes, _describe, _launched, current_processes, join_processes
from bgan_discrete.runs.train import _Run
from bgan_discrete.training.inputs import check_shares
from bgan_discrete.training.setup import check_game, make_game
from bgan_discrete.training.state import stream_seed

ROOT = Path(__file__).resolve().parent.parent
TRAIN = [
    "scripts/train_images.py", "--dataset", "digits", "--batch-size", "16", "--num-draws", "3",
    "--generator-width", "4",
    "--generator-depth", "1", "--discriminator-width", "4", "--discriminator-depth", "1", "--latent-size", "4",
    "--sample-interval", "0", "--num-samples", "0", "--threads", "1", "--device", "cpu",
]  # fmt: skip
TEXT = [
    "scripts/train_text.py", "--dataset", "arithmetic", "--limit", "300", "--length", "8", "--layout", "window",
    "--generator-width", "8", "--generator-depth", "1", "--discriminator-width", "8", "--discriminator-depth", "1",
    "--batch-size", "8", "--num-samples", "0", "--sample-interval", "0", "--threads", "1", "--device", "cpu",
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start(arguments: list[str], size: int = 2, **variables: str) -> list[warm_start.Started]:
    """Processes that a launcher would start: each knows its number and where the first one is."""
    common = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    common |= {"MASTER_PORT": str(free_port()), "WORLD_SIZE": str(size), **variables}
    return [
        warm_start.Started(arguments, ROOT, {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(size)
    ]  # fmt: skip


def finish(processes: list[warm_start.Started], timeout: float = 120) -> list[tuple[int, str, str]]:
    try:
        ends = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *end) for process, end in zip(processes, ends, strict=True)]


def outputs(arguments: list[str]) -> list[str]:
    """What each of two processes printed that end well."""
    found = finish(start(arguments))
    assert [code for code, *_ in found] == [0, 0], found
    return [said for _, said, _ in found]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes found, each with half of every batch."""
    folder = tmp_path_factory.mktemp("two")
    outputs(["tests/support/parallel_program.py", str(folder)])
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_two_processes_with_half_the_batch_do_what_one_does_with_the_whole(
    two: list[dict[str, Any]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("FactorizedCategorical", "SequenceCategorical"):
        owner = getattr(sys.modules["bgan_discrete.distributions"], kind)
        monkeypatch.setattr(owner, "sample", owner.sample)  # put back after the test
    owner = sys.modules["bgan_discrete.distributions.autoregressive"].AutoregressiveCategorical  # type: ignore[attr-defined]
    monkeypatch.setattr(owner, "sample", owner.sample)
    monkeypatch.setattr(RoundsCategorical, "in_play", RoundsCategorical.in_play)
    expected = run_case(name, ALONE)
    moved = 0
    for parts in (1, 2):
        if f"{name} x {parts}" not in two[0]:
            assert "continuous" in CASES[name]
            continue
        for found in (rank[f"{name} x {parts}"] for rank in two):
            assert found.keys() == expected.keys()
            for key, value in expected.items():
                if isinstance(value, torch.Tensor):
                    torch.testing.assert_close(
                        found[key], value, rtol=1e-6, atol=1e-9, msg=lambda text, k=key: f"{k}: {text}"
                    )
                    moved += key.startswith("gradient") and bool(value.abs().max() > 1e-7)
    assert moved > 4, "gradients that are all zero would prove nothing"
    alone = run_case(name, ALONE, 1 if "continuous" in CASES[name] else 4)
    for key, value in expected.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(alone[key], value, rtol=1e-6, atol=1e-9)


def test_an_estimator_of_a_whole_batch_must_know_of_the_processes() -> None:
    space, ours = SampleSpace((4,), 3), Processes(0, 2)

    def check(game: Game) -> None:
        check_game(game, TrainingConfig(), MLPGenerator(space), MLPDiscriminator(space), ours)

    for name, over in (("maligan", "latent"), ("reinforce", "latent"), ("bgan", "batch")):
        alone = make_estimator(name, normalization=over)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=f"the estimator '{name}' weighs a whole batch, which 2 processes share"):
            check(Game(alone))
        check(Game(make_estimator(name, normalization=over, processes=ours)))  # type: ignore[arg-type]
    check(Game(make_estimator("rloo")))
    check(make_game(TrainingConfig(estimator="maligan"), ours))


def test_batch_normalisation_that_processes_cannot_share_is_refused() -> None:
    with pytest.raises(InputError, match="batch normalisation over several processes needs CUDA"):
        Processes(0, 2).replicate(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)))


def test_streams_of_random_numbers_differ_between_processes_and_repeat() -> None:
    seeds = [stream_seed(7, rank) for rank in range(8)]
    assert seeds[0] == 7, "one process trains as it always did"
    assert len({*seeds, *(stream_seed(8, rank) for rank in range(8))}) == 16
    assert seeds == [stream_seed(7, rank) for rank in range(8)]
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_every_row_goes_to_one_process() -> None:
    rows = list(range(12))
    assert [Processes(rank, 3).part(rows) for rank in range(3)] == [rows[:4], rows[4:8], rows[8:]]


def test_a_batch_that_cannot_be_shared_is_refused_with_a_size_that_can() -> None:
    with pytest.raises(InputError, match=r"batch_size must be a multiple of the 3 processes .* such as 63, got 64"):
        check_shares(TrainingConfig(batch_size=64), Processes(0, 3))
    check_shares(TrainingConfig(batch_size=64), Processes(0, 4))


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT is not set"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1"}, "RANK must be below WORLD_SIZE = 2"),
        ({"WORLD_SIZE": "two", "RANK": "0", "MASTER_ADDR": "x", "MASTER_PORT": "1"}, "WORLD_SIZE must be an integer"),
        ({"WORLD_SIZE": "9" * 20, "RANK": "0", "MASTER_ADDR": "x", "MASTER_PORT": "1"}, "WORLD_SIZE must be an int"),
    ],
)
def test_a_launcher_that_says_too_little(variables: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        _launched(variables)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_launcher_that_tells_no_local_number_is_taken_to_have_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, answer in (("get_rank", 3), ("get_world_size", 4), ("new_group", None)):
        monkeypatch.setattr(f"torch.distributed.{name}", lambda answer=answer, **options: answer)
    assert _describe({}, None) == Processes(rank=3, size=4, local_rank=3)
    assert _describe({"LOCAL_RANK": "1"}, None).local_rank == 1


def test_a_device_that_is_not_there_is_refused_before_the_others_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(InputError, match="device 'cuda' cannot be used with several processes: there is no CUDA device"),
        join_processes("cuda", 1.0),
    ):
        pass


def test_alone_there_is_nothing_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_processes("cpu", 1.0) as processes:
        assert processes == ALONE == current_processes()


def test_two_processes_stopped_and_resumed_equal_the_uninterrupted_ones(tmp_path: Path) -> None:
    def train(*more: str) -> list[str]:
        return outputs([*TRAIN, "--output-dir", str(tmp_path / "run"), "--log-interval", "5", *more])

    def last() -> dict[str, Any]:
        from bgan_discrete.training.checkpoint import find_checkpoint, load_checkpoint

        return load_checkpoint(find_checkpoint(tmp_path / "run" / "checkpoints", "latest"), torch.device("cpu"))

    first = train("--max-steps", "12", "--checkpoint-interval", "7", "--keep-last", "9")
    assert "processes:   2, with 8 of each batch of 16" in first[0]
    assert first[1] == "", "one process speaks"
    whole = last()
    kept = sorted((tmp_path / "run" / "checkpoints").iterdir())
    shutil.rmtree(kept[1])
    resumed = train("--resume", "latest")
    assert "at step 7" in resumed[0]
    assert whole["num_processes"] == 2
    assert equal(whole, last())
    streams = whole["processes"]["rng"]
    assert not torch.equal(streams[0], streams[1])
    # Another number of processes goes on, too.
    alone = run_file(*TRAIN, "--output-dir", str(tmp_path / "run"), "--resume", str(kept[0]), cwd=ROOT)
    assert alone.returncode == 0, alone.stderr
    assert "began with 2 processes" in alone.stdout


OWN_NETWORKS = """
import numpy as np, torch
from bgan_discrete import InputError, MLPDiscriminator, MLPGenerator, SampleSpace, Trainer, TrainingConfig
from bgan_discrete.parallel import join_processes
config = TrainingConfig(batch_size=4, num_draws=2, max_steps=3, threads=1, device="cpu")
codes = np.zeros((8, 6), np.uint8)
with join_processes("cpu", 60) as processes:
    space = SampleSpace((6,), 3)
    generator, discriminator = MLPGenerator(space, 4, 8, 1), MLPDiscriminator(space, 8, 1)
    Trainer(generator, discriminator, codes, config, processes=processes)
    print("own numbers:", torch.rand(1).item())
    try:
        other = Trainer(generator, discriminator, codes + processes.rank, config, processes=processes)
        other.state.step = 2 * processes.rank
        other.train(progress=False)
    except InputError as error:
        print(error)
    discriminator.idle = torch.nn.Linear(2, 2)
    try:
        Trainer(generator, discriminator, codes, config, processes=processes).train(progress=False)
    except InputError as error:
        print(error)
"""


def test_networks_of_ones_own_draw_numbers_of_their_own_and_are_trained_alike() -> None:
    first, second = (said.splitlines() for said in outputs(["-c", OWN_NETWORKS]))
    assert first[0] != second[0]
    for lines in (first, second):
        assert lines[1].startswith("the processes of a training must have the same data, step: give all of them")
        assert "several processes: discriminator.idle.weight, discriminator.idle.bias; leave them out" in lines[-1]


TIMED = """
import sys, time
import numpy as np, torch
from bgan_discrete import MLPDiscriminator, MLPGenerator, SampleSpace, Trainer, TrainingConfig
from bgan_discrete.parallel import join_processes
from bgan_discrete.training import stopping
with join_processes("cpu", 60) as processes:
    now, rates = [0.0], []
    stopping.time.monotonic = lambda: now[0]  # a clock for each process, of which the second is twice as fast
    take = Trainer._train_step
    def step(trainer):
        now[0] += 1.0 + processes.rank
        rates.append(round(trainer.state.generator_optimizer.param_groups[0]["lr"], 9))
        return take(trainer)
    Trainer._train_step = step
    def make(folder, **options):
        torch.manual_seed(0)
        space = SampleSpace((6,), 3)
        networks = MLPGenerator(space, 4, 8, 1), MLPDiscriminator(space, 8, 1)
        config = TrainingConfig(batch_size=4, num_draws=2, generator_lr=1e-3, threads=1, device="cpu", **options)
        return Trainer(*networks, np.zeros((8, 6), np.uint8), config, output_dir=folder)
    first = make(sys.argv[1], max_steps=10**6, max_seconds=16.0)
    print(first.train(progress=False).stopped_by, first.step, first.seconds, rates)
    second = make(None, max_steps=2)
    second.start_from(sys.argv[1])
    weights = lambda network: [parameter.detach().clone() for parameter in network.parameters()]
    print(all(map(torch.equal, weights(first.generator), weights(second.generator))),
          second.train(progress=False).steps)
"""


def test_processes_agree_on_the_time_used_and_start_from_the_same_weights(tmp_path: Path) -> None:
    first, second = outputs(["-c", TIMED, str(tmp_path / "run")])
    assert first == second
    # The slowest of them counts, a step later than it has said so: 16 s are used up after eight steps of two seconds.
    shares = [1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    rates = [round(1e-3 * share, 9) for share in shares]
    assert first.splitlines() == [f"max_seconds 9 18.0 {rates}", "True 2"]


JUDGED = """
import numpy as np, torch
from bgan_discrete import MLPDiscriminator, MLPGenerator, SampleSpace, Trainer, TrainingConfig
from bgan_discrete.parallel import join_processes
from bgan_discrete.training import course, judging
from bgan_discrete.metrics.verdict import Judge, Verdict
judging.MIN_HALF, course.LEAST_STEPS, course.SEEN, asked = 10, 1, -100.0, []
with join_processes("cpu", 60) as processes:
    def measure(samples, data):
        asked.append(len(samples))
        return Verdict(float(np.random.rand()), 0.01)  # other numbers in each process, were it asked there
    space = SampleSpace((6,), 3)
    torch.manual_seed(0)
    networks = MLPGenerator(space, 4, 8, 1), MLPDiscriminator(space, 8, 1)
    config = TrainingConfig(
        batch_size=4, num_draws=2, max_steps=20, threads=1, device="cpu", checkpoint_interval=0,
        phases="likelihood=0.3,discriminator=0.2,game",
    )
    codes = np.random.default_rng(0).integers(0, 3, (400, 6)).astype(np.uint8)
    trainer = Trainer(*networks, codes, config, judge=Judge("dice", measure, 8), processes=processes)
    trainer.train(progress=False)
    state = trainer.state
    weights = [float(value.double().sum()) for value in trainer.kept_generator.state_dict().values()]
    print(len(asked) > 3 if processes.is_first else not asked, state.looks, state.choice, state.verdicts, weights)
"""


def test_the_first_process_judges_for_all() -> None:
    first, second = outputs(["-c", JUDGED])
    assert first == second
    assert first.startswith("True [{'step':")


HANGING = """
import dataclasses, os, sys, time
from bgan_discrete import BGANError, parallel
def work():
    if processes.rank == int(sys.argv[1]):
        time.sleep(1000)
parallel.PREPARATION = 0.1  # of the 60 s in which they find each other, on a busy machine
with parallel.join_processes("cpu", 60) as processes:
    parallel.PREPARATION, processes = 2, dataclasses.replace(processes, timeout=3.0)
    try:
        processes.after_the_first(work)
    except BGANError as error:
        print(error, flush=True)
        os._exit(1)
"""


@pytest.mark.parametrize("hung", [0, 1])
def test_a_process_that_hangs_in_its_data_ends_the_others_in_a_bounded_time(hung: int) -> None:
    processes = start(["-c", HANGING, str(hung)], size=3)
    try:
        for rank in {0, 1, 2} - {hung}:
            said = processes[rank].communicate(timeout=100)[0]
            assert processes[rank].returncode == 1
            last = said.splitlines()[-1]
            if rank == 0:
                assert last.startswith("process 1 was lost or did not prepare the data in time")
            else:
                assert "was lost or did not prepare the data in time" in last
    finally:
        for process in processes:
            process.kill()


def test_text_is_read_by_one_process_and_shared(tmp_path: Path) -> None:
    arguments = [*TEXT, "--output-dir", str(tmp_path / "run"), "--max-steps", "4", "--tokenizer", "sentencepiece"]
    arguments += ["--vocabulary-size", "280", "--length", "4"]
    outputs(arguments)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    expected = {"config.yaml", "metrics.jsonl", "model", "checkpoints", "samples.txt", "report.html", "facts.json"}
    assert left == expected | (left & {"curves.png"})


def test_bad_input_ends_all_processes_with_one_message(tmp_path: Path) -> None:
    first, second = finish(start([*TRAIN, "--output-dir", str(tmp_path), "--dataset", str(tmp_path / "none.npy")]))
    assert first[0] == 2
    assert first[2].startswith("train_images.py: error: dataset")
    assert second[0] == 1
    assert second[2] == "train_images.py[1]: error: another process of this training failed, and says why\n"


def test_text_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    config = TextTrainingConfig.from_flat({"dataset": str(tmp_path / "none.txt"), "output_dir": str(tmp_path / "run")})
    with pytest.raises(InputError, match="dataset"):
        _Run(config, get_kind("text"), Processes(0, 2), progress=False)._load(None)
    assert not (tmp_path / "run").exists()


def test_text_that_does_not_fit_on_the_disk_is_not_left_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = tmp_path / "run" / ".codes-0"

    def fill_the_disk(*_: Any) -> None:
        half.mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Processes, "after_the_first", fill_the_disk)
    config = TextTrainingConfig.from_flat({"output_dir": str(tmp_path / "run")})
    with pytest.raises(OSError, match="No space left"):
        _Run(config, get_kind("text"), Processes(0, 2), progress=False)._open(None)
    assert not half.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_one_process_stops_all_after_the_same_step(tmp_path: Path, number: int, code: int) -> None:
    processes = start([*TRAIN, "--output-dir", str(tmp_path), "--max-steps", "1000000", "--log-interval", "1"])
    wait_for(
        lambda: (tmp_path / "metrics.jsonl").exists() and (tmp_path / "metrics.jsonl").stat().st_size > 500, processes
    )
    processes[1].send_signal(number)
    asked = time.monotonic()
    found = finish(processes)
    assert time.monotonic() - asked < 60, "seconds on an idle machine; this one may be busy"
    assert [end[0] for end in found] == [code, code], found
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    assert f"{steps[-1]:08d}" in checkpoint.name


def wait_for(condition: Any, processes: list[Any], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came"
        assert all(process.poll() is None for process in processes), [process.communicate() for process in processes]
        time.sleep(0.05)


def launch(folder: Path, *more: str) -> subprocess.Popen[str]:
    """Two processes under torchrun."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *f"-m torch.distributed.run --nproc-per-node 2 --master-port {free_port()}".split()]
    arguments = [*TRAIN, "--output-dir", str(folder), "--max-steps", "1000000", "--log-interval", "1", *more]
    return subprocess.Popen(
        [*command, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def workers_of(launcher: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text(encoding="utf-8")
    return [int(number) for number in children.split()]


def kill_everybody(launcher: subprocess.Popen[str], workers: list[int]) -> None:
    launcher.kill()
    launcher.communicate()
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the processes")
@pytest.mark.parametrize(
    "fault", ["killed", *(pytest.param(fault, marks=pytest.mark.long) for fault in ("hanging", "terminated"))]
)
def test_torchrun_ends_a_job_whose_process_is_lost(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BGAN_DISCRETE_TIMEOUT", "5")
    launcher = launch(tmp_path)
    workers: list[int] = []
    try:
        log = tmp_path / "metrics.jsonl"
        wait_for(lambda: log.exists() and log.stat().st_size > 500, [launcher])
        workers = workers_of(launcher)
        assert len(workers) == 2
        if fault == "terminated":
            launcher.send_signal(signal.SIGTERM)
        else:
            os.kill(workers[1], signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
        # A stopped process cannot be terminated: the launcher waits 30 s for it, then kills it.
        _, errors = launcher.communicate(timeout={"killed": 60, "hanging": 100, "terminated": 60}[fault])
        assert launcher.returncode not in (0, None)
        if fault == "hanging":
            assert "lost another one, or waited 5 s (BGAN_DISCRETE_TIMEOUT) for it" in errors
        if fault == "terminated":
            (checkpoint,) = (tmp_path / "checkpoints").iterdir()
            last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["step"]
            assert f"{last:08d}" in checkpoint.name
    finally:
        kill_everybody(launcher, workers)
