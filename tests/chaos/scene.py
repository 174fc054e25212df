"""A scene: an installation of its own that is disturbed. Real workers, a Redis and a database that may be killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from cwpo.config.run import RunConfig, merged
from db import queries
from db.engine import upgrade
from db.errors import DatabaseError
from db.records import RunFilters, RunRow
from tests import servers
from tests.chaos.services import OwnPostgres, OwnRedis, wait
from workers import api
from workers.cli.stack import free_port
from workers.machine import database, patience
from workers.machine.database import reading

CHILD = Path(__file__).parent / "child"
DATABASES = ("sqlite", "postgres")
VARIANTS = 2  # configurations that differ; every further run is one of them under another salt
# A quick trial: leases run out after 25 s in place of 45, longer than a busy machine stands still. SQLite waits 1 s for
# a lock in place of 30.
QUICK: Mapping[str, Mapping[str, float]] = {
    "workers.queue.lease": {"LEASE_SECONDS": 25.0, "FLUSH_SECONDS": 0.5, "BEAT_SECONDS": 2.0},
    "workers.queue.reaper": {"TICK": 1.0, "_SPARED": 3.0},
    "workers.queue.supervisor": {"BEAT_EVERY": 2.0, "LONGEST_BACKOFF": 1.0},
    "db.engine": {"BUSY_SECONDS": 1},
}
# All as in the product, but that a worker which is killed again and again is started again at once.
USUAL: Mapping[str, Mapping[str, float]] = {"workers.queue.supervisor": {"LONGEST_BACKOFF": 1.0}}
LONGER = {"align": {"epochs": 40, "lr": 1e-3, "batch_size": 16}, "execution": {"checkpoint_seconds": 0.2}}


@dataclass
class Scene:
    """`runs`: number -> which variant it is. `given_up`: the runs that somebody cancelled."""

    kind: str
    home: Path
    redis: OwnRedis
    postgres: OwnPostgres | None
    address: str
    materials: dict[str, Any]
    dice: random.Random
    workers: int
    times: Mapping[str, Mapping[str, float]]
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    more: dict[str, str] = field(default_factory=dict)  # for the processes beside the usual variables
    supervisors: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    runs: dict[int, int] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)

    @property
    def lease(self) -> float:
        return float(self.times.get("workers.queue.lease", {}).get("LEASE_SECONDS", 45.0))

    @property
    def busy(self) -> float:
        """Seconds that SQLite waits for a lock."""
        return float(self.times.get("db.engine", {}).get("BUSY_SECONDS", 30.0))

    @property
    def log(self) -> Path:
        """Beside the home: that one's disk may be full."""
        return self.home.with_name(f"{self.home.name}.log")

    def variables(self, **more: str) -> dict[str, str]:
        """What every process of the scene is given."""
        path = os.pathsep.join([str(CHILD), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {
            **os.environ, "PYTHONPATH": path, "CHAOS_SET": json.dumps(self.times), "CHAOS_MARK": self.mark,
            "OMP_NUM_THREADS": "1", "CWPO_STOP_GRACE": "3", "WORKERS": str(self.workers), **self.more, **more,
        }  # fmt: skip

    def supervise(self, **more: str) -> "subprocess.Popen[bytes]":
        """One more `python -m workers`."""
        environment = self.variables(**{"CWPO_PARENT_PID": str(os.getpid()), **more})
        with self.log.open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", "workers"], env=environment, stdout=log, stderr=log)
        self.supervisors.append(process)
        return process

    def launch(self) -> "subprocess.Popen[bytes]":
        """The whole stack, with a dashboard and a Redis of its own."""
        environment = self.variables(PORT=str(free_port(18700)[0]))
        for name in ("REDIS_URL", "CWPO_PARENT_PID"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "workers.cli.stack"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        self.supervisors.append(process)
        return process

    def named(self, word: str) -> list[psutil.Process]:
        """Living processes below the launcher whose program has that name."""
        found = []
        for launcher in self.living():
            with suppress(psutil.Error):
                for one in psutil.Process(launcher.pid).children(recursive=True):
                    with suppress(psutil.Error):
                        if any(Path(part).name == word for part in " ".join(one.cmdline()).split()[:4]):
                            found.append(one)
        return found

    def living(self) -> list["subprocess.Popen[bytes]"]:
        self.supervisors = [one for one in self.supervisors if one.poll() is None]
        return self.supervisors

    def processes(self, role: str, *, older: float = 0.0) -> list[psutil.Process]:
        """Living processes below the supervisors: "worker", "horse" (a job) or "reaper", so many seconds old."""
        found = []
        for supervisor in self.living():
            with suppress(psutil.Error):
                for one in psutil.Process(supervisor.pid).children(recursive=True):
                    with suppress(psutil.Error):
                        if role in one.cmdline()[3:4] and time.time() - one.create_time() >= older:
                            found.append(one)
        return found

    def config(self, variant: int, **over: Any) -> RunConfig:
        own = {"seed": variant, **LONGER, **over}
        return RunConfig.parse(merged(self.materials, own))

    def submit(self, variant: int | None = None, *, salt: str | None = None) -> int:
        """One more run, of which every stage is computed anew; its number."""
        which = self.dice.randrange(VARIANTS) if variant is None else variant
        config = self.config(which, salt=uuid.uuid4().hex[:12] if salt is None else salt)
        run_id = patience.patiently(lambda: api.submit_run(config).run_id, seconds=60)
        self.runs[run_id] = which
        return run_id

    def states(self) -> list[RunRow]:
        """The runs as the database has them; nothing while it is away."""
        with suppress(DatabaseError), reading() as session:
            filters = RunFilters(ids=tuple(self.runs))
            return list(queries.list_runs(session, filters=filters, after=None, limit=len(self.runs)).rows)
        return []

    def unfinished(self) -> int:
        """Runs that are neither done nor given up, -1 while nobody can say."""
        rows = self.states()
        return sum(row.status in ("queued", "running") for row in rows) if len(rows) == len(self.runs) else -1

    def stop(self) -> None:
        """SIGTERM to the supervisors; nothing of the scene may live on."""
        for one in self.living():
            one.terminate()
        for one in list(self.supervisors):
            with suppress(subprocess.TimeoutExpired):
                one.wait(90)
            if one.poll() is None:
                one.send_signal(signal.SIGKILL)
                one.wait(60)
        self.supervisors.clear()

    def marked(self) -> list[psutil.Process]:
        """Every living process that was started by this scene, whoever is its parent now."""
        found = []
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                if one.environ().get("CHAOS_MARK") == self.mark and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
        return found


@contextmanager
def scene(
    kind: str,
    materials: dict[str, Any],
    *,
    seed: int = 0,
    workers: int = 3,
    times: Mapping[str, Mapping[str, float]] = QUICK,
    home: Path | None = None,
) -> Iterator[Scene]:
    """An installation on this kind of database; this process is at home there. Nothing of it is left afterwards."""
    folder = home or Path(tempfile.mkdtemp(prefix="cwpo-chaos-", dir=servers.SHORT))
    redis, postgres = OwnRedis(), OwnPostgres() if kind == "postgres" else None
    own: Scene | None = None
    try:
        redis.start()
        if postgres is not None:
            postgres.start()
        address = f"sqlite:///{folder / 'cwpo.sqlite'}" if postgres is None else postgres.database()
        if postgres is None:
            upgrade(address)
        own = Scene(
            kind=kind, home=folder, redis=redis, postgres=postgres, address=address, materials=materials,
            dice=random.Random(seed), workers=workers, times=times,
        )  # fmt: skip
        with at_home(address, redis.url, folder):
            yield own
    finally:
        if own is not None:
            own.stop()
            for one in own.marked():
                with suppress(psutil.Error):
                    one.kill()
        redis.remove()
        if postgres is not None:
            postgres.remove()
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)


@contextmanager
def at_home(address: str, redis: str, home: Path) -> Iterator[None]:
    """This process works with that database, Redis and home for as long as the block lasts."""
    names = {"DATABASE_URL": address, "REDIS_URL": redis, "CWPO_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        patch.delenv("CWPO_PARENT_PID", raising=False)
        try:
            yield
        finally:
            database.engines().dispose()


def eventually(condition: Any, seconds: float, every: float = 0.1) -> None:
    wait(condition, seconds, every)
