"""Pages visited in this process, over results that workers computed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from sqlalchemy import Engine, event
from streamlit.runtime.caching import cache_utils
from streamlit.testing.v1 import AppTest

from db import queries
from db.records import RunFilters, RunRow
from tests.workers.workplace import wait_for
from workers.machine.database import reading

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"


@dataclass(frozen=True)
class Computed:
    """Runs by what they are."""

    environment: dict[str, str]
    sweep: tuple[int, ...]  # human, weak, cw, top 30 % × two seeds
    failed: int

    def rows(self) -> list[RunRow]:
        with reading() as session:
            return list(queries.list_runs(session, filters=RunFilters(ids=self.sweep), limit=50).rows)


def visit(screen: str, **params: Any) -> AppTest:
    """A page as a deep link opens it."""
    page = AppTest.from_file(str(MAIN), default_timeout=300)
    if screen != "runs":  # which the dashboard opens with
        page.switch_page(f"screens/{screen}.py")
    for name, value in params.items():
        page.query_params[name.replace("__", ".")] = value
    page.run()
    assert not page.exception, [element.message for element in page.exception]
    return page


@contextmanager
def selects() -> Iterator[list[str]]:
    """Statements that read, as they reach the database."""
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip("( ").upper().startswith(("SELECT", "WITH")):
            said.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield said
    event.remove(Engine, "before_cursor_execute", note)


def ageless(patch: pytest.MonkeyPatch) -> None:
    """From now on, with empty caches, no time goes by for what pages keep for some seconds."""
    patch.setattr(cache_utils, "TTLCACHE_TIMER", lambda: 0.0)
    st.cache_data.clear()
    st.cache_resource.clear()


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
        wait_for(lambda: _ended(run_ids), 600, every=0.5)
    finally:
        process.terminate()
        process.wait(120)


def _ended(run_ids: tuple[int, ...]) -> bool:
    with reading() as session:
        rows = queries.list_runs(session, filters=RunFilters(ids=run_ids), limit=50).rows
    return all(row.status in ("done", "failed") for row in rows)
