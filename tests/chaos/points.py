"""Where a process can die: every write, sync, rename and removal below a folder, every commit, every call of Redis."""

import builtins
import io
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis.client
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

_WRITES = re.compile(r"[wxa+]")
_CHANGING = re.compile(r"[0-9a-f]{8,}|\d+")  # of a name: fingerprints, steps, process numbers


class Points:
    """Counts the points of this process, and does something at one of them. `act`: SIGKILL to itself if None."""

    def __init__(self, folder: Path, log: Path, *, at: int = 0, act: Callable[[], None] | None = None) -> None:
        self._folder, self._at, self._act = str(folder), at, act or _die
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._number, self._lock = 0, threading.Lock()

    def reached(self, name: str) -> None:
        """One more point, before or after what its name says."""
        with self._lock:
            self._number += 1
            os.write(self._log, f"{name}\n".encode())
            if self._number == self._at:
                self._act()

    def watch_calls(self) -> None:
        """From now on: files, commits and Redis."""
        for module, name in ((os, "replace"), (os, "rename"), (os, "mkdir"), (shutil, "rmtree")):
            self._watch(module, name, lambda arguments: self._below(arguments[0]))
        self._watch(os, "fsync", lambda arguments: self._below(_path_of(arguments[0])))
        for module in (builtins, io):
            self._watch(module, "open", self._written)
        self._watch(Session, "commit", lambda arguments: "")
        self._watch(redis.client.Redis, "execute_command", lambda arguments: str(arguments[1]))
        self._watch(redis.client.Pipeline, "execute", lambda arguments: "")

    def watch_statements(self) -> None:
        """From now on: every statement that is about to go to the database. `act` gets its connection."""

        @event.listens_for(Engine, "before_cursor_execute")
        def before(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            self.connection = connection.connection.dbapi_connection
            self.reached(" ".join(statement.split()[:3]))

        @event.listens_for(Engine, "commit")
        def commit(connection: Any) -> None:
            self.connection = connection.connection.dbapi_connection
            self.reached("COMMIT")

    def _watch(self, owner: Any, name: str, label: Callable[[tuple[Any, ...]], str | None]) -> None:
        real = getattr(owner, name)

        def call(*arguments: Any, **values: Any) -> Any:
            about = label(arguments if arguments else tuple(values.values()))
            if about is None:
                return real(*arguments, **values)
            self.reached(f"before {name} {about}".rstrip())
            result = real(*arguments, **values)
            self.reached(f"after {name} {about}".rstrip())
            return result

        setattr(owner, name, call)

    def _written(self, arguments: tuple[Any, ...]) -> str | None:
        mode = str(arguments[1]) if len(arguments) > 1 else "r"
        return self._below(arguments[0]) if _WRITES.search(mode) else None

    def _below(self, path: Any) -> str | None:
        """A short name of a path below the folder, None for any other."""
        text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        if not str(text).startswith(self._folder):
            return None
        return _CHANGING.sub("*", str(text).removeprefix(self._folder).lstrip("/"))


def _path_of(descriptor: Any) -> str:
    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
