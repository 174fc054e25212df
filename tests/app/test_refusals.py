"""What cannot be written down is not handed out: the sentence stands where the file would have come."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.proto.BackMsg_pb2 import BackendOperationRequest
from streamlit.runtime import app_session
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from app.components.frame import downloads
from app.components.frame.downloads import Offer, Offers, of_what_is_shown
from app.door import refusals
from db import queries
from tests.workers.access.acting_people import signed_in
from workers.access.doing import bound
from workers.access.roles import Role
from workers.api import exports
from workers.api.people import access, votes
from workers.machine.database import reading

NO_TABLE = "has not the tables of this version"
SECRET = "what only those get who are written down"
FILES: dict[str, Callable[[], Callable[[], Any]]] = {
    "a table": lambda: of_what_is_shown("gra.csv", lambda: SECRET),
    "votes": lambda: bound(lambda: SECRET + "".join(votes.votes_file(1))),
    "a set": lambda: bound(lambda: SECRET + votes.set_file("ab" * 32)),
    "the log": lambda: bound(lambda: SECRET + "".join(access.log_file())),
    "a bundle": lambda: bound(lambda: exports.reproduce_bundle([1])),
}


@pytest.fixture
def database(sqlite_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATABASE_URL", sqlite_address)
    monkeypatch.setenv("CWPO_HOME", str(tmp_path))
    return Path(sqlite_address.removeprefix("sqlite:///"))


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> MediaFileManager:
    """Streamlit's own, as its sessions use it."""
    monkeypatch.setattr("streamlit.runtime.media_file_manager._get_session_id", lambda: "a session")
    monkeypatch.setattr(app_session, "DeferredFileHandler", app_session.DeferredFileHandler)
    refusals.install()
    return MediaFileManager(MemoryMediaFileStorage("/media"))


def asked(files: MediaFileManager, make: Callable[[], Any]) -> Any:
    """What the browser hears that clicks on the button."""
    file_id = files.add_deferred(make, "text/csv", "1.2", file_name="gra.csv")
    request = BackendOperationRequest(request_id="1")
    request.deferred_file.file_id = file_id
    handler = app_session.DeferredFileHandler(lambda: files)
    return heard(handler, request)


def heard(handler: Any, request: BackendOperationRequest) -> Any:
    """In a thread of its own: the browser of other tests has a loop in this one."""
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(lambda: asyncio.run(handler.handle(request, "a session"))).result(60)


def break_the_log(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE audit_events")


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_cannot_be_written_down_is_refused_in_a_sentence(
    what: str, database: Path, files: MediaFileManager, caplog: pytest.LogCaptureFixture
) -> None:
    break_the_log(database)
    answer = asked(files, FILES[what]())
    assert answer.deferred_file.url == ""
    assert answer.error_msg
    assert "Failed to generate" not in answer.error_msg
    if what in ("a table", "votes", "the log"):  # what fails before for another reason says that
        assert NO_TABLE in answer.error_msg
    assert files._file_metadata == {}
    assert "Traceback" not in caplog.text


def test_who_may_not_reads_why_and_who_may_gets_the_file_and_is_written_down(
    database: Path, files: MediaFileManager
) -> None:
    with signed_in("ada@example.org", Role.VIEWER):
        answer = asked(files, FILES["votes"]())
        assert answer.error_msg.startswith("This needs the role runner, and ada@example.org has the role viewer: ")
        answer = asked(files, FILES["a table"]())
    assert (answer.error_msg, answer.deferred_file.url != "") == ("", True)
    with reading() as session:
        taken = [(one.who, one.what) for one in queries.audit_events(session) if one.action == "exports.shown_taken"]
    assert taken == [("ada@example.org", "file gra.csv")]


def test_what_goes_wrong_otherwise_is_a_sentence_and_a_line_for_who_mends_it(
    database: Path, files: MediaFileManager
) -> None:
    answer = asked(files, lambda: 1 // 0)
    assert answer.error_msg.startswith("ZeroDivisionError: integer division or modulo by zero. The log holds")
    request = BackendOperationRequest(request_id="1")
    request.deferred_file.file_id = "gone"
    answer = heard(refusals.SaysWhy(lambda: files), request)
    assert answer.error_msg == "This file is not there any more: load the page again."


def test_a_file_from_disk_that_cannot_be_written_down_is_refused_in_a_sentence(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_offers", Offers())
    (tmp_path / "pairs.jsonl").write_text(SECRET)
    name = downloads._offers.name_of(Offer(path=tmp_path / "pairs.jsonl", file_name="pairs.jsonl"))
    browser = TestClient(Starlette(routes=[downloads.route("")]))
    break_the_log(database)
    answer = browser.get(f"/files/{name}")
    assert (answer.status_code, SECRET in answer.text, NO_TABLE in answer.text) == (503, False, True)
