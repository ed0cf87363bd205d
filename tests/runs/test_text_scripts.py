"""Whole runs of the text scripts, from another directory than theirs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import warm_start
import yaml
from in_process import ran, refused

from bgan_discrete import Pipeline
from bgan_discrete.config import TextDataConfig
from bgan_discrete.errors import InputError
from bgan_discrete.runs.evaluate import evaluate

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--max-steps", "6", "--num-draws", "3", "--batch-size", "8", "--generator-width", "8",
         "--discriminator-width", "8", "--log-interval", "2", "--sample-interval", "3", "--threads", "1",
         "--device", "cpu", "--num-samples", "60")  # fmt: skip
WINDOWS = ("--layout", "window", "--length", "8")
SHOT = ("--generator", "conv")
GRU = ("--generator", "gru", "--generator-depth", "1", "--discriminator", "gru", "--discriminator-depth", "1",
       "--credit", "prefix", "--phases", "likelihood=0.34,discriminator=0.16,game")  # fmt: skip
MLP = ("--generator", "mlp", "--discriminator", "mlp", "--latent-kind", "binary",
       "--latent-size", "6", "--logit-spread", "2")  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a one-shot run of windows, and an autoregressive run of lines in pieces."""
    folder = tmp_path_factory.mktemp("a folder")
    (folder / "lines.txt").write_text("".join(f"the {n} red cats of {n * 7}\n" for n in range(300)), encoding="utf-8")
    ran("train_text", "--dataset", "arithmetic", *WINDOWS, *SHOT, "--output-dir", "shot", *QUICK, cwd=folder)
    ran("train_text", "--dataset", "lines.txt", "--tokenizer", "sentencepiece", "--vocabulary-size", "300", "--length",
        "12", "--output-dir", "gru", *GRU, *QUICK, cwd=folder)  # fmt: skip
    return folder


@pytest.mark.parametrize("name", ["shot", "gru"])
def test_a_run_leaves_all_that_it_promises(place: Path, name: str) -> None:
    folder = place / name
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files >= {
        "config.yaml", "metrics.jsonl", "report.json", "samples.txt", "samples/step-0000003.txt",
        "samples/step-0000006.txt", "checkpoints/step-00000006/state.pt",
        "checkpoints/step-00000006/manifest.json", "model/codec.json", "model/config.json", "model/model.safetensors",
        "model/manifest.json",
    }  # fmt: skip
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert {"Markov 1", "Markov 5"} <= set(report["figures"]["jsd_4"]["baselines"])
    assert ("valid" in report["figures"]) == (name == "shot")
    assert len(report["dataset_digest"]) == 64
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert ("likelihood_loss" in lines[0]) == (name == "gru")
    assert all("d_real" in line for line in lines[1:])
    assert yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["estimator"] == "jeffreys"


@pytest.mark.parametrize(
    "kind",
    [
        (),
        pytest.param(GRU[:-2], marks=pytest.mark.long),
        pytest.param(MLP, marks=pytest.mark.long),
        pytest.param((*MLP[2:-2], "--generator", "gru"), marks=pytest.mark.long),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, kind: tuple[str, ...]) -> None:
    common = ("--dataset", "arithmetic", *WINDOWS, *kind, *QUICK, "--num-samples", "0", "--checkpoint-interval", "1",
              "--lr-decay", "none", "--keep", "last", "--phases", "game", "--keep-last", "9", "--log-interval",
              "9")  # fmt: skip
    ran("train_text", *common, "--output-dir", "whole", cwd=tmp_path)
    ran("train_text", *common, "--output-dir", "parts", "--max-steps", "2", cwd=tmp_path)
    ran("train_text", "--output-dir", "parts", "--resume", "latest", "--max-steps", "6", cwd=tmp_path)
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_samples_go_to_stdout_and_everything_else_does_not(place: Path) -> None:
    arguments = ("--model", "shot/model", "--num-samples", "7", "--seed", "3")
    done = warm_start.run([str(ROOT / "scripts/generate_text.py"), *arguments], place)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert {len(line) for line in lines} == {8}
    assert lines == Pipeline.from_pretrained(place / "shot" / "model").generate(7, seed=3).values
    for name, more in (("again.txt", ()), ("sharp.txt", ("--top-k", "1"))):
        ran("generate_text", *arguments, *more, "--output", name, cwd=place)
        assert ((place / name).read_text(encoding="utf-8") == done.stdout) == (name == "again.txt")


def test_samples_that_end_early_and_latents_that_are_few(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("".join(f"{n} cats\n" for n in range(200)), encoding="utf-8")
    ran("train_text", "--dataset", "lines.txt", "--length", "9", *MLP, *QUICK, "--latent-size", "1", "--output-dir",
        "r", cwd=tmp_path)  # fmt: skip
    pipeline = Pipeline.from_pretrained(tmp_path / "r" / "model")
    texts = pipeline.generate(400, temperature=0.01).values
    assert len(set(texts)) == 2
    assert "needs an autoregressive generator" in refused(
        "generate_text", "--model", "r/model", "--prompt", "1", cwd=tmp_path
    )


def test_samples_that_do_not_reach_their_reader_are_no_success(place: Path) -> None:
    program = f'"{sys.executable}" "{ROOT}/scripts/generate_text.py" --model shot/model --num-samples 50000 --threads 1'
    command = f"{program} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=place, timeout=120)
    assert len(done.stdout.splitlines()) == 1
    assert done.returncode == 141
    assert done.stderr == "generate_text.py: error: the reader of stdout went away before all was written\n"


def test_files_and_prompts(place: Path) -> None:
    ran("generate_text", "--model", "gru/model", "--num-samples", "5", "--prompt", "the 1", "--output", "made.jsonl",
        "--temperature", "0.7", "--top-p", "0.9", cwd=place)  # fmt: skip
    texts = [json.loads(line)["text"] for line in (place / "made.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(texts) == 5
    assert all(text.startswith("the 1") for text in texts)
    done = ran("generate_text", "--model", "gru/model", "--num-samples", "5", "--output", "made.txt", cwd=place)
    assert done.stdout == "5 samples: made.txt\n"
    assert len((place / "made.txt").read_text(encoding="utf-8").split("\n")) == 6


def test_samples_with_line_breaks_stay_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a\nb\n" * 400, encoding="utf-8")
    ran("train_text", "--dataset", "text.txt", "--holdout", "text.txt", "--unit", "text", *WINDOWS, *QUICK,
        "--num-samples", "0", "--log-interval", "9", "--output-dir", "r", cwd=tmp_path)  # fmt: skip
    for name in ("samples.txt", "samples/step-0000003.txt"):
        lines = (tmp_path / "r" / name).read_text(encoding="utf-8").splitlines()
        assert len(lines) in (64, 100)
        assert any("\\n" in line for line in lines)


def test_evaluation_beside_another_model_and_over_temperatures(place: Path) -> None:
    ran("evaluate_text", "--model", "gru/model", "--against", "gru/model", "--dataset", "lines.txt", "--num-samples",
        "40", "--sweep-temperature", "--output", "report.json", cwd=place)  # fmt: skip
    report = json.loads((place / "report.json").read_text(encoding="utf-8"))
    assert all(figure["baselines"]["against"] == figure["value"] for figure in report["figures"].values())
    assert [point["temperature"] for point in report["sweep"]["model"]] == sorted(
        {0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2}
    )
    assert (place / "report.png").is_file()


def test_tokens_that_the_model_does_not_know_are_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = TextDataConfig(dataset=str(place / "lines.txt"))
    evaluate(place / "shot" / "model", data, 20, None, device="cpu")
    share = re.search(r"unknown: ([0-9.]+)% of the held-out tokens", capsys.readouterr().out)
    assert share and 50 < float(share[1]) < 95, "the model of equations knows no letters"


def test_the_wgan_gp_protocol(place: Path) -> None:
    said = ran("evaluate_text", "--model", "shot/model", "--dataset", "arithmetic", "--holdout", "0.2", "--num-samples",
               "50", "--protocol", "wgan-gp", cwd=place).stdout  # fmt: skip
    assert "640 samples of 32 characters, floor: JSD-1" in said
    assert "distinct valid" in said


def test_bad_input_to_a_training_is_one_line(place: Path) -> None:
    (place / "empty.txt").write_text("")
    (place / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    for arguments, words in (
        (("--dataset", "empty.txt"), "no documents"),
        (("--dataset", "latin.txt"), "byte 0xe9 at offset 3"),
        (("--dataset", "lines.txt", "--layout", "window", "--length", "99"), "a window has length = 99"),
        (("--dataset", "lines.txt", "--tokenizer", "sentencepiece", "--vocabulary-size", "9999"), "at most"),
        (("--dataset", "absent.txt"), "neither"),
        (("--length", "0"), "length must be between 1 and 65536"),
        (("--unit", "text"), "needs layout 'window'"),
        (("--entropy-weight", "0.1"), "this option is no more: leave it out"),
        (("--credit", "sample", "--escort", "0.5"), "escort needs credit 'alternatives'"),
        (("--escort", "1.5"), "escort must be between 1e-06 and 1"),
        (("--generator", "lstm"), "--generator"),
        (("--credit", "sample", "--discriminator", "mlp"), "discriminator 'mlp' needs credit 'alternatives'"),
        (("--estimator", "maligan"), "needs an estimator with a limit"),
        ((*SHOT, "--num-draws", "1"), "num_draws must be at least 2"),
        (("--generator", "gru", "--logit-spread", "1"), "logit_spread applies to the generators conv and mlp"),
        (("--logit-spread", "0"), "logit_spread must be above 0"),
        (("--generator", "gru", "--phases", "likelihood=1,game"), "above 0 that add up to 1"),
        (("--tokenizer", "words"), "tokenizer must be 'char', 'sentencepiece' or a .model file, got 'words'"),
        (("--column", "text"), "column is for data sets of the Hub"),
        (("--num-samples", "1"), "num_samples must be 0"),
    ):
        assert words in refused("train_text", *arguments, "--output-dir", "none", cwd=place)
    assert not (place / "none").exists()
    assert "holds another run" in refused("train_text", "--output-dir", "shot", cwd=place)
    assert "changed: length" in refused(
        "train_text", "--output-dir", "shot", "--resume", "latest", "--length", "9", cwd=place
    )


def test_bad_input_to_generation_is_one_line(place: Path) -> None:
    shot, gru = ("--model", "shot/model"), ("--model", "gru/model")
    for arguments, words in (
        ((*shot, "--prompt", "1"), "needs an autoregressive generator"),
        ((*shot, "--temperature", "0"), "temperature must be above 0"),
        ((*shot, "--temperature", "-1"), "temperature must be above 0"),
        ((*shot, "--top-k", "0"), "top_k"),
        ((*shot, "--top-p", "1.5"), "top_p"),
        ((*shot, "--num-samples", "0"), "num_samples"),
        ((*shot, "--output", "absent/file.txt"), "output must be a file"),
        ((*gru, "--prompt", "the red cats of the red cats of the red cats"), "at most 12 tokens"),
        (("--model", "absent"), "is not a folder"),
    ):
        assert words in refused("generate_text", *arguments, cwd=place)


def test_a_prompt_of_unknown_characters_is_named(tmp_path: Path) -> None:
    ran("train_text", "--dataset", "arithmetic", *WINDOWS, *GRU, *QUICK, "--num-samples", "0", "--output-dir", "r",
        cwd=tmp_path)  # fmt: skip
    pipeline = Pipeline.from_pretrained(tmp_path / "r" / "model")
    with pytest.raises(InputError, match="vocabulary lacks: 'x', 'z'"):
        pipeline.generate(1, prompt="1xz")
    assert all(text.startswith("17+") for text in pipeline.generate(20, prompt="17+").values)


def test_a_model_of_text_is_none_of_images(place: Path) -> None:
    said = refused("generate_images", "--model", "shot/model", "--output", "x.png", cwd=place)
    assert "is one of text, not of images" in said
