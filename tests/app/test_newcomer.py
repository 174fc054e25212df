"""How much a newcomer has to do: the least confident pairs, and a failed run that is put right."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import Browser, Page, expect

from db.errors import FinishedRun
from tests import counting
from tests.app.served import settle
from tests.app.visits import Computed
from workers import api

LINE, OPEN = 31, 62  # px of a line of the grid, and of its button from the left


@pytest.fixture
def newcomer(served: str, browser: Browser) -> Iterator[Page]:
    """Somebody at the list of runs, whose interactions are counted."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(served)
    settle(page, "Runs")
    counting.begin(page)
    yield page
    context.close()


def open_line(page: Page, line: int) -> None:
    place = page.get_by_test_id("stDataFrame").bounding_box()
    assert place is not None
    page.mouse.click(place["x"] + OPEN, place["y"] + line * LINE + LINE / 2)


def test_the_fifty_least_confident_pairs_are_three_interactions_away(newcomer: Page) -> None:
    page = newcomer
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Examples", exact=True).click()
    settle(page, "Examples")
    page.locator(".st-key-size").get_by_role("combobox").click()
    page.get_by_role("option", name="50", exact=True).click()
    expect(page.get_by_text("1–50 of")).to_be_visible()
    settle(page, "Examples")
    assert counting.interactions(page) <= 3


def test_a_failed_run_is_put_right_and_queued_in_four_interactions(newcomer: Page, computed: Computed) -> None:
    """The form says what it failed by, and the settings of that stage are open."""
    page, before = newcomer, {run.id for run in computed.rows()}
    open_line(page, 1)
    settle(page, "CW")
    page.get_by_role("button", name="Duplicate & edit").click()
    settle(page, "New run")
    expect(page.get_by_text(f"Run {computed.failed} failed in the stage Alignment")).to_be_visible()
    rate = page.locator(".st-key-new_run-align-lr input")
    rate.fill("0.001")
    rate.press("Enter")
    queue = page.get_by_role("button", name="Queue 1 run")
    expect(queue).to_be_enabled()
    queue.click()
    settle(page, "CW")
    made = int(page.url.partition("run?run=")[2])
    try:
        assert made > max(before)
        assert counting.interactions(page) <= 4
    finally:
        with suppress(FinishedRun):  # its stages may all be there
            api.cancel_run(made)
        api.delete_run(made)
