"""The doorbell. Redis carries only "something is ready"; whatever it forgets, the reaper rings again.

Of RQ three things are used: the list of a `Queue` per kind of device, its blocking wait, and the loop of its `Worker`
around our job process. A ring is one entry of that list. What stands in it is of no meaning and is never looked at, so
that nothing which somebody puts into Redis is executed, imported or unpacked: no job is stored, none is fetched, and
callbacks, webhooks, retries, dependencies, schedules, registries, suspension and commands of RQ are switched off
(workers/queue/worker.py). The database says what there is to do; a false ring costs one look at it.
"""

import logging
from typing import TYPE_CHECKING

from workers.machine.redis.address import redis_url as redis_url

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue

log = logging.getLogger(__name__)

MOST_RINGS = 1_000  # that wait for one kind of device; nobody has more workers


def connect(url: str | None = None) -> "Redis":
    """A connection that fails within about a second: for submitting and for health. A RedisError, too, for an address
    that is not used."""
    from workers.machine.redis import connection

    return connection.connect(url)


def queue_of(device: str, connection: "Redis") -> "Queue":
    """The one queue that workers of this kind of device ("cpu", "gpu") listen on."""
    from rq import Queue

    return Queue(device, connection=connection, serializer="json")


def ring(device: str, number: int, connection: "Redis | None" = None) -> int:
    """Let `number` rings wait, those that wait already among them. Returns how many were added."""
    if number < 1:
        return 0
    own = connection is None
    redis = connect() if connection is None else connection
    try:
        queue = queue_of(device, redis)
        missing = max(0, min(number, MOST_RINGS) - _waiting(queue))
        with redis.pipeline(transaction=False) as pipeline:
            for _ in range(missing):
                queue.push_job_id(device, pipeline=pipeline)
            pipeline.execute()
        return missing
    finally:
        if own:
            redis.close()


def clear(queue: "Queue") -> None:
    """Forget all rings; also where somebody put something else in their place."""
    queue.connection.unlink(queue.key)


def _waiting(queue: "Queue") -> int:
    """How many rings wait; none, once it is removed, where the key is not a list."""
    from redis.exceptions import ResponseError

    try:
        return queue.count
    except ResponseError as error:
        if not is_of_another_type(error):
            raise
        log.warning("something that is no doorbell stood at %s in Redis; it was removed", queue.key)
        clear(queue)
        return 0


def is_of_another_type(error: Exception) -> bool:
    """Whether Redis says that a key is no list."""
    return str(error).startswith("WRONGTYPE")


def answers() -> bool:
    """Whether Redis is there."""
    from redis.exceptions import RedisError

    try:
        ping()
    except RedisError:
        return False
    return True


def ping() -> None:
    """Raise a redis error unless Redis answers."""
    connection = connect()
    try:
        connection.ping()
    finally:
        connection.close()


def remark() -> str:
    """A sentence about the server's version where it lacks fixes; empty otherwise, also where it does not say. Raises a
    redis error unless Redis answers."""
    from redis.exceptions import ResponseError

    from workers.machine.redis import versions

    connection = connect()
    try:
        connection.ping()
        return versions.remark(versions.version_of(connection.info("server")))
    except ResponseError:  # not allowed to ask
        return ""
    finally:
        connection.close()
