"""One metric over optimizer steps, a thin line per run in its method's colour."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, dash, framed, reference_line
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
    "rewards/margins": ("reward margin", None, 0.0),
    "rewards/chosen": ("reward of chosen", None, 0.0),
    "rewards/rejected": ("reward of rejected", None, 0.0),
    "mean_weight": ("mean weight", None, None),
}


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


def prepare(rows: Iterable[tuple[str, str, pd.DataFrame]], metric: str = "loss") -> Curves:
    """`rows` are label, method and points (step, name, value); other metrics and what is not finite are left out."""
    lines = []
    for label, method, points in rows:
        own = points[(points["name"] == metric) & points["value"].notna()].sort_values("step")
        kept = own.iloc[:: max(1, len(own) // MOST_POINTS)]
        if len(kept):
            steps, values = tuple(kept["step"].tolist()), tuple(kept["value"].tolist())
            lines.append(Line(label=chart_text(label), method=method, steps=steps, values=values))
    return Curves(metric=metric, lines=tuple(lines))


def draw(data: Curves, look: Look = LIGHT) -> go.Figure:
    """Thin when there are many, so that a seed reads as a thread of its method."""
    figure = go.Figure()
    width = 1.8 if len(data.lines) <= 2 else 1.2
    for line in data.lines:
        figure.add_scatter(
            x=line.steps,
            y=line.values,
            mode="lines" if len(line.steps) > 1 else "markers",
            name=line.label,
            line={"color": colour(look, line.method), "width": width, "dash": dash(line.method)},
            opacity=1.0 if len(data.lines) <= 2 else 0.75,
            hovertemplate="step %{x:,}: %{y:.4g}<extra>%{fullData.name}</extra>",
        )
    title, ticks, compare = UNITS.get(data.metric, (chart_text(data.metric), None, None))
    framed(figure, look, height=220)
    figure.update_xaxes(title_text="step", rangemode="tozero")
    figure.update_yaxes(title_text=title, tickformat=ticks)
    return figure if compare is None else reference_line(figure, look, y=compare)
