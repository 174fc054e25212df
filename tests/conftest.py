"""Fixtures that several packages' tests share: databases of both kinds, a Redis server, a browser."""

import os
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, expect, sync_playwright
from redis import Redis
from s3fs import S3FileSystem
from sqlalchemy.engine import make_url
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from db.engine import Engines, make_engines, upgrade
from tests import servers
from tests.amounts import COUNTED
from tests.browser import ARGUMENTS, tested_path
from tests.emptied import Emptied
from tests.listening import listened, none_left_open, nothing_goes_wrong
from tests.signed_in import PATIENCE, signed_in

# A busy machine stands still for many seconds, and some code is slow the first time that it is called: neither is a
# fault of what is tried. Pages are waited for as long in every file, whichever is run alone.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
expect.set_options(timeout=PATIENCE)

# Parts that take long, begun first in this order, so that at the end no process waits for another.
LONG = (
    "app/",
    "e2e/test_journeys.py",
    "e2e/test_keeping.py",
    "e2e/test_drafts.py",
    "e2e/test_model.py",
    "e2e/test_runs_page.py",
    "e2e/test_dashboard.py",
    "e2e/test_relabel.py",
    "e2e/",
    "chaos/test_siege.py",
    "chaos/",
    "workers/queue/test_kill.py",
    "workers/cli/test_bundle.py",
    "workers/queue/test_two_hosts.py",
    "workers/cli/test_stack.py",
    "workers/queue/test_stopping.py",
    "workers/cli/test_demo.py",
    "workers/",
)
# A browser and its server want more than one core, other parts wait for clocks: at first two processes have browsers.
BROWSING = ("app/", "e2e/")
WITH_BROWSERS = ("gw0", "gw1")
# Files that share what takes long to make (computed runs, a web process): one process has them all.
TOGETHER = (("app/",), ("e2e/test_journeys.py", "e2e/test_keeping.py", "e2e/test_drafts.py"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests counted, under all of them, whichever process they ran in."""
    for report in terminalreporter.getreports("passed"):
        for name, said in report.user_properties if report.when == "call" else ():
            if name == COUNTED:
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {said}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((number for number, part in enumerate(LONG) if f"tests/{part}" in path), len(LONG))

    items.sort(key=place)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Every test begins with one CPU thread of torch: commands that tests call in this process set their own number."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Pages that a test leaves open when it fails would fail all that come after it."""
    with none_left_open():
        return (yield)


class Scheduling(LoadFileScheduling):
    """File by file, but for those that belong together; browsers in few processes, while there is something else."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node.gateway.id not in WITH_BROWSERS:
            quiet = (scope for scope in self.workqueue if not any(part in scope for part in BROWSING))
            if (scope := next(quiet, None)) is not None:
                self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return next((parts[0] for parts in TOGETHER if any(f"tests/{part}" in file for part in parts)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real Postgres server, for the whole session."""
    with servers.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """The name of an upgraded Postgres database that tests copy."""
    name = f"template_{uuid4().hex}"
    servers.run_sql(postgres_server, f"CREATE DATABASE {name}")
    upgrade(_named(postgres_server, name))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upgraded SQLite file that tests copy."""
    path = tmp_path_factory.mktemp("template") / "db.sqlite"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_address(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of an upgraded SQLite database of this test alone."""
    path = tmp_path / "cwpo.sqlite"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def postgres_emptied(postgres_server: str, postgres_template: str) -> Iterator[Emptied]:
    """The Postgres database that the tests of this process have one after the other."""
    emptied = Emptied(postgres_server, postgres_template)
    yield emptied
    emptied.drop()


@pytest.fixture
def postgres_address(postgres_emptied: Emptied) -> str:
    """The URL of an upgraded Postgres database, as new, that nobody else uses meanwhile."""
    own = make_url(postgres_emptied.url()).update_query_dict({"application_name": uuid4().hex})
    return own.render_as_string(hide_password=False)  # caches go by the address


@pytest.fixture(params=["sqlite", "postgres"])
def database_address(request: pytest.FixtureRequest) -> str:
    """The URL of an upgraded database, once on SQLite and once on Postgres: for tests that start processes."""
    url: str = request.getfixturevalue(f"{request.param}_address")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables, on SQLite and on Postgres."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite'}"
        return
    server, name = request.getfixturevalue("postgres_server"), f"test_{uuid4().hex}"
    servers.run_sql(server, f"CREATE DATABASE {name}")
    yield _named(server, name)
    servers.run_sql(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_address: str) -> Iterator[Engines]:
    """Engines of an upgraded database, once on SQLite and once on Postgres."""
    engines = make_engines(database_address)
    yield engines
    engines.dispose()


@pytest.fixture
def sqlite_database(sqlite_address: str) -> Iterator[Engines]:
    """Engines of an upgraded SQLite database, where the kind of database does not matter."""
    engines = make_engines(sqlite_address)
    yield engines
    engines.dispose()


@pytest.fixture(autouse=True)
def pages_are_sound() -> Iterator[None]:
    """What goes wrong on a page fails the test that opened it, unless the test says that it provokes it."""
    with nothing_goes_wrong():
        yield


@pytest.fixture(autouse=True)
def mask_of_files() -> Iterator[None]:
    """Programs that run in this process set it; the next test's servers need the usual one."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def redis_process() -> Iterator[str]:
    """A real Redis server, for the whole session of this process."""
    with servers.redis() as url:
        yield url


@pytest.fixture
def redis_server(redis_process: str) -> Iterator[str]:
    """The URL of a real, empty Redis server."""
    yield redis_process
    client = Redis.from_url(redis_process)
    client.flushall()
    client.close()


@pytest.fixture(scope="session")
def s3_process() -> Iterator[str]:
    """The endpoint of a real S3-compatible server, for the whole session of this process."""
    with servers.s3() as endpoint:
        yield endpoint


@pytest.fixture
def s3_bucket(s3_process: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket of this test alone; the environment says how it is reached."""
    keys = {"AWS_ENDPOINT_URL": s3_process, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in {**keys, "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    name = f"test-{uuid4().hex}"
    S3FileSystem(endpoint_url=s3_process).mkdir(name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium, let in by the dashboards that are started here; all that it opens is listened to."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=tested_path(), args=ARGUMENTS)
        yield listened(signed_in(chromium))
        chromium.close()


def _named(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)
