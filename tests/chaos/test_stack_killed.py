"""The whole stack: dashboard, embedded Redis and the launcher itself are killed while runs are computed."""

import signal
from typing import Any

from tests.chaos.scene import scene
from tests.chaos.siege import Siege
from tests.workers.workplace import lives


def test_the_stack_loses_nothing_when_its_parts_or_its_launcher_are_killed(
    chaos_materials: dict[str, Any], expected: list[dict[str, str]]
) -> None:
    with scene("sqlite", chaos_materials, workers=2) as place:
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
    assert found.wrong() == {}, "\n".join(found.words)


def _kill(siege: Siege, name: str) -> None:
    """SIGKILL; another one has to come."""
    place = siege.scene
    siege.wait(lambda: place.named(name), 300)
    old = {one.pid: one for one in place.named(name)}
    for one in old.values():
        one.send_signal(signal.SIGKILL)
    siege.wait(lambda: not any(map(lives, old.values())), 60)
    siege.wait(lambda: {one.pid for one in place.named(name)} - set(old), 300)
