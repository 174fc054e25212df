"""The evaluation stage: gold reward accuracy (GRA) of aligned against baseline answers, with its interval."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cwpo.data.related.outcomes import CLUSTER
from cwpo.errors import ArtifactError
from cwpo.full_disk import when_room
from cwpo.stages.context import StageContext
from cwpo.stages.settings import EvaluationSettings
from cwpo.statistics import intervals

OUTCOMES_FILE = "outcomes.parquet"
SAMPLE_COLUMNS = ["prompt_id", "sample", "text", "tokens", "logp", "reference_logp"]
SCORE_COLUMNS = ["prompt_id", "sample", "score", "ungrammatical"]


def run_evaluation(ctx: StageContext[EvaluationSettings]) -> dict[str, Any]:
    """Write outcomes.parquet, one row per prompt; the summary is the GRA row of the run."""
    aligned = _answers(ctx.inputs, "samples", "scores")
    baseline = _answers(ctx.inputs, "baseline_samples", "baseline_scores")
    outcomes = compare(aligned, baseline, tie_epsilon=ctx.settings.tie_epsilon, equal_texts=ctx.settings.equal_texts)
    when_room(lambda: outcomes.to_parquet(ctx.out / OUTCOMES_FILE, index=False))
    ctx.reporter.progress(len(outcomes), len(outcomes), "prompts")
    return summary(outcomes, samples=aligned["sample"].nunique())


def compare(
    aligned: pd.DataFrame, baseline: pd.DataFrame, *, tie_epsilon: float, equal_texts: str = "scored"
) -> pd.DataFrame:
    """One row per prompt. Sample k meets baseline sample k: 1 for a win, ½ for a tie, 0 for a loss, then their mean.

    equal_texts: "tie" makes the same text on both sides a tie, whatever the last bits of its two scores are: they are
    computed in different batches. `cluster` of the aligned answers is kept where it is there.

    `logratio` = mean of log π(y) − log π_ref(y) in nats over the aligned model's own answers: an estimate of the KL
    divergence from the reference at this prompt.
    """
    keys = ["prompt_id", "sample"]
    both = aligned.merge(baseline, on=keys, how="outer", suffixes=("", "_baseline"), indicator=True)
    if not (both["_merge"] == "both").all():
        raise ArtifactError(
            "The aligned and the baseline model did not answer the same prompts; delete both answer stages and retry."
        )
    gap = both["score"].to_numpy(dtype=float) - both["score_baseline"].to_numpy(dtype=float)
    ties = np.abs(gap) <= tie_epsilon
    if equal_texts == "tie":
        ties |= (both["text"] == both["text_baseline"]).to_numpy(dtype=bool)
    rows = pd.DataFrame(
        {
            "prompt_id": both["prompt_id"],
            "outcome": np.where(ties, 0.5, (gap > 0).astype(float)),
            "score": both["score"],
            "baseline_score": both["score_baseline"],
            "tokens": both["tokens"],
            "baseline_tokens": both["tokens_baseline"],
            "logratio": both["logp"] - both["reference_logp"],
            "ungrammatical": both["ungrammatical"],
            "baseline_ungrammatical": both["ungrammatical_baseline"],
        }
    )
    numbers = [column for column in rows.columns if column != "prompt_id"]
    rows[numbers] = rows[numbers].astype("float64")
    outcomes = rows.groupby("prompt_id", sort=True).mean().reset_index()
    if CLUSTER in aligned:
        outcomes[CLUSTER] = outcomes["prompt_id"].map(dict(zip(aligned["prompt_id"], aligned[CLUSTER], strict=True)))
    return outcomes


def summary(outcomes: pd.DataFrame, *, samples: int) -> dict[str, Any]:
    """The GRA row: estimate, counts, interval of this one run, and what must be read beside it."""
    tally = intervals.gra(outcomes["outcome"].to_numpy())
    clusters = outcomes[CLUSTER if CLUSTER in outcomes else "prompt_id"].tolist()
    interval = intervals.single_run_interval(outcomes["outcome"].to_numpy(), clusters)
    return {
        "gra": tally.gra,
        "gra_strict": tally.strict,
        "gra_ties_dropped": tally.ties_dropped,
        "wins": tally.wins,
        "ties": tally.ties,
        "losses": tally.losses,
        "prompts": len(outcomes),
        **({"clusters": len(set(clusters))} if CLUSTER in outcomes else {}),
        "samples": samples,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "interval_method": interval.method,
        "mean_tokens": _mean(outcomes["tokens"]),
        "baseline_mean_tokens": _mean(outcomes["baseline_tokens"]),
        "kl": _mean(outcomes["logratio"]),
        "ungrammatical": _mean(outcomes["ungrammatical"]),
        "baseline_ungrammatical": _mean(outcomes["baseline_ungrammatical"]),
        "mean_score": _mean(outcomes["score"]),
        "baseline_mean_score": _mean(outcomes["baseline_score"]),
    }


def _answers(inputs: Mapping[str, Any], samples: str, scores: str) -> pd.DataFrame:
    """Answers of one model with their scores."""
    answered = pd.read_parquet(inputs[samples] / "samples.parquet")
    answered = answered[[*SAMPLE_COLUMNS, *([CLUSTER] if CLUSTER in answered else [])]]
    scored = pd.read_parquet(inputs[scores] / "scores.parquet", columns=SCORE_COLUMNS)
    joined = answered.merge(scored, on=["prompt_id", "sample"], how="outer", validate="one_to_one")
    if len(joined) != len(answered) or joined["score"].isna().any():
        raise ArtifactError(f"Some answers of {samples} have no score; delete the scores stage and retry.")
    return joined


def _mean(values: pd.Series) -> float | None:
    """Mean of what is known; None when nothing is (no oracle, no reference)."""
    known = values.dropna()
    return float(known.mean()) if len(known) else None
