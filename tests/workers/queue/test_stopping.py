"""Workers that are stopped let a step finish; as a batch job they end in time and queue themselves again."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from db import queries
from db.records import AttemptRow
from tests import clocks
from tests.workers.workplace import Workplace, descendants, lives, wait_for
from workers import api
from workers.machine.database import reading
from workers.machine.paths import ROOT, store
from workers.queue import job, reaper
from workers.queue.until_idle import REQUEUE, UntilIdle

# Put on PYTHONPATH of worker processes: while a file is there, each step of an optimizer takes three seconds.
SLOW_STEPS = """
import importlib.abc, importlib.util, os, sys, time

class SlowSteps(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "cwpo.training.loop":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            import torch
            step = torch.optim.AdamW.step

            def slow(self, *arguments, **named):
                if os.path.exists(os.environ["SLOW_STEPS"]):
                    time.sleep(6)
                return step(self, *arguments, **named)

            torch.optim.AdamW.step = slow

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, SlowSteps())
"""
LONG = {"method": "human", "align": {"epochs": 200, "lr": 1e-3, "batch_size": 16}}


def attempts(place: Workplace, run_id: int, slot: str) -> list[AttemptRow]:
    with reading() as session:
        return queries.attempts(session, place.stage(run_id, slot).stage_id)


def batch_job(place: Workplace, *, asked: Path, slow: Path) -> "subprocess.Popen[bytes]":
    """`deploy/cwpo.sbatch` as SLURM runs it; `scontrol` is a stub that writes down what it is asked."""
    programs = place.home / "bin"
    programs.mkdir(exist_ok=True)
    scripts = {
        "scontrol": f'echo "$@" >> {asked}',
        "cwpo": f'exec {sys.executable} -m workers.cli.main "$@"',
    }
    for name, line in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    (programs / "sitecustomize.py").write_text(SLOW_STEPS)
    own = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(programs),
        "CWPO": str(programs / "cwpo"),
        "SLOW_STEPS": str(slow),
        "SLURM_JOB_ID": "4711",
        "WORKERS": "1",
    }
    return subprocess.Popen(
        ["bash", str(ROOT / "deploy" / "cwpo.sbatch"), "--idle-seconds", "10"],
        env={**place.environment, **own},
        cwd=ROOT,
        start_new_session=True,
    )


def test_a_batch_job_whose_time_is_up_goes_on_in_the_next_one_at_the_step_where_it_stopped(
    workplace: Workplace,
) -> None:
    """No checkpoint is due, a step takes six seconds, longer than RQ looks away, and USR1 comes in mid-step."""
    place = workplace
    asked, slow = place.home / "asked", place.home / "slow"
    run_id = api.submit_run(place.config(**LONG, execution={"checkpoint_seconds": 3600})).run_id
    first = batch_job(place, asked=asked, slow=slow)
    try:
        wait_for(lambda: place.stage(run_id, "align").status == "running", every=0.02)
        slow.touch()
        wait_for(lambda: place.stage(run_id, "align").done, every=0.05)
        seen = place.stage(run_id, "align").done
        wait_for(lambda: place.stage(run_id, "align").done != seen, every=0.05)
        done = place.stage(run_id, "align").done or 0
        family = descendants(first.pid)
        first.send_signal(signal.SIGUSR1)
        assert first.wait(300) == 0
    finally:
        os.killpg(first.pid, signal.SIGKILL) if first.poll() is None else None
    assert not any(map(lives, family))
    assert asked.read_text().splitlines() == ["requeue 4711"]
    stage = place.stage(run_id, "align")
    assert (stage.status, [one.cause for one in attempts(place, run_id, "align")]) == (
        "queued",
        ["The worker was stopped."],
    )
    slow.unlink()
    second = batch_job(place, asked=asked, slow=slow)
    assert second.wait(600) == 0
    assert place.run(run_id).status == "done"
    steps = [one.first_step for one in attempts(place, run_id, "align")]
    assert steps[1] is not None
    assert done <= steps[1] <= done + 3  # at most what was done, not yet told, and the step under way
    assert len(asked.read_text().splitlines()) == 1  # nothing was left


def test_time_is_up_early_enough_for_the_last_checkpoint(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWPO_STOP_GRACE", "100")
    at = [0.0]
    until = UntilIdle({"cpu"}, minutes=10, idle_seconds=math.inf, clock=lambda: at[0])
    at[0] = 600 - 100 - 16
    assert not until.over([1])
    at[0] = 600 - 100 - 15
    assert until.over([1])
    assert until.end() == ("The time is up, and all is done.", 0)
    run = api.submit_run(place.config())
    assert until.end() == (f"requeue: the time is up, and {run.stages} stages are left.", REQUEUE)


def test_workers_end_when_nothing_was_ready_for_them_for_a_while(place: Workplace) -> None:
    at = [0.0]

    def over_at(moment: float, until: UntilIdle) -> bool:
        at[0] = moment
        return until.over([1])

    idle = UntilIdle({"cpu"}, idle_seconds=30, clock=lambda: at[0])
    assert [over_at(moment, idle) for moment in (10, 29, 31)] == [False, False, True]
    assert idle.end() == ("All is done.", 0)
    at[0] = 0.0
    waiting = UntilIdle({"cpu"}, idle_seconds=30, clock=lambda: at[0])
    api.submit_run(place.config(method="human"))
    assert [over_at(moment, waiting) for moment in (10, 100, 299)] == [False] * 3  # a stage is ready
    assert over_at(301, waiting)  # and nobody of these takes it
    assert waiting.end()[1] == 0
    at[0] = 0.0
    job.work(0)
    after = UntilIdle({"cpu"}, idle_seconds=30, clock=lambda: at[0])
    assert over_at(31, after)
    at[0] = 0.0
    run_id = api.submit_run(place.config(method="weak")).run_id
    between = UntilIdle({"cpu"}, idle_seconds=30, clock=lambda: at[0])
    assert not over_at(40, between)
    api.cancel_run(run_id)
    # one look may fall between two stages: idle is counted from the first look that found nothing
    assert [over_at(moment, between) for moment in (75, 104, 106)] == [False, False, True]


def test_the_folder_of_a_stage_that_is_worked_on_is_never_removed(place: Workplace) -> None:
    """However old it is: a stage may take days. What a killed process left goes after a day."""
    run_id = api.submit_run(place.config()).run_id
    held, locked, left, young = (fingerprint * 32 for fingerprint in ("aa", "bb", "cc", "dd"))
    held = place.stage(run_id, "data").fingerprint
    folders = {}
    for fingerprint in (held, locked, left, young):
        folders[fingerprint] = store().root / "tmp" / f"{fingerprint[:16]}-12345678"
        (folders[fingerprint] / "sub").mkdir(parents=True)
        long_ago = time.time() - 10 * 24 * 3600
        for path in (folders[fingerprint] / "sub", folders[fingerprint]):
            os.utime(path, (long_ago, long_ago))
    (folders[young] / "sub" / "file").touch()
    assert job._claim(job.settings.own_worker, "cpu", wait=0.0) is not None
    with store().lock(locked):
        reaper.remove_abandoned()
    assert [fingerprint for fingerprint, folder in folders.items() if not folder.exists()] == [left]


DEAF = "trap '' TERM INT; echo deaf; while :; do sleep 0.1; done"  # a job in a step that takes for ever
SUPERVISOR = f"""
import os, subprocess
from workers.queue.supervisor import Slot, Supervisor
class Telling(Supervisor):
    def _tick(self):
        os.write(1, b"" if self._beats else b"listens\\n")
        super()._tick()
    def _stop(self, number, frame):
        super()._stop(number, frame)
        os.write(1, b"heard\\n")
process = subprocess.Popen(["sh", "-c", {DEAF!r}])
Telling([Slot(role="reaper", process=process)]).run()
print("ended", process.returncode)
"""
LAUNCHER = f"""
import sys
from workers.cli.launch.honcho_json import StackManager
manager = StackManager(None, 60.0)
manager.add_process("job", {DEAF!r})
manager.loop()
print("ended", manager.returncode)
"""


@pytest.mark.parametrize(
    ("script", "begun", "heard"),
    [(SUPERVISOR, ("deaf", "listens"), "heard"), (LAUNCHER, ("deaf",), "Ctrl-C again ends them at once")],
    ids=["supervisor", "launcher"],
)
def test_a_second_ctrl_c_ends_at_once_what_the_first_one_lets_finish(
    workplace: Workplace, script: str, begun: tuple[str, ...], heard: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", script], env=workplace.environment, cwd=ROOT, stdout=subprocess.PIPE,
        start_new_session=True, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = iter(process.stdout.readline, "")
    missing = set(begun)
    while missing:
        line = next(said).rstrip()
        missing = {word for word in missing if not line.endswith(word)}
    family = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    assert any(heard in line for line in said)
    time.sleep(1.0)
    assert process.poll() is None
    with clocks.lasting(8):
        process.send_signal(signal.SIGINT)
        assert any("ended" in line for line in said)
        process.wait(60)
    wait_for(lambda: not any(map(lives, family)))
