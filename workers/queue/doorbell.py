"""The doorbell. Redis carries only "something is ready"; whatever it forgets, the reaper rings again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from cwpo.config.environment import settings
from workers.machine.paths import home, stack_file

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue

JOB_FUNCTION = "workers.queue.job.work"
ALLOWED_FUNCTIONS = frozenset({JOB_FUNCTION})
RQ_SERIALIZER = "json"
FORGET_FAILURES_AFTER = 3600  # seconds; the database keeps the real record of attempts
_NO_TIMEOUT = -1  # a stage may train for days: the lease, not RQ, decides when a worker is dead


def redis_url() -> str:
    """REDIS_URL, else the address of the stack that runs over this CWPO_HOME, else Redis' own default."""
    if url := settings.redis_url:
        return url
    running = stack_file(home())
    if running.is_file():
        return str(json.loads(running.read_text())["redis_url"])
    return "redis://127.0.0.1:6379/0"


def connect(url: str | None = None) -> "Redis":
    """A connection that fails within about a second: for submitting and for health."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis.from_url(url or redis_url(), socket_connect_timeout=1, socket_timeout=5, retry=Retry(NoBackoff(), 0))


def connect_patiently(url: str | None = None) -> "Redis":
    """A connection that rides out a Redis restart of up to two minutes: for workers."""
    from redis import Redis
    from redis.backoff import ExponentialBackoff
    from redis.retry import Retry

    retry = Retry(ExponentialBackoff(cap=2, base=0.1), 60)
    return Redis.from_url(url or redis_url(), retry=retry, health_check_interval=15)


def queue_of(device: str, connection: "Redis") -> "Queue":
    """The one queue that workers of this kind of device ("cpu", "gpu") listen on."""
    from rq import Queue

    return Queue(device, connection=connection, serializer=RQ_SERIALIZER)


def ring(device: str, number: int, connection: "Redis | None" = None) -> int:
    """Let `number` rings wait, those that wait already among them. Returns how many were added."""
    if number < 1:
        return 0
    own = connection is None
    redis = connect() if connection is None else connection
    try:
        queue = queue_of(device, redis)
        missing = max(0, number - queue.count)
        for _ in range(missing):
            queue.enqueue(JOB_FUNCTION, job_timeout=_NO_TIMEOUT, result_ttl=0, failure_ttl=FORGET_FAILURES_AFTER)
        return missing
    finally:
        if own:
            redis.close()


def ping() -> None:
    """Raise a redis error unless Redis answers."""
    connection = connect()
    try:
        connection.ping()
    finally:
        connection.close()


def socket_path(url: str) -> Path | None:
    """The file behind a unix:// address, None for TCP."""
    return Path(url.removeprefix("unix://").split("?")[0]) if url.startswith("unix://") else None
