"""Is confidence right? Agreement with the human label by decile of confidence, against what the annotator states."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, faded, framed
from app.untrusted import chart_text
from db.records import LabelSummary


@dataclass(frozen=True, kw_only=True)
class Tenth:
    """A tenth of the pairs: stated (1 + C)/2 against the observed share of agreement, with its 95 % interval."""

    stated: float
    agree: float
    low: float
    high: float
    truth: float | None
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """One annotator's deciles, least confident first."""

    label: str
    deciles: tuple[Tenth, ...]


def prepare(rows: Iterable[tuple[str, LabelSummary]]) -> list[Reliability]:
    """Deciles as stored when the annotator labeled."""
    return [
        Reliability(
            label=chart_text(label),
            deciles=tuple(
                Tenth(
                    stated=(1 + decile.mean_confidence) / 2,
                    agree=decile.agree_human,
                    low=decile.agree_human if decile.ci_low is None else decile.ci_low,
                    high=decile.agree_human if decile.ci_high is None else decile.ci_high,
                    truth=decile.agree_truth,
                    pairs=decile.n,
                )
                for decile in summary.deciles
                if decile.agree_human is not None
            ),
        )
        for label, summary in rows
    ]


def draw(data: list[Reliability], look: Look = LIGHT) -> go.Figure:
    """Points with intervals for one annotator, thin lines for several; calibrated is dotted."""
    figure = go.Figure()
    alone = len(data) == 1
    for place, annotator in enumerate(data):
        _observed(figure, annotator, look, alone=alone, named=place == 0)
        if alone and any(decile.truth is not None for decile in annotator.deciles):
            _truth(figure, annotator, look)
    figure.add_scatter(
        x=[0.5, 1],
        y=[0.5, 1],
        mode="lines",
        name="calibrated",
        line={"color": look.reference, "dash": "dot", "width": 2},
    )
    framed(figure, look, legend=True)
    figure.update_xaxes(title_text="stated (1 + C) / 2", tickformat=".0%", range=[0.48, 1.01])
    figure.update_yaxes(title_text="observed agreement", tickformat=".0%")
    return figure


def _observed(figure: go.Figure, annotator: Reliability, look: Look, *, alone: bool, named: bool) -> None:
    deciles = annotator.deciles
    bars = {
        "type": "data",
        "symmetric": False,
        "array": [decile.high - decile.agree for decile in deciles],
        "arrayminus": [decile.agree - decile.low for decile in deciles],
        "thickness": 1.5,
        "width": 0,
    }
    figure.add_scatter(
        x=[decile.stated for decile in deciles],
        y=[decile.agree for decile in deciles],
        mode="lines+markers" if alone else "lines",
        name="with human labels" if alone else "annotators",
        showlegend=named,
        line={"color": colour(look, "cw") if alone else faded(look, "cw", 0.55), "width": 1.8 if alone else 1.2},
        marker={"size": 6},
        error_y=bars if alone else None,
        customdata=[decile.pairs for decile in deciles],
        hovertemplate="stated %{x:.1%}, observed %{y:.1%}<br>%{customdata:,} pairs<extra></extra>",
    )


def _truth(figure: go.Figure, annotator: Reliability, look: Look) -> None:
    figure.add_scatter(
        x=[decile.stated for decile in annotator.deciles],
        y=[decile.truth for decile in annotator.deciles],
        mode="lines",
        name="with true labels",
        line={"color": colour(look, "oracle"), "width": 1.2},
        hovertemplate="stated %{x:.1%}, right %{y:.1%}<extra></extra>",
    )
