"""Engines, transactions, database time and migrations. The only place that knows the SQL dialect."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Integer,
    create_engine,
    event,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeDecorator

from db.errors import DatabaseUnavailable
from db.faults import translated
from db.refusals import DIRECT, refuse_network_disk, refuse_newer, refuse_pooler

BUSY_SECONDS = 30
CONNECT_SECONDS = 5
# A machine that is cut off, or whose processes are frozen, is noticed within half a minute on both ends: it must not
# keep a lock in the server, nor wait for an answer that never comes.
_CLIENT_NOTICES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
_SERVER_NOTICES = {
    "tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3, "tcp_user_timeout": 25_000,
    "idle_in_transaction_session_timeout": 25_000,
}  # fmt: skip
# Each connection fills a cache of its own and keeps it while it waits in the pool: so few wait, the last one that was
# used is the next, and none keeps much. The file is in the system's cache besides: with 2, 4, 8 and 16 MB here a page
# of examples out of a million pairs takes the same time.
READ_CACHE_KB = 2_048
READERS_KEPT = 2
# Nor does it keep statements that it has prepared, 128 of them by default: one that asks for 2,000 ids takes 2 MB, and
# one that asks for 2,001 is another one. To prepare it anew takes far less time than to read a page.
READERS_STATEMENTS = 0
# One transaction never holds the writer for longer than this many rows take.
BATCH_ROWS = 5_000
# Any number will do, as long as nothing else in the same Postgres uses it.
MIGRATION_LOCK = 0x43575F504F
MIGRATIONS = Path(__file__).resolve().parent / "migrations"

# SQLite only counts up by itself on a column of type INTEGER, which there has 64 bits anyway.
BigId = BigInteger().with_variant(Integer, "sqlite")

Row = TypeVar("Row")


class UtcDateTime(TypeDecorator[datetime]):
    """Timezone-aware UTC on both databases; SQLite stores no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Refuse a time without a zone: nobody can say later what it meant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone: pass a timezone-aware time.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Give the zone back that SQLite dropped."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@dataclass(frozen=True, kw_only=True)
class Engines:
    """A writer and a reader of one database; readers never wait for a writer."""

    write: Engine
    read: Engine

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.write.dispose()
        self.read.dispose()


def embedded_url(home: Path) -> str:
    """The SQLite file that lies in `home`, an absolute path."""
    return URL.create("sqlite", database=str(home / "cwpo.sqlite")).render_as_string()


def make_engines(url: str) -> Engines:
    """Writer and reader for a SQLite or Postgres URL; nothing connects yet."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return Engines(
            write=_sqlite(parsed, begin="BEGIN IMMEDIATE", pragmas=("foreign_keys=ON",)),
            read=_sqlite(
                parsed,
                begin="BEGIN",
                pragmas=("query_only=ON", f"cache_size=-{READ_CACHE_KB}"),
                kept=READERS_KEPT,
                statements=READERS_STATEMENTS,
            ),
        )
    return Engines(write=_postgres(parsed, read_only=False), read=_postgres(parsed, read_only=True))


@contextmanager
def session_scope(engines: Engines) -> Iterator[Session]:
    """The only place that commits: once, when the block ends well; an exception rolls everything back."""
    with translated(engines.write) as work, Session(engines.write, expire_on_commit=False) as session:
        yield session
        session.flush()
        work.committing = True
        session.commit()


@contextmanager
def read_scope(engines: Engines) -> Iterator[Session]:
    """A session on the read engine: one consistent snapshot, and writing fails."""
    session = Session(engines.read, expire_on_commit=False, autoflush=False)
    with translated(engines.read, writing=False), session:
        yield session


def now(session: Session) -> datetime:
    """The database's clock in UTC, so that leases do not depend on the clocks of workers."""
    return session.execute(select(clock(session))).scalar_one()


def clock(session: Session) -> ColumnElement[datetime]:
    """The same clock as a column of a statement."""
    if session.get_bind().dialect.name == "sqlite":
        return literal_column("strftime('%Y-%m-%d %H:%M:%f', 'now')", UtcDateTime())
    return func.clock_timestamp(type_=UtcDateTime())


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to `revision`; several processes may call it at once, one does the work."""
    from alembic import command
    from alembic.migration import MigrationContext

    with _migrating(url) as connection:
        refuse_newer(MigrationContext.configure(connection).get_current_revision(), head_revision())
        command.upgrade(alembic_config(connection), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database back to `revision` ("base" removes every table)."""
    from alembic import command

    with _migrating(url) as connection:
        command.downgrade(alembic_config(connection), revision)


def alembic_config(connection: Connection) -> Any:
    """Alembic's configuration on an open connection, independent of the working directory."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def migration_scope(url: str) -> AbstractContextManager[Connection]:
    """The locked connection migrations run on; for `alembic` on the command line."""
    return _migrating(url)


def head_revision() -> str:
    """The newest revision this program knows."""
    return max(path.name.split("_", 1)[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def check_not_newer(engines: Engines) -> None:
    """Refuse a database that a newer program has brought up to date."""
    with read_scope(engines) as session:
        refuse_newer(schema_revision(session), head_revision())


def schema_revision(session: Session) -> str | None:
    """The revision the database is at; None where it was never upgraded."""
    try:
        found: str | None = session.execute(text("SELECT version_num FROM alembic_version")).scalars().first()
    except (OperationalError, ProgrammingError) as error:
        words = f"{type(error.orig).__name__} {error.orig}".lower()
        if "no such table" not in words and "undefinedtable" not in words:
            raise
        session.rollback()
        return None
    return found


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseUnavailable(
            "DATABASE_URL is not a database address: write sqlite:////path/to/file or "
            "postgresql://user:password@host/database."
        ) from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise DatabaseUnavailable(
            f"DATABASE_URL names {parsed.get_backend_name()}: this program works with sqlite and postgresql."
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise DatabaseUnavailable(
            "DATABASE_URL names no file: several processes share it, write sqlite:////path/to/file."
        )
    if parsed.get_backend_name() == "sqlite":
        return parsed.set(database=str(Path(str(parsed.database)).expanduser()))
    return parsed


def _sqlite(
    url: URL,
    *,
    begin: str,
    pragmas: tuple[str, ...],
    pool: type[NullPool] | None = None,
    kept: int | None = None,
    statements: int = 128,
) -> Engine:
    """WAL; our own BEGIN, because the driver's deferred one fails at once when a reader turns writer. kept: connections
    that wait for the next use; as many as usual may be in use. statements: prepared ones that each connection
    keeps."""
    refuse_network_disk(Path(str(url.database)))
    _make_folder(url)
    few: dict[str, Any] = {} if kept is None else {"pool_size": kept, "max_overflow": 15 - kept, "pool_use_lifo": True}
    engine = create_engine(
        url, connect_args={"timeout": BUSY_SECONDS, "cached_statements": statements}, poolclass=pool, **few
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("busy_timeout=" + str(BUSY_SECONDS * 1000), "journal_mode=WAL", "synchronous=NORMAL", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgres(url: URL, *, read_only: bool, pool: type[NullPool] | None = None) -> Engine:
    """psycopg 3; the reader gets one snapshot per page and cannot write."""
    options = f"-c {DIRECT}=on -c timezone=UTC -c default_transaction_read_only={'on' if read_only else 'off'}"
    if _over_network(url):
        options += "".join(f" -c {name}={value}" for name, value in _SERVER_NOTICES.items())
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "application_name": "cwpo",
                "options": options,
                **(_CLIENT_NOTICES if _over_network(url) else {}),
            },
            poolclass=pool,
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise DatabaseUnavailable(
            f"DATABASE_URL asks for the driver {url.drivername}, which is not installed: write postgresql://…"
        ) from error
    event.listen(engine, "connect", lambda connection, record: refuse_pooler(connection))
    return engine


def _over_network(url: URL) -> bool:
    """Whether the server is reached by TCP, and not through a socket of this machine."""
    host = str(url.host or url.query.get("host") or "/")
    return not host.startswith("/")


def _make_folder(url: URL) -> None:
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailable(
            f"The folder {folder} of the database cannot be created ({error.strerror}): set CWPO_HOME or DATABASE_URL "
            "to a place that can be written."
        ) from error


@contextmanager
def _migrating(url: str) -> Iterator[Connection]:
    """A connection under a lock. Foreign keys are off on SQLite: a table rebuilt in batch mode must not cascade."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite(parsed, begin="BEGIN IMMEDIATE", pragmas=("foreign_keys=OFF",), pool=NullPool)
        with translated(engine), FileLock(f"{parsed.database}.upgrade.lock"), engine.connect() as connection:
            yield connection
            connection.commit()
        return
    engine = _postgres(parsed, read_only=False, pool=NullPool)
    with translated(engine), engine.connect() as holder, engine.connect() as connection:
        holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        yield connection
        connection.commit()
        holder.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def batches(rows: Iterable[Row], size: int = BATCH_ROWS) -> Iterator[list[Row]]:
    """Rows in lists of at most `size`: one transaction each."""
    source = iter(rows)
    while batch := list(islice(source, size)):
        yield batch
