"""What stages say is buffered, told once, given back when it could not be written, and free of secrets."""

import logging

import pytest

from db.engine import BATCH_ROWS
from workers.queue.reporter import Batch, BufferingReporter, warnings_in


def test_everything_said_is_told_once() -> None:
    reporter = BufferingReporter()
    reporter.resumed(4)
    reporter.progress(4, 10, "steps")
    reporter.metrics(5, {"loss": 0.5, "lr": 1.0})
    reporter.progress(5, 10, "steps")
    reporter.log("one\n\ntwo")
    batch = reporter.take()
    assert batch.progress == (5, 10, "steps")
    assert batch.points == ((5, "loss", 0.5), (5, "lr", 1.0))
    assert batch.lines == ("Step 5 of 10: loss 0.5000, learning rate 1.", "one", "two")
    assert batch.first_step == 4  # resumed after four steps
    assert reporter.take().empty


def test_a_stage_that_trains_nothing_has_no_first_step_whatever_it_counts() -> None:
    reporter = BufferingReporter()
    reporter.progress(3, 10, "pairs")
    reporter.progress(3, 10, "steps")
    assert reporter.take().first_step is None


def test_of_several_trainings_in_one_stage_the_first_says_where_it_began() -> None:
    reporter = BufferingReporter()
    reporter.resumed(4)
    reporter.resumed(0)
    assert reporter.take().first_step == 4


def test_batch_that_could_not_be_written_comes_again_in_order() -> None:
    reporter = BufferingReporter()
    reporter.resumed(0)
    reporter.progress(0, 10, "steps")
    reporter.metrics(1, {"loss": 1.0})
    lost = reporter.take()
    reporter.metrics(2, {"loss": 0.9})
    reporter.progress(2, 10, "steps")
    reporter.give_back(lost)
    again = reporter.take()
    assert [step for step, _, _ in again.points] == [1, 2]
    assert (again.progress, again.first_step) == ((2, 10, "steps"), 0)


def test_no_secret_reaches_the_log() -> None:
    reporter = BufferingReporter()
    reporter.log("token hf_" + "a" * 34 + " for https://ann:secret@host/x")
    (line,) = reporter.take().lines
    assert line == "token … for https://…@host/x"


def test_a_fast_stage_is_told_in_batches_that_one_transaction_may_write() -> None:
    """Two batches and 100 points: each at most what the database takes, oldest first, none lost."""
    reporter = BufferingReporter()
    for step in range(BATCH_ROWS + 50):
        reporter.metrics(step, {"loss": 1.0, "lr": 1.0})
    assert reporter.full
    batches = [reporter.take(), reporter.take()]
    assert reporter.full is False
    batches.append(reporter.take())
    assert [len(batch.points) for batch in batches] == [BATCH_ROWS, BATCH_ROWS, 100]
    assert [step for batch in batches for step, name, _ in batch.points if name == "lr"] == list(range(BATCH_ROWS + 50))


def test_the_pace_has_a_point_for_each_part_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """One second a step of 1,000: each step of the first 2 %, then each percent; told once, and again where it could
    not be written."""
    clock = iter(range(10_000))
    monkeypatch.setattr("workers.queue.reporter.time.monotonic", lambda: float(next(clock)))
    reporter = BufferingReporter()
    for step in range(1_001):
        reporter.progress(step, 1_000, "steps")
    pace = reporter.take().pace
    assert [share for share, _ in pace[:22]] == [step / 1_000 for step in range(21)] + [0.03]
    assert len(pace) == 21 + 98
    assert pace[-1][0] == 1.0
    reporter.give_back(Batch(progress=None, points=(), lines=(), first_step=None, pace=pace[:3]))
    assert reporter.take().pace == pace[:3]


def test_a_stage_that_says_shares_of_its_work_is_not_timed_by_what_it_counts() -> None:
    reporter = BufferingReporter()
    reporter.share(0.0)
    reporter.progress(9, 10, "pairs")
    reporter.share(0.5)
    batch = reporter.take()
    assert [share for share, _ in batch.pace] == [0.0, 0.5]
    assert batch.progress == (9, 10, "pairs")


def test_a_training_writes_a_line_at_its_first_step_and_of_each_tenth() -> None:
    reporter = BufferingReporter()
    reporter.progress(0, 200, "steps")
    for step in range(1, 201):
        reporter.metrics(step, {"loss": 1 / step, "rewards/accuracies": 0.5, "rewards/margins": 0.25, "lr": 1e-5})
    lines = reporter.take().lines
    assert [line.partition(":")[0] for line in lines] == [f"Step {step} of 200" for step in (1, *range(20, 201, 20))]
    assert lines[1] == "Step 20 of 200: loss 0.0500, reward accuracy 50.0 %, reward margin 0.250, learning rate 1e-05."


def test_what_libraries_warn_of_is_a_line_of_the_stage_once() -> None:
    reporter = BufferingReporter()
    with warnings_in(reporter):
        for _ in range(2):
            logging.getLogger("py.warnings").warning("numpy: too old\n  more of it")
    logging.getLogger("py.warnings").warning("later")
    assert reporter.take().lines == ("Warning: numpy: too old",)
