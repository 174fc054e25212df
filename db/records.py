"""Frozen values that cross the border of db: what repositories take and give, and what queries show to people."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# ---- what repositories take -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class NewStage:
    """One slot of a run to be; `inputs` maps input names to slots of the same run."""

    slot: str
    fingerprint: str
    kind: str
    version: int
    config: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    device: str = "any"  # any | cpu | gpu
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A validated run: its config and the columns that lists filter by."""

    name: str
    config: Mapping[str, Any]
    config_hash: str
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
    sweep_id: str | None = None
    priority: int = 0


@dataclass(frozen=True, kw_only=True)
class NewArtifact:
    """What the store holds for the stage that is published."""

    bytes: int
    files: int
    sha256: str


# ---- what repositories give -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CreatedRun:
    """What submitting did: `reused` stages were done, `shared` ones are already wanted by another run."""

    run_id: int
    status: str
    stages: int
    reused: int
    shared: int


@dataclass(frozen=True, kw_only=True)
class ClaimedStage:
    """A stage this worker holds under `token`; `inputs` maps input names to fingerprints."""

    stage_id: int
    attempt_id: int
    token: int
    kind: str
    version: int
    fingerprint: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    input_stage_ids: Mapping[str, int]
    priority: int


@dataclass(frozen=True, kw_only=True)
class Published:
    """What publishing made possible: stages that are ready now, runs that are done now."""

    attempt_id: int
    ready: int
    finished_runs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Runs that a failed stage took down."""

    stage_id: int
    failed_runs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Requeued:
    """A stage whose lease ran out; `failed`: it was lost too often and is not tried again."""

    stage_id: int
    attempt_id: int | None
    fingerprint: str
    kind: str
    worker: str | None
    cause: str
    failed: bool


@dataclass(frozen=True, kw_only=True)
class DeletedRun:
    """Fingerprints no run uses any more: their artifacts may be deleted once the transaction is committed."""

    run_id: int
    fingerprints: tuple[str, ...]


# ---- pages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The key of the last row of a page; text in the URL, never pickle."""

    value: float | str | None
    id: int | str

    def encode(self) -> str:
        """Text that `decode` reads back exactly."""
        return json.dumps([self.value, self.id], separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> "Cursor | None":
        """The cursor in a URL, or None (the first page) where somebody edited it into nonsense."""
        try:
            value, key = json.loads(text)
        except (ValueError, TypeError):
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str | None):
            return None
        if isinstance(key, bool) or not isinstance(key, int | str):
            return None
        return cls(value=value, id=key)


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
    text: str = ""
    archived: bool = False


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
    """A run with its config."""

    row: RunRow
    config: Mapping[str, Any]
    config_hash: str
    failed_slot: str | None

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
    expected_seconds: float | None  # mean of earlier stages of the same kind and model
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


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One sampled answer with its gold score."""

    sample: int
    text: str
    tokens: int
    score: float | None
    ungrammatical: bool | None
    logp: float | None
    reference_logp: float | None


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """Both sides' answers to one held-out prompt; `outcome` 1 win, ½ tie, 0 loss, None before the evaluation."""

    run_id: int
    prompt_id: str
    prompt: str
    outcome: float | None
    aligned: tuple[Answer, ...]
    baseline: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True)
class AnswerPage:
    """One page of answers."""

    rows: tuple[AnswerRow, ...]
    next: Cursor | None
    total: int


@dataclass(frozen=True, kw_only=True)
class PromptRow:
    """A held-out prompt."""

    prompt_id: str
    prompt: str


@dataclass(frozen=True, kw_only=True)
class ConfidenceHistogram:
    """Counts of pairs per confidence bin, and of those where the human agrees; `edges` has one more."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    agree_counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Decile:
    """Agreement with the humans (and the truth, in the sandbox) in one tenth of the pairs by confidence."""

    lo: float
    hi: float
    n: int
    mean_confidence: float
    agree_human: float | None
    agree_truth: float | None
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True, kw_only=True)
class LabelSummary:
    """What a labels stage found out about its annotator."""

    run_id: int
    stage_id: int
    fingerprint: str
    n: int
    accuracy_human: float | None
    accuracy_truth: float | None
    human_accuracy_truth: float | None
    length_only_accuracy: float | None
    mean_confidence: float | None
    effective_sample_size: float | None
    histogram: ConfidenceHistogram
    deciles: tuple[Decile, ...]


@dataclass(frozen=True, kw_only=True)
class AnnotationRow:
    """One annotated pair with its texts."""

    id: int
    run_id: int
    pair_id: str
    prompt_id: str
    prompt: str
    response_a: str
    response_b: str
    score_a: float
    score_b: float
    margin: float
    confidence: float
    label: str
    human_label: str | None
    true_label: str | None
    agrees_human: bool | None


@dataclass(frozen=True, kw_only=True)
class AnnotationPage:
    """One page of annotated pairs. `total` is None with a text search, which reads at most `searched` rows a page:
    `next` may then be set although `rows` is not full, and the page offers to search further."""

    rows: tuple[AnnotationRow, ...]
    next: Cursor | None
    total: int | None
    searched: int | None


# ---- System and New run -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class QueueHealth:
    """The queue as the database knows it."""

    stages: Mapping[str, int]  # status -> count, every status present
    runs: Mapping[str, int]
    ready: int  # queued, inputs done, wanted
    waiting: int  # queued, but an input is missing
    oldest_ready_at: datetime | None
    expired_leases: int
    lost_last_day: int
    at: datetime


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
class FailedStage:
    """A recent failure."""

    stage_id: int
    kind: str
    error: str | None
    runs: tuple[int, ...]
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ArtifactUsage:
    """Bytes of one kind of artifact."""

    kind: str
    artifacts: int
    bytes: int


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
