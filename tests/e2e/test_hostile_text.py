"""Text of others in a real browser: nothing of it runs, is fetched or becomes an element, and it is shown as it is
written."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.app.hostile import SCRIPTS
from tests.e2e.directions import as_written, drawn_lines
from tests.e2e.serving import ROOT, Web, served


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[str]:
    """The page on a server of its own, with the dashboard's configuration."""
    page = ROOT / "tests" / "e2e" / "hostile_page.py"
    environment = {"PYTHONPATH": str(ROOT), "CWPO_HOME": str(tmp_path)}
    with served(Web(home=tmp_path, page=page, environment=environment)) as web:
        yield web.url


def test_hostile_text_stays_text(browser: Browser, hostile: str) -> None:
    page = browser.new_page()
    page.goto(hostile)
    expect(page.get_by_text("the end", exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    main = page.get_by_test_id("stMain")
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
    scripts = main.locator(".st-key-scripts").locator("h1, h3, h4, li, [data-testid=stText]")
    assert drawn_lines(scripts) == [[as_written(text)] for text in SCRIPTS for _ in range(5)]
    page.close()
