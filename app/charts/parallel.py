"""A sweep as lines: from the fields that differ to GRA, KL and tokens, one line per setting."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, dash, faded, framed
from app.untrusted import chart_text
from cwpo.compare.gra import GraRow
from cwpo.config import catalog
from cwpo.report.config_differences import as_text
from cwpo.report.numbers import number, percent

HEIGHT = 320  # px
DECADE = 10.0  # a field whose positive values span this factor has a logarithmic axis
MOST_TICKS = 6  # values of a field that are all named; of more the ends and what is between them
MOST_AXES = 9  # fields; of more those with most values, since a picture has one width
NOTHING = -0.12  # height of what is no number on an axis of numbers
NAME, TICK = 22, 14  # characters


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A field or a result: its name, and which height in [0, 1] has which value."""

    name: str
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A setting; `heights` by axis, None where it was not measured. `rank`: 0 the lowest GRA shown, 1 the highest."""

    label: str
    method: str
    heights: tuple[float | None, ...]
    rank: float
    hover: str


@dataclass(frozen=True, kw_only=True)
class Lines:
    """All of the picture."""

    axes: tuple[Axis, ...] = ()
    lines: tuple[Line, ...] = ()


def prepare(rows: Iterable[tuple[GraRow, Mapping[str, Any]]]) -> Lines:
    """Settings with the values of the fields that differ, in the order given."""
    swept = list(rows)
    if not swept:
        return Lines()
    fields = _fields([values for _, values in swept])
    columns = [_column(chart_text(_short(name), NAME), [values.get(name) for _, values in swept]) for name in fields]
    results = [
        _column("GRA, %", [100 * row.estimate for row, _ in swept], digits=1),
        _column("KL, nats", [row.kl for row, _ in swept], digits=2),
        _column("tokens", [row.tokens for row, _ in swept], digits=1),
    ]
    columns += [one for place, one in enumerate(results) if place == 0 or any(h is not None for h in one[1])]
    estimates = [row.estimate for row, _ in swept]
    low, high = min(estimates), max(estimates)
    lines = [
        Line(
            label=chart_text(row.label),
            method=row.method,
            heights=tuple(heights[place] for _, heights in columns),
            rank=(row.estimate - low) / (high - low) if high > low else 1.0,
            hover=f"{chart_text(row.label)}<br>GRA {percent(row.estimate)}, KL {number(row.kl)} nats",
        )
        for place, (row, _) in enumerate(swept)
    ]
    return Lines(axes=tuple(axis for axis, _ in columns), lines=tuple(lines))


def draw(data: Lines, look: Look = LIGHT) -> go.Figure:
    """Lines first and their values on top; by method, or by GRA where there is one method."""
    figure = go.Figure()
    several = len({line.method for line in data.lines}) > 1
    named: set[str] = set()
    for line in sorted(data.lines, key=lambda one: one.rank):
        ink = colour(look, line.method) if several else faded(look, line.method, 0.2 + 0.8 * line.rank)
        figure.add_scatter(
            x=list(range(len(line.heights))),
            y=list(line.heights),
            mode="lines+markers",
            connectgaps=False,
            line={"color": ink, "width": 1 + 1.5 * line.rank, "dash": dash(line.method), "shape": "linear"},
            marker={"color": ink, "size": 5},
            opacity=0.85,
            hovertext=[line.hover] * len(line.heights),
            hoverinfo="text",
            name=catalog.METHODS[line.method].label if line.method in catalog.METHODS else line.method,
            legendgroup=line.method,
            showlegend=line.method not in named,
        )
        named.add(line.method)
    framed(figure, look, height=HEIGHT, legend=several)
    for place, axis in enumerate(data.axes):
        figure.add_vline(x=place, line={"color": look.axis, "width": 1}, layer="below")
        for height, text in axis.ticks:
            figure.add_annotation(
                x=place, y=height, text=text, showarrow=False, xanchor="left" if place else "right",
                xshift=6 if place else -6, bgcolor=look.paper, opacity=0.9, borderpad=1,
                font={"size": 11, "color": look.muted},
            )  # fmt: skip
    figure.update_layout(margin={"l": 96, "r": 64, "t": 30 if several else 12, "b": 4})
    last = max(len(data.axes) - 1, 1)
    figure.update_xaxes(
        title_text="fields that differ, then results", tickvals=list(range(len(data.axes))),
        ticktext=[axis.name for axis in data.axes], range=[-0.02 * last, 1.02 * last], showline=False, ticks="",
    )  # fmt: skip
    figure.update_yaxes(visible=False, range=[-0.2, 1.1], showgrid=False)
    return figure


def _fields(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """In their order; of too many those that take most values."""
    names = list(dict.fromkeys(name for values in settings for name in values))
    count = {name: len({as_text(values.get(name)) for values in settings}) for name in names}
    kept = set(sorted(names, key=lambda name: -count[name])[:MOST_AXES])
    return [name for name in names if name in kept]


def _column(name: str, values: Sequence[Any], digits: int | None = None) -> tuple[Axis, list[float | None]]:
    """The axis of one field, and where on it each setting stands."""
    numbers = [float(value) for value in values if _is_number(value)]
    if not numbers:
        return _categories(name, values)
    logarithmic = min(numbers) > 0 and max(numbers) / min(numbers) >= DECADE
    low, high = min(numbers), max(numbers)

    def height(value: float) -> float:
        if high == low:
            return 0.5
        if logarithmic:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    heights = [height(float(value)) if _is_number(value) else None if digits is not None else NOTHING
               for value in values]  # fmt: skip
    ticks = [(height(value), _figure(value, digits)) for value in _named(numbers, logarithmic=logarithmic)]
    others = list(dict.fromkeys(as_text(value) for value in values if not _is_number(value)))
    if others and digits is None:
        ticks.append((NOTHING, chart_text(" / ".join(others), TICK)))
    return Axis(name=f"{name}, log" if logarithmic else name, ticks=tuple(ticks)), heights


def _categories(name: str, values: Sequence[Any]) -> tuple[Axis, list[float | None]]:
    """Words at equal distances, in their order."""
    words = list(dict.fromkeys(as_text(value) for value in values))
    place = {word: (0.5 if len(words) == 1 else 1 - number_ / (len(words) - 1)) for number_, word in enumerate(words)}
    step = -(-len(words) // (2 * MOST_TICKS))
    ticks = tuple((place[word], chart_text(word, TICK)) for word in words[::step])
    return Axis(name=name, ticks=ticks), [place[as_text(value)] for value in values]


def _named(numbers: Sequence[float], *, logarithmic: bool) -> list[float]:
    """All values where they are few, else the ends and the middle."""
    distinct = sorted(set(numbers))
    if len(distinct) <= MOST_TICKS:
        return distinct
    low, high = distinct[0], distinct[-1]
    return [low, math.sqrt(low * high) if logarithmic else (low + high) / 2, high]


def _figure(value: float, digits: int | None) -> str:
    return as_text(value) if digits is None else number(value, digits)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(name: str) -> str:
    """align.lr -> lr where that is enough to know it by."""
    return name.rpartition(".")[2] if len(name) > NAME else name
