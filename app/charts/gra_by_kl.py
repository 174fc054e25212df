"""How far each setting moved from its reference for the GRA that it reached."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, framed, marker, reference_line
from app.untrusted import chart_text
from workers.report import GraRow

SIDES = ("middle right", "middle left")  # neighbours' names stand on different sides


@dataclass(frozen=True, kw_only=True)
class Point:
    """KL estimate in nats per answer against GRA as a fraction, with its 95 % interval."""

    label: str
    method: str
    objective: str
    kl: float
    estimate: float
    low: float
    high: float


def prepare(rows: Iterable[GraRow]) -> list[Point]:
    """Settings with a KL estimate."""
    return [
        Point(
            label=chart_text(row.label),
            method=row.method,
            objective=row.objective,
            kl=row.kl,
            estimate=row.estimate,
            low=row.low,
            high=row.high,
        )
        for row in rows
        if row.kl is not None
    ]


def draw(data: list[Point], look: Look = LIGHT) -> go.Figure:
    """Each setting once, labelled directly."""
    figure = go.Figure()
    for place, point in enumerate(sorted(data, key=lambda point: point.estimate)):
        ink = colour(look, point.method)
        figure.add_scatter(
            x=[point.kl],
            y=[point.estimate],
            mode="markers+text",
            text=[point.label],
            textposition=SIDES[place % len(SIDES)],
            textfont={"color": ink, "size": 11},
            marker={"color": ink, "size": 8, "symbol": marker(point.objective)},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [point.high - point.estimate],
                "arrayminus": [point.estimate - point.low],
                "color": ink,
                "thickness": 1.5,
                "width": 0,
            },
            hovertemplate=f"{point.label}<br>KL %{{x:.2f}} nats<br>GRA %{{y:.1%}}<extra></extra>",
        )
    framed(figure, look)
    figure.update_xaxes(title_text="KL from the reference, nats per answer", range=_range(data))
    figure.update_yaxes(title_text="GRA", tickformat=".0%")
    return reference_line(figure, look, y=0.5)


def _range(data: list[Point]) -> list[float]:
    """All points with room for their names on both sides."""
    low, high = min((point.kl for point in data), default=0.0), max((point.kl for point in data), default=1.0)
    room = max(0.35 * (high - low), 0.05 * abs(high), 1e-3)
    return [low - room, high + room]
