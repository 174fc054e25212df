"""One metric of alignment for the least, the middle and the most confident third of the pairs."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, faded, framed, reference_line
from app.charts.training_curves import PLAIN, UNITS, Way, add_raw, drawable, finish, shown, span_of, within
from app.untrusted import chart_text

BINS = ("low", "middle", "high")
SHORT = {"low": "low C", "middle": "mid", "high": "high"}  # in the legend
METRICS = {"accuracies": "rewards/accuracies", "margins": "rewards/margins", "losses": "loss"}  # name -> whose unit
STROKES = {"low": "dot", "middle": "dash", "high": "solid"}
OPACITY = {"low": 0.7, "middle": 0.8, "high": 1.0}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One run's values of one bin."""

    label: str
    method: str
    bin: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Bins:
    """All lines of one metric."""

    metric: str
    lines: tuple[Line, ...]
    way: Way = PLAIN


def names(metric: str) -> list[str]:
    """The curves that the alignment stage writes for it."""
    return [f"bins/{place}/{metric}" for place in BINS]


def prepare(rows: Iterable[tuple[str, str, pd.DataFrame]], metric: str = "accuracies", way: Way = PLAIN) -> Bins:
    """`rows` are label, method and points (step, name, value); what is not finite is left out."""
    lines = []
    for label, method, points in rows:
        for place, name in zip(BINS, names(metric), strict=True):
            own = points[(points["name"] == name) & points["value"].notna()].sort_values("step")
            if len(own):
                steps, values = tuple(own["step"].tolist()), tuple(own["value"].tolist())
                lines.append(Line(label=chart_text(label), method=method, bin=place, steps=steps, values=values))
    return Bins(metric=metric, lines=tuple(lines), way=way)


def draw(data: Bins, look: Look = LIGHT) -> go.Figure:
    """The method's colour; the stroke says which third."""
    figure = go.Figure()
    named: set[str] = set()
    span = span_of([line.steps for line in data.lines], data.way)
    for line in data.lines if data.way.smoothing else ():
        add_raw(figure, look, line.method, *within(span, line.steps, drawable(line.values, data.way)))
    for line in data.lines:
        steps, values = within(span, line.steps, shown(line.values, data.way))
        figure.add_scatter(
            x=steps,
            y=values,
            mode="lines" if len(steps) > 1 else "markers",
            name=SHORT[line.bin],
            legendgroup=line.bin,
            showlegend=line.bin not in named,
            line={"color": faded(look, line.method, OPACITY[line.bin]), "width": 1.5, "dash": STROKES[line.bin]},
            marker={"color": colour(look, line.method)},
            hovertemplate=f"{line.label}, {line.bin} C<br>step %{{x:,}}: %{{y:.4g}}<extra></extra>",
        )
        named.add(line.bin)
    title, ticks, compare = UNITS[METRICS[data.metric]]
    framed(figure, look, height=data.way.height, legend=True)
    figure.update_layout(legend={"font": {"size": 11}, "tracegroupgap": 0})  # one line also where the chart is narrow
    finish(figure, data.way, span, title=title, ticks=ticks)
    return figure if compare is None or data.way.log else reference_line(figure, look, y=compare)
