"""A page with a chart and a table, saved as the dashboard saves them."""

import pandas as pd
import streamlit as st

from app.components.frame import layout
from app.components.frame.chart import show_chart
from app.components.frame.export import Exported, show_export
from cwpo.report.tables import Table

layout.heading("Export")
points = pd.DataFrame({"step": [1, 2], "name": "loss", "value": [0.7, 0.5]})
show_chart("training_curves", [("CW", "cw", points)], key="chart", alt="loss")
numbers = Table(columns=("method", "estimate"), rows=(("CW", 0.5625),))
cells = Table(columns=("method", "GRA, %"), rows=(("CW", "56.2"),))
show_export([Exported(name="GRA", numbers=lambda: numbers, cells=lambda: cells)])
st.caption("the end")
