"""How sure the annotator is: pairs by confidence, split by agreement with the hidden human label."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, faded, framed
from app.untrusted import chart_text
from db.records import LabelSummary

MERGED = 2  # bins that an outline draws as one: several lines must stay readable


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts per bin of C; `agree` is None where no human label is known."""

    label: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    agree: tuple[int, ...] | None


def prepare(rows: Iterable[tuple[str, LabelSummary]]) -> list[Histogram]:
    """One histogram per annotator, as stored when it labeled."""
    return [
        Histogram(
            label=chart_text(label),
            edges=summary.histogram.edges,
            counts=summary.histogram.counts,
            agree=None if summary.accuracy_human is None else summary.histogram.agree_counts,
        )
        for label, summary in rows
    ]


def draw(data: list[Histogram], look: Look = LIGHT) -> go.Figure:
    """Bars for one annotator; thin outlines for several, each as a share of its own pairs."""
    figure = go.Figure()
    if len(data) == 1:
        _bars(figure, data[0], look)
    else:
        for histogram in data:
            _outline(figure, histogram, look)
    framed(figure, look, legend=len(data) == 1 and data[0].agree is not None)
    figure.update_layout(bargap=0.06, barmode="stack")
    figure.update_xaxes(title_text="confidence C", range=[0, 1])
    if len(data) == 1:
        figure.update_yaxes(title_text="pairs")
    else:
        figure.update_yaxes(title_text="share of pairs", tickformat=".0%")
    return figure


def _bars(figure: go.Figure, histogram: Histogram, look: Look) -> None:
    centres, widths = _centres(histogram.edges), _widths(histogram.edges)
    agree = histogram.agree or histogram.counts
    differ = [count - same for count, same in zip(histogram.counts, agree, strict=True)]
    figure.add_bar(
        x=centres,
        y=agree,
        width=widths,
        name="agrees with human",
        marker={"color": colour(look, "cw"), "line_width": 0},
    )
    if histogram.agree is not None:
        figure.add_bar(
            x=centres,
            y=differ,
            width=widths,
            name="disagrees",
            marker={"color": faded(look, "cw", 0.35), "line_width": 0},
        )
    for trace in figure.data:
        which = f" {trace.name}" if histogram.agree is not None else ""
        trace.update(
            customdata=histogram.counts,
            hovertemplate=f"C %{{x:.2f}}: %{{y:,}} of %{{customdata:,}} pairs{which}<extra></extra>",
        )


def _outline(figure: go.Figure, histogram: Histogram, look: Look) -> None:
    total = max(1, sum(histogram.counts))
    counts = [sum(histogram.counts[start : start + MERGED]) for start in range(0, len(histogram.counts), MERGED)]
    edges = (*histogram.edges[:-1:MERGED], histogram.edges[-1])
    figure.add_scatter(
        x=_centres(edges),
        y=[count / total for count in counts],
        mode="lines",
        line={"color": faded(look, "cw", 0.75), "width": 1.2, "shape": "hvh"},
        name=histogram.label,
        hovertemplate="%{fullData.name}<br>C %{x:.2f}: %{y:.1%}<extra></extra>",
    )


def _centres(edges: tuple[float, ...]) -> list[float]:
    return [(low + high) / 2 for low, high in pairwise(edges)]


def _widths(edges: tuple[float, ...]) -> list[float]:
    return [0.94 * (high - low) for low, high in pairwise(edges)]
