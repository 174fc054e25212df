"""How right are the expected times after a tenth of a stage? Real small stages of several kinds, one after the other.

    python -m benchmarks eta [--smallest]

Runs of the sandbox go through a database and a worker in this process. Of every stage of at least a second: what the
Run page said when a tenth of its work was done, from its own pace until then and from the stages that were finished
before it, against how long it took. Printed beside it: what was said before it began, and when a tenth of its time was
over, in which a small stage has often not taken its first step. A stage that does all of its work in one batch has no
tenth; there, what was measured before has to do.

All of it is judged by two clocks: the one on the wall, which other programs bend, and the processor time of this
process, which on an idle machine is the same, because a stage computes in one thread.
"""

import argparse
import bisect
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS, machine, table
from db.records import MeasuredStage, Pace
from workers.plan.eta import remaining
from workers.plan.lasting import Lasting

WITHIN = 1.5
SHORTEST = 1.0  # seconds: of shorter ones nobody sees a tenth
CLOCKS = ("wall", "processor")
EVERY = 0.01  # seconds between two looks at both clocks
SMALL: dict[str, Any] = {
    "data": {"dataset": "sandbox", "sandbox": {"pairs": 4000}, "test_prompts": 400},
    "annotator": {"epochs": 3},
    "align": {"epochs": 1},
    "evaluation": {"samples": 4},
    "salt": "eta",
}
# Further runs differ in size, epochs, models or kinds of stages, so that what was measured before fits badly or not.
RUNS: tuple[dict[str, Any], ...] = (
    {"method": "cw", "annotator": {"calibrate": True}, "evaluation": {"gold_reward": "trained"}},
    {"method": "weak", "objective": "ipo", "data": {"sandbox": {"pairs": 7000}}, "align": {"epochs": 2}},
    {"method": "human", "seed": 1, "sft": {"data": "pool", "epochs": 1}},
    {
        "method": "cw",
        "seed": 2,
        "annotator": {"members": 3, "passes": 2, "label_dropout": 0.1},
        "data": {"label_fraction": 0.2},
    },
    {"method": "top:30", "seed": 3, "model": {"lora": {"r": 4}}, "evaluation": {"samples": 8}},
    {"method": "weak", "seed": 4, "objective": "simpo", "evaluation": {"max_new_tokens": 24}},
    {"method": "cw", "seed": 5, "model": {"annotator": "sandbox/qwen2-48", "policy": "sandbox/qwen2-64"}},
)


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A finished stage by one of the clocks; `at`: second of this process at which it began."""

    measured: MeasuredStage
    pace: Pace
    at: float


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One stage."""

    kind: str
    seconds: float
    before: float | None  # expected before it began
    time: float | None  # expected when a tenth of its time was over
    work: float | None  # expected when a tenth of its work was done


@dataclass
class Clocks:
    """Seconds of the wall's clock with those of the processor, as often as somebody looked."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def look(self) -> None:
        self.wall.append(time.time())
        self.processor.append(time.process_time())

    def at(self, wall: float) -> float:
        """Of the processor at that second of the wall, between the two nearest looks."""
        place = min(max(bisect.bisect(self.wall, wall), 1), len(self.wall) - 1)
        start, end = self.wall[place - 1], self.wall[place]
        part = min(max((wall - start) / max(end - start, 1e-9), 0.0), 1.0)
        return self.processor[place - 1] + part * (self.processor[place] - self.processor[place - 1])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Expected against real seconds of stages.")
    parser.add_argument("--smallest", action="store_true", help="one small run: tries the code")
    parser.add_argument("--out", type=Path, default=RESULTS / "eta.json", help="where what was found is written")
    options = parser.parse_args(arguments)
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="cwpo-eta-") as home:
        os.environ |= {"CWPO_HOME": home, "DATABASE_URL": f"sqlite:///{Path(home) / 'db.sqlite'}"}
        os.environ["REDIS_URL"] = "redis://127.0.0.1:1/0"  # nobody has to hear the bell
        with looking() as clocks:
            for _ in computed(RUNS[:1] if options.smallest else RUNS):
                loads.append(os.getloadavg()[0])
                timed = finished()
                said = tell(timed, clocks)
                body = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "load": loads,
                        "summary": said, "stages": [_record(one, clocks) for one in timed]}  # fmt: skip
                options.out.write_text(json.dumps(body, indent=1) + "\n")


def tell(timed: Sequence[Timed], clocks: "Clocks") -> list[dict[str, Any]]:
    """Print each stage and the shares; the shares."""
    found = {"wall": judged(timed), "processor": judged([by_processor(one, clocks) for one in timed])}
    print(table([_row(*pair) for pair in zip(*found.values(), strict=True)]))
    said = [_share(clock, moment, found[clock]) for clock in CLOCKS for moment in ("before", "time", "work")]
    print(table(said), flush=True)
    return said


@contextmanager
def looking() -> Iterator[Clocks]:
    """Both clocks, while the block runs."""
    clocks, ended = Clocks(), threading.Event()

    def look() -> None:
        while not ended.wait(EVERY):
            clocks.look()

    clocks.look()
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield clocks
    finally:
        ended.set()
        thread.join()
        clocks.look()


def computed(runs: tuple[dict[str, Any], ...]) -> Iterator[None]:
    """Each run in turn, done."""
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
        yield


def finished() -> list[Timed]:
    """Every finished stage in the order in which they ended."""
    from sqlalchemy import select

    from db import queries
    from db.models import Stage
    from db.status import DONE
    from workers.machine.database import reading

    with reading() as session:
        rows = session.execute(select(Stage.id, Stage.kind, Stage.started_at).where(Stage.status == DONE)
                               .order_by(Stage.finished_at, Stage.id)).all()  # fmt: skip
        kinds = {row.kind for row in rows}
        measured = {one.stage_id: one for one in queries.measured_stages(session, kinds, newest=10_000)}
        return [
            Timed(measured=measured[row.id], pace=queries.pace_of(session, row.id), at=row.started_at.timestamp())
            for row in rows
        ]


def by_processor(one: Timed, clocks: Clocks) -> Timed:
    """The same with processor time for time."""
    begin = clocks.at(one.at)

    def seconds(wall: float) -> float:
        return clocks.at(one.at + wall) - begin

    measured, pace = one.measured, tuple((share, seconds(at)) for share, at in one.pace)
    return replace(one, pace=pace, measured=replace(measured, **_by(seconds, measured)))


def _by(seconds: Callable[[float], float], measured: MeasuredStage) -> dict[str, Any]:
    told = {"seconds": measured.seconds, "work_began": measured.work_began, "work_ended": measured.work_ended}
    return {name: None if value is None else seconds(value) for name, value in told.items()}


def judged(timed: Sequence[Timed]) -> list[Judged]:
    """What was said of each stage by those before it and by its own pace."""
    from workers.plan.estimate import Speed

    return [
        _judge(one, Speed([other.measured for other in timed[:place]]).like(one.measured))
        for place, one in enumerate(timed)
    ]


def _judge(one: Timed, expected: Lasting | None) -> Judged:
    pace, seconds = one.pace, one.measured.seconds
    first = pace[0][0] if pace else 0.0
    tenth = next((at for share, at in pace[:-1] if share >= first + (1 - first) / 10), None)
    return Judged(
        kind=one.measured.kind,
        seconds=seconds,
        before=expected.total if expected else None,
        time=_said(pace, seconds / 10, expected),
        work=_said(pace, seconds / 10 if tenth is None else tenth, expected),
    )


def _said(pace: Pace, now: float, expected: Lasting | None) -> float | None:
    """Seconds from start to end as the page said them after `now` seconds."""
    left = remaining(tuple(point for point in pace if point[1] <= now), now, expected)
    return None if left is None else now + left


def _row(wall: Judged, processor: Judged) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": wall.kind}
    for clock, one in zip(CLOCKS, (wall, processor), strict=True):
        row[clock] = round(one.seconds, 2)
        for moment in ("before", "time", "work"):
            row[f"{clock} {moment}"] = _ratio(one.seconds, getattr(one, moment))
    return row


def _ratio(seconds: float, expected: float | None) -> float | str:
    return "nothing known" if expected is None else round(expected / seconds, 2)


MOMENTS = {
    "before": "before it began",
    "time": "after a tenth of the time",
    "work": "after a tenth of the work",
}


def _share(clock: str, moment: str, found: Sequence[Judged]) -> dict[str, Any]:
    counted = [one for one in found if one.seconds >= SHORTEST]
    known = [one for one in counted if getattr(one, moment) is not None]
    good = sum(1 / WITHIN <= getattr(one, moment) / one.seconds <= WITHIN for one in known)
    return {"clock": clock, "said": MOMENTS[moment], "stages": len(counted), "known": len(known),
            f"within {WITHIN} x": good, "share of all": round(good / max(1, len(counted)), 2)}  # fmt: skip


def _record(one: Timed, clocks: Clocks) -> dict[str, Any]:
    """A stage with its timeline: share of the work, seconds on the wall, seconds of the processor."""
    other = by_processor(one, clocks)
    points = [
        (share, round(wall, 3), round(cpu, 3)) for (share, wall), (_, cpu) in zip(one.pace, other.pace, strict=True)
    ]
    return {"kind": one.measured.kind, "model": one.measured.model, "seconds": round(one.measured.seconds, 3),
            "processor": round(other.measured.seconds, 3), "pace": points}  # fmt: skip


if __name__ == "__main__":
    main()
