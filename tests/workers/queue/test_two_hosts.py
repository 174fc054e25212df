"""Hosts that share a database, Redis and an object store, and no disk."""

import json
import os
import platform
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from cwpo.config.environment import settings
from cwpo.config.store import store_at
from db import queries
from db.records import AttemptRow
from db.repositories import leases, stages
from tests.workers.conftest import workplace_at
from tests.workers.working import be_the_worker
from tests.workers.workplace import Workplace, descendants, wait_for
from workers import api
from workers.machine.database import reading, writing
from workers.queue import job, lease, reaper

LONG = {"method": "human", "align": {"epochs": 100, "lr": 1e-3, "batch_size": 16}}


def attempts(stage_id: int) -> list[AttemptRow]:
    with reading() as session:
        return queries.attempts(session, stage_id)


@pytest.fixture
def desk(
    postgres_address: str,
    redis_server: str,
    s3_bucket: str,
    tmp_path: Path,
    materials: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    """The machine with the dashboard: it submits, and computes nothing."""
    monkeypatch.setenv("CWPO_STORE", f"{s3_bucket}/cwpo")
    made = host("desk", workplace_at(postgres_address, redis_server, tmp_path, materials, monkeypatch))
    monkeypatch.setenv("CWPO_HOME", str(made.home))
    return made


def host(name: str, like: Workplace) -> Workplace:
    """Another machine: a home of its own."""
    home = like.home / name
    home.mkdir()
    return Workplace(
        environment={**os.environ, **like.environment, "CWPO_HOME": str(home)}, home=home, materials=like.materials
    )


@pytest.fixture
def frozen() -> Iterator[ExitStack]:
    """What is called when the test ends: nothing may stay stopped."""
    with ExitStack() as thaw:
        yield thaw


def freeze(processes: list[psutil.Process], frozen: ExitStack) -> None:
    for process in processes:
        process.send_signal(signal.SIGSTOP)
        frozen.callback(wake, process)


def wake(process: psutil.Process) -> None:
    if process.is_running():
        process.send_signal(signal.SIGCONT)


def test_the_stage_of_a_host_that_is_cut_off_moves_and_nothing_is_lost(desk: Workplace, frozen: ExitStack) -> None:
    """Its processes are frozen in mid-alignment; the other host has what it published from the store alone."""
    cut, other = (host(name, desk) for name in ("cut", "other"))
    run_id = api.submit_run(desk.config(**LONG)).run_id
    with cut.supervisor(workers=1) as frozen_one:
        wait_for(lambda: desk.stage(run_id, "align").status == "running", every=0.02)
        family = [psutil.Process(frozen_one.pid), *descendants(frozen_one.pid)]
        freeze(family, frozen)
        with writing() as session:  # 45 seconds of silence
            for worker in queries.workers(session):
                leases.expire_worker(session, worker.id)
        with other.supervisor(workers=1):
            desk.wait_done(run_id)
            for process in family:
                wake(process)
            stage = desk.stage(run_id, "align")
            wait_for(lambda: attempts(stage.stage_id)[0].status in ("lost", "refused"))
    first, after = attempts(stage.stage_id)
    assert (first.status in ("lost", "refused"), after.status) == (True, "published")
    fetched = store_at(other.home).path(desk.stage(run_id, "data").fingerprint)
    assert fetched.is_dir()  # computed by the one that was cut off
    mine = store_at(desk.home)
    assert [row.slot for row in stages_of(run_id) if mine.find(row.fingerprint) is None] == []
    assert mine.info(stage.fingerprint).sha256 == store_at(other.home).info(stage.fingerprint).sha256


def test_a_late_publication_is_refused_and_its_host_takes_what_was_published(
    desk: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_the_worker(monkeypatch)
    run_id = api.submit_run(desk.config()).run_id
    me, other = settings.own_worker, lease.register_worker("other", "cpu")
    claims = []
    for worker_id in (me, other):
        with writing() as session:
            claims.append(stages.claim(session, worker_id, "cpu", 45.0))
            leases.expire_worker(session, me)
        reaper.reap()
    late, winner = claims
    assert late is not None
    assert winner is not None
    assert (late.stage_id, late.token + 1) == (winner.stage_id, winner.token)
    told = {}
    for name, claimed in (("first", winner), ("second", late)):
        monkeypatch.setenv("CWPO_HOME", str(desk.home / name))
        monkeypatch.setattr(platform, "node", lambda name=name: name)
        build = store_at(desk.home / name)
        if name == "second":  # computed while it was cut off, before it could see the other's
            with monkeypatch.context() as patch:
                patch.delenv("CWPO_STORE")
                job._perform(me, "cpu", claimed, job.Shutdown())
            own = build.info(late.fingerprint).sha256
        job._perform(me, "cpu", claimed, job.Shutdown())
        told[name] = json.loads(build.read_text(late.fingerprint, "timing.json"))
    assert [(one.status, one.token) for one in attempts(late.stage_id)] == [("refused", 1), ("published", 2)]
    assert desk.stage(run_id, "data").status == "done"
    shared = store_at(desk.home / "third").info(late.fingerprint).sha256
    assert own != shared  # another host, other seconds
    assert store_at(desk.home / "second").info(late.fingerprint).sha256 == shared
    assert told["first"] == told["second"]
    assert told["first"]["host"] == "first"


def test_a_store_that_does_not_answer_gives_the_stage_back_and_keeps_what_was_computed(
    desk: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_the_worker(monkeypatch)
    monkeypatch.setattr(job, "STORE_PATIENCE", 0.0)
    run_id = api.submit_run(desk.config()).run_id
    with writing() as session:
        claimed = stages.claim(session, settings.own_worker, "cpu", 45.0)
    assert claimed is not None
    with monkeypatch.context() as patch:
        patch.setenv("CWPO_STORE", "s3://elsewhere/x")
        patch.setattr("cwpo.object_store.ObjectStore.manifest", lambda *_: None)
        patch.setattr("cwpo.object_store.ObjectStore._do", unreachable)
        job._perform(settings.own_worker, "cpu", claimed, job.Shutdown())
    stage = desk.stage(run_id, "data")
    assert stage.status == "queued"
    assert "cannot be reached" in str(attempts(stage.stage_id)[0].cause)
    assert (store_at(desk.home).path(claimed.fingerprint) / "manifest.json").is_file()
    assert job.work(0) == len(stages_of(run_id))
    assert desk.run(run_id).status == "done"


def stages_of(run_id: int) -> list[Any]:
    with reading() as session:
        return list(queries.run_stages(session, run_id))


def unreachable(*_: object) -> None:
    from cwpo.errors import StoreUnreachable

    raise StoreUnreachable("The artifact store s3://elsewhere/x cannot be reached (x): the stage is tried again.")
