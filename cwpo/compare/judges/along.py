"""Over-optimisation: GRA under two judges along training and of the best of n, pooled over seeds. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cwpo.compare.configured_run import ComparedRun, Configs, by_setting, in_order
from cwpo.compare.setting_names import setting_labels
from cwpo.data.related.outcomes import clusters_at
from cwpo.statistics.shares import Share, share

Said = Mapping[str, Any]  # what a stage of kind along or best_of says
BASELINE = "baseline, best of n"


@dataclass(frozen=True, kw_only=True)
class AlongRow:
    """One place of a curve: a model kept along an alignment, or the best of n. Shares in [0, 1], KL in nats.

    second: by the second judge, None without one. gap: gold − second, of which only what grows along a curve says
    anything, because two judges may differ from the start.
    """

    group_key: str  # "" of the best of n
    label: str
    method: str
    place: str  # "step 40 of 200", "n = 4"
    part: float  # of the training, or log2 n
    kl: float
    gold: float
    gold_low: float
    gold_high: float
    second: float | None
    second_low: float | None
    second_high: float | None
    gold_name: str
    second_name: str
    n_prompts: int
    n_seeds: int

    @property
    def gap(self) -> float | None:
        return None if self.second is None else self.gold - self.second


def along_rows(
    runs: Sequence[ComparedRun], said: Mapping[int, Said], *, configs: Configs | None = None
) -> list[AlongRow]:
    """Curves of settings, pooled over the seeds that kept as many models; `said`: of their along stages, by run."""
    groups = by_setting(in_order(runs))
    labels = setting_labels(groups, configs or {})
    found: list[AlongRow] = []
    for key, group in groups.items():
        mine = [said[run.id] for run in group if run.id in said]
        for place, steps in enumerate(_steps(mine)):
            like = [one for one in mine if _of(one) == _of(mine[0])]
            found.append(
                _row(like, place, group_key=key, label=labels[key], method=group[0].method,
                     place=f"step {steps} of {like[0]['steps']}", part=steps / like[0]["steps"])
            )  # fmt: skip
    return found


def best_of_rows(said: Iterable[Said]) -> list[AlongRow]:
    """The curve of the best of n, over the distinct baselines of these runs; each baseline counts once."""
    distinct = list({repr((one["prompt_ids"], one["cells"])): one for one in said}.values())
    if not distinct:
        return []
    like = [one for one in distinct if _of(one) == _of(distinct[0])]
    return [
        _row(like, place, group_key="", label=BASELINE, method="", place=f"n = {point['n']}",
             part=float(np.log2(point["n"])))
        for place, point in enumerate(like[0]["points"])
    ]  # fmt: skip


def turned(rows: Sequence[AlongRow]) -> list[str]:
    """A sentence for each curve whose second judge falls from its best place to the end, by intervals that do not meet,
    while the gold reward is no lower; where there is none, one sentence for all."""
    found, curves = [], 0
    for label in dict.fromkeys(row.label for row in rows):
        curve = [row for row in rows if row.label == label and row.second is not None]
        if len(curve) < 2:
            continue
        curves += 1
        best, last = max(curve, key=lambda row: row.second or 0.0), curve[-1]
        if (best.second_low or 0.0) > (last.second_high or 0.0) and last.gold >= best.gold:
            found.append(
                f"{label}: the second judge is highest at {best.place} (KL {best.kl:.2f}) and "
                f"{100 * ((best.second or 0.0) - (last.second or 0.0)):.1f} points lower at the end, where the gold "
                "reward is no lower: over-optimisation."
            )
    if not found and curves:
        found.append("No curve's second judge falls so far that its intervals at its best place and at the end part.")
    return found


def _of(one: Said) -> tuple[Any, ...]:
    """What runs have to share to be pooled."""
    return one["gold"], one["second"], len(one["points"]), tuple(point.get("n", 0) for point in one["points"])


def _steps(mine: Sequence[Said]) -> list[int]:
    return [int(point["step"]) for point in mine[0]["points"]] if mine else []


def _row(like: Sequence[Said], at: int, **about: Any) -> AlongRow:
    """Seeds × prompts that every run of these answered."""
    gold, clusters = _table(like, at, "gold")
    second, _ = _table(like, at, "second")
    one, other = _share(gold, clusters), None if second is None else _share(second, clusters)
    return AlongRow(
        **about,
        kl=float(np.mean([said["points"][at]["kl"] for said in like])),
        gold=one.estimate, gold_low=one.low, gold_high=one.high,
        second=other.estimate if other else None,
        second_low=other.low if other else None,
        second_high=other.high if other else None,
        gold_name=str(like[0]["gold"]), second_name=str(like[0]["second"] or ""),
        n_prompts=one.prompts, n_seeds=one.seeds,
    )  # fmt: skip


def _share(table: pd.DataFrame | None, clusters: Mapping[str, str]) -> Share:
    found = pd.DataFrame() if table is None else table
    return share(found.to_numpy(dtype=np.float64), clusters_at(clusters, found.columns))


def _table(like: Sequence[Said], at: int, judge: str) -> tuple[pd.DataFrame | None, dict[str, str]]:
    """One row per run, and the clusters that several of its prompts share."""
    if any(judge not in said["cells"][at] for said in like):
        return None, {}
    rows = [pd.Series(said["cells"][at][judge], index=said["prompt_ids"]) for said in like]
    clusters: dict[str, str] = {}
    for said in like:
        clusters |= {name: own for name, own in zip(said["prompt_ids"], said["clusters"], strict=True) if own != name}
    table = pd.DataFrame(rows).dropna(axis="columns")
    return (pd.DataFrame(rows[:1]) if table.empty else table), clusters
