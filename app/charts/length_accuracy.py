"""Accuracy by how much the two answers differ in length, against what the annotator states."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, framed, reference_line
from db.records import LengthGroup


@dataclass(frozen=True, kw_only=True)
class Third:
    """A third of the pairs by difference in characters."""

    label: str
    accuracy: float
    low: float
    high: float
    stated: float
    pairs: int


def prepare(rows: Iterable[LengthGroup]) -> list[Third]:
    """Smallest difference first."""
    return [
        Third(
            label=f"{row.least:,}–{row.most:,}",
            accuracy=row.accuracy.estimate,
            low=row.accuracy.low,
            high=row.accuracy.high,
            stated=(1 + row.mean_confidence) / 2,
            pairs=row.n,
        )
        for row in rows
    ]


def draw(data: list[Third], look: Look = LIGHT) -> go.Figure:
    """Filled: observed, with its interval. Hollow: stated."""
    figure = go.Figure()
    names = [third.label for third in data]
    ink = colour(look, "cw")
    if data:
        figure.add_scatter(
            x=names,
            y=[third.accuracy for third in data],
            mode="markers",
            name="observed",
            marker={"color": ink, "size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [third.high - third.accuracy for third in data],
                "arrayminus": [third.accuracy - third.low for third in data],
                "thickness": 1.5,
                "width": 0,
            },
            customdata=[third.pairs for third in data],
            hovertemplate="%{y:.1%} of %{customdata:,} pairs right<extra></extra>",
        )
        figure.add_scatter(
            x=names,
            y=[third.stated for third in data],
            mode="markers",
            name="stated (1 + C) / 2",
            marker={"color": look.paper, "size": 8, "line": {"color": ink, "width": 1.5}},
            hovertemplate="stated %{y:.1%}<extra></extra>",
        )
    framed(figure, look, legend=True)
    figure.update_xaxes(title_text="difference in length, characters", type="category")
    figure.update_yaxes(title_text="accuracy", tickformat=".0%")
    return reference_line(figure, look, y=0.5)
