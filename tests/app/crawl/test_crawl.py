"""All pages over a database full of hostile texts, in a real browser: nothing runs, nothing is fetched, nothing hangs.

A page hangs that keeps the browser every time it is opened: where it did once, it is opened twice more, because a
machine that is busy with something else stops a browser too, though not three times on the same page.

CRAWLS=30 plants other texts thirty times, and then every text was shown; once is enough for a quick answer.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.amounts import amount
from tests.app.crawl.planted import Texts, plant, word_columns
from tests.app.crawl.texts import ALL, KINDS
from tests.app.visits import Computed
from tests.e2e.serving import Web, served, visiting

CRAWLS = amount("CRAWLS", 1)
ADDRESSES = amount("ADDRESSES", 3)  # pages that are opened with hostile parameters, each time
# What no page says by itself.
HOSTILE = ("__ran", "canary", "⟨U+", "passwd", "DROP TABLE", "](", "javascript:", "${", "{{", "<img", "<svg", ":red")
LONGEST = 2.0 if CRAWLS > 1 else 10.0  # seconds that the page may not answer; others run beside it
MADE = (
    *("script", "iframe", "object", "embed", "marquee", "[onerror]", "[onload]", "[onclick]", ".katex"),
    *(
        "a[href^='javascript']",
        "a[href*='canary']",
        "a[href^='mailto']",
        "img[src*='canary']",
        "form[action*='canary']",
    ),
)
BLOCKED = """() => { window.__blocked = 0; new PerformanceObserver(list => { for (const one of list.getEntries())
  window.__blocked = Math.max(window.__blocked, one.duration) }).observe({type: 'longtask', buffered: true}) }"""
# Parameters that a page's address may have
PARAMETERS: dict[str, tuple[str, ...]] = {
    path: tuple(names.split())
    for path, names in {
        "": "q status method objective dataset tags pinned archived sort group columns open after before ticked view",
        "new_run": "from data.dataset preset name models methods percents objectives seeds other align.beta "
        "model.policy annotator.use draft s.other evaluation.judge.model",
        "data": "source columns test share",
        "relabel": "run look person pairs_from people",
        "compare": "runs prompt reference pair gold further tab all_settings",
        "annotators": "annotator judge part",
        "examples": "run c agreement order text pair after before size human part",
        "paper": "table from dataset",
        "run": "run tab log_text log_stage answers_text answers_diff curves curve_smoothing curve_steps",
        "system": "tab q",
    }.items()
}


@dataclass
class Seen:
    """What was opened, and what was found wrong."""

    pages: int = 0
    written: int = 0
    texts: set[str] = field(default_factory=set)
    found: int = 0  # hostile words that were on the pages as letters
    slowest: float = 0.0
    longest_block: float = 0.0
    stops: int = 0  # that did not come again when the page was opened once more
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def planted_home(results: Computed, tmp_path: Path) -> dict[str, str]:
    """The computed runs once more, in a database that may be spoilt."""
    home, url = Path(results.environment["CWPO_HOME"]), results.environment["DATABASE_URL"]
    assert url.startswith("sqlite:///")
    _copied(Path(url.removeprefix("sqlite:///")), tmp_path / "cwpo.sqlite")
    if (home / "artifacts").is_dir():
        (tmp_path / "artifacts").symlink_to(home / "artifacts")
    return {**results.environment, "CWPO_HOME": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path / 'cwpo.sqlite'}"}


def _copied(database: Path, copy: Path) -> None:
    """By SQLite: to open and close its file otherwise would take the locks of this process off it, and another process
    that closes it would then take away what is open here."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


@pytest.fixture
def crawled(planted_home: dict[str, str], tmp_path: Path) -> Iterator[str]:
    plant(planted_home["DATABASE_URL"], Texts(ALL, 0))
    with served(Web(home=tmp_path, environment=planted_home)) as web:
        yield web.url


def test_there_are_more_than_four_hundred_texts_for_every_place() -> None:
    assert len(ALL) >= 400
    assert len(KINDS) >= 9
    assert len(list(word_columns())) >= 40


@pytest.mark.timeout(840 + 120 * CRAWLS)
def test_no_page_runs_fetches_or_hangs_on_what_it_shows(
    crawled: str, browser: Browser, planted_home: dict[str, str], results: Computed
) -> None:
    """Counts are printed: `pytest -s` shows them."""
    seen = Seen()
    with visiting(browser) as page:
        page.add_init_script(f"({BLOCKED})()")
        for turn in range(CRAWLS):
            texts = Texts(ALL, turn * len(ALL) // CRAWLS)
            plant(planted_home["DATABASE_URL"], texts)
            seen.written, seen.texts = seen.written + texts.written, seen.texts | texts.seen
            for address in _addresses(results):
                _look(page, f"{crawled}/{address}", seen, deep=CRAWLS > 1)
            for place, (path, names) in enumerate(_some_parameters(turn)):
                told = {
                    name: ALL[(turn * 97 + place * 31 + at * 7) % len(ALL)][:1_500] for at, name in enumerate(names)
                }
                seen.texts |= set(told.values())
                _look(page, f"{crawled}/{path}?{urlencode(told)}", seen, deep=False)
    print(
        f"\n{len(seen.texts & set(ALL))} of {len(ALL)} texts, {seen.written} places written, {seen.pages} pages opened "
        f"with {seen.found} hostile words; "
        f"slowest {seen.slowest:.1f} s, longest task of the browser {seen.longest_block:.2f} s; "
        f"{seen.stops} stops of the machine; {len(seen.complaints)} complaints"
    )
    assert seen.complaints == []
    assert seen.found > 50, "the texts were not on the pages"
    assert CRAWLS == 1 or seen.texts >= set(ALL)


def _addresses(results: Computed) -> list[str]:
    sweep = f"{results.sweep[0]}-{results.sweep[-1]}"
    return [
        "?group=none",
        f"new_run?from={results.sweep[-1]}",
        "data",
        f"relabel?run={results.sweep[-1]}",
        f"compare?runs={sweep}",
        "annotators",
        f"examples?run={results.sweep[-1]}",
        "paper",
        f"run?run={results.sweep[-1]}",
        f"run?run={results.failed}",
        "system",
    ]


def _some_parameters(turn: int) -> list[tuple[str, tuple[str, ...]]]:
    every = list(PARAMETERS.items())
    return [every[(turn * ADDRESSES + place) % len(every)] for place in range(min(ADDRESSES, len(every)))]


def _look(page: Page, address: str, seen: Seen, *, deep: bool) -> None:
    """Open it, wait until it is drawn, and see that it is made of nothing but what we draw."""
    took, blocked = _opened(page, address, deep)
    tries = 1
    while blocked > LONGEST and tries < 3:
        blocked = min(blocked, _opened(page, address, deep)[1])
        tries += 1
    seen.stops += tries > 1 and blocked <= LONGEST
    seen.pages += 1
    seen.slowest, seen.longest_block = max(seen.slowest, took), max(seen.longest_block, blocked)
    where = address.split("?")[0].rpartition("/")[2] or "runs"
    main = page.get_by_test_id("stMain")
    letters = main.text_content() or ""
    seen.found += sum(letters.count(word) for word in HOSTILE)
    found = [made for made in MADE if main.locator(made).count()]
    ran = page.evaluate("() => window.__ran")
    failed = [one.inner_text() for one in page.get_by_test_id("stException").all()]
    wrong: dict[str, Any] = {"made": found, "ran": ran, "failed": failed, "hangs": blocked > LONGEST and blocked}
    seen.complaints += [f"{where}: {what} {value}" for what, value in wrong.items() if value]


def _opened(page: Page, address: str, deep: bool) -> tuple[float, float]:
    """Seconds until it was drawn, and of the longest task in which the browser answered to nothing; with all tabs."""
    began = time.monotonic()
    page.goto(address)
    _drawn(page)
    took = time.monotonic() - began
    if deep:
        for tab in page.get_by_role("tab").all():
            tab.click()
            _drawn(page)
    return took, float(page.evaluate("() => window.__blocked || 0")) / 1000


def _drawn(page: Page) -> None:
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
