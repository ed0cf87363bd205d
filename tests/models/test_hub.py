"""Models of the Hub: what a name means, and the whole way up and down against a stand-in of the Hub's interface.

The tests run without a network (`conftest`), so whatever talks to the stand-in does so in a process of its own, which
knows no other address.
"""

import json
import os
import shutil
import socket
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import warm_start
from hub_server import Repository, StandIn, hub

import bgan_discrete
from bgan_discrete import ConvGenerator, InputError, Pipeline
from bgan_discrete.codecs import LevelsCodec
from bgan_discrete.manifests import render_manifest
from bgan_discrete.models.format import FORMAT
from bgan_discrete.models.saving import model_facts
from bgan_discrete.publishing.card import CARD_FILE, Samples, is_as_written, render_card, sealed, write_card
from bgan_discrete.publishing.hub import names_hub_model
from bgan_discrete.space import SampleSpace

ROOT = Path(__file__).resolve().parents[2]
MODEL = {"config.json", "model.safetensors", "codec.json", "manifest.json"}


def small_pipeline(seed: int = 0) -> Pipeline:
    torch.manual_seed(seed)
    return Pipeline(ConvGenerator(SampleSpace((8, 9), 5, ordered=True), latent_size=4, width=8), LevelsCodec(5))


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def client(program: str, place: Path, address: str, **environment: str) -> dict[str, Any]:
    """What a program prints last, as JSON; with the Hub at an address and a cache of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "http", "HTTP", "all_", "ALL_"))}
    settings = {
        "HF_ENDPOINT": address, "HF_HOME": str(place / "hub home"), "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/support'}", "OMP_NUM_THREADS": "1", **environment,
    }  # fmt: skip
    done = warm_start.run(["-c", PREPARED + textwrap.dedent(program)], place, {**kept, **settings})
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


PREPARED = """
import contextlib, io, json, runpy, sys
import torch
import bgan_discrete
from bgan_discrete import InputError, Pipeline

def told(action):
    try:
        return action()
    except InputError as error:
        return f"InputError: {error}"

def codes(model, **options):
    return told(lambda: bgan_discrete.load(model, **options).generate(5, seed=3).codes.tolist())

def script(name, *arguments):
    sys.argv, said, complained = [f"{name}.py", *arguments], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        try:
            runpy.run_path(f"{ROOT}/scripts/{name}.py", run_name="__main__")
        except SystemExit as ended:
            return [ended.code, said.getvalue(), complained.getvalue()]
""".replace("{ROOT}", str(ROOT))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model of a run, among all that a run leaves, and a card that tells of it."""
    root = tmp_path_factory.mktemp("a user")
    model = root / "run" / "model"
    pipeline = small_pipeline()
    pipeline.save_pretrained(model)
    facts = model_facts(pipeline.kind, pipeline.generator, pipeline.codec)
    card = render_card(facts, None, Samples(picture=b"a picture"), "model")
    assert write_card(model, card, b"a picture")
    for other in ("run/metrics.jsonl", "run/checkpoints/step-1/state.pt", "run/model/notes.txt", "run/model/.secret"):
        (root / other).parent.mkdir(parents=True, exist_ok=True)
        (root / other).write_text("not to be published", encoding="utf-8")
    (root / "changed").mkdir()
    for name in MODEL:
        shutil.copy(model / name, root / "changed" / name)
    return root


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[StandIn]:
    """The Hub, with repositories of several kinds."""
    good = {name: content for name, content in held(place / "run" / "model").items() if name in MODEL}
    weights = bytearray(good["model.safetensors"])
    weights[-1] ^= 1
    foreign = render_manifest("somebody.else", 1, {}).encode()
    leading_out = render_manifest(FORMAT, 2, {"../../secret": {"size": 1, "sha256": ""}}).encode()
    with hub() as running:
        running.repositories |= {
            "owner/good": Repository(files={**good, "extra.bin": b"not asked for", "README.md": b"# mine"}),
            "owner/tampered": Repository(files={**good, "model.safetensors": bytes(weights)}),
            "owner/cut": Repository(files={k: v for k, v in good.items() if k != "codec.json"}),
            "owner/other": Repository(files={"README.md": b"a model of something else"}),
            "owner/foreign": Repository(files={**good, "manifest.json": foreign}),
            "owner/outside": Repository(files={**good, "manifest.json": leading_out}),
            "owner/gated": Repository(gated=True, files=good),
            "owner/private": Repository(private=True, files=good),
            "owner/public": Repository(files={}),
            "owner/licensed": Repository(files={"README.md": b"---\nlicense: apache-2.0\n---\n"}),
        }
        yield running


@pytest.fixture(scope="module")
def answers(place: Path, server: StandIn) -> dict[str, Any]:
    program = """
    own = bgan_discrete.load("run/model")
    found = {
        "here": own.generate(5, seed=3).codes.tolist(),
        "good": codes("owner/good"),
        "scheme": codes("hf://owner/good", revision="main"),
        "class": type(bgan_discrete.load("owner/good")).__name__,
        "none": codes("owner/none"),
        "no revision": codes("owner/good", revision="old"),
        "private without": codes("owner/private"),
        "private": codes("owner/private", token="hf_right"),
        **{name: codes(f"owner/{name}") for name in ("tampered", "cut", "other", "foreign", "outside", "gated")},
        "pushed": told(lambda: own.push_to_hub("me/digits", token="hf_right", private=True, commit_message="First")),
        "again": codes("me/digits", token="hf_right"),
        "proposed": told(lambda: own.push_to_hub("me/digits", token="hf_right", create_pr=True)),
        "not private": told(lambda: own.push_to_hub("owner/public", token="hf_right", private=True)),
        "licensed": told(lambda: own.push_to_hub("owner/licensed", token="hf_right")),
        "edited there": told(lambda: own.push_to_hub("owner/good", token="hf_right")),
        "no token": told(lambda: own.push_to_hub("me/others", token="hf_wrong")),
        "no id": told(lambda: own.push_to_hub("digits", token="hf_right")),
    }
    found["draw"] = script("generate_images", "--model", "owner/good", "--num-samples", "3", "--output", "drawn.npz")
    found["judge"] = script("evaluate_images", "--model", "owner/good", "--num-samples", "20", "--dataset", "digits")
    found["unknown"] = script("generate_text", "--model", "owner/none")
    found["damaged"] = script("push_to_hub", "--model", "changed", "--repo-id", "me/changed", "--private")
    found["script"] = script("push_to_hub", "--model", "run/model", "--repo-id", "me/by-script", "--private")
    found["hub to hub"] = script("push_to_hub", "--model", "owner/good", "--repo-id", "me/copy")
    print(json.dumps(found))
    """
    weights = bytearray((place / "changed" / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (place / "changed" / "model.safetensors").write_bytes(weights)
    return client(program, place, server.address, HF_TOKEN="hf_right")


def test_a_model_of_the_hub_gives_the_same_samples(answers: dict[str, Any]) -> None:
    assert answers["good"] == answers["scheme"] == answers["private"] == answers["again"] == answers["here"]
    assert answers["class"] == "Pipeline"


@pytest.mark.usefixtures("answers")
def test_only_what_the_manifest_names_is_fetched(place: Path, server: StandIn) -> None:
    asked = {line.split("/")[-1] for line in server.asked if line.startswith("GET /owner/tampered/")}
    assert asked == MODEL
    (snapshot,) = (place / "hub home" / "hub" / "models--owner--tampered" / "snapshots").iterdir()
    assert {path.name for path in snapshot.iterdir()} == MODEL


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("none", "model 'owner/none' is neither a folder here nor on the Hub, or it is private and no token opens it"),
        ("no revision", "model 'owner/good' has no revision 'old' on the Hub"),
        ("tampered", "is damaged: model.safetensors is not the file that was written"),
        ("cut", "is no model of bgan_discrete: a file is missing"),
        ("other", "is no model of bgan_discrete: a file is missing (manifest.json or one that it names)"),
        ("foreign", "is no model of bgan_discrete: its manifest.json is another's"),
        ("outside", "names files in its manifest.json that no model has"),
        ("gated", "model 'owner/gated' is gated: ask for access on its page"),
        ("not private", "'owner/public' exists and is public; nothing was uploaded"),
        ("no token", "the Hub refuses: 401 Invalid username or password.; is the token right"),
        ("no id", "repo_id must be owner/name, got 'digits'"),
    ],
)
def test_what_cannot_be_had_is_one_clear_line(answers: dict[str, Any], which: str, said: str) -> None:
    assert answers[which].startswith("InputError: ")
    assert said in answers[which]
    assert "\n" not in answers[which]


def test_what_goes_up_is_what_is_saved_and_nothing_else(
    answers: dict[str, Any], place: Path, server: StandIn, tmp_path: Path
) -> None:
    bgan_discrete.load(place / "run" / "model").save_pretrained(tmp_path / "saved", repo_id="me/digits")
    saved = held(tmp_path / "saved")
    assert set(saved) == {*MODEL, "README.md", "sample.png"}
    repository = server.repositories["me/digits"]
    assert repository.private
    assert [commit["summary"] for commit in repository.commits] == ["First", "Upload model"]
    assert repository.commits[0]["files"] == repository.files == saved
    assert b'bgan_discrete.load("me/digits")' in saved["README.md"]
    assert saved["sample.png"] == b"a picture"
    assert answers["pushed"] == f"{server.address}/me/digits/commit/{repository.commit}"
    assert answers["proposed"] == f"{server.address}/me/digits/discussions/1"
    assert server.repositories["owner/public"].commits == []
    assert "me/others" not in server.repositories


@pytest.mark.usefixtures("answers")
def test_a_card_on_the_hub_that_somebody_wrote_stays(server: StandIn) -> None:
    (commit,) = server.repositories["owner/good"].commits
    assert set(commit["files"]) == {*MODEL, "sample.png"}
    assert server.repositories["owner/good"].files["README.md"] == b"# mine"


@pytest.mark.usefixtures("answers")
def test_the_licence_of_a_new_repository_goes_into_the_card(server: StandIn) -> None:
    card = server.repositories["owner/licensed"].files["README.md"].decode()
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: bgan_discrete\n")
    assert is_as_written(card)


def test_scripts_take_models_of_the_hub(answers: dict[str, Any], place: Path, server: StandIn) -> None:
    assert answers["draw"][0] == 0, answers["draw"]
    with np.load(place / "drawn.npz") as arrays:
        assert arrays["codes"].shape == (3, 8, 9)
    code, _, complaint = answers["judge"]  # the model is of 8 x 9 pixels
    assert code == 2
    assert "dataset must have codes of the model's shape (8, 9), got (8, 8)" in complaint
    assert "--resize 8x9" in complaint
    code, _, complaint = answers["unknown"]
    assert (code, complaint.count("\n")) == (2, 1)
    assert "model 'owner/none' is neither" in complaint
    code, said, _ = answers["script"]
    assert code == 0
    assert said == f"model: {server.address}/me/by-script/commit/{server.repositories['me/by-script'].commit}\n"
    assert server.repositories["me/by-script"].private
    for which in ("damaged", "hub to hub"):
        assert answers[which][0] == 2, answers[which]
    assert not {"me/changed", "me/copy"} & set(server.repositories)


def test_without_a_network_the_cache_is_enough(answers: dict[str, Any], place: Path, server: StandIn) -> None:
    program = """
    import time
    from bgan_discrete.publishing import hub
    waits = []
    time.sleep = waits.append  # the library would ask again and again
    found = {"good": codes("owner/good"), "public": codes("owner/public")}
    found["push"] = told(lambda: bgan_discrete.load("owner/good").push_to_hub("me/new", token="t"))
    hub._silence = None  # a commit in the cache asks nothing
    found["pinned"] = codes("owner/good", revision="COMMIT")
    print(json.dumps({**found, "waits": waits}))
    """.replace("COMMIT", server.repositories["owner/good"].commit)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"  # where nobody listens
        found = client(program, place, address)
    assert found["good"] == found["pinned"] == answers["good"]
    assert found["waits"] == []
    assert "model 'me/new' is not uploaded: the Hub does not answer: " in found["push"]
    assert "is neither a folder here nor in the Hub's cache, and the Hub cannot be reached: Connect" in found["public"]
    found = client(program, place, address, HF_HUB_OFFLINE="1")
    assert found["good"] == answers["good"]
    assert "nor in the Hub's cache, and HF_HUB_OFFLINE forbids to ask the Hub" in found["public"]


def test_a_folder_wins_and_a_path_is_not_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_pipeline().save_pretrained("runs/model")
    assert not names_hub_model("runs/model")
    assert not names_hub_model(Path("runs/model"))
    assert isinstance(bgan_discrete.load("runs/model"), Pipeline)
    assert names_hub_model("owner/name")
    assert names_hub_model("hf://runs/modle")
    for name in ("./owner/name", "/owner/name", "~/model", "a/b/c", "owner\\name", "name", "owner/", ".", "hf://name"):
        with pytest.raises(InputError):
            bgan_discrete.load(name + ("" if name != "." else "/.."))
    with pytest.raises(InputError, match=r"'runs/modle' is not a folder that exists, though 'runs' does"):
        bgan_discrete.load("runs/modle")
    with pytest.raises(InputError, match="is not a folder that exists"):
        bgan_discrete.load(Path("owner/name"))
    with pytest.raises(InputError, match="revision 'main' is for models of the Hub"):
        bgan_discrete.load("runs/model", revision="main")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder; give"):
        bgan_discrete.load("file")
    with pytest.raises(InputError, match="path of a folder or a Hub id"):
        bgan_discrete.load("")
    with pytest.raises(InputError, match="HF_HUB_OFFLINE forbids"):  # as in all tests
        bgan_discrete.load("owner/name")


def test_a_card_that_somebody_edited_stays_and_travels(tmp_path: Path) -> None:
    pipeline = small_pipeline()
    pipeline.save_pretrained(tmp_path / "model")
    card = tmp_path / "model" / CARD_FILE
    assert is_as_written(card.read_text(encoding="utf-8"))
    edited = card.read_text(encoding="utf-8").replace("tags:\n", "license: mit\ntags:\n")
    assert not is_as_written(edited)
    card.write_text(edited, encoding="utf-8")
    small_pipeline(1).save_pretrained(tmp_path / "model")
    assert card.read_text(encoding="utf-8") == edited
    loaded = bgan_discrete.load(tmp_path / "model")
    loaded.save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / CARD_FILE).read_text(encoding="utf-8") == edited.replace('("model")', '("copy")')


def test_a_model_that_was_changed_does_not_keep_its_card(tmp_path: Path) -> None:
    small_pipeline().save_pretrained(tmp_path / "model")
    card = tmp_path / "model" / CARD_FILE
    told = sealed(card.read_text(encoding="utf-8").rpartition("\n<!--")[0] + "\n## Training\n\nMeasured.\n")
    card.write_text(told, encoding="utf-8")
    loaded = bgan_discrete.load(tmp_path / "model")
    loaded.save_pretrained(tmp_path / "same")
    assert "Measured." in (tmp_path / "same" / CARD_FILE).read_text(encoding="utf-8")
    with torch.no_grad():
        next(loaded.generator.parameters()).add_(1)
    loaded.save_pretrained(tmp_path / "other")
    assert "Measured." not in (tmp_path / "other" / CARD_FILE).read_text(encoding="utf-8")
