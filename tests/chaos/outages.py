"""Faults of Redis and the database, each lifted again. Each answers whether it happened; None: not at this moment."""

import sqlite3
import time
from contextlib import suppress

import psycopg
from redis.exceptions import RedisError

from tests import clocks
from tests.chaos.scene import Scene
from tests.chaos.services import MAX_CONNECTIONS

THROWN_OUT = 2  # waiting backends of Postgres
WAITING = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
ALL = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def flush_redis(scene: Scene) -> bool | None:
    """FLUSHALL."""
    with scene.redis.client() as redis:
        redis.set("chaos", "1")
        redis.flushall()
        return redis.get("chaos") is None


def restart_redis(scene: Scene) -> bool | None:
    """SIGKILL of Redis, at once started empty."""
    return _without_redis(scene, 0.0)


def lose_redis(scene: Scene) -> bool | None:
    """SIGKILL of Redis, away for some seconds, then empty."""
    return _without_redis(scene, scene.dice.uniform(2.0, 4.0))


def fill_redis(scene: Scene) -> bool | None:
    """No memory left in Redis for two seconds: every write is refused."""
    with scene.redis.client() as redis:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", "1")
        refused = False
        try:
            redis.set("chaos", "1")
        except RedisError:
            refused = True
        time.sleep(2.0)
        redis.config_set("maxmemory", "0")
        return refused


def lock_sqlite(scene: Scene) -> bool | None:
    """A writer that holds SQLite for longer than anybody waits for it."""
    with sqlite3.connect(scene.home / "cwpo.sqlite", isolation_level=None, timeout=300) as holder:
        holder.execute("BEGIN IMMEDIATE")
        time.sleep(scene.busy * 1.2 + 1.0)
        holder.execute("ROLLBACK")
    holder.close()
    return True


def throw_out_waiting(scene: Scene) -> bool | None:
    """The row that claims, publications and ends go through is held; who waits for it has its connection terminated."""
    address = scene.address
    with psycopg.connect(address) as holder, psycopg.connect(address, autocommit=True) as killer:
        holder.execute("SELECT key FROM settings WHERE key = 'graph' FOR UPDATE")
        thrown, deadline = 0, clocks.monotonic() + 10
        while thrown < THROWN_OUT and clocks.monotonic() < deadline:
            (more,) = killer.execute(WAITING).fetchone() or (0,)
            thrown += int(more)
            time.sleep(0.02)
    return True if thrown >= THROWN_OUT else None


def throw_out_all(scene: Scene) -> bool | None:
    """Every connection to the database terminated, whatever it does."""
    with psycopg.connect(scene.address, autocommit=True) as killer:
        (thrown,) = killer.execute(ALL).fetchone() or (0,)
    return int(thrown) > 0 or None


def use_up_connections(scene: Scene) -> bool | None:
    """No connection left for two seconds, those reserved for the superuser, who we are, among them."""
    taken: list[psycopg.Connection[tuple[object, ...]]] = []
    refused = False
    try:
        for _ in range(MAX_CONNECTIONS + 1):
            taken.append(psycopg.connect(scene.address, connect_timeout=2))
    except psycopg.OperationalError:
        refused = True
    time.sleep(2.0)
    for one in taken:
        with suppress(psycopg.Error):
            one.close()
    return refused or None


def kill_postgres(scene: Scene) -> bool | None:
    """SIGKILL of all of Postgres, a second later started over the same data."""
    assert scene.postgres is not None
    killed = scene.postgres.kill()
    time.sleep(1.0)
    scene.postgres.start()
    return killed > 1


def _without_redis(scene: Scene, seconds: float) -> bool:
    scene.redis.kill()
    gone = not scene.redis.answers()
    time.sleep(seconds)
    scene.redis.start()
    return gone
