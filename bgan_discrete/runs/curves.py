"""The figures of a training as one picture; needs matplotlib (the extra ``report``)."""

import importlib.util
import math
from pathlib import Path
from typing import Any

from bgan_discrete.durable import replacing_file

PANELS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("mean D", ("d_real", "d_fake"), 0.5),
    ("mean F", ("log_ratio_real", "log_ratio_fake"), 0.0),
    ("log beta", ("log_beta",), 0.0),
    ("ESS / M", ("ess_fraction",), 1.0),
    ("losses", ("generator_loss", "discriminator_loss", "likelihood_loss"), None),
    ("gradient norms", ("generator_gradient_norm", "discriminator_gradient_norm"), None),
)
"""Title, figures of ``metrics.jsonl``, and the value at the optimum."""


def plot_curves(lines: list[dict[str, Any]], path: Path) -> bool:
    """Draw the curves of a run, if matplotlib is installed.

    Args:
        lines: The lines of ``metrics.jsonl``.
        path: The PNG to write.

    Returns:
        Whether it was written: not without matplotlib, nor without at least two lines.
    """
    if importlib.util.find_spec("matplotlib") is None or len(lines) < 2:
        return False
    # The object interface: pyplot would choose a window system and keep figures in a global list.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3).flat
    steps = [line["step"] for line in lines]
    for panel, (title, names, optimum) in zip(axes, PANELS, strict=True):
        for name in names:
            if any(name in line for line in lines):
                values = [line.get(name, math.nan) for line in lines]
                panel.plot(steps, values, label=name, linewidth=1.2)
        if optimum is not None:
            panel.axhline(optimum, color="grey", linewidth=0.8, linestyle="--", label="at the optimum")
        panel.set_title(title)
        panel.set_xlabel("step")
        if panel.lines:
            panel.legend(fontsize=8)
    _save(figure, path)
    return True


def plot_temperatures(sweeps: dict[str, list[dict[str, float]]], path: Path) -> bool:
    """Draw quality against diversity over the temperatures, if matplotlib is installed.

    Args:
        sweeps: Name of a model -> its points, from `bgan_discrete.kinds.text.sweep_temperatures`.
        path: The PNG to write.

    Returns:
        Whether it was written.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    pairs = (("forward perplexity", "reverse perplexity"), ("Self-BLEU-4", "BLEU-4"))
    for panel, (across, up) in zip(figure.subplots(1, 2), pairs, strict=True):
        for name, points in sweeps.items():
            if all(across in point and up in point for point in points):
                panel.plot([p[across] for p in points], [p[up] for p in points], marker="o", markersize=3, label=name)
                for point in points:
                    panel.annotate(f"{point['temperature']:g}", (point[across], point[up]), fontsize=7)
        panel.set_xlabel(across)
        panel.set_ylabel(up)
        panel.set_title("quality against diversity, by temperature")
        if panel.lines:
            panel.legend(fontsize=8)
    _save(figure, path)
    return True


def _save(figure: Any, path: Path) -> None:
    with replacing_file(path) as file:
        figure.savefig(file, dpi=110, format="png")
