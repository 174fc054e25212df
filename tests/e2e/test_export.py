"""What a real browser saves: charts as PNG or SVG, tables in four formats, nothing fetched from outside."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from db.engine import upgrade
from tests.e2e.again import saved
from tests.e2e.serving import ROOT, Web, served

PNG = b"\x89PNG\r\n\x1a\n"
TABLES = {
    "CSV": ("gra.csv", b"method,estimate\r\nCW,0.5625\r\n"),
    "JSON": ("gra.json", b'[\n {\n  "method": "CW",\n  "estimate": 0.5625\n }\n]\n'),
    "Markdown": ("gra.md", b"| method | GRA, % |\n| --- | ---: |\n| CW | 56.2 |\n"),
    "LaTeX": ("gra.tex", b"\\begin{tabular}{lr}\n"),
}


@pytest.fixture
def exporting(tmp_path: Path) -> Iterator[str]:
    """The page on a server of its own, with the dashboard's configuration."""
    page = ROOT / "tests" / "e2e" / "export_page.py"
    database = f"sqlite:///{tmp_path / 'cwpo.sqlite'}"  # where it is noted what somebody takes
    upgrade(database)
    environment = {"PYTHONPATH": str(ROOT), "CWPO_HOME": str(tmp_path), "DATABASE_URL": database}
    with served(Web(home=tmp_path, page=page, environment=environment)) as web:
        yield web.url


def camera(page: Page) -> Locator:
    """The one button over a chart, there while the mouse is on it."""
    page.locator(".js-plotly-plot").first.hover()
    return page.locator(".modebar-btn[data-title^='Download plot']").first


def test_charts_and_tables_are_saved_with_the_content_that_their_names_say(browser: Browser, exporting: str) -> None:
    page = browser.new_page()
    page.goto(exporting)
    expect(page.get_by_text("the end", exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()

    name, content = saved(page, camera(page))
    assert name == "training_curves.png"
    assert content.startswith(PNG)
    width = page.locator(".js-plotly-plot").first.bounding_box()
    assert width is not None
    assert int.from_bytes(content[16:20], "big") == pytest.approx(2 * width["width"], abs=4)

    page.get_by_role("button", name="Export").click()
    page.get_by_role("radio", name="SVG").click()
    expect(page.get_by_role("radio", name="SVG")).to_be_checked()
    page.keyboard.press("Escape")
    expect(page.locator(".modebar-btn[data-title='Download plot']")).to_have_count(1)
    name, content = saved(page, camera(page))
    assert name == "training_curves.svg"
    assert content.lstrip().startswith(b"<svg")
    assert b"</svg>" in content

    page.get_by_role("button", name="Export").click()
    for label, (expected, start) in TABLES.items():
        name, content = saved(page, page.get_by_role("button", name=label, exact=True))
        assert name == expected
        assert content.startswith(start)
    page.close()
