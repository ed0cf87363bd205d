"""Model cards: what a model is and how good it was found to be, as Markdown with metadata that the Hub reads.

A card is made from facts that were measured, and holds nothing that says where or on whose machine they were: no paths,
no names of hosts. It ends with a digest of itself, by which one that somebody edited is known and left alone.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bgan_discrete.durable import replace_text, replacing_file
from bgan_discrete.manifests import MAX_TEXT_BYTES, read_text
from bgan_discrete.metrics.figure import WORDS, Figure, baselines_of
from bgan_discrete.templating import markup, render, unbroken

CARD_FILE, PICTURE_FILE = "README.md", "sample.png"
MAX_LINES, MAX_CHARACTERS = 20, 200
MAX_BASELINES = 6
"""In the table of figures."""


@dataclass(frozen=True)
class Words:
    """What a card says of a kind of data: ``attribute`` names samples in code, ``task`` is the Hub's with its title."""

    noun: str
    attribute: str
    task: tuple[str, str] | None = None
    tags: tuple[str, ...] = ()


_SEAL = re.compile(r"<!-- bgan_discrete: card ([0-9a-f]{64}); remove this line if you edit the card -->\n")
_LOADING = re.compile(r"^pipeline = bgan_discrete\.load\(.*\).*$", re.M)
_NAME = re.compile(r"(?<=^model-index:\n)- name: .*$", re.M)
_RUN_HEADING = "\n## Training\n"
_SHOWS_PICTURE = f"]({PICTURE_FILE})"


@dataclass(frozen=True)
class ModelFacts:
    """What a model is, whatever is known of its training.

    ``sample`` is the shape of one sample's codes, ``rounds`` a sentence on the rounds of a model that draws in several.
    """

    words: Words
    generator: str
    parameters: int
    sample: tuple[int, ...]
    categories: int
    codec: str
    version: str
    rounds: str = ""


@dataclass(frozen=True)
class RunFacts:
    """What is known of a training; ``dataset_id`` is on the Hub, ``judged`` says how the figures were taken."""

    dataset: str
    dataset_id: str | None
    data: Sequence[str]
    command: str
    seed: int
    steps: int
    versions: Mapping[str, str]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    judged: str = ""
    limits: Sequence[str] = ()


@dataclass(frozen=True)
class Samples:
    """What a card shows: generated texts or rows, or a grid of images as the bytes of a PNG."""

    lines: Sequence[str] = field(default=())
    picture: bytes | None = None


def render_card(model: ModelFacts, run: RunFacts | None, samples: Samples, reference: str) -> str:
    """A card as Markdown, with its digest; ``reference`` is the Hub id or folder name to load the model by."""
    limits = [
        *(() if run is None else run.limits),
        "The model gives what its training data hold, with their errors and their bias, and may repeat parts of them.",
    ]
    if run is None:
        limits.append("Nothing is said here of how it was trained, and how good it is was not measured.")
    elif not run.figures:
        limits.append("No figures were taken: how good it is was not measured.")
    text = render(
        "card.md",
        model=model,
        run=run,
        words=model.words,
        directions=WORDS,
        limits=limits,
        metadata=markup(_metadata(model, run, reference.rsplit("/", 1)[-1])),
        generator=markup(model.generator),
        picture=None if samples.picture is None else markup(PICTURE_FILE),
        lines=markup(fenced(samples.lines)) if samples.lines else "",
        loading=markup(_loading_line(reference)),
        command=None if run is None else markup(fenced(_folded(run.command), most=100)),
        baselines=[] if run is None else baselines_of(run.figures.values())[:MAX_BASELINES],
        indent=markup("&nbsp;&nbsp;"),
    )
    return sealed(text)


def write_card(folder: Path, text: str, picture: bytes | None) -> bool:
    """Put a card with its picture into a folder; False where one that somebody wrote or edited stays instead."""
    card, former = folder / CARD_FILE, existing_card(folder)
    if card.exists() and (former is None or not is_as_written(former)):
        return False
    if picture is not None:
        with replacing_file(folder / PICTURE_FILE) as file:
            file.write(picture)
    replace_text(card, text, errors="replace")
    if picture is None and former is not None and _SHOWS_PICTURE in former:
        (folder / PICTURE_FILE).unlink(missing_ok=True)
    return True


def existing_card(folder: Path) -> str | None:
    """The text of the card in a folder; None if there is none that can be read."""
    with suppress(OSError, ValueError):
        return read_text(folder / CARD_FILE, MAX_TEXT_BYTES)
    return None


def existing_picture(folder: Path, text: str) -> bytes | None:
    """The PNG that a card shows; None if it shows none, or there is none."""
    path = folder / PICTURE_FILE
    if _SHOWS_PICTURE not in text or not path.is_file():
        return None
    with suppress(OSError):
        return path.read_bytes()
    return None


def remove_card(folder: Path) -> None:
    """Delete the card of an earlier model, unless somebody wrote or edited it, and the picture that it shows."""
    former = existing_card(folder)
    if former is not None and is_as_written(former):
        (folder / CARD_FILE).unlink(missing_ok=True)
        if _SHOWS_PICTURE in former:
            (folder / PICTURE_FILE).unlink(missing_ok=True)


def sealed(text: str) -> str:
    """A card with the digest of its text behind it."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return f"{text}\n<!-- bgan_discrete: card {digest}; remove this line if you edit the card -->\n"


def is_as_written(card: str) -> bool:
    """Whether a card is one of ours that nobody edited."""
    text, _, seal = card.rpartition("\n<!--")
    return _SEAL.fullmatch(f"<!--{seal}") is not None and sealed(text) == card


def tells_of_run(card: str) -> bool:
    """Whether a card tells how the model was trained."""
    return _RUN_HEADING in card


def pointed_at(card: str, reference: str) -> str:
    """A card with another ``reference``, as of `render_card`, where it says how to load; sealed if it was."""
    named = f"- name: {json.dumps(reference.rsplit('/', 1)[-1])}"

    def change(text: str) -> str:
        return _LOADING.sub(lambda _: _loading_line(reference), _NAME.sub(lambda _: named, text, count=1), count=1)

    return _changed(card, change)


def with_license(card: str, name: str) -> str:
    """A card with a licence, as the Hub names it, in its metadata; sealed if it was."""
    return _changed(card, lambda text: text.replace("---\n", f"---\nlicense: {name}\n", 1))


def fenced(lines: Sequence[str], most: int = MAX_LINES) -> str:
    """At most so many lines as they are, in a block of code that nothing in them can end."""
    shown = [_cut(unbroken(line)) for line in lines[:most]]
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *shown, fence])


def _changed(card: str, change: Any) -> str:
    if not is_as_written(card):
        return str(change(card))
    return sealed(change(card.rpartition("\n<!--")[0]))


def _loading_line(reference: str) -> str:
    return f"pipeline = bgan_discrete.load({json.dumps(reference)})  # the path of this folder, or an id on the Hub"


def _folded(command: str) -> list[str]:
    """A command on lines of moderate length, as a shell takes it."""
    lines: list[str] = []
    for option in re.split(r" (?=--)", unbroken(command)):
        if lines and len(lines[-1]) + len(option) < 110:
            lines[-1] += f" {option}"
        else:
            lines.append(f"    {option}" if lines else option)
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _metadata(model: ModelFacts, run: RunFacts | None, name: str) -> str:
    """The head of a card, as the Hub reads it."""
    words = model.words
    metadata: dict[str, Any] = {"library_name": "bgan_discrete"}
    if words.task is not None:
        metadata["pipeline_tag"] = words.task[0]
    metadata["tags"] = ["bgan_discrete", "gan", "boundary-seeking-gan", "discrete-data", *words.tags]
    if run is not None and run.dataset_id is not None:
        metadata["datasets"] = [run.dataset_id]
    found = [
        {"type": key, "name": figure.title.strip(), "value": figure.value}
        for key, figure in ({} if run is None else run.figures).items()
        if math.isfinite(figure.value)
    ]
    if run is not None and found and words.task is not None:
        data = {"type": run.dataset_id or "other", "name": run.dataset}
        results = {"task": {"type": words.task[0], "name": words.task[1]}, "dataset": data, "metrics": found}
        metadata["model-index"] = [{"name": name, "results": [results]}]
    return str(yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=1000))


def _cut(line: str) -> str:
    return line if len(line) <= MAX_CHARACTERS else f"{line[:MAX_CHARACTERS]} ..."
