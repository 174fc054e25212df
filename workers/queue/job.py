"""The job: claim the most urgent ready stage, execute, publish, claim the next. torch is imported after a claim."""

import contextlib
import gc
import itertools
import logging
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from importlib import metadata
from types import FrameType
from typing import Any

from sqlalchemy.orm import Session

from cwpo.config.environment import settings
from cwpo.config.parts import ExecutionConfig
from cwpo.config.store import STORE_PATIENCE
from cwpo.errors import ArtifactError, Cancelled, RanksLost, StoreUnreachable, is_out_of_memory, sentence_of
from cwpo.full_disk import waiting, when_room
from cwpo.parallel.killed import Cause
from cwpo.redaction import without_secrets
from cwpo.report.log_lines import summary_line
from cwpo.report.numbers import duration
from cwpo.stages.context import Execution
from cwpo.stages.execute import StageResult
from cwpo.stages.kinds import kind_named, stored_settings
from cwpo.stages.settings import Settings
from db.errors import DatabaseError, DatabasePasses, DatabaseUnavailable, StaleToken
from db.records import ClaimedStage
from db.repositories import cards, leases, stages
from db.repositories import workers as worker_rows
from db.status import WORKER_BUSY
from workers.machine import logs, patience
from workers.machine.database import reading, writing, written
from workers.machine.paths import store
from workers.machine.program import program
from workers.queue import scheduler
from workers.queue.ends import memory
from workers.queue.lease import LEASE_SECONDS, Lease, end, set_idle
from workers.queue.reporter import BufferingReporter, warnings_in

log = logging.getLogger(__name__)

WORK_SECONDS = 15 * 60.0  # after this a fresh process goes on: no slow leak lives long
WAIT_SECONDS = 1.0  # how long a process that has torch loaded waits for a stage another one is about to make ready
_LOOK_EVERY = 0.1
_RECORDED = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")


class Shutdown:
    """Set by SIGTERM: the running stage writes a checkpoint and stops."""

    def __init__(self) -> None:
        self._heard = False
        self._own_process = False

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._hear)
        self._own_process = True

    def asked(self) -> bool:
        return self._heard

    def leave(self) -> None:
        """End this job process now: the database knows all, and Redis, to which RQ would report, may be gone."""
        if self._heard and self._own_process:
            logging.shutdown()
            os._exit(0)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._heard = True


def work(*rung: object) -> int:
    """Do stages until none is ready, 15 minutes are over, or one fails or is stopped by a signal. How many were claimed
    and did not fail: those that were cancelled or given back count too.

    The database decides which stage is claimed. `rung`: what rings of earlier versions carry, of no meaning.
    """
    shutdown = Shutdown()
    shutdown.listen()
    worker_id, device = settings.own_worker, settings.worker_device
    deadline = time.monotonic() + WORK_SECONDS
    finished = 0
    try:
        while time.monotonic() < deadline and not shutdown.asked():
            claimed = _claim(worker_id, device, wait=WAIT_SECONDS if finished else 0.0)
            if claimed is None:
                break
            _quietly(scheduler.ring_idle)
            with logs.about(run=_run_of(claimed), stage=f"{claimed.kind}#{claimed.stage_id}"):
                _perform(worker_id, device, claimed, shutdown)
            finished += 1
    except DatabasePasses as error:
        log.error("nothing was claimed: %s", error)
    finally:
        if not shutdown.asked():
            _quietly(lambda: set_idle(worker_id))
            _quietly(scheduler.ring_idle)
    shutdown.leave()
    return finished


def _quietly(do: Callable[[], object]) -> None:
    """What is told beside the work: where the database stays away, the reaper and the next beat make up for it."""
    try:
        do()
    except DatabaseUnavailable as error:
        log.warning("not told: %s", error)


def _run_of(claimed: ClaimedStage) -> int | None:
    """The most urgent live run that wants the stage: whose log lines these are; None also where nobody can say."""
    with contextlib.suppress(DatabaseUnavailable), reading() as session:
        return leases.most_urgent_run(session, claimed.stage_id)
    return None


def _claim(worker_id: int, device: str, *, wait: float) -> ClaimedStage | None:
    """The most urgent ready stage; within `wait` seconds also one that becomes ready meanwhile."""
    deadline = time.monotonic() + wait
    while True:
        if (claimed := _claim_patiently(worker_id, device)) is not None:
            return claimed
        if time.monotonic() >= deadline:
            return None
        time.sleep(_LOOK_EVERY)


def _claim_patiently(worker_id: int, device: str) -> ClaimedStage | None:
    """The most urgent ready stage; what passes is waited out."""
    again = False

    def once() -> ClaimedStage | None:
        nonlocal again
        doubt, again = again, True
        with reading() as session:
            ready = cards.start_for(session, worker_id, device) is not None
        return _claim_ready(worker_id, device, again=doubt) if ready or doubt else None

    return patience.patiently(once)


def _claim_ready(worker_id: int, device: str, *, again: bool) -> ClaimedStage | None:
    """again: after a fault in which a claim of this worker may have been committed; it is given back first."""
    with writing() as session:
        for stage_id, token in leases.held_by(session, worker_id) if again else ():
            stages.release(session, stage_id, token, cause="The connection broke while the stage was claimed.")
        claimed = stages.claim(session, worker_id, device, LEASE_SECONDS, environment=_environment())
        if claimed is not None:
            worker_rows.beat(session, worker_id, state=WORKER_BUSY, stage_id=claimed.stage_id)
    return claimed


def _perform(worker_id: int, device: str, claimed: ClaimedStage, shutdown: Shutdown) -> None:
    """One stage from claim to publication; every way it can end is recorded, then what is unexpected is raised."""
    reporter = BufferingReporter()
    log.info("claimed, attempt %d", claimed.token)
    reporter.log(_begins(device, claimed))
    with Lease(worker_id, claimed, reporter, shutdown.asked) as lease, warnings_in(reporter):
        try:
            _execute_and_publish(device, claimed, reporter, lease)
        except Cancelled:
            _stopped(claimed, lease)
        except StaleToken as error:
            log.warning("refused: %s", error)
            cause = without_secrets(str(error))
            _record(lambda session: stages.refuse(session, claimed.stage_id, claimed.token, cause=cause))
        except RanksLost as error:
            _lost(claimed, error, reporter, lease)
        except (StoreUnreachable, DatabasePasses) as error:
            _given_back(claimed, error)
        except ArtifactError as error:
            if not _reopen_missing_inputs(claimed):
                _failed(claimed, error, reporter, lease)
                raise
        except Exception as error:
            if is_out_of_memory(error):
                _ran_out(claimed, error, reporter, lease, gpu=device == "gpu")
            else:
                _failed(claimed, error, reporter, lease)
            raise  # this process ends: the next stage begins with all of its memory


def _execute_and_publish(device: str, claimed: ClaimedStage, reporter: BufferingReporter, lease: Lease) -> None:
    from workers.queue.publish import publish

    of_stage = stored_settings(claimed.kind, claimed.config)
    wishes, less = lease.patiently(lambda: _wishes(claimed, of_stage))
    if less:
        reporter.noted(less)
    from cwpo.models.sizes.disk import in_room
    from cwpo.parallel.launch import compute_on
    from cwpo.stages.execute import execute

    in_ranks = compute_on(_places(claimed, device, wishes.device), of_stage)
    if in_ranks:
        _leave_the_cards()
    where = "cpu" if in_ranks else _torch_device(device, claimed.kind, wishes.device)
    place = store(patience=STORE_PATIENCE, should_stop=lease.should_stop)
    shard = memory.splits(claimed.cards, of_stage, wishes) if in_ranks else None
    compute = partial(
        execute,
        store=place,
        fingerprint=claimed.fingerprint,
        settings=of_stage,
        inputs=claimed.inputs,
        execution=replace(Execution.of(wishes, where), shard=shard),
        reporter=reporter,
        should_stop=lease.should_stop,
        compute=in_room(in_ranks),
        version=claimed.version,
    )
    tries = itertools.count()

    def compute_once() -> StageResult:
        if next(tries):  # the step that met a full disk has no patience: again, from its checkpoint
            gc.collect()
            _leave_the_cards()
        return compute()

    with waiting(place.root, reporter.log, lease.should_stop):
        result = when_room(compute_once)
    _say_result(claimed, result, reporter)
    publish(place, claimed, result, reporter, lease)
    log.info("published, %.1f s%s", result.seconds, "" if result.computed else ", found in the artifact store")


def _wishes(claimed: ClaimedStage, of_stage: Settings) -> tuple[ExecutionConfig, str]:
    """With what it is executed, and why with less than was asked for."""
    with reading() as session:
        found = memory.execution_of(session, claimed.stage_id, of_stage)
        return found, memory.said_of(session, claimed.stage_id, of_stage, found)


def _begins(device: str, claimed: ClaimedStage) -> str:
    """The first line of an attempt."""
    versions = ", ".join(f"{name} {version}" for name, version in _environment().items() if name in _RECORDED)
    where = f"{len(claimed.cards)} cards" if len(claimed.cards) > 1 else device
    return (
        f"Started: attempt {claimed.token} on {platform.node()}, {where}; {program()}, "
        f"python {platform.python_version()}, {versions}."
    )


def _say_result(claimed: ClaimedStage, result: StageResult, reporter: BufferingReporter) -> None:
    """The last lines of a stage that went well."""
    if not result.computed:
        reporter.log("Found in the artifact store; nothing was computed.")
    if line := summary_line(claimed.kind, result.summary):
        reporter.log(line)
    reporter.log(f"Finished after {duration(result.seconds)}.")


def _places(claimed: ClaimedStage, device: str, wish: str) -> tuple[str, ...]:
    """Where one rank each may compute: the cards that were claimed; or the CPU, as often as it was claimed or
    somebody asks for."""
    if device == "cpu" or wish == "cpu":
        return ("",) * (settings.cpu_ranks or claimed.cards.count("cpu"))
    return claimed.cards


def _leave_the_cards() -> None:
    """Give back what an earlier stage of this process holds on a card that a rank is about to compute on."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def _torch_device(device: str, kind: str, wish: str) -> str:
    """Set threads once torch is needed: one per CPU worker, because there is one worker per core."""
    on_cpu = device == "cpu" or wish == "cpu"
    if not kind_named(kind).light and on_cpu and device == "cpu":
        import torch

        torch.set_num_threads(1)
    return "cpu" if on_cpu else "cuda:0"


def _stopped(claimed: ClaimedStage, lease: Lease) -> None:
    """Cancelled stages are closed in the database already, lost ones have another owner; ours goes back."""
    log.info("stopped: %s", lease.reason)
    if lease.reason == "shutdown":
        _record(
            lambda session: stages.release(session, claimed.stage_id, claimed.token, cause="The worker was stopped.")
        )


def _lost(claimed: ClaimedStage, error: RanksLost, reporter: BufferingReporter, lease: Lease) -> None:
    """Its processes were killed or hung: the attempt counts as one whose job process was."""
    log.error("lost: %s", error)
    reporter.log("\n".join([str(error), *getattr(error, "__notes__", ())]))
    _flush(lease)
    cause = Cause.OUTSIDE if error.outside else Cause.ITSELF
    said = without_secrets(str(error))
    _record(lambda session: end(session, claimed.stage_id, claimed.token, cause, said, gpu=False))


def _ran_out(
    claimed: ClaimedStage, error: Exception, reporter: BufferingReporter, lease: Lease, *, gpu: bool
) -> None:  # fmt: skip
    """Once more with less, or the sentence about memory; what the frames of the error hold is given back before."""
    with contextlib.suppress(MemoryError):
        reporter.log("".join(traceback.format_exception(error)))
    traceback.clear_frames(error.__traceback__)
    _leave_the_cards()
    where = memory.where_of(error)
    _flush(lease)

    def write(session: Session) -> None:
        said = memory.ran_out(session, claimed.stage_id, claimed.token, where=where, gpu=gpu, cards=claimed.cards)
        log.error("%s", said)

    _record(write)


def _given_back(claimed: ClaimedStage, error: StoreUnreachable | DatabasePasses) -> None:
    """What was computed stays here; whoever takes the stage next goes on as soon as the store or database answers."""
    log.warning("given back: %s", error)
    _record(lambda session: stages.release(session, claimed.stage_id, claimed.token, cause=without_secrets(str(error))))


def _record(write: Callable[[Session], object]) -> None:
    """Write how a stage ended, unless it is another worker's by now. Where the database stays away, the end of the
    lease says it."""

    try:
        written(write)
    except StaleToken:
        return
    except DatabaseUnavailable as error:
        log.error("not recorded: %s", error)


def _flush(lease: Lease) -> None:
    """The last lines and points, as far as they can be written."""
    with contextlib.suppress(DatabaseError):
        lease.patiently(lease.flush)


def _failed(claimed: ClaimedStage, error: Exception, reporter: BufferingReporter, lease: Lease) -> None:
    """The sentence goes to the runs, the traceback to the log."""
    log.error("failed: %s", sentence_of(error))
    reporter.log("".join(traceback.format_exception(error)))
    _flush(lease)
    _record(lambda session: stages.fail(session, claimed.stage_id, claimed.token, error=sentence_of(error)))


def _reopen_missing_inputs(claimed: ClaimedStage) -> bool:
    """When an input's artifact is gone, its stage is computed again and this one waits; False when none is. True also
    where nobody can say, because the store does not answer: the stage was given back."""
    place = store(patience=STORE_PATIENCE)
    try:
        gone = [fingerprint for fingerprint in claimed.inputs.values() if place.find(fingerprint) is None]
    except StoreUnreachable as error:
        _given_back(claimed, error)
        return True
    if gone:
        log.warning("inputs are gone and computed again: %s", ", ".join(one[:12] for one in gone))
        _record(lambda session: _reopen(session, claimed, gone))
    return bool(gone)


def _reopen(session: Session, claimed: ClaimedStage, gone: list[str]) -> None:
    stages.release(session, claimed.stage_id, claimed.token, cause="An input's artifact is missing or damaged.")
    stages.reopen(session, gone)


@cache
def _environment() -> dict[str, Any]:
    """What computed it: versions without importing the libraries."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": settings.threads,
        "cwpo": program(),
        **{name: metadata.version(name) for name in _RECORDED},
    }
