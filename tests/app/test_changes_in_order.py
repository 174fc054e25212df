"""Two runs of a session side by side: the first was told to stop, the second has what the browser says now. And a
browser that asks for news while it shows what does not count any more."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime import app_session, state
from streamlit.runtime.scriptrunner import RerunData, StopException, script_runner
from streamlit.runtime.scriptrunner_utils import script_requests
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests
from streamlit.runtime.state import SafeSessionState, SessionState
from streamlit.runtime.state.common import WidgetMetadata

from app.changes_in_order import InOrder, Session, keep_changes_in_order

WIDGET = "$$ID-0-name"
Change = Callable[[SafeSessionState, str], None]


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "SessionState", SessionState)
        patch.setattr(script_runner, "SafeSessionState", SafeSessionState)
        patch.setattr(app_session, "RerunData", RerunData)
        patch.setattr(script_requests, "_coalesce_widget_states", script_requests._coalesce_widget_states)
        keep_changes_in_order()
        yield


def states(text: str) -> WidgetStates:
    said = WidgetStates()
    said.widgets.add(id=WIDGET, string_value=text)
    return said


def say(session: SafeSessionState, text: str) -> None:
    """What a browser sends with each of its messages."""
    session.on_script_will_rerun(states(text))


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


class Page:
    """A page with one field, as it is drawn by each message of a browser."""

    def __init__(self) -> None:
        self.session = script_runner.SafeSessionState(state.SessionState(), lambda: None)
        self.clicked: str | None = None

    def drawn(self, text: str, *, asks: bool = False) -> tuple[str, bool]:
        """What the field holds, and whether the browser is told so."""
        said = app_session.RerunData(widget_states=states(text), is_auto_rerun=asks)
        self.session.on_script_will_rerun(said.widget_states)
        field: WidgetMetadata[str] = WidgetMetadata(
            id=WIDGET, deserializer=lambda value: value or "", serializer=str, value_type="string_value"
        )
        if self.clicked is not None:
            self.session["name"], self.clicked = self.clicked, None
        found = self.session.register_widget(field, "name")
        self.session.on_script_finished(frozenset([WIDGET]))
        return found.value, found.value_changed


def test_a_question_for_news_changes_nothing_and_is_told_what_counts() -> None:
    page = Page()
    assert page.drawn("") == ("", False)
    assert page.drawn("2-5") == ("2-5", False)
    page.clicked = ""
    assert page.drawn("2-5") == ("", True)
    for _ in range(2):  # it has not drawn that yet
        assert page.drawn("2-5", asks=True) == ("", True)
    assert page.drawn("", asks=True) == ("", False)


def test_what_is_typed_after_a_question_for_news_counts() -> None:
    page = Page()
    for text in ("", "2-5"):
        page.drawn(text)
        assert page.drawn("before", asks=True) == (text, True)
    assert page.drawn("3-4") == ("3-4", False)


@pytest.mark.parametrize("asked_first", [True, False])
def test_a_change_that_waits_is_not_lost_where_a_question_for_news_waits_too(asked_first: bool) -> None:
    typed = app_session.RerunData(widget_states=states("3-4"), fragment_id="part")
    asks = app_session.RerunData(widget_states=states("2-5"), fragment_id="part", is_auto_rerun=True)
    requests = ScriptRequests()
    for message in (asks, typed) if asked_first else (typed, asks):
        assert requests.request_rerun(message)
    waits = requests.on_scriptrunner_ready().rerun_data.widget_states
    assert waits is not None
    page = Page()
    page.drawn("2-5")
    page.session.on_script_will_rerun(waits)
    assert page.session["name"] == "3-4"


def test_two_questions_for_news_are_one() -> None:
    requests = ScriptRequests()
    for _ in range(2):
        message = app_session.RerunData(widget_states=states("2-5"), fragment_id="part", is_auto_rerun=True)
        assert requests.request_rerun(message)
    page = Page()
    page.drawn("3-4")
    page.session.on_script_will_rerun(requests.on_scriptrunner_ready().rerun_data.widget_states)
    assert page.session["name"] == "3-4"
