"""Samples of a saved model into files, part by part, so that memory does not grow with their number."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.config import TargetConfig
from bgan_discrete.distributions.sampling import check_sharpening
from bgan_discrete.errors import InputError
from bgan_discrete.game.conditional import Effort
from bgan_discrete.game.drawing import kept_of_batch
from bgan_discrete.kinds.aims import Aims
from bgan_discrete.kinds.kind import Samples
from bgan_discrete.models.obeying import rules_to_check
from bgan_discrete.models.pipeline import Pipeline, load
from bgan_discrete.models.sampling import COMPLETED, decoding_rng
from bgan_discrete.run_folder import check_output
from bgan_discrete.runs.discriminators import give_discriminator
from bgan_discrete.sources.column_settings import split_names
from bgan_discrete.streams import say
from bgan_discrete.training.labels import labels_of_samples

PART = 1000
"""Samples that are drawn at once."""


def generate(
    model: str | Path,
    num_samples: int,
    output: Path | None = None,
    *,
    kind: str | None = None,
    seed: int = 0,
    device: str = "auto",
    revision: str | None = None,
    labels: str | None = None,
    columns: int | None = None,
    decode: str = "inside",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    prompt: str = "",
    given: Any = None,
    constraints: Sequence[str] | None = None,
    verifier: str | None = None,
    reward: str | None = None,
    reward_weight: str = "1",
    rounds: int | None = None,
    resample: int = 1,
) -> None:
    """Write samples of a saved model, as ``bgan generate`` does; most options are those of `Pipeline.generate`.

    The form goes by the suffix of ``output``, as each kind's ``write`` has it; there ``columns`` and ``decode`` are
    used too. ``labels`` have commas between them; ``given`` may be text, as each kind's ``given_codes`` has it. Memory
    holds `PART` samples, except for a grid of images.
    """
    # 1. What can be refused before the model is read.
    check_output(output, model)
    check_at_least_one(num_samples=num_samples, resample=resample, rounds=1 if rounds is None else rounds)
    if columns is not None:
        check_at_least_one(columns=columns)
    check_sharpening(temperature, top_k, top_p)
    target = _checked_target(reward, reward_weight)
    options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "prompt": prompt}
    options |= {"given": given, "constraints": constraints or (), "verifier": verifier, "rounds": rounds}
    if labels is not None:
        options["labels"] = [label.strip() for label in split_names(labels, "labels") or [""]]

    # 2. The model, and whether its samples can be written there.
    pipeline = load(model, device, revision=revision)
    if kind not in (None, pipeline.kind.name):
        raise InputError(f"model {str(model)!r} is one of {pipeline.kind.name}, not of {kind}")
    pipeline.kind.check_output(output, pipeline.codec)
    give_discriminator(pipeline, model, resample, is_needed=reward is None)

    # 3. Draw and write.
    effort = Effort()
    with Aims(pipeline.kind, pipeline.codec, target) as aims:
        if reward is not None:
            options["reward"] = aims.target("additive")
        parts = draw_in_parts(pipeline, num_samples, seed, resample=resample, decode=decode, **options)
        parts = _counted(parts, effort)
        pipeline.kind.write(parts, output, num_samples, pipeline.codec, columns=columns, decode=decode)
    if output is not None:
        for line in (*effort.lines(), *aims.lines(), f"{num_samples} samples: {output}"):
            say(line)


def _checked_target(reward: str | None, reward_weight: str) -> TargetConfig:
    """What draws are weighed by, whose weight is a number here: there are no data to choose it by."""
    if reward is None and reward_weight != "1":
        raise InputError(f"reward_weight needs a reward; leave it out, got {reward_weight!r}")
    target = TargetConfig(reward=reward, reward_weight=reward_weight)
    if target.weight[0] != "weight":
        raise InputError(f"reward_weight must be a number where samples are drawn, got {reward_weight!r}")
    return target


def _counted(parts: Iterator[Samples], effort: Effort) -> Iterator[Samples]:
    for part in parts:
        effort.add(part.effort)
        yield part


def draw_in_parts(
    pipeline: Pipeline, num_samples: int, seed: int, *, resample: int = 1, decode: str = "inside", **options: Any
) -> Iterator[Samples]:
    """The samples that one ``pipeline.generate`` would give, `PART` at a time, with a bar on a terminal."""
    check_at_least_one(num_samples=num_samples, resample=resample)
    rng = torch.Generator(pipeline.device).manual_seed(seed)
    classes = pipeline.num_classes
    shared = options.get("labels", range(classes or 0))
    places = None if classes is None else labels_of_samples(np.arange(len(shared)), num_samples, len(shared))
    given = None if options.get("given") is None else pipeline.given_codes(options["given"])
    given_of = np.arange(0) if given is None else given.rows_of(num_samples)
    complete = pipeline.kind.completion(pipeline.codec, num_samples, decoding_rng(seed, COMPLETED))
    options["decode"] = pipeline.kind.decoder(pipeline.codec, decode, decoding_rng(seed))
    constraints = pipeline.rules(options.get("constraints", ()), options.pop("verifier", None))
    of_given = () if given is None else given.rules
    rules = rules_to_check(constraints, of_given, decode)
    options["constraints"] = constraints
    if given is not None and decode == "ranges":
        given = replace(given, rules=(), exact={})
    # Always whole batches, so that the samples are those of one call.
    size = kept_of_batch(pipeline.generator, resample, pipeline.device, PART)
    if rules or (given is not None and given.is_weighted):
        size = PART
    with tqdm(total=num_samples, desc="drawing", unit=" samples", file=sys.stderr, disable=None, leave=False) as bar:
        for start in range(0, num_samples, size):
            count = min(size, num_samples - start)
            if places is not None:
                options["labels"] = [shared[place] for place in places[start : start + count]]
            if given is not None:
                options["given"] = given.taken(given_of[start : start + count])
            part = pipeline.generate(count, rng, PART, resample=resample, **options)
            part.values = complete(part.values, start)
            yield part
            bar.update(count)
