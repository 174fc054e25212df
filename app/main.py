"""The dashboard's entry: logs, page configuration and navigation, nothing else.

The scripts lie in screens/: a folder named pages/ beside this file would switch on Streamlit's older navigation, which
serves the first deep link after a start without this file.
"""

from pathlib import Path

import streamlit as st
from streamlit.logger import get_logger

from app.charts.frame import LOOKS
from app.components.form.session import put_aside
from app.components.frame.address import RunsView
from app.components.frame.layout import look
from app.components.frame.leaving import arriving, become, parameters
from app.door.people import let_in, turn
from app.heap import settle
from workers.machine import logs

logs.configure()
get_logger("root")  # the parent of all of Streamlit's, which it makes with its first warning
logs.take_over("streamlit_console_handler")  # the name that Streamlit keeps its own under
st.set_page_config(page_icon="◐", layout="wide", initial_sidebar_state="auto")
settle()
let_in()  # where people sign in, nothing below runs before they did

NEW_RUN = "new_run"
# Said for the whole document: what comes up from a button lies outside of the part that Streamlit says it of.
SCHEMES = {name: Path(__file__).with_name(f"{name}.css") for name in LOOKS}


def runs_by_name() -> None:
    """Runs is the page without a name in the address; its name leads there as well."""
    become(RunsView.from_params(parameters()))


PAGES = {
    "Experiments": [
        st.Page("screens/runs.py", title="Runs", url_path="first", default=True),
        st.Page("screens/new_run.py", title="New run", url_path=NEW_RUN),
        st.Page("screens/data.py", title="Data", url_path="data"),
        st.Page("screens/compare.py", title="Compare", url_path="compare"),
        st.Page("screens/annotators.py", title="Annotators", url_path="annotators"),
        st.Page("screens/examples.py", title="Examples", url_path="examples"),
        st.Page("screens/relabel.py", title="Relabel", url_path="relabel"),
        st.Page("screens/paper.py", title="Paper", url_path="paper"),
        st.Page("screens/run.py", title="Run", url_path="run", visibility="hidden"),
        st.Page(runs_by_name, title="All runs", url_path="runs", visibility="hidden"),
    ],
    "Machine": [st.Page("screens/system.py", title="System", url_path="system")],
}

page = st.navigation(PAGES, expanded=True)
st.set_page_config(page_title=f"{getattr(page, 'title', 'Dashboard')} · CW-PO")  # outside a server a page has no title
st.html(SCHEMES[look().name])
with turn(), arriving(page):
    if page.url_path != NEW_RUN:
        put_aside()
    page.run()
