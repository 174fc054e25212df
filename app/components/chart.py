"""The one way a chart reaches a page."""

from collections.abc import Hashable, Iterable
from functools import lru_cache
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app.charts import CHARTS
from app.charts.frame import LOOKS, modebar
from app.components.export import chart_format
from app.components.layout import look, note, small

KEPT = 128  # figures


def show_chart(name: str, rows: Iterable[Any], *, key: str, title: str = "", caption: str = "", **choice: Any) -> None:
    """Title, picture, one sentence. `choice` goes to the chart's prepare."""
    chart = CHARTS[name]
    if title:
        small(title)
    data = chart.prepare(rows, **choice)
    figure = _figure(name, tuple(data) if isinstance(data, list) else data, look().name)
    st.plotly_chart(figure, theme=None, config=modebar(name, chart_format()), key=key, alt=title or name)
    if caption:
        note(caption)


@lru_cache(maxsize=KEPT)
def _figure(name: str, data: Hashable, look_name: str) -> go.Figure:
    """Drawing takes far longer than comparing the data, which is plain values throughout."""
    return CHARTS[name].draw(list(data) if isinstance(data, tuple) else data, LOOKS[look_name])
