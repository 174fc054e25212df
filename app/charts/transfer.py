"""How annotators of one source label pairs of another, as a matrix."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, faded, framed
from app.untrusted import chart_text
from cwpo.compare.questions.transfer import TransferRow

WORDS = {"accuracy": "labels met", "auroc": "AUROC of C", "ece": "ECE of C"}


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Sources in order, and a figure for each (learned, labeled) that is known."""

    figure: str
    learned: tuple[str, ...]
    labels: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]  # by learned, then by labeled


def prepare(rows: Iterable[TransferRow], *, figure: str = "accuracy") -> Matrix:
    """`figure`: accuracy, auroc or ece."""
    known = list(rows)
    learned, labels = (list(dict.fromkeys(getattr(row, side) for row in known)) for side in ("learned", "labels"))
    at = {(row.learned, row.labels): getattr(row, figure) for row in known}
    return Matrix(
        figure=figure,
        learned=tuple(chart_text(name) for name in learned),
        labels=tuple(chart_text(name) for name in labels),
        values=tuple(tuple(at.get((one, other)) for other in labels) for one in learned),
    )


def draw(data: Matrix, look: Look = LIGHT) -> go.Figure:
    """Darker is more; every cell says its figure."""
    figure = go.Figure()
    if data.learned:
        share = data.figure == "accuracy"
        figure.add_heatmap(
            x=list(data.labels),
            y=list(data.learned),
            z=[list(line) for line in data.values],
            text=[[_text(value, share=share) for value in line] for line in data.values],
            texttemplate="%{text}",
            colorscale=[[0.0, faded(look, "cw", 0.05)], [1.0, faded(look, "cw", 0.65)]],
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate=f"learned from %{{y}}<br>labels %{{x}}<br>{WORDS[data.figure]} %{{text}}<extra></extra>",
            textfont={"color": look.ink},
            hoverlabel={"bordercolor": colour(look, "cw")},
        )
    framed(figure, look)
    figure.update_xaxes(title_text="labels pairs of")
    figure.update_yaxes(title_text="learned from", autorange="reversed")
    return figure


def _text(value: float | None, *, share: bool) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f} %" if share else f"{value:.3f}"
