"""Queue, workers, storage and database, people and what they did, for System."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ArtifactUsage:
    """Bytes of one kind of artifact."""

    kind: str
    artifacts: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class QueueHealth:
    """The queue as the database knows it, and what finished stages left in the store."""

    stages: Mapping[str, int]  # status -> count, every status present
    runs: Mapping[str, int]
    ready: int  # queued, inputs done, wanted
    waiting: int  # queued, but an input is missing
    oldest_ready_at: datetime | None
    expired_leases: int
    lost_last_day: int
    at: datetime
    artifacts: tuple[ArtifactUsage, ...]  # what is stored, the largest first


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """A worker; `alive` while its heartbeat is younger than the lease."""

    id: int
    name: str
    host: str
    pid: int
    device: str
    state: str
    alive: bool
    stage_id: int | None
    stage_kind: str | None
    heartbeat_at: datetime
    started_at: datetime
    rss_mb: float | None
    card: str | None  # what CUDA calls it
    card_bytes: int | None
    card_free_bytes: int | None  # while the worker computed nothing
    host_bytes: int | None  # memory of the machine


@dataclass(frozen=True, kw_only=True)
class CardWait:
    """A ready stage of a run that wants more or larger cards than any host has, or more memory than any machine."""

    run_id: int
    slot: str
    cards: int
    card_bytes: int | None  # needed on each; None: unknown
    largest: int | None  # of the living cards that could serve it; None: unknown
    together: int  # most cards of one host that are large enough
    host_bytes: int | None = None  # needed of the machine; None: unknown
    largest_host: int | None = None  # memory of the living workers' largest machine; None: unknown


@dataclass(frozen=True, kw_only=True)
class ActiveStage:
    """A stage that runs, is ready, or waits, for the System page."""

    stage_id: int
    fingerprint: str
    kind: str
    model: str | None
    status: str
    priority: int
    runs: int
    run_id: int | None  # one of them
    done: int | None
    total: int | None
    unit: str | None
    worker: str | None
    created_at: datetime
    started_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class EndedAttempt:
    """An execution that ended without a result. `stage_status`: how its stage stands now."""

    stage_id: int
    kind: str
    run_id: int | None  # one that has the stage
    token: int
    status: str  # lost: it is computed again; failed: it was not
    stage_status: str
    cause: str | None
    worker: str | None
    finished_at: datetime


@dataclass(frozen=True, kw_only=True)
class DatabaseHealth:
    """The database server and its schema."""

    product: str
    version: str
    location: str
    bytes: int
    detail: str
    latency_ms: float
    revision: str | None
    head: str

    @property
    def current(self) -> bool:
        """Whether the schema is the one this program needs."""
        return self.revision == self.head


@dataclass(frozen=True, kw_only=True)
class PersonRow:
    """Somebody who signs in. `sessions_valid_from`: sessions that began earlier are over."""

    name: str
    role: str
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    sessions_valid_from: datetime | None


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """One thing that somebody did. `before`, `after`: canonical JSON; `previous`: the hash of the event before."""

    number: int
    at: datetime
    who: str
    source: str
    action: str
    what: str
    before: str | None
    after: str | None
    previous: str
    hash: str

    @property
    def seal(self) -> str:
        """The hash that the event must have: of the one before, and of everything that it says."""
        return seal_of(
            self.previous, self.number, self.at, self.who, self.source, self.action, self.what, self.before, self.after
        )

    def as_json(self) -> dict[str, Any]:
        """As a line of a file."""
        return {
            "number": self.number, "at": self.at.isoformat(), "who": self.who, "source": self.source,
            "action": self.action, "what": self.what, "before": _read(self.before), "after": _read(self.after),
            "previous": self.previous, "hash": self.hash,
        }  # fmt: skip


def seal_of(previous: str, number: int, at: datetime, *said: str | None) -> str:
    """sha256 of the hash before and of the event as one line of canonical JSON, in hexadecimal."""
    line = json.dumps([number, at.astimezone(UTC).isoformat(timespec="microseconds"), *said], separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{line}".encode()).hexdigest()


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)


@dataclass(frozen=True, kw_only=True)
class AuditPage:
    """Events, the newest first; `next`: the number that the following page ends before."""

    events: tuple[AuditEvent, ...]
    next: int | None
    people: tuple[str, ...]  # everybody who did something
    newest: int = 0  # the number of the newest event of all


@dataclass(frozen=True, kw_only=True)
class AuditCheck:
    """What reading the whole chain found: how many events, and which do not fit."""

    events: int
    problems: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """In one sentence."""
        count = f"{self.events:,} event{'' if self.events == 1 else 's'}"
        if not self.problems:
            return f"Chain verified: {count}."
        return f"The log was tampered with ({count} read): {' '.join(self.problems)}"
