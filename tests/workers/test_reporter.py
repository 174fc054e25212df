"""What stages say is buffered, told once, given back when it could not be written, and free of secrets."""

from workers.reporter import BufferingReporter


def test_everything_said_is_told_once() -> None:
    reporter = BufferingReporter()
    reporter.progress(4, 10, "steps")
    reporter.metrics(5, {"loss": 0.5, "lr": 1.0})
    reporter.progress(5, 10, "steps")
    reporter.log("one\n\ntwo")
    batch = reporter.take()
    assert batch.progress == (5, 10, "steps")
    assert batch.points == ((5, "loss", 0.5), (5, "lr", 1.0))
    assert batch.lines == ("one", "two")
    assert batch.first_step == 4  # resumed after four steps
    assert reporter.take().empty


def test_only_training_has_a_first_step() -> None:
    reporter = BufferingReporter()
    reporter.progress(3, 10, "pairs")
    assert reporter.take().first_step is None


def test_batch_that_could_not_be_written_comes_again_in_order() -> None:
    reporter = BufferingReporter()
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
