"""The best_of stage: the best of n baseline answers by the gold reward, against the baseline, under two judges.

Of N answers to a prompt, a drawing of n without replacement has the answer with the i-th lowest score as its best with
probability C(i − 1, n − 1)/C(N, n): the mean outcome under these weights is an unbiased estimate of what the best of n
fresh answers does (the estimator of Nakano et al. 2021, arXiv 2112.09332, appendix I). Answers with one score share
what the best of them has. The distance is the bound log n − (n − 1)/n of Stiennon et al. 2020, exact where no two
answers score alike.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from cwpo.evaluation.along.judged import Bench, FloatArray, answer_rows, figures, rounded, said
from cwpo.evaluation.along.training import ANSWERS_FILE, SCORED, WRITING
from cwpo.evaluation.generation import answers_to
from cwpo.full_disk import when_room
from cwpo.models.load import model_ref
from cwpo.records import Sample
from cwpo.reporting import InParts
from cwpo.stages.along.settings import BestOfSettings
from cwpo.stages.context import StageContext


def run_best_of(ctx: StageContext[BestOfSettings]) -> dict[str, Any]:
    """Write answers.parquet; the summary has a point for each n and its outcomes by prompt."""
    parts = InParts(ctx.reporter)
    ctx = replace(ctx, reporter=parts)
    bench = Bench.of(ctx)
    parts.part(0.0, WRITING)
    samples = answers_to(ctx, bench.prompts, model_ref(ctx.inputs, "model", ctx.settings))
    parts.part(WRITING, SCORED)
    opponent, baseline = bench.stored("baseline_samples", "baseline_scores")
    scores = {"gold": (bench.score("gold", samples), baseline)}
    parts.part(SCORED, 1.0)
    if "second" in bench.judges:
        every = bench.score("second", [*samples, *opponent])
        scores["second"] = every[: len(samples)], every[len(samples) :]
    rows = answer_rows(samples, scores["gold"][0]).drop(columns="ungrammatical").rename(columns={"score": "gold"})
    rows["second"] = scores["second"][0] if "second" in scores else np.nan
    when_room(lambda: rows.to_parquet(ctx.out / ANSWERS_FILE, index=False))
    ctx.reporter.progress(len(bench.prompts), len(bench.prompts), "prompts")
    return _summary(bench, samples, opponent, scores, ctx.settings)


def best_weights(scores: FloatArray, n: int) -> FloatArray:
    """Chance of each of N answers to be the best of n drawn without replacement; (prompts, N), rows add up to 1."""
    below = (scores[:, None, :] < scores[:, :, None]).sum(axis=-1)
    reach = (scores[:, None, :] <= scores[:, :, None]).sum(axis=-1)
    share = special.comb(reach, n) - special.comb(below, n)
    found: FloatArray = share / (reach - below) / special.comb(scores.shape[1], n)
    return found


def sizes(most: int) -> list[int]:
    """1, 2, 4, …, and the most."""
    return sorted({2**power for power in range(most.bit_length()) if 2**power <= most} | {most})


def distance(n: int) -> float:
    """KL of the best of n from what it draws from, in nats."""
    return math.log(n) - (n - 1) / n


def outcomes_of(
    samples: Sequence[Sample], opponent: Sequence[Sample], scores: FloatArray, theirs: FloatArray, equal_texts: str
) -> pd.Series:
    """Win, tie or loss of each answer, the mean over the opponent's answers to its prompt; by prompt and sample."""
    mine = answer_rows(samples, scores)[["prompt_id", "sample", "text", "score"]]
    other = answer_rows(opponent, theirs)[["prompt_id", "text", "score"]]
    both = mine.merge(other, on="prompt_id", suffixes=("", "_other"))
    gap = (both["score"] - both["score_other"]).to_numpy(dtype=np.float64)
    ties = gap == 0
    if equal_texts == "tie":
        ties |= (both["text"] == both["text_other"]).to_numpy(dtype=bool)
    both["outcome"] = np.where(ties, 0.5, (gap > 0).astype(float))
    return both.groupby(["prompt_id", "sample"], sort=True)["outcome"].mean()


def _summary(
    bench: Bench, samples: Sequence[Sample], opponent: Sequence[Sample],
    scores: dict[str, tuple[FloatArray, FloatArray]], settings: BestOfSettings,
) -> dict[str, Any]:  # fmt: skip
    won = {judge: outcomes_of(samples, opponent, *own, settings.equal_texts) for judge, own in scores.items()}
    graded = answer_rows(samples, scores["gold"][0]).pivot(index="prompt_id", columns="sample", values="score")
    tables = {judge: found.unstack().loc[graded.index].to_numpy(dtype=np.float64) for judge, found in won.items()}
    of_prompt = {one.prompt_id: one.cluster or one.prompt_id for one in samples}
    prompts = [str(one) for one in graded.index]
    clusters = [of_prompt[one] for one in prompts]
    points, cells = [], []
    for n in sizes(settings.decoding.samples):
        weights = best_weights(graded.to_numpy(dtype=np.float64), n)
        point: dict[str, Any] = {"n": n, "kl": distance(n)}
        cell: dict[str, Any] = {}
        for judge, table in tables.items():
            outcomes = np.clip((weights * table).sum(axis=1), 0.0, 1.0)
            point[judge], point[f"{judge}_low"], point[f"{judge}_high"] = figures(outcomes, clusters)
            cell[judge] = rounded(outcomes)
        points.append(point)
        cells.append(cell)
    return {**said(bench, prompts, clusters), "samples": settings.decoding.samples, "points": points, "cells": cells}
