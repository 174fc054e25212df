"""Outcomes out of the database with the clusters of their prompts, which every interval over prompts needs."""

from collections.abc import Collection

import pandas as pd

from cwpo.data.related.clusters import clusters_of, from_groups
from cwpo.data.related.outcomes import with_clusters
from db import queries
from db.engine import Session
from db.queries.results import EVALUATION_SLOT
from db.records import HeldOutPrompts

SANDBOX = "sandbox"


def outcomes(session: Session, run_ids: Collection[int], *, slot: str = EVALUATION_SLOT) -> pd.DataFrame:
    """Published outcomes of the runs by prompt, as `queries.outcomes` has them, and the cluster of each prompt."""
    return _related(session, *queries.outcomes_and_prompts(session, run_ids, slot=slot))


def related(session: Session, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of runs and prompts with the cluster of each prompt."""
    return _related(session, rows, queries.held_out_prompts(session, rows["run_id"].unique().tolist()))


def _related(session: Session, rows: pd.DataFrame, held: HeldOutPrompts) -> pd.DataFrame:
    """Clusters as the data stage found them, else by the stored texts of the held-out prompts alone."""
    found = {stage: from_groups(one.groups) for stage, one in held.said.items() if one.groups is not None}
    unknown = {stage for stage in held.stages.values() if stage in held.said and stage not in found}
    for stage, texts in (queries.prompt_texts(session, unknown) if unknown else {}).items():
        found[stage] = clusters_of(texts, sandbox=held.said[stage].dataset == SANDBOX)
    return with_clusters(rows, {run_id: found[stage] for run_id, stage in held.stages.items() if stage in found})
