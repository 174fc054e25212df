"""Faults of processes: killed, stopped or doubled. Each answers whether it happened; None: nobody to do it to."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
from sqlalchemy import select

from db.models import Attempt, Stage, Worker
from db.status import ATTEMPT_PUBLISHED, RUNNING
from tests import clocks
from tests.chaos.scene import Scene
from tests.chaos.services import wait
from tests.workers.workplace import lives
from workers.machine.database import reading
from workers.queue import doorbell

STARTED = 1.5  # seconds after which a process is past its imports, or nearly
LATER = 1.0  # seconds for which one that is seen at a stage is let go on, at most
DEAD = 20.0  # in which a killed process and what hangs on it have to end


def kill_job(scene: Scene) -> bool | None:
    """SIGKILL of a job process in the middle of a stage."""
    return _kill_in_a_stage(scene, lambda horse: horse)


def kill_worker(scene: Scene) -> bool | None:
    """SIGKILL of a worker whose job process is in the middle of a stage, and ends with it."""
    return _kill_in_a_stage(scene, lambda horse: horse.parent())


def kill_starting_job(scene: Scene) -> bool | None:
    """SIGKILL of a job process, whatever it is at: mostly it is being loaded and holds no stage yet."""
    return _kill(scene, "horse")


def kill_reaper(scene: Scene) -> bool | None:
    """SIGKILL of the reaper."""
    return _kill(scene, "reaper")


def kill_supervisor(scene: Scene) -> bool | None:
    """SIGKILL of a supervisor; everything below it ends, and another one is started."""
    process = scene.dice.choice(scene.living())
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(DEAD)
    wait(lambda: not any(map(lives, family)), DEAD)
    scene.supervise()
    return True


def stop_supervisor(scene: Scene) -> bool | None:
    """SIGTERM of a supervisor in the middle of the work: jobs write a checkpoint; another one is started."""
    if not scene.processes("horse", older=STARTED):
        return None
    process = scene.dice.choice(scene.living())
    process.terminate()
    process.wait(90)
    scene.supervise()
    return True


def stop_past_lease(scene: Scene) -> bool | None:
    """SIGSTOP of a job process until its stage is somebody else's, then SIGCONT: what it publishes late is refused."""
    found = _computing(scene)
    if found is None:
        return None
    horse, stage_id, token = found
    over = False
    with suppress(psutil.NoSuchProcess):
        horse.send_signal(signal.SIGSTOP)
        deadline = clocks.monotonic() + scene.lease + 60
        # stopped with SQLite's lock in its hand, it holds up everybody
        while not over and clocks.monotonic() < deadline:
            time.sleep(0.2)
            over = _is_over(stage_id, token)
        horse.send_signal(signal.SIGCONT)
    return over or None


def double_worker(scene: Scene) -> bool | None:
    """A second supervisor over the same home and database, killed a little later."""
    second = scene.supervise(WORKERS="1")
    wait(lambda: psutil.Process(second.pid).children(), 120)
    time.sleep(scene.dice.uniform(1.0, 3.0))
    family = psutil.Process(second.pid).children(recursive=True)
    second.kill()
    second.wait(DEAD)
    wait(lambda: not any(map(lives, family)), DEAD)
    return bool(family)


def double_rings(scene: Scene) -> bool | None:
    """More rings than there are stages."""
    with scene.redis.client() as redis:
        return doorbell.ring("cpu", doorbell.queue_of("cpu", redis).count + 4, redis) > 0


def damage_checkpoint(scene: Scene) -> bool | None:
    """One bit of a checkpoint turned over or its end cut off, then its training killed, so that it is read."""
    folders = [one for one in (scene.home / "artifacts" / "checkpoints").glob("*/step-*") if one.suffix != ".partial"]
    horses = scene.processes("horse")
    files = [file for folder in folders for file in folder.glob("*") if file.is_file()]
    if not files or not horses:
        return None
    file = scene.dice.choice(files)
    try:
        content = bytearray(file.read_bytes())
        at = scene.dice.randrange(len(content))
        content[at] ^= 1 << scene.dice.randrange(8)
        with file.open("r+b") as opened:  # as a disk does it: the file stays the same one
            opened.write(content)
            if scene.dice.random() < 0.5:
                opened.truncate(at)
    except (FileNotFoundError, ValueError):
        return None
    for one in horses:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    return True


def _kill(scene: Scene, role: str) -> bool | None:
    victims = scene.processes(role, older=STARTED)
    if not victims:
        return None
    victim = scene.dice.choice(victims)
    try:
        victim.kill()
    except psutil.NoSuchProcess:
        return None
    wait(lambda: not lives(victim), DEAD, every=0.01)
    return True


def _kill_in_a_stage(scene: Scene, whom: Callable[[psutil.Process], psutil.Process | None]) -> bool | None:
    """At a moment that nobody chose. It counts where the attempt that the victim was at has published nothing."""
    found = _computing(scene)
    if found is None:
        return None
    horse, stage_id, token = found
    time.sleep(scene.dice.uniform(0.0, LATER))
    try:
        victim = whom(horse)
        if victim is None or _is_over(stage_id, token):
            return None
        victim.kill()
    except psutil.NoSuchProcess:
        return None
    wait(lambda: not lives(victim) and not lives(horse), DEAD, every=0.01)
    with reading() as session:
        said = session.scalar(select(Attempt.status).where(Attempt.stage_id == stage_id, Attempt.token == token))
    return True if said != ATTEMPT_PUBLISHED else None


def _computing(scene: Scene) -> tuple[psutil.Process, int, int] | None:
    """A job process that holds a stage, the stage and its token."""
    with reading() as session:
        held = session.execute(
            select(Worker.pid, Stage.id, Stage.token)
            .join(Stage, Stage.worker_id == Worker.id)
            .join(Attempt, Attempt.id == Stage.current_attempt_id)
            .where(Stage.status == RUNNING)
        ).all()
    jobs = {parent: one for one in scene.processes("horse") if (parent := _parent(one)) is not None}
    found = [(jobs[row.pid], row.id, row.token) for row in held if row.pid in jobs]
    return scene.dice.choice(found) if found else None


def _parent(process: psutil.Process) -> int | None:
    with suppress(psutil.Error):
        return process.ppid()
    return None


def _is_over(stage_id: int, token: int) -> bool:
    """Whether the stage is not held under this token any more."""
    with reading() as session:
        stage = session.get(Stage, stage_id)
        return stage is None or stage.token != token or stage.status != RUNNING
