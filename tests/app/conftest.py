"""Pages over results that real workers computed: a small sweep and one run that diverges, once for the session."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner

from cwpo.config.run import RunConfig, expand, merged
from db import queries
from tests.app.visits import Computed, work
from tests.e2e.serving import Web
from tests.e2e.serving import served as served_web
from tests.workers.conftest import materials
from tests.workers.workplace import installation
from workers import api
from workers.machine.database import reading

__all__ = ["materials"]  # the fixture of that name


@pytest.fixture(scope="session", autouse=True)
def packages_are_looked_through_once() -> Iterator[None]:
    """Each page in this process would read what every installed package says of itself: longer than the page takes."""
    with pytest.MonkeyPatch.context() as patch:
        scan = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield


@pytest.fixture(scope="session")
def results(
    tmp_path_factory: pytest.TempPathFactory, redis_process: str, materials: dict[str, Any]
) -> Iterator[Computed]:
    """Submitted through workers.api, computed by `python -m workers`."""
    home = tmp_path_factory.mktemp("pages")
    with installation(home, redis_process) as own:
        over = {
            "name": "small sweep",
            "method": ["human", "weak", "cw", "top:30"],
            "seed": [0, 1],
            "evaluation": {"baseline": "common"},
        }
        made = api.submit_sweep(expand(merged(materials, over)), "small sweep")
        broken = api.submit_run(RunConfig.parse(merged(materials, {"name": "too fast", "align": {"lr": 1e18}})))
        computed = Computed(environment=own, sweep=tuple(one.run_id for one in made), failed=broken.run_id)
        work(own, (*computed.sweep, computed.failed))
        yield computed


@pytest.fixture
def computed(results: Computed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Computed]:
    """The same results, with this test's environment pointing at them; names that it gave end with it."""
    for name, value in results.environment.items():
        monkeypatch.setenv(name, value)
    st.cache_data.clear()
    st.cache_resource.clear()  # what never changes outside of tests
    yield results
    with reading() as session:
        named = queries.named_annotators(session)
    for row in named:
        api.forget_annotator(row.name, row.version)


@pytest.fixture
def empty(sqlite_address: str, redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without any run."""
    for name, value in {"DATABASE_URL": sqlite_address, "REDIS_URL": redis_server, "CWPO_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    st.cache_data.clear()


@pytest.fixture(scope="session")
def served(results: Computed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard over computed runs."""
    home = tmp_path_factory.mktemp("served")
    with served_web(Web(home=home, environment=results.environment)) as web:
        yield web.url
