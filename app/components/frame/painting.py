"""The answer of a page is on the screen before the browser loads what draws its evidence.

Sent at once, the answer would wait for the charts' program (benchmarks/first_paint.py). So the browser is asked to say
when it has painted (`painted.js`), and the script waits for that word: as long as this browser needs, and no longer.
"""

import secrets
import threading
import time
from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PLACE = "painted"
PATIENCE, LOOK_EVERY = 3.0, 0.01  # seconds until the evidence is sent without the browser's word
LOOKED_AT = "painting.looked_at"
HIDDEN = "painted"  # the container that style.css does not show
SCRIPT = Path(__file__).with_name("painted.js").read_text(encoding="utf-8")
ask_browser = st.components.v2.component("painted", js=SCRIPT)


class Waiting:
    """Scripts that wait for their browser, by names that nobody can guess; what waits no more is forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, threading.Event] = {}

    def begin(self) -> tuple[str, threading.Event]:
        name, event = secrets.token_urlsafe(16), threading.Event()
        with self._lock:
            self._events[name] = event
        return name, event

    def end(self, name: str) -> None:
        """By the browser's word or without it."""
        with self._lock:
            event = self._events.pop(name, None)
        if event is not None:
            event.set()

    def __len__(self) -> int:
        return len(self._events)


waiting = Waiting()


def let_paint(*looked_at: object) -> None:
    """What the script has sent so far is painted before it goes on. Once for what is looked at: what is drawn over
    again has its charts already."""
    first = st.session_state.get(LOOKED_AT) != looked_at
    st.session_state[LOOKED_AT] = looked_at
    name, event = waiting.begin() if first and st.context.url else ("", threading.Event())
    try:
        with st.container(key=HIDDEN):
            ask_browser(key="painted_asked", data={"name": name})
        until = time.monotonic() + PATIENCE
        while name and time.monotonic() < until and not event.wait(LOOK_EVERY):
            st.session_state.get(LOOKED_AT)  # what is asked of the session lets the next run begin
    finally:
        waiting.end(name)


async def hear(request: Request) -> Response:
    """The browser's word."""
    waiting.end(request.path_params["name"])
    return Response(status_code=204)


def route(prefix: str) -> Route:
    """Where the browser says it. `prefix`: empty, or the path that all addresses begin with, as `/cwpo`."""
    return Route(f"{prefix}/{PLACE}/{{name}}", hear, methods=["POST"])
