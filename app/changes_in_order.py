"""What a browser says last of its widgets is what counts.

Where a change arrives while the page is drawn for the one before, Streamlit (`AppSession.request_rerun` of 1.67 with
`runner.fastReruns`) tells the first run to stop and begins the second beside it. A run asks whether it was stopped and
then changes the widgets' values, without a lock that the two share. Between the two the second may have taken its
change: the first puts back what was there before, and the browser, which is told nothing of it, shows another value
than the one that counts. `fastReruns = false` is no way out: a run that another one ends early forgets the widgets that
it has not drawn yet, and what a ready-made comparison has just set is set back.

And where a part of a page asks for news by itself (`run_every`), the browser says all of its widgets again. What a
click has set meanwhile and the browser has not drawn yet, the old value would replace, as if somebody had chosen it.
Whatever a person changes comes in a message of its own, so that the question for news changes nothing; what differs in
it the browser is told again.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.runtime import app_session, state
from streamlit.runtime.scriptrunner import RerunData, script_runner
from streamlit.runtime.scriptrunner_utils import script_requests
from streamlit.runtime.state import SafeSessionState, SessionState

ASKS = "cwpo_asks_for_news"  # beside the widgets of a message that nobody sent by a click


class Session(SessionState):
    """The values of a session, and what its runs hold while they change them."""

    def __init__(self) -> None:
        super().__init__()
        self.order = threading.RLock()
        self.untold: set[str] = set()  # widgets of which the browser says another value than the one that counts

    def hear(self, said: Iterable[WidgetState]) -> None:
        """What a browser shows that asks for news: values that are known otherwise stay as they are."""
        self.set_widgets_from_proto(WidgetStates(widgets=said))
        self.untold = {
            name for name in self._new_widget_state if name in self._old_state and self._widget_changed(name)
        }
        for name in self.untold:
            self._new_widget_state.set_from_value(name, self._old_state[name])


class InOrder(SafeSessionState):
    """A session as one run sees it. To ask whether the run was stopped and to change a value is one step for all runs
    of the session, so that a run changes nothing once a later one has."""

    _state: Session

    def on_script_will_rerun(self, fresh_widget_states: WidgetStates | None, **named: Any) -> None:
        """What the browser says, and the callbacks of what is new in it."""
        with self._state.order:
            asks = _asks(fresh_widget_states)
            super().on_script_will_rerun(None if asks else fresh_widget_states, **named)
            self._state.untold.clear()
            if asks and fresh_widget_states is not None:
                self._state.hear(one for one in fresh_widget_states.widgets if one.id != ASKS)

    def register_widget(self, metadata: Any, user_key: str | None) -> Any:
        with self._state.order:
            found = super().register_widget(metadata, user_key)
            return replace(found, value_changed=True) if metadata.id in self._state.untold else found

    def reset_state_value(self, user_key: str, value: Any | None) -> None:
        with self._state.order:
            super().reset_state_value(user_key, value)

    def __setitem__(self, key: str, value: Any) -> None:
        with self._state.order:
            super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        with self._state.order:
            super().__delitem__(key)


@dataclass(frozen=True)
class Said(RerunData):
    """What a browser says; marked where it only asks for news."""

    def __post_init__(self) -> None:
        if self.is_auto_rerun and self.widget_states is not None and not _asks(self.widget_states):
            marked = WidgetStates(widgets=[*self.widget_states.widgets, WidgetState(id=ASKS)])
            object.__setattr__(self, "widget_states", marked)


def _asks(said: WidgetStates | None) -> bool:
    return said is not None and any(one.id == ASKS for one in said.widgets)


def keep_changes_in_order() -> None:
    """Of the server, before it starts."""
    together = script_requests._coalesce_widget_states

    def both(old_states: WidgetStates | None, new_states: WidgetStates | None) -> WidgetStates | None:
        """Of two messages that wait; a question for news after a change adds nothing to it."""
        return old_states if old_states is not None and _asks(new_states) else together(old_states, new_states)

    script_requests._coalesce_widget_states = both
    app_session.RerunData = Said  # type: ignore[misc]
    state.SessionState = Session  # type: ignore[misc,assignment]
    script_runner.SafeSessionState = InOrder  # type: ignore[misc]
