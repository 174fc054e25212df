"""Charts of a report as a few marks: intervals in lines, and GRA by KL. Pure: rows in, marks out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cwpo.compare.gra import DifferenceRow, GraRow
from cwpo.report.document.inks import INK, LIGHT, MUTED, RULE
from cwpo.report.document.parts import Dot, Label, Picture, Stroke, legible
from cwpo.report.numbers import number, percent, points

WIDTH = 515.0  # points: the text of a page of A4
LINE, TOP, FOOT = 20.0, 6.0, 34.0
NAMES, FIGURES = 170.0, 62.0  # room for names on the left and figures on the right
LONGEST = 32  # characters of a name
TICKS = 5


@dataclass(frozen=True, kw_only=True)
class Line:
    """A name, an estimate and its interval."""

    name: str
    figure: str
    estimate: float
    low: float
    high: float
    ink: str
    is_real: bool = True


def gra_picture(rows: Sequence[GraRow]) -> Picture:
    """GRA of each setting with its interval; 50 % dotted."""
    lines = [
        Line(
            name=row.label, figure=percent(row.estimate), estimate=row.estimate, low=row.low, high=row.high,
            ink=ink_of(row.method),
        )
        for row in rows
    ]  # fmt: skip
    return _forest("GRA against the baseline", lines, middle=0.5, axis="GRA, %", tick=lambda v: number(100 * v, 0))


def difference_picture(rows: Sequence[DifferenceRow]) -> Picture | None:
    """Differences in points with their intervals; 0 dotted. None without any figure."""
    lines = [
        Line(
            name=row.label, figure=points(row.estimate), estimate=row.estimate, low=row.low, high=row.high,
            ink=ink_of(row.first_method), is_real=row.is_real,
        )
        for row in rows
        if row.estimate is not None and row.low is not None and row.high is not None
    ]  # fmt: skip
    if not lines:
        return None
    return _forest(
        "Differences, paired on prompts", lines, middle=0.0, axis="points of GRA", tick=lambda v: number(100 * v, 0)
    )


def distance_picture(rows: Sequence[GraRow]) -> Picture | None:
    """GRA by KL, one dot per setting; None where KL was measured for fewer than two."""
    known = [row for row in rows if row.kl is not None]
    if len(known) < 2:
        return None
    height, left, right = 220.0, 46.0, WIDTH - 16.0
    across = _scale([row.kl or 0.0 for row in known], left + 12, right - 90)
    up = _scale([edge for row in known for edge in (row.low, row.high)] + [0.5], height - FOOT, TOP + 8)
    strokes, dots, labels = _axis(across, "KL, nats per answer", height - FOOT + 8, lambda v: number(v, 1))
    for value in up.ticks:
        strokes.append(Stroke(x1=left, y1=up(value), x2=right, y2=up(value), ink="#ECEAE4", width=0.7))
        labels.append(Label(x=left - 6, y=up(value) + 3, text=number(100 * value, 0), ink=MUTED, anchor="end", size=8))
    labels.append(Label(x=2, y=TOP + 4, text="GRA, %", ink=MUTED, size=8))
    taken: list[tuple[float, float]] = []
    for row in known:
        ink, x, y = ink_of(row.method), across(row.kl or 0.0), up(row.estimate)
        strokes.append(Stroke(x1=x, y1=up(row.low), x2=x, y2=up(row.high), ink=ink, width=1.2))
        dots.append(Dot(x=x, y=y, ink=ink))
        if all(abs(y - other) > 9 or abs(x - place) > 80 for place, other in taken):
            labels.append(Label(x=x + 6, y=y + 3, text=_cut(row.label), ink=ink, size=8))
            taken.append((x, y))
    return Picture(
        title="How far did each move for its GRA?", alt="GRA of each setting by its KL", width=WIDTH, height=height,
        strokes=tuple(strokes), dots=tuple(dots), labels=tuple(labels),
    )  # fmt: skip


def ink_of(method: str) -> str:
    return LIGHT.get(method, MUTED)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Values to places, with round ticks."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _scale(values: Sequence[float], start: float, end: float) -> Scale:
    """A little more than the values reach; ticks at 1, 2 or 5 times a power of ten."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.01
    low, high = low - room, high + room
    raw = (high - low) / TICKS
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(base * factor for factor in (1, 2, 5, 10) if base * factor >= raw)
    first = math.ceil(low / step)
    ticks = tuple(step * place for place in range(first, math.floor(high / step) + 1))
    return Scale(low=low, high=high, start=start, end=end, ticks=ticks)


def _forest(title: str, lines: Sequence[Line], *, middle: float, axis: str, tick: Callable[[float], str]) -> Picture:
    """One line each, first on top."""
    bottom = TOP + LINE * len(lines)
    scale = _scale([middle, *(edge for line in lines for edge in (line.low, line.high))], NAMES, WIDTH - FIGURES)
    strokes, dots, labels = _axis(scale, axis, bottom + 6, tick)
    strokes.append(Stroke(x1=scale(middle), y1=TOP, x2=scale(middle), y2=bottom, ink=RULE, width=1.4, dashed=True))
    for place, line in enumerate(lines):
        y = TOP + LINE * (place + 0.5)
        strokes.append(Stroke(x1=scale(line.low), y1=y, x2=scale(line.high), y2=y, ink=line.ink, width=1.8))
        dots.append(Dot(x=scale(line.estimate), y=y, ink=line.ink))
        labels.append(Label(x=NAMES - 10, y=y + 3, text=_cut(line.name), anchor="end"))
        ink = INK if line.is_real else MUTED
        labels.append(Label(x=WIDTH - 2, y=y + 3, text=line.figure, ink=ink, anchor="end"))
    return Picture(
        title=title, alt=f"{title}: {len(lines)} settings with 95 % intervals", width=WIDTH, height=bottom + FOOT,
        strokes=tuple(strokes), dots=tuple(dots), labels=tuple(labels),
    )  # fmt: skip


def _axis(
    scale: Scale, name: str, y: float, tick: Callable[[float], str]
) -> tuple[list[Stroke], list[Dot], list[Label]]:
    strokes = [Stroke(x1=scale.start, y1=y, x2=scale.end, y2=y, ink=RULE, width=0.8)]
    labels = []
    for value in scale.ticks:
        strokes.append(Stroke(x1=scale(value), y1=y, x2=scale(value), y2=y + 3, ink=RULE, width=0.8))
        labels.append(Label(x=scale(value), y=y + 12, text=tick(value), ink=MUTED, anchor="middle", size=8))
    labels.append(Label(x=(scale.start + scale.end) / 2, y=y + 24, text=name, ink=MUTED, anchor="middle", size=8))
    return strokes, [], labels


def _cut(text: str) -> str:
    shown = legible(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
