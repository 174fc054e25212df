"""Runs as workers write them: curves of stages, and a result."""

from collections.abc import Iterable
from typing import Any

from db.records import ClaimedStage
from db.repositories import evaluations, metrics
from tests.db import make
from tests.workers.mirror.serving import Points
from workers.machine.database import engines, writing

CONFIG = {"seed": 3, "align": {"beta": 0.1, "objective": "dpo"}, "method": "cw"}
EVALUATION = {
    "gra": 0.571, "gra_strict": 0.55, "wins": 11.0, "ties": 2.0, "losses": 7.0, "prompts": 20, "samples": 1,
    "ci_low": 0.502, "ci_high": 0.638, "interval_method": "wilson", "kl": 0.25,
}  # fmt: skip
RESULT: Points = [
    ("result/gra", 0, 0.571), ("result/gra_high", 0, 0.638), ("result/gra_low", 0, 0.502),
    ("result/gra_strict", 0, 0.55), ("result/kl", 0, 0.25), ("result/prompts", 0, 20.0),
]  # fmt: skip


def submit(own: str, **changes: Any) -> int:
    """A run that shares no stage with another; its number."""
    run = make.new_run(**{"name": "mine", "config": CONFIG, "config_hash": own * 64, **changes})
    return make.submit(engines(), run=run, data=own).run_id


def claim() -> ClaimedStage:
    """What a worker does next."""
    return make.claim(engines(), make.add_worker(engines(), "w"))


def curve(claimed: ClaimedStage, steps: Iterable[int]) -> Points:
    """Two curves of the stage over these steps; the points as a mirror has them."""
    steps = list(steps)
    points = [(step, name, value) for step in steps for name, value in (("loss", 1 / (step + 1)), ("lr", 1e-3))]
    with writing() as session:
        metrics.add(session, claimed, [*points, (steps[0], "grad_norm", float("nan"))])
        metrics.add_pace(session, claimed, [(0.5, 1.5)])
    return sorted((f"{claimed.kind}/{name}", step, value) for step, name, value in points)


def publish(claimed: ClaimedStage) -> None:
    """The stage is done; an evaluation has a result."""
    with writing() as session:
        if claimed.kind == "evaluation":
            evaluations.add_evaluation(session, claimed, EVALUATION)
        make.publish(session, claimed)


def finished(own: str, steps: int, **changes: Any) -> tuple[int, Points]:
    """A run that is done, and all points that a mirror has of it."""
    run_id = submit(own, **changes)
    points = list(RESULT)
    for _ in make.CHAIN:
        claimed = claim()
        if claimed.kind in ("annotator", "align"):
            points += curve(claimed, range(1, steps + 1))
        publish(claimed)
    return run_id, sorted(points)
