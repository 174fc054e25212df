"""Accuracy by source, or by how much the two answers differ in length, against what the annotator states."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, framed, reference_line
from app.untrusted import chart_text
from db.records import Slice


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the pairs: observed and stated accuracy."""

    label: str
    accuracy: float
    low: float
    high: float
    stated: float
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Parts:
    """All parts, and what they are."""

    axis: str
    parts: tuple[Part, ...]


def prepare(rows: Iterable[Slice], *, axis: str = "difference in length, characters") -> Parts:
    """In the order given; `axis` says what the parts are."""
    parts = [
        Part(
            label=chart_text(row.name),
            accuracy=row.accuracy.estimate,
            low=row.accuracy.low,
            high=row.accuracy.high,
            stated=(1 + row.mean_confidence) / 2,
            pairs=row.n,
        )
        for row in rows
    ]
    return Parts(axis=axis, parts=tuple(parts))


def draw(data: Parts, look: Look = LIGHT) -> go.Figure:
    """Filled: observed, with its interval. Hollow: stated."""
    figure = go.Figure()
    names = [part.label for part in data.parts]
    ink = colour(look, "cw")
    if data.parts:
        figure.add_scatter(
            x=names,
            y=[part.accuracy for part in data.parts],
            mode="markers",
            name="observed",
            marker={"color": ink, "size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [part.high - part.accuracy for part in data.parts],
                "arrayminus": [part.accuracy - part.low for part in data.parts],
                "thickness": 1.5,
                "width": 0,
            },
            customdata=[part.pairs for part in data.parts],
            hovertemplate="%{y:.1%} of %{customdata:,} pairs right<extra></extra>",
        )
        figure.add_scatter(
            x=names,
            y=[part.stated for part in data.parts],
            mode="markers",
            name="stated (1 + C) / 2",
            marker={"color": look.paper, "size": 8, "line": {"color": ink, "width": 1.5}},
            hovertemplate="stated %{y:.1%}<extra></extra>",
        )
    framed(figure, look, legend=True)
    figure.update_xaxes(title_text=data.axis, type="category")
    figure.update_yaxes(title_text="accuracy", tickformat=".0%")
    return reference_line(figure, look, y=0.5)
