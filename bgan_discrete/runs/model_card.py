"""The card of a model that a training script made: the run's own facts and figures, without its paths."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bgan_discrete.config import EMBEDDED, ScriptConfig, split_revision
from bgan_discrete.diagnosis import Outcome, check_outcome
from bgan_discrete.errors import one_line
from bgan_discrete.manifests import MAX_TEXT_BYTES, read_json
from bgan_discrete.metrics.figure import figures_of
from bgan_discrete.models.pipeline import Pipeline, load
from bgan_discrete.models.saving import model_facts
from bgan_discrete.publishing.card import (
    RunFacts,
    Samples,
    render_card,
    write_card,
)
from bgan_discrete.publishing.hub import check_repo_id
from bgan_discrete.run_folder import RunFolder
from bgan_discrete.streams import say

LEFT_OUT = ("output_dir", "resume", "overwrite", "device", "threads")
"""Options that say where and how a run was carried out, rather than what it is."""

NAMES_OF_DATA = ("column", "label_column", "columns", "drop", "missing", "split")
"""Options whose values are names inside the data; of data that nobody else has, they are left out."""

ENDINGS = ("failed", "unfinished", "interrupted", "stopped_early")
NAMING = ("classes_missing", "categories_missing")
"""Findings on how a run ended, which say nothing of the model, and those that name classes or categories."""

FAR = 2.0
"""A distance this many times its floor is reported."""

_DISTANCES = ("frechet", "jsd", "total_variation", "divergence")

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+", re.ASCII)


def write_run_card(
    config: ScriptConfig,
    folder: RunFolder,
    pipeline: Pipeline,
    *,
    lines: Sequence[str] = (),
    picture: Path | None = None,
) -> None:
    """Put the card of a finished run into its model's folder; whatever is wrong with it is said and stops nothing."""
    try:
        samples = Samples(lines, None if picture is None else picture.read_bytes())
        facts = model_facts(pipeline.kind, pipeline.generator, pipeline.codec)
        card = render_card(facts, run_facts(config, folder, pipeline), samples, folder.model.name)
        if not write_card(folder.model, card, samples.picture):
            say(f"card:    {folder.model / 'README.md'} was written or edited by somebody, and stays as it is")
    except Exception as error:
        say(f"card:    could not be written: {one_line(error)}")


def run_facts(config: ScriptConfig, folder: RunFolder, pipeline: Pipeline) -> RunFacts:
    """What a card tells of a run: nothing in it is a path, or the name of data that nobody else has."""
    options = config.to_flat()
    report, facts = _document(folder.report), _document(folder.facts)
    name, hub_id = _dataset(str(options["dataset"]))
    is_public = hub_id is not None or name in EMBEDDED
    versions = facts.get("versions")
    training = facts.get("training")
    steps = training.get("steps") if isinstance(training, Mapping) else None
    return RunFacts(
        dataset=_shown_name(name, hub_id),
        dataset_id=hub_id,
        data=_about_data(report, is_public),
        command=_command(pipeline.kind.name, config, is_public),
        seed=int(options["seed"]),
        steps=int(steps or 0),
        versions={str(k): str(v) for k, v in versions.items()} if isinstance(versions, Mapping) else {},
        figures=figures_of(report),
        judged=_method(report),
        limits=_limits(report, options, is_public),
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path, 64 * MAX_TEXT_BYTES)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _dataset(given: str) -> tuple[str, str | None]:
    """What to call a data set without its path, and its id on the Hub."""
    if given in EMBEDDED:
        return given, None
    hub_id, _ = split_revision(given)
    if not Path(given).exists() and _HUB_ID.fullmatch(hub_id):
        return given, hub_id
    suffix = Path(given).suffix
    return (f"DATA{suffix}" if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", suffix) else "DATA"), None


def _shown_name(name: str, hub_id: str | None) -> str:
    if hub_id is not None:
        return f"{name} on the Hugging Face Hub"
    if name in EMBEDDED:
        return f"{name}, which is a part of bgan_discrete"
    suffix = name.removeprefix("DATA")
    return f"local data (a {suffix} file), not named here" if suffix else "local data, not named here"


def _command(kind: str, config: ScriptConfig, is_public: bool) -> str:
    """The command that would begin this run: its options where they differ from the defaults, paths exchanged."""
    defaults = type(config)().to_flat()
    words = ["bgan", "train", "--kind", kind]
    for name, value in config.to_flat().items():
        flag = f"--{name.replace('_', '-')}"
        if name in LEFT_OUT or (name in NAMES_OF_DATA and not is_public and value != defaults[name]):
            continue
        if name == "dataset":
            value = _dataset(str(value))[0]  # noqa: PLW2901
        elif value == defaults[name]:
            continue
        elif name == "holdout" and isinstance(value, str):
            value = "HELDOUT"  # noqa: PLW2901
        elif name == "tokenizer" and str(value).endswith(".model"):
            value = "TOKENIZER.model"  # noqa: PLW2901
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag.removeprefix('--')}")
        elif value is not None:
            words += [flag, shlex.quote(str(value))]
    return " ".join(words)


def _about_data(report: Mapping[str, Any], is_public: bool) -> list[str]:
    lines = []
    training, heldout = report.get("num_training"), report.get("num_heldout")
    if isinstance(report.get("training_texts_in_all"), int):
        training = report["training_texts_in_all"]
    if isinstance(training, int):
        held = f", {heldout:,} held out" if isinstance(heldout, int) else ""
        lines.append(f"{training:,} samples to train on{held}")
    source = report.get("held_out")
    if isinstance(source, str) and source:
        lines.append(f"judged by {source if is_public and not source.startswith('file ') else 'data held out'}")
    return lines


def _method(report: Mapping[str, Any]) -> str:
    method = report.get("method")
    return f"{method} What is near its floor cannot be told from real data by that figure." if method else ""


def _limits(report: Mapping[str, Any], options: Mapping[str, Any], is_public: bool) -> list[str]:
    """What the figures say against the model; names from inside data that nobody else has are left out."""
    figures = figures_of(report)
    said = []
    for finding in check_outcome(Outcome(figures, report, options)):
        seen = finding.seen if is_public or finding.key not in NAMING else f"{finding.seen.partition(':')[0]}."
        said += [] if finding.key in ENDINGS else [seen]
    far = [
        f"{figure.title.strip()} ({figure.ratio:.1f} times)"
        for key, figure in figures.items()
        if any(word in key for word in _DISTANCES) and figure.ratio is not None and figure.ratio > FAR
    ]
    if far:
        said.append(f"More than {FAR:.0f} times as far from the training data as unseen real data: {', '.join(far)}.")
    return said


def push_model(
    model: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    commit_message: str = "Upload model",
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Read and check a saved model, and upload it; see `Pipeline.push_to_hub`."""
    check_repo_id(repo_id)
    pipeline = load(Path(model))
    address = pipeline.push_to_hub(
        repo_id, private=private, commit_message=commit_message, revision=revision, create_pr=create_pr
    )
    say(f"model: {address}")
    return address
