"""What has to be true whatever happened, counted: 0 lost, 0 published twice, 0 stuck, 0 corrupt, 0 left behind."""

import re
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

import psutil
from sqlalchemy import func, select

from cwpo.artifacts import ArtifactStore
from db.errors import DatabaseError
from db.models import Attempt, Outcome, Stage, Worker
from db.status import ATTEMPT_PUBLISHED, DONE, RUNNING
from tests import clocks
from tests.chaos.outcome import differences, outcome
from tests.chaos.scene import Scene
from workers.cli import doctor
from workers.machine.database import reading
from workers.machine.disk import leftovers

TRACEBACK = "Traceback (most recent call last)"
GONE = 20.0  # seconds that processes have to end
STUCK = 60.0  # seconds that a stage may be "running" without a living job process
_NOT_OURS = ("storage",)  # of doctor: says how full this machine's disk is


@dataclass
class Found:
    """Counts that have to be zero, what was wrong in words, and how much there was."""

    lost: int = 0
    published_twice: int = 0
    stuck: int = 0
    corrupt: int = 0
    doctor: int = 0
    orphans: int = 0
    tracebacks: int = 0
    runs: int = 0
    stages: int = 0
    resumed: int = 0  # attempts that went on from a checkpoint
    attempts: dict[str, int] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def wrong(self) -> dict[str, int]:
        """The counts that are not zero."""
        names = ("lost", "published_twice", "stuck", "corrupt", "doctor", "orphans", "tracebacks")
        return {name: value for name in names if (value := getattr(self, name))}

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass
class Watch:
    """Looks, from time to time, for stages that run without anybody who computes them: their worker has ended, or has
    no job process. `longest`: seconds without one, at most."""

    since: dict[tuple[int, int], float] = field(default_factory=dict)
    longest: float = 0.0
    stuck: set[tuple[int, int]] = field(default_factory=set)

    def look(self) -> None:
        """Nothing is said while the database is away."""
        try:
            with reading() as session:
                held = session.execute(
                    select(Stage.id, Stage.token, Worker.pid)
                    .outerjoin(Worker, Worker.id == Stage.worker_id)
                    .where(Stage.status == RUNNING)
                ).all()
        except DatabaseError:
            return
        at = clocks.monotonic()
        alone = {(row.id, row.token) for row in held if not _has_job(row.pid)}
        self.since = {one: self.since.get(one, at) for one in alone}
        for one, began in self.since.items():
            self.longest = max(self.longest, at - began)
            if at - began > STUCK:
                self.stuck.add(one)


def _has_job(pid: int | None) -> bool:
    """Whether the worker with this process lives, and a child of it, its job process."""
    try:
        family = [] if pid is None else [worker := psutil.Process(pid), *worker.children()]
        return len(family) > 1 and all(one.status() != psutil.STATUS_ZOMBIE for one in family)
    except psutil.NoSuchProcess:  # ended meanwhile: the next look sees what came after
        return False


def found_after(scene: Scene, expected: list[dict[str, str]], watch: Watch) -> Found:
    """Everything about a scene whose runs have ended, its workers still there."""
    found = Found(runs=len(scene.runs), stuck=len(watch.stuck))
    _runs(scene, expected, found)
    _publications(found)
    _examined(scene, found)
    scene.stop()
    left = _left(scene)
    found.orphans += len(left)
    found.words += [f"still alive: {' '.join(one.cmdline())}" for one in left]
    _folders(scene, found)
    said = scene.log.read_text(errors="replace")
    found.tracebacks = said.count(TRACEBACK)
    found.words += [f"traceback, {number} times: {line}" for line, number in _headed(said).most_common(8)]
    if found.tracebacks:
        at = said.index(TRACEBACK)
        found.words.append(said[max(0, at - 600) : at + 3000])
    return found


def _headed(said: str) -> Counter[str]:
    """What the lines before tracebacks say, without time and numbers."""
    lines = said.splitlines()
    heads = [lines[at - 1] for at, line in enumerate(lines) if at and TRACEBACK in line]
    return Counter(re.sub(r"\d[\w:.-]*|vm-\S+", "…", head)[:150] for head in heads)


def _left(scene: Scene) -> list[psutil.Process]:
    """Processes of the scene that live for some seconds more than they should."""
    deadline = clocks.monotonic() + GONE
    while (left := scene.marked()) and clocks.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _runs(scene: Scene, expected: list[dict[str, str]], found: Found) -> None:
    """Done, or cancelled where that was asked; and what came out of each is what comes out undisturbed."""
    rows = {row.id: row for row in scene.states()}
    for run_id, variant in scene.runs.items():
        row = rows.get(run_id)
        status = None if row is None else row.status
        if status == "done":
            different = differences(outcome(run_id, scene.home), expected[variant])
            found.corrupt += bool(different)
            found.words += [f"run {run_id} differs in {', '.join(different)}"] if different else []
        elif not (status == "cancelled" and run_id in scene.given_up):
            found.lost += 1
            found.words.append(f"run {run_id} is {status}: {row.error if row else ''}")


def _publications(found: Found) -> None:
    """Each done stage was published by one attempt, and rows are of that attempt."""
    with reading() as session:
        stages = {
            row.id: row
            for row in session.execute(select(Stage.id, Stage.status, Stage.published_attempt_id, Stage.fingerprint))
        }
        attempts = session.execute(select(Attempt.id, Attempt.stage_id, Attempt.status, Attempt.first_step)).all()
        rows = session.execute(
            select(Outcome.stage_id, func.count(func.distinct(Outcome.attempt_id))).group_by(Outcome.stage_id)
        ).all()
    found.stages = sum(row.status == DONE for row in stages.values())
    found.attempts = dict(Counter(row.status for row in attempts))
    found.resumed = sum(bool(row.first_step) for row in attempts)
    published = Counter(stages[row.stage_id].fingerprint for row in attempts if row.status == ATTEMPT_PUBLISHED)
    twice = [fingerprint for fingerprint, count in published.items() if count != 1]
    unpublished = [row.id for row in stages.values() if row.status == DONE and not published[row.fingerprint]]
    mixed = [stage_id for stage_id, count in rows if count != 1]
    found.published_twice = len(twice) + len(mixed)
    found.lost += len(unpublished)
    found.words += [f"published more than once: {one[:12]}" for one in twice]
    found.words += [f"rows of several attempts: stage {one}" for one in mixed]
    found.words += [f"done without a publication: stage {one}" for one in unpublished]


def _examined(scene: Scene, found: Found) -> None:
    """`cwpo doctor`, and every artifact against its checksums."""
    store = ArtifactStore(scene.home / "artifacts")
    damaged = [one for one in store.fingerprints() if store.damage(one)]
    found.corrupt += len(damaged)
    bad = [one for one in doctor.examine() if not one.ok and one.about not in _NOT_OURS]
    found.doctor = len(bad)
    found.words += [f"doctor: {one.about}: {one.text}" for one in bad]


def _folders(scene: Scene, found: Found) -> None:
    """What kills left half-made, `cwpo gc` finds and removes; nothing of it is left then."""
    kinds = (leftovers.UNFINISHED, leftovers.CHECKPOINTS)
    leftovers.remove(leftovers.find(kinds, days=0))
    store = scene.home / "artifacts"
    left = [*(store / "tmp").glob("*"), *(one for one in (store / "checkpoints").glob("*") if any(one.iterdir()))]
    found.orphans += len(left)
    found.words += [f"left behind: {one.relative_to(scene.home)}" for one in left]
