"""Gold reward accuracy of each setting with its interval, 50 % dotted."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, framed, marker, reference_line
from app.untrusted import chart_text
from cwpo.compare.gra import GraRow
from cwpo.report.numbers import interval, percent

ROW_HEIGHT, LOW_ROW = 34, 20  # px; rows of a long list are lower
MANY = 15


@dataclass(frozen=True, kw_only=True)
class Interval:
    """One line of the forest; GRA as a fraction."""

    label: str
    method: str
    objective: str
    estimate: float
    low: float
    high: float
    hover: str


def prepare(rows: Iterable[GraRow]) -> list[Interval]:
    """Settings in the order given; those without a result are left out."""
    return [
        Interval(
            label=chart_text(row.label),
            method=row.method,
            objective=row.objective,
            estimate=row.estimate,
            low=row.low,
            high=row.high,
            hover=f"{chart_text(row.label)}<br>{percent(row.estimate)}, 95 % {interval(row.low, row.high)}<br>"
            f"{_count(row.n_seeds, 'seed')} × {_count(row.n_prompts, 'prompt')}",
        )
        for row in rows
    ]


def draw(data: list[Interval], look: Look = LIGHT) -> go.Figure:
    """One row each, first on top; the dot is the estimate, the line its 95 % interval."""
    figure = go.Figure()
    for place, row in enumerate(data):
        ink = colour(look, row.method)
        figure.add_scatter(
            x=[row.low, row.high],
            y=[place, place],
            mode="lines",
            line={"color": ink, "width": 2},
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=[row.estimate],
            y=[place],
            mode="markers",
            marker={"color": ink, "size": 9, "symbol": marker(row.objective)},
            hovertext=[row.hover],
            hoverinfo="text",
        )
    framed(figure, look, height=max(130, 56 + (ROW_HEIGHT if len(data) <= MANY else LOW_ROW) * len(data)))
    figure.update_xaxes(tickformat=".0%", title_text="GRA", range=_range(data))
    figure.update_yaxes(
        tickvals=list(range(len(data))),
        ticktext=[row.label for row in data],
        range=[len(data) - 0.5, -0.5],
    )
    return reference_line(figure, look, x=0.5)


def _range(data: list[Interval]) -> list[float]:
    """50 % is always in sight, with a margin of a tenth on both sides."""
    low = min([0.5, *(row.low for row in data)])
    high = max([0.5, *(row.high for row in data)])
    margin = max(0.01, 0.08 * (high - low))
    return [max(0.0, low - margin), min(1.0, high + margin)]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
