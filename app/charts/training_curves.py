"""One metric over optimizer steps, a thin line per run in its method's colour."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, dash, faded, framed, reference_line
from app.untrusted import chart_text

MOST_POINTS = 2_000  # of one line; what the query sends is already thinned

# metric -> (title of its axis, format of its ticks, line to compare with)
UNITS: Mapping[str, tuple[str, str | None, float | None]] = {
    "loss": ("loss", None, None),
    "lr": ("learning rate", ".0e", None),
    "grad_norm": ("gradient norm", None, None),
    "accuracy": ("accuracy", ".0%", 0.5),
    "heldout_nll": ("held-out NLL", None, None),
    "rewards/accuracies": ("reward accuracy", ".0%", 0.5),
    "rewards/margins": ("reward margin, nats", None, 0.0),
    "rewards/chosen": ("reward of chosen, nats", None, 0.0),
    "rewards/rejected": ("reward of rejected, nats", None, 0.0),
    "logps/chosen": ("log-probability of chosen, nats", None, None),
    "logps/rejected": ("log-probability of rejected, nats", None, None),
    "mean_weight": ("mean weight", None, None),
    "fresh/confidence": ("mean C of fresh pairs", None, None),
    "fresh/margin": ("margin of fresh pairs", None, None),
    "fresh/idle": ("fresh pairs that count nothing", ".0%", None),
    "fresh/identical": ("identical answers", ".0%", None),
    "fresh/kl": ("KL of fresh answers, nats", None, 0.0),
    "fresh/score": ("annotator's score of fresh answers", None, None),
    "fresh/true_utility": ("true utility of fresh answers", None, None),
    "fresh/true_accuracy": ("accuracy on fresh pairs", ".0%", 0.5),
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """How curves are drawn. `smoothing`: weight of what came before in the mean, 0 for none; `log`: of the values;
    `zoom`: dragging chooses steps; `steps`: these alone, first and last, where a chart has any of them."""

    smoothing: float = 0.0
    log: bool = False
    zoom: bool = False
    steps: tuple[int, int] | None = None
    height: int = 220


PLAIN = Way()


@dataclass(frozen=True, kw_only=True)
class Line:
    """One run's values of one metric."""

    label: str
    method: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """All lines of one metric."""

    metric: str
    lines: tuple[Line, ...]
    way: Way = PLAIN


def smoothed(values: Sequence[float], weight: float) -> tuple[float, ...]:
    """Exponential moving mean s_t = w s_(t−1) + (1 − w) x_t from s_0 = 0, divided by 1 − w^t, which takes the start
    out of it."""
    found, mean = [], 0.0
    for place, value in enumerate(values, start=1):
        mean = weight * mean + (1 - weight) * value
        found.append(mean / (1 - weight**place))
    return tuple(found)


def prepare(rows: Iterable[tuple[str, str, pd.DataFrame]], metric: str = "loss", way: Way = PLAIN) -> Curves:
    """`rows` are label, method and points (step, name, value); other metrics and what is not finite are left out."""
    lines = []
    for label, method, points in rows:
        own = points[(points["name"] == metric) & points["value"].notna()].sort_values("step")
        kept = own.iloc[:: max(1, len(own) // MOST_POINTS)]
        if len(kept):
            steps, values = tuple(kept["step"].tolist()), tuple(kept["value"].tolist())
            lines.append(Line(label=chart_text(label), method=method, steps=steps, values=values))
    return Curves(metric=metric, lines=tuple(lines), way=way)


def draw(data: Curves, look: Look = LIGHT) -> go.Figure:
    """Thin when there are many, so that a seed reads as a thread of its method."""
    figure = go.Figure()
    width = 1.8 if len(data.lines) <= 2 else 1.2
    span = span_of([line.steps for line in data.lines], data.way)
    for line in data.lines if data.way.smoothing else ():  # behind all others
        add_raw(figure, look, line.method, *within(span, line.steps, drawable(line.values, data.way)))
    for line in data.lines:
        steps, values = within(span, line.steps, shown(line.values, data.way))
        figure.add_scatter(
            x=steps,
            y=values,
            mode="lines" if len(steps) > 1 else "markers",
            name=line.label,
            line={"color": colour(look, line.method), "width": width, "dash": dash(line.method)},
            opacity=1.0 if len(data.lines) <= 2 else 0.75,
            hovertemplate="%{fullData.name}<br>step %{x:,}: %{y:.4g}<extra></extra>",
        )
    title, ticks, compare = UNITS.get(data.metric, (chart_text(data.metric), None, None))
    framed(figure, look, height=data.way.height)
    finish(figure, data.way, span, title=title, ticks=ticks)
    return figure if compare is None or data.way.log else reference_line(figure, look, y=compare)


def span_of(lines: Iterable[Sequence[int]], way: Way) -> tuple[int, int] | None:
    """The steps that were chosen, where one of these lines has a point in them."""
    if way.steps is None:
        return None
    first, last = way.steps
    return way.steps if any(first <= step <= last for steps in lines for step in steps) else None


def within(
    span: tuple[int, int] | None, steps: Sequence[int], values: Sequence[float | None]
) -> tuple[Sequence[int], Sequence[float | None]]:
    """The part of a line between two steps; all of it without them."""
    if span is None:
        return steps, values
    kept = [(step, value) for step, value in zip(steps, values, strict=True) if span[0] <= step <= span[1]]
    return tuple(step for step, _ in kept), tuple(value for _, value in kept)


def shown(values: Sequence[float], way: Way) -> Sequence[float | None]:
    """What is drawn of a line."""
    return drawable(smoothed(values, way.smoothing) if way.smoothing else values, way)


def drawable(values: Sequence[float], way: Way) -> Sequence[float | None]:
    """On a log scale nothing of 0 and below."""
    return [value if value > 0 else None for value in values] if way.log else values


def add_raw(figure: go.Figure, look: Look, method: str, steps: Sequence[int], values: Sequence[float | None]) -> None:
    """What was measured, faint, where a smooth line is drawn over it."""
    figure.add_scatter(
        x=steps, y=values, mode="lines", line={"color": faded(look, method, 0.22), "width": 1},
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip


def finish(figure: go.Figure, way: Way, span: tuple[int, int] | None, *, title: str, ticks: str | None) -> None:
    """Axes, and what dragging does."""
    figure.update_xaxes(title_text="step", rangemode="tozero")
    if span is not None:
        figure.update_xaxes(range=list(span))
    figure.update_yaxes(title_text=f"{title}, log" if way.log else title, tickformat=ticks, exponentformat="power")
    if way.log:
        figure.update_yaxes(type="log", tickformat=ticks or ".3~g")
    if way.zoom:
        figure.update_layout(dragmode="select", selectdirection="h")
