"""Back, Forward and a reload show what was there: whichever page was left, in whichever state, at its address.

`make journeys` takes thirty walks, and opens every address of them in a fresh browser.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

import pytest
from playwright.sync_api import Browser, Page

from app.components.frame.address import SIZES, compact
from app.reads import results as reads
from cwpo.compare.reference import PLANNED_PAIRS
from cwpo.report.labels.annotators import verdict
from db import queries
from tests import clocks
from tests.amounts import COUNTED, amount
from tests.app.served import TITLES, address, settle
from tests.app.visits import Computed
from tests.app.walker import PICTURE, Step, Walker
from tests.e2e.again import pick
from tests.e2e.serving import visiting
from workers.machine.database import reading

WALKS = amount("WALKS", 1)
STEPS = amount("STEPS", 10)
STATES = amount("STATES", 2)  # of each walk, that are opened in a browser of their own
Address = tuple[Mapping[str, Any], Sequence[str]]  # the parameters, and words that the page then says or holds


@pytest.mark.timeout(780 + 60 * STATES)
@pytest.mark.parametrize("seed", range(WALKS))
def test_a_walk_back_and_forward_finds_every_page_as_it_was_left(
    served: str, browser: Browser, seed: int, record_property: Callable[[str, object], None]
) -> None:
    with visiting(browser, served) as page:
        walker = Walker(page, served, random.Random(seed))
        assert walker.walk(STEPS) == []
    entries = len(walker.entries)
    record_property(COUNTED, f"{len(walker.went)} steps, {min(STATES, entries)} of {entries} pages in a fresh browser")
    assert walker.seen_afresh(browser, STATES) == []


def test_back_from_examples_is_the_comparison_with_its_reference(
    served: str, results: Computed, browser: Browser
) -> None:
    """And before that one the same comparison with the usual reference."""
    with visiting(browser, served) as page:
        walker = Walker(page, served, random.Random(0))
        walker.take(Step("to Compare", lambda: page.goto(address(served, "compare", results))))
        field = page.get_by_role("combobox", name="Held against")
        walker.take(Step("against weak labels", lambda: pick(field, "against Weak labels")))
        assert "reference=" in walker.entries[-1].address
        link = page.get_by_test_id("stSidebarNav").get_by_role("link", name="Examples", exact=True)
        walker.take(Step("to Examples", link.click))
        assert walker.back() == []
        assert walker.back() == []


def _of_compare(results: Computed) -> list[Address]:
    rows = results.rows()
    keys = {row.method: row.group_key[:12] for row in rows}
    runs = compact(tuple(sorted(row.id for row in rows)))
    few = compact(tuple(sorted(row.id for row in rows if row.method in ("human", "weak"))))
    return [
        ({"runs": runs}, ("=against Human", "[Configuration]")),
        ({"runs": runs, "reference": keys["weak"], "further": "Curves"}, ("=against Weak labels", "[Curves]")),
        ({"runs": runs, "reference": keys["cw"], "further": "Head to head"}, ("=against CW", "[Head to head]")),
        ({"runs": few, "further": "Answers"}, ("=against Human", "[Answers]")),
        ({"runs": runs, "reference": PLANNED_PAIRS, "further": "Cost"}, ("=CW − weak, CW − human", "[Cost]")),
    ]


def _of_examples(results: Computed) -> list[Address]:
    run = next(row.id for row in results.rows() if row.method == "cw")
    with reading() as session:
        total, some = (queries.annotations(session, run, c_low=low).total for low in (0.0, 0.05))
    assert total is not None
    assert some
    return [
        ({"run": run, "order": "Most confident", "human": "true"}, ("=Most confident", "human chose")),
        ({"run": run, "c": ["0.05", "1.0"]}, (f"of {some} pair",)),
        ({"run": run, "size": SIZES[1]}, (f"1–{min(SIZES[1], total)} of {total} pairs", f"={SIZES[1]}")),
        ({"run": run, "agreement": "agree", "text": "w1"}, ("=agree", "=w1", "pairs with this text")),
        ({"run": run, "part": "labeled"}, ("[labeled]", "human label: chosen")),
    ]


def _of_run(results: Computed) -> list[Address]:
    run = results.sweep[-1]
    return [
        ({"run": run, "tab": "Log", "log_text": "final"}, ("[Log]", "=final")),
        ({"run": run, "tab": "Configuration", "curve_log": "true"}, ("[Configuration]", "=true")),
        ({"run": run, "tab": "Attempts"}, ("[Attempts]",)),
        ({"run": run, "answers": "largest change", "answers_text": "w1"}, ("[Answers]", "=w1", "[largest change]")),
        ({"run": results.failed, "tab": "Data"}, ("[Data]",)),
    ]


def _of_annotators(results: Computed) -> list[Address]:
    """The newest without a number, both by theirs, and two that are no annotator's."""
    with reading() as session:
        found = [(row.stage_id, queries.label_summary(session, row.run_id)) for row in reads.annotators()]
    said = {stage: verdict(summary, "human")[:150] for stage, summary in found if summary is not None}
    newest = next(iter(said.values()))
    return [
        ({}, (newest,)),
        *(({"annotator": stage}, (words,)) for stage, words in said.items()),
        ({"annotator": 998}, ("There is no annotator 998",)),
        ({"annotator": "x"}, (newest,)),
    ]


PLACES: Mapping[str, Callable[[Computed], list[Address]]] = {
    "compare": _of_compare, "examples": _of_examples, "run": _of_run, "annotators": _of_annotators,
}  # fmt: skip


@pytest.mark.parametrize("path", PLACES)
def test_a_page_is_as_its_address_says_in_a_fresh_browser(
    served: str, computed: Computed, browser: Browser, path: str, record_property: Callable[[str, object], None]
) -> None:
    places = PLACES[path](computed)
    for params, wanted in places:
        asked = f"{served}/{path}" + (f"?{urlencode(params, doseq=True)}" if params else "")
        with visiting(browser, served) as page:
            page.goto(asked)
            settle(page, TITLES[path])
            _comes_to_say(page, wanted)
            held = parse_qs(urlparse(page.url).query)
            assert parse_qs(urlparse(asked).query).items() <= held.items(), f"{page.url} for {asked}"
    record_property(COUNTED, f"{len(places)} addresses of {path} in a fresh browser")
    assert len(places) == 5


def _comes_to_say(page: Page, wanted: Sequence[str]) -> None:
    deadline = clocks.monotonic() + 120
    while missing := [words for words in wanted if not any(_plain(words) in one for one in _said(page))]:
        assert clocks.monotonic() < deadline, f"{page.url}: {missing} is not in {_said(page)}"
        page.wait_for_timeout(200)


def _said(page: Page) -> list[str]:
    """Titles, sentences, what widgets hold behind an equals sign, and what of them is pressed between brackets."""
    picture = page.evaluate(PICTURE)
    pressed = [f"[{words}]" for words in picture.pop("pressed")]
    return [_plain(words) for part in (*picture.values(), pressed) for words in part]


def _plain(words: str) -> str:
    """Without what keeps words together or apart unseen."""
    return " ".join(words.replace("\u2060", "").split())
