"""Pages over results that real workers computed: a small sweep and one run that diverges, once for the session."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from cwpo.config.run import RunConfig, expand, merged
from db import queries
from tests.app.visits import Computed, work
from tests.e2e.serving import ROOT, free_port, wait_for_page
from tests.workers.conftest import materials
from tests.workers.workplace import installation
from workers import api
from workers.machine.database import reading

__all__ = ["materials"]  # the fixture of that name


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
    port, log = free_port(), tmp_path_factory.mktemp("served") / "log"
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app" / "main.py"), "--server.port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | results.environment, stdout=out, stderr=out)
        try:
            wait_for_page(port, process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)
