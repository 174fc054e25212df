"""The one way a chart reaches a page."""

from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from typing import Any, Literal

import plotly.graph_objects as go
import streamlit as st

from app.charts import CHARTS
from app.charts.frame import LOOKS, modebar
from app.components.frame.export import chart_format
from app.components.frame.layout import look, note, small

KEPT = 24  # figures; a run that goes on draws new ones all the time


def show_chart(
    name: str,
    rows: Iterable[Any],
    *,
    key: str,
    title: str = "",
    alt: str = "",
    caption: str = "",
    about: str = "",
    on_select: Callable[[], None] | None = None,
    by: Literal["points", "box"] = "points",
    **choice: Any,
) -> None:
    """Title, picture, one sentence. `alt` names a picture without a title, `about` is the help of the title; `choice`
    goes to the chart's prepare. on_select: called after a click on a mark, or by box after one was drawn with the
    pointer, which is then in the session under the key.
    """
    chart = CHARTS[name]
    if not (title or alt):
        raise ValueError(f"The chart {name} needs a title, or an alt for those who do not see it.")
    if title:
        small(title, about)
    data = chart.prepare(rows, **choice)
    figure = _figure(name, tuple(data) if isinstance(data, list) else data, look().name)
    config = modebar(name, chart_format())
    if on_select is None:
        st.plotly_chart(figure, theme=None, config=config, key=key, alt=alt or title)
    else:
        st.plotly_chart(
            figure, theme=None, config=config, key=key, alt=alt or title, on_select=on_select, selection_mode=by
        )
    if caption:
        note(caption)


@lru_cache(maxsize=KEPT)
def _figure(name: str, data: Hashable, look_name: str) -> go.Figure:
    """Drawing takes far longer than comparing the data, which is plain values throughout."""
    return CHARTS[name].draw(list(data) if isinstance(data, tuple) else data, LOOKS[look_name])
