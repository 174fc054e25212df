"""What the reaper removes from the artifact store: what nobody needs, and nothing younger."""

import os
import time
from pathlib import Path

import pytest

from cwpo.artifacts import TOKENS, ArtifactStore
from workers.queue import reaper


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
