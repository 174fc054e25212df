"""What expected times are made of: the queue with its order, pace and workers, and what was measured before."""

from typing import Any

import pytest
from sqlalchemy import select, update

from db import queries
from db.engine import Engines, read_scope, session_scope
from db.models import Stage, Worker
from db.repositories import annotations, metrics, stages
from db.status import WORKER_STOPPED
from tests.db.leases import expire
from tests.db.make import add_worker, claim, new_run, publish, submit


def test_the_queue_has_running_stages_first_then_the_most_urgent(database: Engines) -> None:
    first = submit(database).run_id
    urgent = submit(database, run=new_run(priority=5), annotator="-b").run_id
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        metrics.add_pace(session, claimed, [(0.0, 3.0), (0.25, 5.5)])
    with read_scope(database) as session:
        queue = queries.queue_now(session)
    kinds = [(stage.kind, stage.runs) for stage in queue.stages]
    assert kinds[0] == ("data", (first, urgent))
    assert kinds[1][1] == (urgent,)
    assert kinds[-1] == ("evaluation", (first,))
    running, waiting = queue.stages[0], queue.stages[1]
    assert (running.running_on, running.pace) == ("cpu", ((0.0, 3.0), (0.25, 5.5)))
    assert running.elapsed is not None
    assert (waiting.running_on, waiting.pace, waiting.inputs) == (None, (), (running.stage_id,))
    assert (queue.workers, queue.cut) == ({"cpu": 1, "gpu": 0}, False)


def test_of_a_long_queue_the_front_is_read_and_stages_that_nobody_wants_are_not_in_it(database: Engines) -> None:
    submit(database)
    with read_scope(database) as session:
        queue = queries.queue_now(session, most=2)
    assert ([stage.kind for stage in queue.stages], queue.cut) == (["data", "annotator"], True)


def test_workers_that_stopped_are_not_counted(database: Engines) -> None:
    add_worker(database, "a")
    add_worker(database, "b", device="gpu")
    gone = add_worker(database, "c")
    with session_scope(database) as session:
        session.execute(update(Worker).where(Worker.id == gone).values(state=WORKER_STOPPED))
    with read_scope(database) as session:
        assert queries.queue_now(session).workers == {"cpu": 1, "gpu": 1}


def test_pairs_are_known_once_the_data_are_read_and_work_has_its_run(database: Engines) -> None:
    run = submit(database, run=new_run(config={"data": {"test_prompts": 3}})).run_id
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        publish(session, claimed, train_pairs=70)
    with read_scope(database) as session:
        annotator = queries.queue_now(session).stages[0]
        (work,) = queries.work_of(session, [(annotator.stage_id, run)])
    assert (annotator.kind, annotator.data_pairs) == ("annotator", 70)
    assert (work.stage_config, work.config) == ({"slot": "annotator"}, {"data": {"test_prompts": 3}})


def test_only_the_newest_of_the_same_kind_and_model_are_measured(database: Engines) -> None:
    worker = add_worker(database)
    for suffix in ("-a", "-b", "-c"):
        submit(database, "data", data=suffix)
        claimed = claim(database, worker)
        with session_scope(database) as session:
            publish(session, claimed)
    with read_scope(database) as session:
        found = queries.measured_like(session, {("data", ""), ("align", "tiny")}, newest=2)
        assert len(found) == 2
        assert min(one.stage_id for one in found) > 1
        assert queries.measured_like(session, set()) == []


def test_a_measured_stage_tells_when_its_work_began_and_ended(database: Engines) -> None:
    """Where its attempt said so: one that went on from a checkpoint did not begin at nothing."""
    worker = add_worker(database)
    for suffix, pace in (("-a", [(0.0, 3.0), (0.5, 4.0), (1.0, 9.0)]), ("-b", [(0.5, 1.0), (1.0, 2.0)]), ("-c", [])):
        submit(database, "data", data=suffix)
        claimed = claim(database, worker)
        with session_scope(database) as session:
            metrics.add_pace(session, claimed, pace)
            publish(session, claimed)
    with read_scope(database) as session:
        found = queries.measured_like(session, {("data", "")})
    assert [(one.work_began, one.work_ended) for one in found] == [(3.0, 9.0), (None, 2.0), (None, None)]


def test_a_resumed_attempt_has_a_pace_of_its_own_and_the_earlier_curve(database: Engines) -> None:
    submit(database, "data")
    first = claim(database, add_worker(database))
    with session_scope(database) as session:
        metrics.add(session, first, [(1, "loss", 2.0), (2, "loss", 1.0)])
        metrics.add_pace(session, first, [(0.001, 9.0), (0.5, 99.0)])
    expire(database)
    with session_scope(database) as session:
        stages.requeue_expired(session)
    second = claim(database, add_worker(database, "w2"))
    with session_scope(database) as session:
        stages.start_at(session, second.stage_id, second.token, 2)
        metrics.add_pace(session, second, [(0.5, 1.0)])
    with read_scope(database) as session:
        assert queries.queue_now(session).stages[0].pace == ((0.5, 1.0),)
        curve = queries.metrics(session, [second.stage_id])
        assert curve[["name", "value"]].to_numpy().tolist() == [["loss", 2.0], ["loss", 1.0]]
    with session_scope(database) as session:
        publish(session, second)
    with read_scope(database) as session:
        assert queries.pace_of(session, second.stage_id) == ((0.5, 1.0),)


def test_what_a_stage_shows_is_seen_while_it_runs_and_replaced(database: Engines) -> None:
    run_id = submit(database).run_id
    claimed = claim(database, add_worker(database))
    for tokens in (["one"], ["two"]):
        with session_scope(database) as session:
            annotations.add_histogram(session, claimed, "first_batch", {"tokens": tokens})
    with read_scope(database) as session:
        assert queries.looked_at(session, run_id, "first_batch") == {"data": {"tokens": ["two"]}}
        assert queries.looked_at(session, run_id, "other") == {}


LINES = ["Started: attempt 1", "Warning: old numpy", "Traceback (most recent call last):", "  File x", "DataError: no"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, LINES),
        ({"text": "NUMPY"}, LINES[1:2]),
        ({"problems": True}, LINES[1:]),
        ({"problems": True, "text": "file"}, LINES[3:4]),
        ({"slot": "annotator"}, []),
    ],
)
def test_a_log_is_asked_by_stage_words_and_problems(database: Engines, asked: dict[str, Any], found: list[str]) -> None:
    run_id = submit(database).run_id
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        metrics.add_log(session, claimed, LINES)
    with read_scope(database) as session:
        assert [line.text for line in queries.log_tail(session, run_id, **asked)] == found


def test_stage_settings_are_asked_for_stages_that_are_there(database: Engines) -> None:
    run_id = submit(database).run_id
    with read_scope(database) as session:
        assert queries.work_of(session, [(10**6, run_id)]) == []
        stage_id = session.scalars(select(Stage.id)).first()
        assert stage_id is not None
        assert queries.work_of(session, [(stage_id, 10**6)]) == []


@pytest.mark.parametrize(
    ("summary", "tokens", "ended"),
    [
        ({"mean_tokens": 31.5, "finished": 0.75}, 31.5, 0.75),
        ({"tokens": 1200, "pairs": 8}, 150.0, None),
        ({"tokens": 1200, "pairs": 0}, None, None),
        ({"tokens": {"a": 1}, "pairs": [8], "mean_tokens": None, "finished": "all"}, None, None),
        ({}, None, None),
    ],
)
def test_tokens_are_measured_as_a_summary_counts_them(
    summary: dict[str, Any], tokens: float | None, ended: float | None, database: Engines
) -> None:
    """Of an answer, or of a pair that was read; whatever else stands under these names is nothing."""
    submit(database)
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        publish(session, claimed, **summary)
    with read_scope(database) as session:
        (found,) = queries.measured_stages(session, ["data"])
    assert (found.tokens, found.ended) == (tokens, ended)
