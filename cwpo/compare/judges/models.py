"""Win rates by a judge model over seeds, beside the gold reward's view of the same answers. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cwpo.compare.configured_run import ComparedRun, Configs
from cwpo.compare.gra import gra_table
from cwpo.compare.two_judges import gold_table

Summaries = Mapping[int, Mapping[str, Any]]  # of judge stages, by run


@dataclass(frozen=True, kw_only=True)
class JudgeRow:
    """One setting as a judge model sees it: GRA's own counting and interval, with verdicts in place of scores."""

    group_key: str
    label: str
    method: str
    estimate: float
    low: float
    high: float
    interval_method: str
    n_prompts: int
    n_seeds: int
    ties: int  # over all seeds: prompts on which the orders disagreed or cancelled out
    gold: float | None  # GRA of the same answers, on the prompts that both judged
    same_side: float | None  # share of prompts that judge and gold reward call won, lost or tied alike
    same_low: float | None
    same_high: float | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    orders_agree: float | None  # share of shown pairs on which both orders chose the same answer
    first_shown: float | None  # share of verdicts for what was shown first
    calls: int
    unread: int  # replies that named no letter
    note: str
    human: float | None = None  # agreement with human labels
    human_low: float | None = None
    human_high: float | None = None
    human_pairs: int = 0


def judge_table(
    runs: Sequence[ComparedRun],
    own: pd.DataFrame,
    verdicts: pd.DataFrame,
    summaries: Summaries,
    *,
    configs: Configs | None = None,
    cards: Summaries | None = None,
) -> list[JudgeRow]:
    """One row per setting that the judge model compared. `own` and `verdicts`: outcomes by prompt with their clusters,
    of the gold reward and of the judge; `cards`: what is known of the judge by human labels, by run."""
    alike = {row.group_key: row for row in gold_table(runs, own, verdicts, configs=configs)}
    found = []
    for row in gra_table(runs, verdicts, configs=configs):
        both, said = alike.get(row.group_key), [summaries[run] for run in row.run_ids if run in summaries]
        card = next((cards[run] for run in row.run_ids if cards and run in cards), None)
        found.append(
            JudgeRow(
                group_key=row.group_key,
                label=row.label,
                method=row.method,
                estimate=row.estimate,
                low=row.low,
                high=row.high,
                interval_method=row.interval_method,
                n_prompts=row.n_prompts,
                n_seeds=row.n_seeds,
                ties=row.ties,
                gold=both.estimate if both else None,
                same_side=both.same_side if both else None,
                same_low=both.same_low if both else None,
                same_high=both.same_high if both else None,
                kappa=both.kappa if both else None,
                kappa_low=both.kappa_low if both else None,
                kappa_high=both.kappa_high if both else None,
                orders_agree=_mean(said, "orders_agree"),
                first_shown=_mean(said, "first_shown"),
                calls=sum(int(one.get("calls", 0)) for one in said),
                unread=sum(int(one.get("unread", 0)) for one in said),
                note=row.note,
                **_human(card),
            )
        )
    return found


def _human(card: Mapping[str, Any] | None) -> dict[str, Any]:
    """Agreement with human labels, where it was asked for."""
    if card is None:
        return {}
    return {
        "human": card["q"], "human_low": card["q_low"], "human_high": card["q_high"], "human_pairs": card["pairs"],
    }  # fmt: skip


def _mean(summaries: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [float(one[name]) for one in summaries if one.get(name) is not None]
    return sum(known) / len(known) if known else None
