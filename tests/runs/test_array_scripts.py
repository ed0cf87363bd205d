"""Whole runs of the scripts of arrays and tables, from another directory than theirs."""

import csv
import datetime
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
import torch
import warm_start
import yaml
from in_process import ran, refused

from bgan_discrete import MLPGenerator, Pipeline
from bgan_discrete.codecs import IntegersCodec, TableCodec
from bgan_discrete.config import ArrayDataConfig, ArrayTrainingConfig, load_config_values
from bgan_discrete.errors import InputError
from bgan_discrete.kinds import get_kind
from bgan_discrete.metrics.examples import figures_of_example
from bgan_discrete.runs import generate as generating
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
            "since": [f"{d:02}.{m:02}.{y}" for d, m, y in rng.integers([1, 1, 1990], [29, 13, 2024], (rows, 3))],
            "owner": [f"owner {min(int(n), 40)}" for n in rng.geometric(0.1, rows)],
        },
        folder / "flats.csv",
    )
    np.save(folder / "planes.npy", rng.integers(-1, 2, (300, 2, 3)))
    np.save(folder / "floats.npy", rng.normal(size=(300, 3)))
    run("train_array", "--dataset", "flats.csv", "--bins", "6", "--max-categories", "9", "--column", "since=date:5",
        "--output-dir", "flats", *QUICK, cwd=folder)  # fmt: skip
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
    assert list(rows[0]) == ["town, region", "rooms", "price", "since", "owner"]
    assert len(rows) == 40
    assert {row["town, region"] for row in rows} <= {"Łódź", 'the "old" town', "a,b"}
    assert {row["rooms"] for row in rows} <= {"", "1", "2", "3", "4"}
    with (place / "flats.csv").open(encoding="utf-8", newline="") as file:
        given = list(csv.DictReader(file))
    assert {row["owner"] for row in rows} <= {row["owner"] for row in given}
    prices = [float(row["price"]) for row in given]
    assert all(min(prices) <= float(row["price"]) <= max(prices) for row in rows)
    assert all(float(row["price"]) == round(float(row["price"]), 2) for row in rows)
    days = {datetime.datetime.strptime(row["since"], "%d.%m.%Y").date() for row in rows}
    assert len(days) > 5 and all(datetime.date(1990, 1, 1) <= day < datetime.date(2024, 1, 1) for day in days)
    table = pyarrow.parquet.read_table(place / "c.parquet").to_pydict()
    assert [str(price) for price in table["price"]] == [row["price"] for row in rows]
    assert table["rooms"] == [int(row["rooms"]) if row["rooms"] else None for row in rows]
    fields = np.load(place / "d.npy")
    assert fields.dtype.names == ("town, region", "rooms", "price", "since", "owner")
    assert fields["price"].tolist() == table["price"]
    with np.load(place / "e.npz") as archive:
        assert archive["columns"].tolist() == list(rows[0])
        pipeline = Pipeline.from_pretrained(place / "flats" / "model")
        made = pipeline.generate(40, seed=3)
        assert np.array_equal(archive["codes"], made.codes)
        assert made.values == table
    common = ("generate_array", "--model", "flats/model", "--num-samples", "40", "--seed", "3")
    for decode in ("ranges", "median"):
        run(*common, "--decode", decode, "--output", f"{decode}.csv", cwd=place)
    with (place / "ranges.csv").open(encoding="utf-8", newline="") as file:
        ranges = [[*map(float, row["price"].strip("[])").split(","))] for row in csv.DictReader(file)]
    assert all(low <= float(row["price"]) <= high for (low, high), row in zip(ranges, rows, strict=True))
    with (place / "median.csv").open(encoding="utf-8", newline="") as file:
        assert len({row["price"] for row in csv.DictReader(file)}) <= 6
    assert "this option is no more: give --decode ranges" in refused(*common, "--bin-ranges", cwd=place)


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


def test_samples_do_not_depend_on_the_parts_that_they_are_written_in(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline.from_pretrained(place / "flats" / "model")
    whole = pipeline.generate(50, seed=4, batch_size=7).values
    monkeypatch.setattr(generating, "PART", 7)
    parts = [part.values for part in generating.draw_in_parts(pipeline, 50, 4)]
    assert len(parts) > 5
    assert whole == {name: [value for part in parts for value in part[name]] for name in whole}
    assert whole == pipeline.generate(50, seed=4, batch_size=7).values
    assert whole["price"] != pipeline.generate(50, seed=5, batch_size=7).values["price"]
    source = torch.Generator().manual_seed(4)
    drawn = [pipeline.generate(50, source).values["price"] for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_a_private_codec_keeps_no_rare_value(place: Path) -> None:
    run("train_array", "--dataset", "flats.csv", "--columns", "owner,price", "--max-categories", "4", "--rare",
        "private", "--output-dir", "private", *QUICK, "--num-samples", "0", cwd=place)  # fmt: skip
    text = (place / "private/model/codec.json").read_text(encoding="utf-8")
    assert text.count("owner ") == 3 and '"lumped"' not in text
    made = Pipeline.from_pretrained(place / "private" / "model").generate(200).values
    assert "(other)" in made["owner"]
    words = "changed: rare: private -> drawn"
    resumed = ("train_array", "--output-dir", "private", "--resume", "latest", "--rare", "drawn")
    assert words in refused(*resumed, cwd=place)


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
    done = warm_start.run([script, "--dataset", "flats.csv", "--column", "id=date", "--output-dir", "none"], place)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("train_array.py: error: column 'id' cannot be of kind date (kinds: ")
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
        (("--dataset", "flats.csv", "--column", "id=date"), "column 'id' cannot be of kind date"),
        (("--dataset", "flats.csv", "--column", "price=integer"), "column 'price' cannot be of kind integer"),
        (("--dataset", "flats.csv", "--column", "price"), "column must be such as age=integer:32,zip=category"),
        (
            ("--dataset", "flats.csv", "--column", "price=float"),
            "must be of a kind category, integer, number, date, identifier",
        ),
        (
            ("--column", "a=integer", "--column", "b=date"),
            "--column is given 2 times: give it once, with commas between",
        ),
        (("--dataset", "planes.npy", "--column", "a=integer"), "column is for tables"),
        (("--dataset", "flats.csv", "--drop", "name"), "drop 'name' is not in the table, which has: id, town, region"),
        (("--dataset", "flats.csv", "--columns", '"town, region",size'), "columns 'size' is not in the table"),
        (("--dataset", "floats.npy"), "must hold integers, got float64"),
        (("--dataset", "ragged.csv"), "has 1 cells in line 3, but 2 columns"),
        (("--dataset", "absent.csv"), "nor an existing file"),
        (("--bins", "1"), "bins must be between 2 and 1048575"),
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
        ((*planes, "--decode", "ranges", "--output", "x.npy"), "decode 'ranges' is for tables"),
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
    words = r"networks of 60,001 categories at 6,000 positions would have generator 23,\d+,\d+,\d+, .* GiB of memory"
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
