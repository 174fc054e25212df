"""Somebody else can write to Redis: nothing of theirs is run, asked, read whole or obeyed, and work goes on."""

import re
import socket
import threading
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from cwpo.errors import ConfigError
from tests.workers.queue import forged
from tests.workers.workplace import Workplace, wait_for, worker_processes
from workers import api
from workers.machine.redis import address, versions
from workers.machine.redis.connection import MOST_BYTES, connect
from workers.queue import doorbell, worker

ROOT = Path(__file__).resolve().parents[3]
LARGEST_MIB = 160  # of a worker that found all of it; 64 MiB would be unpacked of one entry alone


def test_forged_jobs_registries_and_commands_do_nothing_and_a_real_run_is_begun(workplace: Workplace) -> None:
    """With RQ's suspension set all the time."""
    canary, connection = workplace.home / "canary", Redis.from_url(doorbell.redis_url())
    with forged.listener() as (hook, asked), workplace.supervisor(workers=1) as supervisor:
        (process,) = worker_processes(supervisor.pid)
        name = process.cmdline()[-2]
        connection.set(f"rq:worker:{name}", "no hash")
        assert forged.forge(connection, canary, hook) >= 60
        wait_for(lambda: connection.exists(forged.QUEUE) == 0)
        assert forged.command(connection, name) == 0
        connection.set(forged.QUEUE, "no list")
        run = api.submit_run(workplace.config(method="human"))
        assert not run.queue_down
        wait_for(lambda: workplace.run(run.run_id).status == "running")
        api.cancel_run(run.run_id)
        assert [one.pid for one in worker_processes(supervisor.pid)] == [process.pid]  # never lost
        assert process.memory_info().rss < LARGEST_MIB << 20
        assert connection.get("rq:suspended") == b"1"
        assert connection.exists(f"rq:wip:{name}", f"rq:executions:{name}") == 0
    connection.close()
    assert not canary.exists()
    assert asked == []


def test_a_job_is_never_read_back_from_redis(redis_server: str) -> None:
    connection = connect(redis_server)
    connection.hset("rq:job:x", mapping={"data": forged.called("os.abort"), "status": "queued"})
    with pytest.raises(worker.ForbiddenJob):
        worker.Ring.fetch("x", connection=connection, serializer="json")
    with pytest.raises(worker.ForbiddenJob):
        worker.Ring(connection=connection).perform()


def test_a_worker_finds_work_without_any_ring(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rings that somebody takes away, and a Redis that is gone, cost seconds and not the run."""
    monkeypatch.setattr(worker, "LOOK_EVERY", 1)
    monkeypatch.setattr(worker, "_AWAY", 0.1)
    api.submit_run(place.config(method="human"))
    for url in (doorbell.redis_url(), f"unix://{place.home}/nobody.sock"):
        connection = connect(url)
        if url == doorbell.redis_url():
            connection.flushall()
        idle = worker.StageWorker(
            [doorbell.queue_of("cpu", connection)], name="w", connection=connection, prepare_for_work=False
        )
        found = idle.dequeue_job_and_maintain_ttl(None)
        assert found is not None
        assert found[1].name == "cpu"


def test_rings_with_nothing_to_do_are_forgotten_and_cost_no_process(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_REST", 0.0)
    connection = connect()
    connection.rpush(forged.QUEUE, *["x"] * 10_000)
    idle = worker.StageWorker(
        [doorbell.queue_of("cpu", connection)], name="w", connection=connection, prepare_for_work=False
    )
    waiting = threading.Thread(target=idle.dequeue_job_and_maintain_ttl, args=(None,), daemon=True)
    waiting.start()
    with Redis.from_url(doorbell.redis_url()) as other:
        wait_for(lambda: other.llen(forged.QUEUE) == 0)
    run = api.submit_run(place.config(method="human"))  # the thread ends with it
    waiting.join(120)
    assert not waiting.is_alive()
    api.cancel_run(run.run_id)


def test_what_stands_in_place_of_the_doorbell_is_removed(redis_server: str) -> None:
    connection = connect(redis_server)
    connection.hset(forged.QUEUE, mapping={"a": "b"})
    assert doorbell.ring("cpu", 2, connection) == 2
    assert doorbell.ring("cpu", 10**9, connection) == doorbell.MOST_RINGS - 2


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"$%d\r\n" % (MOST_BYTES + 1), id="a long value"),
        pytest.param(b"$99999999999999\r\n", id="a longer one"),
        pytest.param(b"*100000000\r\n" + b":1\r\n" * 400_000, id="many small ones"),
        pytest.param(b"+" + b"x" * (2 * MOST_BYTES), id="a line without an end"),
    ],
)
def test_no_reply_is_read_whole_that_is_too_large(reply: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            one, _ = server.accept()
            with one:
                try:
                    for _ in range(20):
                        asked = one.recv(10_000)
                        if b"PING" in asked:
                            one.sendall(reply)
                            one.recv(1)
                            return
                        one.sendall(b"+OK\r\n" * len(re.findall(rb"\*\d+\r\n", asked)))
                except OSError:  # the other side has had enough
                    return

        threading.Thread(target=answer, daemon=True).start()
        connection = connect(f"redis://:password@127.0.0.1:{server.getsockname()[1]}/0")
        with pytest.raises(RedisConnectionError, match="more than 1,048,576 bytes"):
            connection.ping()
        connection.close()


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("redis://127.0.0.1:6379/0", True),
        ("redis://redis.example.org", True),
        ("rediss://redis.example.org:6380/0", True),
        ("redis://cwpo@redis.example.org/0", True),
        ("redis://:secret@127.0.0.1:6379/0", False),
        ("rediss://cwpo:secret@redis.example.org:6380/0", False),
        ("redis://h:1/0?password=secret", False),
        ("unix:///run/cwpo/redis.sock?db=0", False),
    ],
)
def test_a_redis_that_everybody_reaches_is_used_only_where_somebody_asked_for_it(
    url: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CWPO_REDIS_TRUSTED", raising=False)
    monkeypatch.setenv("REDIS_URL", url)
    assert (address.refusal(url) is not None) == refused
    if refused:
        with pytest.raises(ConfigError, match=r"REDIS_URL: has no password, .* CWPO_REDIS_TRUSTED=1"):
            address.check(url)
        with pytest.raises(RedisError, match="REDIS_URL has no password"):
            connect(url)
    monkeypatch.setenv("CWPO_REDIS_TRUSTED", "1")
    address.check(url)


@pytest.mark.parametrize(
    ("said", "fixed"),
    [
        ({"redis_version": "6.2.14"}, False), ({"redis_version": "6.2.20"}, True), ({"redis_version": "7.0.15"}, False),
        ({"redis_version": "7.2.10"}, False), ({"redis_version": "7.2.11"}, True), ({"redis_version": "7.4.5"}, False),
        ({"redis_version": "7.4.6"}, True), ({"redis_version": "8.0.3"}, False), ({"redis_version": "8.0.4"}, True),
        ({"redis_version": "8.2.1"}, False), ({"redis_version": "8.2.2"}, True), ({"redis_version": "8.4.0"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.3"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.4"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "9.0.0"}, True),
    ],
)  # fmt: skip
def test_a_server_without_the_fixes_is_told_from_one_that_has_them(said: dict[str, object], fixed: bool) -> None:
    version = versions.version_of(said)
    assert version is not None
    assert version.fixed == fixed
    assert bool(versions.remark(version)) != fixed


def test_a_server_that_does_not_say_its_version_gets_no_remark() -> None:
    assert (
        versions.remark(versions.version_of({})) == versions.remark(versions.version_of({"redis_version": "x"})) == ""
    )


def test_a_newer_server_on_the_machine_is_embedded_before_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "redis-server", tmp_path / "system" / "redis-server"
    for program, version in ((old, "6.2.14"), (new, "8.2.2")):
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0 bits=64'\n")
        program.chmod(0o755)
    monkeypatch.setattr(versions, "_programs", lambda: iter([str(old), str(new)]))
    assert versions.embedded() == str(new)
    new.unlink()
    assert versions.embedded() == str(old)


def test_the_access_list_of_the_docs_lets_everything_through_that_is_asked_of_redis(redis_server: str) -> None:
    (line,) = re.findall(r"^user cwpo on .*$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    _, name, *rules = line.split()
    everybody = connect(redis_server)
    everybody.execute_command("ACL", "SETUSER", name, *rules)
    path = address.socket_path(redis_server)
    limited = connect(f"unix://{name}@{path}?db=0&password=PASSWORD")
    try:
        assert limited.ping()
        assert versions.version_of(limited.info("server")) is not None
        assert doorbell.ring("cpu", 2, limited) == 2
        idle = worker.StageWorker(
            [doorbell.queue_of("cpu", limited)], name="w", connection=limited, prepare_for_work=False
        )
        assert idle._wait(idle.queues[0])
        doorbell.clear(idle.queues[0])
        assert doorbell.queue_of("cpu", limited).count == 0
        with pytest.raises(RedisError, match=r"NOPERM|permission"):
            limited.get("other")
    finally:
        everybody.execute_command("ACL", "DELUSER", name)
