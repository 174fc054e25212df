"""When stages and runs will be done: hand-computed from paces, durations and a queue of two workers."""

import dataclasses
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.records import LiveStage, QueueNow
from workers.plan import eta, words
from workers.plan.lasting import Lasting


def stage(stage_id: int, *runs: int, **over: Any) -> LiveStage:
    usual: dict[str, Any] = {
        "fingerprint": str(stage_id), "kind": "align", "model": "m", "device": "any", "cards": 1, "priority": 0,
        "running_on": None, "elapsed": None, "pace": (), "inputs": (), "data_pairs": None,
    }  # fmt: skip
    return LiveStage(stage_id=stage_id, runs=runs or (1,), **(usual | over))


def queue(*stages: LiveStage, cpu: int = 1, gpu: int = 0) -> QueueNow:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return QueueNow(at=at, stages=stages, workers={"cpu": cpu, "gpu": gpu}, cut=False)


def times(now: QueueNow, expected: Mapping[int, float | None]) -> eta.Times:
    """Of stages that are nothing but work."""
    return eta.times(now, {key: None if value is None else Lasting(work=value) for key, value in expected.items()})


def test_a_steady_stage_is_done_when_its_own_speed_says() -> None:
    """Start-up took 30 s, the first percent 20 s more; then 1 s a percent: at 20 % 80 s are left, whatever was
    measured before."""
    pace = ((0.0, 30.0), (0.01, 50.0), *((0.01 * step, 49.0 + step) for step in range(2, 21)))
    assert eta.remaining(pace, 69.0, None) == pytest.approx(80.0)
    assert eta.remaining(pace, 69.0, Lasting(work=5.0)) == pytest.approx(80.0)


def test_start_up_and_the_first_step_are_not_in_the_speed() -> None:
    assert eta.speed(((0.0, 100.0), (0.1, 500.0), (0.2, 510.0))) == pytest.approx(100.0)
    assert eta.speed(((0.0, 100.0), (0.1, 500.0))) is None


def test_later_parts_count_more() -> None:
    """Half of the work at 1 s a tenth, then a tenth that took 3 s: between 10 and 30 s for all, nearer to the last."""
    pace = (*((step / 10, float(step)) for step in range(6)), (0.6, 8.0))
    found = eta.speed(pace)
    assert found is not None
    weights = [math.exp((step - 6) / 10 / 0.15) for step in range(2, 7)]
    assert found == pytest.approx(10 * (sum(weights[:-1]) + 3 * weights[-1]) / sum(weights))
    assert 18 < found < 30


def test_a_resumed_stage_counts_from_where_it_goes_on() -> None:
    """From half of the work on, 2 s a tenth."""
    pace = ((0.5, 10.0), (0.6, 12.0), (0.7, 14.0))
    assert eta.remaining(pace, 14.0, None) == pytest.approx(6.0)


def test_at_first_what_was_measured_before_counts_too() -> None:
    """After 5 % the stage's own speed and the earlier one count alike: the geometric mean of 100 and 400 s."""
    pace = ((0.0, 0.0), (0.01, 1.0), (0.05, 5.0))
    assert eta.remaining(pace, 5.0, Lasting(work=400.0)) == pytest.approx(0.95 * 200.0)


def test_before_its_first_step_a_stage_is_expected_as_before_and_never_done() -> None:
    assert eta.remaining((), 4.0, Lasting(work=10.0)) == pytest.approx(6.0)
    assert eta.remaining((), 40.0, Lasting(work=10.0)) == pytest.approx(0.5)
    assert eta.remaining((), 4.0, None) is None


def test_one_large_part_counts_as_much_as_what_was_measured_before() -> None:
    """A tenth in 40 s says 400 s, start-up included; earlier stages took 100 s: the geometric mean, of which 90 % are
    left. Where nothing was measured the part is all there is."""
    pace = ((0.0, 5.0), (0.1, 45.0))
    assert eta.remaining(pace, 45.0, Lasting(work=100.0)) == pytest.approx(0.9 * 200.0)
    assert eta.remaining(pace, 45.0, None) == pytest.approx(0.9 * 400.0)


def test_what_comes_behind_the_work_is_added_as_it_was_before() -> None:
    """At half of the work 5 s of it are left; summing up took 30 s in earlier stages, loading is over."""
    pace = tuple((step / 10, 7.0 + step) for step in range(6))
    assert eta.remaining(pace, 12.0, Lasting(start=2.0, work=10.0, end=30.0)) == pytest.approx(35.0)


def test_once_the_work_began_the_start_that_was_expected_counts_no_more() -> None:
    """Loading took 20 s instead of 2: the work of 10 s and 3 s behind it are still to come, one second of them over."""
    usual = Lasting(start=2.0, work=10.0, end=3.0)
    assert eta.remaining((), 1.0, usual) == pytest.approx(14.0)
    assert eta.remaining(((0.0, 20.0),), 21.0, usual) == pytest.approx(12.0)


def test_a_stage_that_stands_still_is_not_promised_earlier_and_earlier() -> None:
    """One part of the work takes 10 s; without a sign of life only one such part is taken off."""
    pace = tuple((step / 10, 10.0 * step) for step in range(4))
    assert eta.remaining(pace, 34.0, None) == pytest.approx(66.0)
    assert eta.remaining(pace, 500.0, None) == pytest.approx(60.0)


def test_one_worker_takes_the_stages_one_after_the_other() -> None:
    """10 s are left of run 1's stage; its next takes 20 s, run 2 waits for both, and for 5 s of its own."""
    now = queue(
        stage(1, 1, running_on="cpu", elapsed=30.0),
        stage(2, 1, inputs=(1,)),
        stage(3, 2),
        stage(4, 2, inputs=(3,)),
    )
    found = times(now, {1: 40.0, 2: 20.0, 3: 5.0, 4: 7.0}).runs
    assert (found[1].ahead, found[1].starts_in, found[1].done_in) == (0, 0.0, pytest.approx(30.0))
    assert (found[2].ahead, found[2].starts_in, found[2].done_in) == (1, pytest.approx(30.0), pytest.approx(42.0))


def test_two_workers_do_not_wait_for_each_other() -> None:
    """The second worker takes run 2 while run 1's second stage waits for its input."""
    now = queue(stage(1, 1), stage(2, 1, inputs=(1,)), stage(3, 2), cpu=2)
    found = times(now, {1: 10.0, 2: 10.0, 3: 4.0}).runs
    assert (found[2].ahead, found[2].starts_in, found[2].done_in) == (1, 0.0, pytest.approx(4.0))
    assert found[1].done_in == pytest.approx(20.0)


def test_the_order_of_the_queue_is_the_order_of_the_rows() -> None:
    """More urgent stages come first in the rows."""
    now = queue(stage(7, 2, priority=5), stage(3, 1))
    found = times(now, {7: 4.0, 3: 1.0}).runs
    assert (found[1].ahead, found[1].starts_in) == (1, 4.0)
    assert (found[2].ahead, found[2].starts_in) == (0, 0.0)


def test_a_stage_that_nobody_measured_is_said_by_its_kind() -> None:
    now = queue(stage(1, 1, kind="sft"), stage(2, 2))
    found = times(now, {1: None, 2: 3.0}).runs
    assert (found[1].starts_in, found[1].done_in, found[1].unmeasured) == (0.0, None, ("sft",))
    assert (found[2].ahead, found[2].starts_in, found[2].done_in, found[2].unmeasured) == (1, None, None, ("sft",))


def test_a_stage_of_a_device_without_a_worker_never_starts_and_says_so() -> None:
    now = queue(stage(1, 1, device="gpu"), stage(2, 1, inputs=(1,)), stage(3, 2))
    found = times(now, {1: 1.0, 2: 1.0, 3: 2.0}).runs
    assert (found[1].no_worker, found[1].starts_in, found[1].done_in, found[1].ahead) == ("gpu", None, None, None)
    assert (found[2].ahead, found[2].done_in) == (0, pytest.approx(2.0))


def test_a_shared_stage_is_in_front_of_neither_of_its_runs() -> None:
    now = queue(stage(1, 1, 2), stage(2, 1, inputs=(1,)), stage(3, 2, inputs=(1,)))
    found = times(now, {1: 2.0, 2: 3.0, 3: 4.0}).runs
    assert (found[1].ahead, found[2].ahead) == (0, 0)
    assert (found[1].done_in, found[2].done_in) == (pytest.approx(5.0), pytest.approx(9.0))


def test_a_worker_with_a_card_also_takes_what_needs_none() -> None:
    now = queue(stage(1, 1, device="gpu"), stage(2, 2), cpu=0, gpu=1)
    found = times(now, {1: 5.0, 2: 1.0}).runs
    assert (found[2].starts_in, found[2].done_in) == (5.0, 6.0)


def test_thousands_of_stages_are_placed_at_once() -> None:
    stages = [stage(number, number // 10, inputs=(number - 1,) if number % 10 else ()) for number in range(2_000)]
    found = times(queue(*stages, cpu=4), dict.fromkeys(range(2_000), 1.0)).runs
    assert max(one.done_in or 0.0 for one in found.values()) == pytest.approx(500.0)
    assert dataclasses.asdict(found[0])["starts_in"] == 0.0


def test_a_worker_that_is_silent_does_not_come_back_for_others() -> None:
    """Its stage may still be said to run."""
    now = queue(stage(1, 1, running_on="cpu", elapsed=1.0), stage(2, 2), cpu=0)
    found = times(now, {1: 5.0, 2: 1.0}).runs
    assert (found[1].done_in, found[2].done_in, found[2].no_worker) == (4.0, None, "any")


def test_a_time_is_said_in_words_and_so_is_that_nobody_knows() -> None:
    noon = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

    def said(**values: Any) -> str:
        usual: dict[str, Any] = {"run_id": 1, "ahead": 0, "starts_in": None, "done_in": None}
        return words.eta_words(eta.Eta(**(usual | values)), lambda seconds: noon + timedelta(seconds=seconds))

    late = "3 stages of other runs before it, starts after about 12 min, done at about 14:32."
    assert said(ahead=3, starts_in=720.0, done_in=9_120.0) == late
    assert said(starts_in=0.0, done_in=86_400.0) == "Done at about 02 Jan 12:00."
    unknown = "When it is done nobody knows yet: no stage of this kind was measured (SFT, Alignment)."
    assert said(unmeasured=("sft", "align")) == unknown
    assert said(no_worker="gpu") == "Waits for a GPU worker: none is alive."
    half = eta.StageTime(stage_id=1, total=240.0, left=120.0)
    assert words.left_words(half, running=True) == "about 2 min left"
    assert words.left_words(None, running=True) == "time unknown"
