"""A dashboard that is served, where, and what somebody's browser says of it."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import psutil
import pytest
from playwright.sync_api import Browser, Page

from tests import clocks
from tests.servers import free_port
from tests.signed_in import known

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "serve.py"
# Streamlit asks for these under the page's own path first, then under the root.
ASKED_TWICE = re.compile(r"/_stcore/(host-config|health)$")
_heard: WeakKeyDictionary[Page, list[str]] = WeakKeyDictionary()  # what went wrong on a visited page


@dataclass
class Dashboard:
    """A running stack and what its pages complained about."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]
    complaints: list[str] = field(default_factory=list)

    def web_process(self) -> psutil.Process:
        """The Streamlit server."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return next(process for process in below if "streamlit" in " ".join(process.cmdline()))


@dataclass
class Web:
    """The web process alone, over a home; it can be killed and started again."""

    home: Path
    page: Path = MAIN
    environment: Mapping[str, str] = field(default_factory=dict)  # beside this process's own
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        command = [sys.executable, "-m", "streamlit", "run", str(self.page), "--server.port", str(self.port)]
        of_tests = {"OMP_NUM_THREADS": "1", "CWPO_DATA_ROOTS": tempfile.gettempdir()}
        environment = of_tests | os.environ | self.environment
        known(self.url, Path(environment.get("CWPO_HOME", self.home)))
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        wait_for_page(self.port, self.process, self.home / "log")

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(180)


@contextmanager
def served(web: Web) -> Iterator[Web]:
    """The same, running for as long as the block lasts."""
    try:
        web.start()
        yield web
    finally:
        web.end()


def of_home(home: Path, redis: str) -> dict[str, str]:
    """The variables of an installation over `home`, database and all."""
    database, roots = f"sqlite:///{home / 'cwpo.sqlite'}", os.pathsep.join((tempfile.gettempdir(), str(Path.cwd())))
    return {"CWPO_HOME": str(home), "DATABASE_URL": database, "REDIS_URL": redis, "CWPO_DATA_ROOTS": roots}


@contextmanager
def at_home(home: Path, redis: str, **more: str) -> Iterator[None]:
    """This process, and what it starts, is at home there for as long as the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**of_home(home, redis), **more}.items():
            patch.setenv(name, value)
        yield


@contextmanager
def visiting(browser: Browser, ours: str = "", **options: Any) -> Iterator[Page]:
    """A page of 1440 × 900 in a browser session of its own, patient with a busy machine.

    Where `ours` is the address of the server that is visited, an AssertionError at the end for each error of the page
    or in its console, each dialog, each request that was refused and each one to another host.
    """
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
    page = context.new_page()
    complaints: list[str] = []
    _heard[page] = complaints
    if ours:
        write_down(page, ours, complaints)
        write_down_console(page, complaints)
        write_down_refused(page, complaints)
    try:
        yield page
        _hear_all(page)
        assert not complaints, "\n".join(complaints)
    finally:
        context.close()


@contextmanager
def without_server(page: Page) -> Iterator[None]:
    """The server is killed, or cut off, within the block, and is there again at its end: what the browser says of that
    is no complaint."""
    complaints = _heard[page]
    before = len(complaints)
    yield
    _hear_all(page)
    del complaints[before:]


def _hear_all(page: Page) -> None:
    """What the browser has said by now has come to its listeners."""
    if not page.is_closed():
        page.wait_for_timeout(50)


def write_down(page: Page, ours: str, complaints: list[str]) -> None:
    """Each error, each dialog and each request to another host than `ours` becomes a line of `complaints`."""
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: _asked(request.url, ours, complaints))


def write_down_console(page: Page, complaints: list[str]) -> None:
    """Each error in the browser's console, too."""
    page.on("console", lambda message: _console(message.type, message.text, complaints))


def write_down_refused(page: Page, complaints: list[str]) -> None:
    """Each request that was not answered with what it asked for, too."""
    page.on("response", lambda answer: _refused(answer.status, answer.url, complaints))


def _asked(url: str, ours: str, complaints: list[str]) -> None:
    if not url.startswith((ours, ours.replace("http", "ws"), "data:", "blob:")):
        complaints.append(f"outside: {url}")


def _console(kind: str, text: str, complaints: list[str]) -> None:
    # The browser repeats failed requests here; what writes down refusals knows which of them matter.
    if kind == "error" and not text.startswith("Failed to load resource"):
        complaints.append(f"console: {text}")


def _refused(status: int, url: str, complaints: list[str]) -> None:
    if status >= 400 and not ASKED_TWICE.search(url):
        complaints.append(f"{status} {url}")


def wait_for_page(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 300) -> None:
    deadline = clocks.monotonic() + seconds
    while clocks.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])
