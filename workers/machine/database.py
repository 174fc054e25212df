"""This process's engines: made once, on first use."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from cwpo.config.environment import settings
from db.engine import Engines, check_not_newer, embedded_url, make_engines, read_scope, session_scope
from db.errors import DatabaseError


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
    with session_scope(engines()) as session:
        yield session


@contextmanager
def reading() -> Iterator[Session]:
    """A session on the read engine."""
    with read_scope(engines()) as session:
        yield session
