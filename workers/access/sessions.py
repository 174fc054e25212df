"""Sessions of browsers end when an administrator says so, within seconds, in every web process."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from db import queries
from db.errors import DatabaseError
from db.records import PersonRow
from db.repositories.people import log, who
from workers.access import roles
from workers.access.acting import Person
from workers.access.doing import person as acting_person
from workers.access.doing import record
from workers.access.roles import Role
from workers.machine.database import database_url, reading, writing

KEPT = 10.0  # seconds that what the database said of somebody is believed
LONGEST = 60.0  # where the database does not answer
SEEN_EVERY = timedelta(minutes=10)  # how exactly it is known when somebody was here last
_MOST = 10_000  # people that are remembered


@dataclass(frozen=True, kw_only=True)
class _Known:
    at: float
    row: PersonRow | None


_lock = threading.Lock()
_known: dict[tuple[str, str], _Known] = {}


def revoked(person: Person) -> bool:
    """Whether the session of this person began before their sessions were ended; who is here for the first time gets a
    role by it. DatabaseError where the database has not said it for a minute."""
    if person.owner:
        return False
    roles.check_name(person.name)
    row = known(person)
    return row is not None and roles.is_over(person, row.sessions_valid_from)


def revoke(name: str) -> None:
    """End every session that somebody has now; a part of the command that lets them be ended."""
    at = datetime.now(UTC)  # of the same kind of clock as the beginning of a session
    with writing() as session:
        who.revoke(session, name, at)
        record(session, f"person {name}", after={"sessions_valid_from": at.isoformat(timespec="seconds")})
    forget(name)


def role_now() -> Role:
    """The role of whoever acts as it was seconds ago: for what a page offers, never for what it does."""
    person = acting_person()
    if person.owner or roles.is_named_admin(person.name):
        return Role.ADMIN
    roles.check_name(person.name)
    row = known(person)
    return roles.first_role() if row is None else roles.stored(row.role)


def known(person: Person) -> PersonRow | None:
    """What the database says of somebody, at most ten seconds old; while it does not answer, at most a minute."""
    key, now = (database_url(), person.name), time.monotonic()
    with _lock:
        found = _known.get(key)
    if found is not None and now - found.at < KEPT:
        return found.row
    try:
        row = _looked_up(person)
    except DatabaseError:
        if found is not None and now - found.at < LONGEST:
            return found.row
        raise
    with _lock:
        if len(_known) >= _MOST:
            _known.clear()
        _known[key] = _Known(at=now, row=row)
    return row


def forget(name: str) -> None:
    """What is remembered of somebody in this process."""
    with _lock:
        for key in [key for key in _known if key[1] == name]:
            del _known[key]


def _looked_up(person: Person) -> PersonRow | None:
    with reading() as session:
        row = queries.find_person(session, person.name)
    last = None if row is None else row.last_seen_at
    if last is not None and datetime.now(UTC) - last < SEEN_EVERY:
        return row
    with suppress(DatabaseError):  # it is only noted: whoever may read alone still reads
        _note(person)
        with reading() as session:
            return queries.find_person(session, person.name)
    return row


def _note(person: Person) -> None:
    """Somebody is here; the first time is written down."""
    role = Role.ADMIN if roles.is_named_admin(person.name) else roles.first_role()
    with writing() as session:
        if who.seen(session, person.name, role.value):
            log.append(
                session, who=person.name, source=person.source.value, action="access.sign_in",
                what=f"person {person.name}", after={"role": who.role_of(session, person.name)},
            )  # fmt: skip
