"""A job process that dies at any write point, or loses its connection at any statement: the next one ends the stage.

POINTS: how many points are drawn for each (1000000: all of a whole run), with more than a few also of write points on
Postgres. POINTS_SEED: which.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.amounts import COUNTED, amount

FEW = 6
POINTS, SEED = amount("POINTS", FEW), amount("POINTS_SEED", 0)
KINDS = ["sqlite", "connections", *(["postgres"] if POINTS > FEW else [])]
SECONDS = 240 * 60 * len(KINDS)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Kind -> what happened; one process for all of them, because what takes longest is to import what stages need."""
    command = [sys.executable, "-m", "tests.chaos.crash_points", *KINDS, "--points", str(POINTS), "--seed", str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(said) == len(KINDS), done.stderr[-8000:]
    assert done.returncode == int(any(one["wrong"] for one in said)), done.stderr[-8000:]
    return dict(zip(KINDS, said, strict=True))


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_goes_on_after_a_fault_at_any_point(
    kind: str, found: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    one = found[kind]
    record_property(COUNTED, f"{one['tried']} of {one['points']} points, {one['recovered']} recovered")
    assert one["wrong"] == []
    assert one["points"] > 100
    assert one["tried"] == min(POINTS, one["points"])
    assert one["recovered"] + one["not_reached"] == one["tried"]
    assert one["not_reached"] <= 0.02 * one["tried"] + 1
