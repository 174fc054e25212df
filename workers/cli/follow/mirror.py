"""`cwpo mirror`: runs copied to MLflow, trackio or W&B, once or until they end."""

import sys
import time
from collections.abc import Sequence

from cwpo.errors import ConfigError
from db import queries
from db.queries.people.keeping import queued_runs
from db.status import LIVE
from workers.api.exports import handed_out
from workers.machine.database import reading
from workers.mirror import places
from workers.mirror.place import Away, Place
from workers.mirror.send import Sender

LOOK_EVERY = 5.0  # seconds
TURN_WITHIN = 150.0  # seconds; a killed process keeps its turn for less
MOST = 200


def main(to: str, run_ids: Sequence[int], *, follow: bool) -> int:
    """Send these runs, or with `follow` all that are live now; 1 where a place was away until the end."""
    place = places.place(to, "--to")
    ids = list(dict.fromkeys(run_ids)) or (_live() if follow else [])
    if not ids:
        raise ConfigError("run", f"name the runs to send: `cwpo mirror --to {to} 7`.")
    with reading() as session:
        for run_id in ids:
            queries.get_run(session, run_id)
    handed_out(f"copy in {to}", place.shown, ids)
    return _follow(Sender(place), ids) if follow else _once(Sender(place), ids)


def _live() -> list[int]:
    with reading() as session:
        page = queued_runs(session, limit=MOST)
    if not page.rows:
        raise ConfigError("run", "none is queued or running; name the runs to send.")
    return [run.id for run in page.rows]


def _once(sender: Sender, run_ids: Sequence[int]) -> int:
    for run_id in run_ids:
        _say(sender.place, run_id, _in_turn(sender, run_id))
    return 0


def _follow(sender: Sender, run_ids: Sequence[int]) -> int:
    """Until every run ended and is there. A place that is away is waited for."""
    left, complained = list(run_ids), ""
    while left:
        for run_id in tuple(left):
            ended = not _is_live(run_id)
            try:
                sent = _in_turn(sender, run_id)
            except Away as error:
                if str(error) != complained:
                    complained = str(error)
                    print(f"cwpo: {complained} Trying again.", file=sys.stderr)
                break
            complained = ""
            if sent or ended:
                _say(sender.place, run_id, sent)
            if ended:
                left.remove(run_id)
        if left:
            time.sleep(LOOK_EVERY)
    return 0


def _in_turn(sender: Sender, run_id: int) -> int:
    deadline = time.monotonic() + TURN_WITHIN
    while sender.take_turn() is None:
        if time.monotonic() > deadline:
            raise Away("Another process sends there without an end: try again later.")
        time.sleep(1.0)
    try:
        return sender.send(run_id)
    finally:
        sender.give_turn_back()


def _is_live(run_id: int) -> bool:
    with reading() as session:
        return queries.get_run(session, run_id).row.status in LIVE


def _say(place: Place, run_id: int, points: int) -> None:
    print(f"run {run_id}: {points:,} points sent to {place.shown}", flush=True)
