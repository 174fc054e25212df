"""What confidence reweights: the weight of a group's pairs relative to the average pair."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, framed, reference_line
from app.untrusted import chart_text
from cwpo.report.labels.annotators import Group

LINE, EDGES = 19, 64  # px


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A group: mean C over the mean C of all pairs, and what it makes of its share."""

    label: str
    relative: float
    mean: float
    pairs_share: float
    weight_share: float
    first: bool  # of its family


def prepare(rows: Iterable[Group]) -> list[Mark]:
    """In the order given; a family is a block."""
    marks: list[Mark] = []
    family = ""
    for row in rows:
        marks.append(
            Mark(
                label=chart_text(row.value),
                relative=row.relative,
                mean=row.mean_confidence,
                pairs_share=row.pairs_share,
                weight_share=row.weight_share,
                first=row.family != family,
            )
        )
        family = row.family
    return marks


def draw(data: list[Mark], look: Look = LIGHT) -> go.Figure:
    """A stem from the average to each group, the first group on top; a gap between families."""
    figure = go.Figure()
    heights = _heights(data)
    ink = colour(look, "cw")
    stems_x = [value for mark in data for value in (1.0, mark.relative, None)]
    stems_y = [value for height in heights for value in (height, height, None)]
    if data:
        figure.add_scatter(x=stems_x, y=stems_y, mode="lines", line={"color": ink, "width": 2}, hoverinfo="skip")
        figure.add_scatter(
            x=[mark.relative for mark in data],
            y=heights,
            mode="markers",
            marker={"color": ink, "size": 8},
            customdata=[(mark.label, mark.mean, mark.pairs_share, mark.weight_share) for mark in data],
            hovertemplate="%{customdata[0]}<br>mean C %{customdata[1]:.2f}, × %{x:.2f}"
            "<br>%{customdata[2]:.1%} of the pairs, %{customdata[3]:.1%} of the weight<extra></extra>",
        )
    framed(figure, look, height=max(160, round(EDGES - LINE * min(heights, default=0))))
    figure.update_xaxes(title_text="weight of its pairs, average pair = 1")
    figure.update_yaxes(
        tickvals=heights,
        ticktext=[mark.label for mark in data],
        range=[min(heights, default=-1) - 0.7, 0.7],
        showgrid=False,
    )
    return reference_line(figure, look, x=1.0)


def _heights(data: list[Mark]) -> list[float]:
    """One line per group, and half a line between families."""
    place, heights = 0.5, list[float]()
    for mark in data:
        place -= 1.0 if not heights or not mark.first else 1.5
        heights.append(place + 0.5)
    return heights
