"""Two runs of a session side by side: the first was told to stop, the second has what the browser says now."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime import state
from streamlit.runtime.scriptrunner import StopException, script_runner
from streamlit.runtime.state import SafeSessionState, SessionState

from app.changes_in_order import InOrder, Session, keep_changes_in_order

WIDGET = "$$ID-0-name"
Change = Callable[[SafeSessionState, str], None]


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "SessionState", SessionState)
        patch.setattr(script_runner, "SafeSessionState", SafeSessionState)
        keep_changes_in_order()
        yield


def say(session: SafeSessionState, text: str) -> None:
    """What a browser sends with each of its messages."""
    said = WidgetStates()
    said.widgets.add(id=WIDGET, string_value=text)
    session.on_script_will_rerun(said)


def put(session: SafeSessionState, text: str) -> None:
    """What a page does whose form holds something else than its widget."""
    session["name"] = text


def held(values: Any, change: Change) -> Any:
    if change is put:
        return values["name"]
    return values._new_widget_state.get_serialized(WIDGET).string_value


def overtaken(change: Change, made: Callable[..., SafeSessionState], values: SessionState) -> Any:
    """What counts where the second run changes the value as soon as the first has asked whether it goes on."""
    stopped, done = threading.Event(), threading.Event()

    def second() -> None:
        change(made(values, lambda: None), "now")
        done.set()

    def goes_on() -> None:
        if stopped.is_set():
            raise StopException
        stopped.set()
        threading.Thread(target=second, daemon=True).start()
        done.wait(0.3)  # it is through where nothing keeps it

    change(made(values, goes_on), "before")
    assert done.wait(10)
    return held(values, change)


@pytest.mark.parametrize("change", [say, put])
def test_what_the_browser_says_last_counts(change: Change) -> None:
    assert overtaken(change, script_runner.SafeSessionState, state.SessionState()) == "now"


@pytest.mark.parametrize("change", [say, put])
def test_a_run_that_was_overtaken_before_it_began_changes_nothing(change: Change) -> None:
    values = Session()

    def stopped() -> None:
        raise StopException

    change(InOrder(values, lambda: None), "now")
    with pytest.raises(StopException):
        change(InOrder(values, stopped), "before")
    assert held(values, change) == "now"


def test_sessions_do_not_wait_for_each_other() -> None:
    one, other = Session(), Session()
    with one.order:
        change = threading.Thread(target=put, args=(InOrder(other, lambda: None), "now"), daemon=True)
        change.start()
        change.join(10)
    assert held(other, put) == "now"


@pytest.mark.parametrize("change", [say, put])
def test_streamlit_needs_it_still(change: Change) -> None:
    """Where this fails, `app/changes_in_order.py` is not needed any more."""
    assert overtaken(change, SafeSessionState, SessionState()) == "before"
