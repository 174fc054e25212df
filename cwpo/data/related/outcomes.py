"""The clusters of the prompts that runs answered, as a column beside their outcomes. Torch-free."""

from collections.abc import Iterable, Mapping

import pandas as pd

CLUSTER = "cluster"


def with_clusters(rows: pd.DataFrame, by_run: Mapping[int, Mapping[str, str]]) -> pd.DataFrame:
    """Rows of runs and prompts with the cluster of each prompt; who is in none of the run's clusters is its own."""
    found = rows["prompt_id"].copy()
    for clusters, runs in _by_mapping(by_run):
        mine = rows["run_id"].isin(runs)
        found[mine] = found[mine].map(lambda name, known=clusters: known.get(name, name))
    return rows.assign(**{CLUSTER: found})


def clusters_in(rows: pd.DataFrame) -> dict[str, str]:
    """Prompt -> cluster of the prompts that are not alone in theirs; empty where rows say nothing of clusters."""
    if CLUSTER not in rows:
        return {}
    each = rows[["prompt_id", CLUSTER]].drop_duplicates("prompt_id")
    shared = each[each[CLUSTER].duplicated(keep=False)]
    return dict(zip(shared["prompt_id"], shared[CLUSTER], strict=True))


def clusters_at(clusters: Mapping[str, str], prompts: Iterable[str]) -> list[str] | None:
    """The cluster of each prompt, for an interval over them; None where every prompt is its own."""
    named = list(prompts)
    return [clusters.get(name, name) for name in named] if any(name in clusters for name in named) else None


def _by_mapping(by_run: Mapping[int, Mapping[str, str]]) -> list[tuple[Mapping[str, str], list[int]]]:
    """The runs that share one mapping, so that each is applied once."""
    found: dict[int, tuple[Mapping[str, str], list[int]]] = {}
    for run, clusters in by_run.items():
        if clusters:
            found.setdefault(id(clusters), (clusters, []))[1].append(run)
    return list(found.values())
