"""One stage, one worker: claims, leases and fencing tokens, raced by real threads and processes."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from db import queries, status
from db.engine import Engines, make_engines, read_scope, session_scope
from db.errors import StaleToken, UnknownWorker
from db.models import Annotation, Attempt, Metric, Pair, Run, Stage
from db.records import ClaimedStage, NewStage
from db.repositories import annotations, metrics, runs, stages
from tests.db.leases import expire
from tests.db.make import ARTIFACT, LEASE, add_worker, claim, new_run, publish, stages_of, submit, work_off

PAIR = {
    "pair_id": "p1", "prompt_id": "q1", "prompt": "Say hi", "response_a": "hi", "response_b": "no",
    "human_label": "a", "true_label": None,
}  # fmt: skip


def stage(engines: Engines, fingerprint: str) -> Stage:
    with read_scope(engines) as session:
        return session.scalars(select(Stage).where(Stage.fingerprint == fingerprint)).one()


def test_only_stages_with_done_inputs_are_claimed(database: Engines) -> None:
    submit(database)
    worker = add_worker(database)
    assert work_off(database, worker) == ["data", "annotator", "labels", "align", "samples", "evaluation"]


def test_a_claim_tells_the_job_everything(database: Engines) -> None:
    submit(database, "data", "annotator")
    worker = add_worker(database)
    work_off(database, worker, until=["annotator"])
    claimed = claim(database, worker)
    assert (claimed.kind, claimed.token, claimed.inputs) == ("annotator", 1, {"data": "data"})
    assert claimed.input_stage_ids == {"data": stage(database, "data").id}
    assert claimed.config == {"slot": "annotator"}
    held = stage(database, "annotator")
    assert (held.status, held.worker_id, held.current_attempt_id) == ("running", worker, claimed.attempt_id)
    assert held.lease_expires_at is not None
    assert held.lease_expires_at > (held.started_at or held.created_at)


def test_an_unregistered_worker_is_told_so(database: Engines) -> None:
    with pytest.raises(UnknownWorker, match="number 99"), session_scope(database) as session:
        stages.claim(session, 99, "cpu", LEASE)


def test_the_most_urgent_stage_goes_first_then_the_oldest(database: Engines) -> None:
    submit(database, "data")
    submit(database, "data", data="-b")
    submit(database, "data", run=new_run(priority=5), data="-c")
    worker = add_worker(database)
    assert [claim(database, worker).fingerprint for _ in range(3)] == ["data-c", "data", "data-b"]


@pytest.mark.parametrize(("device", "taken"), [("cpu", ["any", "cpu"]), ("cuda:0", ["any", "cpu", "gpu"])])
def test_a_worker_takes_what_its_device_can_run(database: Engines, device: str, taken: list[str]) -> None:
    for suffix in ("any", "cpu", "gpu"):
        submit(database, "data", data=suffix)
        with session_scope(database) as session:
            session.execute(update(Stage).where(Stage.fingerprint == f"data{suffix}").values(device=suffix))
    worker = add_worker(database, device=device)
    got = []
    with session_scope(database) as session:
        while (claimed := stages.claim(session, worker, device, LEASE)) is not None:
            got.append(claimed.fingerprint.removeprefix("data"))
    assert got == taken


def test_twelve_threads_claim_five_stages_once_each(database: Engines) -> None:
    for number in range(5):
        submit(database, "data", data=f"-{number}")
    ids = [add_worker(database, f"w{number}") for number in range(12)]
    barrier = threading.Barrier(12)

    def race(worker_id: int) -> str | None:
        barrier.wait()
        with session_scope(database) as session:
            claimed = stages.claim(session, worker_id, "cpu", LEASE)
        return None if claimed is None else claimed.fingerprint

    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(race, ids))
    assert sorted(name for name in got if name) == [f"data-{number}" for number in range(5)]
    assert got.count(None) == 7
    with read_scope(database) as session:
        assert session.scalar(select(func.count()).select_from(Attempt)) == 5


CLAIMER = """
import sys
from db.engine import make_engines, session_scope
from db.repositories import stages
engines = make_engines(sys.argv[1])
sys.stdin.readline()
for _ in range(20):
    with session_scope(engines) as session:
        claimed = stages.claim(session, int(sys.argv[2]), "cpu", 45.0)
        if claimed is None:
            break
        print(claimed.fingerprint, flush=True)
        stages.publish(session, claimed.stage_id, claimed.token, summary={}, seconds=1.0)
"""


def test_three_processes_share_the_work_without_doing_any_twice(database_address: str) -> None:
    engines = make_engines(database_address)
    for number in range(12):
        submit(engines, "data", "annotator", data=f"-{number}")
    commands = [
        [sys.executable, "-c", CLAIMER, database_address, str(add_worker(engines, f"w{number}"))] for number in range(3)
    ]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for command in commands
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = [line for process in processes for line in process.communicate(timeout=400)[0].split()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(lines) == sorted(f"{kind}-{number}" for kind in ("data", "annotator") for number in range(12))
    with read_scope(engines) as session:
        assert session.scalars(select(Run.status).distinct()).all() == ["done"]
        assert session.scalars(select(Attempt.status).distinct()).all() == ["published"]
    engines.dispose()


def test_stages_that_finish_together_finish_the_run(database: Engines) -> None:
    """Two last stages published at the same moment: each alone would see the other still running."""
    worker = add_worker(database)
    for number in range(8):
        pair = [
            NewStage(slot=slot, fingerprint=f"{slot}{number}", kind=slot, version=1, config={})
            for slot in ("left", "right")
        ]
        with session_scope(database) as session:
            created = runs.create(session, new_run(), pair)
        first, second = claim(database, worker), claim(database, worker)
        barrier = threading.Barrier(2)

        def end(claimed: ClaimedStage, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with session_scope(database) as session:
                publish(session, claimed)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(end, [first, second]))
        with read_scope(database) as session:
            assert queries.get_run(session, created.run_id).status == "done"


def test_a_heartbeat_extends_the_lease_and_reports_progress(database: Engines) -> None:
    submit(database, "data")
    claimed = claim(database, add_worker(database), lease=10)
    before = stage(database, "data").lease_expires_at
    with session_scope(database) as session:
        answer = stages.heartbeat(session, claimed.stage_id, claimed.token, 60, done=3, total=9, unit="pairs")
    held = stage(database, "data")
    assert answer == status.HELD
    assert before is not None
    assert held.lease_expires_at is not None
    assert held.lease_expires_at > before + timedelta(seconds=40)
    assert (held.done, held.total, held.unit) == (3, 9, "pairs")


def test_a_heartbeat_under_an_old_token_changes_nothing(database: Engines) -> None:
    submit(database, "data")
    worker = add_worker(database)
    old = claim(database, worker)
    expire(database)
    with session_scope(database) as session:
        stages.requeue_expired(session)
    new = claim(database, worker)
    before = stage(database, "data").lease_expires_at
    with session_scope(database) as session:
        assert stages.heartbeat(session, old.stage_id, old.token, 600, done=1) == status.TAKEN
    held = stage(database, "data")
    assert (held.lease_expires_at, held.done, held.token) == (before, None, new.token)


def test_publishing_twice_is_refused(database: Engines) -> None:
    submit(database, "data")
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        stages.publish(session, claimed.stage_id, claimed.token, summary={"n": 1}, seconds=2.0, artifact=ARTIFACT)
    with pytest.raises(StaleToken, match="token 1"), session_scope(database) as session:
        publish(session, claimed, n=2)
    published = stage(database, "data")
    assert (published.status, published.summary, published.seconds) == ("done", {"n": 1}, 2.0)
    assert published.published_attempt_id == claimed.attempt_id


def test_a_worker_that_lost_its_stage_writes_and_publishes_nothing(database: Engines) -> None:
    """The paused worker wakes up: its token is old, whatever it does is refused."""
    submit(database, "data")
    worker = add_worker(database)
    old = claim(database, worker)
    expire(database)
    with session_scope(database) as session:
        stages.requeue_expired(session)
    new = claim(database, worker)
    for write in (
        lambda session: annotations.add_pairs(session, old, [PAIR]),
        lambda session: metrics.add(session, old, [(1, "loss", 0.5)]),
        lambda session: metrics.add_log(session, old, ["late"]),
        lambda session: stages.start_at(session, old.stage_id, old.token, 0),
        lambda session: stages.publish(session, old.stage_id, old.token, summary={}, seconds=1.0),
        lambda session: stages.fail(session, old.stage_id, old.token, error="late"),
        lambda session: stages.release(session, old.stage_id, old.token, cause="late"),
    ):
        with pytest.raises(StaleToken), session_scope(database) as session:
            write(session)
    with session_scope(database) as session:
        stages.refuse(session, old.stage_id, old.token, cause="Came back too late.")
        publish(session, new)
    with read_scope(database) as session:
        assert [(row.status, row.cause) for row in queries.attempts(session, old.stage_id)] == [
            ("refused", "Came back too late."),
            ("published", None),
        ]
        assert session.scalar(select(func.count()).select_from(Pair)) == 0


def test_two_publishers_under_one_token_race_and_one_wins(database: Engines) -> None:
    submit(database, "data")
    claimed = claim(database, add_worker(database))
    barrier = threading.Barrier(6)

    def race(number: int) -> bool:
        barrier.wait()
        try:
            with session_scope(database) as session:
                publish(session, claimed, winner=number)
        except StaleToken:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(race, range(6)))
    assert won.count(True) == 1
    assert stage(database, "data").summary == {"winner": won.index(True)}


def test_an_expired_lease_puts_the_stage_back_and_removes_what_was_not_published(database: Engines) -> None:
    created = submit(database, "data")
    worker = add_worker(database)
    claimed = claim(database, worker)
    with session_scope(database) as session:
        annotations.add_pairs(session, claimed, [PAIR])
        metrics.add(session, claimed, [(1, "loss", 0.5)])
    with session_scope(database) as session:
        assert stages.requeue_expired(session) == []
    expire(database)
    with session_scope(database) as session:
        (lost,) = stages.requeue_expired(session)
        assert stages.requeue_expired(session) == []
    assert (lost.stage_id, lost.kind) == (claimed.stage_id, "data")
    assert "w1" in lost.cause
    assert "went back to the queue" in lost.cause
    with read_scope(database) as session:
        (attempt,) = queries.attempts(session, claimed.stage_id)
        assert attempt.status == "lost"
        assert "w1" in (attempt.cause or "")
        assert session.scalar(select(func.count()).select_from(Pair)) == 0
        assert session.scalar(select(func.count()).select_from(Metric)) == 1  # for the resume
        assert queries.get_run(session, created.run_id).status == "queued"
        assert queries.run_stages(session, created.run_id)[0].attempts == 1
    again = claim(database, worker)
    assert again.token == claimed.token + 1
    assert stage(database, "data").losses == 1
    with session_scope(database) as session:
        annotations.add_pairs(session, again, [PAIR])
        publish(session, again)
    assert stage(database, "data").losses == 0
    with read_scope(database) as session:
        assert queries.run_stages(session, created.run_id)[0].attempts == 2


def test_a_stage_that_kills_its_workers_fails_in_the_end(database: Engines) -> None:
    created = submit(database, "data", "annotator")
    worker = add_worker(database)
    for number in range(stages.MAX_LOSSES):
        claim(database, worker)
        expire(database)
        with session_scope(database) as session:
            (lost,) = stages.requeue_expired(session)
        assert ("died 5 times in a row" in lost.cause) is (number == stages.MAX_LOSSES - 1)
    with read_scope(database) as session:
        run = queries.get_run(session, created.run_id)
        assert (run.status, run.failed_slot) == ("failed", "data")
        assert "died 5 times in a row" in (run.error or "")
        assert [row.status for row in queries.run_stages(session, created.run_id)] == ["failed", "cancelled"]


def test_a_stage_that_gets_further_each_time_is_not_set_aside(database: Engines) -> None:
    submit(database, "data")
    worker = add_worker(database)
    for number in range(2 * stages.MAX_LOSSES):
        claimed = claim(database, worker)
        with session_scope(database) as session:
            stages.start_at(session, claimed.stage_id, claimed.token, 10 * number)
        expire(database)
        with session_scope(database) as session:
            stages.requeue_expired(session)
    assert stage(database, "data").status == "queued"
    with read_scope(database) as session:
        ended = queries.ended_lately(session, limit=3)
    assert [(one.kind, one.status, one.stage_status) for one in ended] == [("data", "lost", "queued")] * 3
    assert all("stopped answering" in (one.cause or "") for one in ended)


def test_a_stopping_worker_gives_its_stage_back_at_once(database: Engines) -> None:
    submit(database, "data")
    worker = add_worker(database)
    claimed = claim(database, worker)
    with session_scope(database) as session:
        stages.release(session, claimed.stage_id, claimed.token, cause="The worker was stopped.")
    assert stage(database, "data").losses == 0
    assert claim(database, worker).token == 2


def test_a_missing_artifact_reopens_its_stage(database: Engines) -> None:
    submit(database, "data", "annotator")
    worker = add_worker(database)
    claimed = claim(database, worker)
    with session_scope(database) as session:
        annotations.add_pairs(session, claimed, [PAIR])
        publish(session, claimed)
        assert stages.reopen(session, ["data", "unknown"]) == 1
        assert session.scalar(select(func.count()).select_from(Pair)) == 0
    again = claim(database, worker)
    assert (again.kind, again.token) == ("data", 2)


def test_a_batch_above_the_limit_is_refused(database: Engines) -> None:
    submit(database, "data")
    claimed = claim(database, add_worker(database))
    rows = [{**PAIR, "pair_id": str(number)} for number in range(5_001)]
    with pytest.raises(ValueError, match="at most 5000"), session_scope(database) as session:
        annotations.add_pairs(session, claimed, rows)


def test_text_no_database_stores_is_cleaned(database: Engines) -> None:
    submit(database, "data")
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        annotations.add_pairs(session, claimed, [{**PAIR, "prompt": "nul \x00 and lone \ud800"}])
        publish(session, claimed, loss=float("nan"), texts=["a\x00b"], deep={"x": [float("inf"), 1.5]})
    published = stage(database, "data")
    assert published.summary == {"loss": None, "texts": ["a�b"], "deep": {"x": [None, 1.5]}}
    with read_scope(database) as session:
        assert session.scalars(select(Pair.prompt)).one() == "nul � and lone ?"
        assert session.scalar(select(func.count()).select_from(Annotation)) == 0


def test_stages_of_run_fixture_are_a_chain() -> None:
    """The helper itself: a stage made own makes everything behind it own."""
    assert [item.fingerprint for item in stages_of(labels="-x")] == [
        "data", "annotator", "labels-x", "align-x", "samples-x", "evaluation-x",
    ]  # fmt: skip
