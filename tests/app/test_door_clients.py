"""Where people sign in: what tells clients apart, and who uploads."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.door import lines as sockets
from app.door.guard import Asked, Guard
from app.door.limits import Limits
from app.door.ways import Way
from tests.app.test_door import LOGIN, THERE, at, browser_at, door_of, is_refused, socket_of
from workers.access.acting import Person, Source

ADA, BO = {"x-forwarded-for": "203.0.113.1"}, {"x-forwarded-for": "203.0.113.2"}


def client_of(home: Path, peer: str, **environment: str) -> TestClient:
    """With a login, where one client has one socket."""
    door = door_of(home, "0.0.0.0", login=LOGIN, **environment)
    assert door.way is Way.LOGIN
    return browser_at(door, THERE, peer, Limits(sockets=1))


def are_one(client: TestClient, first: dict[str, str], second: dict[str, str]) -> bool:
    with client.websocket_connect(at(client), headers={**first, "origin": THERE}):
        return is_refused(client, origin=THERE, **second)


def test_behind_a_proxy_that_is_named_everybody_has_limits_of_their_own(tmp_path: Path) -> None:
    """Its address alone, without a header of names, is how a login is set up."""
    client = client_of(tmp_path, "10.0.0.2", CWPO_PROXY_ADDRESS="10.0.0.2")
    assert not are_one(client, ADA, BO)
    assert are_one(client, ADA, ADA)
    lied = {"x-forwarded-for": "198.51.100.7, 203.0.113.1"}  # what a browser says stands before what the proxy adds
    assert are_one(client, ADA, lied)


@pytest.mark.parametrize("peer", ["10.0.0.2", "10.0.0.3"])
def test_what_an_unknown_peer_says_of_addresses_does_not_count(tmp_path: Path, peer: str) -> None:
    client = client_of(tmp_path, peer, **({"CWPO_PROXY_ADDRESS": "10.0.0.4"} if peer.endswith("3") else {}))
    assert are_one(client, ADA, BO)


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ((b"198.51.100.7", b"203.0.113.1"), "203.0.113.1"),
        ((b"198.51.100.7, 198.51.100.8", b"198.51.100.9, 203.0.113.1"), "203.0.113.1"),
        ((b"",), "127.0.0.1"),
        ((b"203.0.113.1,",), "127.0.0.1"),
        ((), "127.0.0.1"),
    ],
)
def test_a_proxy_that_adds_a_line_of_its_own_is_heard_and_not_the_browser(
    tmp_path: Path, lines: tuple[bytes, ...], address: str
) -> None:
    scope: dict[str, Any] = {
        "type": "http", "path": "/", "client": ("127.0.0.1", 50_000),
        "headers": [(b"x-forwarded-for", line) for line in lines],
    }  # fmt: skip
    guard = Guard(None, door_of(tmp_path, "0.0.0.0", login=LOGIN))  # type: ignore[arg-type]
    assert guard._address(Asked(scope, "")) == address


def test_only_who_signed_in_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long login is cut into several cookies, of which the first only says how many: all of them are the login."""
    monkeypatch.setattr(sockets, "_people", {})
    ada, bo = ({"_streamlit_user": "chunks-2", "_streamlit_user_2": "x", "_streamlit_user_1": name} for name in "ab")

    def of(cookies: dict[str, str]) -> TestClient:
        client = browser_at(door_of(tmp_path, "0.0.0.0", login=LOGIN), THERE)
        client.headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        return client

    def upload(cookies: dict[str, str]) -> int:
        return int(of(cookies).put("/_stcore/upload_file/session/file", content=b"x").status_code)

    assert [upload(one) for one in ({}, {"other": "x"}, ada, bo)] == [403] * 4
    with socket_of(of(ada), origin=THERE) as socket:
        line = sockets.line_of(socket.receive_json())
        assert line is not None
        sockets.met(line, Person(name="ada", source=Source.LOGIN))
        assert [upload(one) for one in (ada, bo, {})] == [200, 403, 403]
