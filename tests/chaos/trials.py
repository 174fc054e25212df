"""Faults that need a scene of their own: a full disk, wrong clocks, a launcher that is killed. What is found after each
has to be nothing: the tests do each once, `make chaos-long` again and again."""

import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import servers
from tests.chaos import kills
from tests.chaos.disks import small_disk
from tests.chaos.invariants import Found
from tests.chaos.scene import QUICK, scene
from tests.chaos.siege import Siege
from tests.workers.workplace import lives

Expected = list[dict[str, str]]
Times = Mapping[str, Mapping[str, float]]
MEGABYTES = 48
FULL = 5.0  # seconds
BACK, FORWARD = -600, 7200  # seconds
# Leases as in the product: who lives loses none of them while a busy machine stands still for seconds.
LONG_LEASES: Times = {
    **QUICK,
    "workers.queue.lease": {**QUICK["workers.queue.lease"], "LEASE_SECONDS": 45.0},
    "workers.queue.reaper": {**QUICK["workers.queue.reaper"], "_SPARED": 15.0},
}


def full_disk(what: str, materials: dict[str, Any], expected: Expected, *, times: Times = QUICK) -> Found:
    """The disk of the artifacts, or of everything with the SQLite database, is full for some seconds while stages are
    computed, and then freed."""
    folder = Path(tempfile.mkdtemp(prefix="cwpo-full-", dir=servers.SHORT))
    full = folder / "home" if what == "everything" else folder / "home" / "artifacts"
    with (
        small_disk(full, MEGABYTES) as disk,
        scene("sqlite", materials, workers=2, home=folder / "home", times=times) as place,
    ):
        print(f"full by: {disk.how}")
        place.more |= disk.variables()
        siege = Siege(place)
        place.supervise()
        for _ in range(2):
            place.submit()
        siege.wait(lambda: any(row.status == "running" for row in place.states()), 300)
        siege.wait(lambda: place.processes("horse", older=1.5), 300)
        assert disk.fill()
        time.sleep(FULL)  # the database may be on that disk: nobody asks it
        disk.free()
        found = siege.end(expected)
    shutil.rmtree(folder)
    return found


def wrong_clocks(database: str, materials: dict[str, Any], expected: Expected, *, times: Times = LONG_LEASES) -> Found:
    """Two workers, two hours fast and two hours slow; meanwhile the database's clock is set back by ten minutes, a
    supervisor is killed, and the clock is set forward by two hours."""
    with scene(database, materials, workers=1, times=times) as place:
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
    if sum(found.attempts.values()) > found.stages + 3:  # somebody lost a stage who was not killed
        found.lost += 1
        found.words.append(f"{found.attempts} attempts for {found.stages} stages")
    return found


def killed_launcher(materials: dict[str, Any], expected: Expected, *, times: Times = QUICK) -> Found:
    """Dashboard, embedded Redis and the launcher itself are killed while runs are computed; the launcher is started
    again at once."""
    with scene("sqlite", materials, workers=2, times=times) as place:
        siege = Siege(place)
        place.launch()
        for _ in range(2):
            place.submit()
        for name in ("streamlit", "redis-server"):
            _kill(siege, name)
        siege.wait(lambda: place.processes("horse", older=1.0), 300)
        (launcher,) = place.living()
        launcher.kill()
        launcher.wait(60)
        second = place.launch()  # at once: what the first one started may still be ending
        siege.wait(lambda: place.unfinished() == 0, 600, every=0.3)
        assert second.poll() is None
        found = siege.end(expected)
        assert second.returncode == 0
    return found


def _set(clock: Path, seconds: int, siege: Siege) -> None:
    """Set the clock while a stage is held."""
    siege.wait(lambda: kills._computing(siege.scene), 300, every=0.03)
    clock.write_text(str(seconds))


def _kill(siege: Siege, name: str) -> None:
    """SIGKILL; another one has to come."""
    place = siege.scene
    siege.wait(lambda: place.named(name), 300)
    old = {one.pid: one for one in place.named(name)}
    for one in old.values():
        one.send_signal(signal.SIGKILL)
    siege.wait(lambda: not any(map(lives, old.values())), 60)
    siege.wait(lambda: {one.pid for one in place.named(name)} - set(old), 300)
