"""The report of the table of rounds, made of its results file alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from experiments.laboratory import Table, mean_and_spread
from experiments.rounds_data import DATA_SETS

Record = Mapping[str, Any]
Row = tuple[str, int, int, str]
"""Training, S, C and budget."""

BETTER: dict[str, str] = {
    "JSD-4": "lower", "JSD-6": "lower", "right counts": "higher", "JSD of 3x3": "lower", "AUC": "lower",
    "features / floor": "lower",
}  # fmt: skip
"""Figures of quality, and which way is better."""

INTRODUCTION = """# The table of rounds

One network, drawn in S rounds, by likelihood and by the game; `plain`, or with one of C candidates of each round kept
by the discriminator. Figures are means ± standard deviations over seeds. A budget is in CPU seconds of one thread, or
in steps: `300 + 300 s` is a start by likelihood and a training of its own, which for `likelihood` with candidates is
that of a discriminator alone. The floor has real samples in the place of a model's, at the same count. The entropies
are in bits; nats of held-out and of the model's own samples are by a mixture over latents, and at least the true ones.
"""


def render(records: Sequence[Record]) -> str:
    """The report in Markdown."""
    lines = [INTRODUCTION]
    for name in DATA_SETS:
        of_data = [record for record in records if record["cell"].split("/")[0] == name and "rounds" not in record]
        if of_data:
            lines += _of_data(name, of_data)
    lines += [line for record in records if "rounds" in record for line in _of_speed(record)]
    return "\n".join(lines)


def _of_data(name: str, records: Sequence[Record]) -> list[str]:
    whole = [record for record in records if "figures" in record]
    failed = [f"- {record['cell']}, {record['budget']}: {record['failed']}" for record in records if "failed" in record]
    if not whole:
        return [f"## {name}", "", *failed, ""]
    rows: dict[Row, list[Record]] = {}
    for record in whole:
        _, training, rounds, sampling, _ = record["cell"].split("/")
        candidates = 1 if sampling == "plain" else int(sampling[1:])
        rows.setdefault((training, int(rounds), candidates, record["budget"]), []).append(record)
    titles = list(dict.fromkeys(title for record in whole for title in record["figures"]))
    columns = ["training", "S", "sampling", "budget", "steps", "seeds", *titles, "samples a second"]
    references = whole[-1]["references"]
    cells = [
        [label, "", "", "", "", "", *(f"{values[title]:.3f}" if title in values else "" for title in titles), ""]
        for label, values in references.items()
    ]
    for (training, rounds, candidates, budget), found in sorted(rows.items()):
        sampling = "plain" if candidates == 1 else f"C = {candidates}"
        seeds = ", ".join(sorted(record["cell"].split("/")[-1] for record in found))
        steps = f"{np.mean([record['steps'] for record in found]):.0f}"
        figures = [mean_of([record["figures"].get(title) for record in found]) for title in titles]
        speed = f"{np.mean([record['samples_per_second'] for record in found]):.0f}"
        cells.append([training, str(rounds), sampling, budget, steps, seeds, *figures, speed])
    table = Table(name, columns, cells)
    settings = {record["cell"].split("/")[1]: record for record in whole if record["cell"].split("/")[3] == "plain"}
    return [
        f"## {name}", "",
        f"{whole[-1]['count']:,} samples; torch {', '.join(sorted({record['torch'] for record in whole}))}.", "",
        table.markdown(), "",
        *_findings(rows), *failed, "",
        *(
            f"- Settings of {training} ({record['parameters']:,} parameters): "
            + ", ".join(f"{key} {value}" for key, value in record["settings"].items()) + "."
            for training, record in settings.items()
        ), "",
    ]  # fmt: skip


def mean_of(values: Sequence[float | None]) -> str:
    """Of seeds, with their spread where there are several; nothing for none."""
    there = [value for value in values if value is not None]
    if not there:
        return ""
    return mean_and_spread(there) if len(there) > 1 else f"{there[0]:.3f}"


def _findings(rows: Mapping[Row, Sequence[Record]]) -> list[str]:
    """The game against its likelihood twin, in as many rounds, with as many candidates and the same total budget."""
    lines = []
    for (training, rounds, candidates, budget), found in sorted(rows.items()):
        if training not in ("game", "alone"):
            continue
        twins = [
            records for (other, s, c, _), records in rows.items()
            if (other, s, c) == ("likelihood", rounds, candidates) and records[0]["total"] == found[0]["total"]
        ]  # fmt: skip
        for twin in twins:
            for title in [title for title in BETTER if title in found[0]["figures"]]:
                lines.append(f"- S = {rounds}, C = {candidates}, {budget}: {compared(training, title, found, twin)}")
    return lines


def compared(
    training: str,
    title: str,
    found: Sequence[Record],
    twin: Sequence[Record],
    of: str = "likelihood",
    budget: str = " of the same total budget",
) -> str:
    """A figure of a training against that of a twin, by the larger spread of their seeds."""
    ours, theirs = ([record["figures"][title] for record in records] for records in (found, twin))
    gain = (np.mean(theirs) - np.mean(ours)) * (1 if BETTER[title] == "lower" else -1)
    shown = f"{training} {mean_of(ours)}, {of} {mean_of(theirs)}{budget}"
    if min(len(ours), len(theirs)) < 2:
        return f"{title} of {shown} (too few seeds for a spread)."
    spread = max(np.std(ours, ddof=1), np.std(theirs, ddof=1))
    verdict = "better" if gain > spread else "worse" if gain < -spread else "within the seeds' spread"
    return f"{title} of {shown}: {verdict}."


def _of_speed(record: Record) -> list[str]:
    columns = ["generator", "S", "passes a sample", "samples a second"]
    rows = [[row["generator"], str(row["S"]), str(row["passes"]), f"{row['rate']:.0f}"] for row in record["rounds"]]
    lines = [
        f"- A step of the game, S = {s} against S = 1, by {name}: {ratio:.2f}" for name, s, ratio in record["steps"]
    ]
    table = Table("speed", columns, rows).markdown()
    return [
        f"## Speed, {record['cell'].split('/')[0]}",
        "",
        f"{record['budget']}.",
        "",
        table,
        "",
        *lines,
        "",
    ]
