"""What goes wrong with a database: in one sentence for people, and whether it passes by itself, so that the same may be
tried again. The only place that decides it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from db.errors import DatabaseError, DatabasePasses, DatabaseUnavailable
from db.refusals import POOLER_WORDS, pooler_sentence

_UPGRADE = "`make start` brings it up to date, or run `alembic -x url=ADDRESS upgrade head`, then retry"
_IN_DOUBT = " The connection broke at the last moment: look whether it was done before you do it again."
# SQLSTATE of Postgres: the connection is lost or was never made (08), the transaction met others (40), no connection,
# memory or disk is left (53), the server is going down or coming up (57P), a lock was not to be had (55P03), the
# session was idle too long (25P03), and a server that may only read for now, as in a failover (25006).
_STATES = ("08", "40", "53", "57P", "55P03", "25P03")
_READ_ONLY = "25006"
_REFUSED = ("authentication failed", "does not exist", "pg_hba.conf", "no password supplied", "is not permitted")
# SQLite's primary result codes: BUSY, LOCKED, IOERR and CANTOPEN (both also where the disk is full), FULL, PROTOCOL.
_CODES = frozenset((5, 6, 10, 13, 14, 15))


def passes(error: DBAPIError, *, writing: bool) -> bool:
    """Whether it may go well in a moment. writing: on a connection that may write, where only the server can be at
    fault when it refuses to."""
    original = error.orig
    code = getattr(original, "sqlite_errorcode", None)
    if code is not None:
        return (code & 0xFF) in _CODES
    words = str(original).lower()
    if POOLER_WORDS in words:
        return False
    state = getattr(original, "sqlstate", None)
    if state is not None:
        return state.startswith(_STATES) or (writing and state == _READ_ONLY)
    if error.connection_invalidated:
        return True
    return isinstance(error, OperationalError | InterfaceError) and not any(word in words for word in _REFUSED)


@dataclass
class Work:
    """How far a transaction is."""

    committing: bool = False


@contextmanager
def translated(engine: Engine, *, writing: bool = True) -> Iterator[Work]:
    """Driver errors about the server, the file or the schema become one sentence; errors of ours pass."""
    work = Work()
    try:
        yield work
    except DatabaseError:
        raise
    except NoConnection as error:
        raise DatabasePasses(
            f"All connections of this process to {_place(engine)} are in use: retry in a moment.", writing=writing
        ) from error
    except DBAPIError as error:
        passing = passes(error, writing=writing)
        sentence = _sentence(error, engine, passing=passing)
        if sentence is None:
            raise
        if passing:
            doubtful = work.committing and error.connection_invalidated
            doubt = _IN_DOUBT if doubtful else ""
            raise DatabasePasses(f"{sentence}{doubt}", doubtful=doubtful, writing=writing) from error
        raise DatabaseUnavailable(sentence) from error


def _place(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _sentence(error: DBAPIError, engine: Engine, *, passing: bool) -> str | None:
    words = str(error.orig).lower()
    place = _place(engine)
    if "no such table" in words or "no such column" in words or "undefinedtable" in type(error.orig).__name__.lower():
        return f"The database {place} has not the tables of this version: {_UPGRADE}."
    if "undefinedcolumn" in type(error.orig).__name__.lower():
        return f"The database {place} has not the columns of this version: {_UPGRADE}."
    if "not a database" in words or "malformed" in words:
        return f"The file of {place} is damaged or not a database: restore a copy, or move it away to begin anew."
    if not passing and not isinstance(error, OperationalError | InterfaceError):
        return None
    if POOLER_WORDS in words:
        return pooler_sentence()
    if "locked" in words:
        return f"The database {place} stayed locked for too long: close the program that holds it, then retry."
    if "full" in words or "no space" in words:
        return (
            f"The disk that holds the database {place} is full, and this was not written: free space, then ask for it "
            "again; what is computed waits for that."
        )
    if "deadlock" in words or "serializ" in words:
        return f"The database {place} was asked for the same by several at once: nothing was changed, retry."
    reason = " ".join(str(error.orig).split())[:200]
    return f"The database {place} cannot be used ({reason}): check DATABASE_URL and that the server runs, then retry."
