"""How long prompts and responses are: one outline each, as a share of the pairs, over lengths that double."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, framed
from app.untrusted import chart_text

MERGED = 2  # bins that an outline draws as one: each doubles then


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The share of the texts in each bin; `starts` are the bins' lower ends."""

    part: str
    starts: tuple[float, ...]
    shares: tuple[float, ...]
    unit: str


def prepare(rows: Iterable[Mapping[str, object]]) -> list[Outline]:
    """Rows of part, unit, edges and counts; bins that no part has anything in are left out at both ends."""
    given = [(str(row["part"]), str(row["unit"]), _numbers(row["edges"]), _numbers(row["counts"])) for row in rows]
    merged = [
        (part, unit, edges[::MERGED], [sum(counts[at : at + MERGED]) for at in range(0, len(counts), MERGED)])
        for part, unit, edges, counts in given
    ]
    filled = [at for _, _, _, counts in merged for at, count in enumerate(counts) if count]
    if not filled:
        return []
    low, high = min(filled), max(filled) + 1
    return [
        Outline(
            part=chart_text(part),
            unit=unit,
            starts=tuple(edges[low : high + 1]),
            shares=tuple(count / max(1.0, sum(counts)) for count in (*counts[low:high], 0.0)),
        )
        for part, unit, edges, counts in merged
    ]


def draw(data: list[Outline], look: Look = LIGHT) -> go.Figure:
    """Chosen and rejected share an ink and differ in the line: what one has and the other not is seen at once."""
    figure = go.Figure()
    inks = {"chosen": (look.ink, "solid"), "rejected": (look.ink, "dot"), "prompt": (look.muted, "solid")}
    for outline in data:
        ink, dash = inks.get(outline.part, (look.muted, "dash"))
        figure.add_scatter(
            x=[max(start, 0.7) for start in outline.starts],
            y=list(outline.shares),
            mode="lines",
            line={"color": ink, "width": 1.6, "dash": dash, "shape": "hv"},
            name=outline.part,
            hovertemplate=f"%{{fullData.name}}<br>from %{{x:,.0f}} {outline.unit}: %{{y:.1%}}<extra></extra>",
        )
    framed(figure, look, legend=True)
    unit = data[0].unit if data else "characters"
    figure.update_xaxes(type="log", title_text=unit, tickformat=",d", dtick="D2")
    figure.update_yaxes(title_text="share of pairs", tickformat=".0%", rangemode="tozero")
    return figure


def _numbers(values: object) -> list[float]:
    return [float(value) for value in values] if isinstance(values, list | tuple) else []
