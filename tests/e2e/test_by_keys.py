"""The way through by keys alone: sidebar, form, queue, list, run, tabs, deletion and back, examples, the order of the
queue. No worker runs here."""

from playwright.sync_api import Locator, Page, expect

from db import queries
from tests.e2e.by_hand import widget
from tests.e2e.test_dashboard import ready
from tests.e2e.test_journeys import grid_with, queue, runs, settled
from tests.e2e.test_keeping import says
from tests.workers.labeled import labeled_run
from workers.machine.database import reading

MOST = 150  # presses of Tab to any place of a page
HAS_IT = "all => all.some(at => at.contains(document.activeElement) && at.checkVisibility())"


def reach(page: Page, wanted: Locator, key: str = "Tab") -> None:
    """To the place on the page where these keys lead, and not away while it is drawn anew."""
    for _ in range(MOST):
        if wanted.evaluate_all(HAS_IT):
            page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
            if wanted.evaluate_all(HAS_IT):
                return
        page.keyboard.press(key)
    raise AssertionError(f"{MOST} times {key} do not lead to {wanted}")


def press(page: Page, name: str, key: str = "Tab") -> None:
    """The button of that name."""
    reach(page, page.get_by_role("button", name=name, exact=True), key)
    page.keyboard.press("Enter")


def go(page: Page, name: str) -> None:
    """Through the sidebar."""
    reach(page, page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True))
    page.keyboard.press("Enter")
    ready(page, name)


def tick(page: Page, line: int, key: str = "Tab") -> None:
    """A line of the grid, counted from one."""
    grid = grid_with(page, line)
    reach(page, grid.get_by_test_id("data-grid-canvas"), key)
    for _ in range(line - 1):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+Space")


def test_the_way_through_by_keys_alone(stranger: Page, desk: str) -> None:
    page, before = stranger, labeled_run(30, align={"beta": 0.9})
    page.goto(desk)
    ready(page, "Runs")
    go(page, "New run")
    reach(page, widget(page, "seeds").locator("input"))
    page.keyboard.press("Control+A")
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    settled(page, {"seeds": "5"})
    reach(page, queue(2, page))
    page.keyboard.press("Enter")
    ready(page, "Runs")
    assert [config.seed for config in runs()] == [0, 5, 5]

    tick(page, 1)
    says(page, "1 run ticked")
    reach(page, page.locator(".st-key-open_ticked button"), "Shift+Tab")
    page.keyboard.press("Enter")
    ready(page, "seed 5")
    press(page, "Cancel")
    says(page, "cancelled")
    reach(page, page.get_by_role("tab", selected=True))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Chat")).to_have_attribute("aria-selected", "true")
    press(page, "Delete…", "Shift+Tab")
    press(page, "Delete")
    ready(page, "Runs")
    says(page, "deleted.")
    assert len(runs()) == 2
    press(page, "Undo")
    says(page, "brought back.")
    assert len(runs()) == 3

    go(page, "Examples")
    says(page, "1–10 of 30 pairs")
    press(page, "Next")
    says(page, "11–20 of 30 pairs")
    go(page, "System")
    tick(page, 2)
    press(page, "To the front", "Shift+Tab")
    says(page, "moved to the front of the queue.")
    with reading() as session:
        assert [run.id for run in queries.queued_runs(session).rows][1] == before
