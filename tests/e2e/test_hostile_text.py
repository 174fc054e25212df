"""Hostile text in a real browser: nothing runs, nothing is fetched, nothing becomes an element."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.addresses import answers, is_ours
from tests.e2e.serving import ROOT, free_port


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[str]:
    """The page on a server of its own, with the dashboard's configuration."""
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CWPO_HOME": str(tmp_path)}
    page = str(ROOT / "tests" / "e2e" / "hostile_page.py")
    command = [sys.executable, "-m", "streamlit", "run", page, "--server.port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not answers(f"{url}/_stcore/health"):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
        yield url
        process.terminate()
        process.wait(10)


def test_hostile_text_stays_text(browser: Browser, hostile: str) -> None:
    page = browser.new_page()
    seen: list[str] = []
    page.on("dialog", lambda dialog: seen.append(f"dialog {dialog.message}"))
    page.on("pageerror", lambda error: seen.append(f"error {error}"))
    page.on("request", lambda request: None if is_ours(request.url, hostile) else seen.append(request.url))
    page.goto(hostile)
    expect(page.get_by_text("the end", exact=True)).to_be_visible(timeout=60_000)
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=60_000)
    main = page.get_by_test_id("stMain")
    assert main.get_by_test_id("stException").count() == 0
    for made in (
        "script",
        "img",
        "iframe",
        "a[href*='javascript']",
        "a[href*='canary']",
        "a[href^='mailto']",
        ".katex",
    ):
        assert main.locator(made).count() == 0, made
    assert main.locator("[data-testid=stText]").first.inner_text() == "<script>alert(1)</script>"
    assert seen == []
    page.close()
