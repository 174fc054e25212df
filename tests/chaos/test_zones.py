"""A server in India, a reader in Newfoundland, a clock that was set: one instant everywhere, no negative time."""

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select, update

from cwpo.config.run import RunConfig
from db.engine import session_scope
from db.models import Attempt, LogLine, Run, Stage, Worker
from tests.cwpo import recorded
from tests.e2e.serving import Web, at_home, served, visiting
from tests.e2e.test_dashboard import ready
from tests.workers.working import be_the_worker
from workers import api
from workers.machine import database
from workers.queue import job, lease

SERVER, READER = "Asia/Kolkata", "America/St_Johns"  # 5 h 30 min before UTC, 3 h 30 min behind it
NEGATIVE = re.compile(r"[-\N{MINUS SIGN}]\s?\d[\d.,]*\s?(s|min|h|d)\b")
PAGES = ("/", "/run?run=1", "/run?run=1&tab=Attempts", "/run?run=2", "/compare?run=1", "/system")


@pytest.fixture(scope="module")
def desk(redis_process: str, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run 1 is done, run 2 waits. The clock was set back by two hours while each attempt ran."""
    home = tmp_path_factory.mktemp("zones")
    shutil.copy(sqlite_template, home / "cwpo.sqlite")
    with pytest.MonkeyPatch.context() as patch, at_home(home, redis_process):
        be_the_worker(patch)
        config = recorded.config(home)
        api.submit_run(config)
        job.work(0)
        api.submit_run(RunConfig.parse({**config.canonical(), "seed": 1}))
        later = timedelta(hours=2)
        with session_scope(database.engines()) as session:
            for model, names in ((Attempt, ["started_at"]), (Stage, ["started_at"]), (Run, ["started_at"]),
                                 (Worker, ["started_at", "heartbeat_at"])):  # fmt: skip
                for row in session.scalars(select(model)):
                    moved = {name: at + later for name in names if (at := getattr(row, name)) is not None}
                    if moved:
                        session.execute(update(model).where(model.id == row.id).values(moved))
        with served(Web(home=home, environment={"TZ": SERVER})) as web:
            yield web.url


@pytest.mark.timeout(300)
def test_times_are_those_of_the_reader_and_none_is_negative(browser: Browser, desk: str) -> None:
    lease.beat_idle({1: 1})
    with session_scope(database.engines()) as session:
        last = session.scalars(select(LogLine).order_by(LogLine.id.desc())).first()
        assert last is not None
    with visiting(browser, timezone_id=READER) as page:
        for address in PAGES:
            page.goto(f"{desk}{address}")
            ready(page, "")
            text = page.locator("body").inner_text()
            assert not NEGATIVE.findall(text), (address, NEGATIVE.findall(text))
        page.goto(f"{desk}/run?run=1&tab=Log")
        ready(page, "")
        log = page.get_by_role("tabpanel").locator("code").first
        expect(log).to_contain_text(f"{last.at.astimezone(ZoneInfo(READER)):%H:%M:%S}")
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download", exact=True).click()
        assert f"{last.at:%Y-%m-%d %H:%M:%S} " in Path(waiting.value.path()).read_text()
        page.goto(f"{desk}/run?run=2")
        ready(page, "")
        said = page.get_by_text(re.compile(r"Done at about \d\d:\d\d\.")).inner_text()
        told = re.search(r"(\d\d):(\d\d)\.", said)
        assert told is not None
        there = datetime.now(UTC).astimezone(ZoneInfo(READER))
        ahead = (int(told[1]) * 60 + int(told[2]) - there.hour * 60 - there.minute) % 1440
        assert ahead < 60, f"{said} at {there:%H:%M}"
