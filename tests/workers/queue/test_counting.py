"""Whoever waits for a process of ours reads meanwhile what the kernel counts, so that it blames none of long before."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cwpo.parallel import killed as counting
from tests.workers.workplace import wait_for
from workers.machine import killed
from workers.machine.killed import Cause, RecentKills
from workers.queue import supervisor
from workers.queue.supervisor import Slot, Supervisor
from workers.queue.worker import StageWorker

SOON = 0.0625  # seconds, exact in binary


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the machine counts, in a file of the test; nothing is counted for groups."""
    path = tmp_path / "vmstat"
    path.write_text("oom_kill 5\n")
    monkeypatch.setattr(counting, "_MACHINE", path)
    monkeypatch.setattr(counting, "_OWN", tmp_path / "none")
    for module in (counting, killed):
        monkeypatch.setattr(module, "WITHIN", SOON)
    return path


def test_a_worker_that_waits_for_its_job_process_counts_meanwhile(counts: Path) -> None:
    worker = object.__new__(StageWorker)
    worker._memory_kills = RecentKills()
    counts.write_text("oom_kill 6\n")
    usual = signal.getsignal(signal.SIGALRM)
    job = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    worker._horse_pid = job.pid
    kills = worker._memory_kills

    def end() -> None:
        try:
            wait_for(lambda: kills.before == 6)
        finally:
            os.kill(job.pid, signal.SIGKILL)

    threading.Thread(target=end).start()
    _, status, _ = worker.wait_for_horse()
    assert status is not None
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert killed.of_status(status, before=worker._memory_kills.before)[0] is Cause.OUTSIDE
    assert signal.getsignal(signal.SIGALRM) is usual
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    job.returncode = -signal.SIGKILL  # waited for already


def test_a_supervisor_counts_while_its_workers_live(counts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        slot = Slot(role="worker", process=process, memory_kills=RecentKills())
        watching = object.__new__(Supervisor)
        watching.slots, watching.stopping, watching._chats, watching._next_beat = [slot], False, None, now + 3600
        counts.write_text("oom_kill 6\n")
        for _ in range(3):
            now += SOON
            watching._tick()
        assert slot.memory_kills is not None
        assert slot.memory_kills.before == 6
        process.kill()
