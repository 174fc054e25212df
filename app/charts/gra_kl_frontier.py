"""GRA against the distance moved, a curve per method over β: who gets further for the same distance?"""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, add_band, colour, dash, framed, marker, reference_line
from app.untrusted import chart_text
from cwpo.compare.matched_kl import FrontierRow


@dataclass(frozen=True, kw_only=True)
class Line:
    """One method: the curve that all its seeds cover with its band, and one point per β."""

    label: str
    method: str
    objective: str
    kl: tuple[float, ...]
    estimate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    knots: tuple[tuple[float, float, float], ...]  # β, KL in nats, GRA as a fraction


def prepare(rows: Iterable[FrontierRow]) -> list[Line]:
    """Every method with several β; one whose seeds reach no common KL keeps its points."""
    return [
        Line(
            label=chart_text(row.label),
            method=row.method,
            objective=row.objective,
            kl=row.curve.kl if row.curve else (),
            estimate=row.curve.estimate if row.curve else (),
            low=row.curve.low if row.curve else (),
            high=row.curve.high if row.curve else (),
            knots=tuple((knot.beta, knot.kl, knot.gra) for knot in row.knots),
        )
        for row in rows
    ]


def draw(data: list[Line], look: Look = LIGHT) -> go.Figure:
    """Bands first, so that no line is under another's band."""
    figure = go.Figure()
    for line in data:
        add_band(figure, look, line.method, line.kl, line.low, line.high)
    for line in data:
        ink = colour(look, line.method)
        figure.add_scatter(
            x=line.kl,
            y=line.estimate,
            mode="lines",
            name=line.label,
            line={"color": ink, "width": 1.8, "dash": dash(line.method)},
            hovertemplate="%{fullData.name}<br>KL %{x:.2f} nats: GRA %{y:.1%}<extra></extra>",
        )
        figure.add_scatter(
            x=[kl for _, kl, _ in line.knots],
            y=[gra for _, _, gra in line.knots],
            customdata=[beta for beta, _, _ in line.knots],
            mode="markers",
            showlegend=False,
            name=line.label,
            marker={"color": ink, "size": 7, "symbol": marker(line.objective)},
            hovertemplate="%{fullData.name}<br>β %{customdata:g}: KL %{x:.2f} nats, GRA %{y:.1%}<extra></extra>",
        )
    framed(figure, look, height=280, legend=True)
    figure.update_xaxes(title_text="KL from the reference, nats per answer", rangemode="tozero")
    figure.update_yaxes(title_text="GRA", tickformat=".0%")
    return reference_line(figure, look, y=0.5)
