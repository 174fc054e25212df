"""Files that the web server streams from disk under names of its own."""

import io
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.components.frame import downloads
from app.components.frame.downloads import Offer, Offers
from db import queries
from db.repositories.people import who
from workers.access.acting import Person, Source
from workers.machine.database import reading, writing


@pytest.fixture
def browser(sqlite_address: str, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("DATABASE_URL", sqlite_address)  # what was taken is written down
    monkeypatch.setattr(downloads, "_offers", Offers())
    return TestClient(Starlette(routes=[downloads.route("")]))


def address(path: Path, file_name: str, to: Person | None = None) -> str:
    return f"/files/{downloads._offers.name_of(Offer(path=path, file_name=file_name, to=to))}"


def test_only_what_a_page_offered_can_be_fetched(browser: TestClient, tmp_path: Path) -> None:
    """The file comes as it is, under the name that was wished; what nobody offered or what is gone is a sentence."""
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"prompt": "é"}\n', encoding="utf-8")
    offered = address(file, "päirs.jsonl")
    assert offered == address(file, "päirs.jsonl")  # a page that is drawn again does not change its link
    answer = browser.get(offered)
    assert (answer.status_code, answer.content) == (200, file.read_bytes())
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''p%C3%A4irs.jsonl"
    assert browser.get(offered, headers={"Range": "bytes=2-7"}).content == b"prompt"
    file.unlink()
    for gone in (offered, "/files/pairs.jsonl", "/files/..%2Fpairs.jsonl"):
        assert browser.get(gone).status_code == 404


def test_behind_a_proxy_files_lie_under_the_same_path_as_the_pages(
    sqlite_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_address)
    (tmp_path / "a.txt").write_text("a")
    browser = TestClient(Starlette(routes=[downloads.route("/lab")]))
    offered = address(tmp_path / "a.txt", "a.txt")
    assert [browser.get(place).status_code for place in (f"/lab{offered}", offered)] == [200, 404]


def test_a_folder_comes_as_one_file(browser: TestClient, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    answer = browser.get(address(tmp_path / "model", "model.zip"))
    assert int(answer.headers["content-length"]) == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("model/config.json") == b"{}"


def test_offers_are_not_kept_for_ever() -> None:
    """Of three with room for two the one that was not repeated is forgotten."""
    offers = Offers(most=2)
    first, second, third = (Offer(path=Path(name), file_name=name) for name in "abc")
    names = [offers.name_of(offer) for offer in (first, second, first, third)]
    assert names[0] == names[2]
    assert [offers.find(name) for name in (names[0], names[1], names[3])] == [first, None, third]


PARTS = ("bytes=1-", "bytes=-9", "BYTES=0-", "bytes=0-", "bytes = 01-3", "bytes=5-,0-4", "bytes=-999", "")


def noted() -> list[str]:
    """Who took files, as it is written down."""
    with reading() as session:
        return [f"{one.who}: {one.what}" for one in queries.audit_events(session) if one.action == "exports.file_taken"]


@pytest.mark.parametrize("part", PARTS)
def test_whatever_part_is_asked_for_the_role_counts_and_it_is_written_down(
    browser: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """A download that goes on is the same one, and asks for the role once more."""
    monkeypatch.setenv("CWPO_DEFAULT_ROLE", "runner")
    file = tmp_path / "pairs.jsonl"
    file.write_text("0123456789")
    bo = Person(name="bo@example.org", source=Source.LOGIN, signed_in_at=datetime.now(UTC) - timedelta(hours=1))
    offered = address(file, "pairs.jsonl", bo)
    headers = {"Range": part} if part else {}
    assert browser.get(offered, headers=headers).status_code in (200, 206)
    assert noted() == ["bo@example.org: file pairs.jsonl"]
    assert browser.get(offered, headers={"Range": "bytes=7-"}).content == b"789"
    assert len(noted()) == 1
    monkeypatch.setenv("CWPO_DEFAULT_ROLE", "viewer")  # demoted
    assert browser.get(offered, headers=headers).status_code == 403
    monkeypatch.setenv("CWPO_DEFAULT_ROLE", "runner")
    with writing() as session:
        who.seen(session, bo.name, "runner")
        who.revoke(session, bo.name, datetime.now(UTC))
    for again in ("bytes=7-", part):
        answer = browser.get(offered, headers={"Range": again} if again else {})
        assert (answer.status_code, "789" in answer.text) == (403, False), again
    assert len(noted()) == 1


def test_a_folder_has_no_parts_and_what_is_taken_from_its_start_is_another_download(
    browser: TestClient, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "a.txt").write_text("abc")
    for path in (tmp_path / "model", tmp_path / "a.txt"):
        before = len(noted())
        for part in ("bytes=1-", "bytes=1-", "bytes=0-", "bytes=1-"):
            assert browser.get(address(path, path.name), headers={"Range": part}).status_code in (200, 206)
        assert len(noted()) - before == (4 if path.is_dir() else 2)
