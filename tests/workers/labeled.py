"""A run whose annotator has labeled, with hand-written rows in place of trained models: for pages and votes."""

import hashlib
from typing import Any

from cwpo.config.run import RunConfig
from db.engine import session_scope
from db.records import ClaimedStage, NewArtifact
from db.repositories import annotations, stages, workers
from workers import api
from workers.machine.database import engines

ARTIFACT = NewArtifact(bytes=10, files=2, sha256="0" * 64)


def labeled_run(pairs: int = 60, **over: Any) -> int:
    """A cw run on the sandbox: `pairs` pairs with labels, as many again without, all with a human label."""
    made = api.submit_run(RunConfig.parse({"method": "cw", "name": "labeled", **over}))
    with session_scope(engines()) as session:
        worker = workers.register(session, name="by hand", host="here", pid=1, device="cpu")
    kind = ""
    while kind != "labels":
        with session_scope(engines()) as session:
            claim = stages.claim(session, worker, "cpu", 3_600)
            assert claim is not None
        kind = claim.kind
        with session_scope(engines()) as session:
            summary = _rows(session, claim, pairs)
            stages.publish(session, claim.stage_id, claim.token, summary=summary, seconds=1.0, artifact=ARTIFACT)
    return made.run_id


def pair_row(number: int) -> dict[str, Any]:
    """Confidence in steps of .01; every third pair disagrees with the human. The texts name the pair."""
    return {
        "pair_id": hashlib.sha256(f"pair {number}".encode()).hexdigest()[:16],
        "prompt_id": hashlib.sha256(f"prompt {number}".encode()).hexdigest()[:16],
        "prompt": f"What is {number} and why?",
        "response_a": f"It is the answer {number}, as everybody knows.", "response_b": f"Who would ask about {number}?",
        "true_label": None, "human_label": "b" if number % 3 == 0 else "a", "score_a": 1.0, "score_b": 0.0,
        "margin": 1.0, "spread": None, "confidence": (number * 7 % 100) / 100, "label": "a",
    }  # fmt: skip


def _rows(session: Any, claim: ClaimedStage, pairs: int) -> dict[str, Any]:
    if claim.kind == "data" and claim.config["sandbox"]["pairs"]:
        annotations.add_pairs(session, claim, [pair_row(number) for number in range(2 * pairs)])
        return {"rows": 2 * pairs, "train_pairs": 2 * pairs, "rejected": {}}
    if claim.kind == "labels":
        rows = [pair_row(number) for number in range(pairs)]
        annotations.add_annotations(session, claim, rows, data_stage_id=claim.input_stage_ids["data"])
        return _summary(rows)
    return {"pairs": pairs}


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    counts = [sum(int(row["confidence"] * 10) == place for row in rows) for place in range(10)]
    edges = [place / 10 for place in range(11)]
    return {
        "n": len(rows), "accuracy_human": 0.66, "accuracy_truth": None, "human_accuracy_truth": None,
        "length_only_accuracy": 0.55, "mean_confidence": 0.5, "effective_sample_size": 40.0,
        "histogram": {"edges": edges, "counts": counts, "agree_counts": [count // 2 for count in counts]},
        "deciles": [],
    }  # fmt: skip
