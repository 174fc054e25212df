"""GRA along training over the distance moved, under two judges, with the best of n of the baseline beside it."""

from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.frame import LIGHT, Look, add_band, colour, framed, reference_line
from app.untrusted import chart_text
from cwpo.compare.judges.along import AlongRow


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One setting, or the best of n, under one judge."""

    label: str
    judge: str
    method: str
    is_second: bool
    is_best_of: bool
    kl: tuple[float, ...]
    estimate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    places: tuple[str, ...]


def prepare(rows: Iterable[AlongRow]) -> list[Curve]:
    """Two curves for each setting where there is a second judge, in the order in which they were kept."""
    groups: dict[tuple[str, str], list[AlongRow]] = {}
    for row in rows:
        groups.setdefault((row.group_key, row.label), []).append(row)
    found = []
    for (key, label), own in groups.items():
        for judge in ("gold", "second"):
            shown = [row for row in own if getattr(row, judge) is not None]
            if not shown:
                continue
            name = shown[0].gold_name if judge == "gold" else shown[0].second_name
            found.append(
                Curve(
                    label=chart_text(f"{label} · {name}"),
                    judge=chart_text(name),
                    method=shown[0].method,
                    is_second=judge == "second",
                    is_best_of=not key,
                    kl=tuple(row.kl for row in shown),
                    estimate=tuple(getattr(row, judge) for row in shown),
                    low=tuple(getattr(row, f"{judge}_low") for row in shown),
                    high=tuple(getattr(row, f"{judge}_high") for row in shown),
                    places=tuple(row.place for row in shown),
                )
            )
    return found


def draw(data: list[Curve], look: Look = LIGHT) -> go.Figure:
    """The second judge is dashed and open, and in no legend; the best of n is thin and muted."""
    figure = go.Figure()
    for curve in data:
        add_band(figure, look, curve.method, curve.kl, curve.low, curve.high)
    for curve in data:
        ink = colour(look, curve.method)
        figure.add_scatter(
            x=curve.kl,
            y=curve.estimate,
            customdata=curve.places,
            mode="lines+markers",
            name=curve.label,
            showlegend=not curve.is_second,
            line={
                "color": ink,
                "width": 1.0 if curve.is_best_of else 1.8,
                "dash": ("dot" if curve.is_best_of else "dash") if curve.is_second else "solid",
            },
            marker={
                "color": ink, "size": 6 if curve.is_best_of else 8,
                "symbol": "circle-open" if curve.is_second else "circle",
            },
            hovertemplate="%{fullData.name}<br>%{customdata}: KL %{x:.2f} nats, GRA %{y:.1%}<extra></extra>",
        )  # fmt: skip
    framed(figure, look, height=280, legend=True)
    figure.update_xaxes(title_text="KL from the reference, nats per answer")
    figure.update_yaxes(title_text="GRA", tickformat=".0%")
    return reference_line(figure, look, y=0.5)
