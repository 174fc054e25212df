"""What a browser says last of its widgets is what counts.

Where a change arrives while the page is drawn for the one before, Streamlit (`AppSession.request_rerun` of 1.67 with
`runner.fastReruns`) tells the first run to stop and begins the second beside it. A run asks whether it was stopped and
then changes the widgets' values, without a lock that the two share. Between the two the second may have taken its
change: the first puts back what was there before, and the browser, which is told nothing of it, shows another value
than the one that counts. `fastReruns = false` is no way out: a run that another one ends early forgets the widgets that
it has not drawn yet, and what a ready-made comparison has just set is set back.
"""

import threading
from typing import Any

from streamlit.runtime import state
from streamlit.runtime.scriptrunner import script_runner
from streamlit.runtime.state import SafeSessionState, SessionState


class Session(SessionState):
    """The values of a session, and what its runs hold while they change them."""

    def __init__(self) -> None:
        super().__init__()
        self.order = threading.RLock()


class InOrder(SafeSessionState):
    """A session as one run sees it. To ask whether the run was stopped and to change a value is one step for all runs
    of the session, so that a run changes nothing once a later one has."""

    _state: Session

    def on_script_will_rerun(self, *given: Any, **named: Any) -> None:
        """What the browser says, and the callbacks of what is new in it."""
        with self._state.order:
            super().on_script_will_rerun(*given, **named)

    def register_widget(self, *given: Any, **named: Any) -> Any:
        with self._state.order:
            return super().register_widget(*given, **named)

    def reset_state_value(self, user_key: str, value: Any | None) -> None:
        with self._state.order:
            super().reset_state_value(user_key, value)

    def __setitem__(self, key: str, value: Any) -> None:
        with self._state.order:
            super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        with self._state.order:
            super().__delitem__(key)


def keep_changes_in_order() -> None:
    """Of the server, before it starts."""
    state.SessionState = Session  # type: ignore[misc,assignment]
    script_runner.SafeSessionState = InOrder  # type: ignore[misc]
