"""Pages over computed results, in a real browser."""

from playwright.sync_api import Page, expect

from tests.app.visits import Computed

CAME_UP = "[data-testid=stPopoverBody]"
# The pages by their path, and what their title says.
TITLES = {
    "": "Runs",
    "new_run": "New run",
    "data": "Data",
    "relabel": "Relabel",
    "compare": "Compare",
    "annotators": "Annotators",
    "examples": "Examples",
    "paper": "Paper",
    "run": "",
    "system": "System",
}


def address(base: str, path: str, results: Computed) -> str:
    """The page with something on it."""
    runs = {"compare": f"?runs={results.sweep[0]}-{results.sweep[-1]}", "run": f"?run={results.sweep[-1]}"}
    return f"{base}/{path}{runs.get(path, '')}"


def settle(page: Page, title: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text(title)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    assert page.get_by_test_id("stException").count() == 0


def put_away(page: Page) -> None:
    """The keys put away what came up from a button. Streamlit loses a key that comes before the answer to the click:
    what the click sent opens it again then, and a person presses once more."""
    for _ in range(20):
        page.keyboard.press("Escape")
        page.wait_for_timeout(300)
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        if not page.locator(CAME_UP).count():
            break
    expect(page.locator(CAME_UP)).to_have_count(0)
