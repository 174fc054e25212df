"""What C gains over uniform weights, annotator by annotator, over the calibration or the sorting of its confidence."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, framed, marker, reference_line
from app.untrusted import chart_text
from cwpo.compare.questions.gains import GainRow

AXES = {"ece": "ECE of C", "auroc": "AUROC of C against right labels"}


@dataclass(frozen=True, kw_only=True)
class Gain:
    """One annotator: CW − weak in shares, with its interval, at a quality of its confidence."""

    label: str
    objective: str
    at: float
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Gains:
    """All annotators, and the quality that they stand at."""

    axis: str
    points: tuple[Gain, ...]


def prepare(rows: Iterable[GainRow], *, axis: str = "ece") -> Gains:
    """Annotators with a gain and that quality."""
    points = []
    for row in rows:
        at: float | None = getattr(row, axis)
        if at is None or row.estimate is None or row.low is None or row.high is None:
            continue
        points.append(
            Gain(
                label=chart_text(row.label),
                objective=row.objective,
                at=at,
                estimate=row.estimate,
                low=row.low,
                high=row.high,
            )
        )
    return Gains(axis=axis, points=tuple(points))


def draw(data: Gains, look: Look = LIGHT) -> go.Figure:
    """A point with its interval for each; names come up under the pointer; no gain is dotted."""
    figure = go.Figure()
    ink = colour(look, "cw")
    for point in data.points:
        figure.add_scatter(
            x=[point.at],
            y=[100 * point.estimate],
            mode="markers",
            marker={"color": ink, "size": 8, "symbol": marker(point.objective)},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [100 * (point.high - point.estimate)],
                "arrayminus": [100 * (point.estimate - point.low)],
                "color": ink,
                "thickness": 1.5,
                "width": 0,
            },
            hovertemplate=f"{point.label}<br>%{{x:.3f}}<br>%{{y:+.1f}} points<extra></extra>",
        )
    framed(figure, look)
    figure.update_xaxes(title_text=AXES[data.axis], tickformat=".2f")
    figure.update_yaxes(title_text="CW − weak labels, points", tickformat="+.0f")
    return reference_line(figure, look, y=0)
