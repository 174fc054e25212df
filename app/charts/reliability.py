"""Is confidence right? Observed accuracy against what the annotator states, in bins of equal size with Wilson bars."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, faded, framed
from app.untrusted import chart_text
from db.records import Judged


@dataclass(frozen=True, kw_only=True)
class Bin:
    """A bin of pairs: stated (1 + C)/2, observed share of right labels, its 95 % interval."""

    stated: float
    accuracy: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """One kind of confidence, least confident bin first."""

    label: str
    bins: tuple[Bin, ...]


def prepare(rows: Iterable[tuple[str, Judged]]) -> list[Line]:
    """Raw confidence first; what follows is another confidence of the same labels."""
    return [
        Line(
            label=chart_text(label),
            bins=tuple(
                Bin(
                    stated=(1 + one.mean_confidence) / 2,
                    accuracy=one.accuracy,
                    low=one.ci_low,
                    high=one.ci_high,
                    pairs=one.n,
                )
                for one in judged.bins
            ),
        )
        for label, judged in rows
    ]


def draw(data: list[Line], look: Look = LIGHT) -> go.Figure:
    """Blue: raw, with bars. Hollow and dashed: scaled. Dotted: calibrated."""
    figure = go.Figure()
    for place, line in enumerate(data):
        _line(figure, line, look, raw=place == 0)
    figure.add_scatter(
        x=[0.5, 1],
        y=[0.5, 1],
        mode="lines",
        name="calibrated",
        line={"color": look.reference, "dash": "dot", "width": 2},
        hoverinfo="skip",
    )
    framed(figure, look, legend=True)
    figure.update_xaxes(title_text="stated (1 + C) / 2", tickformat=".0%", range=[0.48, 1.01])
    figure.update_yaxes(title_text="observed accuracy", tickformat=".0%")
    return figure


def _line(figure: go.Figure, line: Line, look: Look, *, raw: bool) -> None:
    ink = colour(look, "cw")
    figure.add_scatter(
        x=[one.stated for one in line.bins],
        y=[one.accuracy for one in line.bins],
        mode="lines+markers",
        name=line.label,
        line={"color": ink if raw else faded(look, "cw", 0.6), "width": 1.8 if raw else 1.4}
        | ({} if raw else {"dash": "dash"}),
        marker={"size": 6, "color": ink if raw else look.paper, "line": {"color": ink, "width": 1.2}},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [one.high - one.accuracy for one in line.bins],
            "arrayminus": [one.accuracy - one.low for one in line.bins],
            "thickness": 1.5,
            "width": 0,
        }
        if raw
        else None,
        customdata=[(one.pairs, one.low, one.high) for one in line.bins],
        hovertemplate="stated %{x:.1%}, observed %{y:.1%} (%{customdata[1]:.1%} – %{customdata[2]:.1%})"
        "<br>%{customdata[0]:,} pairs<extra></extra>",
    )
