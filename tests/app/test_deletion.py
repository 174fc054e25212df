"""What deleting runs means is said before: what is freed, and what stays because others use it."""

import pytest

from app.components.keeping.deletion import loss_sentence
from db.records.keeping import Loss

BACK = "Undo brings everything back for ten minutes."


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
