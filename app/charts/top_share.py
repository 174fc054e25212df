"""Top-N % against weighted: GRA by the share of pairs kept, with the weighted run as a band."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, faded, framed, marker
from app.untrusted import chart_text
from cwpo.compare.gra import GraRow
from cwpo.config import catalog

DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True, kw_only=True)
class Share:
    """GRA with N % of the pairs kept; uniform `weak` keeps all of them."""

    percent: float
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Band:
    """The weighted setting, which uses all pairs."""

    name: str
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class TopShare:
    """Settings that differ in the share of pairs alone, ascending, and the weighted one beside them."""

    name: str
    objective: str
    steps: str  # kept, pool, or "" where it is not known
    shares: tuple[Share, ...]
    weighted: Band | None


def prepare(rows: Iterable[GraRow]) -> list[TopShare]:
    """One line per rest of the setting: settings that differ in anything but the share of pairs are never joined."""
    table = [row for row in rows if _own_weights(row)]
    tops: dict[tuple[str, str, str], list[GraRow]] = {}
    for row in table:
        if row.method == "top" and row.top_percent is not None:
            tops.setdefault((row.place, row.objective, row.steps), []).append(row)
    return [_line(mine, table, alone=len(tops) == 1) for mine in tops.values()]


def draw(data: list[TopShare], look: Look = LIGHT) -> go.Figure:
    """Green: the best N % kept. Blue band: all pairs, weighted; once for all lines that it stands beside."""
    figure = go.Figure()
    drawn: set[Band] = set()
    for line, dash in zip(data, itertools.cycle(DASHES)):
        if line.weighted is not None and line.weighted not in drawn:
            drawn.add(line.weighted)
            _band(figure, line.weighted, dash, look)
        figure.add_scatter(
            x=[share.percent for share in line.shares],
            y=[share.estimate for share in line.shares],
            mode="lines+markers",
            name=line.name,
            line={"color": colour(look, "top"), "width": 1.8, "dash": dash},
            marker={"size": 7, "symbol": marker(line.objective)},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [share.high - share.estimate for share in line.shares],
                "arrayminus": [share.estimate - share.low for share in line.shares],
                "thickness": 1.5,
                "width": 0,
            },
            hovertemplate="%{fullData.name}<br>top %{x:g} %: GRA %{y:.1%}<extra></extra>",
        )
    framed(figure, look, legend=True)
    figure.update_xaxes(title_text="share of pairs kept, %", range=[0, 104])
    figure.update_yaxes(title_text="GRA", tickformat=".0%")
    return figure


def _line(mine: Sequence[GraRow], table: Sequence[GraRow], *, alone: bool) -> TopShare:
    """`mine`: the `top` settings of one place; the settings that keep all pairs are looked up in the table."""
    first = mine[0]
    uniform, weighted = (_whole(table, method, first) for method in ("weak", "cw"))
    shares = [_share(row, row.top_percent or 0.0) for row in mine] + ([_share(uniform, 100.0)] if uniform else [])
    about = max((_about(row) for row in mine), key=len)
    if first.steps == "pool" and not alone and "equal steps" not in about:
        about = " · ".join(filter(None, (about, "equal steps")))
    return TopShare(
        name=_named("top N %", about),
        objective=first.objective,
        steps=first.steps,
        shares=tuple(sorted(shares, key=lambda share: share.percent)),
        weighted=None if weighted is None else Band(
            name=_named("weighted, all pairs", _about(weighted)),
            estimate=weighted.estimate,
            low=weighted.low,
            high=weighted.high,
        ),
    )  # fmt: skip


def _whole(table: Sequence[GraRow], method: str, beside: GraRow) -> GraRow | None:
    """The method's setting in the same place. It keeps all pairs, so equal steps are its own steps."""
    found = [row for row in table if (row.method, row.place, row.objective) == (method, beside.place, beside.objective)]
    return min(found, key=lambda row: row.steps != beside.steps, default=None)


def _own_weights(row: GraRow) -> bool:
    """Weak labels without weights, CW weighted by C, and top N % as it is, not with another weighting."""
    return row.method in ("weak", "cw", "top") and row.method_label == catalog.method_label(row.method, row.top_percent)


def _about(row: GraRow) -> str:
    """What the setting's name says besides its method."""
    return row.label.removeprefix(row.method_label).strip(" ·")


def _named(what: str, about: str) -> str:
    return chart_text(f"{what} · {about}" if about else what)


def _band(figure: go.Figure, band: Band, dash: str, look: Look) -> None:
    figure.add_hrect(y0=band.low, y1=band.high, fillcolor=faded(look, "cw", 0.10), line_width=0, layer="below")
    figure.add_scatter(
        x=[0, 104],
        y=[band.estimate, band.estimate],
        mode="lines",
        name=band.name,
        line={"color": colour(look, "cw"), "width": 1.8, "dash": dash},
        hovertemplate="%{fullData.name}<br>weighted: GRA %{y:.1%}<extra></extra>",
    )


def _share(row: GraRow, percent: float) -> Share:
    return Share(percent=percent, estimate=row.estimate, low=row.low, high=row.high)
