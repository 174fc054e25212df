"""Backup, destroy, restore: exports and pages of the restored installation are those of the one that was backed up."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st

from tests.app.visits import Computed, visit, words
from tests.db.filled import rows_of
from workers import api
from workers.cli.doctor import examine
from workers.machine.disk import backup, restore

AGO = re.compile(r"just now|\d+ (min|h) ago")
PAGES = ("runs", "run", "compare", "examples")


def shown(computed: Computed) -> dict[str, str]:
    """What people read on each page, with its tables."""
    st.cache_data.clear()
    st.cache_resource.clear()
    found = {}
    for name in PAGES:
        page = visit(name, run=str(computed.sweep[-2]), runs=",".join(map(str, computed.sweep)))
        tables = [table.value.to_csv() for table in page.dataframe]
        found[name] = AGO.sub("ago", "\n".join((words(page), *tables)))
    return found


@pytest.fixture
def elsewhere(
    computed: Computed, postgres_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[list[object], dict[str, str]]]:
    """The process works on what was restored, from SQLite to Postgres; the exports and pages of before."""
    before = [api.export_run(run_id) for run_id in computed.sweep], shown(computed)
    backup.write(tmp_path / "all.backup")
    monkeypatch.setenv("CWPO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATABASE_URL", postgres_address)
    restore.restore(tmp_path / "all.backup")
    assert rows_of(postgres_address) == rows_of(computed.environment["DATABASE_URL"])
    yield before
    st.cache_data.clear()
    st.cache_resource.clear()


def test_what_was_restored_exports_and_shows_the_same(
    elsewhere: tuple[list[object], dict[str, str]], computed: Computed
) -> None:
    exports, pages = elsewhere
    assert [api.export_run(run_id) for run_id in computed.sweep] == exports
    for name, text in shown(computed).items():
        assert text == pages[name], name
    assert [one.text for one in examine() if not one.ok and one.about not in ("machine", "storage")] == []


def test_the_system_page_deletes_on_a_second_click_what_it_said_on_the_first(empty: None, tmp_path: Path) -> None:
    left = tmp_path / "artifacts" / "checkpoints" / ("ab" * 32)
    left.mkdir(parents=True)
    (left / "checkpoint.safetensors").write_bytes(b"x" * 5000)
    for path in (left / "checkpoint.safetensors", left):
        os.utime(path, (1e9, 1e9))
    page = visit("system")
    assert "checkpoints of stages that ended" not in words(page)
    page.button(key="leftovers_look").click().run()
    assert "checkpoints of stages that ended" in words(page)
    assert "Frees 5.0 kB in 1 folder." in words(page)
    assert left.is_dir()
    page.button(key="leftovers_delete").click().run()
    assert "Deleted 1 folder, 5.0 kB." in words(page)
    assert not left.exists()
