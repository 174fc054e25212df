"""What the reaper removes from the artifact store, and that no stage is taken from the living when a clock jumps."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from cwpo.artifacts import TOKENS, ArtifactStore
from cwpo.config.environment import settings
from db.engine import session_scope
from tests.workers.workplace import Workplace
from workers import api
from workers.machine import database
from workers.queue import job, reaper


def test_a_reaper_that_mirrors_and_tells_nothing_loads_no_tables() -> None:
    """It lives as long as the workers: what only mirrors and messages need would lie in memory for nothing."""
    script = "import sys, workers.queue.reaper as one; one._start_telling(); one._start_mirrors(); "
    script += "print([name for name in ('pandas', 'pyarrow', 'torch') if name in sys.modules])"
    alone = {name: value for name, value in os.environ.items() if name not in ("CWPO_MIRROR", "CWPO_WEBHOOK")}
    done = subprocess.run([sys.executable, "-c", script], env=alone, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[]", done.stderr


def test_token_ids_that_no_stage_read_for_two_weeks_go_and_artifacts_stay(
    tmp_path: Path, sqlite_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_address)
    monkeypatch.setattr(reaper, "store", lambda: ArtifactStore(tmp_path))
    days = {f"{TOKENS}/aa/old": 15, f"{TOKENS}/aa/read": 13, f"{TOKENS}/tmp/killed": 2, "tmp/killed": 2, "tmp/new": 0,
            "bb/artifact": 900, "checkpoints/artifact": 900}  # fmt: skip
    for name, age in days.items():
        (tmp_path / name).mkdir(parents=True)
        os.utime(tmp_path / name, times=(0, time.time() - age * 24 * 3600))
    reaper.remove_abandoned()
    assert {name for name in days if (tmp_path / name).exists()} == {
        f"{TOKENS}/aa/read", "tmp/new", "bb/artifact", "checkpoints/artifact",
    }  # fmt: skip


def test_a_clock_that_jumps_in_the_middle_of_a_round_takes_no_stage_in_that_round(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.submit_run(place.config())
    assert job._claim(settings.own_worker, "cpu", wait=0.0) is not None
    clock = reaper._Clock()
    assert not clock.jumped_ahead()
    with session_scope(database.engines()) as session:  # as it looks after the jump
        session.execute(text("UPDATE stages SET lease_expires_at = '2020-01-01 00:00:00' WHERE status = 'running'"))
    real = reaper.now
    monkeypatch.setattr(reaper, "now", lambda session: real(session) + timedelta(hours=2))  # the injected fault
    assert reaper.reap(clock=clock) == 0
    assert reaper.reap(clock=clock) == 1
