"""People who sign in, for tests: what is done inside is done by them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from db.repositories.people import who
from workers.access import acting, sessions
from workers.access.acting import Person, Source
from workers.access.roles import Role
from workers.machine.database import writing


def login(name: str, at: datetime | None = None) -> Person:
    return Person(name=name, source=Source.LOGIN, signed_in_at=at or datetime.now(UTC))


def give(name: str, role: Role) -> None:
    """As another process would do it."""
    with writing() as session:
        who.set_role(session, name, role)
    sessions.forget(name)


@contextmanager
def signed_in(name: str, role: Role | None = None) -> Iterator[Person]:
    """The process acts as this person, of this role where one is given."""
    if role is not None:
        give(name, role)
    somebody = login(name)
    acting.act_as(lambda: somebody)
    try:
        yield somebody
    finally:
        acting.act_as(acting.of_the_machine)
        sessions.forget(name)
