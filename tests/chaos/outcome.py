"""What came out of a run, to compare two of them: every file of its artifacts, its curves, its tables."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cwpo.artifacts import ArtifactStore
from db import queries
from tests.chaos.scene import LONGER, VARIANTS, at_home
from tests.workers.working import be_the_worker
from tests.workers.workplace import Workplace
from workers import api
from workers.machine.database import reading
from workers.queue import job

SUMMARY = "summary.json"
_NEVER_THE_SAME = ("timing.json",)  # seconds and host


def outcome(run_id: int, home: Path) -> dict[str, str]:
    """slot/file -> sha256 of the artifact's file; and sha256 of what Compare reads of the run."""
    store, found = ArtifactStore(home / "artifacts"), {}
    with reading() as session:
        stages = queries.run_stages(session, run_id)
        outcomes = queries.outcomes(session, [run_id]).drop(columns="run_id")
        evaluation = queries.evaluations(session, [run_id])[run_id]
        curves = {stage.slot: queries.metrics(session, [stage.stage_id], max_points=10**6) for stage in stages}
    for stage in stages:
        found |= {f"{stage.slot}/{name}": sha for name, sha in files_of(store, stage.fingerprint).items()}
    for slot, curve in curves.items():
        columns = [name for name in ("name", "step", "value") if name in curve]
        found[f"curve {slot}"] = _sha(curve[columns].sort_values(columns).to_csv(index=False))
    figures = {name: value for name, value in vars(evaluation).items() if name not in ("run_id", "stage_id")}
    return found | {"outcomes": _sha(outcomes.to_csv(index=False)), "evaluation": repr(sorted(figures.items()))}


def files_of(store: ArtifactStore, fingerprint: str) -> dict[str, str]:
    """name -> sha256 of what a stage made; how long it took, and at which step it went on, are no part of it."""
    found = {name: sha for name, sha in store.info(fingerprint).files.items() if name not in _NEVER_THE_SAME}
    summary = json.loads((store.path(fingerprint) / SUMMARY).read_text())
    summary.pop("first_step", None)
    return found | {SUMMARY: _sha(json.dumps(summary, sort_keys=True))}


def undisturbed(folder: Path, redis: str, materials: dict[str, Any]) -> list[dict[str, str]]:
    """The outcome of each variant, computed by this process in a home of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    address = f"sqlite:///{folder / 'db.sqlite'}"
    from db.engine import upgrade

    upgrade(address)
    with at_home(address, redis, folder), pytest.MonkeyPatch.context() as patch:
        be_the_worker(patch)
        place = Workplace(environment={}, home=folder, materials=materials)
        runs = [api.submit_run(place.config(seed=variant, **LONGER)).run_id for variant in range(VARIANTS)]
        while any(place.run(run_id).status in ("queued", "running") for run_id in runs):
            assert job.work()
        assert [place.run(run_id).status for run_id in runs] == ["done"] * VARIANTS
        return [outcome(run_id, folder) for run_id in runs]


def differences(found: dict[str, str], expected: dict[str, str]) -> Sequence[str]:
    """What differs, by name."""
    return [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
