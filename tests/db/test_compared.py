"""The runs of Compare in one query, on both databases."""

from sqlalchemy import update

from db import queries
from db.engine import Engines, read_scope, session_scope
from db.models import Run
from tests.db.done import done
from tests.db.make import new_run, submit
from tests.db.test_queries import counted

__all__ = ["done"]  # the fixture of that name


def test_runs_come_with_their_result_and_their_judge_in_one_query(done: tuple[Engines, int]) -> None:
    """One that is evaluated, one that is queued; by number, by sweep and by setting; what is not there is left out."""
    database, run = done
    waiting = submit(database, run=new_run(seed=1, sweep_id="s", group_key="h" * 64), align="=2").run_id
    with read_scope(database) as session, counted(database) as said:
        rows = queries.compared_runs(session, run_ids=[waiting, run, 999], limit=10)
    assert len(said) == 1
    assert [row.id for row in rows] == [run, waiting]
    with read_scope(database) as session:
        listed = {row.id: row for row in queries.list_runs(session, limit=10).rows}
        assert [(row.evaluation, row.judge, row.status) for row in rows] == [
            (listed[row.id].evaluation, listed[row.id].judge, listed[row.id].status) for row in rows
        ]
        assert rows[0].evaluation is not None
        assert rows[1].evaluation is None
        assert [row.id for row in queries.compared_runs(session, sweep_id="s", limit=10)] == [waiting]
        assert [row.id for row in queries.compared_runs(session, group_keys=["g" * 64], limit=10)] == [run]
        assert queries.compared_runs(session, limit=10) == []
        assert [one.id for one in queries.newest_evaluated(session, 10)] == [run]
        stages = queries.stages_of_runs(session, [run])[run]
        align = next(stage.stage_id for stage in stages if stage.slot == "align")
        assert queries.stages_in_slot(session, [run], "align") == {run: align}


def test_the_other_runs_of_the_settings_come_behind_the_chosen_ones_in_the_same_query(
    done: tuple[Engines, int],
) -> None:
    """An archived seed of the same setting is a sibling; another setting is not."""
    database, run = done
    other = submit(database, run=new_run(seed=1, group_key="g" * 64), align="=2").run_id
    apart = submit(database, run=new_run(seed=2, group_key="h" * 64), align="=3").run_id
    with session_scope(database) as session:
        session.execute(update(Run).where(Run.id == other).values(archived=True))
    with read_scope(database) as session, counted(database) as said:
        rows = queries.compared_runs(session, run_ids=[run], siblings=True, limit=10)
    assert len(said) == 1
    assert [row.id for row in rows] == [run, other]
    with read_scope(database) as session:
        rows = queries.compared_runs(session, group_keys=["g" * 64, "h" * 64], siblings=True, limit=10)
    assert [row.id for row in rows] == [run, apart, other]
