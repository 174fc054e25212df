"""How far each setting moved from its reference for the GRA that it reached."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, colour, framed, in_words, marker, reference_line
from app.untrusted import chart_text
from cwpo.compare.gra import GraRow

# Where a name may stand, the first free place first; shifts of its middle in lengths and heights of the name.
SIDES = {"middle right": (0.6, 0), "middle left": (-0.6, 0), "top right": (0.6, 0.8), "top left": (-0.6, 0.8)}
NAME_WIDTH, NAME_HEIGHT = 0.016, 0.09  # of one character and of a line, as shares of the chart's sides


@dataclass(frozen=True, kw_only=True)
class Point:
    """KL estimate in nats per answer against GRA as a fraction, with its 95 % interval."""

    label: str
    method: str
    objective: str
    kl: float
    estimate: float
    low: float
    high: float


def prepare(rows: Iterable[GraRow]) -> list[Point]:
    """Settings with a KL estimate."""
    return [
        Point(
            label=chart_text(row.label),
            method=row.method,
            objective=row.objective,
            kl=row.kl,
            estimate=row.estimate,
            low=row.low,
            high=row.high,
        )
        for row in rows
        if row.kl is not None
    ]


def draw(data: list[Point], look: Look = LIGHT) -> go.Figure:
    """Each setting once, labelled directly where its name has room; every name comes up under the pointer."""
    figure = go.Figure()
    for point, side in zip(data, _sides(data), strict=True):
        ink = colour(look, point.method)
        figure.add_scatter(
            x=[point.kl],
            y=[point.estimate],
            mode="markers+text",
            text=[point.label if side else ""],
            textposition=side or "middle right",
            textfont={"color": in_words(look.name, point.method), "size": 11},
            marker={"color": ink, "size": 8, "symbol": marker(point.objective)},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [point.high - point.estimate],
                "arrayminus": [point.estimate - point.low],
                "color": ink,
                "thickness": 1.5,
                "width": 0,
            },
            hovertemplate=f"{point.label}<br>KL %{{x:.2f}} nats<br>GRA %{{y:.1%}}<extra></extra>",
        )
    framed(figure, look)
    figure.update_xaxes(title_text="KL from the reference, nats per answer", range=_range(data))
    figure.update_yaxes(title_text="GRA", tickformat=".0%")
    return reference_line(figure, look, y=0.5)


def _sides(data: list[Point]) -> list[str | None]:
    """A place for each name that covers neither a point nor another name, or none."""
    left, right = _range(data)
    tall = max([0.5, *(point.high for point in data)]) - min([0.5, *(point.low for point in data)]) or 1.0
    dots = [((point.kl - left) / (right - left), point.estimate / tall) for point in data]
    # Middle, and half of width and height: of a point with its interval here, of a name below.
    taken = [
        (x, (point.low + point.high) / 2 / tall, 0.012, (point.high - point.low) / 2 / tall)
        for point, (x, _) in zip(data, dots, strict=True)
    ]
    found: list[str | None] = []
    for point, (x, y) in zip(data, dots, strict=True):
        width = NAME_WIDTH * len(point.label)
        boxes = {
            side: (x + (width + 0.04) * along, y + NAME_HEIGHT * up, width / 2, NAME_HEIGHT / 2)
            for side, (along, up) in SIDES.items()
        }
        side = next((side for side, box in boxes.items() if not any(_touch(box, other) for other in taken)), None)
        found.append(side)
        if side is not None:
            taken.append(boxes[side])
    return found


def _touch(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return abs(one[0] - other[0]) < one[2] + other[2] and abs(one[1] - other[1]) < one[3] + other[3]


def _range(data: list[Point]) -> list[float]:
    """All points with room for their names on both sides."""
    low, high = min((point.kl for point in data), default=0.0), max((point.kl for point in data), default=1.0)
    room = max(0.35 * (high - low), 0.05 * abs(high), 1e-3)
    return [low - room, high + room]
