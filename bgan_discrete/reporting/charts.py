"""Curves over the training steps as inline SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bgan_discrete.reporting.markup import Markup, element

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 8, 34
MAX_POINTS = 400
"""A line is thinned to about so many points, of which each stretch keeps its lowest and its highest."""

OUTLIER_FACTOR = 6.0
"""Where the whole range is so much wider than that of 96 % of the points, the axis shows the latter."""

LOG_SPAN = 30.0
"""A logarithmic axis is taken, where it is allowed, if the largest value is so many times the smallest."""

COLOURS = 6
DASHES = ("", "6 3", "2 3", "8 3 2 3")

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: In the legend.
        points: (step, value), by step; values that are not finite interrupt the line.
        colour: Number of the colour.
        dash: Number of the dash pattern.
    """

    name: str
    points: Sequence[Point]
    colour: int = 0
    dash: int = 0


@dataclass(frozen=True)
class Chart:
    """What one picture shows.

    Attributes:
        title: Its heading.
        unit: Of the vertical axis.
        curves: Its lines.
        aim: A value to which the curves should go, drawn as a line; None for none.
        may_be_logarithmic: Whether the axis may be logarithmic.
        bounds: What the axis must show, such as (0, 1).
    """

    title: str
    unit: str
    curves: Sequence[Curve]
    aim: float | None = None
    may_be_logarithmic: bool = False
    bounds: tuple[float, float] | None = None


def draw(chart: Chart) -> Markup:
    """The chart as a figure with its legend; it needs at least one finite point.

    Args:
        chart: What it shows.

    Returns:
        A ``<figure>``.
    """
    axis = _Axis(chart)
    shapes = [*axis.frame(), *axis.lines()]
    legend = [
        element(
            "li",
            element("svg", _stroke("line", curve, x1=0, y1=6, x2=28, y2=6), viewBox="0 0 28 12", aria_hidden="true"),
            " ",
            curve.name,
            element("span", f" ends at {readable(_last(curve))}", class_="quiet"),
        )
        for curve in chart.curves
    ]
    if chart.aim is not None:
        line = element("line", class_="aim", x1=0, y1=6, x2=28, y2=6)
        sample = element("svg", line, viewBox="0 0 28 12", aria_hidden="true")
        legend.append(element("li", sample, f" the aim, {readable(chart.aim)}"))
    said = "; ".join(f"{c.name} from {readable(_first(c))} to {readable(_last(c))}" for c in chart.curves)
    unit = ", ".join(word for word in (chart.unit, "logarithmic" if axis.is_logarithmic else "") if word)
    hidden = axis.hidden()
    return element(
        "figure",
        element("h3", chart.title, element("span", f" ({unit})" if unit else "", class_="quiet")),
        element(
            "svg",
            *shapes,
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            role="img",
            aria_label=f"{chart.title} over the training steps: {said}",
        ),
        element("figcaption", element("ul", *legend, class_="legend")),
        element("p", f"{hidden} outlying points lie beyond the axis.", class_="quiet") if hidden else None,
        class_="chart",
    )


def thinned(points: Sequence[Point], most: int = MAX_POINTS) -> list[Point]:
    """At most about ``most`` points: of each stretch of the line the first, the lowest and the highest, in order.

    Args:
        points: By step.
        most: How many may stay.

    Returns:
        Points of the line, with its first and its last.
    """
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / (most / 2))
    kept: list[Point] = [points[0]]
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return [*kept, points[-1]]


def readable(value: float | None) -> str:
    """A number in at most about six characters."""
    if value is None or not math.isfinite(value):
        return "-"
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-3:
        return f"{value:.1e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    if size >= 100:
        return f"{value:,.0f}"
    text = f"{value:.3f}" if size < 10 else f"{value:.1f}"
    return text.rstrip("0").rstrip(".")


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers within a range: steps of 1, 2 or 5 times a power of ten."""
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


class _Axis:
    """Where values and steps lie in the picture."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        values = sorted(y for curve in chart.curves for _, y in curve.points if math.isfinite(y))
        steps = [x for curve in chart.curves for x, y in curve.points if math.isfinite(y)]
        self.first, self.last = min(steps), max(*steps, min(steps) + 1)
        self.is_logarithmic = chart.may_be_logarithmic and values[0] > 0 and values[-1] > LOG_SPAN * values[0]
        scaled = [math.log10(v) for v in values] if self.is_logarithmic else values
        low, high = scaled[0], scaled[-1]
        cut = len(scaled) // 50
        inner_low, inner_high = scaled[cut], scaled[-1 - cut]
        if high - low > OUTLIER_FACTOR * (inner_high - inner_low) > 0:
            low, high = inner_low, inner_high
        if not self.is_logarithmic:
            wanted = [*(chart.bounds or ()), *([] if chart.aim is None else [chart.aim])]
            low, high = min([low, *wanted]), max([high, *wanted])
        margin = 0.04 * (high - low) or max(abs(high), 1.0) * 0.1
        if chart.bounds and low >= chart.bounds[0] and high <= chart.bounds[1] and low < high:
            margin = 0.02 * (high - low)
        self.low, self.high = low - margin, high + margin

    def x(self, step: float) -> float:
        return LEFT + (step - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """In the picture; beyond the axis it is held at its edge."""
        scaled = math.log10(max(value, 1e-300)) if self.is_logarithmic else value
        share = (min(max(scaled, self.low), self.high) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def hidden(self) -> int:
        scale = math.log10 if self.is_logarithmic else float
        return sum(
            not self.low <= scale(y) <= self.high
            for curve in self.chart.curves
            for _, y in curve.points
            if math.isfinite(y)
        )

    def frame(self) -> list[Markup]:
        shapes = []
        for value, label in self._marks():
            y = _at(self.y(value))
            shapes.append(element("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
            shapes.append(element("text", label, x=LEFT - 6, y=_at(self.y(value) + 4), text_anchor="end"))
        for step in filter(float.is_integer, nice_ticks(self.first, self.last)):
            x = _at(self.x(step))
            shapes.append(element("line", class_="grid", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM))
            anchor = "end" if self.x(step) > WIDTH - RIGHT - 14 else "middle"
            shapes.append(element("text", f"{step:,.0f}", x=x, y=HEIGHT - BOTTOM + 14, text_anchor=anchor))
        middle = (LEFT + WIDTH - RIGHT) / 2
        shapes.append(element("text", "step", x=_at(middle), y=HEIGHT - 4, text_anchor="middle"))
        if self.chart.aim is not None and not self.is_logarithmic:
            y = _at(self.y(self.chart.aim))
            shapes.append(element("line", class_="aim", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
        return shapes

    def lines(self) -> list[Markup]:
        shapes = []
        for curve in self.chart.curves:
            for piece in _pieces(curve.points):
                if len(piece) == 1:
                    x, y = piece[0]
                    shapes.append(
                        element(
                            "circle", class_=f"dot c{curve.colour % COLOURS}", cx=_at(self.x(x)), cy=_at(self.y(y)), r=2
                        )
                    )
                    continue
                places = " ".join(f"{_at(self.x(x))},{_at(self.y(y))}" for x, y in thinned(piece))
                shapes.append(_stroke("polyline", curve, points=places))
        return shapes

    def _marks(self) -> list[tuple[float, str]]:
        if not self.is_logarithmic:
            return [(tick, readable(tick)) for tick in nice_ticks(self.low, self.high)]
        exponents = range(math.ceil(self.low), math.floor(self.high) + 1)
        if len(exponents) < 2:
            return [(10.0**tick, readable(float(f"{10.0**tick:.1g}"))) for tick in nice_ticks(self.low, self.high, 3)]
        stride = math.ceil(len(exponents) / 6)
        return [(10.0**e, f"1e{e}" if abs(e) > 2 else f"{10.0**e:g}") for e in exponents if e % stride == 0]


def _stroke(name: str, curve: Curve, **places: object) -> Markup:
    dash = DASHES[curve.dash % len(DASHES)] or None
    return element(name, class_=f"curve c{curve.colour % COLOURS}", stroke_dasharray=dash, **places)


def _pieces(points: Sequence[Point]) -> list[list[Point]]:
    """The stretches of a line between values that are not finite."""
    pieces: list[list[Point]] = [[]]
    for x, y in points:
        if math.isfinite(y):
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _at(place: float) -> str:
    return f"{place:.1f}".removesuffix(".0")


def _first(curve: Curve) -> float | None:
    return next((y for _, y in curve.points if math.isfinite(y)), None)


def _last(curve: Curve) -> float | None:
    return next((y for _, y in reversed(curve.points) if math.isfinite(y)), None)
