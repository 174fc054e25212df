"""Each page is driven once with every widget changed once: nothing breaks, and a reload shows the same."""

from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.app.served import TITLES, address, settle
from tests.app.visits import Computed
from tests.e2e.addresses import is_ours
from tests.e2e.conftest import browser

__all__ = ["browser"]  # the fixture of that name

KINDS = (
    "stTab", "stExpander", "stCheckbox", "stSelectbox", "stMultiSelect", "stSlider", "stRadio", "stButtonGroup",
    "stTextInput", "stTextArea", "stNumberInput",
)  # fmt: skip
MOST = 60  # widgets of a page; New run has one for each field
# Every widget that can be seen and used: what it is, and how it is found again.
FIND = """kinds => [...document.querySelectorAll('[data-testid=stMain] [data-testid]')]
  .filter(at => kinds.includes(at.dataset.testid) && at.offsetParent !== null
                && !at.querySelector('input:disabled, textarea:disabled, button:disabled'))
  .map(at => {
    const owner = at.closest('[class*="st-key-"]');
    const key = owner ? [...owner.classList].find(name => name.startsWith('st-key-')) : '';
    return [at.dataset.testid, key, at.innerText.split('\\n')[0].slice(0, 60)];
  })"""


def widgets(page: Page) -> list[tuple[str, str, str]]:
    return [tuple(found) for found in page.evaluate(FIND, list(KINDS))]


def place(page: Page, widget: tuple[str, str, str]) -> Locator:
    kind, key, label = widget
    around = page.get_by_test_id("stMain")
    found = around.locator(f".{key}").get_by_test_id(kind) if key else around.get_by_test_id(kind)
    return (found.filter(has_text=label) if label and found.count() > 1 else found).first


def change(page: Page, widget: tuple[str, str, str]) -> None:
    """Another value than the widget holds, the way a person gives it."""
    kind, at = widget[0], place(page, widget)
    if kind in ("stTab", "stExpander", "stCheckbox"):
        (at.locator("summary") if kind == "stExpander" else at.locator("label") if kind == "stCheckbox" else at).click()
    elif kind in ("stSelectbox", "stMultiSelect"):
        at.locator("input").first.click()
        options = page.get_by_role("option")
        options.first.wait_for(timeout=3_000)
        options.nth(min(1, options.count() - 1)).click()
        page.keyboard.press("Escape")
    elif kind == "stSlider":
        at.get_by_role("slider").first.press("ArrowRight")
    elif kind in ("stRadio", "stButtonGroup"):
        at.locator("label, button").last.click()
    else:
        field = at.locator("input, textarea").first
        if kind == "stNumberInput":
            field.press("ArrowUp")
        else:
            field.fill("0 or so")
        field.press("Control+Enter" if kind == "stTextArea" else "Enter")


def drive(page: Page, title: str) -> list[str]:
    """Change what is there and what comes up meanwhile; the widgets that were changed."""
    done: list[tuple[str, str, str]] = []
    while len(done) < MOST and (left := [one for one in widgets(page) if one[:2] + one[2:] not in done]):
        widget = left[0]
        done.append(widget)
        with suppress(PlaywrightTimeout):  # one that the page takes away at this moment
            change(page, widget)
        settle(page, title)
    return [" ".join(widget) for widget in done]


@pytest.mark.timeout(280)
@pytest.mark.parametrize("path", TITLES)
def test_every_widget_can_be_changed(served: str, results: Computed, browser: Browser, path: str) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(5_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: None if is_ours(request.url, served) else complaints.append(request.url))
    page.goto(address(served, path, results))
    settle(page, TITLES[path])
    assert drive(page, TITLES[path]) or path in ("system",)
    there: dict[str, Any] = {"address": page.url}
    page.reload()
    settle(page, TITLES[path])
    assert page.url == there["address"]
    page.go_back()
    page.wait_for_timeout(300)
    page.go_forward()
    settle(page, TITLES[path])
    assert page.url == there["address"]
    context.close()
    asked_twice = "Failed to load resource"  # Streamlit asks for its health under the page's path first
    assert [line for line in complaints if not line.startswith(asked_twice)] == []
