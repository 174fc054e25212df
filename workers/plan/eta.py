"""When stages and runs will be done. Pure: rows in, seconds out.

A stage that runs goes by its own pace: the share of its work that is done after so many seconds, counted from the first
step of this attempt, so that start-up and compilation are not in the speed, and later parts count more. Before that,
and for what waits, it is earlier stages of the same kind, model and device (workers/plan/estimate.py). When runs start
and end follows from letting the workers that live take the stages in the order in which they do.
"""

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.records import LiveStage, Pace, QueueNow
from db.status import stages_for
from workers.plan.lasting import Lasting

TRUSTED = 0.05  # the share of the work at which a stage's own speed counts as much as what was measured before
MEMORY = 0.25  # the part of the work done over which the weight of older speed falls to 1/e
UNKNOWN = 60.0  # seconds that a stage nobody measured takes where only the order counts
Expected = Mapping[int, Lasting | None]  # how long a stage lasts as measured before, by stage


@dataclass(frozen=True, kw_only=True)
class StageTime:
    """What is known of a live stage: seconds from its start to its end, and from now to its end once it runs."""

    stage_id: int
    total: float | None
    left: float | None  # of a queued stage all of it
    own: bool = False  # from its own speed


@dataclass(frozen=True, kw_only=True)
class Eta:
    """A live run. `ahead`: stages of other runs that start before its next one; None where it is further behind than
    was looked at. `starts_in` is 0 once a stage of it runs. `unmeasured`: kinds of stages that nobody measured."""

    run_id: int
    ahead: int | None
    starts_in: float | None
    done_in: float | None
    unmeasured: tuple[str, ...] = ()
    no_worker: str = ""  # the kind of device that a stage of it waits for while no worker has one


@dataclass(frozen=True, kw_only=True)
class Times:
    """Everything that is live: by stage and by run."""

    stages: Mapping[int, StageTime]
    runs: Mapping[int, Eta]


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """Where the simulation put a stage, and whether no guess was before it or in it."""

    start: float
    end: float
    start_known: bool
    end_known: bool


def times(queue: QueueNow, expected: Expected) -> Times:
    """Every live stage and run; `expected`: seconds as measured before, None where nobody measured."""
    stages = {stage.stage_id: stage_time(stage, expected.get(stage.stage_id)) for stage in queue.stages}
    placed = _Simulation(queue, stages).run()
    of_run: dict[int, list[LiveStage]] = {}
    for stage in queue.stages:
        for run in stage.runs:
            of_run.setdefault(run, []).append(stage)
    by_id = {stage.stage_id: stage for stage in queue.stages}
    waiting = [by_id[stage_id] for stage_id in placed if by_id[stage_id].running_on is None]  # as they will start
    ahead: dict[int, int] = {}
    for place, stage in enumerate(waiting):
        for run in stage.runs:
            ahead.setdefault(run, place)
    unmeasured = tuple(dict.fromkeys(stage.kind for stage in queue.stages if stages[stage.stage_id].left is None))
    return Times(
        stages=stages,
        runs={
            run: _eta(run, own, placed, stages, queue, ahead=ahead.get(run), unmeasured=unmeasured)
            for run, own in of_run.items()
        },
    )


def _eta(
    run: int,
    own: Sequence[LiveStage],
    placed: Mapping[int, _Placed],
    stages: Mapping[int, StageTime],
    queue: QueueNow,
    *,
    ahead: int | None,
    unmeasured: tuple[str, ...],
) -> Eta:
    """The first start and the last end of a run's stages; `unmeasured`: kinds anywhere in the queue."""
    here = [placed[stage.stage_id] for stage in own if stage.stage_id in placed]
    stuck = [stage for stage in own if stage.stage_id not in placed]
    runs_now = any(stage.running_on is not None for stage in own)
    first = min(here, key=lambda one: one.start, default=None)
    starts = 0.0 if runs_now else first.start if first is not None and first.start_known else None
    ends = max((one.end for one in here), default=None)
    whole = bool(here) and not stuck and all(one.end_known for one in here)
    mine = tuple(dict.fromkeys(stage.kind for stage in own if stages[stage.stage_id].left is None))
    return Eta(
        run_id=run, ahead=0 if runs_now else ahead, starts_in=starts, done_in=ends if whole else None,
        unmeasured=() if whole else mine or unmeasured,
        no_worker=next((name for stage in stuck if (name := _missing_worker(stage, queue))), ""),
    )  # fmt: skip


def _missing_worker(stage: LiveStage, queue: QueueNow) -> str:
    """The device that no living worker has; empty where the stage waits for others only."""
    able = sum(count for device, count in queue.workers.items() if stage.device in stages_for(device))
    return "" if able else stage.device


def stage_time(stage: LiveStage, expected: Lasting | None) -> StageTime:
    """One stage by itself."""
    if stage.running_on is None or stage.elapsed is None:
        total = None if expected is None else expected.total
        return StageTime(stage_id=stage.stage_id, total=total, left=total)
    left = remaining(stage.pace, stage.elapsed, expected)
    own = left is not None and speed(stage.pace) is not None
    total = None if left is None else stage.elapsed + left
    return StageTime(stage_id=stage.stage_id, total=total, left=left, own=own)


def remaining(pace: Pace, elapsed: float, expected: Lasting | None) -> float | None:
    """Seconds until a running stage is done, of its pace so far and of what is expected of a whole one.

    pace: (share of the work, seconds since the start). While the shares are small, what was measured before counts
    beside its own speed; an expectation that has run out counts no more. What comes behind the work is as before.
    """
    own = speed(pace)
    share, at = pace[-1] if pace else (0.0, 0.0)
    done = share - pace[0][0] if pace else 0.0
    trust = 1.0 if done >= 2 * TRUSTED else done / (done + TRUSTED)
    if own is None and done >= TRUSTED:  # one large part, with whatever starting up was in it
        own, trust = (at - pace[0][1]) / done, 0.5
    if own is None:
        return None if expected is None else _not_begun(pace, elapsed, expected)
    if expected is not None:
        own = math.exp(trust * math.log(max(own, 1e-9)) + (1 - trust) * math.log(max(expected.work, 1e-9)))
    waited = min(max(elapsed - at, 0.0), _longest_step(pace))
    return max((1.0 - share) * own - waited, 0.0) + (0.0 if expected is None else expected.end)


def _not_begun(pace: Pace, elapsed: float, expected: Lasting) -> float:
    """Before two parts of its work were timed; when the work began may be known."""
    share, start = pace[0] if pace else (0.0, expected.start)
    left = start + (1.0 - share) * expected.work + expected.end - elapsed
    return max(left, 0.05 * expected.total)


def speed(pace: Pace) -> float | None:
    """Seconds for the whole work at the speed of late, by weights that fall with the work done since; None before two
    parts of it were timed. The first part has start-up and compilation in it and counts only where there is no other.
    """
    parts = _parts(pace)
    if not parts:
        return None
    last, first = pace[-1][0], pace[0][0]
    fall = MEMORY * max(last - first, 1e-9)
    weights = [math.exp((end - last) / fall) for end, _, _ in parts]
    work = sum(weight * share for weight, (_, share, _) in zip(weights, parts, strict=True))
    return sum(weight * seconds for weight, (_, _, seconds) in zip(weights, parts, strict=True)) / work


def _parts(pace: Pace) -> list[tuple[float, float, float]]:
    """(share at the end, share, seconds) of each part of the work after the first step."""
    pairs = ((before, after) for before, after in itertools.pairwise(pace) if after[0] > before[0])
    parts = [(after[0], after[0] - before[0], after[1] - before[1]) for before, after in pairs]
    return parts[1:] if len(parts) > 1 else []


def _longest_step(pace: Pace) -> float:
    return max((seconds for _, _, seconds in _parts(pace)), default=0.0)


# ---- the queue ------------------------------------------------------------------------------------------------------


class _Simulation:
    """The workers that live, each free from some second on, and the stages whose inputs are done by then."""

    def __init__(self, queue: QueueNow, times_of: Mapping[int, StageTime]) -> None:
        self._times = times_of
        self._placed: dict[int, _Placed] = {}
        self._order = {stage.stage_id: place for place, stage in enumerate(queue.stages)}
        self._by_id = {stage.stage_id: stage for stage in queue.stages}
        self._missing = {
            stage.stage_id: {source for source in stage.inputs if source in self._by_id} for stage in queue.stages
        }
        self._readers: dict[int, list[int]] = {}
        for stage_id, sources in self._missing.items():
            for source in sources:
                self._readers.setdefault(source, []).append(stage_id)
        self._ready: dict[str, list[tuple[int, int]]] = {"any": [], "cpu": [], "gpu": []}
        self._ends: list[tuple[float, int]] = []  # (second, stage) of what runs
        self._holds: dict[int, list[str]] = {}
        self._free = dict(queue.workers)
        self._guessed = False  # a stage that nobody measured has begun: what begins later may begin at another time

    def run(self) -> dict[int, _Placed]:
        for stage in self._by_id.values():
            if stage.running_on is not None:
                held = min(stage.cards, self._free.get(stage.running_on, 0))  # a worker that is silent comes not back
                self._free[stage.running_on] = self._free.get(stage.running_on, 0) - held
                self._begin(stage, 0.0, [stage.running_on] * held)
            elif not self._missing[stage.stage_id]:
                self._make_ready(stage)
        self._take(0.0)
        while self._ends:
            second, stage_id = heapq.heappop(self._ends)
            for device in self._holds.pop(stage_id):
                self._free[device] = self._free.get(device, 0) + 1
            for reader in self._readers.get(stage_id, ()):
                self._missing[reader].discard(stage_id)
                if not self._missing[reader]:
                    self._make_ready(self._by_id[reader])
            self._take(second)
        return self._placed

    def _make_ready(self, stage: LiveStage) -> None:
        if stage.running_on is None:
            heapq.heappush(self._ready[stage.device], (self._order[stage.stage_id], stage.stage_id))

    def _take(self, second: float) -> None:
        """Every free worker takes the first stage that it can serve; one with a card leaves what needs none to the
        others as long as there are others."""
        for device in ("cpu", "gpu"):
            while self._free.get(device, 0) > 0 and (stage := self._next(device)) is not None:
                cards = min(stage.cards, self._free[device])
                self._free[device] -= cards
                self._begin(stage, second, [device] * cards)

    def _next(self, device: str) -> LiveStage | None:
        heads = [(self._ready[name][0], name) for name in stages_for(device) if self._ready[name]]
        if not heads:
            return None
        _, name = min(heads)
        return self._by_id[heapq.heappop(self._ready[name])[1]]

    def _begin(self, stage: LiveStage, second: float, devices: list[str]) -> None:
        left, known = self._times[stage.stage_id].left, not self._guessed
        end = second + (UNKNOWN if left is None else left)
        self._guessed |= left is None
        self._placed[stage.stage_id] = _Placed(
            start=second, end=end, start_known=known or stage.running_on is not None,
            end_known=left is not None and (known or stage.running_on is not None),
        )  # fmt: skip
        self._holds[stage.stage_id] = devices
        heapq.heappush(self._ends, (end, stage.stage_id))
