"""Pages over results that real workers computed: a small sweep and one run that diverges, once for the session."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from cwpo.config import RunConfig, expand, merged
from db import queries
from db.records import RunFilters, RunRow
from tests.workers.conftest import installation, materials, wait_for
from workers import api
from workers.database import reading

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"
__all__ = ["materials"]  # the fixture of that name


@dataclass(frozen=True)
class Computed:
    """Runs by what they are."""

    environment: dict[str, str]
    sweep: tuple[int, ...]  # human, weak, cw, top 30 % × two seeds
    failed: int

    def rows(self) -> list[RunRow]:
        with reading() as session:
            return list(queries.list_runs(session, filters=RunFilters(ids=self.sweep), limit=50).rows)


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
def computed(results: Computed, monkeypatch: pytest.MonkeyPatch) -> Computed:
    """The same results, with this test's environment pointing at them."""
    for name, value in results.environment.items():
        monkeypatch.setenv(name, value)
    st.cache_data.clear()
    return results


@pytest.fixture
def empty(sqlite_address: str, redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without any run."""
    for name, value in {"DATABASE_URL": sqlite_address, "REDIS_URL": redis_server, "CWPO_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    st.cache_data.clear()


def visit(screen: str, **params: Any) -> AppTest:
    """A page as a deep link opens it."""
    page = AppTest.from_file(str(MAIN), default_timeout=60)
    page.switch_page(f"screens/{screen}.py")
    for name, value in params.items():
        page.query_params[name.replace("__", ".")] = value
    page.run()
    assert not page.exception, [element.message for element in page.exception]
    return page


def words(page: AppTest) -> str:
    """All text of a page that a person reads, without the grid."""
    kinds = (page.title, page.subheader, page.caption, page.text, page.markdown, page.error, page.warning, page.code)
    read = [element.value for kind in (*kinds, page.toast) for element in kind]
    read += [f"{metric.label} {metric.value}" for metric in page.metric]
    read += [" ".join(map(str, (*table.value.columns, *table.value.to_numpy().ravel()))) for table in page.table]
    return "\n".join(read).replace("\\", "").replace("\u00a0", " ").replace("\u2060", "")


def work(environment: dict[str, str], run_ids: tuple[int, ...]) -> None:
    """Workers until every run has ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers"],
        env={**os.environ, **environment, "WORKERS": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: _ended(run_ids), 240, every=0.5)
    finally:
        process.terminate()
        process.wait(20)


def _ended(run_ids: tuple[int, ...]) -> bool:
    with reading() as session:
        rows = queries.list_runs(session, filters=RunFilters(ids=run_ids), limit=50).rows
    return all(row.status in ("done", "failed") for row in rows)
