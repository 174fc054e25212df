"""Runs that ended are told: found, written down once for each address, and sent until they arrive. Never in the way of
a stage: a thread of the reaper's process does it, and whatever goes wrong here is a line in the log."""

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from cwpo.config.environment import settings
from db.errors import DatabaseError, DatabasePasses
from db.queries.people import keeping as reads
from db.records.keeping import EndedRun
from db.repositories.keeping import notices
from db.status import DONE, FAILED
from workers.machine import patience
from workers.machine.database import reading, writing, written
from workers.machine.paths import home
from workers.machine.state_files import said_of_stack
from workers.notices import message
from workers.notices.post import WHOLE_SECONDS, NotSent, post
from workers.notices.targets import Target

log = logging.getLogger(__name__)

EVERY = 3.0  # seconds between looks
COMMITTED_WITHIN = timedelta(minutes=5)
LOOK_NOTED_EVERY = 20  # looks: a minute
MOST_AT_ONCE = 20


class Teller:
    """What one process knows: to whom, and since when runs that end are news."""

    def __init__(self, targets: Sequence[Target], *, whole: float = WHOLE_SECONDS) -> None:
        self.targets = {target.hash: target for target in targets}
        self._whole = whole
        self._since: datetime | None = None
        self._looks = 0

    def once(self) -> int:
        """Find what ended, then send what is due; how many messages arrived."""
        self._look()
        return sum(self._send() for _ in range(MOST_AT_ONCE) if self._waits())

    def _look(self) -> None:
        if self._since is None:
            with writing() as session:
                self._since = notices.looked_since(session)
        self._looks += 1
        with reading() as session:
            ended = reads.ended_runs(session, self._since)
            bodies = news(session, ended) if ended else {}
        if bodies or self._looks % LOOK_NOTED_EVERY == 0:
            with writing() as session:
                notices.add(session, bodies, self.targets)
                notices.looked(session)
                notices.forget_old(session)
        if ended:  # a transaction that said a time and is not committed yet is younger than this
            self._since = max(self._since, ended[-1].finished_at - COMMITTED_WITHIN)

    def _waits(self) -> bool:
        with reading() as session:
            return notices.is_due(session, self.targets)

    def _send(self) -> bool:
        """One message: no transaction is open while the other side takes its time."""
        with writing() as session:
            taken = notices.take(session, self.targets)
        if taken is None:
            return False
        due = taken
        target = self.targets[due.target]
        try:
            post(target, due.body, whole=self._whole)
        except NotSent as error:
            log.warning("message to %s: %s", target.shown, error)
            why = str(error)
            written(lambda session: notices.failed(session, due, why))
            return False
        written(lambda session: notices.sent(session, due.id))
        return True


def start(targets: Sequence[Target], stop: threading.Event) -> threading.Thread | None:
    """A thread that tells until `stop`; None where nobody is to be told."""
    if not targets:
        return None
    teller = Teller(targets)
    thread = threading.Thread(target=_run, args=(teller, stop), name="messages", daemon=True)
    thread.start()
    return thread


def _run(teller: Teller, stop: threading.Event) -> None:
    while not stop.wait(EVERY):
        try:
            teller.once()
        except DatabasePasses as error:
            patience.say_away(log, "%s", error)
        except DatabaseError as error:
            log.warning("%s", error)
        except Exception:
            log.exception("messages: a look failed; the next one follows")


def news(session: Session, ended: Sequence[EndedRun]) -> dict[str, Mapping[str, Any]]:
    """Messages that nobody wrote yet about these runs, by key. Runs that somebody cancelled are no news; those of a
    sweep are told together when the last one ended."""
    alone = {key_of(run): run for run in ended if not run.sweep and run.status in (DONE, FAILED)}
    newest = {run.sweep: run for run in ended if run.sweep}  # of each sweep the one that ended last
    told = notices.told(session, [*alone, *map(key_of_sweep, newest.values())])
    web = web_address()
    fresh = reads.with_results(session, [run for key, run in alone.items() if key not in told])
    bodies: dict[str, Mapping[str, Any]] = {key_of(run): message.of_run(run, web) for run in fresh}
    for sweep, last in newest.items():
        key = key_of_sweep(last)
        runs = reads.sweep_runs(session, sweep) if sweep and key not in told else None
        if sweep and runs and {run.status for run in runs} & {DONE, FAILED}:
            bodies[key] = message.of_sweep(sweep, runs, web)
    return {key: message.with_id(key, body) for key, body in bodies.items()}


def key_of(run: EndedRun) -> str:
    """One end of one run: a retried one ends again."""
    return f"run:{run.id}:{run.status}:{run.finished_at.isoformat()}"


def key_of_sweep(last: EndedRun) -> str:
    """One end of a sweep: its last run with its time."""
    return f"sweep:{(last.sweep or '')[:200]}:{last.id}:{last.finished_at.isoformat()}"


def web_address() -> str:
    """Where people reach the dashboard: as they said, or as the stack of this machine says; empty: nobody knows."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    stack = said_of_stack(home())
    return "" if stack is None else str(stack["web_url"]).rstrip("/")
