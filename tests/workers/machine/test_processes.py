"""How processes that compute on a CPU are started: glibc keeps freed memory, unless somebody chose otherwise."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

import psutil
import pytest

from cwpo.bounds import yaml_text
from tests.workers.workplace import Workplace, horse_of, wait_for, worker_processes
from workers import api
from workers.machine.processes import allocator_environment

KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
LONG = {"align": {"epochs": 400, "lr": 1e-3, "batch_size": 16}}

AGAIN = """
import json, os
print(os.getpid(), flush=True)
from workers.machine.processes import start_again_for_the_allocator
start_again_for_the_allocator()
print(json.dumps({name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}))
"""


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEPT, "CWPO_TUNE_MALLOC"):
        monkeypatch.delenv(name, raising=False)


def chosen(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("MALLOC_")}


@pytest.mark.parametrize(
    ("own", "added"),
    [({}, KEPT), ({"CWPO_TUNE_MALLOC": "0"}, {}), ({"MALLOC_MMAP_MAX_": "7"}, {})],
    ids=["on", "off", "somebody's own choice"],
)
def test_children_that_compute_are_told_to_keep_memory(
    own: dict[str, str], added: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    assert allocator_environment() == added


@pytest.mark.parametrize(("switch", "expected"), [("1", KEPT), ("0", {})])
def test_a_command_starts_again_once_as_the_same_process(switch: str, expected: dict[str, str]) -> None:
    started = subprocess.run(
        [sys.executable, "-c", AGAIN], env={**os.environ, "CWPO_TUNE_MALLOC": switch}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    *pids, shown = started.stdout.splitlines()
    assert len(set(pids)) == 1
    assert len(pids) == (2 if expected else 1)
    assert json.loads(shown) == expected


@pytest.mark.parametrize(("switch", "expected"), [("1", KEPT), ("0", {})])
def test_a_job_process_is_told_to_keep_memory_and_its_worker_is_not(
    workplace: Workplace, switch: str, expected: dict[str, str]
) -> None:
    workplace.environment = {**workplace.environment, "CWPO_TUNE_MALLOC": switch}
    with workplace.supervisor(workers=1) as supervisor:
        run_id = api.submit_run(workplace.config(**LONG)).run_id
        worker = worker_processes(supervisor.pid)[0]
        horse: psutil.Process = wait_for(lambda: horse_of(worker), every=0.02)
        assert chosen(horse.environ()) == expected
        assert chosen(worker.environ()) == {}
        api.cancel_run(run_id)


def test_cwpo_run_computes_with_kept_memory(workplace: Workplace) -> None:
    config = workplace.home / "run.yaml"
    config.write_text(yaml_text.written({**workplace.materials, **LONG}))
    command = [sys.executable, "-m", "workers.cli.main", "run", str(config)]
    process = subprocess.Popen(command, env=workplace.environment, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: chosen(psutil.Process(process.pid).environ()) == KEPT, every=0.02)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
