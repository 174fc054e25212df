"""Close answers or an unsure annotator? Accuracy by margin, where annotators agree and where they do not."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, faded, framed, reference_line
from db.records import SpreadCell

THIRDS = ("closest third", "middle third", "farthest third")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Pairs of one third by margin, below or above the median disagreement in it."""

    third: str
    accuracy: float
    low: float
    high: float
    spread: float
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Half:
    """One half by disagreement, closest third first."""

    unsure: bool
    cells: tuple[Cell, ...]


def prepare(rows: Iterable[SpreadCell]) -> list[Half]:
    """Where annotators agree, then where they do not."""
    cells = list(rows)
    halves = []
    for unsure in (False, True):
        mine = tuple(
            Cell(
                third=THIRDS[cell.third],
                accuracy=cell.accuracy.estimate,
                low=cell.accuracy.low,
                high=cell.accuracy.high,
                spread=cell.spread,
                pairs=cell.n,
            )
            for cell in cells
            if cell.unsure == unsure
        )
        if mine:
            halves.append(Half(unsure=unsure, cells=mine))
    return halves


def draw(data: list[Half], look: Look = LIGHT) -> go.Figure:
    """Filled: they agree. Hollow and dashed: they do not."""
    figure = go.Figure()
    ink = colour(look, "cw")
    for half in data:
        figure.add_scatter(
            x=[cell.third for cell in half.cells],
            y=[cell.accuracy for cell in half.cells],
            mode="lines+markers",
            name="they disagree" if half.unsure else "they agree",
            line={"color": faded(look, "cw", 0.6) if half.unsure else ink, "width": 1.8}
            | ({"dash": "dash"} if half.unsure else {}),
            marker={"size": 8, "color": look.paper if half.unsure else ink, "line": {"color": ink, "width": 1.5}},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [cell.high - cell.accuracy for cell in half.cells],
                "arrayminus": [cell.accuracy - cell.low for cell in half.cells],
                "thickness": 1.5,
                "width": 0,
            },
            customdata=[(cell.pairs, cell.spread) for cell in half.cells],
            hovertemplate="%{y:.1%} of %{customdata[0]:,} pairs right<br>SD of the margin %{customdata[1]:.2f}"
            "<extra></extra>",
        )
    framed(figure, look, legend=True)
    figure.update_xaxes(title_text="pairs by margin |Δ|", type="category")
    figure.update_yaxes(title_text="accuracy", tickformat=".0%")
    return reference_line(figure, look, y=0.5)
