"""The along stage: answers of the models that an alignment kept, under two judges, over their distance moved."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cwpo.data.related.outcomes import CLUSTER
from cwpo.errors import ArtifactError
from cwpo.evaluation.along.judged import JUDGES, Bench, answer_rows, figures, rounded, said
from cwpo.evaluation.generation import answers_to, read_samples, write_samples
from cwpo.evaluation.gra import compare
from cwpo.full_disk import waits_for_room, when_room
from cwpo.models.load import ModelRef
from cwpo.records import Sample
from cwpo.reporting import InParts
from cwpo.sealed import damage_of, sealed_folder, set_aside
from cwpo.stages.along.settings import AlongSettings
from cwpo.stages.context import StageContext
from cwpo.training.finishing import kept_models

ANSWERS_FILE = "answers.parquet"
KEPT = "samples"  # the sealed folder with all answers of one model, beside the checkpoints
WRITING, SCORED = 0.9, 0.95  # of the work is done when answers are written, and when the gold reward has scored them


def run_along(ctx: StageContext[AlongSettings]) -> dict[str, Any]:
    """Write answers.parquet; the summary has a point for each kept model, the final one last, and its outcomes by
    prompt. Answers of a model that were all written before a kill are read back."""
    parts, models = InParts(ctx.reporter), kept_models(ctx.inputs["model"])
    ctx = replace(ctx, reporter=parts)
    bench = Bench.of(ctx)
    steps = int(json.loads((ctx.inputs["model"] / "summary.json").read_text())["steps"])
    if not models and steps > 1:
        raise ArtifactError("The alignment kept no models along its training; delete its stage and retry the run.")
    found: dict[int, list[Sample]] = {}
    for place, (step, folder) in enumerate(models):
        parts.part(WRITING * place / len(models), WRITING * (place + 1) / len(models))
        found[step] = _answers(ctx, bench, step, folder)
    parts.part(WRITING, SCORED)
    found[steps], final = bench.stored("samples", "scores")
    opponent, baseline = bench.stored("baseline_samples", "baseline_scores")
    written = [one for step in found if step != steps for one in found[step]]
    gold = np.concatenate([bench.score("gold", written) if written else np.empty(0), final, baseline])
    every = [*written, *found[steps], *opponent]
    parts.part(SCORED, 1.0)
    scores = {"gold": gold} | ({"second": bench.score("second", every)} if "second" in bench.judges else {})
    _write(ctx.out, found, scores)
    ctx.reporter.progress(len(bench.prompts), len(bench.prompts), "prompts")
    return {"steps": steps, **_summary(bench, found, opponent, scores, ctx.settings.equal_texts)}


def _answers(ctx: StageContext[AlongSettings], bench: Bench, step: int, folder: Path) -> list[Sample]:
    """Those of one kept model, kept under a checksum beside the checkpoints when they are complete; damaged ones are
    set aside and made again, which is said. What a version before checksums kept is not read."""
    own = ctx.checkpoints / f"step-{step:07d}"
    when_room(lambda: own.mkdir(parents=True, exist_ok=True))
    kept = own / KEPT
    if kept.exists():
        damage = damage_of(kept)
        if damage is None:
            return read_samples(kept)
        set_aside(kept)
        ctx.reporter.noted(
            f"The answers of the model after step {step:,} are damaged and set aside ({damage}): they are made again."
        )
    samples = answers_to(replace(ctx, checkpoints=own), bench.prompts, ModelRef(artifact=folder))
    _keep(samples, kept)
    return samples


@waits_for_room
def _keep(samples: Sequence[Sample], kept: Path) -> None:
    with sealed_folder(kept) as aside:
        write_samples(samples, aside)


@waits_for_room
def _write(out: Path, found: Mapping[int, Sequence[Sample]], scores: Mapping[str, Any]) -> None:
    """answers.parquet: step, answer, its scores."""
    rows = pd.DataFrame([{"step": step, **asdict(one)} for step, samples in found.items() for one in samples])
    for judge in JUDGES:
        rows[judge] = scores[judge][: len(rows)] if judge in scores else np.nan
    rows.astype({CLUSTER: "string"}).to_parquet(out / ANSWERS_FILE, index=False)


def _summary(
    bench: Bench, found: Mapping[int, Sequence[Sample]], opponent: Sequence[Sample], scores: Mapping[str, Any],
    equal_texts: str,
) -> dict[str, Any]:  # fmt: skip
    """Points with intervals over the prompts of this run, and outcomes by prompt for who pools runs."""
    points, cells, first, known = [], [], 0, pd.DataFrame()
    for step, samples in found.items():
        span = slice(first, first + len(samples))
        first += len(samples)
        point: dict[str, Any] = {"step": step}
        cell: dict[str, Any] = {}
        for judge, every in scores.items():
            rows = answer_rows(samples, every[span])
            met = compare(
                rows, answer_rows(opponent, every[-len(opponent) :]), tie_epsilon=0.0, equal_texts=equal_texts
            )
            known = met
            clusters = _clusters(met)
            outcomes = met["outcome"].to_numpy(dtype=np.float64)
            point[judge], point[f"{judge}_low"], point[f"{judge}_high"] = figures(outcomes, clusters)
            point["kl"] = float(met["logratio"].mean())
            point["tokens"] = float(met["tokens"].mean())
            cell[judge] = rounded(outcomes)
            cell["logratio"] = rounded(met["logratio"].to_numpy(dtype=np.float64))
        points.append(point)
        cells.append(cell)
    return {**said(bench, known["prompt_id"].tolist(), _clusters(known)), "points": points, "cells": cells}


def _clusters(rows: pd.DataFrame) -> list[str]:
    """Of each prompt the cluster, or itself."""
    if CLUSTER not in rows:
        return [str(one) for one in rows["prompt_id"]]
    return [str(one) for one in rows[CLUSTER].fillna(rows["prompt_id"])]
