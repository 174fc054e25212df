"""What the web server runs: the pages of main.py and files that are streamed from disk, behind the door.

Where nothing would keep others out it ends with one sentence.
"""

import sys

import streamlit as st
from starlette.middleware import Middleware
from streamlit import config

from app.changes_in_order import keep_changes_in_order
from app.components.frame import downloads, painting
from app.door.guard import Guard
from app.door.people import stand
from app.door.refusals import install
from app.door.ways import Door, decide
from app.fragment_ends import keep_fragment_ends
from app.heap import tidy
from app.late_clicks import keep_late_clicks
from app.styled import Styled
from cwpo.config.environment import set_here, settings
from cwpo.errors import ConfigError
from workers.machine.modes import keep_private

keep_private()
set_here(CWPO_LIMITED="1")


def door() -> Door:
    """The door of this server, by its options and the secrets that Streamlit read."""
    login = st.secrets["auth"] if st.secrets.load_if_toml_exists() and "auth" in st.secrets else None
    options = {name: config.get_option(f"server.{name}") for name in ("address", "baseUrlPath")}
    try:
        return decide(options, login, settings)
    except ConfigError as error:
        sys.exit(f"{error}")


own = door()
stand(own)
install()
tidy()
keep_fragment_ends()
keep_late_clicks()
keep_changes_in_order()
app = st.App(
    "main.py",
    routes=[downloads.route(own.prefix), painting.route(own.prefix)],
    middleware=[Middleware(Guard, door=own), Middleware(Styled)],
)
