"""What stages say on their way through a worker: a log to read, the first batch, a pace, and times for who waits."""

import pytest

from db import queries
from db.records import PACE
from tests.workers.workplace import Workplace
from workers import api
from workers.machine.database import reading
from workers.plan import queue_times
from workers.queue import job


def test_a_run_tells_its_story_and_lets_the_next_one_be_timed(place: Workplace) -> None:
    """Each stage says when it started and what came out; each training shows its first batch, whose counted tokens are
    those of its pairs; and the run that waits is timed by the one that is done."""
    run_id = api.submit_run(place.config()).run_id
    with reading() as session:
        before = queue_times.etas(session)[run_id]
    job.work(0)
    with reading() as session:
        lines = queries.log_tail(session, run_id, 1_000)
        seen = queries.looked_at(session, run_id, "first_batch")
        stages = {stage.slot: stage for stage in queries.run_stages(session, run_id)}
        paces = {slot: queries.pace_of(session, stage.stage_id) for slot, stage in stages.items()}
        curve = queries.metrics(session, [stages["align"].stage_id])
    assert before.done_in is None
    assert "align" in before.unmeasured
    for slot in stages:
        own = [line.text for line in lines if line.slot == slot]
        assert own[0].startswith("Started: attempt 1 on ")
        assert own[-1].startswith("Finished after ")
    said = {line.slot: line.text for line in lines if not line.text.startswith("Finished")}
    assert said["align"].startswith("Trained: ")
    assert said["labels"].startswith("Labeled ")
    assert said["evaluation"].startswith("Gold reward accuracy ")
    assert any(line.slot == "align" and line.text.startswith("Step 1 of ") for line in lines)
    assert set(seen) == {"annotator", "gold", "align"}
    align = seen["align"]
    assert align["pairs"] == 16
    assert 0 < align["counted"] < align["tokens"]
    prompt, *answers = align["rows"][0]["parts"]
    assert (sorted(part["name"] for part in answers), prompt["counted_in_all"]) == (["chosen", "rejected"], 0)
    assert PACE not in set(curve["name"])
    for slot in ("annotator", "labels", "reference", "align", "samples"):
        shares = [share for share, _ in paces[slot]]
        assert shares == sorted(set(shares))
        assert shares[-1] == pytest.approx(1.0)
    api.submit_run(place.config(seed=1))
    with reading() as session:
        after = queue_times.times(session)
    (eta,) = after.runs.values()
    assert (eta.ahead, eta.unmeasured) == (0, ())
    assert eta.done_in is not None
    assert eta.done_in == pytest.approx(sum(time.total or 0.0 for time in after.stages.values()))
