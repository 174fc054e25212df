"""States of runs, stages, attempts and workers, and which may follow which."""

from db.errors import IllegalTransition

QUEUED = "queued"
RUNNING = "running"
DONE = "done"
FAILED = "failed"
CANCELLED = "cancelled"

STATUSES = (QUEUED, RUNNING, DONE, FAILED, CANCELLED)
LIVE = (QUEUED, RUNNING)

# A finished run comes back by a retry, a done one when its answers are scored again.
RUN_TRANSITIONS: dict[str, tuple[str, ...]] = {
    QUEUED: (RUNNING, DONE, FAILED, CANCELLED),
    RUNNING: (QUEUED, DONE, FAILED, CANCELLED),
    FAILED: (QUEUED,),
    CANCELLED: (QUEUED,),
    DONE: (QUEUED,),
}

# running -> queued: lease expired or released. done -> queued: its artifact was found missing.
STAGE_TRANSITIONS: dict[str, tuple[str, ...]] = {
    QUEUED: (RUNNING, CANCELLED),
    RUNNING: (DONE, FAILED, CANCELLED, QUEUED),
    FAILED: (QUEUED,),
    CANCELLED: (QUEUED,),
    DONE: (QUEUED,),
}

ATTEMPT_RUNNING = "running"
ATTEMPT_PUBLISHED = "published"
ATTEMPT_FAILED = "failed"
ATTEMPT_CANCELLED = "cancelled"
ATTEMPT_LOST = "lost"
ATTEMPT_REFUSED = "refused"
ATTEMPT_STATUSES = (
    ATTEMPT_RUNNING,
    ATTEMPT_PUBLISHED,
    ATTEMPT_FAILED,
    ATTEMPT_CANCELLED,
    ATTEMPT_LOST,
    ATTEMPT_REFUSED,
)

WORKER_IDLE = "idle"
WORKER_BUSY = "busy"
WORKER_LENT = "lent"  # its card belongs to the stage of another worker for now
WORKER_STOPPED = "stopped"

# What a heartbeat answers.
HELD = "held"
TAKEN = "taken"

# Which stage devices a worker of a device can serve; a GPU machine has a CPU too.
DEVICES: dict[str, tuple[str, ...]] = {"cpu": ("any", "cpu"), "gpu": ("any", "cpu", "gpu")}

# A worker silent for longer is dead: several times its heartbeat.
SILENT_SECONDS = 45.0


def device_kind(device: str) -> str:
    """cpu or gpu, of "cpu", "cuda:0", "gpu"."""
    return "cpu" if device == "cpu" else "gpu"


def stages_for(device: str) -> tuple[str, ...]:
    """Stage devices that a worker on `device` may claim."""
    return DEVICES[device_kind(device)]


def check_run(before: str, after: str) -> None:
    """Refuse a change of a run's status that the table does not allow."""
    _check("run", RUN_TRANSITIONS, before, after)


def check_stage(before: str, after: str) -> None:
    """Refuse a change of a stage's status that the table does not allow."""
    _check("stage", STAGE_TRANSITIONS, before, after)


def _check(what: str, table: dict[str, tuple[str, ...]], before: str, after: str) -> None:
    if before not in table:
        raise IllegalTransition(f"A {what} has no status {before!r}: the statuses are {', '.join(table)}.")
    if after not in table[before]:
        allowed = ", ".join(table[before]) or "nothing"
        raise IllegalTransition(f"A {before} {what} cannot become {after}: only {allowed} may follow.")
