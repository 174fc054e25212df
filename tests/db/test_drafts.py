"""Drafts of New run: written whole, never over another window's change, and gone when nobody wants them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from db import queries
from db.engine import Engines, now, read_scope, session_scope
from db.errors import ChangedDraft, UnknownDraft
from db.models import Draft, Run
from db.repositories.people import drafts
from tests.db.make import new_run, submit

CONTENT: dict[str, Any] = {"start": {"source": 5}, "state": {"name": "x", "percents": ["30"], "on": True}}


def save(engines: Engines, draft: str, *, name: str = "", revision: int = 0, **changes: Any) -> int:
    with session_scope(engines) as session:
        return drafts.save(session, draft, name=name, content=CONTENT | changes, revision=revision)


def listed(engines: Engines) -> list[str]:
    with read_scope(engines) as session:
        return [row.id for row in queries.list_drafts(session, limit=1_000)]


def test_a_draft_comes_back_as_it_was_written(database: Engines) -> None:
    """Also with what the databases could not store as it is: a NUL, and half of a surrogate pair."""
    first = save(database, "a", name="  mine\x00 ")
    second = save(database, "a", revision=first, more="\ud800")
    with read_scope(database) as session:
        row = queries.get_draft(session, "a")
    assert (first, second, row.revision) == (1, 2, 2)
    assert (row.content, row.name, row.queued_at) == (CONTENT | {"more": "?"}, "", None)
    assert row.created_at <= row.updated_at


def test_what_another_window_wrote_is_never_written_over(database: Engines) -> None:
    read = save(database, "a")
    save(database, "a", revision=read, theirs="kept")
    with pytest.raises(ChangedDraft):
        save(database, "a", revision=read, mine="refused")
    with read_scope(database) as session:
        assert queries.get_draft(session, "a").content == CONTENT | {"theirs": "kept"}


def test_a_deleted_draft_is_there_again_when_its_window_goes_on(database: Engines) -> None:
    read = save(database, "a")
    with session_scope(database) as session:
        drafts.delete(session, "a")
    with session_scope(database) as session, pytest.raises(UnknownDraft, match="deleted already"):
        drafts.delete(session, "a")
    with read_scope(database) as session, pytest.raises(UnknownDraft, match="There is no draft a"):
        queries.get_draft(session, "a")
    assert save(database, "a", revision=read) == 2
    assert listed(database) == ["a"]


def test_a_queued_draft_stays_and_says_so(database: Engines) -> None:
    save(database, "a")
    with session_scope(database) as session:
        drafts.mark_queued(session, "a")
        drafts.mark_queued(session, "gone")
    with read_scope(database) as session:
        row = queries.get_draft(session, "a")
    assert row.queued_at is not None
    assert row.queued_at >= row.updated_at


def test_named_drafts_come_first_and_stay_while_others_grow_old(database: Engines) -> None:
    """A month is 30 days; a name keeps a draft for ever."""
    for draft, name, days in (("old", "", 31), ("young", "", 29), ("named", "mine", 400)):
        save(database, draft, name=name)
        with session_scope(database) as session:
            at = now(session) - timedelta(days=days)
            session.execute(update(Draft).where(Draft.id == draft).values(updated_at=at))
    save(database, "new")
    assert listed(database) == ["named", "new", "young"]


def test_of_unnamed_drafts_the_newest_two_hundred_are_kept(
    sqlite_database: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "MOST_UNNAMED", 3)
    for number in range(6):
        save(sqlite_database, str(number), name="kept" if number == 0 else "")
    assert listed(sqlite_database) == ["0", "5", "4", "3"]


def test_runs_that_exist_are_found_by_configuration(database: Engines) -> None:
    """A finished one before one that is queued, the newest of these; what failed or was cancelled is no answer."""
    made = {}
    for key, status in (("done", "done"), ("done", "queued"), ("live", "queued"), ("failed", "failed")):
        made[key, status] = submit(database, run=new_run(config_hash=key * 4)).run_id
        with session_scope(database) as session:
            session.execute(update(Run).where(Run.id == made[key, status]).values(status=status))
    newest = submit(database, run=new_run(config_hash="live" * 4)).run_id
    with read_scope(database) as session:
        found = queries.runs_like(session, [f"{key * 4}" for key in ("done", "live", "failed", "never")])
        assert session.scalars(select(Run.id)).all()
    assert {key: run.run_id for key, run in found.items()} == {"done" * 4: made["done", "done"], "live" * 4: newest}
    assert found["done" * 4].status == "done"


def test_drafts_with_a_name_leave_room_for_those_without_one(database: Engines) -> None:
    """What a window that was killed has left has no name, and is found again."""
    for number in range(5):
        save(database, f"named {number}", name=f"mine {number}")
        save(database, f"left {number}")
    with read_scope(database) as session:
        found = [row.id.partition(" ")[0] for row in queries.list_drafts(session, limit=2)]
    assert found == ["named", "named", "left", "left"]
