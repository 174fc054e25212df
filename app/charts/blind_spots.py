"""Where the aligned policy is confident and wrong, over how sure the annotator of its labels was."""

from collections.abc import Iterable

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, framed
from cwpo.compare.questions.spots import WHOLE, SpotRow


def prepare(rows: Iterable[SpotRow]) -> list[SpotRow]:
    """The tenths alone."""
    return [row for row in rows if row.part != WHOLE]


def draw(data: list[SpotRow], look: Look = LIGHT) -> go.Figure:
    """Confident and wrong with its interval; wrong at all, of the policy and of the weak labels, as lines."""
    figure = go.Figure()
    at = [row.mean_confidence for row in data]
    if data:
        ink = colour(look, "cw")
        figure.add_scatter(
            x=at,
            y=[row.blind for row in data],
            mode="lines+markers",
            name="policy confident and wrong",
            line={"color": ink, "width": 1.8},
            marker={"size": 6},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [row.blind_high - row.blind for row in data],
                "arrayminus": [row.blind - row.blind_low for row in data],
                "thickness": 1.5,
                "width": 0,
            },
            customdata=[row.n for row in data],
            hovertemplate="mean C %{x:.2f}, %{y:.1%}<br>%{customdata:,} pairs<extra></extra>",
        )
        lines = (("policy wrong", "policy_wrong", ink, "dot"), ("weak label wrong", "weak_wrong", "", "solid"))
        for name, field, own, dash in lines:
            figure.add_scatter(
                x=at,
                y=[getattr(row, field) for row in data],
                mode="lines",
                name=name,
                line={"color": own or colour(look, "weak"), "width": 1.2, "dash": dash},
                hovertemplate=f"{name} %{{y:.1%}}<extra></extra>",
            )
    framed(figure, look, legend=True)
    figure.update_xaxes(title_text="mean C of a tenth of the pairs", tickformat=".2f")
    figure.update_yaxes(title_text="share of the pairs", tickformat=".0%", rangemode="tozero")
    return figure
