"""The paper's numbers and ours on one scale: hollow dots the paper's, filled ones ours, lines 95 % intervals."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, faded, framed, marker, reference_line
from app.untrusted import chart_text
from cwpo.paper.answers import PaperCell
from cwpo.paper.names import arm_label, method_name, places
from cwpo.report.numbers import interval, percent

ROW_HEIGHT = 25  # px
SPREAD = 0.22  # how far apart the methods of one line stand


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One number: the paper's, and ours where there is one."""

    line: int
    offset: float
    method: str
    name: str
    objective: str
    paper: tuple[float, float, float]  # value and its interval
    ours: tuple[float, float, float] | None
    hover: str


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Names of the lines, first on top, and all dots."""

    labels: tuple[str, ...]
    dots: tuple[Dot, ...]


def prepare(rows: Iterable[PaperCell]) -> Lines:
    """One line per model pair, dataset, objective and setting; its methods beside each other."""
    cells = [row for row in rows if row.low is not None]
    by_line: dict[str, list[PaperCell]] = {}
    for cell, place in zip(cells, places([cell.number for cell in cells]), strict=True):
        percent_kept = f"top {cell.number.top_percent:g} %" if cell.number.top_percent else ""
        name = " · ".join(word for word in (*place, percent_kept) if word)
        by_line.setdefault(chart_text(name), []).append(cell)
    dots = [
        _dot(cell, line, place, len(members))
        for line, members in enumerate(by_line.values())
        for place, cell in enumerate(members)
    ]
    return Lines(labels=tuple(by_line), dots=tuple(dots))


def draw(data: Lines, look: Look = LIGHT) -> go.Figure:
    """Colour is the method; the paper's interval is the one its number of prompts implies."""
    figure = go.Figure()
    for dot in {dot.method: dot for dot in data.dots}.values():
        _legend(figure, dot, colour(look, dot.method))
    for dot in data.dots:
        ink, y = colour(look, dot.method), dot.line + dot.offset
        _line(figure, dot.paper[1:], y, faded(look, dot.method, 0.35), 1.5)
        _mark(figure, dot, dot.paper[0], y, ink, hollow=True, paper=look.paper)
        if dot.ours is not None:
            _line(figure, dot.ours[1:], y, ink, 2.5)
            _mark(figure, dot, dot.ours[0], y, ink, hollow=False, paper=look.paper)
    framed(figure, look, height=max(150, 74 + ROW_HEIGHT * len(data.labels)), legend=True)
    figure.update_xaxes(tickformat=".0%", title_text="share of test prompts or pairs", range=_range(data))
    figure.update_yaxes(
        tickvals=list(range(len(data.labels))), ticktext=list(data.labels), range=[len(data.labels) - 0.4, -0.6]
    )
    return reference_line(figure, look, x=0.5)


def _range(data: Lines) -> list[float]:
    """Every interval and 50 % are in sight."""
    ends = [0.5, *(end for dot in data.dots for end in (*dot.paper[1:], *(dot.ours or ())[1:]))]
    return [max(0.0, min(ends) - 0.01), min(1.0, max(ends) + 0.01)]


def _dot(cell: PaperCell, line: int, place: int, members: int) -> Dot:
    ours, number = cell.ours, cell.number
    words = (
        f"{chart_text(arm_label(number))}<br>paper {percent(number.value)}, ± implied {interval(cell.low, cell.high)}"
    )
    drawn = None
    if ours is not None and ours.low is not None and ours.high is not None:
        drawn = ours.estimate, ours.low, ours.high
        words += f"<br>ours {percent(ours.estimate)}, 95 % {interval(ours.low, ours.high)}<br>{cell.says}"
    return Dot(
        line=line,
        offset=SPREAD * (2 * place / (members - 1) - 1) if members > 1 else 0.0,
        method=number.method,
        name=method_name(number),
        objective=number.objective,
        paper=(number.value, cell.low or 0.0, cell.high or 1.0),
        ours=drawn,
        hover=words,
    )


def _legend(figure: go.Figure, dot: Dot, ink: str) -> None:
    """A dot of its colour beside the method's name."""
    figure.add_scatter(x=[None], y=[None], mode="markers", name=dot.name, marker={"color": ink, "size": 8})


def _line(figure: go.Figure, ends: tuple[float, ...], y: float, ink: str, width: float) -> None:
    figure.add_scatter(
        x=list(ends), y=[y, y], mode="lines", line={"color": ink, "width": width}, hoverinfo="skip", showlegend=False
    )


def _mark(figure: go.Figure, dot: Dot, x: float, y: float, ink: str, *, hollow: bool, paper: str) -> None:
    inside = {"color": paper, "line": {"color": ink, "width": 1.5}} if hollow else {"color": ink}
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        marker={**inside, "size": 8, "symbol": marker(dot.objective)},
        hovertext=[dot.hover],
        hoverinfo="text",
        showlegend=False,
    )
