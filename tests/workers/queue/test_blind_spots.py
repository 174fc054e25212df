"""Blind spots of a finished run: one further stage on demand, which a run that has them from the start shares."""

from pathlib import Path

import pytest

from cwpo.compare.questions.spots import spot_rows
from cwpo.errors import ConfigError
from cwpo.stages.graph import BLIND_SPOTS
from db import queries
from tests.workers.computed import finish
from tests.workers.working import be_the_worker
from tests.workers.workplace import Workplace
from workers import api
from workers.machine.database import reading
from workers.queue import job


def test_a_finished_run_is_looked_at_once_and_nothing_is_trained_again(
    workplace: Workplace, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_the_worker(monkeypatch)
    run = api.submit_run(workplace.config(method="cw")).run_id
    human = api.submit_run(workplace.config(method="human")).run_id
    finish(kept, run, human)
    with reading() as session:
        before = {stage.slot: stage.attempts for stage in queries.run_stages(session, run)}
    (made,) = api.look_for_blind_spots([run])
    job.work(0)
    with reading() as session:
        after = {stage.slot: stage.attempts for stage in queries.run_stages(session, run)}
        summary = queries.summaries(session, [run], (BLIND_SPOTS,))[BLIND_SPOTS][run]
        annotations = queries.label_summary(session, run)
    assert after == {**before, BLIND_SPOTS: 1}
    assert (made.run_id, made.reused) == (run, 0)
    rows = spot_rows(summary["blind_spots"])
    assert annotations is not None
    assert rows[-1].n == sum(row.n for row in rows[:-1]) == annotations.n
    assert api.submit_run(workplace.config(method="cw", evaluation={"blind_spots": True})).reused == len(after)
    with pytest.raises(ConfigError, match="no annotator"):
        api.look_for_blind_spots([human])
