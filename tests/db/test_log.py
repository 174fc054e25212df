"""The log of what was done: one chain whoever writes, and whoever changes it afterwards is found."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db import queries
from db.engine import Engines, now, read_scope, session_scope
from db.errors import DatabaseError, UnknownPerson
from db.models import AuditEvent, AuditHead
from db.records import AuditCheck
from db.records.system import seal_of
from db.repositories.people import log, who
from tests import clocks


def said(session: Session, what: str = "run 1", **more: object) -> int:
    return log.append(session, who="ada", source="login", action="runs.cancel_run", what=what, after=more or None)


def checked(engines: Engines) -> AuditCheck:
    with read_scope(engines) as session:
        return queries.check_audit(session)


def fill(engines: Engines, count: int) -> None:
    """So many events, chained as `append` chains them, written at once."""
    rows, last, at = [], "", datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(1, count + 1):
        at += timedelta(milliseconds=1)
        values = ("ada", "login", "keeping.tag", f"run {number}", None, '{"tag":"é"}')
        seal = seal_of(last, number, at, *values)
        names = ("who", "source", "action", "what", "before", "after")
        rows.append(
            {"number": number, "at": at, "previous": last, "hash": seal, **dict(zip(names, values, strict=True))}
        )
        last = seal
    with session_scope(engines) as session:
        session.execute(insert(AuditEvent), rows)
        session.execute(text("UPDATE audit_head SET number = :number, hash = :hash"), {"number": count, "hash": last})


def unlock(session: Session) -> None:
    """Take the triggers away, as whoever has the database can."""
    if session.get_bind().dialect.name == "sqlite":
        for name in ("update", "delete"):
            session.execute(text(f"DROP TRIGGER audit_events_no_{name}"))
    else:
        session.execute(text("ALTER TABLE audit_events DISABLE TRIGGER audit_events_no_change"))


def test_four_who_write_at_once_make_one_chain_without_a_gap(database: Engines) -> None:
    def write(person: int) -> None:
        for number in range(10):
            with session_scope(database) as session:
                said(session, f"run {person}", number=number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert checked(database) == AuditCheck(events=40)
    with read_scope(database) as session:
        assert [event.number for event in queries.audit_events(session)] == list(range(1, 41))


def test_what_was_rolled_back_is_not_in_it_and_leaves_no_gap(database: Engines) -> None:
    with session_scope(database) as session:
        said(session)

    def half() -> None:
        with session_scope(database) as session:
            said(session, "run 2")
            who.revoke(session, "nobody", now(session))

    with pytest.raises(UnknownPerson):
        half()
    with session_scope(database) as session:
        assert said(session, "run 3") == 2
    assert checked(database).said == "Chain verified: 2 events."


def test_neither_update_nor_delete_is_possible(database: Engines) -> None:
    fill(database, 2)
    for statement in ("UPDATE audit_events SET who = 'eve'", "DELETE FROM audit_events WHERE number = 2"):
        with pytest.raises((DBAPIError, DatabaseError), match="never changed"), session_scope(database) as session:
            session.execute(text(statement))
    assert checked(database) == AuditCheck(events=2)


INSERT = (
    "INSERT INTO audit_events (number, at, who, source, action, what, previous, hash) "
    "SELECT {number}, at, 'eve', source, action, what, previous, hash FROM audit_events WHERE number = 5"
)


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["UPDATE audit_events SET who = 'eve' WHERE number = 5"], "Event 5 was changed."),
        (["UPDATE audit_events SET after = NULL WHERE number = 1"], "Event 1 was changed."),
        (["DELETE FROM audit_events WHERE number = 5"], "Event 5 is missing."),
        (["DELETE FROM audit_events WHERE number > 6"], "Events 7 to 8 are missing."),
        (["DELETE FROM audit_events WHERE number = 1"], "Event 1 is missing."),
        ([INSERT.format(number=9)], "Event 9 was put in from outside."),
        (
            [
                "DELETE FROM audit_events WHERE number = 8",
                INSERT.format(number=8),
            ],
            "Event 8 was changed.",
        ),
    ],
)
def test_events_that_were_changed_removed_or_put_in_are_named(
    statements: list[str], problem: str, database: Engines
) -> None:
    fill(database, 8)
    assert checked(database) == AuditCheck(events=8)
    with session_scope(database) as session:
        unlock(session)
        for statement in statements:
            session.execute(text(statement))
    found = checked(database)
    assert problem in found.problems
    assert found.said.startswith("The log was tampered with (")


def test_an_event_that_was_changed_with_its_hash_is_named_by_the_next_one(database: Engines) -> None:
    fill(database, 4)
    with session_scope(database) as session:
        unlock(session)
        event = next(one for one in queries.audit_events(session) if one.number == 2)
        seal = seal_of(event.previous, 2, event.at, "eve", event.source, event.action, event.what, None, event.after)
        session.execute(text("UPDATE audit_events SET who = 'eve', hash = :seal WHERE number = 2"), {"seal": seal})
    assert checked(database).problems == ("Event 2 was changed: the next one follows another.",)


def test_ten_thousand_events_are_verified_within_a_second(database: Engines) -> None:
    """Of this process, whatever else the machine does."""
    fill(database, 10_000)
    for left in (2, 1, 0):
        try:
            with clocks.computing(1):
                assert checked(database) == AuditCheck(events=10_000)
            break
        except AssertionError:
            if not left:
                raise


def test_the_newest_events_come_first_page_by_page_and_by_person(sqlite_database: Engines) -> None:
    with session_scope(sqlite_database) as session:
        for number in range(5):
            log.append(session, who="ada" if number % 2 else "bo", source="proxy", action="x", what=str(number))
    with read_scope(sqlite_database) as session:
        first = queries.audit_page(session, limit=2)
        second = queries.audit_page(session, before=first.next, limit=2)
        last = queries.audit_page(session, before=second.next, limit=2)
        assert [[one.number for one in page.events] for page in (first, second, last)] == [[5, 4], [3, 2], [1]]
        assert last.next is None
        assert first.people == ("ada", "bo")
        assert [one.number for one in queries.audit_page(session, who="ada").events] == [4, 2]


def test_a_role_is_given_before_somebody_is_here_and_stays_when_they_come(database: Engines) -> None:
    with session_scope(database) as session:
        assert who.set_role(session, "ada", "runner") is None
        assert who.seen(session, "ada", "viewer")
        assert not who.seen(session, "ada", "viewer")
        assert who.role_of(session, "ada") == "runner"
        assert who.set_role(session, "ada", "admin") == "runner"
        with pytest.raises(UnknownPerson, match="Nobody called 'eve' has signed in here"):
            who.revoke(session, "eve", now(session))


def test_the_head_is_one_row_that_migrations_made(database: Engines) -> None:
    with read_scope(database) as session:
        head = session.get_one(AuditHead, log.CHAIN)
        assert (head.number, head.hash) == (0, "")
