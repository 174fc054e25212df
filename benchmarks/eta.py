"""How right are the expected times after a tenth of a stage? Real small stages of several kinds, one after the other.

    python -m benchmarks eta [--smallest]

Runs of the sandbox go through a database and a worker in this process. Of every stage of at least a second: what the
Run page said when a tenth of its work was done, from its own pace until then and from the stages that were finished
before it, against how long it took. Printed beside it: what was said before it began, and when a tenth of its time was
over, in which a small stage has often not taken its first step. A stage that does all of its work in one batch has no
tenth; there, what was measured before has to do.
"""

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import table
from db.records import Pace
from workers.plan.eta import remaining

WITHIN = 1.5
SHORTEST = 1.0  # seconds: of shorter ones nobody sees a tenth
SMALL: dict[str, Any] = {
    "data": {"dataset": "sandbox", "sandbox": {"pairs": 1500}, "test_prompts": 200},
    "evaluation": {"samples": 2},
    "salt": "eta",
}
# Further runs differ in size, epochs, models or kinds of stages, so that what was measured before fits badly or not.
RUNS: tuple[dict[str, Any], ...] = (
    {"method": "cw", "annotator": {"calibrate": True}, "evaluation": {"gold_reward": "trained"}},
    {"method": "weak", "objective": "ipo", "data": {"sandbox": {"pairs": 3000}}, "align": {"epochs": 3}},
    {"method": "human", "seed": 1, "sft": {"epochs": 3}},
    {
        "method": "cw",
        "seed": 2,
        "annotator": {"members": 3, "passes": 2, "label_dropout": 0.1},
        "data": {"label_fraction": 0.2},
    },
    {"method": "top:30", "seed": 3, "model": {"lora": {"r": 4}}, "evaluation": {"samples": 4}},
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One stage."""

    kind: str
    seconds: float
    before: float | None  # expected before it began
    time: float | None  # expected when a tenth of its time was over
    work: float | None  # expected when a tenth of its work was done


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Expected against real seconds of stages.")
    parser.add_argument("--smallest", action="store_true", help="one small run: tries the code")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cwpo-eta-") as home:
        os.environ |= {"CWPO_HOME": home, "DATABASE_URL": f"sqlite:///{Path(home) / 'db.sqlite'}"}
        os.environ["REDIS_URL"] = "redis://127.0.0.1:1/0"  # nobody has to hear the bell
        found = _measured(RUNS[:1] if options.smallest else RUNS)
    counted = [one for one in found if one.seconds >= SHORTEST]
    print(table([_row(one) for one in found]))
    said = {
        "before it began": [(one.seconds, one.before) for one in counted],
        "after a tenth of the time": [(one.seconds, one.time) for one in counted],
        "after a tenth of the work": [(one.seconds, one.work) for one in counted],
    }
    print(table([_share(name, pairs) for name, pairs in said.items()]), flush=True)


def _measured(runs: tuple[dict[str, Any], ...]) -> list[Judged]:
    from cwpo.config.run import RunConfig, merged
    from db.engine import upgrade
    from workers import api
    from workers.machine.database import database_url
    from workers.queue import job
    from workers.queue.lease import register_worker

    upgrade(database_url())
    worker = register_worker("eta", "cpu")
    os.environ |= {"CWPO_WORKER_ID": str(worker), "CWPO_DEVICE": "cpu"}
    for over in runs:
        submitted = api.submit_run(RunConfig.parse(merged(SMALL, over)))
        print(f"run {submitted.run_id}: {submitted.stages} stages, {submitted.reused} of them known", flush=True)
        job.work(0)
    return judged()


def judged() -> list[Judged]:
    """Every finished stage in the order in which they ended."""
    from sqlalchemy import select

    from db import queries
    from db.models import Stage
    from db.status import DONE
    from workers.machine.database import reading
    from workers.plan.estimate import Speed

    with reading() as session:
        rows = session.execute(select(Stage.id, Stage.kind, Stage.seconds).where(Stage.status == DONE)
                               .order_by(Stage.finished_at, Stage.id)).all()  # fmt: skip
        kinds = {row.kind for row in rows}
        measured = {one.stage_id: one for one in queries.measured_stages(session, kinds, newest=10_000)}
        paces = {row.id: queries.pace_of(session, row.id) for row in rows}
    found = []
    for place, row in enumerate(rows):
        own, earlier = measured[row.id], [measured[other.id] for other in rows[:place]]
        expected = Speed(earlier).like(own)
        found.append(_judge(row.kind, row.seconds, paces[row.id], expected))
    return found


def _judge(kind: str, seconds: float, pace: Pace, expected: float | None) -> Judged:
    first = pace[0][0] if pace else 0.0
    tenth = next((at for share, at in pace[:-1] if share >= first + (1 - first) / 10), None)
    return Judged(
        kind=kind, seconds=seconds, before=expected, time=_said(pace, seconds / 10, expected),
        work=_said(pace, seconds / 10 if tenth is None else tenth, expected),
    )  # fmt: skip


def _said(pace: Pace, now: float, expected: float | None) -> float | None:
    """Seconds from start to end as the page said them after `now` seconds."""
    left = remaining(tuple(point for point in pace if point[1] <= now), now, expected)
    return None if left is None else now + left


def _row(one: Judged) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "seconds": round(one.seconds, 2),
        "before": _ratio(one.seconds, one.before),
        "time": _ratio(one.seconds, one.time),
        "work": _ratio(one.seconds, one.work),
    }


def _ratio(seconds: float, expected: float | None) -> float | str:
    return "nothing known" if expected is None else round(expected / seconds, 2)


def _share(name: str, pairs: list[tuple[float, float | None]]) -> dict[str, Any]:
    known = [(seconds, expected) for seconds, expected in pairs if expected is not None]
    good = sum(1 / WITHIN <= expected / seconds <= WITHIN for seconds, expected in known)
    return {"said": name, "stages": len(pairs), "known": len(known), f"within {WITHIN} x": good,
            "share of all": round(good / max(1, len(pairs)), 2)}  # fmt: skip


if __name__ == "__main__":
    main()
