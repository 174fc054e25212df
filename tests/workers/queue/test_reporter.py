"""What stages say is buffered, told once, given back when it could not be written, and free of secrets."""

from db.engine import BATCH_ROWS
from workers.queue.reporter import BufferingReporter


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
