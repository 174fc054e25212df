"""How far each setting moved from its reference for the GRA that it reached."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go
from workers.report import GraRow

from app.charts.frame import LIGHT, Look, colour, framed, marker, reference_line
from app.untrusted import chart_text


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
    for point in data:
        ink = colour(look, point.method)
        figure.add_scatter(
            x=[point.kl],
            y=[point.estimate],
            mode="markers+text",
            text=[point.label],
            textposition="top right",
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
    most = max((point.kl for point in data), default=1.0)
    figure.update_xaxes(title_text="KL from the reference, nats per answer", range=[0, 1.25 * max(most, 1e-6)])
    figure.update_yaxes(title_text="GRA", tickformat=".0%")
    return reference_line(figure, look, y=0.5)
