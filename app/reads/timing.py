"""Expected times of what is live, as pages read them: worked out once for all who look at the same moment."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from app.reads.results import reading
from workers.machine.database import database_url
from workers.plan import queue_times
from workers.plan.eta import Eta, Times

SECONDS = 2  # pages that are redrawn look as often


def live_times() -> Times:
    """Every live stage and run."""
    return _times(database_url())


def etas() -> dict[int, Eta]:
    """When each live run starts and ends."""
    return dict(live_times().runs)


def clock(seconds: float) -> datetime:
    """The time of day in so many seconds where the reader is."""
    return datetime.now(_zone()) + timedelta(seconds=seconds)


def local(moment: datetime) -> datetime:
    """The moment as a clock shows it where the reader is."""
    return moment.astimezone(_zone())


def _zone() -> ZoneInfo:
    try:
        return ZoneInfo(str(st.context.timezone or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


@st.cache_data(ttl=SECONDS, show_spinner=False)
def _times(url: str) -> Times:
    with reading() as session:
        return queue_times.times(session)
