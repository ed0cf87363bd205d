"""The report of a run, or of several, as one HTML file that needs nothing else."""

import base64
import hashlib
import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bgan_discrete.diagnosis import Finding, Outcome, by_severity, check_judged, check_outcome, check_training
from bgan_discrete.diagnosis.findings import split_options
from bgan_discrete.durable import replace_text
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.metrics.figure import WORDS, Figure, baselines_of, figures_of
from bgan_discrete.reporting.charts import charts_of
from bgan_discrete.reporting.course import course_of
from bgan_discrete.reporting.pictures import LARGE_BYTES, Picture, picture_of, pictures_in_row, pictures_of_pairs
from bgan_discrete.reporting.record import NEIGHBOURS, NOT_OPTIONS, PAGE, ROUNDS, RunRecord, load_record, read_lines
from bgan_discrete.reporting.rounds import MAX_LINES, hexadecimal, rgb_of_code, rgb_of_round
from bgan_discrete.reporting.table_parts import sections_of_table
from bgan_discrete.templating import TEMPLATES, markup, render

MAX_FRAMES = 24
FRAME_BYTES = 1_500_000
"""Of all pictures of a slider; there are fewer frames where they are large."""

FRAME_LINES, SHOWN_LINES, LINE_CHARACTERS = 20, 100, 200
SHOWN_CLASSES = 20
UNSURE = ("unfinished", "too_short")
"""Findings by which it is too early to say how good a run is."""

UNLIKE = "far_from_data"
"""The finding by which samples differ from the data, though no fault is known."""

FILES = {"css": "page.css", "script": "page.js"}


def write_report_page(run: str | Path, output: str | Path | None = None) -> Path:
    """Write the HTML report of a run, finished or not; into its own folder if ``output`` is None."""
    record = load_record(run)
    path = record.root / PAGE if output is None else check_output(output)
    return _write(path, report_page(record))


def write_comparison_page(runs: Sequence[str | Path], output: str | Path) -> Path:
    """Write an HTML report of at least two runs of one kind of data beside each other."""
    path = check_output(output)
    records = [load_record(run) for run in runs]
    return _write(path, comparison_page(records))


def write_evaluation_page(document: Mapping[str, Any], output: str | Path) -> Path:
    """Write an evaluation of synthetic tables without a model, of the form of its ``report.json``, as an HTML page."""
    return _write(check_output(output), evaluation_page(document))


def check_output(output: str | Path) -> Path:
    """The path of an HTML file; InputError if it does not end in .html, or is a folder."""
    path = Path(output)
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise InputError(f"output must be a file that ends in .html, got {str(output)!r}")
    return path


def findings_of(record: RunRecord) -> list[Finding]:
    """All that there is to report of a run's health, the worst first."""
    found = check_training(record.lines, record.values)
    was_ill = any(finding.severity == "critical" for finding in found)
    facts = {**record.report, **record.facts}
    facts["last_d_real"] = next((line["d_real"] for line in reversed(record.lines) if "d_real" in line), None)
    outcome = Outcome(record.figures, facts, record.values, record.samples, was_ill)
    judged = check_judged(outcome) if isinstance(facts.get("course"), dict) else []
    return by_severity(check_outcome(outcome) + judged + found)


def report_page(record: RunRecord) -> str:
    """The HTML of one run's report."""
    sections = [
        ("health", "Verdict", _part("health.html", lambda: _health(record))),
        ("samples", "Samples", _part("samples.html", lambda: _samples(record))),
        ("metrics", "Metrics", _part("metrics.html", lambda: _metrics(record))),
        ("curves", "Curves", _part("curves.html", lambda: {"charts": charts_of({record.name: record.lines})})),
        ("progress", "Samples as the training went", _part("progress.html", lambda: _progress(record))),
        ("options", "What was trained, and how", _part("origin.html", lambda: _origin(record))),
    ]
    of_table = [
        (id_, title, _part(template, build)) for id_, title, template, build in sections_of_table(record.report)
    ]
    sections[3:3] = of_table
    if isinstance(record.facts.get("course"), dict):
        sections.insert(
            3 + len(of_table), ("course", "Phases, and what was kept", _part("course.html", lambda: _course(record)))
        )
    if isinstance(record.facts.get("rounds"), dict):
        sections.insert(2, ("rounds", "Rounds: what is drawn when", _part("rounds.html", lambda: _rounds(record))))
    return _page(f"Run {record.name}", _part("summary.html", lambda: _summary(record)), sections)


def evaluation_page(document: Mapping[str, Any]) -> str:
    """The HTML of an evaluation of synthetic rows, without a model."""
    figures = figures_of(document)
    sentences = [f"real rows: {document['real']}", f"held-out rows: {document['held_out'] or 'half of the real rows'}"]
    sections = [
        ("metrics", "Metrics", _part("metrics.html", lambda: metrics_of(document, figures))),
        *((id_, title, _part(template, build)) for id_, title, template, build in sections_of_table(document)),
    ]
    summary = _part("summary.html", lambda: {"sentences": [*sentences, _nearness(figures.values()).rstrip(".")]})
    return _page(f"Synthetic table {document['synthetic']}", summary, sections)


def comparison_page(records: Sequence[RunRecord]) -> str:
    """The HTML of a comparison; InputError if there is one run, one is named twice, or their kinds differ."""
    if len(records) < 2:
        raise InputError(f"runs to compare must be at least two, got {len(records)}")
    roots = [record.root.resolve() for record in records]
    twice = next((root for place, root in enumerate(roots) if root in roots[:place]), None)
    if twice is not None:
        raise InputError(f"run {str(twice)!r} is named twice")
    if len({record.kind for record in records}) > 1:
        kinds = ", ".join(f"{str(record.root)!r} is of {record.kind}" for record in records)
        raise InputError(f"runs to compare must be of one kind of data: {kinds}")
    runs = dict(zip(_distinct_names(roots), records, strict=True))
    lines = {name: record.lines for name, record in runs.items()}
    sections = [
        ("verdicts", "Verdicts", _part("verdicts.html", lambda: {"verdicts": _verdicts(runs)})),
        ("options", "Options that differ", _part("differences.html", lambda: _differences(runs))),
        ("samples", "Samples", _part("samples_beside.html", lambda: _samples_beside(runs))),
        ("metrics", "Metrics", _part("metrics_beside.html", lambda: _metrics_beside(runs))),
        ("curves", "Curves", _part("curves.html", lambda: {"charts": charts_of(lines)})),
        *(
            (f"health-{number}", f"Health of {name}", _part("health.html", partial(_health, record)))
            for number, (name, record) in enumerate(runs.items(), 1)
        ),
    ]
    summary = markup(render("summary.html", sentences=[", ".join(runs)]))
    return _page(f"Comparison of {len(runs)} runs", summary, sections)


def _part(template: str, build: Callable[[], Mapping[str, Any]]) -> str:
    """A part of the page; the reason where it cannot be made of what the files hold, which others may have changed."""
    try:
        return markup(render(template, **build()))
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        return markup(render("fault.html", fault=one_line(error)))


def _page(title: str, summary: str, sections: Sequence[tuple[str, str, str]]) -> str:
    texts = {name: (TEMPLATES / file).read_text(encoding="utf-8") for name, file in FILES.items()}
    digests = {name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in texts.items()}
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src 'sha256-{digests['css']}'; script-src 'sha256-{digests['script']}'"
    )
    parts = {name: markup(text) for name, text in texts.items()}
    return render("page.html", title=title, summary=summary, sections=sections, policy=markup(policy), **parts)


def _write(path: Path, page: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, page, errors="replace")
    return path


def _distinct_names(roots: Sequence[Path]) -> list[str]:
    """The folders' names, with as many of their parents as tell them apart."""
    deepest = max(len(root.parts) for root in roots)
    for depth in range(1, deepest + 1):
        names = ["/".join(root.parts[-depth:]) for root in roots]
        if len(set(names)) == len(names):
            return names
    return [str(root) for root in roots]


def _summary(record: RunRecord) -> dict[str, Any]:
    training = record.report.get("training") or record.facts.get("training") or {}
    sentences = [f"{record.kind}, data set {record.values['dataset']}"]
    if training:
        time = _duration(training["seconds"])
        sentences.append(f"{training['steps']:,} steps in {time}, ended by {training['stopped_by']}")
    elif record.lines:
        sentences.append(f"{record.lines[-1]['step']:,} steps so far")
    if record.facts.get("started"):
        sentences.append(f"started {record.facts['started']}")
    return {"sentences": sentences}


def _duration(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minute} min"
    return f"{minutes} min" + (f" {second} s" if second else "") if minutes else f"{second} s"


def _health(record: RunRecord) -> dict[str, Any]:
    """The verdict in a line, how near the model is to the data, and every finding with its options as flags."""
    found = findings_of(record)
    findings = [
        {"finding": finding, "seen": split_options(finding.seen), "advice": split_options(finding.advice)}
        for finding in found
    ]
    return {"verdict": _verdict(found), "nearness": _nearness(record.figures.values()), "findings": findings}


def _verdict(found: Sequence[Finding]) -> dict[str, str]:
    count = {severity: sum(finding.severity == severity for finding in found) for severity in ("critical", "warning")}
    if count["critical"]:
        return {"severity": "critical", "words": f"Not usable yet: {_counted(count['critical'], 'critical finding')}."}
    if count["warning"]:
        return {"severity": "warning", "words": f"Use with care: {_counted(count['warning'], 'warning')}."}
    if any(finding.key in UNSURE for finding in found):
        return {"severity": "note", "words": "Too early to tell."}
    if any(finding.key == UNLIKE for finding in found):
        return {"severity": "note", "words": "No fault found, but the samples are not yet like the data."}
    return {"severity": "good", "words": "No fault found: every diagnostic and metric is in its safe range."}


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _nearness(figures: Iterable[Figure]) -> str:
    """How many figures are nearer to real data than to the baseline, in words."""
    placed = [figure for figure in figures if figure.position is not None]
    near = sum(figure.position < 0.5 for figure in placed if figure.position is not None)
    if not placed:
        return ""
    baseline = baselines_of(placed)[0]
    return f"By {near} of {len(placed)} figures the samples are nearer to real data than to the baseline '{baseline}'."


def _verdicts(runs: Mapping[str, RunRecord]) -> list[dict[str, Any]]:
    return [
        {"name": name, **_verdict(findings_of(record)), "nearness": _nearness(record.figures.values())}
        for name, record in runs.items()
    ]


def _metrics(record: RunRecord) -> dict[str, Any]:
    return metrics_of(record.report, record.figures)


def metrics_of(report: Mapping[str, Any], figures: Mapping[str, Figure]) -> dict[str, Any]:
    """The figures of a report with their floors and baselines."""
    made, shares = report.get("class_histogram"), report.get("class_shares")
    classes = []
    if isinstance(made, dict) and isinstance(shares, dict):
        largest = max([*made.values(), *shares.values(), 1e-9])
        classes = [(name, made.get(name, 0.0), share, largest) for name, share in list(shares.items())[:100]]
    notes = report.get("notes")
    return {
        "figures": figures,
        "baselines": baselines_of(figures.values()),
        "words": WORDS,
        "method": str(report.get("method", "")),
        "notes": notes if isinstance(notes, list) else [],
        "classes": classes,
        "noun": str(report.get("noun") or "samples"),
        "accuracy": report.get("classifier_accuracy"),
    }


def _metrics_beside(runs: Mapping[str, RunRecord]) -> dict[str, Any]:
    rows = []
    for key in dict.fromkeys(key for record in runs.values() for key in record.figures):
        figures = [record.figures.get(key) for record in runs.values()]
        some = next(figure for figure in figures if figure is not None)
        floors = {some.shown(figure.floor) for figure in figures if figure is not None}
        floor = floors.pop() if len(floors) == 1 else "differs"
        rows.append({"some": some, "figures": figures, "best": best_of(figures), "floor": floor})
    counts = sorted({str(record.report["num_samples"]) for record in runs.values() if "num_samples" in record.report})
    return {"names": list(runs), "rows": rows, "words": WORDS, "counts": counts}


def best_of(figures: Sequence[Figure | None]) -> set[int]:
    """Places of the best values of one figure; none where runs do not differ or nothing says which way is better."""
    costs = {place: figure.cost(figure.value) for place, figure in enumerate(figures) if figure is not None}
    known = {place: cost for place, cost in costs.items() if not math.isnan(cost)}
    if len(set(known.values())) < 2:
        return set()
    return {place for place, cost in known.items() if cost == min(known.values())}


def _samples(record: RunRecord) -> dict[str, Any]:
    """The final samples, a picture or lines, and each beside its nearest training data."""
    neighbours = record.facts.get("neighbours")
    known = neighbours if isinstance(neighbours, dict) else {}
    pairs = [pair for pair in known.get("pairs", [])[:MAX_FRAMES] if isinstance(pair, dict)]
    classes = list(record.report.get("class_shares") or {}) if record.values.get("conditional") else []
    fault, cut = "", []
    try:
        cut = pictures_of_pairs(record.root, NEIGHBOURS, pairs)
    except (InputError, OSError, ValueError, ZeroDivisionError) as error:
        fault = one_line(error)
    return {
        "picture": picture_of(record.root, "samples.png", f"A grid of generated {record.noun}"),
        "classes": ", ".join(classes[:SHOWN_CLASSES]) + (", ..." if len(classes) > SHOWN_CLASSES else ""),
        "lines": _lines(record.samples[:SHOWN_LINES]),
        "first": FRAME_LINES,
        "noun": known.get("noun", ""),
        "note": known.get("note", ""),
        "pictures": [(*images, pair) for images, pair in zip(cut, pairs, strict=False)],
        "pairs": [pair for pair in pairs if "text" in pair],
        "fault": fault,
    }


def _rounds(record: RunRecord) -> dict[str, Any]:
    """What is drawn when: pictures, lines or columns, by what the kind of data shows."""
    known = record.facts["rounds"]
    count, stages = int(known["count"]), known["stages"][:MAX_LINES]
    alts = ["The round of each pixel", *(f"Samples after round {int(stage['last'])}" for stage in stages)]
    fault, pictures = "", []
    try:
        pictures = pictures_in_row(record.root, ROUNDS, alts)
    except (InputError, OSError, ValueError, ZeroDivisionError) as error:
        fault = one_line(error)
    values = known.get("values", [])
    return {
        "caption": known["caption"],
        "stages": [{**stage, "colour": hexadecimal(rgb_of_round(int(stage["last"]) - 1, count))} for stage in stages],
        "pictures": pictures,
        "values": [(value, hexadecimal(rgb_of_code(code, len(values)))) for code, value in enumerate(values)],
        "lines": known.get("lines", []),
        "cells": known.get("cells", []),
        "fault": fault,
    }


def _samples_beside(runs: Mapping[str, RunRecord]) -> dict[str, Any]:
    shown = []
    for name, record in runs.items():
        picture = picture_of(record.root, "samples.png", f"A grid of samples of {name}")
        shown.append((name, picture, _lines(record.samples[:FRAME_LINES])))
    return {"runs": shown}


def _course(record: RunRecord) -> dict[str, Any]:
    """The phases, and the words of the judge."""
    return course_of({**record.report, **record.facts}) or {"rows": [], "sentences": ["The training has not ended."]}


def _progress(record: RunRecord) -> dict[str, Any]:
    """Samples of the same latents by step."""
    frames: list[tuple[int, Picture | None, list[str]]] = []
    for step, path in _chosen(record.frames()):
        if path.suffix == ".png":
            frames.append((step, picture_of(record.root, f"samples/{path.name}", f"Samples at step {step:,}"), []))
        else:
            frames.append((step, None, _lines(read_lines(path)[:FRAME_LINES])))
    return {"frames": frames, "interval": record.values.get("sample_interval")}


def _chosen(frames: Sequence[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """Evenly spaced frames, the last among them, that keep within the page's size."""
    if not frames:
        return []
    mean = sum(min(path.stat().st_size, LARGE_BYTES) for _, path in frames) / len(frames)
    count = max(2, min(MAX_FRAMES, len(frames), int(FRAME_BYTES / max(mean, 1))))
    if count >= len(frames):
        return list(frames)
    places = {round(k * (len(frames) - 1) / (count - 1)) for k in range(count)}
    return [frames[place] for place in sorted(places)]


def _lines(lines: Iterable[str]) -> list[str]:
    return [line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]} ..." for line in lines]


def _origin(record: RunRecord) -> dict[str, Any]:
    """Command, options, data and versions."""
    facts, options = record.facts, list(record.options.values())
    of_report = {"bgan_discrete": record.report.get("version"), "torch": record.report.get("torch")}
    versions = facts.get("versions") or of_report
    made_with = [f"{name} {version}" for name, version in versions.items() if version]
    return {
        "command": " ".join(shlex.quote(str(word)) for word in facts.get("command") or ()),
        "changed": [o for o in options if o.help and o.value != o.default and o.name not in NOT_OPTIONS],
        "options": options,
        "description": str(facts.get("description") or ""),
        "made_with": made_with + [str(facts[name]) for name in ("networks", "device", "platform") if facts.get(name)],
    }


def _differences(runs: Mapping[str, RunRecord]) -> dict[str, Any]:
    """Options in which runs differ, with the value of each run."""
    rows = []
    for name in dict.fromkeys(name for record in runs.values() for name in record.options):
        values = [record.values.get(name) for record in runs.values()]
        if name not in NOT_OPTIONS and any(value != values[0] for value in values):
            option = next(record.options[name] for record in runs.values() if name in record.options)
            rows.append((option, values))
    return {"names": list(runs), "rows": rows}
