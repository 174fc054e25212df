"""What goes wrong on a page that a test opens fails that test: every page of the browser is listened to, whoever opens
it, from its first request to its last."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Error,
    Page,
    Response,
    WebError,
    expect,
)

from tests.signed_in import servers

# Streamlit asks for these under the page's own path first, then under the root.
ASKED_TWICE = re.compile(r"/_stcore/(host-config|health)$")
# What a page says while its server is killed, or its line to it is cut.
SERVER_AWAY = (
    r"^console: WebSocket connection to '.*' failed",
    r"^console: Client Error: WebSocket onerror",
    r"^console: Client Error in reaching server endpoint - No response received .*/_stcore/(health|host-config)$",
    r"^console: Streamlit server is not responding",
    r"^console: Cannot send rerun backMessage when disconnected from server",  # parts that ask every few seconds
    r"^(console|error): TypeError: Failed to fetch dynamically imported module: ",  # what is first needed just then
)
SAID_AGAIN = "Failed to load resource"  # the console's word for an answer, which is heard itself
WHILE_IT_COMES = 50  # ms in which what a browser says comes here
# Every box with an exception, however soon it is gone.
BOXES = """() => {
  const told = new Set();
  new MutationObserver(() => document.querySelectorAll('[data-testid=stException]').forEach(box => {
    if (told.has(box.textContent)) return;
    told.add(box.textContent);
    console.error('exception: ' + box.textContent);
  })).observe(document, {subtree: true, childList: true, characterData: true});
}"""

_heard: list[str] = []
_open: WeakSet[BrowserContext] = WeakSet()
_doing: list[str] = []  # what is done to the page just now, the outermost first


def listened(browser: Browser) -> Browser:
    """The browser, whose sessions from now on are listened to."""
    make_context, make_page = browser.new_context, browser.new_page

    def new_context(**options: Any) -> BrowserContext:
        return _listen(make_context(**options))

    def new_page(**options: Any) -> Page:
        page = make_page(**options)
        _listen(page.context)
        _to_sockets(page)
        return page

    browser.new_context, browser.new_page = new_context, new_page  # type: ignore[method-assign]
    return browser


@contextmanager
def nothing_goes_wrong() -> Iterator[None]:
    """An AssertionError at the end with each error of a page or in its console, each box with an exception, each
    dialog, each request that was refused and each one to a host that no test serves, within the block."""
    before = len(_heard)
    try:
        yield
        _let_it_come()
        assert not _heard[before:], "\n".join(_heard[before:])
    finally:
        del _heard[before:]


@contextmanager
def none_left_open() -> Iterator[None]:
    """What a failure within the block leaves open is closed, so that no other test hears of it."""
    before = set(_open)
    try:
        yield
    except BaseException:
        for context in set(_open) - before:
            with suppress(Error):
                context.close()
        raise


@contextmanager
def expecting(*patterns: str) -> Iterator[None]:
    """What is said within the block and has one of these is what the test provokes."""
    _let_it_come()
    before = len(_heard)
    yield
    _let_it_come()
    _heard[before:] = [line for line in _heard[before:] if not any(re.search(one, line) for one in patterns)]


@contextmanager
def without_server(page: Page) -> Iterator[None]:
    """The server is killed, or cut off, within the block, and is there again for the page at its end."""
    with expecting(*SERVER_AWAY):
        yield
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-connection-state", "CONNECTED")


@contextmanager
def doing(words: str) -> Iterator[None]:
    """What is heard within the block is said with these words."""
    _doing.append(words)
    try:
        yield
        _let_it_come()
    finally:
        _doing.pop()


def _say(line: str) -> None:
    _heard.append(f"{line} ({', '.join(_doing)})" if _doing else line)


def _listen(context: BrowserContext) -> BrowserContext:
    _open.add(context)
    context.on("close", lambda _: _open.discard(context))
    context.add_init_script(f"({BOXES})()")
    context.on("page", _to_sockets)
    context.on("console", _console)
    context.on("weberror", _error)
    context.on("dialog", _dialog)
    context.on("request", lambda request: _asked(request.url))
    context.on("response", _answered)
    close = context.close

    def closed(**options: Any) -> None:
        _let_it_come()
        close(**options)

    context.close = closed  # type: ignore[method-assign]
    return context


def _let_it_come() -> None:
    page = next((page for context in list(_open) for page in context.pages if not page.is_closed()), None)
    if page is not None:
        page.wait_for_timeout(WHILE_IT_COMES)


def _to_sockets(page: Page) -> None:
    page.on("websocket", lambda socket: _asked(socket.url))


def _console(message: ConsoleMessage) -> None:
    if message.type == "error" and not message.text.startswith(SAID_AGAIN):
        _say(f"console: {message.text}")


def _error(error: WebError) -> None:
    _say(f"error: {error.error}")


def _dialog(dialog: Dialog) -> None:
    _say(f"dialog: {dialog.message}")
    dialog.dismiss()


def _asked(url: str) -> None:
    """Files and what a page has made itself are of no host."""
    scheme, host = urlsplit(url)[:2]
    if scheme in ("http", "https", "ws", "wss") and f"{scheme.replace('ws', 'http')}://{host}" not in servers():
        _say(f"outside: {url}")


def _answered(answer: Response) -> None:
    if answer.status >= 400 and not ASKED_TWICE.search(answer.url):
        _say(f"{answer.status} {answer.url}")
