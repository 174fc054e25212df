"""What a page loses that is drawn anew under a click is done again, until its effect is seen."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests import clocks

LOOK = 100  # ms between two looks
SOON = 5_000  # ms in which a list opens, and shows what was chosen of it
REST = 8.0  # seconds without any effect, on a page that has nothing to do, after which a click was lost
AT_REST = "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"


def take_effect(page: Page, do: Callable[[], Any], seen: Callable[[], Any], seconds: float = 120) -> None:
    """Do it until it is seen; once more only where the page came to rest and nothing is to be seen of it.

    An AssertionError where nothing is seen after so many seconds of a machine that runs.
    """
    deadline = clocks.monotonic() + seconds
    while True:
        do()
        resting = clocks.monotonic()
        while clocks.monotonic() < resting + REST:
            if seen():
                return
            page.wait_for_timeout(LOOK)
            if not page.evaluate(AT_REST):
                resting = clocks.monotonic()
            assert clocks.monotonic() < deadline, "nothing was seen of what was done"


def pick(field: Locator, name: str) -> None:
    """One of a list, by the pointer, until the closed list shows it; one that closes meanwhile is opened again."""
    option = field.page.get_by_role("option", name=name, exact=True).first
    for _ in range(10):
        if not option.is_visible():
            field.click()
        with suppress(PlaywrightTimeout, AssertionError):
            option.click(timeout=SOON)
            expect(field).to_have_value(name, timeout=SOON)
            return
    expect(field).to_have_value(name)


def saved(page: Page, button: Locator) -> tuple[str, bytes]:
    """Name and content of the file that a click saves. One that a page drops, because it is redrawn just then, is made
    again, as by whoever sees no file."""
    try:
        with page.expect_download(timeout=20_000) as waiting:
            button.click()
    except PlaywrightTimeout:
        with page.expect_download() as waiting:
            button.click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()
