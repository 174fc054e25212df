"""A dashboard that is served, and where."""

import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_page(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])
