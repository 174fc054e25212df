"""A page driven as a person in a hurry would: whatever can be used is found, and changed once."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import BrowserContext, ElementHandle, Page
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from streamlit.proto.BackMsg_pb2 import BackendOperationRequest, BackMsg

from tests.amounts import amount
from tests.app.served import CAME_UP, put_away
from tests.listening import doing
from tests.signed_in import PATIENCE

OPENINGS, SOON = 10, 5_000  # how often a list is opened, and ms in which it comes
LOOK = 100  # ms between two looks at a page; at each of its frames would keep it drawing
MOST = amount("WIDGETS", 8)  # of a page that are changed; WIDGETS=120 changes all of every page
FILES = {
    "yaml": "method: weak\n",
    "jsonl": "".join(f'{{"prompt": "ask {n}", "chosen": "yes {n}", "rejected": "no {n}"}}\n' for n in range(30)),
}
# What a message to the server begins with that has no run of the script, such as one for the content of a file.
OPERATION = BackMsg(backend_operation_request=BackendOperationRequest()).SerializeToString()[0]

# How often the page asked the server for a run of its script and how often one ended; when that was, when anything was
# drawn last, and when the page was last touched here.
LISTEN = """() => {
  const send = WebSocket.prototype.send;
  const driven = window.driven = {sent: 0, ended: 0, heard: 0, drawn: 0, touched: 0};
  WebSocket.prototype.send = function (...data) {
    if (data[0]?.[0] !== OPERATION) driven.sent += 1;
    driven.heard = performance.now(); send.apply(this, data); };
  new MutationObserver(all => {
    driven.drawn = performance.now();
    if (all.some(one => one.type === 'attributes' && one.target.dataset.testScriptState === 'notRunning')) {
      driven.ended += 1; driven.heard = performance.now(); }
  }).observe(document, {subtree: true, childList: true, attributes: true, attributeFilter: ['data-test-script-state']});
}""".replace("OPERATION", str(OPERATION))
# Every word to the server has had its run, unless several had one together, and each kind of widget has been fetched.
IDLE = """() => {
  const app = document.querySelector('[data-testid=stApp]'), now = performance.now(), driven = window.driven;
  if (app?.dataset.testScriptState !== 'notRunning' || !document.querySelector('h1') || now - driven.drawn < 80
      || now - driven.touched < 250 && driven.heard < driven.touched
      || [...document.querySelectorAll('[data-testid=stSkeleton]')].some(at => at.checkVisibility())
      || now - driven.heard < 5_000 && document.querySelector('[data-stale=true]')
      || now - driven.heard < 1_500 && driven.sent > driven.ended) return false;
  driven.ended = driven.sent;
  return true;
}"""
# What keeps a page from being idle, for whoever reads why a test failed.
BUSY = """() => JSON.stringify({
  address: location.href, now: performance.now(), ...window.driven, headings: document.querySelectorAll('h1').length,
  state: {...document.querySelector('[data-testid=stApp]')?.dataset},
  waiting: [...document.querySelectorAll('[data-testid=stSkeleton], [data-stale=true]')].map(at =>
    `${at.dataset.testid} in ${at.closest('[class*=st-key-]')?.className ?? 'the page'}: ${at.checkVisibility()}`),
})"""
# The last widget on the page that can be seen and used and was not changed yet is marked; its kind, and who it is:
# numbers in names count for nothing, so that of ten cards one is tried, and of ten tables one file of each kind.
NEXT = """([kinds, done]) => {
  const plain = text => text.replace(/[0-9a-f]{8,}|-?\\d+([.,:]\\d+)*/g, '#').trim();
  document.querySelectorAll('[data-driven]').forEach(at => at.removeAttribute('data-driven'));
  for (const at of [...document.querySelectorAll(kinds.map(kind => `[data-testid=${kind}]`).join())].reverse()) {
    const control = at.matches('button, a, [role=tab]') ? at
      : at.querySelector('a, button, summary, input, textarea, canvas');
    if (!control || !at.checkVisibility({visibilityProperty: true}) || control.disabled
        || at.matches(':not(button):has(input:disabled):not(:has(input:enabled))')
        || at.closest('[data-testid=stSidebar], [aria-disabled=true]')
        || at.matches('[role=tab][aria-selected=true]')) continue;
    const keys = [...at.closest('[class*=st-key-]')?.classList ?? []].find(one => one.startsWith('st-key-')) ?? '';
    const label = control.querySelector('p') ?? at.querySelector('[data-testid=stWidgetLabel]');
    const words = at.matches('[data-testid=stDataFrame]') ? ''
      : (label?.innerText ?? control.getAttribute('aria-label') ?? '').split('\\n')[0].slice(0, 60);
    const key = at.dataset.testid === 'stDownloadButton' ? '' : plain(keys.replace('st-key-', ''));
    const name = [at.dataset.testid, key, plain(words)].join(' | ');
    if (done.includes(name)) continue;
    at.setAttribute('data-driven', '');
    return [at.dataset.testid, name, !!at.closest('[data-testid=stPopoverBody]')];
  }
  return null;
}"""
# What the widgets that stand in the address show; what lies behind a tab is no part of the tabs.
SHOWN = """() => Object.fromEntries([...new URLSearchParams(location.search).keys()].map(name => {
  const found = [];
  for (const at of document.querySelectorAll(`.st-key-${CSS.escape(name)}`)) for (const one of at.querySelectorAll(
      'input, [aria-checked=true], [aria-pressed=true], [aria-selected=true], [data-testid=stMultiSelectTagsContainer]'
  ))
    if (!at.contains(one.closest('[role=tabpanel]')))
      found.push(one.matches('input') ? (one.type === 'checkbox' ? one.checked : one.value) : one.innerText);
  return [name, found];
}))"""


@dataclass
class Driver:
    """A page over a server: what was changed on it, what of it cannot be used, and what it was asked to save."""

    page: Page
    kept: dict[str, str] = field(default_factory=dict)  # widgets that are left alone: a part of their name, and why
    done: list[str] = field(default_factory=list)
    useless: list[str] = field(default_factory=list)
    missed: set[str] = field(default_factory=set)
    saved: int = 0
    asked: int = 0

    @classmethod
    def of(cls, context: BrowserContext, kept: dict[str, str]) -> "Driver":
        context.add_init_script(f"({LISTEN})()")
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        driver = cls(page=page, kept=kept)
        page.on("download", lambda _: driver._save())
        return driver

    def _save(self) -> None:
        self.saved += 1

    def idle(self) -> None:
        """The page is drawn, and its script has nothing to do; a TimeoutError says what it does instead."""
        try:
            self.page.wait_for_function(IDLE, timeout=PATIENCE, polling=LOOK)
        except PlaywrightTimeout as error:
            error.add_note(f"{self.done[-1:]}: {self.page.evaluate(BUSY)}")
            raise

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.idle()

    def drive(self) -> None:
        """Change what is there and what comes up meanwhile, from the end of the page to its start: filters, which may
        take all else away, stand in front."""
        here = self.page.url.partition("?")[0]
        while len(self.done) < MOST and (found := self.page.evaluate(NEXT, [list(CHANGES), self.done])):
            kind, name, inside = found
            self.done.append(name)
            if any(part in name for part in self.kept):
                continue
            with doing(f"after {name}"):
                self._try(kind, here, inside)

    def _try(self, kind: str, here: str, inside: bool) -> None:
        """One widget changed once, and back on the page where it led away."""
        before = self.page.url
        if not inside and self.page.locator(CAME_UP).count():
            self._touch()
            put_away(self.page)
            self.idle()
        self._touch()
        self._change(kind)
        self.idle()
        if self.page.url.partition("?")[0] != here:
            self._touch()
            self.page.go_back()
            self.idle()
            if self.page.url != before:
                self.open(before)

    def _touch(self) -> None:
        self.page.evaluate("window.driven.touched = performance.now()")

    def _change(self, kind: str) -> None:
        at = self.page.query_selector("[data-driven]")
        if at is None:
            return self._miss()
        try:
            CHANGES[kind](self, at)
        except PlaywrightError as error:
            if self.page.query_selector("[data-driven]") is None:
                return self._miss()
            self.useless.append(f"{self.done[-1]}: {str(error)[:600]}")

    def _miss(self) -> None:
        """It was drawn anew meanwhile: found again the next time if it is still there."""
        if self.done[-1] not in self.missed:
            self.missed.add(self.done.pop())

    def all_saved(self) -> bool:
        """Every file that was asked for came."""
        for _ in range(600):
            if self.saved == self.asked:
                return True
            self.page.wait_for_timeout(100)
        return False

    def shown(self) -> dict[str, Any]:
        """The address, and what its widgets show."""
        return {"address": self.page.url, **self.page.evaluate(SHOWN)}


def _click(driver: Driver, at: ElementHandle) -> None:
    (at.query_selector("a, button, summary") or at).click()


def _unfold(driver: Driver, at: ElementHandle) -> None:
    at.click()
    driver.page.locator("[data-testid=stPopoverBody] [data-testid=stElementContainer]").first.wait_for(state="attached")


def _save(driver: Driver, at: ElementHandle) -> None:
    """A file is made when it is asked for."""
    _click(driver, at)
    driver.asked += 1
    if not driver.all_saved():
        driver.useless.append(f"{driver.done[-1]}: no file came. {driver.page.inner_text('body')[:1_500]}")


def _check(driver: Driver, at: ElementHandle) -> None:
    label = at.query_selector("label")
    assert label is not None
    label.click()


def _other(driver: Driver, at: ElementHandle) -> None:
    """The last of several beside each other that is not chosen."""
    found = at.query_selector_all(
        "button:not([aria-checked=true]):not([aria-pressed=true]), label:not(:has(input:checked)):has(input)"
    )
    if found:
        found[-1].click()


def _choose(driver: Driver, at: ElementHandle) -> None:
    """Another one of a list, which is opened again where the page closed it."""
    field, box = at.query_selector("input"), driver.page.locator("[role=listbox]").first
    assert field is not None
    for _ in range(OPENINGS):
        field.click()
        with suppress(PlaywrightTimeout):
            box.wait_for(timeout=SOON)
            break
    box.wait_for()
    options = driver.page.locator("[role=option]:not([aria-selected=true]):not([aria-disabled=true])")
    if options.count():  # there may be one alone, which is chosen
        options.nth(min(1, options.count() - 1)).click()
    driver.page.keyboard.press("Escape")


def _slide(driver: Driver, at: ElementHandle) -> None:
    thumb = at.query_selector("[role=slider], input[type=range]")
    assert thumb is not None
    thumb.focus()
    driver.page.keyboard.press("ArrowRight")


def _write(driver: Driver, at: ElementHandle) -> None:
    field = at.query_selector("input, textarea")
    assert field is not None
    if field.get_attribute("type") == "number":
        field.press("ArrowUp")
    else:
        field.fill("a")
    field.press("Control+Enter" if field.evaluate("at => at.tagName") == "TEXTAREA" else "Enter")


def _give(driver: Driver, at: ElementHandle) -> None:
    field = at.query_selector("input[type=file]")
    assert field is not None
    kind = next(kind for kind in FILES if kind in (field.get_attribute("accept") or "jsonl"))
    field.set_input_files({"name": f"own.{kind}", "mimeType": "text/plain", "buffer": FILES[kind].encode()})
    driver.page.wait_for_function("window.driven.heard > window.driven.touched")


def _tick(driver: Driver, at: ElementHandle) -> None:
    """The first line of a grid."""
    at.click(position={"x": 17, "y": 46})


CHANGES: dict[str, Callable[[Driver, ElementHandle], None]] = {
    "stButton": _click,
    "stFormSubmitButton": _click,
    "stPopoverButton": _unfold,
    "stPageLink": _click,
    "stTab": _click,
    "stExpander": _click,
    "stDownloadButton": _save,
    "stCheckbox": _check,
    "stRadio": _other,
    "stButtonGroup": _other,
    "stSelectbox": _choose,
    "stMultiSelect": _choose,
    "stSlider": _slide,
    "stTextInput": _write,
    "stTextArea": _write,
    "stNumberInput": _write,
    "stFileUploader": _give,
    "stDataFrame": _tick,
}
