"""Clocks that are wrong: of workers by two hours, and the database's, which is set while leases run."""

from pathlib import Path
from typing import Any

import pytest

from tests.amounts import amount
from tests.chaos import kills
from tests.chaos.scene import DATABASES, QUICK, scene
from tests.chaos.siege import Siege

BACK, FORWARD = -600, 7200  # seconds
# Leases as in the product: who lives loses none of them while a busy machine stands still for seconds.
LONG_LEASES = {
    **QUICK,
    "workers.queue.lease": {**QUICK["workers.queue.lease"], "LEASE_SECONDS": 45.0},
    "workers.queue.reaper": {**QUICK["workers.queue.reaper"], "_SPARED": 15.0},
}


@pytest.mark.parametrize("database", DATABASES if amount("EACH", 1) > 1 else ["postgres"])
def test_no_clock_takes_a_stage_from_its_worker_or_leaves_one_with_the_dead(
    database: str, chaos_materials: dict[str, Any], expected: list[dict[str, str]]
) -> None:
    """Two workers, two hours fast and two hours slow; meanwhile the database's clock is set back by ten minutes, a
    supervisor is killed, and the clock is set forward by two hours."""
    with scene(database, chaos_materials, workers=1, times=LONG_LEASES) as place:
        siege = Siege(place)
        clock = place.home / "clock"
        place.more["CHAOS_CLOCK"] = str(clock)
        for ahead in ("7200", "-7200"):
            place.supervise(CHAOS_TIME=ahead)
        for _ in range(2):
            place.submit()
        _set(clock, BACK, siege)
        assert kills.kill_supervisor(place)
        _set(clock, FORWARD, siege)
        found = siege.end(expected, patience=900)
    assert found.wrong() == {}, "\n".join(found.words)
    assert sum(found.attempts.values()) <= found.stages + 3  # nobody lost a stage but those who were killed


def _set(clock: Path, seconds: int, siege: Siege) -> None:
    """Set the clock while a stage is held."""
    siege.wait(lambda: kills._computing(siege.scene), 300, every=0.03)
    clock.write_text(str(seconds))
