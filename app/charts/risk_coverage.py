"""Does confidence sort? Error rate among the most confident pairs, between perfect sorting and none."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, framed
from app.untrusted import chart_text
from db.records import Judged

POINTS = 50  # of the two reference lines
FEWEST = 0.01  # coverage from which the curve is drawn: before, single pairs make it jump


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Risk by coverage; `error` is that of all pairs."""

    label: str
    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    error: float


def prepare(rows: Iterable[tuple[str, Judged]]) -> list[Curve]:
    """As stored when the annotator labeled, without the first percent."""
    return [_curve(label, judged) for label, judged in rows]


def _curve(label: str, judged: Judged) -> Curve:
    drawn = [(kept, risk) for kept, risk in zip(judged.coverage, judged.risk, strict=True) if kept >= FEWEST]
    return Curve(
        label=chart_text(label),
        coverage=tuple(kept for kept, _ in drawn),
        risk=tuple(risk for _, risk in drawn),
        error=1 - judged.accuracy.estimate,
    )


def draw(data: list[Curve], look: Look = LIGHT) -> go.Figure:
    """Dotted: random order keeps the error, perfect order has none until only wrong labels are left."""
    figure = go.Figure()
    for curve in data:
        figure.add_scatter(
            x=curve.coverage,
            y=curve.risk,
            mode="lines",
            name=curve.label,
            line={"color": colour(look, "cw"), "width": 1.8},
            hovertemplate="the most confident %{x:.0%}: %{y:.1%} wrong<extra></extra>",
        )
        _references(figure, curve.error, look)
    framed(figure, look, legend=True)
    figure.update_xaxes(title_text="share of pairs kept, most confident first", tickformat=".0%", range=[0, 1.02])
    figure.update_yaxes(title_text="wrong labels among them", tickformat=".0%", rangemode="tozero")
    return figure


def oracle_risk(coverage: float, error: float) -> float:
    """All right labels first: nothing is wrong until they are used up."""
    return max(0.0, (coverage - (1 - error)) / coverage) if coverage > 0 else 0.0


def _references(figure: go.Figure, error: float, look: Look) -> None:
    steps = [step / POINTS for step in range(POINTS + 1)]
    lines = (
        ("random order", [error] * len(steps), "dot"),
        ("perfect order", [oracle_risk(c, error) for c in steps], "dash"),
    )
    for name, values, dash in lines:
        figure.add_scatter(
            x=steps,
            y=values,
            mode="lines",
            name=name,
            line={"color": look.reference, "dash": dash, "width": 2},
            hovertemplate=f"{name}: %{{y:.1%}}<extra></extra>",
        )
