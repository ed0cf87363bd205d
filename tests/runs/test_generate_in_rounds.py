"""The program on generators in rounds: from a training to samples of which something is given."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from bgan_discrete import InputError, Pipeline
from bgan_discrete.codecs import LevelsCodec
from bgan_discrete.command_line.verbs import call_verb
from bgan_discrete.nn import MaskedTransformerGenerator

QUICK = "--max-steps 2 --batch-size 8 --num-draws 2 --generator-width 8 --generator-depth 1 --discriminator-width 8 "
QUICK += "--latent-size 4 --sample-interval 0 --threads 1 --device cpu --num-samples 0 --generator masked "
QUICK += "--phases likelihood=0.5,discriminator"


def bgan(*words: str) -> None:
    """A call whose first argument holds words without spaces."""
    assert call_verb([*words[0].split(), *words[1:]]) == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of a table, of arrays and of text."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    frame = {"sex": rng.choice(["m", "f"], 200), "job": rng.choice(["a, b", "c"], 200), "age": rng.integers(0, 9, 200)}
    pandas.DataFrame(frame).to_csv(folder / "people.csv", index=False)
    np.save(folder / "levels.npy", rng.integers(0, 3, (200, 4, 4)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        bgan(f"train --dataset people.csv --output-dir people --rounds 2 {QUICK}")
        bgan(f"train --dataset levels.npy --output-dir levels --credit sample --estimator rloo {QUICK}")
        bgan(f"train --dataset arithmetic --length 8 --output-dir text --rounds 4 {QUICK}")
    return folder


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr("bgan_discrete.metrics.arrays.CRITIC_STEPS", 5)


@pytest.mark.parametrize("options", ["", "--rounds 1", "--rounds 3", "--resample 2"])
def test_rows_with_given_columns(options: str) -> None:
    draw = f"generate --model people/model --device cpu --num-samples 30 --output made.csv {options}"
    bgan(draw, "--given", 'sex=f,"job=a, b"')
    made = pandas.read_csv("made.csv")
    assert set(made["sex"]) == {"f"} and set(made["job"]) == {"a, b"} and made["age"].nunique() > 1
    pandas.DataFrame({"age": [3, None, 5], "sex": ["m", "f", None]}, dtype=object).to_csv("rows.csv", index=False)
    bgan(draw, "--given", "rows.csv")
    made = pandas.read_csv("made.csv")
    assert made["age"][:10].eq(3).all() and made["age"][20:].eq(5).all() and made["age"][10:20].nunique() > 1
    assert made["sex"][:10].eq("m").all() and made["sex"][10:20].eq("f").all() and set(made["sex"][20:]) == {"m", "f"}


def test_arrays_with_given_positions() -> None:
    given = np.full((4, 4), -1)
    given[0] = [0, 1, 2, 0]
    np.save("walls.npy", given)
    for options in ("--rounds 16", "--resample 2"):
        draw = "generate --model levels/model --device cpu --num-samples 20 --output made.npy --given walls.npy"
        bgan(f"{draw} {options}")
        made = np.load("made.npy")
        assert (made[:, 0] == given[0]).all() and len(np.unique(made[:, 1:])) == 3


def test_pictures_with_given_pixels() -> None:
    torch.manual_seed(0)
    codec = LevelsCodec(4)
    space = codec.space_of((4, 4))
    generator = MaskedTransformerGenerator(space, 4, 8, 1, 2, rounds=2, order="coarse_to_fine")
    Pipeline(generator, codec).save("pictures")
    picture = Image.new("LA", (4, 4), (85, 255))
    picture.putpixel((0, 0), (0, 0))
    picture.save("hole.png")
    bgan("generate --model pictures --device cpu --num-samples 20 --output made.npz --given hole.png --rounds 4")
    made = np.load("made.npz")["images"].reshape(20, 16)
    assert (made[:, 1:] == 85).all() and len(np.unique(made[:, 0])) == 4


def test_texts_with_a_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for options in ("--rounds 2", "--resample 2", "--temperature 0.5"):
        bgan(f"generate --model text/model --device cpu --num-samples 5 --prompt 17 {options}")
        assert [line[:2] for line in capsys.readouterr().out.splitlines()] == ["17"] * 5


@pytest.mark.parametrize("options", [(), ("--rounds", "1"), ("--rounds", "3", "--resample", "2")])
def test_numbers_of_rounds_are_evaluated(options: tuple[str, ...]) -> None:
    bgan("evaluate --model people/model --num-samples 40 --device cpu --output report.json", *options)
    report: dict[str, Any] = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert report.get("rounds") == (int(options[1]) if options else None)
    text = "evaluate --model text/model --num-samples 40 --device cpu --sweep-temperature --output text.json"
    bgan(text, *options)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("generate --model people/model --given size=3", "given has the column 'size', which the model does not know"),
        ("generate --model people/model --given walls.csv", "given 'walls.csv' is no file"),
        ("generate --model levels/model --given x=3", "given must be a .npy file for a model of arrays"),
        ("generate --model people/model --rounds 4", "rounds must be between 1 and the 3 positions of a sample, got 4"),
        ("evaluate --model people/model --rounds 0", "rounds must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_asked_for(call: str, reason: str) -> None:
    output = ["--output", "none.csv"] if call.startswith("generate") else ["--num-samples", "40"]
    with pytest.raises(InputError, match=reason.replace(".", r"\.")):
        call_verb([*call.split(), "--device", "cpu", *output])
    assert not Path("none.csv").exists()


@pytest.fixture(scope="module")
def clients(place: Path) -> Path:
    """A run of a causal generator, whose order is not that of the columns, on a table with rules."""
    rng = np.random.default_rng(1)
    start, city = rng.integers(0, 5, 300), rng.integers(0, 4, 300)
    frame = {
        "plan": rng.choice(["a", "b", "c"], 300),
        "start": start,
        "end-day": start + rng.integers(0, 3, 300),
        "city": np.array(["Köln", "Lyon", "Bonn", "Paris"])[city],
        "country": np.array(["DE", "FR"])[city % 2],
    }
    pandas.DataFrame(frame).to_csv(place / "clients.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        bgan(f"train --dataset clients.csv --output-dir clients {QUICK.replace('masked', 'causal')}")
    return place / "clients"


def test_a_training_proposes_constraints(clients: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = QUICK.replace("masked", "causal").replace("--max-steps 2", "--max-steps 1")
    bgan(f"train --dataset clients.csv --output-dir again {quick}")
    assert (
        "in all training rows city decides country; to keep it in every sample, generate with "
        '--constraint "combinations(city, country)"' in capsys.readouterr().out
    )


@pytest.mark.parametrize("column", ["plan", "start", "end-day", "city", "country"])
def test_rows_under_conditions_and_constraints(clients: Path, column: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = {
        "plan": "plan in (b, c)",
        "start": "start>=3",
        "end-day": "end-day<5",
        "city": "city=Lyon",
        "country": "country!=DE",
    }
    holds = {
        "plan": lambda rows: rows["plan"].isin(["b", "c"]),
        "start": lambda rows: rows["start"] >= 3,
        "end-day": lambda rows: rows["end-day"] < 5,
        "city": lambda rows: rows["city"] == "Lyon",
        "country": lambda rows: rows["country"] != "DE",
    }  # fmt: skip
    draw = "generate --model clients/model --device cpu --num-samples 60 --output made.csv"
    rules = ["--constraint", "end-day >= start", "--constraint", "combinations(city, country)"]
    bgan(draw, "--given", given[column], *rules)
    rows = pandas.read_csv("made.csv")
    assert len(rows) == 60 and holds[column](rows).all() and (rows["end-day"] >= rows["start"]).all()
    assert (rows["country"] == rows["city"].map({"Köln": "DE", "Bonn": "DE", "Lyon": "FR", "Paris": "FR"})).all()
    said = capsys.readouterr().out
    assert re.search(r"constraints: \d+ of \d+ rows \(.*%\) were refused and drawn anew \(end-day >= start: ", said)
    assert said.endswith("60 samples: made.csv\n")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--given", "plan=d"), "given: column 'plan' has the value 'd' in row 1, which is none of its 3 categories"),
        (("--given", "start>2,start<2"), "given: column 'start' has no value with start>2 and start<2"),
        (
            ("--constraint", "end >= start"),
            "constraint 'end >= start' cannot be used at character 1: 'end' is no column",
        ),
        (("--constraint", "start > 9"), "constraints must leave some rows: 0 of "),
        (("--constraint", "combinations(city, country, 'none.csv')"), "combinations of 'none.csv' is no file"),
        (
            ("--constraint", "combinations(city, country, 'people.csv')"),
            "need the column 'city'; the file has sex, job",
        ),
    ],
)
def test_conditions_and_constraints_that_cannot_be(clients: Path, options: tuple[str, ...], reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)):
        bgan("generate --model clients/model --device cpu --output none.csv", *options)
    assert not Path("none.csv").exists()
