"""Addresses, transactions, the database's clock, and sentences for what goes wrong."""

import gc
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from db import engine
from db.engine import Engines, embedded_url, make_engines, now, read_scope, session_scope, upgrade
from db.errors import DatabaseUnavailable
from db.models import Run, Setting
from tests import clocks
from tests.db.make import submit


def test_the_embedded_database_lies_in_the_home(tmp_path: Path) -> None:
    url = embedded_url(tmp_path / "with space")
    assert url == f"sqlite:///{tmp_path}/with space/cwpo.sqlite"
    upgrade(url)
    assert (tmp_path / "with space" / "cwpo.sqlite").exists()


def test_a_tilde_in_an_address_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    upgrade("sqlite:///~/own/db.sqlite")
    assert (tmp_path / "own" / "db.sqlite").is_file()


def test_a_reader_that_asks_for_ever_longer_lists_keeps_no_statement(tmp_path: Path) -> None:
    """One that names 2,000 ids takes 2 MB, and each number of ids is a statement of its own."""
    url = embedded_url(tmp_path)
    upgrade(url)
    engines = make_engines(url)

    def kept() -> int:
        gc.collect()
        return sum(type(one).__name__ == "Statement" and type(one).__module__ == "sqlite3" for one in gc.get_objects())

    with read_scope(engines) as session:
        before = kept()
        for number in range(2, 60):
            assert session.scalars(select(Run.id).where(Run.id.in_(range(number)))).all() == []
    assert kept() <= before
    engines.dispose()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgres_addresses_use_psycopg(scheme: str) -> None:
    assert make_engines(f"{scheme}://u@h/d").write.dialect.driver == "psycopg"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not a database address"),
        ("mysql://u@h/d", "works with sqlite and postgresql"),
        ("sqlite://", "names no file"),
        ("postgresql+asyncpg://u@h/d", "write postgresql://"),
        ("sqlite:////proc/none/x.sqlite", "CWPO_HOME or DATABASE_URL"),
    ],
)
def test_a_wrong_address_is_a_sentence(url: str, words: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=words):
        make_engines(url)


def test_a_server_that_is_down_is_a_sentence_without_the_password() -> None:
    engines = make_engines("postgresql://user:hush@127.0.0.1:9/none")
    with pytest.raises(DatabaseUnavailable, match="check DATABASE_URL") as caught, read_scope(engines) as session:
        session.execute(text("SELECT 1"))
    assert "hush" not in str(caught.value)
    with pytest.raises(DatabaseUnavailable, match="check DATABASE_URL"):
        upgrade("postgresql://user:hush@127.0.0.1:9/none")


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 30)
    with pytest.raises(DatabaseUnavailable, match="damaged or not a database"):
        upgrade(f"sqlite:///{path}")


def test_a_full_disk_is_a_sentence(sqlite_database: Engines) -> None:
    def fill(session: Session) -> None:
        session.execute(text("PRAGMA max_page_count = 1"))
        for number in range(2_000):
            session.add(Setting(key=str(number), value="x" * 1_000))
        session.flush()

    with pytest.raises(DatabaseUnavailable, match=r"disk .* is full"), session_scope(sqlite_database) as session:
        fill(session)


def test_a_database_locked_for_too_long_is_a_sentence(sqlite_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0)
    engines = make_engines(sqlite_address)
    holder = sqlite3.connect(sqlite_address.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="stayed locked"), session_scope(engines) as session:
        session.add(Setting(key="x"))
    holder.close()
    engines.dispose()


def test_errors_of_our_own_pass_through(database: Engines) -> None:
    with pytest.raises(ValueError, match="mine"), session_scope(database):
        raise ValueError("mine")
    with pytest.raises(DBAPIError), session_scope(database) as session:
        session.add(Setting(key="graph"))


def test_leaving_by_exception_writes_nothing(database: Engines) -> None:
    def half(session: Session) -> None:
        session.add(Setting(key="half"))
        session.flush()
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"), session_scope(database) as session:
        half(session)
    with read_scope(database) as session:
        assert session.scalars(select(Setting.key)).all() == ["graph"]


def test_a_reader_cannot_write(database: Engines) -> None:
    words = "readonly|read-only"
    with pytest.raises((DatabaseUnavailable, DBAPIError), match=words), read_scope(database) as session:
        session.execute(text("DELETE FROM settings"))


def test_a_reader_sees_one_moment_and_does_not_wait_for_the_writer(database: Engines) -> None:
    submit(database, "data")
    with read_scope(database) as reader:
        assert len(reader.scalars(select(Run.id)).all()) == 1
        with session_scope(database) as writer:
            writer.add(Setting(key="open"))
            writer.flush()
            with clocks.lasting(5), read_scope(database) as other:
                assert len(other.scalars(select(Run.id)).all()) == 1
        submit(database, "data", data="-b")
        assert len(reader.scalars(select(Run.id)).all()) == 1
    with read_scope(database) as reader:
        assert len(reader.scalars(select(Run.id)).all()) == 2


def test_of_many_readers_few_wait_with_their_caches(tmp_path: Path) -> None:
    """Six pages read at once; later their connections hold no more memory than that of two. The next reader takes one
    that has its cache."""
    url = embedded_url(tmp_path)
    upgrade(url)
    reader = make_engines(url).read
    used = [reader.connect() for _ in range(6)]
    for connection in used:
        connection.execute(text("SELECT count(*) FROM runs"))
    for connection in used:
        connection.close()
    assert isinstance(reader.pool, QueuePool)
    assert (reader.pool.checkedin(), reader.pool.checkedout()) == (2, 0)
    with reader.connect():
        assert reader.pool.checkedin() == 1


def test_six_writers_that_read_first_lose_no_update(database: Engines) -> None:
    """The transaction that fails with deferred BEGIN on SQLite: read a row, then write it."""
    with session_scope(database) as session:
        session.add(Setting(key="count", value="0"))

    def work() -> None:
        for _ in range(10):
            with session_scope(database) as session:
                row = session.scalars(select(Setting).where(Setting.key == "count").with_for_update()).one()
                row.value = str(int(row.value or 0) + 1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with read_scope(database) as session:
        assert session.scalars(select(Setting.value).where(Setting.key == "count")).one() == "60"


def test_the_databases_clock_is_utc_and_moves(database: Engines) -> None:
    with read_scope(database) as session:
        first = now(session)
        time.sleep(0.05)
        second = now(session)
    assert first.tzinfo is not None
    assert timedelta(0) < second - first < timedelta(minutes=10)
    assert abs(datetime.now(UTC) - second) < timedelta(minutes=10)


def test_times_come_back_aware_and_naive_ones_are_refused(database: Engines) -> None:
    submit(database, "data")
    with read_scope(database) as session:
        created = session.scalars(select(Run.created_at)).one()
    assert created.utcoffset() == timedelta(0)
    with pytest.raises(StatementError, match="no time zone"), session_scope(database) as session:
        session.execute(update(Run).values(created_at=datetime(2026, 1, 1)))


def test_sqlite_runs_in_wal_with_foreign_keys(sqlite_database: Engines) -> None:
    with session_scope(sqlite_database) as session:
        pragmas = {
            name: session.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("journal_mode", "foreign_keys")
        }
        assert pragmas == {"journal_mode": "wal", "foreign_keys": 1}
        assert session.execute(text("PRAGMA busy_timeout")).scalar_one() == 30_000
