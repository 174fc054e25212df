"""Curves: live while the stage runs, carried over a resume, thinned for the page."""

import math
from itertools import pairwise

import pytest
from sqlalchemy import select

from db import queries
from db.engine import Engines, read_scope, session_scope
from db.models import Metric
from db.repositories import metrics, stages
from tests.db.leases import expire
from tests.db.make import add_worker, claim, publish, submit


def points(engines: Engines, stage_id: int, name: str = "loss", max_points: int = 500) -> dict[int, float]:
    with read_scope(engines) as session:
        frame = queries.metrics(session, [stage_id], [name], max_points=max_points)
    return dict(zip(frame["step"], frame["value"], strict=True))


def test_points_are_seen_while_the_stage_runs(database: Engines) -> None:
    submit(database, "data")
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        metrics.add(session, claimed, [(1, "loss", 2.0), (1, "lr", 0.1), (2, "loss", 1.0)])
    assert points(database, claimed.stage_id) == {1: 2.0, 2: 1.0}


def test_the_end_of_a_curve_is_the_mean_of_its_last_tenth(database: Engines) -> None:
    """Steps 19 and 20 of 20; a run that shares the stage has the same, a curve that is not asked for is absent."""
    first, second = (submit(database, "data").run_id for _ in range(2))
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        rows = [(step, "rewards/chosen", float(step)) for step in range(1, 21)]
        metrics.add(session, claimed, [*rows, (20, "loss", 1.0)])
    with read_scope(database) as session:
        ends = queries.final_metrics(session, [first, second], "data", ["rewards/chosen", "rewards/rejected"])
        assert queries.final_metrics(session, [first], "align", ["loss"]).empty
    assert ends.to_numpy().tolist() == [[first, "rewards/chosen", 19.5], [second, "rewards/chosen", 19.5]]


def test_only_the_curves_that_are_asked_for_are_looked_up(database: Engines) -> None:
    """One that starts later than step 1 is one too, a stage that no worker has had yet has none."""
    first = submit(database, "data").run_id
    second = submit(database, "data", "annotator").run_id
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        metrics.add(session, claimed, [(1, "loss", 2.0), (1, "lr", 0.1), (7, "bins/low/losses", 1.0)])
    asked = ["bins/low/losses", "bins/high/losses", "loss"]
    with read_scope(database) as session:
        assert queries.metric_names_of_runs(session, [first, second], "data", asked) == ["bins/low/losses", "loss"]
        assert queries.metric_names_of_runs(session, [second], "annotator", asked) == []
        assert queries.metric_names_of_runs(session, [first], "align", asked) == []
        assert queries.metric_names_of_runs(session, [first], "data", []) == []


def test_a_point_written_twice_keeps_the_later_value_and_nan_is_a_gap(database: Engines) -> None:
    submit(database, "data")
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        metrics.add(session, claimed, [(1, "loss", 2.0), (3, "loss", 5.0)])
    with session_scope(database) as session:
        metrics.add(session, claimed, [(1, "loss", 3.0), (2, "loss", float("nan")), (2, "lr", 0.1)])
    curve = points(database, claimed.stage_id)
    assert (curve[1], curve[3]) == (3.0, 5.0)
    assert math.isnan(curve[2])


def test_a_resumed_attempt_keeps_the_curve_up_to_its_checkpoint(database: Engines) -> None:
    """Killed at step 9 with a checkpoint at 5: the second attempt shows 1 to 5 of the first, then its own points."""
    created = submit(database, "data")
    worker = add_worker(database)
    first = claim(database, worker)
    with session_scope(database) as session:
        metrics.add(session, first, [(step, "loss", 10.0 - step) for step in range(1, 10)])
    expire(database)
    with session_scope(database) as session:
        stages.requeue_expired(session)
    second = claim(database, worker)
    with session_scope(database) as session:
        stages.start_at(session, second.stage_id, second.token, 5)
    with session_scope(database) as session:
        metrics.add(session, second, [(6, "loss", 100.0)])
    assert points(database, second.stage_id) == {1: 9.0, 2: 8.0, 3: 7.0, 4: 6.0, 5: 5.0, 6: 100.0}
    with session_scope(database) as session:
        publish(session, second)
    assert points(database, second.stage_id)[6] == 100.0
    with read_scope(database) as session:
        (row,) = queries.run_stages(session, created.run_id)
        assert (row.attempts, row.first_step, row.worker) == (2, 5, "w1")
        assert [attempt.first_step for attempt in queries.attempts(session, row.stage_id)] == [None, 5]


def test_an_attempt_that_starts_anew_drops_the_old_curve(database: Engines) -> None:
    submit(database, "data")
    worker = add_worker(database)
    first = claim(database, worker)
    with session_scope(database) as session:
        metrics.add(session, first, [(1, "loss", 1.0)])
    expire(database)
    with session_scope(database) as session:
        stages.requeue_expired(session)
    second = claim(database, worker)
    with session_scope(database) as session:
        stages.start_at(session, second.stage_id, second.token, 0)
    assert points(database, second.stage_id) == {}


def test_publishing_leaves_only_the_published_curve(database: Engines) -> None:
    """Also when the second attempt never said where it starts."""
    submit(database, "data")
    worker = add_worker(database)
    for value in (1.0, 2.0):
        claimed = claim(database, worker)
        with session_scope(database) as session:
            metrics.add(session, claimed, [(1, "loss", value)])
        if value == 1.0:
            with session_scope(database) as session:
                stages.release(session, claimed.stage_id, claimed.token, cause="stopped")
    with session_scope(database) as session:
        publish(session, claimed)
    with read_scope(database) as session:
        assert session.scalars(select(Metric.value)).all() == [2.0]


def test_points_after_the_step_at_which_an_attempt_starts_go(database: Engines) -> None:
    submit(database, "data")
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        metrics.add(session, claimed, [(step, "loss", float(step)) for step in range(6)])
        stages.start_at(session, claimed.stage_id, claimed.token, 3)
    assert sorted(points(database, claimed.stage_id)) == [0, 1, 2, 3]


def test_a_failed_stage_keeps_its_curve_and_log_to_be_read(database: Engines) -> None:
    created = submit(database, "data")
    claimed = claim(database, add_worker(database))
    with session_scope(database) as session:
        metrics.add(session, claimed, [(1, "loss", 2.0)])
        metrics.add_log(session, claimed, ["one", "two \x00", "three"])
    with session_scope(database) as session:
        stages.fail(session, claimed.stage_id, claimed.token, error="diverged")
    assert points(database, claimed.stage_id) == {1: 2.0}
    with read_scope(database) as session:
        tail = queries.log_tail(session, created.run_id, limit=2)
        assert [(line.slot, line.text) for line in tail] == [("data", "two �"), ("data", "three")]
        assert queries.log_tail(session, created.run_id, after_id=tail[0].id) == tail[1:]


@pytest.mark.parametrize(("count", "shown"), [(10, 10), (500, 500), (501, 251), (10_000, 501)])
def test_long_curves_are_thinned_evenly_and_keep_both_ends(database: Engines, count: int, shown: int) -> None:
    """stride = 1 + (count − 1) // 500: 1, 1, 2 and 20; the last point is added where the stride misses it."""
    submit(database, "data")
    claimed = claim(database, add_worker(database))
    for start in range(0, count, 5_000):
        with session_scope(database) as session:
            metrics.add(session, claimed, [(n, "loss", float(n)) for n in range(start, min(count, start + 5_000))])
    steps = sorted(points(database, claimed.stage_id))
    assert (steps[0], steps[-1], len(steps)) == (0, count - 1, shown)
    assert len({b - a for a, b in pairwise(steps[:-1])}) <= 1
