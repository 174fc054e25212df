"""What repositories take and give."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
    cards: int = 1  # of one host, at once
    card_bytes: int | None = None  # needed on each of them; None: nobody knows
    host_bytes: int | None = None  # needed of the machine, by all processes; None: nobody knows


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
    owner: str | None = None  # who queues it; None: everybody's


@dataclass(frozen=True, kw_only=True)
class NewArtifact:
    """What the store holds for the stage that is published."""

    bytes: int
    files: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class CreatedRun:
    """What submitting did: `reused` stages were done, `shared` ones are already wanted by another run. `removed`:
    fingerprints of stages that it let go, whose artifacts may be deleted once the transaction is committed."""

    run_id: int
    stages: int
    reused: int
    shared: int
    removed: tuple[str, ...] = ()


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
    cards: tuple[
        str, ...
    ] = ()  # what it may compute on, the worker's own first: names for CUDA_VISIBLE_DEVICES, or cpu


@dataclass(frozen=True, kw_only=True)
class Requeued:
    """A stage whose lease ran out, and what became of it in one sentence."""

    stage_id: int
    kind: str
    cause: str


@dataclass(frozen=True, kw_only=True)
class DeletedRun:
    """Fingerprints no run uses any more: their artifacts may be deleted once the transaction is committed. `named`:
    annotators of the run that stay because they have a name."""

    run_id: int
    fingerprints: tuple[str, ...]
    named: tuple[str, ...] = ()
