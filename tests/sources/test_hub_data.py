"""Data sets of the Hub: which commit is read, and that it is the one asked for."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pytest

from bgan_discrete.codecs import TextCodecOptions
from bgan_discrete.config import TextTrainingConfig
from bgan_discrete.errors import InputError
from bgan_discrete.runs.train import train
from bgan_discrete.sources import dataset_rows, describe, load_images, load_text

OLD, NEW = "1" * 40, "2" * 40
REVISIONS = {None: NEW, "main": NEW, "v1": OLD, OLD: OLD, NEW: NEW}
QUICK = {"max_steps": 2, "generator_width": 8, "discriminator_width": 8, "num_samples": 0, "length": 16, "threads": 1}


def data_set(commit: str | None) -> datasets.DatasetDict:
    """A data set as the library gives it, downloaded from a commit; None for a stream, which has no files."""
    rows = datasets.Dataset.from_dict({"words": [f"row {row} of {commit}"[:16] for row in range(60)]})
    if commit is not None:
        rows.info.download_checksums = {f"hf://datasets/owner/name@{commit}/rows.csv": {"num_bytes": 1}}
    return datasets.DatasetDict({"train": rows})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A Hub with one data set of two commits; what it was asked for."""
    asked: list[Any] = []

    def info(self: Any, name: str, revision: str | None, timeout: float) -> Any:
        if revision not in REVISIONS:
            raise ValueError("no such revision")
        return SimpleNamespace(id=name, sha=REVISIONS[revision])

    def load(name: str, revision: str | None = None, streaming: bool = False, **options: Any) -> Any:
        asked.append(revision)
        return data_set(None if streaming else REVISIONS[revision])

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("revision", "commit"), REVISIONS.items())
def test_the_commit_that_was_read_is_known(
    revision: str | None, commit: str, streaming: bool, asked: list[Any]
) -> None:
    data = load_text("owner/name", codec=TextCodecOptions(length=16), revision=revision, streaming=streaming)
    assert asked == [revision]
    assert data.commit == commit
    assert f"data set:    owner/name at commit {commit} (digest" in describe(data)


def test_a_revision_that_is_not_there_is_refused(asked: list[Any]) -> None:
    with pytest.raises(InputError, match="no such revision"):
        load_text("owner/name", codec=TextCodecOptions(length=16), revision="v3")
    assert asked == []


def test_another_commit_from_the_disk_is_not_taken_for_the_one_asked_for(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library does so where the Hub answers its first question and no later one.
    monkeypatch.setattr(datasets, "load_dataset", lambda name, **options: data_set(OLD))
    with pytest.raises(InputError, match=f"revision 'main' is not what is on the disk, which is commit {OLD}"):
        dataset_rows.load_hub("owner/name", revision="main")
    assert load_text("owner/name", codec=TextCodecOptions(length=16)).commit == OLD


def test_without_network_a_commit_is_compared_with_the_copy(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda name, **options: data_set(OLD))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for revision in (None, OLD):
        assert load_text("owner/name", codec=TextCodecOptions(length=16), revision=revision).commit == OLD
    for revision in ("main", NEW):
        with pytest.raises(InputError, match=f"revision '{revision}' is not what is on the disk"):
            dataset_rows.load_hub("owner/name", revision=revision)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, **options: data_set(None))
    assert load_text("owner/name", codec=TextCodecOptions(length=16)).commit is None


def test_images_know_their_commit_from_the_cache_too(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 4, (30, 8, 8)) * 80

    def load(name: str, revision: str | None = None, **options: Any) -> Any:
        features = datasets.Features({"image": datasets.Array2D((8, 8), "uint8")})
        return datasets.DatasetDict(
            {"train": datasets.Dataset.from_dict({"image": pixels.tolist()}, features=features)}
        )

    monkeypatch.setattr(datasets, "load_dataset", load)
    for revision, commit in (("v1", OLD), (None, NEW)):
        data = load_images("owner/name", revision=revision)
        assert (data.commit, data.from_cache) == (commit, revision is None), "equal contents have one cache"
        assert f"owner/name at commit {commit}" in describe(data)
    for dataset in ("digits", np.zeros((9, 8, 8), np.uint8)):
        with pytest.raises(InputError, match="revision is for data sets of the Hub, got 'v1'"):
            load_images(dataset, revision="v1")


def test_the_commit_is_among_the_facts_of_a_run(asked: list[Any], tmp_path: Path) -> None:
    options = {**QUICK, "dataset": "owner/name@v1", "output_dir": str(tmp_path / "run")}
    train(TextTrainingConfig.from_flat(options))
    facts = json.loads((tmp_path / "run" / "facts.json").read_text(encoding="utf-8"))
    assert facts["dataset_commit"] == OLD and f"at commit {OLD}" in facts["description"]
    assert "dataset: owner/name@v1" in (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
