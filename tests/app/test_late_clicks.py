"""How long what a page offered can be had, once pages are drawn that do not offer it."""

from collections.abc import Iterator
from functools import partial

import pytest
from streamlit.runtime import runtime
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.media_file_storage import MediaFileStorageError
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from app import late_clicks
from app.late_clicks import KEPT, KeepsAWhile, keep_late_clicks


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(late_clicks, "time", clock)
    return clock


@pytest.fixture
def files(clock: Clock) -> Iterator[MediaFileManager]:
    """Two pages stand: one offers a table, the other one is drawn again and again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "MediaFileManager", MediaFileManager)
        keep_late_clicks()
        yield runtime.MediaFileManager(MemoryMediaFileStorage("/media"))


def offer(files: MediaFileManager, content: bytes = b"a,b", **more: str) -> str:
    return files.add_deferred(lambda: content, "text/csv", "0.1", "runs.csv", **more)


def drawn_anew(files: MediaFileManager) -> None:
    """Somebody's page, to its end."""
    files.clear_session_refs()
    files.remove_orphaned_files()


def test_the_server_keeps_its_files_so() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "MediaFileManager", MediaFileManager)
        keep_late_clicks()
        assert runtime.MediaFileManager is KeepsAWhile


def test_what_the_page_before_offered_is_made_for_a_while(files: MediaFileManager, clock: Clock) -> None:
    first = offer(files)
    for _ in range(5):
        drawn_anew(files)
        clock.now += KEPT / 5 - 1
    assert files.execute_deferred(first).endswith(".csv")
    clock.now += 6
    drawn_anew(files)
    with pytest.raises(MediaFileStorageError, match="not found"):
        files.execute_deferred(first)


def test_a_file_that_was_made_can_be_fetched_for_a_while(files: MediaFileManager, clock: Clock) -> None:
    url = files.execute_deferred(offer(files))
    fetch = partial(files.read_file, url.rpartition("/")[2].partition(".")[0])
    for _ in range(5):
        drawn_anew(files)
    assert fetch() is not None
    clock.now += KEPT + 1
    for _ in range(2):
        drawn_anew(files)
    assert fetch() is None


def test_what_is_offered_still_stays_however_long(files: MediaFileManager, clock: Clock) -> None:
    standing = offer(files)
    for _ in range(3):
        clock.now += 2 * KEPT
        files.remove_orphaned_files()
    assert files.execute_deferred(standing)


def test_what_a_page_withdraws_is_gone_at_once(files: MediaFileManager) -> None:
    first = offer(files, element_id="export")
    drawn_anew(files)
    files.remove_deferred("0.2", element_id="export")
    with pytest.raises(MediaFileStorageError, match="not found"):
        files.execute_deferred(first)


def test_nothing_is_remembered_of_what_is_gone(clock: Clock) -> None:
    leaving = late_clicks.Leaving()
    assert leaving.gone({"a", "b"}) == set()
    clock.now += KEPT
    assert leaving.gone({"a", "c"}) == {"a"}
    assert leaving.gone({"c"}) == set()
    assert leaving._since.keys() == {"c"}
