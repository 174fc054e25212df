"""Clients of a login are told apart by their addresses, as the proxy in front says them where it is known."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.door.guard import Asked, Guard
from app.door.limits import Limits
from app.door.ways import Way
from tests.app.test_door import LOGIN, THERE, at, browser_at, door_of, is_refused

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
