"""A file that somebody gives is on disk before Streamlit sees it: what comes in, what is handed on, what is left."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from app.door.guard import Guard
from app.door.limits import Client, Limits
from app.door.uploads import IN_MEMORY, handed_on
from tests.app.test_door import OURS, come_in, door_of
from workers.machine import uploads

PLACE = "/_stcore/upload_file/session/file"
LARGE = b"{}\n" * (IN_MEMORY // 2)
KIND = {"content-type": "multipart/form-data; boundary=b"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CWPO_HOME", str(tmp_path))
    return tmp_path


async def streamlits(request: Request) -> Response:
    """Reads the form as Streamlit's own route does."""
    body = await request.body()
    form = await request.form()
    (file,) = form.values()
    assert not isinstance(file, str)
    content = await file.read()
    said = {"name": file.filename, "kind": file.content_type, "content": content.decode(), "length": len(body)}
    return JSONResponse(
        said | {"said": int(request.headers["content-length"])}, 400 if "refuse" in said["name"] else 200
    )


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    app = Starlette(
        routes=[Route("/{path:path}", streamlits, methods=["PUT"])],
        middleware=[Middleware(Guard, door=door_of(tmp_path))],
    )
    return come_in(TestClient(app, base_url=OURS, client=("127.0.0.1", 50_000)), tmp_path)


def left(home: Path) -> list[Path]:
    return [path for path in (home / "uploads").rglob("*") if path.is_file()] if (home / "uploads").exists() else []


@pytest.mark.parametrize("name", ["pairs.jsonl", 'Paare für 你 "1".jsonl', "a%22b;c=d.jsonl"])
def test_a_large_file_is_on_disk_and_a_mark_is_handed_on(client: TestClient, home: Path, name: str) -> None:
    small = client.put(PLACE, files={"file": (name, b"{}\n", "application/x-jsonl")}).json()
    assert small["content"] == "{}\n"
    assert left(home) == []
    found = client.put(PLACE, files={"file": (name, LARGE, "application/x-jsonl")}).json()
    assert (found["name"], found["kind"]) == (small["name"], small["kind"])
    assert found["length"] == found["said"] < 1000
    mark = found["content"].encode()
    assert mark.startswith(uploads.MARK)
    assert uploads.keep("pairs.jsonl", io.BytesIO(mark)).read_bytes() == LARGE
    assert len(left(home)) == 1


def part(content: bytes, head: bytes = b'Content-Disposition: form-data; name="file"; filename="x.jsonl"') -> bytes:
    return b"--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(LARGE, {}, id="no form"),
        pytest.param(LARGE, {"content-type": "application/x-www-form-urlencoded"}, id="another form"),
        pytest.param(LARGE, KIND, id="no boundary in it"),
        pytest.param(part(LARGE) + part(b"x") + b"--b--\r\n", KIND, id="two files"),
        pytest.param(part(LARGE), KIND, id="no end"),
        pytest.param(part(LARGE)[:-2] + b"\r\n--bx", KIND, id="a broken end"),
        pytest.param(b"--b--\r\n" + LARGE, KIND, id="an end at the beginning"),
        pytest.param(part(b"", LARGE) + b"--b--\r\n", KIND, id="a head without end"),
    ],
)
def test_what_is_no_upload_of_one_file_is_refused_and_leaves_nothing(
    client: TestClient, home: Path, body: bytes, headers: dict[str, str]
) -> None:
    answer = client.put(PLACE, content=body, headers=headers)
    assert (answer.status_code, answer.text) == (400, "This is no upload of one file.\n")
    assert left(home) == []


def test_what_streamlit_refuses_leaves_nothing(client: TestClient, home: Path) -> None:
    answer = client.put(PLACE, files={"file": ("refuse.jsonl", LARGE)})
    assert answer.status_code == 400
    assert left(home) == []
    with pytest.raises(uploads.DataError, match="not held any more"):
        uploads.keep("pairs.jsonl", io.BytesIO(answer.json()["content"].encode()))


def test_a_browser_that_goes_away_leaves_nothing(home: Path) -> None:
    def coming() -> Iterator[dict[str, Any]]:
        yield {"type": "http.request", "body": part(LARGE)[:-2], "more_body": True}
        assert len(left(home)) == 1
        yield {"type": "http.disconnect"}

    async def never(*_: object) -> None:
        raise AssertionError("The app was asked.")

    messages = coming()

    async def receive() -> dict[str, Any]:
        return next(messages)

    scope = {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in KIND.items()]}

    async def all_of_it() -> None:
        await handed_on(never, scope, receive, never, Client(Limits()), 1 << 30)

    with start_blocking_portal() as portal:  # in a thread: browsers of other tests keep a loop in this one
        portal.call(all_of_it)
    assert left(home) == []
    assert next(messages, None) is None
