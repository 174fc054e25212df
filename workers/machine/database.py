"""This process's engines: made once, on first use."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.orm import Session

from cwpo.config.environment import settings
from db.engine import Engines, check_not_newer, embedded_url, make_engines, read_scope, session_scope
from db.errors import DatabaseError
from workers.machine.patience import heard, patiently

T = TypeVar("T")


def database_url() -> str:
    """DATABASE_URL, or the embedded SQLite file under CWPO_HOME."""
    return settings.database_url or embedded_url(settings.home)


@functools.cache
def _engines(url: str) -> Engines:
    made = make_engines(url)
    try:
        check_not_newer(made)  # once: whoever brings it up to date later has stopped this program before
    except DatabaseError:
        made.dispose()
        raise
    return made


def engines() -> Engines:
    """Writer and reader of this process's database."""
    return _engines(database_url())


@contextmanager
def writing() -> Iterator[Session]:
    """One transaction, committed when the block ends well."""
    with heard(wrote=True), session_scope(engines()) as session:
        yield session


def written(do: Callable[[Session], T]) -> T:
    """What `do` gives in a transaction of its own, which stands being done again: faults that pass are waited out."""

    def once() -> T:
        with writing() as session:
            return do(session)

    return patiently(once)


@contextmanager
def reading() -> Iterator[Session]:
    """A session on the read engine."""
    with heard(wrote=False), read_scope(engines()) as session:
        yield session
