"""The one way a chart reaches a page."""

from collections.abc import Iterable
from typing import Any

import streamlit as st

from app.charts import CHARTS
from app.charts.frame import MODEBAR
from app.components.layout import look, note, small


def show_chart(name: str, rows: Iterable[Any], *, key: str, title: str = "", caption: str = "", **choice: Any) -> None:
    """Title, picture, one sentence. `choice` goes to the chart's prepare."""
    chart = CHARTS[name]
    if title:
        small(title)
    figure = chart.draw(chart.prepare(rows, **choice), look())
    st.plotly_chart(figure, theme=None, config=dict(MODEBAR), key=key, alt=title or name)
    if caption:
        note(caption)
