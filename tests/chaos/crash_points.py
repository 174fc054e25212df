"""A job process that dies at a write point, at every one of a whole run: the next one goes on, and nothing differs.

The run is computed once, stage by stage, with a copy of the installation before each stage. At a point the copy is put
back, a job process is started that kills itself there, then another that has to finish the stage. A process here is a
fork of this one, which has imported what stages need and done nothing else: claim, computation, publication and
doorbell are the product's own.

`python -m tests.chaos.crash_points sqlite connections --points 20 --seed 0`: a line in JSON for each kind says what
happened.
"""

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests import servers
from tests.chaos import crashing

ATTEMPTS = 4  # processes that may be needed to finish the stage
KINDS = {"sqlite": "sqlite", "postgres": "postgres", "connections": "postgres"}  # kind of points -> database
TRIES = 3  # a point near the end may not be reached again: threads are not the same twice


@dataclass
class Ground:
    """One installation, always at the same place, and copies of it."""

    database: str
    folder: Path
    server: str  # of Postgres
    redis: str
    name: str = field(default_factory=lambda: f"crash_{os.getpid()}")
    worker_id: int = 0

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def address(self) -> str:
        if self.database == "sqlite":
            return f"sqlite:///{self.home / 'cwpo.sqlite'}"
        return self.server.replace("/postgres?", f"/{self.name}?", 1)

    def begin(self) -> None:
        self.home.mkdir()
        if self.database == "postgres":
            servers.run_sql(self.server, f"CREATE DATABASE {self.name}")

    def keep(self, number: int) -> None:
        """A copy before stage `number`, in place of one that is there."""
        shutil.rmtree(self.folder / f"state-{number}", ignore_errors=True)
        shutil.copytree(self.home, self.folder / f"state-{number}")
        if self.database == "postgres":
            servers.run_sql(self.server, f"DROP DATABASE IF EXISTS {self.name}_{number}")
            servers.run_sql(self.server, f"CREATE DATABASE {self.name}_{number} TEMPLATE {self.name}")

    def put_back(self, number: int) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(self.folder / f"state-{number}", self.home)
        if self.database == "postgres":
            servers.run_sql(self.server, f"DROP DATABASE {self.name} WITH (FORCE)")
            servers.run_sql(self.server, f"CREATE DATABASE {self.name} TEMPLATE {self.name}_{number}")

    def end(self) -> None:
        if self.database == "postgres":
            with psycopg.connect(self.server) as connection:
                found = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{self.name}%",))
                names = [name for (name,) in found.fetchall()]
            for name in names:
                servers.run_sql(self.server, f"DROP DATABASE {name} WITH (FORCE)")

    def variables(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.address, "REDIS_URL": self.redis, "CWPO_HOME": str(self.home), "HF_HUB_OFFLINE": "1",
            "CWPO_DEVICE": "cpu", "CWPO_WORKER_ID": str(self.worker_id), "OMP_NUM_THREADS": "1",
        }  # fmt: skip

    def child(self, do: Callable[..., Any], *arguments: Any) -> tuple[int, Any]:
        """What a fork of this process gives: how it ended (-9: killed), and what `do` returned."""
        reader, writer = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._be_the_child(do, arguments, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), json.loads(said) if said else None

    def _be_the_child(self, do: Callable[..., Any], arguments: tuple[Any, ...], writer: int) -> None:
        code = 70
        try:
            log = os.open(self.folder / "children.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ.pop("CWPO_PARENT_PID", None)
            os.environ.update(self.variables())
            os.write(writer, json.dumps(do(self, *arguments)).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


@dataclass
class Passed:
    """What a pass over points found."""

    points: int = 0
    tried: int = 0
    recovered: int = 0
    not_reached: int = 0
    names: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "names": dict(self.names.most_common())}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "kinds", nargs="+", choices=KINDS, help="write points on a database, or connections terminated at statements"
    )
    parser.add_argument("--points", type=int, default=10**9, help="how many are drawn; all by default")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    _import_what_stages_need()
    wrong = False
    for kind in options.kinds:
        with _ground(KINDS[kind]) as ground:
            passed = a_pass(ground, kind, options)
            if passed.wrong:
                print((ground.folder / "children.log").read_text()[-6000:], file=sys.stderr)
        print(json.dumps(passed.as_json()), flush=True)
        wrong |= bool(passed.wrong)
    return int(wrong)


def main_line(ground: Ground, statements: bool) -> tuple[list[str], list[list[str]], list[Any]]:
    """The undisturbed run: by stage its name, its points, and what is true afterwards; a copy is kept before each."""
    code, ground.worker_id = ground.child(crashing.prepare)
    assert code == 0, (ground.folder / "children.log").read_text()
    points: list[list[str]] = []
    facts, kinds = [ground.child(crashing.facts)[1]], []
    while not facts[-1]["over"]:
        ground.keep(len(points))
        log = ground.folder / "points"
        log.unlink(missing_ok=True)
        code, _ = ground.child(crashing.attempt, str(log), 0, statements)
        assert code == 0, (ground.folder / "children.log").read_text()
        new = ground.child(crashing.facts)[1]
        if new["done"] == facts[-1]["done"]:
            continue
        points.append(log.read_text().splitlines())
        kinds.append(", ".join(sorted({*new["done"]} - {*facts[-1]["done"]})))
        facts.append(new)
    return kinds, points, facts


def a_pass(ground: Ground, kind: str, options: Any) -> Passed:
    """As many of all points as asked for, drawn without repetition."""
    statements = kind == "connections"
    stages, points, facts = main_line(ground, statements)
    places = [(stage, number) for stage, names in enumerate(points) for number in range(1, len(names) + 1)]
    passed = Passed(points=len(places))
    dice = random.Random(options.seed)
    for stage, number in sorted(dice.sample(places, min(options.points, len(places)))):
        passed.tried += 1
        for back in range(TRIES):
            name = points[stage][max(0, number - 1 - back)]
            about = f"{kind}, {stages[stage]}, point {number - back} of {len(points[stage])}: {name}"
            ground.put_back(stage)
            wrong = at_one_point(ground, max(1, number - back), statements, facts[stage + 1])
            if wrong != NOT_REACHED:
                break
        passed.not_reached += wrong == NOT_REACHED
        passed.names[name] += 1
        passed.recovered += not wrong
        if wrong and wrong != NOT_REACHED:
            passed.wrong.append(f"{about}: {wrong}")
            print(passed.wrong[-1], file=sys.stderr, flush=True)
    return passed


NOT_REACHED = "not reached"


def at_one_point(ground: Ground, number: int, statements: bool, expected: Any) -> str:
    """What is wrong after the fault at this point and all that followed; empty where nothing is."""
    log = ground.folder / "points"
    log.unlink(missing_ok=True)
    code, _ = ground.child(crashing.attempt, str(log), number, statements)
    happened = len(log.read_text().splitlines()) >= number
    if not happened:
        return NOT_REACHED
    if not statements and code != -signal.SIGKILL:
        return f"the process ended with {code}, and not by its own SIGKILL"
    if statements and code != 0:
        return f"the process ended with {code}"
    for _ in range(ATTEMPTS):
        _, found = ground.child(crashing.facts)
        if found is None:
            return "the database cannot be read"
        if len(found["done"]) >= len(expected["done"]):
            break
        ground.child(crashing.attempt, str(log), 0, statements)
    else:
        return f"not done after {ATTEMPTS} more processes: {found['errors']}"
    if statements and found["attempts"] > expected["attempts"] + 1:  # one more where the claim itself was in doubt
        return f"{found['attempts']} attempts in place of {expected['attempts']}"
    different = [name for name in ("done", "published", "files", "rows", "errors") if found[name] != expected[name]]
    return "; ".join(f"{name} differ: {_where(found[name], expected[name])}" for name in different)


def _where(found: Any, expected: Any) -> str:
    """Where two facts differ."""
    if not isinstance(found, dict):
        return f"{found} in place of {expected}"
    return ", ".join(name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name))


@contextmanager
def _ground(database: str) -> Iterator[Ground]:
    with tempfile.TemporaryDirectory(prefix="cwpo-points-", dir=servers.SHORT) as folder, servers.redis() as redis:
        if database == "sqlite":
            ground = Ground(database=database, folder=Path(folder), server="", redis=redis)
            ground.begin()
            yield ground
            return
        with servers.postgres() as server:
            ground = Ground(database=database, folder=Path(folder), server=server, redis=redis)
            ground.begin()
            try:
                yield ground
            finally:
                ground.end()


def _import_what_stages_need() -> None:
    """Once, before the first fork; no thread may have begun by then."""
    import torch

    from cwpo.stages.kinds import KINDS

    torch.set_num_threads(1)
    for kind in KINDS.values():
        importlib.import_module(kind.function.partition(":")[0])
    importlib.import_module("transformers.models.opt.modeling_opt")
    importlib.import_module("workers.queue.publish")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
