"""The door while the file of its start token is damaged, which happens to a server that runs: a sentence, no error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.door.guard import Asked, Guard, Let
from app.door.ways import Door
from tests.app.test_door import OURS, PORT, PUBLIC, THERE, browser_at, come_in, door_of, is_refused, socket_of
from workers.access import start_token
from workers.access.start_token import cookie_for, token_file, token_of

OWN_PROXY = {"CWPO_PROXY_HEADER": "Remote-User", "CWPO_PROXY_ADDRESS": "127.0.0.1"}


def as_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda file: file.write_text(file.read_text()[:20]),
    "empty": lambda file: file.write_bytes(b""),
    "no text": lambda file: file.write_bytes(b"\xff" * 43),
    "flipped": lambda file: file.write_bytes(bytes([file.read_bytes()[0] ^ 0x80]) + file.read_bytes()[1:]),
    "a folder": as_folder,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_start_token_is_a_sentence_until_it_is_whole_again(tmp_path: Path, damage: str) -> None:
    """Whoever is in, whoever comes by the link, and whoever is a stranger; the server itself is still well."""
    token = token_of(tmp_path)
    client = come_in(browser_at(door_of(tmp_path)), tmp_path)
    DAMAGE[damage](token_file(tmp_path))
    for answer in (client.get("/"), client.get("/", params={"token": token}), browser_at(door_of(tmp_path)).get("/")):
        assert answer.status_code == 503
        assert "start token" in answer.text
    assert is_refused(client, origin=OURS)
    assert client.get("/_stcore/health").status_code == 200
    file = token_file(tmp_path)
    file.rmdir() if file.is_dir() else file.unlink()
    file.write_text(token)
    assert client.get("/").status_code == 200


def test_so_it_is_where_a_proxy_shows_it(tmp_path: Path) -> None:
    client = browser_at(door_of(tmp_path, **OWN_PROXY, **PUBLIC), THERE)
    named = {"remote-user": "ada", "x-cwpo-token": token_of(tmp_path)}
    assert client.get("/", headers=named).status_code == 200
    token_file(tmp_path).write_text("half")
    answer = client.get("/", headers=named)
    assert (answer.status_code, "start token" in answer.text, named["x-cwpo-token"] in answer.text) == (
        503,
        True,
        False,
    )


def still_valid(door: Door, let: Let, cookie: str) -> bool:
    scope: dict[str, Any] = {
        "type": "websocket", "path": "/", "server": ("127.0.0.1", PORT),
        "headers": [(b"cookie", f"cwpo_{PORT}={cookie}".encode())],
    }  # fmt: skip
    return Guard(None, door)._still_valid(Asked(scope, ""), let)  # type: ignore[arg-type]


def test_an_open_socket_is_not_valid_any_more_and_breaks_nothing(tmp_path: Path) -> None:
    door, name = door_of(tmp_path), "0" * 16
    cookie = cookie_for(token_of(tmp_path), name)
    assert still_valid(door, Let(key=name, browser=name), cookie)
    with socket_of(come_in(browser_at(door), tmp_path)) as socket:
        assert socket.receive_json()
        token_file(tmp_path).write_text("half")
        assert not still_valid(door, Let(key=name, browser=name), cookie)
        socket.send_bytes(b"")
        assert socket.receive_bytes() == b""  # it goes on until it is looked at


def test_a_token_that_cannot_be_made_again_is_a_sentence_and_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    client = browser_at(door_of(tmp_path))
    for make in (full, lambda path: None):  # nothing is written; what was written is gone before it is read
        monkeypatch.setattr(start_token, "_make", make)
        for answer in (client.get("/"), client.get("/", params={"token": ""})):
            assert answer.status_code == 503
            assert "start token" in answer.text
