"""What the web server runs: the pages of main.py, and files that are streamed from disk."""

import streamlit as st

from app.components.frame.downloads import ROUTE
from cwpo.config.environment import set_here
from workers.machine.modes import keep_private

keep_private()
set_here(CWPO_LIMITED="1")

app = st.App("main.py", routes=[ROUTE])
