"""A run that no database knows as one row of a comparison: from its outcomes and its curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cwpo.compare.alignment_end import END_METRICS, alignment_ends
from cwpo.compare.configured_run import Configs, ConfiguredRun, configured_run
from cwpo.compare.gra import GraRow, gra_table
from cwpo.config.run import RunConfig

RUN_ID = 0  # it has no number of its own


def gra_row(config: RunConfig, outcomes: pd.DataFrame, curves: Sequence[Mapping[str, Any]]) -> GraRow:
    """GRA with the distance and the length beside it; `curves`: metric points of alignment."""
    runs, configs = run_and_config(config)
    return gra_table(
        runs, outcomes.assign(run_id=RUN_ID), configs=configs, ends=alignment_ends(configs, _ends(curves))
    )[0]


def run_and_config(config: RunConfig) -> tuple[list[ConfiguredRun], Configs]:
    """The run as comparisons read it, and its configuration by the number that it has there."""
    return [configured_run(RUN_ID, config, config.group_key())], {RUN_ID: config}


def _ends(curves: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Mean of each curve over the last tenth of its steps, as `db.queries.final_metrics` takes it."""
    rows = []
    for name in END_METRICS:
        points = [point for point in curves if point["name"] == name]
        last = max((point["step"] for point in points), default=0)
        kept = [point["value"] for point in points if 10 * point["step"] > 9 * last]
        rows += [(RUN_ID, name, sum(kept) / len(kept))] if kept else []
    return pd.DataFrame(rows, columns=["run_id", "name", "value"])
