"""The kinds of faults of a long campaign that happen beside its sieges, each in installations of its own."""

import json
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos import trials
from tests.chaos.invariants import Found
from tests.chaos.scene import DATABASES, USUAL
from tests.chaos.siege import KILLS, KINDS

Trial = Callable[[str, dict[str, Any], trials.Expected], Found]
MINUTES = 240


@dataclass(frozen=True)
class Beside:
    """`trial`: the fault once, on a database; None: of tests/chaos/crash_points.py. `kills`: processes each time."""

    trial: Trial | None
    databases: Sequence[str] = DATABASES
    kills: bool = False


BESIDE: Mapping[str, Beside] = {
    "disk of the artifacts full for seconds": Beside(
        lambda _, own, expected: trials.full_disk("artifacts", own, expected, times=USUAL), ("sqlite",)
    ),
    "disk of everything full for seconds": Beside(
        lambda _, own, expected: trials.full_disk("everything", own, expected, times=USUAL), ("sqlite",)
    ),
    "clocks of workers and database wrong by hours": Beside(
        lambda database, own, expected: trials.wrong_clocks(database, own, expected, times=USUAL)
    ),
    "SIGKILL of dashboard, Redis and launcher": Beside(
        lambda _, own, expected: trials.killed_launcher(own, expected, times=USUAL), ("sqlite",)
    ),
    "SIGKILL of a job process at a write point": Beside(None, kills=True),
    "connection terminated at a statement": Beside(None, ("postgres",)),
}


def beside_on(database: str) -> list[str]:
    """The kinds on this database."""
    return [name for name, kind in BESIDE.items() if database in kind.databases]


def together(names: Iterable[str]) -> list[str]:
    """Those of the names, of sieges and beside them, that kill one process each time."""
    return [name for name in names if (BESIDE[name].kills if name in BESIDE else KINDS[name].fault in KILLS)]


def at_points(name: str, database: str, number: int, *, seed: int) -> tuple[int, Found]:
    """How many points of a whole run were reached, and what was wrong after them; at most `number` are drawn."""
    kind = database if BESIDE[name].kills else "connections"
    command = [sys.executable, "-m", "tests.chaos.crash_points", kind, "--points", str(number), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MINUTES * 60)
    lines = done.stdout.splitlines()
    if not lines:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-3000:]}")
    return read_points(json.loads(lines[-1]))


def tried(name: str, database: str, own: dict[str, Any], expected: trials.Expected) -> Found:
    """What a kind leaves that is done once; where a scene does not come to its end, something is lost."""
    trial = BESIDE[name].trial
    assert trial is not None
    try:
        return trial(database, own, expected)
    except AssertionError:
        return Found(lost=1, words=[traceback.format_exc(limit=3)])


def read_points(said: Mapping[str, Any]) -> tuple[int, Found]:
    """What crash_points.py says, as what a scene finds; a point that was drawn and not reached has not happened."""
    found = Found(words=list(said["wrong"]))
    for sentence in said["wrong"]:
        if "published differ" in sentence:
            found.published_twice += 1
        elif "files differ" in sentence or "rows differ" in sentence:
            found.corrupt += 1
        else:
            found.lost += 1
    return int(said["tried"]) - int(said["not_reached"]), found
