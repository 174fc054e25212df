"""A run of this process as one row of a comparison, from its artifacts alone: no database is needed."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cwpo.evaluation import OUTCOMES_FILE
from cwpo.stages.pipeline import RunResult
from workers.beside import END_METRICS, beside
from workers.compared import compared
from workers.comparison import GraRow, gra_table
from workers.terms import table_notes

RUN_ID = 0  # it has no number of its own


def gra_row(result: RunResult, curves: Sequence[Mapping[str, Any]]) -> GraRow:
    """GRA with the distance and the length beside it; `curves`: metric points of alignment."""
    outcomes = pd.read_parquet(result.stages["evaluation"].path / OUTCOMES_FILE).assign(run_id=RUN_ID)
    known = beside({RUN_ID: result.config.canonical()}, _ends(curves))
    return gra_table([compared(RUN_ID, result.config, result.config.group_key())], outcomes, beside=known)[0]


def notes(result: RunResult) -> tuple[str, str]:
    """On what terms its GRA was counted, and what another seed would move."""
    run = compared(RUN_ID, result.config, result.config.group_key())
    return table_notes([run], {RUN_ID: result.config.canonical()})


def _ends(curves: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Mean of each curve over the last tenth of its steps, as `db.queries.final_metrics` takes it."""
    rows = []
    for name in END_METRICS:
        points = [point for point in curves if point["name"] == name]
        last = max((point["step"] for point in points), default=0)
        kept = [point["value"] for point in points if 10 * point["step"] > 9 * last]
        rows += [(RUN_ID, name, sum(kept) / len(kept))] if kept else []
    return pd.DataFrame(rows, columns=["run_id", "name", "value"])
