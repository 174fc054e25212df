"""Differences at matched KL along the distance: is a lead there at every KL, or at some only?"""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, add_band, colour, dash, framed, reference_line
from app.untrusted import chart_text
from cwpo.compare.matched_kl import MatchedRow


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One pair over the KL that every seed of both reaches; differences of shares with their band."""

    label: str
    method: str  # of the side on which the pairs shown differ
    kl: tuple[float, ...]
    estimate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def prepare(rows: Iterable[MatchedRow]) -> list[Gap]:
    """Pairs that reach a KL in common."""
    shown = [row for row in rows if row.curve is not None]
    against_one = len({row.second_method for row in shown}) == 1
    return [
        Gap(
            label=chart_text(row.label),
            method=row.first_method if against_one else row.second_method,
            kl=row.curve.kl,
            estimate=row.curve.estimate,
            low=row.curve.low,
            high=row.curve.high,
        )
        for row in shown
        if row.curve is not None
    ]


def draw(data: list[Gap], look: Look = LIGHT) -> go.Figure:
    """Points over KL; bands first, so that none covers a line."""
    figure = go.Figure()
    for gap in data:
        low, high = ([100 * value for value in ends] for ends in (gap.low, gap.high))
        add_band(figure, look, gap.method, gap.kl, low, high)
    for gap in data:
        figure.add_scatter(
            x=gap.kl,
            y=[100 * value for value in gap.estimate],
            mode="lines",
            name=gap.label,
            line={"color": colour(look, gap.method), "width": 1.8, "dash": dash(gap.method)},
            hovertemplate="%{fullData.name}<br>KL %{x:.2f} nats: %{y:+.1f} points<extra></extra>",
        )
    framed(figure, look, height=200, legend=True)
    figure.update_xaxes(title_text="KL from the reference, nats per answer")
    figure.update_yaxes(title_text="difference, points", tickformat="~g")
    return reference_line(figure, look, y=0)
