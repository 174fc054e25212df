"""One process per card computes a stage: started, listened to and ended by the process that holds the stage.

The ranks know no database and no queue. They end with this process in every case, and with each other: where one is
killed, fails or hangs, the others are killed within seconds.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from cwpo.config.environment import settings
from cwpo.errors import Cancelled
from cwpo.parallel.killed import RecentKills
from cwpo.parallel.process import Rank, start
from cwpo.parallel.verdict import cancelled, error_of, lost
from cwpo.stages.context import StageContext
from cwpo.stages.execute import Compute, Computed
from cwpo.stages.kinds import kind_of
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import LabelSettings, ScoreSettings, Settings

POLL_SECONDS = 0.05
SETTLE_SECONDS = 2.0  # what the others have to say or end by themselves after one has failed
_LATE = 5.0  # seconds between two looks: this process was stopped itself, and nobody is blamed for silence
_STOPPED = "The stage was asked to stop and did so; retry the run to go on from its last checkpoint."
_ENDED = "The stage did not stop within {} s and was ended; retry the run to go on from its last checkpoint."


def compute_on(places: Sequence[str], settings: Settings) -> Compute | None:
    """How a stage is computed on these places, one process each: a card as CUDA_VISIBLE_DEVICES names it, "" the CPU.

    None where one process does it: one place, or a stage that cannot be divided.
    """
    if len(places) < 2 or not can_be_shared(settings):
        return None
    return partial(compute_in_ranks, places=tuple(places))


def can_be_shared(settings: Settings) -> bool:
    """Whether several ranks can compute such a stage and find what one would."""
    if isinstance(settings, LabelSettings) and settings.label_dropout:
        return False  # its noise is drawn batch after batch
    if isinstance(settings, ScoreSettings) and settings.gold_reward.kind == "oracle":
        return False  # nothing to compute
    return kind_of(settings).shared


def compute_in_ranks(
    context: StageContext[Any], *, places: Sequence[str], program: str = "cwpo.parallel.rank"
) -> Computed:
    """The stage's function by one process per place. Linux ends a child with the thread that started it: this one,
    which waits here.

    Raises the error of the rank that failed first, Cancelled, or RanksLost where the processes were killed or hung;
    OutOfMemory where the kernel ended one for memory.
    """
    with _scratch(context) as scratch:
        group = _Group(context, places, scratch)
        try:
            group.start(program)
            group.watch()
        finally:
            group.end()
        return group.result()


@contextmanager
def _scratch(context: StageContext[Any]) -> Iterator[Path]:
    """A folder of this execution, removed after it: where ranks meet, and where all but the first write for nobody."""
    folder = Path(tempfile.mkdtemp(prefix="ranks-", dir=context.out.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Group:
    """The processes of one execution, from start to verdict."""

    def __init__(self, context: StageContext[Any], places: Sequence[str], scratch: Path) -> None:
        self._context, self._places, self._scratch = context, places, scratch
        self._ranks: list[Rank] = []
        self._asked_at: float | None = None  # when the ranks were asked to stop
        self._failed_at: float | None = None  # when the first of them was seen to have failed
        self._why: str | None = None  # they were killed, in a sentence
        self._memory_kills = RecentKills()

    def start(self, program: str) -> None:
        for number, place in enumerate(self._places):
            order = self._order(number)
            self._ranks.append(start(program, order, place, self._context.reporter if number == 0 else None))

    def watch(self) -> None:
        """Until all have ended, or have to be ended."""
        looked = time.monotonic()
        while any(rank.runs() for rank in self._ranks):
            time.sleep(POLL_SECONDS)
            self._memory_kills.look()
            now = time.monotonic()
            if now - looked > _LATE:
                for rank in self._ranks:
                    rank.heard = now
            looked = now
            if self._asked_at is None and self._context.should_stop():
                self._asked_at = now
                for rank in self._ranks:
                    rank.ask_to_stop()
            if self._must_end(now):
                return

    def end(self) -> None:
        """Kill what still runs, with everything it started."""
        for rank in self._ranks:
            rank.kill()
        for rank in self._ranks:
            rank.reap()

    def result(self) -> Computed:
        """What the first rank found, or the error that explains why there is nothing."""
        first = self._ranks[0]
        if self._why is None and all(rank.done is not None for rank in self._ranks):
            assert first.done is not None
            return Computed(summary=first.done["summary"], threads=first.done["threads"], ranks=len(self._ranks))
        if error := error_of(self._ranks):
            raise error
        if self._asked_at is not None or cancelled(self._ranks):
            raise Cancelled(cancelled(self._ranks) or self._why or _STOPPED)
        error = lost(self._ranks, self._why, self._memory_kills.before)
        for note in (rank.last_words() for rank in self._ranks):
            error.add_note(note)
        raise error

    def _must_end(self, now: float) -> bool:
        if self._failed_at is None and any(rank.failed() for rank in self._ranks):
            self._failed_at = now
        if self._failed_at is not None and now - self._failed_at > SETTLE_SECONDS:
            return True
        if self._asked_at is not None and now - self._asked_at > settings.rank_grace:
            self._why = _ENDED.format(settings.rank_grace)
        silent = [rank for rank in self._ranks if rank.runs() and now - rank.heard > settings.rank_silence]
        if silent and self._why is None:
            self._why = (
                f"{silent[0].name} gave no sign of life for {settings.rank_silence} s, so all ranks were ended; "
                "the stage goes on from its last checkpoint."
            )
        return self._why is not None

    def _out(self, rank: int) -> Path:
        if rank == 0:
            return self._context.out
        own = self._scratch / str(rank)
        own.mkdir(exist_ok=True)
        return own

    def _order(self, rank: int) -> dict[str, Any]:
        """What a rank is told, as JSON values."""
        context, place = self._context, self._places[rank]
        execution = {item.name: getattr(context.execution, item.name) for item in fields(context.execution)}
        del execution["ranks"]
        if place and execution["shard"] is None:
            execution["shard"] = _is_trained_whole(context.settings)
        return {
            "rank": rank,
            "size": len(self._places),
            "meeting": str(self._scratch / "meeting"),
            "wait": settings.rank_wait,
            "kind": context.kind,
            "settings": to_plain(context.settings),
            "inputs": {name: str(path) for name, path in context.inputs.items()},
            "out": str(self._out(rank)),
            "checkpoints": str(context.checkpoints),
            "store": str(context.store.root),
            "execution": {**execution, "device": "cuda:0" if place else "cpu"},
        }


def _is_trained_whole(settings: Settings) -> bool:
    """What a training of all weights keeps is split over the cards; with an adapter each card has the frozen weights.

    The memory estimate, which cards are claimed by, counts so too.
    """
    return kind_of(settings).trains and getattr(settings, "lora", None) is None
