"""Curves over the training steps, drawn by matplotlib: for a page, and as pictures in a run's folder."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgan_discrete.durable import replacing_file
from bgan_discrete.metrics.figure import readable

MAX_POINTS = 400
"""A line is thinned to about so many points, of which each stretch keeps its lowest and its highest."""

OUTLIER_FACTOR = 6.0
"""Where the whole range is so much wider than that of 96 % of the points, the axis shows the latter."""

LOG_SPAN = 30.0
"""A logarithmic axis is taken, where it is allowed, if the largest value is so many times the smallest."""

COLOURS = {
    "light": ("#1565c0", "#c2410c", "#177245", "#8e24aa", "#6d4c41", "#00838f", "#5b6470", "#d8dde3"),
    "dark": ("#6cb2ff", "#ff9e66", "#6fd09a", "#d79bf0", "#c9ab9c", "#5fd0da", "#a3adb8", "#343b43"),
}
"""Of six curves, of text and of the grid; pictures are transparent."""

DASHES = ("", "6 3", "2 3", "8 3 2 3")
NUM_COLOURS = 6

Point = tuple[float, float]
Line = Mapping[str, Any]


@dataclass(frozen=True)
class _Panel:
    """What one chart shows: keys of ``metrics.jsonl`` and the names of their curves, and what the axis must show."""

    title: str
    unit: str
    figures: Mapping[str, str]
    aim: float | None = None
    may_be_logarithmic: bool = False
    least: float | None = None


PANELS = (
    _Panel("Mean D", "", {"d_real": "D(real)", "d_fake": "D(fake)"}, aim=0.5),
    _Panel("Mean log-ratio F", "nats", {"log_ratio_real": "F(real)", "log_ratio_fake": "F(fake)"}, aim=0.0),
    _Panel("Losses", "", {"discriminator_loss": "discriminator", "generator_loss": "generator"}),
    _Panel("Likelihood", "nats a sample", {"likelihood_loss": "training data", "heldout_nats": "kept back"}),
    _Panel("The judge, in the game", "lower is better", {"judge": "judge"}),
    _Panel("log beta", "nats", {"log_beta": "log beta"}, aim=0.0),
    _Panel("Effective sample size", "ESS/M", {"ess_fraction": "ESS/M"}, aim=1.0, least=0.0),
    _Panel("Spread of the log weights", "nats", {"log_weight_std": "standard deviation"}, least=0.0),
    _Panel(
        "Gradient norms",
        "",
        {"generator_gradient_norm": "generator", "discriminator_gradient_norm": "discriminator"},
        may_be_logarithmic=True,
    ),
    _Panel("Gradient penalty", "", {"penalty": "penalty"}, may_be_logarithmic=True),
    _Panel("Throughput", "steps a second", {"steps_per_second": "steps"}, least=0.0),
)


@dataclass(frozen=True)
class _Curve:
    """One line of a chart, by step; values that are not finite interrupt it."""

    name: str
    points: Sequence[Point]
    colour: int = 0
    dash: int = 0

    @property
    def values(self) -> list[float]:
        """Those that are finite."""
        return [value for _, value in self.points if math.isfinite(value)]

    @property
    def end(self) -> str:
        """The last value."""
        return readable(self.values[-1])

    @property
    def pattern(self) -> str:
        """The dashes, as SVG has them."""
        return DASHES[self.dash % len(DASHES)]


@dataclass(frozen=True)
class Chart:
    """A drawn panel: SVG as base64 for a light and a dark page; ``hidden`` points are beyond the axis."""

    panel: _Panel
    curves: Sequence[_Curve]
    pictures: Mapping[str, str]
    unit: str
    hidden: int

    @property
    def description(self) -> str:
        """In words, for those who do not see it."""
        ends = [f"{c.name} from {readable(c.values[0])} to {readable(c.values[-1])}" for c in self.curves]
        return f"{self.panel.title} over the training steps: {'; '.join(ends)}"


def charts_of(runs: Mapping[str, Sequence[Line]]) -> list[Chart]:
    """A chart for each panel of which any run, by its name, has figures; of several runs a colour is a run."""
    charts = []
    for panel in PANELS:
        curves = []
        for place, (run, lines) in enumerate(runs.items()):
            for number, (key, name) in enumerate(panel.figures.items()):
                points = _points(lines, key)
                if len(runs) > 1:
                    label = run if len(panel.figures) == 1 else f"{run}: {name}"
                    curves.append(_Curve(label, points, place, number + 2 * (place // NUM_COLOURS)))
                else:
                    curves.append(_Curve(name, points, number, number))
        curves = [curve for curve in curves if curve.values]
        if curves:
            charts.append(_draw(panel, curves))
    return charts


def _draw(panel: _Panel, curves: Sequence[_Curve]) -> Chart:
    """Draw a chart; each curve has a finite value."""
    from matplotlib import rc_context

    # No ids and no dates, so that a page is the same again; text stays text.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "chart", "font.size": 9}):
        figure, (axes,) = _new_figure(4.4, 2.3, 1, 1)
        hidden, is_logarithmic = _draw_panel(axes, panel, curves)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    light = stream.getvalue()
    dark = light
    for own, other in zip(COLOURS["light"], COLOURS["dark"], strict=True):
        dark = dark.replace(own, other)
    pictures = {name: base64.b64encode(svg.encode()).decode() for name, svg in (("light", light), ("dark", dark))}
    unit = ", ".join(word for word in (panel.unit, "logarithmic" if is_logarithmic else "") if word)
    return Chart(panel, curves, pictures, unit, hidden)


def plot_curves(lines: Sequence[Line], path: Path) -> bool:
    """Draw the curves of a run into a PNG; False without at least two lines, of which nothing is drawn."""
    if len(lines) < 2:
        return False
    curves = [
        [_Curve(name, _points(lines, key), number, number) for number, (key, name) in enumerate(panel.figures.items())]
        for panel in PANELS
    ]
    drawn = [(panel, found) for panel, of in zip(PANELS, curves, strict=True) if (found := [c for c in of if c.values])]
    figure, axes = _new_figure(13, 3 * math.ceil(len(drawn) / 3), math.ceil(len(drawn) / 3), 3)
    for place, (panel, found) in zip(axes, drawn, strict=False):
        _draw_panel(place, panel, found)
        place.set_title(panel.title)
        place.legend(fontsize=8)
    for place in axes[len(drawn) :]:
        place.set_axis_off()
    _save(figure, path)
    return True


def plot_temperatures(sweeps: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """Draw quality against diversity over the ``temperature`` of each point of the models, by name, into a PNG."""
    figure, panels = _new_figure(10, 4.5, 1, 2)
    pairs = (("forward perplexity", "reverse perplexity"), ("Self-BLEU-4", "BLEU-4"))
    for panel, (across, up) in zip(panels, pairs, strict=True):
        for name, points in sweeps.items():
            if all(across in point and up in point for point in points):
                panel.plot([p[across] for p in points], [p[up] for p in points], marker="o", markersize=3, label=name)
                for point in points:
                    panel.annotate(f"{point['temperature']:g}", (point[across], point[up]), fontsize=7)
        panel.set(xlabel=across, ylabel=up, title="quality against diversity, by temperature")
        if panel.lines:
            panel.legend(fontsize=8)
    _save(figure, path)


def _thinned(points: Sequence[Point], most: int = MAX_POINTS) -> list[Point]:
    """At most about ``most`` points: of each stretch of the line the first, the lowest and the highest, in order."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / (most / 2))
    kept: list[Point] = [points[0]]
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return [*kept, points[-1]]


def _points(lines: Sequence[Line], key: str) -> list[Point]:
    found = [(line["step"], line[key]) for line in lines if isinstance(line.get(key), (int, float))]
    return [(float(step), float(value) if abs(value) < 1e300 else math.nan) for step, value in found]


def _new_figure(width: float, height: float, rows: int, columns: int) -> tuple[Any, Any]:
    """A figure and its panels, in their order. The object interface: pyplot would keep figures in a global list."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _draw_panel(axes: Any, panel: _Panel, curves: Sequence[_Curve]) -> tuple[int, bool]:
    """Draw the lines; how many points are beyond the axis, and whether that is logarithmic."""
    *colours, ink, grid = COLOURS["light"]
    values = sorted(value for curve in curves for value in curve.values)
    is_logarithmic = panel.may_be_logarithmic and values[0] > 0 and values[-1] > LOG_SPAN * values[0]
    if is_logarithmic:
        axes.set_yscale("log")
    for curve in curves:
        steps, heights = zip(*_thinned(curve.points), strict=True)
        dashes = [float(length) for length in curve.pattern.split()]
        style: dict[str, Any] = {"linestyle": (0, tuple(dashes))} if dashes else {}
        alone = {} if len(curve.values) > 1 else {"marker": "o", "markersize": 4}
        axes.plot(steps, heights, color=colours[curve.colour % NUM_COLOURS], label=curve.name, **style, **alone)
    wanted = [value for value in (panel.aim, panel.least) if value is not None]
    if panel.aim is not None:
        axes.axhline(panel.aim, color=ink, linewidth=1, linestyle=":")
    low, high = _range(values, is_logarithmic)
    if not is_logarithmic:
        low, high = min([low, *wanted]), max([high, *wanted])
        margin = 0.05 * (high - low) or max(abs(high), 1.0) * 0.1
        axes.set_ylim(low - margin, high + margin)
        axes.ticklabel_format(axis="y", scilimits=(-4, 4))
    elif (low, high) != (values[0], values[-1]):
        axes.set_ylim(low / 1.2, high * 1.2)
    axes.set_xlabel("step", color=ink)
    axes.grid(color=grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=ink, length=0)
    axes.spines[:].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
    return sum(not low <= value <= high for value in values), is_logarithmic


def _range(values: Sequence[float], is_logarithmic: bool) -> tuple[float, float]:
    """The lowest and the highest of sorted values; without the outer 2 % on each side where these lie far away."""
    cut = len(values) // 50
    ends = (values[0], values[-1]), (values[cut], values[-1 - cut])
    whole, inner = (math.log10(high / low) if is_logarithmic else high - low for low, high in ends)
    return ends[1] if whole > OUTLIER_FACTOR * inner > 0 else ends[0]


def _save(figure: Any, path: Path) -> None:
    with replacing_file(path) as file:
        figure.savefig(file, dpi=110, format="png")
