"""MLflow's and trackio's own servers on free ports of this machine, and what is in them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.servers import SHORT, NoServer, free_port

TOKEN = "w-s3cr3t"
START_SECONDS = 240  # MLflow imports much before it serves
Points = list[tuple[str, int, float]]


def ask(url: str, body: Mapping[str, Any] | None = None, **headers: str) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())


@contextmanager
def mlflow() -> Iterator[int]:
    """The port of an empty `mlflow server`."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", "sqlite:///FOLDER/mlflow.db", "--artifacts-destination", "FOLDER/artifacts"]
    with _serving(command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, port, "/health"):
        yield port


@contextmanager
def trackio() -> Iterator[int]:
    """The port of an empty trackio server, as `trackio show` starts it."""
    port = free_port()
    command = [sys.executable, "-m", "trackio.cli", "show", "--host", "127.0.0.1"]
    own = {"TRACKIO_DIR": "FOLDER", "TRACKIO_WRITE_TOKEN": TOKEN, "GRADIO_SERVER_PORT": str(port)}
    with _serving(command, own, port, "/version"):
        yield port


@contextmanager
def _serving(command: list[str], own: Mapping[str, str], port: int, asked: str) -> Iterator[None]:
    folder = Path(tempfile.mkdtemp(prefix="cwpo-m-", dir=SHORT))
    words = [word.replace("FOLDER", str(folder)) for word in command]
    environment = {**os.environ, **{name: value.replace("FOLDER", str(folder)) for name, value in own.items()}}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(process, f"http://127.0.0.1:{port}{asked}", folder / "log")
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError), urllib.request.urlopen(url, timeout=60):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoServer(f"{url} is not served: {log.read_text()[-2000:]}")
        time.sleep(0.1)
