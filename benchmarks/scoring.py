"""The annotator: its training against TRL's RewardTrainer, its labeling against transformers' pipeline.

    python -m benchmarks scoring [--shape opt-h512] [--rounds 3] [--anew]

Labeling scores both answers of 48 pairs. The pipeline reads texts of one word per token, padded in batches of 16 in
file order, and tokenizes them inside the timed span; our own span starts at token ids, as tokenizing is 1 % of it. bf16
is left out on a processor that has no instructions for it.
"""

import argparse
import logging
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import pipeline

from benchmarks import ours, peers
from benchmarks.measure import DTYPES, Results, Sample, fast_precisions, peaks, table, timed
from benchmarks.workload import SHAPES, WARM, encoded, scorer, typical, word_tokenizer
from cwpo.models.tokenization import Encoded

BATCH, LABELED, PIPELINE_BATCH = 8, 48, 16
GOALS = {"training: trl default": 4.0, "labeling fp32: pipeline fp32": 4.0, "labeling bf16: pipeline fp32": 6.0}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Annotator training and labeling.")
    parser.add_argument("--shape", choices=list(SHAPES), default="opt-h512")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    options = parser.parse_args(arguments)
    name = options.shape
    results = Results(f"scoring-{name}", anew=options.anew)
    print(f"Annotator, {name}", flush=True)
    for number in range(options.rounds):
        results.take("matmul peak", number, lambda: Sample(more={"gflops": peaks()}))
        for precision in fast_precisions():
            results.take(f"training ours {precision}", number, partial(_train, name, precision))
            results.take(f"labeling ours {precision}", number, partial(_label, name, precision))
        usual = fast_precisions()[0]
        results.take(f"training trl default {usual}", number, partial(_trl, name, bf16=usual == "bf16", best=False))
        results.take("labeling pipeline fp32", number, partial(_pipeline, name, torch.float32))
        results.take("labeling one by one fp32", number, partial(_one_by_one, name))
        if number == 0:
            results.take("training trl default fp32", 0, partial(_trl, name, bf16=False, best=False))
            for precision in fast_precisions():
                more = partial(_trl, name, bf16=precision == "bf16", best=True)
                results.take(f"training trl no checkpointing {precision}", 0, more)
                results.take(f"labeling pipeline {precision}", 0, partial(_pipeline, name, DTYPES[precision]))
    results.summary = summarise(results)
    results.save()
    print(table([{"ratio": k, "x": v} for k, v in results.summary["ratios"].items()]))
    print(table(results.summary["goals"]), flush=True)


def summarise(results: Results) -> dict[str, Any]:
    """Ratios of medians, with their goals."""
    known = [p for p in DTYPES if results.cells.get(f"training ours {p}")]
    better = min(known, key=lambda p: results.median(f"training ours {p}") or 0.0)
    ratios = {
        "training: trl default": min(
            (results.ratio(f"training trl default {p}", f"training ours {better}") for p in ("bf16", "fp32")),
            key=lambda ratio: ratio or float("inf"),
        ),
        "training: trl no checkpointing bf16": results.ratio(
            "training trl no checkpointing bf16", f"training ours {better}"
        ),
        "training fp32: trl no checkpointing fp32": results.ratio(
            "training trl no checkpointing fp32", "training ours fp32"
        ),
        "labeling fp32: pipeline fp32": results.ratio("labeling pipeline fp32", "labeling ours fp32"),
        "labeling bf16: pipeline fp32": results.ratio("labeling pipeline fp32", "labeling ours bf16"),
        "labeling bf16: pipeline bf16": results.ratio("labeling pipeline bf16", "labeling ours bf16"),
        "labeling fp32: one by one fp32": results.ratio("labeling one by one fp32", "labeling ours fp32"),
        "labeling bf16: one by one fp32": results.ratio("labeling one by one fp32", "labeling ours bf16"),
    }  # fmt: skip
    return {
        "training_precision": better,
        "ratios": ratios,
        "goals": [
            {"goal": name, "at least": goal, "measured": ratios[name], "met": (ratios[name] or 0.0) >= goal}
            for name, goal in GOALS.items()
            if ratios[name] is not None
        ],
    }


def _rows(name: str, count: int) -> tuple[list[Encoded], list[Encoded]]:
    vocabulary = SHAPES[name].vocabulary
    return encoded(WARM, vocabulary, seed=1), encoded(typical(count), vocabulary, first=len(WARM))


def _train(name: str, precision: str) -> Sample:
    return ours.annotator(scorer(name), *_rows(name, BATCH), batch=BATCH, precision=precision)


def _trl(name: str, *, bf16: bool, best: bool) -> Sample:
    return peers.trl_reward(scorer(name), *_rows(name, BATCH), batch=BATCH, bf16=bf16, best=best)


def _label(name: str, precision: str) -> Sample:
    model, (warm, rows) = scorer(name), _rows(name, LABELED)
    ours.labels(model, warm, precision=precision)
    return ours.labels(model, rows, precision=precision)


def _one_by_one(name: str) -> Sample:
    model, (warm, rows) = scorer(name), _rows(name, LABELED)
    ours.one_by_one(model, warm)
    return ours.one_by_one(model, rows)


def _pipeline(name: str, dtype: torch.dtype) -> Sample:
    """One text-classification pipeline over both texts of every pair, in the order of the file."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    warm, rows = _rows(name, LABELED)
    tokenizer = word_tokenizer(SHAPES[name].vocabulary)
    scores = pipeline(
        "text-classification", model=scorer(name).to(dtype).eval(), tokenizer=tokenizer, device="cpu",
        function_to_apply="none", batch_size=PIPELINE_BATCH,
    )  # fmt: skip
    scores(_texts(warm))
    texts = _texts(rows)
    with timed() as sample:
        scores(texts)
    return sample


def _texts(rows: list[Encoded]) -> list[str]:
    return [
        " ".join(f"w{token}" for token in np.concatenate([row.prompt_ids, ids]))
        for row in rows
        for ids in row.responses
    ]


if __name__ == "__main__":
    main()
