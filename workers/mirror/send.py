"""One run to one place: what the place lacks of its curves and results, then what the run is.

What was sent is asked of the place whenever a copy is opened, so a process that was killed, or somebody else who sends,
leaves nothing twice."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from db.records.keeping import MirrorTurn
from db.repositories.keeping import mirrors
from workers.machine.database import writing
from workers.mirror import read
from workers.mirror.place import Away, Copy, Place
from workers.mirror.read import Part, Row, Told

AS_MANY = 1_000  # rows of one call
RENEWED_EVERY = mirrors.TURN_SECONDS / 4


@dataclass
class Open:
    """A copy that is being written: how far its parts are there, and what was told last."""

    copy: Copy
    steps: dict[str, int]
    told: Told | None = field(default=None)


class Sender:
    """Sends runs to one place and remembers the copies of live runs, unless somebody else had the turn meanwhile."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.owner = uuid.uuid4().hex
        self._open: dict[int, Open] = {}
        self._renewed = -RENEWED_EVERY

    def take_turn(self) -> MirrorTurn | None:
        """The turn, where it is ours to send now."""
        turn = self._turn()
        if turn is None or not turn.again:
            self.forget_all()
        return turn

    def give_turn_back(self, since: datetime | None = None) -> None:
        """Let others send. `since`: every run that ended before is there."""
        with writing() as session:
            mirrors.give_turn_back(session, self.place.key, self.owner, since=since)

    def send(self, run_id: int) -> int:
        """Everything of the run that the place lacks; how many points were sent."""
        self._keep_turn()
        source = read.source(run_id)
        try:
            one = self._opened(source.told)
            points = sum(self._rows(one, rows) for part in source.parts for rows in self._new(one, part))
            points += self._rows(one, [row for row in source.results if row.step > one.steps.get(row.part, -1)])
            if one.told != source.told:
                one.copy.tell(source.told)
                one.told = source.told
            if source.told.ended:
                del self._open[run_id]
                one.copy.close()
        except BaseException:
            self.forget(run_id)
            raise
        return points

    def forget(self, run_id: int) -> None:
        """Ask the place anew the next time."""
        one = self._open.pop(run_id, None)
        if one is not None:
            with contextlib.suppress(Exception):  # what went wrong before is what matters
                one.copy.close()

    def forget_all(self) -> None:
        """Ask the place anew about every run."""
        for run_id in tuple(self._open):
            self.forget(run_id)

    def _keep_turn(self) -> None:
        if time.monotonic() > self._renewed + RENEWED_EVERY:
            turn = self._turn()
            if turn is None or not turn.again:
                raise Away("Another process sends there now.")

    def _turn(self) -> MirrorTurn | None:
        self._renewed = time.monotonic()
        with writing() as session:
            return mirrors.take_turn(session, self.place.key, self.owner)

    def _opened(self, told: Told) -> Open:
        if told.id not in self._open:
            copy = self.place.open(told)
            self._open[told.id] = Open(copy=copy, steps=dict(copy.sent()))
        return self._open[told.id]

    def _new(self, one: Open, part: Part) -> Iterator[list[Row]]:
        for page in read.rows(part, one.steps.get(part.name, -1)):
            for start in range(0, len(page), AS_MANY):
                yield list(page[start : start + AS_MANY])

    def _rows(self, one: Open, rows: list[Row]) -> int:
        if not rows:
            return 0
        self._keep_turn()
        sent = one.copy.log(rows)
        for row in rows:
            one.steps[row.part] = max(row.step, one.steps.get(row.part, -1))
        return sent
