"""Whole runs of the scripts of arrays and tables, from another directory than theirs."""

import csv
import html
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import warm_start
import yaml
from in_process import ran, refused

from bgan_discrete import MLPGenerator, Pipeline
from bgan_discrete.codecs import IntegersCodec, TableCodec
from bgan_discrete.config import ArrayDataConfig, ArrayTrainingConfig, load_config_values
from bgan_discrete.errors import InputError
from bgan_discrete.kinds import get_kind
from bgan_discrete.kinds.arrays import figures_of_example
from bgan_discrete.runs.train import _measured, count_parameters
from bgan_discrete.sources import examples
from bgan_discrete.sources.table_files import write_table
from bgan_discrete.space import SampleSpace

ROOT = Path(__file__).resolve().parents[2]
ARRAYS = get_kind("arrays")
QUICK = ("--max-steps", "6", "--batch-size", "8", "--generator-width", "8", "--discriminator-width", "8",
         "--log-interval", "2", "--sample-interval", "3", "--threads", "1", "--device", "cpu",
         "--num-samples", "60")  # fmt: skip


def run(script: str, *arguments: str, cwd: Path) -> str:
    """What a script says on stdout."""
    return ran(script, *arguments, cwd=cwd).stdout


@pytest.fixture(scope="module", autouse=True)
def _critics_are_trained_briefly() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bgan_discrete.metrics.arrays.CRITIC_STEPS", 30)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on a CSV file of a user's own, and one on an array of three axes."""
    folder = tmp_path_factory.mktemp("a folder")
    rng = np.random.default_rng(0)
    rows = 300
    write_table(
        {
            "id": list(range(rows)),
            "town, region": rng.choice(["Łódź", 'the "old" town', "a,b"], rows).tolist(),
            "rooms": [None if n == 0 else int(n) for n in rng.integers(0, 5, rows)],
            "price": rng.lognormal(5, 1, rows).round(2).tolist(),
            "owner": [f"owner {min(int(n), 40)}" for n in rng.geometric(0.1, rows)],
        },
        folder / "flats.csv",
    )
    np.save(folder / "planes.npy", rng.integers(-1, 2, (300, 2, 3)))
    np.save(folder / "floats.npy", rng.normal(size=(300, 3)))
    run("train_array", "--dataset", "flats.csv", "--drop", "id", "--bins", "6", "--max-categories", "9", "--output-dir",
        "flats", *QUICK, cwd=folder)  # fmt: skip
    run("train_array", "--dataset", "planes.npy", "--output-dir", "planes", *QUICK, cwd=folder)
    return folder


@pytest.mark.parametrize("name", ["flats", "planes"])
def test_a_run_leaves_all_that_it_promises(place: Path, name: str) -> None:
    folder = place / name
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files >= {
        "config.yaml", "metrics.jsonl", "report.json", "samples.csv", "samples/step-0000003.csv",
        "samples/step-0000006.csv", "checkpoints/step-00000006/state.pt", "model/codec.json", "model/config.json",
        "model/model.safetensors", "report.html",
    }  # fmt: skip
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "The floor has held-out rows" in page and "total variation" in page
    assert "nearest training row</th>" in page and "Searched: 270 training rows" in page
    first = (folder / "samples.csv").read_text(encoding="utf-8").splitlines()[1]
    assert first[:20] in html.unescape(page), "samples are shown"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for figure in report["figures"].values():
        assert {"value", "floor", "baselines"} <= set(figure)
    assert len(report["dataset_digest"]) == 64
    assert yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["estimator"] == "jeffreys"


def test_a_table_comes_out_with_the_names_and_values_that_went_in(place: Path) -> None:
    for name in ("a.csv", "b.tsv", "c.parquet", "d.npy", "e.npz"):
        run(
            "generate_array",
            "--model",
            "flats/model",
            "--num-samples",
            "40",
            "--seed",
            "3",
            "--output",
            name,
            cwd=place,
        )
    with (place / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["town, region", "rooms", "price", "owner"]
    assert len(rows) == 40
    assert {row["town, region"] for row in rows} <= {"Łódź", 'the "old" town', "a,b"}
    assert {row["rooms"] for row in rows} <= {"", "1", "2", "3", "4"}
    assert len({row["owner"] for row in rows} - {"(other)"}) <= 8
    table = pyarrow.parquet.read_table(place / "c.parquet").to_pydict()
    assert [str(price) for price in table["price"]] == [row["price"] for row in rows]
    assert table["rooms"] == [int(row["rooms"]) if row["rooms"] else None for row in rows]
    fields = np.load(place / "d.npy")
    assert fields.dtype.names == ("town, region", "rooms", "price", "owner")
    assert fields["price"].tolist() == table["price"]
    with np.load(place / "e.npz") as archive:
        assert archive["columns"].tolist() == list(rows[0])
        pipeline = Pipeline.from_pretrained(place / "flats" / "model")
        made = pipeline.generate(40, seed=3)
        assert np.array_equal(archive["codes"], made.codes)
        assert made.values == table
    run(
        "generate_array", "--model", "flats/model", "--num-samples", "5", "--bin-ranges", "--output", "r.csv", cwd=place
    )
    with (place / "r.csv").open(encoding="utf-8", newline="") as file:
        assert all(row["price"].startswith("[") for row in csv.DictReader(file))


def test_an_array_comes_out_with_its_shape_and_integers(place: Path) -> None:
    for name in ("p.npy", "p.csv", "p.npz"):
        run("generate_array", "--model", "planes/model", "--num-samples", "30", "--output", name, cwd=place)
    values = np.load(place / "p.npy")
    assert values.shape == (30, 2, 3)
    assert set(np.unique(values)) <= {-1, 0, 1}
    assert np.array_equal(np.loadtxt(place / "p.csv", delimiter=",").reshape(30, 2, 3), values)
    with np.load(place / "p.npz") as archive:
        assert np.array_equal(archive["rows"], values)
        assert np.array_equal(archive["codes"], values + 1)


def test_the_runs_report_is_the_evaluation_of_its_model(place: Path) -> None:
    said = run("evaluate_array", "--model", "flats/model", "--dataset", "flats.csv", "--num-samples", "60", "--output",
               "report.json", cwd=place)  # fmt: skip
    assert "total variation of a pair, mean" in said
    again = json.loads((place / "report.json").read_text(encoding="utf-8"))
    of_run = json.loads((place / "flats" / "report.json").read_text(encoding="utf-8"))
    assert again["figures"] == of_run["figures"]


@pytest.mark.parametrize(
    "kind",
    [
        ("--dataset", "table"),
        ("--dataset", "records", "--discriminator", "mlp"),
        ("--dataset", "motifs", "--generator", "conv", "--latent-kind", "binary"),
        ("--dataset", "table", "--credit", "sample", "--estimator", "bgan_centered", "--num-draws", "3"),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, kind: tuple[str, ...]) -> None:
    common = (*kind, *QUICK, "--num-samples", "0", "--checkpoint-interval", "1", "--lr-decay", "none", "--keep", "last",
              "--phases", "game", "--keep-last", "9", "--log-interval", "9")  # fmt: skip
    run("train_array", *common, "--output-dir", "whole", cwd=tmp_path)
    run("train_array", *common, "--output-dir", "parts", "--max-steps", "2", cwd=tmp_path)
    run("train_array", "--output-dir", "parts", "--resume", "latest", "--max-steps", "6", cwd=tmp_path)
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_a_process_ends_with_a_code_and_one_line(place: Path) -> None:
    script = str(ROOT / "scripts/train_array.py")
    done = warm_start.run([script, "--dataset", "flats.csv", "--output-dir", "none"], place)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("train_array.py: error: column 'id' has 300 different values")
    said = run("generate_array", "--model", "flats/model", "--num-samples", "3", "--output", "s.csv", cwd=place)
    assert said == "3 samples: s.csv\n"


def test_a_signal_ends_a_run_with_its_code_and_a_checkpoint(tmp_path: Path) -> None:
    process = warm_start.Started(
        [str(ROOT / "scripts/train_array.py"), "--output-dir", "r", *QUICK, "--max-steps", "100000"], tmp_path
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "r" / "samples").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert "Traceback" not in said
    assert list((tmp_path / "r" / "checkpoints").iterdir())
    assert (tmp_path / "r" / "report.html").is_file()


def test_convolutions_over_planes(tmp_path: Path) -> None:
    np.save(tmp_path / "planes.npy", np.random.default_rng(0).integers(0, 3, (60, 8, 9)))
    arguments = ("--dataset", "planes.npy", "--generator", "conv", "--generator-depth", "1", *QUICK, "--holdout", "0.4",
                 "--num-samples", "20")  # fmt: skip
    assert "give --credit sample --estimator bgan_centered" in refused("train_array", *arguments, cwd=tmp_path)
    run(
        "train_array",
        *arguments,
        "--credit",
        "sample",
        "--estimator",
        "bgan_centered",
        "--num-draws",
        "2",
        cwd=tmp_path,
    )
    run("generate_array", "--model", "runs/array/model", "--num-samples", "2", "--output", "x.npy", cwd=tmp_path)
    assert np.load(tmp_path / "x.npy").shape == (2, 8, 9)


def test_bad_input_to_a_training_is_one_line(place: Path) -> None:
    (place / "ragged.csv").write_text("a,b\n1,2\n3\n")
    for arguments, words in (
        (("--dataset", "flats.csv"), "column 'id' has 300 different values"),
        (("--dataset", "flats.csv", "--drop", "id"), "column 'price' holds"),
        (("--dataset", "flats.csv", "--drop", "name"), "drop 'name' is not in the table, which has: id, town, region"),
        (("--dataset", "flats.csv", "--columns", '"town, region",size'), "columns 'size' is not in the table"),
        (("--dataset", "floats.npy"), "must hold integers, got float64"),
        (("--dataset", "ragged.csv"), "has 1 cells in line 3, but 2 columns"),
        (("--dataset", "absent.csv"), "nor an existing file"),
        (("--bins", "1"), "bins must be between 2 and 65535"),
        (("--holdout", "0"), "holdout must be between 0 and 1"),
        (("--limit", "30"), "at least 20 held-out rows, got 3"),
        (("--num-samples", "5"), "at least 20 samples, got 5"),
        (("--credit", "sample", "--num-draws", "2", "--discriminator", "positions"), "needs credit 'alternatives'"),
        (("--dataset", "planes.npy", "--discriminator", "positions"), "takes samples of one axis"),
        (("--dataset", "planes.npy", "--generator", "conv", "--credit", "sample", "--num-draws", "2"), "8 x 8"),
        (("--generator", "conv"), "the columns of a table have none"),
        (("--estimator", "maligan"), "needs an estimator with a limit"),
        (("--generator", "gru"), "--generator"),
        (("--phases", "game,likelihood"), "in this order"),
    ):
        assert words in refused("train_array", *arguments, "--output-dir", "none", cwd=place), arguments
    assert not (place / "none").exists()
    assert "holds another run" in refused("train_array", "--output-dir", "flats", cwd=place)
    assert "changed: bins" in refused(
        "train_array", "--output-dir", "flats", "--resume", "latest", "--bins", "9", cwd=place
    )


def test_bad_input_to_generation_and_evaluation_is_one_line(place: Path) -> None:
    table, planes = ("--model", "flats/model"), ("--model", "planes/model")
    for arguments, words in (
        ((*table, "--num-samples", "0"), "num_samples must be at least 1"),
        ((*table, "--output", "x.png"), "output must end in"),
        ((*table, "--output", "absent/x.csv"), "a folder that exists"),
        ((*planes, "--output", "x.parquet"), "must end in .npy, .csv or .npz"),
        ((*planes, "--bin-ranges", "--output", "x.npy"), "bin_ranges is for tables"),
        (("--model", "absent"), "is not a folder"),
    ):
        assert words in refused("generate_array", *arguments, cwd=place)
    for arguments, words in (
        ((*table, "--dataset", "planes.npy"), "a table must be an array [rows, columns]"),
        ((*table, "--dataset", "table"), "columns 'town, region' is not in the table"),
        ((*planes, "--dataset", "flats.csv"), "use layout 'table', not 'array'"),
        ((*table, "--dataset", "flats.csv", "--num-samples", "3"), "at least 20 samples"),
        ((*table, "--dataset", "flats.csv", "--output", "flats"), "output must be a file"),
    ):
        assert words in refused("evaluate_array", *arguments, cwd=place)
    assert "is one of arrays, not of images" in refused("generate_images", *table, "--output", "x.png", cwd=place)


def test_a_pipeline_refuses_a_generator_of_other_columns(tmp_path: Path) -> None:
    codec = TableCodec.fit({"a": [1, 2, 3], "b": [1, 1, 2]})
    generator = MLPGenerator(SampleSpace((2,), 3, sizes=(3, 2)), 4, 8)
    Pipeline(generator, codec).save_pretrained(tmp_path / "m")
    assert set(Pipeline.from_pretrained(tmp_path / "m").generate(50).values["b"]) == {1, 2}
    for other, words in (
        (MLPGenerator(SampleSpace((2,), 3), 4, 8), r"same space, got sizes: None and \(3, 2\)"),
        (MLPGenerator(SampleSpace((3,), 3), 4, 8), r"same space, got event_shape: \(3,\) and \(2,\); sizes"),
        (MLPGenerator(SampleSpace((2,), 4), 4, 8), "same space, got num_categories: 4 and 3"),
    ):
        with pytest.raises(InputError, match=words):
            Pipeline(other, codec)


def test_examples_that_are_something_else_have_no_figures_of_their_own(place: Path) -> None:
    rows = examples.example("table", 300)
    rows["city"][0] = "Rome"
    write_table(rows, place / "others.csv")
    np.save(place / "short.npy", np.zeros((300, 5), int))
    options: dict[str, tuple[str, dict[str, Any]]] = {
        "as it is": ("table", {"limit": 300}),
        "lumped": ("table", {"limit": 300, "max_categories": 3}),
        "other rows": ("table", {"limit": 300, "holdout": str(place / "others.csv")}),
        "fewer columns": ("table", {"limit": 300, "columns": "city,country"}),
        "sequences": ("motifs", {"limit": 300}),
        "columns": ("motifs", {"limit": 300, "layout": "table", "columns": "column_0,column_1"}),
        "own": (str(place / "short.npy"), {}),
    }
    found = {}
    for name, (dataset, others) in options.items():
        data = ARRAYS.load(ArrayDataConfig(dataset=dataset, **others))
        figures = figures_of_example(data)
        found[name] = None if figures is None else len(figures(data.heldout_codes))
    assert {name for name, count in found.items() if count} == {"as it is", "sequences"}


def test_networks_fit_the_data() -> None:
    def names(space: SampleSpace, **options: Any) -> tuple[str, ...]:
        return tuple(type(part).__name__ for part in ARRAYS.networks(ArrayTrainingConfig.from_flat(options), space))

    assert names(SampleSpace((400,), 5)) == ("CausalMLPGenerator", "MLPDiscriminator")
    short = SampleSpace((12,), 5)
    assert names(short) == ("CausalMLPGenerator", "AlternativesDiscriminator")
    assert names(short, generator="mlp") == ("MLPGenerator", "AlternativesDiscriminator")
    sample = {"generator": "conv", "credit": "sample", "estimator": "bgan_centered", "num_draws": 2}
    assert names(short, **sample) == ("ConvSequenceGenerator", "ConvSequenceDiscriminator")


def test_the_size_of_networks_is_known_before_they_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    table = TableCodec.fit({"a": [1, 2, 3], "b": [1, 1, 2]})
    for space, options in (
        (SampleSpace((400,), 5), {}),
        (SampleSpace((2, 8, 9), 3), {"generator": "conv", "discriminator": "mlp"}),
        (table.space, {"discriminator": "mlp"}),
        (table.space, {}),
    ):
        config = ArrayTrainingConfig.from_flat(options)
        networks = ARRAYS.networks(config, space)
        sizes = count_parameters(("generator", networks[0]), ("discriminator", networks[1]))
        assert _measured(ARRAYS, config, space) == sizes
    words = r"networks of 60,001 categories at 6,000 positions would have generator 92,\d+,\d+,\d+, .* GiB of memory"
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20}.__getitem__)
    with pytest.raises(InputError, match=words):
        _measured(ARRAYS, ArrayTrainingConfig(), SampleSpace((6000,), 60001))


def test_characters_are_generated_as_characters(tmp_path: Path) -> None:
    codec = IntegersCodec((2, 2), 4, values=["", '"', ",", "x"])
    Pipeline(MLPGenerator(SampleSpace((2, 2), 4), 4, 8), codec).save_pretrained(tmp_path / "m")
    for name in ("t.csv", "t.npy", "t.npz"):
        run("generate_array", "--model", "m", "--num-samples", "9", "--output", name, cwd=tmp_path)
    rows = np.load(tmp_path / "t.npy")
    assert (rows.shape, set(rows.ravel().tolist())) == ((9, 2, 2), {"", '"', ",", "x"})
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == rows.reshape(9, -1).tolist()
    with np.load(tmp_path / "t.npz") as archive:
        assert np.array_equal(archive["rows"], rows)


@pytest.mark.parametrize("name", ["records_binary", "motifs_convolutions"])
def test_recipes_start(name: str, tmp_path: Path) -> None:
    path = ROOT / "scripts/recipes" / f"{name}.yaml"
    assert load_config_values(path)
    run("train_array", "--config", str(path), "--output-dir", "r", *QUICK, "--num-samples", "0", cwd=tmp_path)
