"""Outcomes out of the database with the clusters of their prompts, which every interval over prompts needs."""

from collections.abc import Collection

import pandas as pd

from cwpo.data.related.clusters import clusters_of, from_groups
from cwpo.data.related.outcomes import with_clusters
from db import queries
from db.engine import Session
from db.queries.results import EVALUATION_SLOT

SANDBOX = "sandbox"


def outcomes(session: Session, run_ids: Collection[int], *, slot: str = EVALUATION_SLOT) -> pd.DataFrame:
    """Published outcomes of the runs by prompt, as `queries.outcomes` has them, and the cluster of each prompt."""
    return related(session, queries.outcomes(session, run_ids, slot=slot))


def related(session: Session, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of runs and prompts with the cluster of each prompt: as the data stage found it, else by the stored texts of
    the held-out prompts alone."""
    stages, said = queries.held_out_stages(session, rows["run_id"].unique().tolist())
    found = {stage: from_groups(one.groups) for stage, one in said.items() if one.groups is not None}
    unknown = {stage for stage in stages.values() if stage not in found}
    for stage, texts in (queries.prompt_texts(session, unknown) if unknown else {}).items():
        found[stage] = clusters_of(texts, sandbox=said[stage].dataset == SANDBOX)
    return with_clusters(rows, {run_id: found[stage] for run_id, stage in stages.items() if stage in found})
