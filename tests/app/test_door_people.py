"""Who is behind a page, and what becomes of pages whose session is over."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.testing.v1 import AppTest

from app.door import people
from app.door.limits import Client, Limits
from app.door.lines import Line, Listening
from app.door.people import NotSignedIn
from app.door.ways import Door
from db.errors import DatabaseUnavailable
from tests.app.test_door import LOGIN, PROXY, PUBLIC, door_of
from workers.access import acting, sessions
from workers.access.acting import Person, Source

ADA = {"is_logged_in": True, "sub": "17", "email": "ada@example.org", "email_verified": True, "iat": 1_800_000_000}


def script() -> None:
    import streamlit as st

    from app.door.people import let_in
    from workers.access.acting import acting

    let_in()
    st.write("inside")
    st.button("Act", on_click=lambda: st.session_state.update(who=acting()))
    if "who" in st.session_state:
        st.write(st.session_state.who.name)


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch, sqlite_address: str) -> Callable[[Door], None]:
    """Sets the door of this process until the end of the test, beside a database that knows nobody."""
    monkeypatch.setenv("DATABASE_URL", sqlite_address)
    monkeypatch.setattr(people, "_door", None)
    monkeypatch.setattr(acting, "_asked", acting.of_the_machine)
    return people.stand


def shown(user: dict[str, Any]) -> AppTest:
    page = AppTest.from_function(script, default_timeout=300)
    page.secrets["auth"] = LOGIN
    page.user = user
    return page.run()


def texts(page: AppTest) -> list[str]:
    return [one.value for one in (*page.markdown, *page.info, *page.caption)]


def test_nobody_sees_a_page_before_signing_in(tmp_path: Path, standing: Callable[[Door], None]) -> None:
    standing(door_of(tmp_path, login=LOGIN))
    for user in ({}, {"is_logged_in": False}, {"email": "ada@example.org"}, ADA | {"sub": ""}, {"cwpo_person": "ada"}):
        page = shown(user)
        assert "inside" not in texts(page), user
        assert [button.label for button in page.button] == ["Sign in"]
    standing(door_of(tmp_path, "0.0.0.0", **PROXY, **PUBLIC))
    for user in ({}, {"cwpo_person": None}, ADA):
        page = shown(user)
        assert "inside" not in texts(page), user
        assert list(page.button) == []


def test_who_signed_in_is_who_acts_in_a_click(tmp_path: Path, standing: Callable[[Door], None]) -> None:
    standing(door_of(tmp_path, login=LOGIN))
    page = shown(ADA)
    assert "inside" in texts(page)
    next(button for button in page.button if button.label == "Act").click().run()
    assert "ada@example.org" in texts(page)


@pytest.mark.parametrize(
    ("user", "name"),
    [
        (ADA, "ada@example.org"),
        (ADA | {"email_verified": False}, "17"),
        (ADA | {"email_verified": "true"}, "17"),
        ({key: ADA[key] for key in ADA if key != "email_verified"}, "17"),
        (ADA | {"email": ""}, "17"),
        (ADA | {"email": "", "provider": "lab"}, "17 (lab)"),
        (ADA | {"email_verified": False, "provider": "default"}, "17"),
    ],
)
def test_an_address_that_nobody_verified_names_nobody(user: dict[str, Any], name: str) -> None:
    found = people._of_login(user)
    assert found == Person(name=name, source=Source.LOGIN, signed_in_at=datetime.fromtimestamp(1_800_000_000, UTC))


def test_outside_of_a_page_nobody_acts_but_the_owner(tmp_path: Path, standing: Callable[[Door], None]) -> None:
    standing(door_of(tmp_path))
    assert acting.acting().source is Source.LOCAL
    standing(door_of(tmp_path, login=LOGIN))
    with pytest.raises(NotSignedIn):
        acting.acting()


def test_a_session_that_was_ended_sees_one_sentence(
    tmp_path: Path, standing: Callable[[Door], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    standing(door_of(tmp_path, login=LOGIN))
    monkeypatch.setattr(sessions, "revoked", lambda person: person.name == "ada@example.org")
    page = shown(ADA)
    assert (people.OVER in texts(page), "inside" in texts(page)) == (True, False)
    assert [button.label for button in page.button] == ["Sign in"]
    assert "inside" in texts(shown(ADA | {"email": "bo@example.org"}))


def test_a_database_that_cannot_be_asked_is_one_sentence_and_no_page(
    tmp_path: Path, standing: Callable[[Door], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    standing(door_of(tmp_path, login=LOGIN))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'empty.sqlite'}")
    page = shown(ADA)
    assert "has not the tables of this version" in texts(page)[-1]
    assert "inside" not in texts(page)
    assert not page.exception


def message(fragment: str = "") -> Message:
    asked = BackMsg(rerun_script=ClientState(fragment_id=fragment, query_string="run=7"))
    return {"type": "websocket.receive", "bytes": asked.SerializeToString()}


LONG = 120.0  # seconds in which Streamlit hears what it is to hear; a busy machine may take them


def heard(line: Line, said: list[Message], number: int, look_every: float, more: float = 0.3) -> list[Message]:
    """What Streamlit hears of a browser that says these things at once, and then nothing: so many messages, however
    long they take, and what comes within `more` seconds behind them."""

    async def listen() -> list[Message]:
        waiting: asyncio.Queue[Message] = asyncio.Queue()
        for one in said:
            waiting.put_nowait(one)
        listening, found = Listening(waiting.get, line, look_every), list[Message]()
        try:
            async with asyncio.timeout(LONG) as limit:
                while True:
                    found.append(await listening())
                    if len(found) == number:
                        limit.reschedule(asyncio.get_running_loop().time() + more)
        except TimeoutError:
            return found
        finally:
            listening.end()

    with ThreadPoolExecutor(1) as apart:  # a browser of another test may have a loop in this thread
        return apart.submit(asyncio.run, listen()).result()


def line_of(valid: bool = True, **limits: float) -> Line:
    return Line(client=Client(Limits(**limits)), valid=lambda: valid)  # type: ignore[arg-type]


def test_an_open_page_hears_that_its_session_is_over_and_draws_itself_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a click; what its parts ask for afterwards is not computed any more."""
    line = line_of()
    line.person = Person(name="ada", source=Source.LOGIN, signed_in_at=datetime.now(UTC))
    assert heard(line, [message("part")], 1, 0.1) == [message("part")]
    monkeypatch.setattr(sessions, "revoked", lambda person: person.name == "ada")
    (drawn,) = heard(line, [], 1, 0.1)
    assert BackMsg.FromString(drawn["bytes"]).WhichOneof("type") == "rerun_script"
    first, *rest = heard(line, [message("part"), message("part"), message()], 2, 0.0)
    assert (first, rest) == (drawn, [message()])


def test_a_socket_of_a_token_that_was_changed_is_closed() -> None:
    (last, *_) = heard(line_of(valid=False), [], 1, 0.1)
    assert last["type"] == "websocket.disconnect"


def test_a_database_that_is_away_ends_nobodys_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(person: Person) -> bool:
        raise DatabaseUnavailable("away")

    line = line_of()
    line.person = Person(name="ada", source=Source.LOGIN)
    monkeypatch.setattr(sessions, "revoked", away)
    assert heard(line, [message()], 1, 0.1) == [message()]


def test_reruns_are_slowed_down_and_nothing_is_lost() -> None:
    """Parts of a page cost less, and what computes nothing costs nothing."""
    quick: dict[str, float] = {"burst": 4, "reruns": 20}
    slow: dict[str, float] = {"burst": 4, "reruns": 0.001}
    began = time.monotonic()
    assert heard(line_of(**quick), [message()] * 12, 12, 600, more=0.0) == [message()] * 12
    assert time.monotonic() - began >= 0.4
    assert len(heard(line_of(**slow), [message()] * 12, 4, 600)) == 4
    assert len(heard(line_of(**slow), [message("part")] * 20, 16, 600)) == 16
    silent: Message = {"type": "websocket.receive", "bytes": BackMsg(load_git_info=True).SerializeToString()}
    assert len(heard(line_of(**slow), [silent] * 20, 20, 600)) == 20


def test_nobody_empties_the_caches_of_all() -> None:
    for asked in (BackMsg(clear_cache=True), BackMsg(set_run_on_save=True), BackMsg(debug_shutdown_runtime=True)):
        said: list[Message] = [{"type": "websocket.receive", "bytes": asked.SerializeToString()}, message()]
        assert heard(line_of(), said, 1, 600) == [message()]
