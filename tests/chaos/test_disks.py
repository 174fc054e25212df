"""A disk that is full for some seconds, of the artifacts or of everything, the SQLite database too."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.amounts import amount
from tests.chaos.disks import small_disk
from tests.chaos.scene import Scene, scene
from tests.chaos.siege import Siege
from workers import api

MEGABYTES = 48
FULL = 5.0  # seconds


@pytest.mark.parametrize("what", ["artifacts", "everything"] if amount("EACH", 1) > 1 else ["everything"])
def test_a_full_disk_that_is_freed_loses_nothing(
    what: str, chaos_materials: dict[str, Any], expected: list[dict[str, str]]
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="cwpo-full-", dir=servers.SHORT))
    full = folder / "home" if what == "everything" else folder / "home" / "artifacts"
    with (
        small_disk(full, MEGABYTES) as disk,
        scene("sqlite", chaos_materials, workers=2, home=folder / "home") as place,
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
        siege.wait(lambda: _settled(place), 600, every=0.3)
        failed = [row for row in place.states() if row.status == "failed"]
        assert all("full" in (row.error or "") or "space" in (row.error or "") for row in failed), failed
        for row in failed:  # said in a sentence: a person made room, and asks again
            api.retry_run(row.id)
        found = siege.end(expected)
    shutil.rmtree(folder)
    wrong = {name: number for name, number in found.wrong().items() if name != "tracebacks"}
    assert wrong == {}, "\n".join(found.words)


def _settled(place: Scene) -> bool:
    return place.unfinished() == 0
