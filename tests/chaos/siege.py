"""A siege: faults by a seeded schedule while runs are computed, each counted when it happened; then the invariants."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from db.errors import DatabaseError
from tests import clocks
from tests.chaos import kills, outages, people
from tests.chaos.invariants import Found, Watch, found_after
from tests.chaos.scene import DATABASES, Scene
from tests.chaos.services import wait

Fault = Callable[[Scene], bool | None]
BETWEEN = 0.4, 1.0  # seconds between two faults
WAITING = 2  # runs that wait or are computed at any moment of a siege


@dataclass(frozen=True)
class Kind:
    """A fault, on which databases there is such a one, and its part in a long siege."""

    fault: Fault
    databases: Sequence[str] = DATABASES
    weight: int = 1
    slow: bool = False  # a lease or a lock has to run out: few of them in a long siege


KINDS: Mapping[str, Kind] = {
    "SIGKILL of a job process in mid-stage": Kind(kills.kill_job, weight=60),
    "SIGKILL of a worker in mid-stage": Kind(kills.kill_worker, weight=20),
    "SIGKILL of a job process that starts": Kind(kills.kill_starting_job, weight=5),
    "SIGKILL of the reaper": Kind(kills.kill_reaper, weight=5),
    "SIGKILL of a supervisor": Kind(kills.kill_supervisor, weight=5),
    "SIGTERM of a supervisor in mid-training": Kind(kills.stop_supervisor),
    "SIGSTOP past the lease, then SIGCONT": Kind(kills.stop_past_lease, slow=True),
    "a second supervisor, killed": Kind(kills.double_worker),
    "more rings than stages": Kind(kills.double_rings),
    "checkpoint damaged, its training killed": Kind(kills.damage_checkpoint),
    "Redis: FLUSHALL": Kind(outages.flush_redis),
    "Redis: SIGKILL, started empty": Kind(outages.restart_redis),
    "Redis: away for seconds": Kind(outages.lose_redis),
    "Redis: out of memory": Kind(outages.fill_redis),
    "SQLite: locked for longer than anybody waits": Kind(outages.lock_sqlite, ("sqlite",), slow=True),
    "Postgres: waiting writers terminated": Kind(outages.throw_out_waiting, ("postgres",)),
    "Postgres: every connection terminated": Kind(outages.throw_out_all, ("postgres",)),
    "Postgres: no connection left": Kind(outages.use_up_connections, ("postgres",)),
    "Postgres: SIGKILL, started again": Kind(outages.kill_postgres, ("postgres",)),
    "the same submitted twice at once": Kind(people.submit_twice_at_once),
    "cancelled at a random moment": Kind(people.cancel),
}
KILLS = (kills.kill_job, kills.kill_worker, kills.kill_starting_job, kills.kill_reaper, kills.kill_supervisor)
MID_STAGE = (kills.kill_job, kills.kill_worker)  # each ends an attempt that has published nothing


@dataclass
class Siege:
    """Faults until the schedule is empty; runs are submitted so that there always is something to disturb."""

    scene: Scene
    counts: Counter[str] = field(default_factory=Counter)
    watch: Watch = field(default_factory=Watch)
    seconds: float = 0.0

    def run(self, schedule: Sequence[str], *, patience: float = 400.0) -> None:
        """Every fault of the schedule, in its order; one that has no victim yet is tried again. patience: seconds."""
        began = time.monotonic()
        self.scene.supervise()
        for name in schedule:
            self._feed()
            self._until_it_happened(name, patience)
            time.sleep(self.scene.dice.uniform(*BETWEEN))
        assert self.counts == Counter(schedule)
        self.seconds += time.monotonic() - began

    def wait(self, condition: Callable[[], object], seconds: float, every: float = 0.1) -> None:
        """Until it is true; stages are watched meanwhile. What waits otherwise sees nothing that is stuck."""

        def looked() -> object:
            self.watch.look()
            return condition()

        wait(looked, seconds, every)

    def end(self, expected: list[dict[str, str]], *, patience: float = 900.0) -> Found:
        """When all runs have ended: what was found."""
        deadline = clocks.monotonic() + patience
        while self.scene.unfinished() and clocks.monotonic() < deadline:
            self.watch.look()
            time.sleep(0.3)
        return found_after(self.scene, expected, self.watch)

    def report(self, found: Found) -> str:
        """What happened, in a few words."""
        return (
            f"{self.counts.total()} faults in {self.seconds:.0f} s, {found.runs} runs, {found.stages} stages, attempts "
            f"{found.attempts}, {found.resumed} resumed; at most {self.watch.longest:.1f} s without a holder"
        )

    def _feed(self) -> None:
        if not self.scene.runs:
            for _ in range(WAITING):
                self.scene.submit()
        elif (left := self.scene.unfinished()) >= 0:
            for _ in range(WAITING - left):
                self.scene.submit()

    def _until_it_happened(self, name: str, patience: float) -> None:
        deadline = clocks.monotonic() + patience
        while True:
            self.watch.look()
            try:
                happened = KINDS[name].fault(self.scene)
            except DatabaseError:  # still away since the fault before
                happened = None
            if happened is not None:
                assert happened, f"{name}: did not happen"
                self.counts[name] += 1
                return
            assert clocks.monotonic() < deadline, f"{name}: nobody to do it to within {patience:.0f} s"
            self._feed()
            time.sleep(0.1)


def names_on(database: str) -> list[str]:
    """The kinds of faults on this database."""
    return [name for name, kind in KINDS.items() if database in kind.databases]
