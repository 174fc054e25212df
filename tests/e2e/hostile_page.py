"""A page of hostile text, shown as the dashboard shows text of models and users."""

from pathlib import Path

import pandas as pd
import streamlit as st

from app import untrusted
from app.components.frame import layout, tables, text_blocks
from app.components.frame.chart import show_chart
from app.components.frame.tables import Column
from tests.app.hostile import PAYLOADS, SCRIPTS

st.html(Path(untrusted.__file__).with_name("style.css"))
layout.heading("Hostile")
for place, payload in enumerate(PAYLOADS):
    text_blocks.show_text(payload, key=f"text_{place}")
    text_blocks.show_block(payload, key=f"block_{place}")
    layout.note(payload)
    st.metric(untrusted.label(payload), "1")
tables.show((Column(label="text"),), [(payload,) for payload in PAYLOADS], alt="payloads")
points = pd.DataFrame({"step": [1, 2], "name": "loss", "value": 1.0})
show_chart("training_curves", [(payload, "cw", points) for payload in PAYLOADS], key="chart", alt="loss")
with st.container(key="scripts"):
    for place, text in enumerate(SCRIPTS):
        layout.heading(text)
        layout.section(text)
        layout.small(text)
        st.caption(f"Changed:\n- {untrusted.label(text)}")
        text_blocks.show_text(text, key=f"script_{place}")
st.caption("the end")
