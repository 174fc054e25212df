"""Browsers of tests come in at every dashboard that was started here, as people do who opened its link."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page

from workers.access.start_token import cookie_for, new_browser, token_of

PATIENCE = 120_000  # ms that a page has for whatever it is to do, on a machine that may be busy

_tokens: dict[str, str] = {}  # by the address of the server


def known(url: str, home: Path) -> None:
    """A server over this home is about to be at the address, or is already."""
    _tokens[url] = token_of(home)


def servers() -> set[str]:
    """The addresses of all servers so far."""
    return set(_tokens)


def cookie_at(url: str) -> dict[str, str]:
    """A browser's cookie for that server, by its name."""
    return {f"cwpo_{urlsplit(url).port}": cookie_for(_tokens[url], new_browser())}


def come_in(context: BrowserContext) -> None:
    """The browser session has come in at all servers so far."""
    for url in _tokens:
        for name, value in cookie_at(url).items():
            context.add_cookies([{"name": name, "value": value, "url": url}])


def signed_in(browser: Browser) -> Browser:
    """The browser, whose sessions from now on begin with that, and are waited for."""
    make_context, make_page = browser.new_context, browser.new_page

    def new_context(**options: Any) -> BrowserContext:
        context = make_context(**options)
        context.set_default_timeout(PATIENCE)
        come_in(context)
        return context

    def new_page(**options: Any) -> Page:
        page = make_page(**options)
        page.context.set_default_timeout(PATIENCE)
        come_in(page.context)
        return page

    browser.new_context, browser.new_page = new_context, new_page  # type: ignore[method-assign]
    return browser
