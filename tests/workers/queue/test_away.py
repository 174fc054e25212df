"""Redis gone and no room to write for seconds, under real workers: a line each, no traceback, no stuck stage."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from db import queries
from tests import clocks, servers
from tests.workers.workplace import Workplace, descendants, horse_of, wait_for, worker_processes
from workers import api
from workers.machine.database import reading

LONG = {
    "method": "human",
    "align": {"epochs": 5_000, "lr": 1e-3, "batch_size": 16},
    "execution": {"checkpoint_seconds": 1e9, "device": "cpu"},  # the job writes to nothing but the database
}
AWAY = 2.0  # seconds
LITTLE = 512  # bytes that a file may have: less than any write of SQLite needs


class _Redis:
    """A server on a socket that is there again after each start."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.url = folder, f"unix://{folder / 'r.sock'}?db=0"
        self.start()

    def start(self) -> None:
        command = [servers.redis_binary(), "--port", "0", "--unixsocket", str(self._folder / "r.sock")]
        command += ["--dir", str(self._folder), "--save", "", "--appendonly", "no", "--loglevel", "warning"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def own_redis() -> Iterator[_Redis]:
    with tempfile.TemporaryDirectory(prefix="cwpo-r-", dir=servers.SHORT) as folder:
        redis = _Redis(Path(folder))
        yield redis
        redis.kill()


@contextmanager
def _workers(place: Workplace, lines: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """A supervisor whose output comes by a pipe, which no limit on files hinders."""
    environment = {**place.environment, "WORKERS": "1", "CWPO_STOP_GRACE": "3", "CWPO_PARENT_PID": str(os.getpid())}
    process = subprocess.Popen(
        [sys.executable, "-m", "workers"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    listening = threading.Thread(target=lines.extend, args=(iter(process.stdout.readline, ""),), daemon=True)
    listening.start()
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)
        listening.join(60)


@contextmanager
def _no_room(supervisor: int) -> Iterator[None]:
    """Neither the supervisor nor what it started can make a file longer, as on a full disk."""
    family = [psutil.Process(supervisor), *descendants(supervisor)]
    for process in family:
        process.rlimit(resource.RLIMIT_FSIZE, (LITTLE, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for process in [psutil.Process(supervisor), *descendants(supervisor)]:
            process.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_workers_say_in_a_line_what_is_away_and_go_on_when_it_is_back(
    workplace: Workplace, own_redis: _Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace.environment["REDIS_URL"] = own_redis.url
    monkeypatch.setenv("REDIS_URL", own_redis.url)
    lines: list[str] = []
    with _workers(workplace, lines) as supervisor:
        wait_for(lambda: api.health().workers_alive == 1)
        run_id = api.submit_run(workplace.config(**LONG)).run_id
        wait_for(lambda: workplace.stage(run_id, "align").done, every=0.05)
        worker = worker_processes(supervisor.pid)[0]
        horse = horse_of(worker)
        assert horse is not None
        own_redis.kill()
        with _no_room(supervisor.pid):
            wait_for(lambda: any("the lease was not renewed" in line for line in lines))
        wait_for(lambda: any("The database answers again" in line for line in lines))
        assert (workplace.stage(run_id, "align").status, workplace.stage(run_id, "align").attempts) == ("running", 1)
        with _no_room(supervisor.pid):
            horse.kill()  # and its worker cannot write that it has gone
            time.sleep(AWAY)
        own_redis.start()
        with clocks.lasting(30):
            wait_for(lambda: workplace.stage(run_id, "align").attempts == 2)
        with reading() as session:
            first, _ = queries.attempts(session, workplace.stage(run_id, "align").stage_id)
        assert (first.status, workplace.run(run_id).error) == ("lost", None)
        assert "killed from outside" in str(first.cause)
        api.cancel_run(run_id)
    text = "".join(lines)
    assert "Traceback" not in text, text
    away = [line for line in lines if "cannot be used" in line or "is full" in line]
    assert 1 <= len(away) <= 8, text  # a line of each process at most, twice: supervisor, worker, job, reaper
