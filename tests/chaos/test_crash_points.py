"""A job process that dies at any write point, or loses its connection at any statement: the next one ends the stage.

POINTS: how many points are drawn for each (1000000: all of a whole run), with more than a few also of write points on
Postgres. POINTS_SEED: which.
"""

import json
import subprocess
import sys

import pytest

from tests.amounts import amount

FEW = 6
POINTS, SEED = amount("POINTS", FEW), amount("POINTS_SEED", 0)
KINDS = {
    "sqlite": ["--database", "sqlite"],
    "connections": ["--database", "postgres", "--statements"],
    **({"postgres": ["--database", "postgres"]} if POINTS > FEW else {}),
}
MINUTES = 240


@pytest.mark.timeout(MINUTES * 60)
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_goes_on_after_a_fault_at_any_point(kind: str) -> None:
    command = [sys.executable, "-m", "tests.chaos.crash_points", *KINDS[kind], "--points", str(POINTS)]
    done = subprocess.run([*command, "--seed", str(SEED)], capture_output=True, text=True, timeout=MINUTES * 60)
    assert done.returncode == 0, done.stderr[-8000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert found["points"] > 100
    assert found["tried"] == min(POINTS, found["points"])
    assert found["recovered"] + found["not_reached"] == found["tried"]
    assert found["not_reached"] <= 0.02 * found["tried"] + 1
    assert found["wrong"] == []
