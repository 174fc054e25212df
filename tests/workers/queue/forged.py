"""What somebody who can write to Redis would put there against the workers: RQ's own jobs and registries, forged."""

import json
import pickle
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from redis import Redis

Fields = dict[str, Any]
QUEUE = "rq:queue:cpu"
OF_ANOTHER_TYPE = (
    "rq:workers", "rq:workers:cpu", "rq:queues", "rq:wip:cpu", "rq:finished:cpu", "rq:ready:cpu", "rq:groups",
    "rq:clean_registries:cpu", "rq:queue:cpu:intermediate", "rq:rl-keys", "rq:executions:x",
)  # fmt: skip
REGISTRIES = ("wip", "finished", "failed", "deferred", "ready", "scheduled", "canceled")
COMMANDS: tuple[Any, ...] = (
    {"command": "shutdown"}, {"command": "kill-horse"}, {"command": "stop-job", "job_id": "x"},
    {"command": "stop-execution", "execution_id": "x", "job_id": "x"}, ["not", "a", "command"],
)  # fmt: skip


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._canary,)


def called(function: str, *arguments: Any) -> bytes:
    """A job's data: a function by its dotted name, and what it is given."""
    return zlib.compress(json.dumps([function, None, list(arguments), {}]).encode())


def jobs(canary: Path, address: str) -> Iterator[tuple[bytes, Fields]]:
    """Ids and fields of forged jobs."""
    work, touch = "workers.queue.job.work", called("os.system", f"touch {canary}")
    base: Fields = {"data": called(work), "origin": "cpu", "status": "queued", "created_at": "2026-01-01T00:00:00Z"}
    yield from ((f"function-{at}".encode(), {**base, "data": data}) for at, data in enumerate((
        touch, called("builtins.exec", f"open({str(canary)!r}, 'w')"), called("pathlib.Path.touch", str(canary)),
        called("workers.api.delete_run", 1), called("os.kill", 1, 0), called("workers.queue.job.Shutdown"),
        zlib.compress(pickle.dumps(Evil(canary))), pickle.dumps(Evil(canary)), b"", b"[", b"\xff\xfe",
    )))  # fmt: skip
    for name in ("success", "failure", "stopped"):
        for status in ("queued", "started"):
            more = {f"{name}_callback_name": "os.abort", f"{name}_callback_timeout": "9", "status": status}
            yield f"callback-{name}-{status}".encode(), {**base, **more}
    for method in ("GET", "POST"):
        for status in ("finished", "failed"):
            hook = {"url": address, "job_status": status, "method": method, "headers": {"X": "y"}, "timeout": 5}
            yield f"webhook-{method}-{status}".encode(), {**base, "webhooks": json.dumps([hook])}
            forged = {**base, "data": touch, "status": "started", "webhooks": json.dumps([hook])}
            yield f"webhook-{method}-{status}-refused".encode(), forged
    for more in (
        {"retries_left": "1000000", "data": touch}, {"retries_left": "5", "retry_intervals": "[0]"},
        {"repeats_left": "1000000", "repeat_intervals": "[0]"}, {"dependency_ids": '["function-0"]'},
        {"rate_limit_key": "x", "rate_limit_concurrency": "1"}, {"group_id": "x"}, {"enqueue_at_front": "1"},
        {"timeout": "-7"}, {"timeout": "soon"}, {"timeout": "1"}, {"ttl": "x"}, {"result_ttl": "1e9"},
        {"status": "nonsense"}, {"status": b"\xff"}, {"created_at": "yesterday"}, {"started_at": "2026-99-99"},
        {"last_heartbeat": b"\x00"}, {"enqueued_at": "9" * 400}, {"worker_name": b"\xff"}, {"meta": b"\x80"},
        {"data": zlib.compress(b"\0" * (64 << 20))}, {"exc_info": zlib.compress(b"\0" * (64 << 20))},
        {"result": pickle.dumps(Evil(canary))}, {"webhooks": "[1, 2"},
    ):  # fmt: skip
        yield f"field-{'-'.join(more)}-{len(str(more))}".encode(), {**base, **more}
    for name in (b"a.b.c", b"a:b", b"\xff\xfe\x00", b"", b"../../../etc/passwd", b"x" * 4096, "⟨名⟩".encode(), b"a\nb"):
        yield name, base


def forge(connection: "Redis", canary: Path, address: str) -> int:
    """Put all of it into Redis, ring for each job, and write each into every registry; how many entries were forged."""
    count = 0
    for name in OF_ANOTHER_TYPE:
        connection.delete(name)
        connection.set(name, "no list, no set, no hash")
    for name, fields in jobs(canary, address):
        connection.hset(b"rq:job:" + name, mapping=fields)
        connection.rpush(QUEUE, name)
        count += 1
        for registry in REGISTRIES:
            with suppress(Exception):  # of another type by now
                connection.zadd(f"rq:{registry}:cpu", {name: 1, name + b":1": 1})
                count += 1
    connection.set("rq:suspended", 1)
    connection.rpush(QUEUE, pickle.dumps(Evil(canary)), b"y" * (8 << 20), called("os.abort"))
    return count + len(OF_ANOTHER_TYPE) + 4


def command(connection: "Redis", worker: str) -> int:
    """Send every command of RQ to a worker; how many heard one."""
    return sum(connection.publish(f"rq:pubsub:{worker}", json.dumps(one)) for one in COMMANDS)


@contextmanager
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """An address on this machine, and what was asked there."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        ended = threading.Event()

        def listen() -> None:
            while not ended.is_set():
                with suppress(OSError):
                    one, _ = server.accept()
                    asked.append(one.recv(1000))
                    one.close()

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/hook", asked
            time.sleep(0.2)  # what is under way
        finally:
            ended.set()
            thread.join()
