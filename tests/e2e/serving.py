"""A dashboard that is served, where, and somebody who visits it."""

import os
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

import psutil
import pytest
from playwright.sync_api import Browser, Page

from tests import clocks
from tests.servers import free_port
from tests.signed_in import known

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "serve.py"


@dataclass
class Dashboard:
    """A running stack."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]

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
def visiting(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page of 1440 × 900 in a browser session of its own, patient with a busy machine."""
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
    try:
        yield context.new_page()
    finally:
        context.close()


def wait_for_page(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 300) -> None:
    deadline = clocks.monotonic() + seconds
    while clocks.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])
