"""A whole run on a disk that is full, for a moment, at every place where it writes: no stage fails or begins again."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from cwpo import full_disk
from cwpo.annotation import labeling
from cwpo.artifacts import ArtifactStore
from cwpo.stages import execute
from cwpo.training import saving
from db import queries
from tests.cwpo.full_disks import FullDisk, full
from tests.cwpo.judge_models import judge_folder
from tests.workers.workplace import Workplace
from workers import api
from workers.machine.database import reading
from workers.queue import job, lease

OFTEN = {"execution": {"checkpoint_seconds": 0.001}, "annotator": {"calibrate": True}}
JUDGE = {"kind": "local", "verdicts": "logits", "human_labels": True}
RUNS: dict[str, dict[str, Any]] = {
    "along": {"evaluation": {"along": {}}},
    "online": {"align": {"online": {}}, "sft": {"data": "labeled"}},
}


@pytest.mark.parametrize("name", RUNS)
def test_a_full_disk_is_waited_for_wherever_a_stage_writes(
    name: str, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, attribute, value in (
        (full_disk, "FIRST", 0.001), (full_disk, "LONGEST", 0.002), (saving, "SHARE", 1e9), (labeling, "_WINDOW", 40),
    ):  # fmt: skip
        monkeypatch.setattr(owner, attribute, value)
    evaluation = RUNS[name].get("evaluation", {}) | {
        "judge": JUDGE | {"model": str(judge_folder(place.home / "judge"))}
    }
    run_id = api.submit_run(place.config(**{**OFTEN, **RUNS[name], "evaluation": evaluation})).run_id
    computed = Counter[str]()
    with monkeypatch.context() as patch:
        disk = FullDisk(place.home / "artifacts", patch)
        _counted(patch, computed, disk)
        while place.run(run_id).status in ("queued", "running"):
            assert job.work()
    with reading() as session:
        rows = queries.run_stages(session, run_id)
        lines = [line.text for line in queries.log_tail(session, run_id, 10_000)]
    assert (place.run(run_id).status, place.run(run_id).error) == ("done", None)
    print(f"{name}: {len(disk.met)} places", *disk.places(), sep="\n")
    assert len(disk.met) > 100
    assert set(computed.values()) == {1}, computed
    assert {row.slot: row.attempts for row in rows} == {row.slot: 1 for row in rows}
    said = [line for line in lines if "The disk is full: waiting until 0." in line]
    assert len(said) == len(rows)  # each stage says it once
    store = ArtifactStore(place.home / "artifacts")
    assert [row.slot for row in rows if store.damage(row.fingerprint)] == []


@pytest.mark.parametrize("how", ["cancelled", "stopped"])
def test_to_cancel_and_to_stop_end_the_waiting(how: str, place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that is given back so goes on with another worker, and is not counted as failed."""
    monkeypatch.setattr(lease, "FLUSH_SECONDS", 0.05)
    shutdown = job.Shutdown()
    monkeypatch.setattr(job, "Shutdown", lambda: shutdown)
    monkeypatch.setattr(shutdown, "listen", lambda: None)
    run_id = api.submit_run(place.config()).run_id
    tries: list[float] = []

    def write() -> None:
        tries.append(time.monotonic())
        if len(tries) == 3:
            api.cancel_run(run_id) if how == "cancelled" else setattr(shutdown, "_heard", True)
        raise full("x")

    def filled(ctx: Any) -> dict[str, Any]:
        full_disk.when_room(write)
        raise AssertionError("It was never written.")

    real = execute.executor
    with monkeypatch.context() as patch:
        patch.setattr(execute, "executor", lambda kind: filled if kind.name == "align" else real(kind))
        job.work(0)
    assert time.monotonic() - tries[2] < 20
    assert place.stage(run_id, "align").status == ("cancelled" if how == "cancelled" else "queued")
    if how == "stopped":
        shutdown._heard = False
        while place.run(run_id).status in ("queued", "running"):
            assert job.work(0)
        assert (place.run(run_id).status, place.run(run_id).error) == ("done", None)


def _counted(patch: pytest.MonkeyPatch, computed: Counter[str], disk: FullDisk) -> None:
    """How often each stage's function was called; the places of each stage are its own."""
    real, perform = execute.executor, job._perform

    def executor(kind: Any) -> Callable[[Any], dict[str, Any]]:
        function = real(kind)

        def counted(ctx: Any) -> dict[str, Any]:
            computed[disk.about] += 1
            return function(ctx)

        return counted

    def performed(worker_id: int, device: str, claimed: Any, shutdown: Any) -> None:
        disk.about = f"{claimed.kind}#{claimed.stage_id}"
        perform(worker_id, device, claimed, shutdown)

    patch.setattr(execute, "executor", executor)
    patch.setattr(job, "_perform", performed)
