"""The evaluation of a saved model, and the file that keeps its figures."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bgan_discrete import __version__
from bgan_discrete.checks import check_at_least_one
from bgan_discrete.durable import replace_text
from bgan_discrete.errors import InputError
from bgan_discrete.kinds.kind import METRICS_SEED
from bgan_discrete.models.pipeline import load
from bgan_discrete.reporting.charts import plot_temperatures
from bgan_discrete.run_folder import check_output
from bgan_discrete.runs.discriminators import give_discriminator
from bgan_discrete.streams import say, write_product


def evaluate(
    model: str | Path,
    data: Any,
    num_samples: int,
    output: Path | None = None,
    *,
    against: str | Path | None = None,
    seed: int = METRICS_SEED,
    device: str = "auto",
    revision: str | None = None,
    resample: int = 1,
    rounds: int | None = None,
    **options: Any,
) -> Any:
    """Evaluate a saved model, print its figures and keep them, as ``bgan evaluate`` does; ``options`` are of its kind.

    The ``data`` are a section of the kind's configuration, and are encoded by the model's own codec. ``against`` is
    another model of the same data, of text, such as the same generator trained by maximum likelihood. A curve of
    temperatures goes next to ``output``, as a PNG.
    """
    # 1. What can be refused before any work.
    check_at_least_one(num_samples=num_samples, rounds=1 if rounds is None else rounds)
    if output is not None and output.is_dir():
        raise InputError(f"output must be a file such as report.json, got the folder {str(output)!r}")
    check_output(output, model, vars(data))
    pipeline = load(model, device, revision=revision)
    kind: Any = pipeline.kind
    if not isinstance(data, type(kind.config_class().data)):
        raise InputError(f"model {str(model)!r} is one of {kind.name}, and these are options of other data")
    give_discriminator(pipeline, model, resample)
    if against is not None:
        options["others"] = {"against": load(against, device)}
    if rounds is not None:
        options["rounds"] = rounds

    # 2. Data, samples, figures.
    encoded = kind.load(data, pipeline.codec)
    started = time.monotonic()
    say_evaluating(num_samples)
    report = kind.evaluate(pipeline, encoded, num_samples, seed, resample=resample, **options)

    # 3. For people, and for programs.
    say(f"dataset: {encoded.name}; held out: {encoded.heldout_source}")
    say("\n" + report.format_table() + "\n")
    for line in kind.remarks(report, encoded):
        say(line)
    if output is None:
        write_product("")  # what was printed must have arrived
        return report
    details = {"model": str(model), "seed": seed, "evaluation_seconds": round(time.monotonic() - started, 1)}
    drawn = {"resample": resample if resample > 1 else None, "rounds": rounds}
    write_report(output, report, encoded, {**details, **{k: v for k, v in drawn.items() if v is not None}})
    say(f"report: {output}")
    sweep, curve = report.facts.get("sweep"), output.with_suffix(".png")
    if sweep:
        plot_temperatures(sweep, curve)
        say(f"curve:  {curve}")
    return report


def say_evaluating(num_samples: int) -> None:
    """Say what takes the time that follows: the metrics, which may take as long as a short training."""
    say(f"evaluating {num_samples:,} samples; --num-samples sets how many")


def write_report(path: Path, report: Any, data: Any, details: Mapping[str, Any]) -> None:
    """Write figures on ``data`` as JSON, with ``details`` of plain types; the folder is created if missing."""
    document = {
        "dataset": data.name,
        "dataset_digest": data.digest,
        "held_out": data.heldout_source,
        "codec": data.codec.describe(),
        **report.to_dict(),
        **details,
        "version": __version__,
        "torch": torch.__version__,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")
