"""Runs, their stages and their logs, for lists and the run page."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_STORABLE = re.compile(r"[^\0\ud800-\udfff]*")  # what both databases take as text


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The key of the last row of a page; text in the URL, never pickle."""

    value: float | str | None
    id: int | str

    def encode(self) -> str:
        """Text that `decode` reads back exactly."""
        return json.dumps([self.value, self.id], separators=(",", ":"))

    @classmethod
    def decode(cls, text: str, *, value: type[float] | type[str] | None, key: type[int] | type[str]) -> "Cursor | None":
        """The cursor in a URL, or None (the first page) where somebody edited it into nonsense. `value` and `key`: what
        the list is ordered by; value None: by the id alone."""
        try:
            last, own = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return None
        return cls(value=last, id=own) if _fits(last, value) and _fits(own, key) else None


def _fits(found: Any, wanted: type | None) -> bool:
    """Whether it is that and a database can hold it: integers of 64 bits, finite numbers, text without NUL."""
    if wanted is None or found is None or isinstance(found, bool):
        return wanted is None and found is None
    if isinstance(found, float):
        return wanted is float and math.isfinite(found)
    if isinstance(found, int):
        return wanted in (int, float) and -(2**63) <= found < 2**63
    return wanted is str and isinstance(found, str) and _STORABLE.fullmatch(found) is not None


@dataclass(frozen=True, kw_only=True)
class RunFilters:
    """Filters of the Runs page; an empty tuple or text means no filter."""

    status: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    objective: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    annotator: tuple[str, ...] = ()
    dataset: tuple[str, ...] = ()
    label_fraction: tuple[float, ...] = ()
    seed: tuple[int, ...] = ()
    sweep_id: tuple[str, ...] = ()
    group_key: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()  # a run has all of them
    text: str = ""
    archived: bool = False
    pinned: bool = False  # True: pinned runs alone


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """GRA of one run and what stands beside it; shares in [0, 1], lengths in tokens, kl in nats."""

    run_id: int
    stage_id: int
    gra: float
    gra_strict: float
    gra_ties_dropped: float | None
    wins: float
    ties: float
    losses: float
    prompts: int
    samples: int
    ci_low: float
    ci_high: float
    interval_method: str
    mean_tokens: float | None
    baseline_mean_tokens: float | None
    kl: float | None
    ungrammatical: float | None
    baseline_ungrammatical: float | None
    mean_score: float | None
    baseline_mean_score: float | None


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One line of the Runs table."""

    id: int
    name: str
    sweep_id: str | None
    group_key: str
    method: str
    method_label: str
    labels: str
    pool: str
    weighting: str
    objective: str
    policy: str
    annotator: str | None
    dataset: str
    label_fraction: float
    seed: int
    baseline: str | None
    judge: str | None  # the stage that scored the baseline's answers: one gold reward over the same answers
    status: str
    priority: int
    error: str | None
    archived: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stages: int
    stages_done: int
    stages_reused: int
    current_slot: str | None  # a running stage of this run
    current_done: int | None
    current_total: int | None
    current_unit: str | None
    evaluation: EvaluationRecord | None
    pinned: bool = False
    paused: bool = False
    tags: tuple[str, ...] = ()
    asks_for_cards: bool = False  # a stage that waits wants several cards, or memory of a certain size
    owner: str | None = None  # who queued it


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """One page of runs; `next` is None at the end."""

    rows: tuple[RunRow, ...]
    next: Cursor | None
    total: int


@dataclass(frozen=True, kw_only=True)
class RunGroup:
    """Runs that differ only in seed and name; `rows` is ordered by seed."""

    group_key: str
    rows: tuple[RunRow, ...]

    @property
    def run_ids(self) -> tuple[int, ...]:
        """The runs of the group."""
        return tuple(row.id for row in self.rows)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Distinct seeds, sorted."""
        return tuple(sorted({row.seed for row in self.rows}))


@dataclass(frozen=True, kw_only=True)
class GroupPage:
    """One page of groups, newest first."""

    groups: tuple[RunGroup, ...]
    next: Cursor | None
    total: int


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run with its config, and what people wrote on it."""

    row: RunRow
    config: Mapping[str, Any]
    config_hash: str
    failed_slot: str | None
    note: str = ""
    queue_paused: bool = False  # as a whole

    @property
    def id(self) -> int:
        """The run's number."""
        return self.row.id

    @property
    def status(self) -> str:
        """queued | running | done | failed | cancelled."""
        return self.row.status

    @property
    def error(self) -> str | None:
        """The sentence that says why it failed."""
        return self.row.error


@dataclass(frozen=True, kw_only=True)
class ExistingStage:
    """A stage that was asked for before; `pairs`: what a finished data stage kept for training."""

    status: str
    pairs: int | None = None


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """One slot of one run; times in seconds."""

    run_id: int
    slot: str
    stage_id: int
    fingerprint: str
    kind: str
    model: str | None
    device: str
    status: str
    priority: int
    done: int | None
    total: int | None
    unit: str | None
    seconds: float | None  # of the published attempt
    reused: bool
    shared_by: int  # runs that use this stage
    attempts: int
    first_step: int | None  # of the latest attempt; > 0: resumed
    worker: str | None
    lease_expires_at: datetime | None
    error: str | None
    summary: Mapping[str, Any] | None
    inputs: Mapping[str, int]  # input name -> stage id
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    published_attempt_id: int | None = None
    expected_seconds: float | None = None  # from start to end, where somebody worked it out (workers/plan/eta.py)


@dataclass(frozen=True, kw_only=True)
class AttemptRow:
    """One execution of a stage."""

    id: int
    stage_id: int
    token: int
    worker: str | None
    host: str | None
    pid: int | None
    device: str | None
    status: str
    first_step: int | None
    cause: str | None
    environment: Mapping[str, Any] | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class MeasuredStage:
    """A finished stage with what decided how long it took. `config`: of a run that it belongs to."""

    kind: str
    model: str
    device: str  # of the worker that computed it
    seconds: float
    stage_config: Mapping[str, Any]
    config: Mapping[str, Any]
    pairs: int | None  # of the run's data stage
    stage_id: int = 0
    work_began: float | None = None  # seconds since its attempt began; None where that did not say, or was resumed
    work_ended: float | None = None
    tokens: float | None = None  # mean of an answer that it wrote or a pair that it trained on; None: not counted
    ended: float | None = None  # share of its answers that ended by themselves


@dataclass(frozen=True, kw_only=True)
class AttemptCount:
    """Executions per slot over some runs: what shows that a sweep trained one annotator."""

    slot: str
    runs: int
    stages: int
    attempts: int
    reused: int


@dataclass(frozen=True, kw_only=True)
class LogLineRow:
    """One line of a run's log."""

    id: int
    at: datetime
    slot: str
    text: str
