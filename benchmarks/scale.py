"""A database of the size that pages are measured on, filled through db.repositories.

A sandbox sweep of 40 settings × 5 seeds; every stage is claimed and published, with hand-written rows in place of
trained models. The labels of the first seed have all the pairs.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from cwpo.config.run import RunConfig, expand
from cwpo.stages.graph import build
from cwpo.statistics import calibration, intervals
from db.engine import BATCH_ROWS, Engines, make_engines, session_scope, upgrade
from db.records import ClaimedStage, NewArtifact
from db.repositories import annotations, evaluations, metrics, runs, stages, workers
from workers.plan import submission

LABELS = ("human", "oracle", "weak", "cw", "top:10", "top:20", "top:30", "top:40", "top:50", "top:75")
OBJECTIVES = (
    {"objective": "dpo"},
    {"objective": "dpo", "align": {"beta": 0.25}},
    {"objective": "ipo"},
    {"objective": "rdpo"},
)
SEEDS = 5
PROMPTS, SAMPLES, STEPS, OTHER_PAIRS = 400, 2, 130, 1_000
CURVES = ("loss", "lr", "grad_norm", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies",
          "logps/chosen", "logps/rejected", "mean_weight")  # fmt: skip
WORDS = np.array(["the", "a", "model", "said", "please", "kindly", "answer", "tea", "rain", "seven", "never", "garden"])


class Filler:
    """Publishes every stage that can be claimed, with plausible rows; the first data stage has all the pairs."""

    def __init__(self, engines: Engines, pairs: int) -> None:
        self.engines, self.pairs = engines, pairs
        self.rng = np.random.default_rng(0)
        self.pair_rows: dict[int, list[dict[str, Any]]] = {}

    def fill(self) -> int:
        """How many stages were published."""
        with session_scope(self.engines) as session:
            worker = workers.register(session, name="benchmark", host="localhost", pid=os.getpid(), device="cpu")
        done = 0
        while self._one(worker):
            done += 1
        return done

    def _one(self, worker: int) -> bool:
        with session_scope(self.engines) as session:
            claim = stages.claim(session, worker, "cpu", 3600)
        if claim is None:
            return False
        summary = getattr(self, f"_{claim.kind}", self._plain)(claim)
        with session_scope(self.engines) as session:
            artifact = NewArtifact(bytes=1_000_000, files=4, sha256=f"{claim.stage_id:064x}")
            stages.publish(session, claim.stage_id, claim.token, summary=summary, seconds=2.5, artifact=artifact)
        return True

    def _write(self, claim: ClaimedStage, write: Callable[..., None], rows: list[Any]) -> None:
        for start in range(0, len(rows), BATCH_ROWS):
            with session_scope(self.engines) as session:
                write(session, claim, rows[start : start + BATCH_ROWS])

    def _plain(self, claim: ClaimedStage) -> dict[str, Any]:
        return {"pairs": OTHER_PAIRS}

    def _text(self, words: int) -> str:
        return " ".join(self.rng.choice(WORDS, words))

    def _data(self, claim: ClaimedStage) -> dict[str, Any]:
        if not claim.config["sandbox"]["pairs"]:
            rows = [{"prompt_id": f"{i:016x}", "prompt": self._text(14)} for i in range(PROMPTS)]
            self._write(claim, evaluations.add_prompts, rows)
            return {"rows": 0, "kept": 0, "rejected": {}, "test_prompts": PROMPTS, "test_groups": []}
        count = OTHER_PAIRS if self.pair_rows else self.pairs
        texts = [self._text(40) for _ in range(500)]
        sides = self.rng.choice(["a", "b"], (count, 2))
        self.pair_rows[claim.stage_id] = [
            {
                "pair_id": f"{i * 0x9E3779B97F4A7C15 % 2**64:016x}",
                "prompt_id": f"{i // 2:016x}",
                "prompt": texts[i % 97],
                "response_a": f"{i} {texts[i % 499]}",
                "response_b": f"{texts[(i + 1) % 499]} {i}",
                "human_label": str(sides[i, 0]),
                "true_label": str(sides[i, 1]),
            }
            for i in range(count)
        ]
        self._write(claim, annotations.add_pairs, self.pair_rows[claim.stage_id])
        return {"rows": count, "kept": count, "rejected": {}, "train_prompts": count // 2, "test_groups": []}

    def _annotator(self, claim: ClaimedStage) -> dict[str, Any]:
        self._points(claim, ("loss", "accuracy", "heldout_nll"))
        return {"steps": STEPS, "final_loss": 0.6}

    def _align(self, claim: ClaimedStage) -> dict[str, Any]:
        self._points(claim, CURVES)
        return {"steps": STEPS, "final_loss": 0.5, "pairs": OTHER_PAIRS, "effective_sample_size": 600.0}

    def _points(self, claim: ClaimedStage, names: tuple[str, ...]) -> None:
        noise = self.rng.normal(0, 0.05, (STEPS, len(names)))
        rows = [(s, n, 0.69 - 0.002 * s + float(noise[s, i])) for s in range(STEPS) for i, n in enumerate(names)]
        self._write(claim, metrics.add, rows)

    def _labels(self, claim: ClaimedStage) -> dict[str, Any]:
        data = claim.input_stage_ids["data"]
        pairs = self.pair_rows[data]
        margins = self.rng.exponential(1.0, len(pairs))
        sure = calibration.confidence(margins)
        right = self.rng.random(len(pairs)) < (1 + sure) / 2
        rows = []
        for pair, margin, c, agrees in zip(pairs, margins, sure, right, strict=True):
            other = "b" if pair["human_label"] == "a" else "a"
            label = pair["human_label"] if agrees else other
            score_a, score_b = (margin, 0.0) if label == "a" else (0.0, margin)
            rows.append(pair | {"score_a": float(score_a), "score_b": float(score_b), "margin": float(margin),
                                "confidence": float(c), "label": label})  # fmt: skip
        self._write(claim, partial(annotations.add_annotations, data_stage_id=data), rows)
        found = calibration.histogram(sure, right)
        histogram = {"edges": found.edges, "counts": found.counts, "agree_counts": found.agree_counts}
        with session_scope(self.engines) as session:
            annotations.add_histogram(session, claim, "confidence", histogram)
        return {
            "n": len(pairs),
            "accuracy_human": float(right.mean()),
            "accuracy_truth": float(right.mean()),
            "human_accuracy_truth": 0.75,
            "length_only_accuracy": 0.52,
            "mean_confidence": float(sure.mean()),
            "effective_sample_size": calibration.effective_sample_size(sure),
            "histogram": histogram,
            "deciles": calibration.deciles(sure, right, right),
        }

    def _samples(self, claim: ClaimedStage) -> dict[str, Any]:
        texts = [self._text(30) for _ in range(200)]
        rows = [
            {"prompt_id": f"{i:016x}", "sample": k, "text": texts[(7 * i + k) % 200], "tokens": 30, "finished": True,
             "logp": -60.0, "reference_logp": -61.0}
            for i in range(PROMPTS) for k in range(SAMPLES)
        ]  # fmt: skip
        self._write(claim, evaluations.add_samples, rows)
        return {"samples": len(rows)}

    def _scores(self, claim: ClaimedStage) -> dict[str, Any]:
        scores = self.rng.normal(0, 1, (PROMPTS, SAMPLES))
        rows = [
            {"prompt_id": f"{i:016x}", "sample": k, "score": float(scores[i, k]), "ungrammatical": False}
            for i in range(PROMPTS)
            for k in range(SAMPLES)
        ]
        self._write(claim, evaluations.add_scores, rows)
        return {"scores": len(rows)}

    def _evaluation(self, claim: ClaimedStage) -> dict[str, Any]:
        outcome = self.rng.choice([0, 0.5, 1], PROMPTS, p=[0.3, 0.15, 0.55])
        figures = {"score": 0.2, "baseline_score": 0.0, "tokens": 30.0, "baseline_tokens": 28.0, "ungrammatical": 0.1,
                   "baseline_ungrammatical": 0.05}  # fmt: skip
        drift = self.rng.normal(1.5, 0.5, PROMPTS)
        rows = [
            figures | {"prompt_id": f"{i:016x}", "outcome": float(outcome[i]), "logratio": float(drift[i])}
            for i in range(PROMPTS)
        ]
        self._write(claim, evaluations.add_outcomes, rows)
        tally, interval = intervals.gra(outcome), intervals.single_run_interval(outcome)
        summary = {
            "gra": tally.gra, "gra_strict": tally.strict, "gra_ties_dropped": tally.ties_dropped, "wins": tally.wins,
            "ties": tally.ties, "losses": tally.losses, "prompts": PROMPTS, "samples": SAMPLES, "ci_low": interval.low,
            "ci_high": interval.high, "interval_method": interval.method, "mean_tokens": 30.0,
            "baseline_mean_tokens": 28.0, "kl": 1.5, "ungrammatical": 0.1, "baseline_ungrammatical": 0.05,
            "mean_score": 0.2, "baseline_mean_score": 0.0,
        }  # fmt: skip
        with session_scope(self.engines) as session:
            evaluations.add_evaluation(session, claim, summary)
        return summary


def configs(count: int) -> list[RunConfig]:
    """The sweep: labels × objectives × seeds, cut to `count` runs."""
    every = [
        one
        for objective in OBJECTIVES
        for one in expand({"method": list(LABELS), "seed": list(range(SEEDS)), "name": "sandbox sweep", **objective})
    ]
    return every[:count]


def build_database(url: str, *, count: int, pairs: int) -> dict[str, int]:
    """Migrate and fill; how much is in it."""
    upgrade(url)
    engines = make_engines(url)
    for config in configs(count):
        specs = build(config)
        with session_scope(engines) as session:
            row = submission.new_run(config, specs, sweep="sandbox sweep", priority=0)
            runs.create(session, row, submission.new_stages(config, specs, gpu=False))
    published = Filler(engines, pairs).fill()
    engines.dispose()
    return {"runs": count, "annotated_pairs": pairs, "stages": published, "outcomes_per_run": PROMPTS}


def run_of(method: str, count: int) -> int:
    """The first seed's run of that method: its labels stage is the one with all the pairs."""
    return next(i for i, config in enumerate(configs(count), start=1) if config.method == method and config.seed == 0)
