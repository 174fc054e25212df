"""The doorbell: what is written to Redis, and that old rings are not multiplied."""

import subprocess
import sys
from pathlib import Path

from workers.queue import doorbell


def test_a_ring_is_the_name_of_a_device_and_nothing_else(redis_server: str) -> None:
    connection = doorbell.connect(redis_server)
    assert doorbell.ring("cpu", 1, connection) == 1
    assert connection.keys() == [b"rq:queue:cpu"]
    assert connection.lrange("rq:queue:cpu", 0, -1) == [b"cpu"]


def test_rings_that_still_wait_are_not_multiplied(redis_server: str) -> None:
    connection = doorbell.connect(redis_server)
    assert [doorbell.ring("cpu", 2, connection) for _ in range(3)] == [2, 0, 0]
    assert doorbell.queue_of("cpu", connection).count == 2


def test_nothing_of_the_queue_is_connected_at_import(tmp_path: Path) -> None:
    script = "import sys, workers.queue.doorbell; print([m for m in ('redis', 'rq', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "[]"
