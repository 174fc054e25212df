"""What all charts share: colours by method, markers by objective, and the quiet frame around them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import plotly.graph_objects as go

from cwpo.config import catalog
from cwpo.report.document import inks

HEIGHT = 250  # px, in two columns
READABLE = 4.5  # contrast that small text needs
# What Streamlit mixes into the paper of a line of a grid: the second paper under the pointer, the accent if ticked.
HOVERED, TICKED = 0.3, 0.1
FONT = '"Source Sans", "Source Sans Pro", sans-serif'

MODEBAR: Mapping[str, Any] = {
    "displaylogo": False,
    "modeBarButtons": [["toImage"]],
    "displayModeBar": "hover",
    "responsive": True,
}
CHART_FORMATS = ("PNG", "SVG")


@dataclass(frozen=True, kw_only=True)
class Look:
    """The inks of one theme."""

    name: Literal["light", "dark"]
    ink: str
    muted: str
    paper: str
    second: str  # paper, of fields
    accent: str
    grid: str
    axis: str
    reference: str
    methods: Mapping[str, str]


LIGHT = Look(
    name="light",
    ink="#1F2328",
    muted="#5F6672",
    paper="#FCFCFA",
    second="#F3F2EE",
    accent="#2F5DA8",
    grid="#ECEAE4",
    axis="#C9C6BD",
    reference="#C9C6BD",
    methods=inks.LIGHT,
)
DARK = Look(
    name="dark",
    ink="#E4E3DE",
    muted="#9AA1AC",
    paper="#17191C",
    second="#212429",
    accent="#7BA3E0",
    grid="#2A2E33",
    axis="#4A4F57",
    reference="#5B6068",
    methods={
        "human": "#9AA1AC",
        "human_cw": "#7BA3E0",
        "human_100": "#6D737D",
        "human_labeled": "#9AA1AC",
        "weak": "#E0A34A",
        "cw": "#7BA3E0",
        "top": "#69B598",
        "ws": "#B48CCF",
        "oracle": "#E4E3DE",
        "soft": "#A6ABC6",
        "random": "#D9796E",
        "bottom": "#D9796E",
        "shuffled": "#D9796E",
        "normalised": "#D9796E",
        "unbiased": "#58B7CB",
        "committee": "#A9B963",
        "madpo": "#D98ABB",
        "correct": "#E4E3DE",
        "top_true": "#69B598",
    },
)
LOOKS: Mapping[str, Look] = {"light": LIGHT, "dark": DARK}

DASHED_METHODS = frozenset(
    {"human_cw", "human_labeled", "random", "bottom", "shuffled", "normalised", "correct", "top_true"}
)
# Objectives differ by shape, in the order of the catalog.
SHAPES = (
    "circle",
    "diamond",
    "square",
    "triangle-up",
    "triangle-down",
    "cross",
    "x",
    "pentagon",
    "star",
    "hexagon",
    "hourglass",
    "bowtie",
)
MARKERS: Mapping[str, str] = dict(zip(catalog.OBJECTIVES, itertools.cycle(SHAPES)))


def modebar(name: str, kind: str) -> dict[str, Any]:
    """The camera that saves a chart in the browser. Plotly's button knows one format, and JSON can bring no other."""
    return {**MODEBAR, "toImageButtonOptions": {"format": kind.lower(), "filename": name, "scale": 2}}


def colour(look: Look, method: str | None) -> str:
    """A method's colour, the same on every page; anything else is muted."""
    return look.methods.get(method or "", look.muted)


@cache
def in_words(look_name: str, method: str | None) -> str:
    """The method's colour as an ink for words: towards the ink of the page until they are read as easily as others."""
    look = LOOKS[look_name]
    value, part = colour(look, method), 0.0
    while min(contrast(value, ground) for ground in grounds(look).values()) < READABLE and part < 1:
        part += 0.1
        value = _mixed(colour(look, method), look.ink, part)
    return value


def grounds(look: Look) -> dict[str, str]:
    """What words stand on: the page, and in a grid a line under the pointer, a ticked one, and one that is both."""
    hovered = _mixed(look.paper, look.second, HOVERED)
    return {
        "bare": look.paper,
        "hovered": hovered,
        "ticked": _mixed(look.paper, look.accent, TICKED),
        "both": _mixed(hovered, look.accent, TICKED),
    }


def contrast(first: str, second: str) -> float:
    """How far two colours stand apart, 1 to 21, by the rule of WCAG."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(value: str) -> float:
    shares = [part / 255 for part in _parts(value)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _mixed(first: str, second: str, part: float) -> str:
    mixed = [round((1 - part) * one + part * other) for one, other in zip(_parts(first), _parts(second), strict=True)]
    return "#" + "".join(f"{value:02X}" for value in mixed)


def _parts(value: str) -> tuple[int, ...]:
    """Red, green and blue."""
    return tuple(int(value[start : start + 2], 16) for start in (1, 3, 5))


def faded(look: Look, method: str | None, opacity: float) -> str:
    """The method's colour for a band or a seed's thin line."""
    red, green, blue = _parts(colour(look, method))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def dash(method: str | None) -> str:
    return "dash" if method in DASHED_METHODS else "solid"


def marker(objective: str | None) -> str:
    return MARKERS.get(objective or "", "circle")


def add_band(
    figure: go.Figure, look: Look, method: str, x: Sequence[float], low: Sequence[float], high: Sequence[float]
) -> None:
    """The interval along a line, point by point; to be drawn before all lines, so that none is under a band."""
    figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=faded(look, method, 0.12),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )


def framed(figure: go.Figure, look: Look, *, height: int = HEIGHT, legend: bool = False) -> go.Figure:
    """Transparent, horizontal grid only, outside ticks, legend on top left."""
    axis = {
        "linecolor": look.axis,
        "tickcolor": look.axis,
        "ticks": "outside",
        "ticklen": 4,
        "zeroline": False,
        "automargin": True,
        "tickfont": {"color": look.muted},
        "title": {"font": {"color": look.muted, "size": 12}, "standoff": 8},
    }
    figure.update_xaxes(**axis, showgrid=False, showline=True)
    figure.update_yaxes(**{**axis, "ticks": ""}, showgrid=True, gridcolor=look.grid, showline=False)
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 12, "t": 26 if legend else 8, "b": 4},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 12, "color": look.ink},
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.0, "xanchor": "left", "yanchor": "bottom", "font": {"size": 12}},
        hoverlabel={"bgcolor": look.paper, "bordercolor": look.axis, "font": {"family": FONT, "color": look.ink}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": look.muted, "activecolor": look.ink},
        dragmode=False,
    )
    return figure


def reference_line(figure: go.Figure, look: Look, *, x: float | None = None, y: float | None = None) -> go.Figure:
    """A dotted line for what the eye should compare with: 50 %, calibrated, the reference run."""
    line = {"color": look.reference, "dash": "dot", "width": 2}
    if x is not None:
        figure.add_vline(x=x, line=line, layer="below")
    if y is not None:
        figure.add_hline(y=y, line=line, layer="below")
    return figure
