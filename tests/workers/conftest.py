"""A workplace for tests: a database, a real Redis server, a home, and worker processes that end with the test."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.cwpo import tiny
from tests.workers.working import be_the_worker
from tests.workers.workplace import (
    Workplace,
)


@pytest.fixture(scope="session")
def materials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A configuration over a random OPT model and random pairs: every stage runs in well under a second."""
    folder = tmp_path_factory.mktemp("materials")
    model = str(tiny.save(folder / "model", "opt"))
    dice = random.Random(0)

    def words(count: int) -> str:
        return " ".join(dice.choice(tiny.WORDS) for _ in range(count))

    pairs = [{"prompt": words(5), "chosen": words(6), "rejected": words(4)} for _ in range(120)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    train = {"epochs": 1, "lr": 1e-3, "batch_size": 16}
    return {
        "method": "cw",
        "data": {"dataset": str(folder / "pairs.jsonl"), "test_prompts": 12},
        "model": {"annotator": model, "policy": model, "lora": None, "precision": "fp32"},
        "annotator": train,
        "sft": {"data": "none"},
        "align": train,
        "evaluation": {"max_new_tokens": 6, "gold_reward": "trained", "gold_train": train},
        "execution": {"device": "cpu"},
    }


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for artifacts of finished runs that several tests begin with: see tests/workers/computed.py."""
    return tmp_path_factory.mktemp("kept")


def workplace_at(
    address: str, redis: str, home: Path, materials: dict[str, Any], patch: pytest.MonkeyPatch
) -> Workplace:
    own = {"DATABASE_URL": address, "REDIS_URL": redis, "CWPO_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    for name, value in own.items():
        patch.setenv(name, value)
    patch.delenv("CWPO_PARENT_PID", raising=False)
    return Workplace(environment={**os.environ, **own}, home=home, materials=materials)


@pytest.fixture
def workplace(
    sqlite_address: str,
    redis_server: str,
    tmp_path: Path,
    materials: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    """On SQLite, where the kind of database does not matter."""
    return workplace_at(sqlite_address, redis_server, tmp_path, materials, monkeypatch)


@pytest.fixture
def both_workplaces(
    database_address: str,
    redis_server: str,
    tmp_path: Path,
    materials: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    """Once on SQLite and once on Postgres."""
    return workplace_at(database_address, redis_server, tmp_path, materials, monkeypatch)


@pytest.fixture
def place(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A workplace in which this process is the worker."""
    be_the_worker(monkeypatch)
    return workplace


@pytest.fixture
def both_places(both_workplaces: Workplace, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """The same on SQLite and on Postgres."""
    be_the_worker(monkeypatch)
    return both_workplaces
