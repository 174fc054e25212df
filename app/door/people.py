"""Who is behind a page: asked before anything is read, and again at each write.

Where people sign in, a page shows nothing before it knows who looks at it; a session that was ended from outside shows
one sentence. On this machine it is the owner, whom the start token let in.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.door import lines
from app.door.ways import Door, Way, providers
from app.untrusted import label
from cwpo.errors import CwpoError
from cwpo.redaction import without_secrets
from db.errors import DatabaseError
from workers.access.acting import Person, Source, act_as, of_the_machine

OPEN = "The pages were started without their door: start them with `cwpo start`, or deploy/web.sh."
OVER = "Your session was ended from elsewhere: sign in again to go on."
PATIENCE = 5.0  # seconds that a page waits for another one of the same person before it goes on beside it
PROXY_NAME = "cwpo_person"  # in .streamlit/config.toml: where the name that the proxy gave is kept with the session

_door: Door | None = None


class NotSignedIn(CwpoError):
    """Somebody acts, and it is not known who."""


def stand(door: Door) -> None:
    """From now on this process knows who acts by this door."""
    global _door
    _door = door
    act_as(who)


def who() -> Person:
    """The person of the script, callback or fragment that runs. NotSignedIn where there is none."""
    if _door is None or _door.way is Way.TOKEN:
        return Person(name=of_the_machine().name, source=Source.LOCAL)
    person = _signed_in(_door)
    if person is None:
        raise NotSignedIn("Nobody is signed in on this page: load it again, and sign in.")
    return person


def let_in() -> None:
    """Go on where somebody may see pages; else show what to do, and end the script."""
    if _door is None:
        if _is_served():
            _say(OPEN)
        return
    if _door.way is Way.TOKEN:
        return
    person = _signed_in(_door)
    if person is None:
        _ask_to_sign_in(_door)
    else:
        _meet(_door, person)


@contextmanager
def turn() -> Iterator[None]:
    """One page of a browser is computed after the other, so that a hundred of them leave room for other people."""
    line = lines.line_of(st.context.headers) if _door is not None else None
    lock = line.client.turn if line is not None else threading.Lock()
    mine = lock.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if mine:
            lock.release()


def _signed_in(door: Door) -> Person | None:
    said = st.user.to_dict() if get_script_run_ctx() is not None else {}
    return _of_proxy(said) if door.way is Way.PROXY else _of_login(said)


def _of_login(said: dict[str, Any]) -> Person | None:
    """The verified e-mail, else what the provider calls the person, which others cannot choose."""
    if said.get("is_logged_in") is not True or not said.get("sub"):
        return None
    provider = str(said.get("provider") or "default")
    subject = str(said["sub"]) if provider == "default" else f"{said['sub']} ({provider})"
    name = str(said["email"]) if said.get("email") and said.get("email_verified") is True else subject
    return Person(name=name, source=Source.LOGIN, signed_in_at=_moment(said.get("iat")))


def _of_proxy(said: dict[str, Any]) -> Person | None:
    """The name that the proxy gave; the session began with the socket, and long ago where the socket is gone."""
    if not (name := said.get(PROXY_NAME)):
        return None
    line = lines.line_of(st.context.headers)
    began = line.opened_at if line is not None else datetime.fromtimestamp(0, UTC)
    return Person(name=str(name).encode("latin-1").decode("utf-8"), source=Source.PROXY, signed_in_at=began)


def _moment(seconds: Any) -> datetime:
    """When a token was issued; long ago where it does not say, so that each revocation counts."""
    return datetime.fromtimestamp(seconds if isinstance(seconds, int | float) else 0, UTC)


def _meet(door: Door, person: Person) -> None:
    """The page of somebody who signed in."""
    from workers.access.sessions import revoked

    line = lines.line_of(st.context.headers)
    if line is not None:
        lines.met(line, person)
    try:
        over = revoked(person)
    except DatabaseError as error:
        _say(label(without_secrets(str(error)), 600))
        return
    if over:
        if door.way is Way.LOGIN:
            _offer_login()
        _say(OVER)
    with st.sidebar:
        st.caption(label(person.name))
        if door.way is Way.LOGIN:
            st.button("Sign out", on_click=st.logout, type="tertiary")


def _ask_to_sign_in(door: Door) -> None:
    st.title("CW-PO")
    if door.way is Way.PROXY:
        _say("The proxy did not say who you are: sign in there, and load this page again.")
    st.write("Sign in to see this dashboard.")
    _offer_login()
    st.stop()


def _offer_login() -> None:
    """A button for each provider."""
    for name in providers(st.secrets["auth"]):
        words = "Sign in" if name is None else f"Sign in with {name}"
        st.button(label(words), on_click=st.login, args=() if name is None else (name,), key=f"sign in {name}")


def _say(sentence: str) -> None:
    st.info(sentence)
    st.stop()


def _is_served() -> bool:
    """Whether a web server shows this, and not a test of a page."""
    return runtime.exists() and type(runtime.get_instance()) is runtime.Runtime
