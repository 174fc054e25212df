"""What goes wrong on a page fails the test that opened it, whichever way it was opened, unless the test provokes it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page

from tests import signed_in
from tests.e2e.serving import visiting
from tests.listening import expecting, none_left_open, nothing_goes_wrong, without_server

HERE, ELSEWHERE = "http://127.0.0.1:4", "http://127.0.0.2:4"
# What a page does, and what is heard of it.
WRONG = {
    "console.error('broken')": "console: broken",
    "setTimeout(() => { throw new Error('thrown'); })": "error: .*thrown",
    f"fetch('{ELSEWHERE}/data').catch(() => 0)": f"outside: {ELSEWHERE}/data",
    "new WebSocket('ws://127.0.0.2:4/data')": "outside: ws://127.0.0.2:4/data",
    "fetch('/gone')": f"404 {HERE}/gone",
    "setTimeout(() => alert('stop'))": "dialog: stop",
    "document.body.innerHTML = '<p data-testid=stException>KeyError: 1</p>'; "
    "setTimeout(() => { document.body.innerHTML = ''; })": "console: exception: KeyError: 1",
}
RIGHT = "console.warn('careful'); fetch('/static/there'); fetch('/page/_stcore/health')"


@pytest.fixture(autouse=True)
def served_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test serves the address, and nothing else."""
    monkeypatch.setattr(signed_in, "_tokens", {HERE: "token"})


def do(page: Page, script: str) -> None:
    """On a page of that server."""
    there = (f"{HERE}/", f"{HERE}/static/there")
    page.route(f"{HERE}/**", lambda asked: asked.fulfill(status=200 if asked.request.url in there else 404))
    page.goto(HERE)
    page.evaluate(f"() => {{ {script}; }}")
    page.wait_for_timeout(200)


def as_a_visitor(browser: Browser, script: str) -> None:
    with visiting(browser) as page:
        do(page, script)


def alone(browser: Browser, script: str) -> None:
    page = browser.new_page()
    do(page, script)
    page.close()


def beside_another(browser: Browser, script: str) -> None:
    context = browser.new_context()
    context.new_page()
    do(context.new_page(), script)
    context.close()


@pytest.mark.parametrize("way", [as_a_visitor, alone, beside_another])
@pytest.mark.parametrize(("script", "said"), WRONG.items())
def test_what_goes_wrong_on_any_page_fails_its_test(
    browser: Browser, way: Callable[[Browser, str], None], script: str, said: str
) -> None:
    with pytest.raises(AssertionError, match=f"^{said}"), nothing_goes_wrong():
        way(browser, script)


def test_what_is_usual_on_a_page_is_not_wrong(browser: Browser) -> None:
    with nothing_goes_wrong():
        as_a_visitor(browser, RIGHT)


def test_what_a_test_provokes_is_taken_away_and_nothing_else(browser: Browser) -> None:
    def visit() -> None:
        with nothing_goes_wrong(), visiting(browser) as page:
            do(page, "console.error('before')")
            with expecting("broken"):
                do(page, "console.error('broken'); console.error('other')")
            do(page, "console.error('broken again')")

    with pytest.raises(AssertionError) as error:
        visit()
    assert str(error.value).splitlines()[:3] == ["console: before", "console: other", "console: broken again"]


def test_what_a_failing_test_leaves_open_is_closed_and_nothing_else(browser: Browser) -> None:
    def fail() -> None:
        with none_left_open():
            browser.new_page()
            raise ValueError("broken")

    with browser.new_context() as before:
        before.new_page()
        known = len(browser.contexts)
        with pytest.raises(ValueError, match="broken"):
            fail()
        assert (len(browser.contexts), before in browser.contexts) == (known, True)
        with none_left_open():
            browser.new_page()
        assert len(browser.contexts) == known + 1
        browser.contexts[-1].close()


def test_a_page_without_its_server_may_say_that_it_lost_it_and_nothing_else(browser: Browser) -> None:
    lost = f"new WebSocket('{HERE.replace('http', 'ws')}/_stcore/stream')"
    there = "document.body.innerHTML = '<p data-testid=stApp data-test-connection-state=CONNECTED>'"

    def visit(script: str) -> None:
        with nothing_goes_wrong(), visiting(browser) as page, without_server(page):
            do(page, f"{there}; {script}; {lost}")

    with pytest.raises(AssertionError, match="WebSocket connection to"), nothing_goes_wrong():
        as_a_visitor(browser, lost)
    visit("")
    with pytest.raises(AssertionError, match=r"^console: broken"):
        visit("console.error('broken')")
