"""The whole stack as a user starts it, or its web process alone, and a browser in front of it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import delete

from db.models import AuditEvent, AuditHead, Base, Run, Setting
from tests.e2e.serving import (
    ROOT,
    Dashboard,
    Web,
    at_home,
    of_home,
    served,
    visiting,
    wait_for_page,
)
from tests.e2e.test_dashboard import ready
from tests.servers import free_port
from tests.signed_in import known
from workers.machine.database import writing

KEPT = {one.__tablename__ for one in (Setting, AuditHead, AuditEvent)}  # by migrations; and what nobody can delete


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """What else a module wants in the environment of its stack: nothing."""
    return {}


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]) -> Iterator[Dashboard]:
    """`python -m workers.cli.stack` over an empty home: embedded SQLite, real Redis, one worker, the web process."""
    home = tmp_path_factory.mktemp("home")
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environment = kept | {
        "CWPO_HOME": str(home),
        "PORT": str(port),
        "WORKERS": "1",
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    with (home / "stack.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli.stack"], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for_page(port, process, home / "stack.log")
            known(url, home)
            yield Dashboard(url=url, home=home, process=process)
        finally:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.send_signal(signal.SIGINT)
            process.wait(120)
            _, alive = psutil.wait_procs(family, timeout=60)
            assert alive == []


@pytest.fixture
def page(browser: Browser, dashboard: Dashboard) -> Iterator[Page]:
    """Someone who has opened no page of the stack yet."""
    with visiting(browser) as page:
        yield page


@pytest.fixture(scope="session")
def shared_web(redis_process: str, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One web process for all modules of this process that begin with an empty list; it may be killed and started."""
    home = tmp_path_factory.mktemp("desk")
    shutil.copy(sqlite_template, home / "cwpo.sqlite")
    with served(Web(home=home, environment=of_home(home, redis_process))) as web:
        yield web


@pytest.fixture(scope="module")
def web(shared_web: Web, redis_process: str) -> Iterator[Web]:
    """A dashboard without workers and without anything in it; this process sees the same database."""
    if not shared_web.runs:
        shared_web.start()
    with at_home(shared_web.home, redis_process):
        with writing() as session:
            for table in reversed(Base.metadata.sorted_tables):
                if table.name not in KEPT:
                    session.execute(delete(table))
        yield shared_web


@pytest.fixture
def desk(web: Web) -> str:
    """The address of the dashboard."""
    return web.url


@pytest.fixture
def stranger(browser: Browser, web: Web) -> Iterator[Page]:
    """Someone with an installation without runs, who has opened no page of it yet."""
    with writing() as session:
        session.execute(delete(Run))
    with visiting(browser) as page:
        yield page


@pytest.fixture
def visitor(stranger: Page, desk: str) -> Page:
    """Someone at the list of runs, which is empty."""
    stranger.goto(desk)
    ready(stranger, "Runs")
    return stranger
