"""Which setting the others are held against where nobody chose one. Pure: rows in, a group key out."""

from collections import Counter
from collections.abc import Sequence

from cwpo.compare.gra import GraRow

PLANNED_PAIRS = "planned"  # instead of one setting: cw − weak and cw − human, each within its own setting
# The first of these that is shown: human labels are the baseline that weak labels have to reach, uniform weak labels
# what the paper holds confidence weighting against.
BASELINES = ("human", "weak", "human_labeled", "human_100")


def usual_reference(rows: Sequence[GraRow]) -> str:
    """Group key of the human baseline, else of weak labels, else of the first row; "" without two settings. Of several
    with one method the one that shares objective and configuration with most other rows, then the first."""
    if len(rows) < 2:
        return ""
    methods = {row.method for row in rows}
    method = next((name for name in BASELINES if name in methods), rows[0].method)
    beside = Counter((row.objective, row.place) for row in rows)
    offered = [row for row in rows if row.method == method]
    return max(offered, key=lambda row: beside[row.objective, row.place]).group_key


def named_reference(pinned: str, rows: Sequence[GraRow]) -> str:
    """What an address pins: the start of a group key, or the planned pairs; what is not shown counts as nothing, and
    then the usual one is meant."""
    if pinned == PLANNED_PAIRS:
        return PLANNED_PAIRS
    found = next((row.group_key for row in rows if pinned and row.group_key.startswith(pinned)), "")
    return found or usual_reference(rows)
