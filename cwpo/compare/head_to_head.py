"""Two aligned models against each other on the same prompts, from stored answers and scores. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cwpo.compare.configured_run import DIFFERENT_JUDGES, NO_COMMON_PROMPT, NO_COMMON_SEED, ONE_SEED, ComparedRun
from cwpo.data.related.outcomes import clusters_at, clusters_in
from cwpo.statistics import intervals
from cwpo.statistics.shares import share
from cwpo.statistics.simultaneous import told

NOT_SCORED = "not scored yet"


@dataclass(frozen=True, kw_only=True)
class HeadToHead:
    """Share of prompts that the first wins against the second, ties half; `reason` says why there are no figures."""

    first_label: str
    second_label: str
    share: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None  # of a share of one half
    detectable: float | None = None  # smallest true distance from one half found 4 times in 5
    another: float | None = None  # half-width of the 95 % interval for this share under one more seed
    wins: int = 0  # over all seeds, as ties and losses
    ties: int = 0
    losses: int = 0
    tokens: float | None = None
    second_tokens: float | None = None
    n_prompts: int = 0
    n_seeds: int = 0
    note: str = ""
    reason: str | None = None

    @property
    def is_real(self) -> bool:
        """The interval leaves out one half and the test agrees: the only result that may be emphasised."""
        return intervals.is_real(self.low, self.high, self.p, 0.5)

    @property
    def told(self) -> str:
        """Whether the share differs from one half, by less than matters, both, or neither."""
        return "" if self.low is None or self.high is None else told(self.low - 0.5, self.high - 0.5)


def head_to_head(
    first: Sequence[ComparedRun], second: Sequence[ComparedRun], scores: pd.DataFrame, *, labels: tuple[str, str]
) -> HeadToHead:
    """Sample k of the first meets sample k of the second under each seed; whom each was aligned against is no matter.

    `scores`: run_id, prompt_id, sample, score, answer, tokens and judge of the aligned answers (queries.scores), and
    where they are known the cluster of the prompt.
    """
    figures = _figures(first, second, scores)
    return HeadToHead(first_label=labels[0], second_label=labels[1], **figures)


def _figures(first: Sequence[ComparedRun], second: Sequence[ComparedRun], scores: pd.DataFrame) -> dict[str, Any]:
    scored = set(scores["run_id"].tolist())
    ours, theirs = ({run.seed: run.id for run in side if run.id in scored} for side in (first, second))
    if not ours or not theirs:
        return {"reason": NOT_SCORED}
    seeds = sorted(set(ours) & set(theirs))
    if not seeds:
        return {"reason": NO_COMMON_SEED}
    met = {seed: _meet(scores, ours[seed], theirs[seed]) for seed in seeds}
    if any((rows["judge"] != rows["judge_second"]).any() for rows in met.values()):
        return {"reason": DIFFERENT_JUDGES}
    outcomes = pd.DataFrame({seed: rows.groupby("prompt_id")["outcome"].mean() for seed, rows in met.items()})
    outcomes = outcomes.dropna()
    clusters = clusters_at(clusters_in(scores), outcomes.index)
    table = outcomes.T.to_numpy(dtype=np.float64)
    if table.size == 0:
        return {"reason": NO_COMMON_PROMPT}
    found, tally = share(table, clusters), intervals.gra(table)
    every = pd.concat(met.values())
    return {
        "share": found.estimate,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "detectable": found.detectable,
        "another": found.another,
        "wins": tally.wins,
        "ties": tally.ties,
        "losses": tally.losses,
        "tokens": float(every["tokens"].mean()),
        "second_tokens": float(every["tokens_second"].mean()),
        "n_prompts": found.prompts,
        "n_seeds": found.seeds,
        "note": ONE_SEED if found.seeds == 1 else "",
    }


def _meet(scores: pd.DataFrame, first: int, second: int) -> pd.DataFrame:
    """Answers of two runs side by side: 1 where the first scores higher, ½ for a tie, 0 otherwise. The same answer
    ties, whatever the last bits of its two scores are: they are computed in different batches."""
    one, other = (scores[scores["run_id"] == run_id] for run_id in (first, second))
    rows = one.merge(other, on=["prompt_id", "sample"], suffixes=("", "_second"))
    higher = (np.sign(rows["score"] - rows["score_second"]) + 1) / 2
    return rows.assign(outcome=np.where(rows["answer"] == rows["answer_second"], 0.5, higher))
