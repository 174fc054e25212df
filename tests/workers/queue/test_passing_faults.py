"""Faults of the database that pass are waited out: nothing fails, nothing is there twice, nothing is asked of people.

Real ones: Postgres throws a writer out while it waits for a lock; SQLite is locked for longer than its timeout; the
connection breaks after a commit that nobody heard of.
"""

import logging
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import ResponseError
from sqlalchemy import event, func, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from cwpo.config.environment import settings
from cwpo.parallel.killed import Cause
from cwpo.stages.execute import execute
from cwpo.stages.kinds import stored_settings
from db import engine
from db.engine import Engines, now, session_scope
from db.errors import DatabasePasses, DatabaseUnavailable
from db.models import Attempt, Pair, Run, Stage, Worker
from db.repositories.stages import MAX_LOSSES
from tests.workers.workplace import Workplace, wait_for
from workers import api
from workers.machine import database, killed, patience
from workers.machine.database import reading
from workers.machine.paths import store
from workers.queue import job, lease, reaper

HELD = 0.1  # seconds that SQLite stays locked after it has refused somebody, who waits with a timeout of none
LONGEST = 120.0  # seconds that a holder waits for somebody to refuse
THROWN_OUT = 2  # waiting backends of Postgres
AGAIN = "tried again: %s"
WAITING = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
def troubled(both_places: Workplace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Workplace:
    """A workplace whose SQLite waits for no lock."""
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0)
    database._engines.cache_clear()
    caplog.set_level(logging.WARNING)
    return both_places


@contextmanager
def trouble(place: Workplace) -> Iterator[None]:
    """Somebody else holds what writers need. Who waits is thrown out or refused, and tries again: then it is free."""
    address = place.environment["DATABASE_URL"]
    work = _locked if address.startswith("sqlite") else _thrown_out
    held, refused = threading.Event(), threading.Event()
    say_away = patience.say_away

    def said(where: logging.Logger, words: str, error: BaseException) -> None:
        if words == AGAIN:  # and not a lease, which is renewed beside
            refused.set()
        say_away(where, words, error)

    thread = threading.Thread(target=work, args=(address, held, refused))
    thread.start()
    assert held.wait(LONGEST)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(patience, "say_away", said)
            yield
        assert refused.is_set()
    finally:
        refused.set()
        thread.join(2 * LONGEST)


def _locked(address: str, held: threading.Event, refused: threading.Event) -> None:
    holder = sqlite3.connect(address.removeprefix("sqlite:///"), isolation_level=None, timeout=LONGEST)
    holder.execute("BEGIN IMMEDIATE")
    held.set()
    refused.wait(LONGEST)
    time.sleep(HELD)
    holder.close()


def _thrown_out(address: str, held: threading.Event, refused: threading.Event) -> None:
    own = make_url(address).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(own) as holder, psycopg.connect(own, autocommit=True) as killer:
        holder.execute("SELECT key FROM settings WHERE key = 'graph' FOR UPDATE")
        held.set()
        killed, deadline = 0, time.monotonic() + LONGEST
        while killed < THROWN_OUT and time.monotonic() < deadline:
            (thrown,) = killer.execute(WAITING).fetchone() or (0,)
            killed += thrown
            time.sleep(0.05)
        assert killed >= THROWN_OUT


def counted(model: Any, *where: Any) -> int:
    with reading() as session:
        return session.scalar(select(func.count()).select_from(model).where(*where)) or 0


def test_submitting_cancelling_and_retrying_wait_for_the_database(
    troubled: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    with trouble(troubled):
        run_id = api.submit_run(troubled.config()).run_id
    assert counted(Run) == 1
    with trouble(troubled):
        api.cancel_run(run_id)
    assert troubled.run(run_id).status == "cancelled"
    with trouble(troubled):
        assert api.retry_run(run_id).run_ids == (run_id,)
    assert "tried again" in caplog.text


def test_a_claim_and_a_publication_wait_for_the_database_and_nothing_is_computed_twice(
    troubled: Workplace,
) -> None:
    run_id = api.submit_run(troubled.config()).run_id
    with trouble(troubled):
        claimed = job._claim(settings.own_worker, "cpu", wait=0.0)
    assert claimed is not None
    assert claimed.kind == "data"
    own = stored_settings(claimed.kind, claimed.config)  # computed already: the publication comes at once
    execute(store=store(), fingerprint=claimed.fingerprint, settings=own, inputs={})
    with trouble(troubled):
        job._perform(settings.own_worker, "cpu", claimed, job.Shutdown())
    stage = troubled.stage(run_id, "data")
    assert (stage.status, stage.attempts) == ("done", 1)
    assert troubled.run(run_id).error is None
    assert counted(Attempt, Attempt.status == "published") == counted(Attempt) == 1


def test_commits_that_nobody_heard_of_are_not_repeated(both_places: Workplace) -> None:
    """After two of five commits the connection is gone: of the claim, the bulk rows, the publication."""
    run_id = api.submit_run(both_places.config()).run_id
    dice = random.Random(2)

    def gone(session: Session) -> None:
        if session.get_bind() is database.engines().write and dice.random() < 0.4:
            raise DatabasePasses("The connection broke.", doubtful=True)

    event.listen(Session, "after_commit", gone)
    try:
        claimed = job._claim(settings.own_worker, "cpu", wait=0.0)
        assert claimed is not None
        job._perform(settings.own_worker, "cpu", claimed, job.Shutdown())
    finally:
        event.remove(Session, "after_commit", gone)
    assert both_places.stage(run_id, "data").status == "done"
    assert counted(Attempt, Attempt.status == "published") == 1
    pairs = counted(Pair)
    assert pairs == counted(Pair, Pair.attempt_id == claimed.attempt_id) > 0


def test_what_people_ask_for_is_not_done_twice_where_it_may_have_been_done(workplace: Workplace) -> None:
    def gone(session: Session) -> None:
        raise DatabasePasses("The connection broke.", doubtful=True)

    event.listen(Session, "after_commit", gone)
    try:
        with pytest.raises(DatabasePasses, match="broke"):
            api.submit_run(workplace.config())
    finally:
        event.remove(Session, "after_commit", gone)
    assert counted(Run) == 1


def test_a_database_that_stays_away_ends_in_its_sentence_and_what_does_not_pass_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries, clock = [], SimpleNamespace(now=1_000.0)
    clock.monotonic = lambda: clock.now
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)

    def away() -> None:
        tries.append(1)
        raise DatabasePasses("The database is away.")

    monkeypatch.setattr(patience, "time", clock)
    with pytest.raises(DatabasePasses, match="away"):
        patience.patiently(away, seconds=0.5)
    assert clock.now - 1_000.0 == pytest.approx(0.5, abs=1e-6)
    assert 3 <= len(tries) < 20
    tries.clear()
    with pytest.raises(DatabasePasses, match="away"):
        patience.patiently(away, stop=lambda: len(tries) == 2)
    assert len(tries) == 2
    calls = iter([1, 2])

    def wrong() -> None:
        next(calls)
        raise DatabaseUnavailable("The database has not the tables of this version.")

    with pytest.raises(DatabaseUnavailable, match="tables"):
        patience.patiently(wrong)
    assert next(calls) == 2
    assert patience.passes(RedisAway("gone"))
    assert patience.passes(ResponseError("MISCONF Errors writing to the AOF file: No space left on device"))
    assert not patience.passes(ResponseError("WRONGTYPE"))


def test_the_errors_that_pass_are_known_by_their_codes(database: Engines) -> None:
    """As the servers give them: out of connections, going down, serialization, read-only, full; and those that stay."""
    if database.write.dialect.name == "sqlite":

        def full() -> None:
            with session_scope(database) as session:
                session.execute(text("PRAGMA max_page_count = 1"))
                session.execute(text("CREATE TABLE much AS SELECT hex(randomblob(100000)) AS text"))

        with pytest.raises(DatabasePasses, match="is full"):
            full()
        return
    for state in ("53300", "57P01", "40001", "40P01", "25006", "53100", "08006"):
        with pytest.raises(DatabasePasses) as caught, session_scope(database) as session:
            session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '{state}'; END $$"))
        assert not caught.value.doubtful
    for statement in ("SELECT 1 FROM nothing_of_this_name", "SELECT nothing_of_this_name FROM settings"):
        with pytest.raises(DatabaseUnavailable) as said, session_scope(database) as session:
            session.execute(text(statement))
        assert not isinstance(said.value, DatabasePasses)


def test_living_workers_renew_their_leases_first_when_the_database_is_back(workplace: Workplace) -> None:
    """The reaper takes no stage in its first rounds after the database was away."""
    from tests.workers.working import be_the_worker

    api.submit_run(workplace.config())
    with pytest.MonkeyPatch.context() as patch:
        be_the_worker(patch)
        claimed = job._claim(settings.own_worker, "cpu", wait=0.0)
        assert claimed is not None
        with session_scope(database.engines()) as session:
            session.execute(text("UPDATE stages SET lease_expires_at = '2020-01-01 00:00:00' WHERE status = 'running'"))
        assert reaper.reap(expire=False) == 0
        assert reaper.reap() == 1
    wait_for(lambda: counted(Attempt, Attempt.status == "lost") == 1)


def test_kills_from_outside_do_not_count_against_a_stage(place: Workplace) -> None:
    """More of them than deaths that are taken for memory; a death of any other kind counts as before."""
    api.submit_run(place.config())
    me = settings.own_worker
    for cause in [Cause.OUTSIDE] * (MAX_LOSSES + 1) + [Cause.ITSELF]:
        claimed = job._claim(me, "cpu", wait=0.0)
        assert claimed is not None
        assert lease.give_up_stages(me, cause=cause) == 1
    with reading() as session:
        stage = session.get_one(Stage, claimed.stage_id)
        assert (stage.status, stage.losses) == ("queued", 1)


def test_a_stack_that_ended_as_a_whole_counts_against_no_stage(place: Workplace) -> None:
    """The next one on the same machine finds its workers gone; one that lives, or was heard a moment ago, is left."""
    api.submit_run(place.config())
    me = settings.own_worker
    claimed = job._claim(me, "cpu", wait=0.0)
    assert claimed is not None
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "test-worker"]) as worker:
        lease.name_process(me, worker.pid)
        assert lease.bury_the_gone() == 0  # heard just now
        with session_scope(database.engines()) as session:
            session.execute(update(Stage).values(lease_expires_at=now(session) + timedelta(seconds=30)))
        assert lease.bury_the_gone() == 0  # lives
        worker.kill()
        worker.wait()
        assert lease.bury_the_gone() == 1
    with reading() as session:
        stage = session.get_one(Stage, claimed.stage_id)
        assert (stage.status, stage.losses) == ("queued", 0)
        assert session.get_one(Worker, me).state == "stopped"
    assert lease.bury_the_gone() == 0


def test_whether_a_process_was_killed_for_memory_is_what_the_kernel_counted() -> None:
    kills = killed.memory_kills()
    assert killed.cause_of(signal.SIGKILL, before=kills) is (Cause.ITSELF if kills is None else Cause.OUTSIDE)
    assert killed.cause_of(signal.SIGKILL, before=-1) is (Cause.ITSELF if kills is None else Cause.MEMORY)
    assert killed.cause_of(signal.SIGKILL, before=None) is Cause.ITSELF
    assert killed.cause_of(signal.SIGSEGV, before=kills) is Cause.ITSELF
    assert killed.cause_of(0, before=kills) is Cause.ITSELF
    assert killed.of_status(signal.SIGSEGV, before=kills)[1].startswith("Its process was ended by SIGSEGV")
    assert killed.of_status(3 << 8, before=kills)[1].startswith("Its process ended with code 3")
    assert killed.of_worker(1, before=kills)[0] is Cause.OUTSIDE  # the worker process only watches


def test_a_clock_that_is_set_back_makes_no_lease_longer(place: Workplace) -> None:
    """Ten minutes back: what was renewed before seems to run for ten minutes more, and its worker to be heard then."""
    api.submit_run(place.config())
    claimed = job._claim(settings.own_worker, "cpu", wait=0.0)
    assert claimed is not None
    with session_scope(database.engines()) as session:
        later = now(session) + timedelta(minutes=10)
        session.execute(update(Stage).values(lease_expires_at=later).where(Stage.id == claimed.stage_id))
        session.execute(update(Worker).values(heartbeat_at=later))
    reaper.reap()
    with reading() as session:
        at = now(session)
        held = select(Stage.lease_expires_at, Worker.heartbeat_at).join(Worker, Worker.id == Stage.worker_id)
        expires, heard = session.execute(held).one()
    assert at < expires <= at + timedelta(seconds=45)
    assert heard <= at


def test_a_clock_that_is_set_forward_takes_no_stage_from_the_living(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = reaper._Clock()
    assert not clock.jumped_ahead()
    assert not clock.jumped_ahead()
    real = reaper.now
    monkeypatch.setattr(reaper, "now", lambda session: real(session) + timedelta(minutes=10))  # the injected fault
    assert clock.jumped_ahead()
    assert not clock.jumped_ahead()
