"""The whole stack as a user starts it, and a browser in front of it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.serving import ROOT, Dashboard, free_port, wait_for_page

# Streamlit asks for these under the page's own path first, then under the root.
ASKED_TWICE = re.compile(r"/_stcore/(host-config|health)$")


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """`python -m workers.cli.stack` over an empty home: embedded SQLite, real Redis, one worker, the web process."""
    home = tmp_path_factory.mktemp("home")
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environment = kept | {"CWPO_HOME": str(home), "PORT": str(port), "WORKERS": "1", "OMP_NUM_THREADS": "1"}
    with (home / "stack.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli.stack"], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for_page(port, process, home / "stack.log")
            yield Dashboard(url=url, home=home, process=process)
        finally:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.send_signal(signal.SIGINT)
            process.wait(20)
            _, alive = psutil.wait_procs(family, timeout=5)
            assert alive == []


@pytest.fixture
def page(browser: Browser, dashboard: Dashboard) -> Iterator[Page]:
    """A page of 1440 × 900 that writes down every error and every request to another host."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    dashboard.complaints.clear()
    page.on("pageerror", lambda error: dashboard.complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: dashboard.complaints.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: _inside(request.url, dashboard))
    page.on(
        "response",
        lambda answer: (
            dashboard.complaints.append(f"{answer.status} {answer.url}")
            if answer.status >= 400 and not ASKED_TWICE.search(answer.url)
            else None
        ),
    )
    page.on("console", lambda message: _console(message.type, message.text, dashboard))
    yield page
    context.close()


def _console(kind: str, text: str, dashboard: Dashboard) -> None:
    # The browser repeats failed requests here; the response handler knows which of them matter.
    if kind == "error" and not text.startswith("Failed to load resource"):
        dashboard.complaints.append(f"console: {text}")


def _inside(url: str, dashboard: Dashboard) -> None:
    if not url.startswith((dashboard.url, "data:", "blob:", dashboard.url.replace("http", "ws"))):
        dashboard.complaints.append(f"outside: {url}")
