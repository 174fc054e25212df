"""One instant everywhere: the server and its workers in Kolkata, the browser in St John's, the database in Chicago."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect

from db import queries
from db.records import AuditEvent, LogLineRow
from tests.e2e.serving import Web, served, visiting
from tests.e2e.test_dashboard import ready
from tests.workers.conftest import materials, workplace_at
from workers import api
from workers.machine.database import reading

__all__ = ["materials"]  # the fixture of that name

READER = "America/St_Johns"  # half an hour beside its neighbours, nine to ten hours behind the server
ELSEWHERE = {"TZ": "Asia/Kolkata", "PGTZ": "America/Chicago"}
AGO = re.compile(r"just now|\d+ min ago")
NEGATIVE = re.compile(r"(?<![\w.,])[-−]\d[\d.,]* ?(s|min|h|d)\b")


def test_one_instant_everywhere(
    database_address: str,
    redis_server: str,
    tmp_path: Path,
    materials: dict[str, Any],
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = workplace_at(database_address, redis_server, tmp_path, materials, monkeypatch)
    place.environment.update(ELSEWHERE)
    began = datetime.now(UTC)
    with place.supervisor(workers=1):
        run_id = api.submit_run(place.config()).run_id
        place.wait_done(run_id)
    ended = datetime.now(UTC)
    with reading() as session:
        run, stages = place.run(run_id), queries.run_stages(session, run_id)
        lines = queries.log_tail(session, run_id, 200)
        events = queries.audit_page(session, who="", limit=20).events
    assert run.started_at is not None
    assert run.finished_at is not None
    _in_order(began, run.created_at, run.started_at, run.finished_at, ended)
    for stage in stages:
        assert stage.started_at is not None
        assert stage.finished_at is not None
        _in_order(run.started_at, stage.started_at, stage.finished_at, ended)
    _in_order(run.created_at, *(line.at for line in lines), ended)
    _in_order(began, *(event.at for event in reversed(events)), ended)

    with (
        served(Web(home=tmp_path, environment=place.environment)) as web,
        visiting(browser, timezone_id=READER) as page,
    ):
        _run_is_of_now(page, web.url, run_id, lines)
        _list_is_of_now(page, web.url)
        _log_is_of_now(page, web.url, events)


def _in_order(*moments: datetime) -> None:
    assert all(one <= other for one, other in pairwise(moments)), moments


def _run_is_of_now(page: Page, url: str, run_id: int, lines: Sequence[LogLineRow]) -> None:
    """The log in the reader's time of day; what was attempted, so long ago as it was."""
    page.goto(f"{url}/run?run={run_id}&tab=Log")
    ready(page, "CW · DPO")
    said = page.get_by_role("tabpanel").locator("code").first
    expect(said).to_contain_text("final loss")
    times = [line.split()[0] for line in said.inner_text().splitlines() if line.strip()]
    assert times == [f"{line.at.astimezone(ZoneInfo(READER)):%H:%M:%S}" for line in lines]
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download", exact=True).click()
    written = [line.split(" ", 2)[:2] for line in Path(waiting.value.path()).read_text().splitlines()]
    assert written == [f"{line.at:%Y-%m-%d %H:%M:%SZ}".split() for line in lines]
    page.goto(f"{url}/run?run={run_id}&tab=Attempts")
    ready(page, "CW · DPO")
    expect(page.get_by_role("tabpanel").get_by_text(AGO).first).to_be_visible()
    _no_time_is_negative(page)


def _list_is_of_now(page: Page, url: str) -> None:
    page.goto(url)
    ready(page, "Runs")
    expect(page.locator('[data-testid="data-grid-canvas"] tr', has_text=AGO).first).to_be_attached()
    _no_time_is_negative(page)


def _log_is_of_now(page: Page, url: str, events: Sequence[AuditEvent]) -> None:
    """What was done, by the reader's clock."""
    page.goto(f"{url}/system")
    ready(page, "System")
    page.locator(".st-key-system_log summary").click()
    expect(page.get_by_text("Chain verified").first).to_be_visible()
    shown = page.get_by_test_id("stMain").inner_text().replace("\u2060", "").replace("\u00a0", " ")  # unbroken times
    for event in events:
        assert f"{event.at.astimezone(ZoneInfo(READER)):%Y-%m-%d %H:%M:%S}" in shown
    _no_time_is_negative(page)


def _no_time_is_negative(page: Page) -> None:
    assert NEGATIVE.findall(page.get_by_test_id("stMain").inner_text()) == []
