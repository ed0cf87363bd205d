"""The report of a run, or of several, as one HTML file that needs nothing else."""

import base64
import hashlib
import io
import shlex
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from bgan_discrete.diagnosis import (
    Finding,
    Outcome,
    by_severity,
    check_outcome,
    check_training,
    split_options,
)
from bgan_discrete.durable import read_bytes, replace_text
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.reporting.charts import Chart, Curve, draw
from bgan_discrete.reporting.html_tables import (
    changed_options,
    classes_table,
    differences_table,
    differing_options,
    metrics_side_by_side,
    metrics_table,
    options_of,
    options_table,
    samples_table,
)
from bgan_discrete.reporting.markup import Markup, element, join
from bgan_discrete.reporting.record import MAX_BYTES, NEIGHBOURS, PAGE, RunRecord, is_inside, load_record, read_lines
from bgan_discrete.reporting.style import CSS, SCRIPT

MAX_FRAMES = 24
FRAME_BYTES = 1_500_000
"""Of all pictures of a slider; there are fewer frames where they are large."""

LARGE_PICTURE_BYTES, LARGE_PICTURE_PIXELS = 300_000, 700
"""A larger PNG goes into the page as a JPEG of at most so many pixels a side."""

FRAME_LINES, SHOWN_LINES, LINE_CHARACTERS = 20, 100, 200

PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...], dict[str, Any]], ...] = (
    ("Mean D", "", (("d_real", "D(real)"), ("d_fake", "D(fake)")), {"aim": 0.5}),
    ("Mean log-ratio F", "nats", (("log_ratio_real", "F(real)"), ("log_ratio_fake", "F(fake)")), {"aim": 0.0}),
    ("Losses", "", (("discriminator_loss", "discriminator"), ("generator_loss", "generator")), {}),
    ("Likelihood loss", "nats a sample", (("likelihood_loss", "pre-training"),), {}),
    ("log beta", "nats", (("log_beta", "log beta"),), {"aim": 0.0}),
    ("Effective sample size", "ESS/M", (("ess_fraction", "ESS/M"),), {"aim": 1.0, "bounds": (0.0, 1.0)}),
    ("Spread of the log weights", "nats", (("log_weight_std", "standard deviation"),), {"bounds": (0.0, 0.0)}),
    (
        "Gradient norms",
        "",
        (("generator_gradient_norm", "generator"), ("discriminator_gradient_norm", "discriminator")),
        {"may_be_logarithmic": True},
    ),
    ("Gradient penalty", "", (("penalty", "penalty"),), {"may_be_logarithmic": True}),
    ("Throughput", "steps a second", (("steps_per_second", "steps"),), {"bounds": (0.0, 0.0)}),
)
"""Title, unit, figures of ``metrics.jsonl`` with their names, and what else a chart has."""

SEVERITY_WORDS = {"critical": "Critical", "warning": "Warning", "note": "Note"}


def write_report_page(run: str | Path, output: str | Path | None = None) -> Path:
    """Write the report of one run.

    Args:
        run: The run's folder, finished or not.
        output: The HTML file; ``report.html`` in the run's folder if None.

    Returns:
        The file.

    Raises:
        InputError: If ``run`` is not the folder of a run, a file in it cannot be read, or ``output`` is no HTML file.
    """
    record = load_record(run)
    path = record.root / PAGE if output is None else check_output(output)
    return _write(path, report_page(record))


def write_comparison_page(runs: Sequence[str | Path], output: str | Path) -> Path:
    """Write a report of several runs beside each other.

    Args:
        runs: At least two folders, all of images, all of text, or all of arrays and tables.
        output: The HTML file.

    Returns:
        The file.

    Raises:
        InputError: As for `write_report_page`, or if there is one run, one is named twice, or the kinds differ.
    """
    path = check_output(output)
    records = [load_record(run) for run in runs]
    return _write(path, comparison_page(records))


def check_output(output: str | Path) -> Path:
    """The path of an HTML file.

    Raises:
        InputError: If it does not end in .html, or is a folder.
    """
    path = Path(output)
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise InputError(f"output must be a file that ends in .html, got {str(output)!r}")
    return path


def findings_of(record: RunRecord) -> list[Finding]:
    """All that is to be said of a run's health, the worst first."""
    found = check_training(record.lines, record.options)
    was_ill = any(finding.severity == "critical" for finding in found)
    facts = {**record.report, **record.facts}
    return by_severity(check_outcome(Outcome(record.figures, facts, record.options, record.samples, was_ill)) + found)


def report_page(record: RunRecord) -> str:
    """The HTML of one run's report."""
    parts = [
        ("health", "Health", _health(record)),
        ("metrics", "Metrics", _tried(lambda: _metrics(record))),
        ("samples", "Samples of the final model", _tried(lambda: _final_samples(record))),
        ("progress", "Samples as the training went", _tried(lambda: _progress(record))),
        ("curves", "Curves", _tried(lambda: _curves([record], [record.name]))),
        ("options", "What was trained, and how", _tried(lambda: _provenance(record))),
    ]
    return _page(f"Run {record.name}", _tried(lambda: _summary(record)), parts)


def _tried(build: Callable[[], Markup]) -> Markup:
    """A part of the page; the reason where it cannot be made of what the files hold, which others may have changed."""
    try:
        return build()
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        said = f"This cannot be shown: a file of the run does not hold what a run writes ({one_line(error)})."
        return element("p", said, class_="quiet")


def comparison_page(records: Sequence[RunRecord]) -> str:
    """The HTML of a comparison of several runs.

    Raises:
        InputError: If there is one run, one is named twice, or the kinds differ.
    """
    if len(records) < 2:
        raise InputError(f"runs to compare must be at least two, got {len(records)}")
    roots = [record.root.resolve() for record in records]
    twice = next((root for place, root in enumerate(roots) if root in roots[:place]), None)
    if twice is not None:
        raise InputError(f"run {str(twice)!r} is named twice")
    if len({record.kind for record in records}) > 1:
        kinds = ", ".join(f"{str(record.root)!r} is of {record.kind}" for record in records)
        raise InputError(f"runs to compare must be all of images, all of text or all of rows: {kinds}")
    names = _distinct_names(roots)
    differing = differing_options(records)
    options = differences_table(differing, names) if differing else element("p", "All options are the same.")
    counts = {str(record.report["num_samples"]) for record in records if "num_samples" in record.report}
    metrics = join(
        _tried(lambda: metrics_side_by_side(records, names) or element("p", "None of the runs has metrics.")),
        element("p", f"The numbers of samples differ ({', '.join(sorted(counts))}), and figures depend on them.")
        if len(counts) > 1
        else None,
    )
    health = join(*(join(element("h3", name), _health(record)) for name, record in zip(names, records, strict=True)))
    parts = [
        ("options", "Options that differ", options),
        ("metrics", "Metrics", metrics),
        ("samples", "Samples of the final models", _tried(lambda: _samples_beside(records, names))),
        ("curves", "Curves", _tried(lambda: _curves(records, names))),
        ("health", "Health", health),
    ]
    return _page(f"Comparison of {len(records)} runs", element("p", ", ".join(names), class_="summary"), parts)


def _page(title: str, summary: Markup, parts: Sequence[tuple[str, str, Markup]]) -> str:
    links = [element("li", element("a", heading, href=f"#{name}")) for name, heading, _ in parts]
    sections = [
        element("section", element("h2", heading), content, id=name, aria_label=heading)
        for name, heading, content in parts
    ]
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(CSS)}'; script-src '{_digest(SCRIPT)}'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(CSS)),
    )
    body = element(
        "body",
        element("header", element("h1", title), summary, element("nav", element("ul", *links), aria_label="contents")),
        element("main", *sections),
        element("script", Markup(SCRIPT)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _digest(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _write(path: Path, page: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, page, errors="replace")
    return path


def _part(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {name: values[name]} if name in values else {}


def _distinct_names(roots: Sequence[Path]) -> list[str]:
    """The folders' names, with as many of their parents as tell them apart."""
    deepest = max(len(root.parts) for root in roots)
    for depth in range(1, deepest + 1):
        names = ["/".join(root.parts[-depth:]) for root in roots]
        if len(set(names)) == len(names):
            return names
    return [str(root) for root in roots]


def _summary(record: RunRecord) -> Markup:
    training = record.report.get("training") or record.facts.get("training") or {}
    said = [f"{record.kind}, data set {record.options.get('dataset')}"]
    if training:
        said.append(
            f"{training['steps']:,} steps in {_duration(training['seconds'])}, ended by {training['stopped_by']}"
        )
    elif record.lines:
        said.append(f"{record.lines[-1]['step']:,} steps so far")
    if record.facts.get("started"):
        said.append(f"started {record.facts['started']}")
    return element("p", "; ".join(said), ".", class_="summary")


def _duration(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minute} min"
    return f"{minutes} min" + (f" {second} s" if second else "") if minutes else f"{second} s"


def _health(record: RunRecord) -> Markup:
    return _tried(lambda: _findings(findings_of(record)))


def _findings(findings: Sequence[Finding]) -> Markup:
    good = None
    if all(finding.severity == "note" and finding.key != "too_short" for finding in findings):
        said = element(
            "p",
            element("strong", "Nothing found."),
            " No diagnostic or metric left its safe range. How near the model comes to the data, the metrics say, "
            "beside their floors.",
        )
        good = element("li", said, class_="finding good")
    items = [
        element(
            "li",
            element("p", element("strong", f"{SEVERITY_WORDS[finding.severity]}: "), _with_flags(finding.seen)),
            element("p", _with_flags(finding.advice)),
            class_=f"finding {finding.severity}",
            data_key=finding.key,
        )
        for finding in findings
    ]
    return element("ul", good, *items, class_="findings")


def _with_flags(sentence: str) -> Markup:
    """A sentence whose options are flags, which do not break at their hyphens."""
    parts = split_options(sentence)
    return join(*(join(text, element("code", flag, class_="flag") if flag else None) for text, flag in parts))


def _metrics(record: RunRecord) -> Markup:
    if not record.figures:
        return element(
            "p", "No metrics were taken: the run has not come to its end, or was started with --num-samples 0."
        )
    report = record.report
    note = str(report.get("method", ""))
    classes = classes_table(report)
    accuracy = report.get("classifier_accuracy")
    return join(
        metrics_table(record.figures),
        element("p", note, class_="quiet"),
        element("h3", "Classes of the samples, by a classifier") if classes else None,
        classes,
        element("p", f"The classifier is right on {accuracy:.1%} of the held-out images.", class_="quiet")
        if classes and accuracy is not None
        else None,
    )


def _final_samples(record: RunRecord) -> Markup:
    found = record.facts.get("neighbours")
    pairs = [pair for pair in found[:MAX_FRAMES] if isinstance(pair, dict)] if isinstance(found, list) else []
    if record.kind != "images":
        lines = record.samples[:SHOWN_LINES]
        if not lines:
            return element("p", "There are no samples of the final model yet.")
        more = element("details", element("summary", f"{len(lines)} samples"), _lines(lines))
        if not pairs:
            return join(_lines(lines[:FRAME_LINES]), more)
        searched = pairs[0].get("searched", 0)
        if record.kind == "rows":
            note = f"Distance: codes that differ, of as many as a row has. Searched: {searched:,} training rows."
            return join(
                _lines(lines[:FRAME_LINES]),
                more,
                element("h3", "Samples, each beside its nearest training row"),
                samples_table(pairs, "row"),
                element("p", note, class_="quiet"),
            )
        note = (
            "Distance: tokens to insert, delete or exchange, of as many as the sample has. Searched: "
            f"{searched:,} training texts, and all of them for copies."
        )
        return join(samples_table(pairs, "text"), element("p", note, class_="quiet"), more)
    picture = _picture(record, "samples.png", "A grid of samples of the final model")
    if picture is None:
        return element("p", "There are no samples of the final model yet.")
    beside = _tried(lambda: _image_pairs(record, pairs))
    classes = list(record.report.get("class_shares") or {}) if record.options.get("conditional") else []
    return join(
        element("div", picture, class_="picture"),
        element("p", f"A class in each row: {_named(classes)}.", class_="quiet") if classes else None,
        element("h3", "Samples, each beside its nearest training image") if beside else None,
        beside,
    )


def _named(classes: Sequence[str], most: int = 20) -> str:
    return ", ".join(classes[:most]) + (", ..." if len(classes) > most else "")


def _image_pairs(record: RunRecord, pairs: Sequence[dict[str, Any]]) -> Markup:
    """Each sample with its neighbour, cut out of the picture that holds them."""
    path = record.root / NEIGHBOURS
    if not pairs or not is_inside(path, record.root):
        return Markup("")
    whole = _opened(read_bytes(path, MAX_BYTES)).convert("RGB")
    width, height = whole.width // len(pairs), whole.height // 2
    items = []
    for place, pair in enumerate(pairs):
        cut = [whole.crop((place * width, row * height, (place + 1) * width, (row + 1) * height)) for row in range(2)]
        images = [
            element("img", src=_data_uri(_png(part), "png"), alt=f"{what} {place + 1}", width=width, height=height)
            for part, what in zip(cut, ("sample", "nearest training image of sample"), strict=True)
        ]
        said = f"{pair['differing']:.0%} of the codes differ; distance {pair['distance']:.3f}"
        items.append(element("li", element("div", *images), element("p", said, class_="quiet")))
    note = (
        "Left the sample, right the training image that is nearest in pixels; the distance is the root mean square "
        "difference, as a share of the grey scale."
    )
    return join(element("ul", *items, class_="pairs"), element("p", note, class_="quiet"))


def _progress(record: RunRecord) -> Markup:
    """The frames of the samples under a slider; in a row that scrolls where no script runs."""
    frames = _chosen(record.frames())
    if not frames:
        seen = f"None were written: see `sample_interval` (now {record.options.get('sample_interval')})."
        return element("p", _with_flags(seen))
    figures = []
    for step, path in frames:
        shown = (
            _picture(record, f"samples/{path.name}", f"Samples at step {step:,}")
            if record.kind == "images"
            else _lines(read_lines(path)[:FRAME_LINES])
        )
        figures.append(
            element("figure", element("figcaption", f"step {step:,}", class_="quiet"), shown, data_step=step)
        )
    slider = (
        element(
            "div",
            element("label", "Training step", for_="frame"),
            element("input", type="range", id="frame", min=0, max=len(frames) - 1, step=1, value=len(frames) - 1),
            element("output", for_="frame"),
            class_="slider",
            hidden=True,
        )
        if len(frames) > 1
        else None
    )
    kind = "slides" if record.kind == "images" else "slides texts"
    row = element("div", *figures, class_=kind, tabindex="0", role="group", aria_label="samples by step")
    said = element("p", "The same latents at every step.", class_="quiet")
    return element("div", slider, row, said if slider else None, class_="progress" if slider else None)


def _chosen(frames: Sequence[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """Evenly spaced frames, the last among them, that keep within the page's size."""
    if not frames:
        return []
    mean = sum(min(path.stat().st_size, LARGE_PICTURE_BYTES) for _, path in frames) / len(frames)
    count = max(2, min(MAX_FRAMES, len(frames), int(FRAME_BYTES / max(mean, 1))))
    if count >= len(frames):
        return list(frames)
    places = {round(k * (len(frames) - 1) / (count - 1)) for k in range(count)}
    return [frames[place] for place in sorted(places)]


def _curves(records: Sequence[RunRecord], names: Sequence[str]) -> Markup:
    """A chart for each panel of which any run has figures."""
    charts = []
    for title, unit, figures, extra in PANELS:
        curves = []
        for place, (record, run) in enumerate(zip(records, names, strict=True)):
            for number, (key, name) in enumerate(figures):
                points = [
                    (float(line["step"]), float(line[key]))
                    for line in record.lines
                    if isinstance(line.get(key), (int, float))
                ]
                if not any(abs(value) < float("inf") for _, value in points):
                    continue
                if len(records) == 1:
                    curves.append(Curve(name, points, number, number))
                else:
                    label = run if len(figures) == 1 else f"{run}: {name}"
                    curves.append(Curve(label, points, place, number + 2 * (place // 6)))
        if curves:
            charts.append(draw(Chart(title, unit, curves, **extra)))
    if not charts:
        return element("p", "No figures were logged yet.")
    return element("div", *charts, class_="charts")


def _provenance(record: RunRecord) -> Markup:
    changed, facts = changed_options(record), record.facts
    parts: list[object] = []
    if facts.get("command"):
        parts += [element("h3", "Command"), element("pre", " ".join(map(_quoted, facts["command"])), tabindex="0")]
    parts.append(element("h3", "Options that differ from their defaults"))
    parts.append(
        options_table(changed, "options that differ from their defaults")
        if changed
        else element("p", "All options have their default values.")
    )
    every = options_of(record)
    parts.append(
        element("details", element("summary", f"All {len(every)} options"), options_table(every, "all options"))
    )
    if facts.get("description"):
        parts += [element("h3", "Data"), element("pre", facts["description"], tabindex="0")]
    versions = facts.get("versions") or {
        "bgan_discrete": record.report.get("version"),
        "torch": record.report.get("torch"),
    }
    said = [f"{name} {version}" for name, version in versions.items() if version]
    said += [str(facts[name]) for name in ("networks", "device", "platform") if facts.get(name)]
    parts += [element("h3", "Made with"), element("p", "; ".join(said) or "unknown")]
    return join(*parts)


def _quoted(argument: object) -> str:
    return shlex.quote(str(argument))


def _samples_beside(records: Sequence[RunRecord], names: Sequence[str]) -> Markup:
    parts = []
    for record, name in zip(records, names, strict=True):
        if record.kind != "images":
            shown: Markup | None = _lines(record.samples[:FRAME_LINES]) if record.samples else None
        else:
            shown = _picture(record, "samples.png", f"A grid of samples of {name}")
        parts.append(element("div", element("h3", name), shown or element("p", "No samples yet.")))
    return element("div", *parts, class_="side")


def _lines(lines: Iterable[str]) -> Markup:
    cut = [line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]} ..." for line in lines]
    return element("pre", "\n".join(cut), tabindex="0")


def _picture(record: RunRecord, name: str, alt: str) -> Markup | None:
    """A PNG file as an image inside the page; None if it is not there, a sentence if it cannot be shown."""
    path = record.root / name
    try:
        if not is_inside(path, record.root):
            return None
        content, kind = read_bytes(path, MAX_BYTES), "png"
        opened = _opened(content)
        width, height = opened.size
        if len(content) > LARGE_PICTURE_BYTES:
            smaller = opened.convert("RGB")
            smaller.thumbnail((LARGE_PICTURE_PIXELS, LARGE_PICTURE_PIXELS))
            width, height = smaller.size
            buffer = io.BytesIO()
            smaller.save(buffer, format="JPEG", quality=85)
            content, kind = buffer.getvalue(), "jpeg"
    except (OSError, ValueError) as error:
        return element("p", f"{name} cannot be shown: {one_line(error)}", class_="quiet")
    return element("img", src=_data_uri(content, kind), alt=alt, width=width, height=height)


def _opened(content: bytes) -> Image.Image:
    """A PNG of a size that can be decoded, decoded; ValueError for whatever is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(content), formats=("PNG",))
        opened.load()
    except Exception as error:  # Pillow raises many types for a damaged file
        raise ValueError(one_line(error)) from None
    return opened


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
