"""Runs, stages and workers for the tests of the database."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from db.engine import Engines, session_scope
from db.records import ClaimedStage, CreatedRun, NewArtifact, NewRun, NewStage
from db.repositories import runs, stages, workers

LEASE = 45.0
ARTIFACT = NewArtifact(bytes=10, files=2, sha256="0" * 64)

# data -> annotator -> labels -> align -> samples -> evaluation
CHAIN = {
    "data": (),
    "annotator": ("data",),
    "labels": ("data", "annotator"),
    "align": ("data", "labels"),
    "samples": ("data", "align"),
    "evaluation": ("samples",),
}


def new_run(**changes: Any) -> NewRun:
    """A run of the sandbox; keywords change its columns."""
    values: dict[str, Any] = {
        "name": "run", "config": {"seed": 0}, "config_hash": "c" * 64, "group_key": "g" * 64, "method": "cw",
        "method_label": "cw", "labels": "weak", "pool": "unlabeled", "weighting": "confidence", "objective": "dpo",
        "policy": "sandbox/opt-64", "annotator": "sandbox/opt-32", "dataset": "sandbox", "label_fraction": 0.3,
        "seed": 0, "baseline": "b" * 64,
    }  # fmt: skip
    return NewRun(**{**values, **changes})


def stages_of(*slots: str, **own: str) -> list[NewStage]:
    """Stages of the chain. Their fingerprint is the slot's name, or `slot=suffix` makes the slot and what follows it
    the run's own."""
    result = []
    suffixes: dict[str, str] = {}
    for slot, parents in CHAIN.items():
        inherited = [suffixes[parent] for parent in parents if suffixes.get(parent)]
        suffixes[slot] = own.get(slot, inherited[0] if inherited else "")
        if slot in (slots or CHAIN):
            inputs = {parent: parent for parent in parents if parent in (slots or CHAIN)}
            result.append(
                NewStage(
                    slot=slot, fingerprint=slot + suffixes[slot], kind=slot, version=1, config={"slot": slot},
                    inputs=inputs, model="tiny" if slot in ("annotator", "align") else None,
                )
            )  # fmt: skip
    return result


def submit(engines: Engines, *slots: str, run: NewRun | None = None, **own: str) -> CreatedRun:
    """Submit a run over stages of the chain."""
    with session_scope(engines) as session:
        return runs.create(session, run or new_run(), stages_of(*slots, **own))


def add_worker(engines: Engines, name: str = "w1", device: str = "cpu") -> int:
    """Register a worker."""
    with session_scope(engines) as session:
        return workers.register(session, name=name, host="host", pid=1, device=device)


def claim(engines: Engines, worker_id: int, device: str = "cpu", lease: float = LEASE) -> ClaimedStage:
    """Claim a stage that is known to be ready."""
    with session_scope(engines) as session:
        claimed = stages.claim(session, worker_id, device, lease)
    assert claimed is not None
    return claimed


def publish(session: Session, claimed: ClaimedStage, **summary: Any) -> None:
    """Publish what is claimed."""
    stages.publish(session, claimed.stage_id, claimed.token, summary=summary, seconds=2.0, artifact=ARTIFACT)


def work_off(engines: Engines, worker_id: int, until: Sequence[str] = ()) -> list[str]:
    """Claim and publish until nothing is ready or the next kind is in `until`; the kinds worked off."""
    kinds = []
    while True:
        with session_scope(engines) as session:
            claimed = stages.claim(session, worker_id, "cpu", LEASE)
            if claimed is None:
                return kinds
            if claimed.kind in until:
                session.rollback()
                return kinds
            publish(session, claimed)
            kinds.append(claimed.kind)
