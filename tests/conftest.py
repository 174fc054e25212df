"""Fixtures that several packages' tests share: databases of both kinds, a Redis server, a browser."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, sync_playwright
from redis import Redis
from s3fs import S3FileSystem
from sqlalchemy.engine import make_url

from db.engine import Engines, make_engines, upgrade
from tests import servers
from tests.browser import ARGUMENTS, chromium_path

# Files with few tests that take long: begun first, so that at the end no process waits for another.
LONG_FILES = (
    "e2e/",
    "app/test_accessibility.py",
    "workers/queue/test_kill.py",
    "workers/queue/test_stopping.py",
    "workers/queue/test_two_hosts.py",
    "workers/cli/test_demo.py",
    "workers/cli/test_stack.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not any(name in item.path.as_posix() for name in LONG_FILES))


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


@pytest.fixture
def postgres_address(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of an upgraded Postgres database of this test alone."""
    with _postgres_database(postgres_server, f"TEMPLATE {postgres_template}") as url:
        yield url


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
    with _postgres_database(request.getfixturevalue("postgres_server"), "") as url:
        yield url


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
    """Headless Chromium; nothing is fetched from outside."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextmanager
def _postgres_database(server: str, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    servers.run_sql(server, f"CREATE DATABASE {name} {template}")
    yield _named(server, name)
    servers.run_sql(server, f"DROP DATABASE {name} WITH (FORCE)")


def _named(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)
