"""Top-N % against weighted: GRA by the share of pairs kept, with the weighted run as a band."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, faded, framed, marker
from workers.report import GraRow


@dataclass(frozen=True, kw_only=True)
class Share:
    """GRA with N % of the pairs kept; `weak` keeps all of them."""

    percent: float
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Band:
    """The weighted setting, which uses all pairs."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class TopShare:
    """One objective's shares, ascending, and its weighted setting."""

    objective: str
    shares: tuple[Share, ...]
    weighted: Band | None


def prepare(rows: Iterable[GraRow]) -> list[TopShare]:
    """One entry per objective that has at least one `top` setting."""
    table = list(rows)
    result = []
    for objective in dict.fromkeys(row.objective for row in table):
        mine = [row for row in table if row.objective == objective]
        shares = [_share(row) for row in mine if _percent(row) is not None]
        weighted = next((row for row in mine if row.method == "cw"), None)
        if any(row.method == "top" for row in mine):
            band = Band(estimate=weighted.estimate, low=weighted.low, high=weighted.high) if weighted else None
            ordered = tuple(sorted(shares, key=lambda share: share.percent))
            result.append(TopShare(objective=objective, shares=ordered, weighted=band))
    return result


def draw(data: list[TopShare], look: Look = LIGHT) -> go.Figure:
    """Green: the best N % kept. Blue band: all pairs, weighted."""
    figure = go.Figure()
    for line in data:
        if line.weighted is not None:
            _band(figure, line.weighted, look)
        figure.add_scatter(
            x=[share.percent for share in line.shares],
            y=[share.estimate for share in line.shares],
            mode="lines+markers",
            name=f"top N %, {line.objective}" if len(data) > 1 else "top N %",
            line={"color": colour(look, "top"), "width": 1.8},
            marker={"size": 7, "symbol": marker(line.objective)},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [share.high - share.estimate for share in line.shares],
                "arrayminus": [share.estimate - share.low for share in line.shares],
                "thickness": 1.5,
                "width": 0,
            },
            hovertemplate="top %{x:g} %: GRA %{y:.1%}<extra></extra>",
        )
    framed(figure, look, legend=True)
    figure.update_xaxes(title_text="share of pairs kept, %", range=[0, 104])
    figure.update_yaxes(title_text="GRA", tickformat=".0%")
    return figure


def _band(figure: go.Figure, band: Band, look: Look) -> None:
    figure.add_hrect(y0=band.low, y1=band.high, fillcolor=faded(look, "cw", 0.10), line_width=0, layer="below")
    figure.add_scatter(
        x=[0, 104],
        y=[band.estimate, band.estimate],
        mode="lines",
        name="weighted, all pairs",
        line={"color": colour(look, "cw"), "width": 1.8},
        hovertemplate="weighted: GRA %{y:.1%}<extra></extra>",
    )


def _share(row: GraRow) -> Share:
    return Share(percent=_percent(row) or 0.0, estimate=row.estimate, low=row.low, high=row.high)


def _percent(row: GraRow) -> float | None:
    """N of `top`; unweighted weak labels keep everything."""
    if row.method == "top":
        return row.top_percent
    return 100.0 if row.method == "weak" else None
