"""Files that the web server streams from disk under names of its own."""

import io
import zipfile
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.components.frame import downloads
from app.components.frame.downloads import Offer, Offers


@pytest.fixture
def browser(sqlite_address: str, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("DATABASE_URL", sqlite_address)  # what was taken is written down
    monkeypatch.setattr(downloads, "_offers", Offers())
    return TestClient(Starlette(routes=[downloads.route("")]))


def address(path: Path, file_name: str) -> str:
    return f"/files/{downloads._offers.name_of(Offer(path=path, file_name=file_name))}"


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


def test_behind_a_proxy_files_lie_under_the_same_path_as_the_pages(tmp_path: Path) -> None:
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
