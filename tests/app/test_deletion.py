"""What deleting runs means is said before: what is freed, and what stays because others use it."""

import pytest
from sqlalchemy import select

from app.components.keeping.deletion import loss_sentence
from cwpo.report.numbers import size
from db import queries
from db.models import Artifact, Stage
from db.records.keeping import Loss
from tests.app.visits import Computed, visit, words
from workers.machine.database import reading

BACK = "Undo brings everything back for ten minutes."


def test_what_a_run_alone_uses_is_freed_and_the_rest_stays(computed: Computed) -> None:
    """Of a computed run: the sentence stands over the button, before anything is deleted."""
    run = next(row.id for row in computed.rows() if row.method == "cw" and row.seed == 1)
    with reading() as session:
        stages = queries.run_stages(session, run)
        stored = dict(session.execute(select(Artifact.stage_id, Artifact.bytes).join(Stage)).tuples().all())
    own = [stored[one.stage_id] for one in stages if one.shared_by == 1 and one.stage_id in stored]
    shared = {one.stage_id for one in stages if one.shared_by > 1 and one.stage_id in stored}
    assert len(own) > 1
    assert len(shared) > 1
    page = visit("run", run=str(run))
    assert "Frees" not in words(page)
    page.session_state["run_delete_form"] = True
    page.run()
    frees = f"Frees {size(sum(own))} in {len(own)} artifacts; "
    assert f"{frees}{len(shared)} artifacts are used by other runs and stay. {BACK}" in words(page)
    assert page.button(key="run_delete").label == "Delete"


@pytest.mark.parametrize(
    ("loss", "runs", "said"),
    [
        (Loss(artifacts=0, bytes=0, kept=0), 0, "A run that is queued or running cannot be deleted: cancel it first."),
        (Loss(artifacts=0, bytes=0, kept=0), 1, f"Frees nothing. {BACK}"),
        (Loss(artifacts=1, bytes=12_345_678, kept=0), 2, f"Frees 12.3 MB in 1 artifact. {BACK}"),
        (
            Loss(artifacts=0, bytes=0, kept=1, named=("steady@1",)), 1,
            f"Frees nothing; 1 artifact is used by other runs and stays. steady@1 stays, because it has a name. {BACK}",
        ),
        (
            Loss(artifacts=2, bytes=999, kept=3, named=("a@1", "b@2")), 1,
            "Frees 999 B in 2 artifacts; 3 artifacts are used by other runs and stay. a@1, b@2 stay, because they have "
            f"a name. {BACK}",
        ),
    ],
)  # fmt: skip
def test_the_sentence_of_a_loss_counts_one_and_several(loss: Loss, runs: int, said: str) -> None:
    assert loss_sentence(loss, runs).replace("\u00a0", " ") == said
