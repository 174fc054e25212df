"""Narrow screens: nothing is cut off, and what a phone is for (Runs, Run, Compare) can be read on it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.app.served import TITLES, address, settle
from tests.app.visits import Computed

PHONE, TABLET = 390, 1024
HEADINGS = """() => [...document.querySelector('[data-testid=data-grid-canvas] tr')?.children ?? []]
  .map(cell => cell.textContent).filter(Boolean)"""

# Names and figures of which a part is hidden, or that stand beyond the window.
CUT = """all => all.filter(one => one.getBoundingClientRect().right > innerWidth + 1 || [...one.querySelectorAll(
  '[data-testid=stMetricLabel] p, [data-testid=stMetricValue] div')].some(part =>
  part.scrollWidth > part.clientWidth + 1)).map(one => one.innerText)"""


@pytest.fixture(params=[PHONE, TABLET])
def narrow(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    # The policy would refuse what wait_for_function evaluates.
    context = browser.new_context(viewport={"width": request.param, "height": 844}, bypass_csp=True)
    yield context.new_page()
    context.close()


def test_the_list_and_the_pairs_have_room_to_be_read(narrow: Page, served: str, results: Computed) -> None:
    """That no page is wider than its window, tests/app/test_accessibility.py asks of all."""
    assert narrow.viewport_size is not None
    width = narrow.viewport_size["width"]
    for path in ("examples", ""):
        narrow.goto(address(served, path, results))
        settle(narrow, TITLES[path])
        box = narrow.get_by_test_id("stMainBlockContainer").bounding_box()
        assert box is not None
        assert box["width"] > (0.95 if width == PHONE else 0.6) * width, path
        if path == "examples":
            card = narrow.locator('[class*="st-key-pairs-"]').first.bounding_box()
            assert card is not None
            assert card["width"] > (300 if width == PHONE else 400)
    the_list(narrow, width)


def test_the_answer_of_a_run_and_of_a_comparison_is_on_the_first_screen(
    narrow: Page, served: str, results: Computed
) -> None:
    """Figures whole, one below the other where they need it, and charts as wide as there is room."""
    assert narrow.viewport_size is not None
    width, height = narrow.viewport_size["width"], narrow.viewport_size["height"]
    for path in ("run", "compare"):
        narrow.goto(address(served, path, results))
        settle(narrow, TITLES[path])
        figures = narrow.get_by_test_id("stMetric")
        expect(figures.first).to_be_visible()
        first, chart = figures.first.bounding_box(), narrow.locator(".js-plotly-plot").first
        assert first is not None
        assert first["y"] + first["height"] < height, path
        assert figures.evaluate_all(CUT) == [], path
        expect(chart.locator(".main-svg").first).to_be_attached()
        box = chart.bounding_box()
        assert box is not None
        assert (300 if width == PHONE else 330) < box["width"] <= width, path


def the_list(page: Page, width: int) -> None:
    """Names, GRA and how far each moved are in sight without a scroll sideways."""
    grid = page.get_by_test_id("stDataFrame").first
    expect(grid).to_be_visible()
    filters, box = page.locator(".st-key-runs_filters").bounding_box(), grid.bounding_box()
    assert filters is not None
    assert box is not None
    assert box["y"] >= filters["y"] + filters["height"]
    page.wait_for_function(f"({HEADINGS})().length > 1")
    seen = page.evaluate(HEADINGS)
    assert seen[:2] == ["setting", "GRA, %"]
    assert width == PHONE or {"status", "95 %", "KL"} <= set(seen)
