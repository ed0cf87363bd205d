"""Whole runs of the scripts, from another directory than theirs; in a process of their own where that is the point."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm_start
import yaml
from in_process import ran, refused, run_script
from PIL import Image

from bgan_discrete import ConvGenerator, Pipeline
from bgan_discrete.codecs import LevelsCodec
from bgan_discrete.space import SampleSpace

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--max-steps", "6", "--num-draws", "3", "--batch-size", "8", "--generator-width", "8",
         "--discriminator-width", "8", "--log-interval", "2", "--sample-interval", "3", "--threads", "1",
         "--device", "cpu", "--num-samples", "60")  # fmt: skip
BRIEF = (*QUICK, "--num-samples", "0", "--log-interval", "9")
"""Without what takes most of a short run: its evaluation and the picture of its curves."""


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on the digits."""
    folder = tmp_path_factory.mktemp("a folder") / "run"
    done = warm_start.run([str(ROOT / "scripts/train_images.py"), "--output-dir", str(folder), *QUICK], folder.parent)
    assert done.returncode == 0, done.stderr
    (folder.parent / "said.txt").write_text(done.stdout, encoding="utf-8")
    return folder


def test_a_run_leaves_all_that_it_promises(finished: Path) -> None:
    names = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    assert names >= {
        "config.yaml", "metrics.jsonl", "report.json", "samples.png", "samples/step-0000003.png",
        "samples/step-0000006.png", "checkpoints/step-00000006/state.pt", "checkpoints/step-00000006/manifest.json",
        "model/codec.json", "model/config.json", "model/model.safetensors", "model/manifest.json",
    }  # fmt: skip
    options = yaml.safe_load((finished / "config.yaml").read_text(encoding="utf-8"))
    assert (options["num_draws"], options["dataset"], options["estimator"]) == (3, "digits", "bgan_centered")
    assert Image.open(finished / "samples.png").size[0] > 300
    report = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    for name in ("frechet_pixels", "frechet_features", "nearest_neighbour_accuracy", "precision", "coverage"):
        assert {"value", "floor", "baselines", "direction"} <= set(report["figures"][name])
    assert sum(report["class_histogram"].values()) == pytest.approx(1, abs=0.01)


def test_the_table_names_the_model_and_the_picture(finished: Path) -> None:
    said = (finished.parent / "said.txt").read_text(encoding="utf-8")
    for words in ("1-nearest-neighbour two-sample accuracy", "floor", "baseline", "run/samples.png", "run/model"):
        assert words in said


def test_generating_the_same_seed_twice_gives_the_same_samples(finished: Path, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        ran("generate_images", "--model", str(finished / "model"), "--num-samples", "20", "--seed", "5",
            "--output", name, cwd=tmp_path)  # fmt: skip
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert np.array_equal(a["codes"], b["codes"])
        assert (a["codes"].shape, a["codes"].dtype, a["codes"].max() < 17) == ((20, 8, 8), np.uint8, True)
        assert (a["images"].shape, a["images"].dtype) == ((20, 8, 8), np.uint8)


def test_generating_a_grid_and_a_folder(finished: Path, tmp_path: Path) -> None:
    model = str(finished / "model")
    ran("generate_images", "--model", model, "--num-samples", "6", "--columns", "3", "--output", "g/grid.png",
        cwd=tmp_path)  # fmt: skip
    width, height = Image.open(tmp_path / "g" / "grid.png").size
    assert width > height
    ran("generate_images", "--model", model, "--num-samples", "3", "--output", "pictures", cwd=tmp_path)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [f"{i:06d}.png" for i in range(3)]
    assert "new or empty folder" in refused("generate_images", "--model", model, "--output", "pictures", cwd=tmp_path)


def test_evaluating_a_saved_model(finished: Path, tmp_path: Path) -> None:
    done = ran("evaluate_images", "--model", str(finished / "model"), "--dataset", "digits", "--num-samples", "60",
               "--output", "report.json", cwd=tmp_path)  # fmt: skip
    assert "two-sample accuracy" in done.stdout
    again = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    of_run = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    assert again["figures"] == of_run["figures"], "the run's own report is the same evaluation"


def test_preparing_says_what_is_there(tmp_path: Path) -> None:
    said = ran("prepare_data", "--dataset", "digits", cwd=tmp_path).stdout
    for words in ("1,297", "500", "8 x 8", "K = 17"):
        assert words in said


def test_an_interrupted_and_resumed_run_equals_the_whole_one(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # Long enough to be interrupted at a moment that nobody chooses.
    arguments = ["--output-dir", str(folder), *BRIEF, "--max-steps", "80"]
    process = warm_start.Started([str(ROOT / "scripts" / "train_images.py"), *arguments], tmp_path)
    deadline = time.monotonic() + 120
    while not (folder / "samples").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    stopped_at = int(max(path.stem for path in (folder / "checkpoints").iterdir()).removeprefix("step-"))
    assert 0 < stopped_at < 80
    ran("train_images", "--output-dir", str(folder), "--resume", "latest", cwd=tmp_path)
    ran("train_images", *arguments[2:], "--output-dir", str(tmp_path / "whole"), cwd=tmp_path)
    for part in ("model/model.safetensors", "samples.png"):
        assert (folder / part).read_bytes() == (tmp_path / "whole" / part).read_bytes(), part


def test_two_runs_with_one_seed_make_the_same_model(finished: Path, tmp_path: Path) -> None:
    ran("train_images", "--output-dir", "again", *BRIEF, cwd=tmp_path)
    again, first = tree(tmp_path / "again" / "model"), tree(finished / "model")
    assert b"how good it is was not measured" in again.pop("README.md")
    assert b"## Figures" in first.pop("README.md")
    assert again == first


def test_a_folder_that_holds_a_run_is_safe(finished: Path, tmp_path: Path) -> None:
    before = tree(finished)
    said = refused("train_images", "--output-dir", str(finished), *QUICK, cwd=tmp_path)
    assert "holds another run" in said
    assert "--overwrite" in said
    # Bad input found only after the folder was looked at must not cost the old run either.
    said = refused("train_images", "--output-dir", str(finished), "--overwrite", "--dataset", "nowhere.parquet", *QUICK,
                   cwd=tmp_path)  # fmt: skip
    assert "nowhere.parquet" in said
    said = refused("train_images", "--output-dir", str(finished), "--overwrite", "--resume", "latest", cwd=tmp_path)
    assert "exclude each other" in said
    assert tree(finished) == before


def test_overwriting_deletes_the_run_and_nothing_else(tmp_path: Path) -> None:
    ran("train_images", "--output-dir", "run", *BRIEF, cwd=tmp_path)
    (tmp_path / "run" / "notes.txt").write_text("mine", encoding="utf-8")
    ran("train_images", "--output-dir", "run", "--overwrite", *BRIEF, "--max-steps", "2",
        cwd=tmp_path)  # fmt: skip
    assert (tmp_path / "run" / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]


def test_a_resume_with_a_changed_configuration_is_refused(finished: Path, tmp_path: Path) -> None:
    before = tree(finished)
    said = refused(
        "train_images", "--output-dir", str(finished), "--resume", "latest", "--num-draws", "5", cwd=tmp_path
    )
    assert "num_draws: 3 -> 5" in said
    assert "finds no run" in refused("train_images", "--output-dir", "none", "--resume", "latest", cwd=tmp_path)
    assert tree(finished) == before


def _images_of_two_sizes(folder: Path) -> str:
    for name, side in (("a", 8), ("b", 9)):
        (folder / "mixed").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((side, side), np.uint8)).save(folder / "mixed" / f"{name}.png")
    return "mixed"


def _truncated_image(folder: Path) -> str:
    (folder / "broken").mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "broken" / f"{number}.png")
    path = folder / "broken" / "2.png"
    path.write_bytes(path.read_bytes()[:150])
    return "broken"


BAD_INPUT: list[tuple[list[str], list[str]]] = [
    (["--dataset", "no-such-data"], ["dataset", "'no-such-data'"]),
    (["--dataset", "missing/images.parquet"], ["dataset", "missing/images.parquet"]),
    (["--column", "picture"], ["picture", "image, label"]),
    (["--label-column", "digit"], ["digit", "image, label"]),
    (["--split", "training"], ["training", "train, test"]),
    (["--num-categories", "1"], ["num_categories", "between 2 and 256", "got 1"]),
    (["--num-categories", "300"], ["num_categories", "got 300"]),
    (["--num-draws", "1"], ["num_draws must be at least 2", "got 1"]),
    (["--divergence", "total_variation"], ["total_variation", "strictly convex"]),
    (["--estimator", "guess"], ["--estimator", "bgan_centered"]),
    (["--resize", "4"], ["8x8"]),
    (["--device", "cuda:7"], ["device", "cuda:7"]),
    (["--max-steps", "0"], ["max_steps"]),
    (["--num-samples", "5"], ["at least 6 samples, got 5"]),
]


@pytest.mark.parametrize(("arguments", "words"), BAD_INPUT, ids=lambda value: " ".join(value)[:40])
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    said = refused("train_images", "--output-dir", "run", *arguments, cwd=tmp_path)
    for word in words:
        assert word in said
    assert not (tmp_path / "run").exists(), "nothing was begun"


def test_images_of_different_sizes_need_resize(tmp_path: Path) -> None:
    said = refused("train_images", "--dataset", _images_of_two_sizes(tmp_path), "--output-dir", "run", cwd=tmp_path)
    assert "8x8" in said
    assert "9x9" in said
    assert "--resize" in said


def test_a_truncated_image_names_file_and_row(tmp_path: Path) -> None:
    said = refused("train_images", "--dataset", _truncated_image(tmp_path), "--output-dir", "run", cwd=tmp_path)
    assert "2.png" in said
    assert "row 2" in said


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--model", "none"], "none"),
        (["--num-samples", "0"], "num_samples"),
        (["--output", "grid.jpeg"], "output"),
        (["--columns", "0"], "columns"),
        (["--seed", "x"], "--seed"),
    ],
)
def test_bad_input_to_generating(finished: Path, arguments: list[str], word: str, tmp_path: Path) -> None:
    assert word in refused("generate_images", "--model", str(finished / "model"), *arguments, cwd=tmp_path)


def test_evaluating_on_data_of_another_shape(finished: Path, tmp_path: Path) -> None:
    model = str(finished / "model")
    said = refused("evaluate_images", "--model", model, "--dataset", "digits", "--resize", "16", cwd=tmp_path)
    assert "(8, 8)" in said
    assert "(16, 16)" in said
    assert "num_samples" in refused("evaluate_images", "--model", model, "--num-samples", "0", cwd=tmp_path)


@pytest.mark.parametrize(
    "kind",
    [
        "palette",
        pytest.param("rgb levels", marks=pytest.mark.long),
        "binary",
        pytest.param("embedding", marks=pytest.mark.long),
    ],
)
def test_every_kind_of_codes_trains_from_files(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 9, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=rng.integers(0, 3, 60))
    options: dict[str, list[str]] = {
        "palette": ["--codec", "palette", "--num-categories", "5"],
        "rgb levels": ["--codec", "levels", "--num-categories", "4", "--discriminator-draws", "all"],
        "binary": ["--codec", "binary", "--stochastic", "--estimator", "vimco", "--penalty", "roth"],
        "embedding": ["--codec", "palette", "--num-categories", "40", "--penalty", "wgan_gp"],
    }
    ran("train_images", "--dataset", "data.npz", "--output-dir", "run", *BRIEF, *options[kind],
        cwd=tmp_path)  # fmt: skip
    made = Pipeline.from_pretrained(tmp_path / "run" / "model").generate(7)
    assert made.values.shape == ((7, 9, 12) if kind == "binary" else (7, 9, 12, 3))


def test_a_recipe_gives_the_options(tmp_path: Path) -> None:
    recipe = {"codec": "binary", "num_draws": 4}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    ran("train_images", "--config", "recipe.yaml", "--output-dir", "run", *BRIEF, "--num-draws",
        "5", cwd=tmp_path)  # fmt: skip
    options: dict[str, Any] = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    assert (options["codec"], options["num_draws"]) == ("binary", 5)


def test_the_configuration_of_a_run_starts_another(finished: Path, tmp_path: Path) -> None:
    config = str(finished / "config.yaml")
    ran("train_images", "--config", config, "--output-dir", "again", "--max-steps", "1", "--num-samples", "0",
        cwd=tmp_path)  # fmt: skip
    said = refused("train_images", "--config", config, "--output-dir", "other", "--credit", "prefix", cwd=tmp_path)
    assert "credit is for text and arrays; leave it out, got 'prefix'" in said


def script_of(options: dict[str, Any]) -> str:
    """The script that a recipe is for."""
    if "tokenizer" in options:
        return "train_text"
    of_arrays = ("records", "motifs", "table", None)  # the recipe of levels names no data
    return "train_array" if options.get("dataset") in of_arrays else "train_images"


@pytest.mark.parametrize("recipe", sorted((ROOT / "scripts" / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_recipes_are_valid(recipe: Path, tmp_path: Path) -> None:
    script = script_of(yaml.safe_load(recipe.read_text(encoding="utf-8")))
    done = run_script(script, "--config", str(recipe), "--output-dir", "run", "--dataset", "nowhere.npz", cwd=tmp_path)
    assert "nowhere.npz" in done.stderr, "the only fault is the data set"


def test_samples_of_a_foreign_model_can_be_piped_away(tmp_path: Path) -> None:
    Pipeline(ConvGenerator(SampleSpace((8, 8), 3, ordered=True), 4, 8), LevelsCodec(3)).save_pretrained(
        tmp_path / "model"
    )
    program = shlex.join([sys.executable, str(ROOT / "scripts" / "generate_images.py")])
    command = f"{program} --model model --num-samples 4 | head -c 1"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert os.path.exists(tmp_path / "samples.png")  # noqa: PTH110
