"""Votes by keys in a real browser: blind, never while typing, and there once although the web process is killed."""

import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.votes import Voter, address, asked, check, opened, vote_through
from db import queries
from tests.e2e.serving import Web, at_home, served, visiting
from tests.e2e.test_dashboard import ready
from tests.listening import without_server
from tests.workers.labeled import labeled_run, pair_row
from workers.machine.database import reading

PAIRS = 200


@dataclass
class Desk:
    """A dashboard over a run whose annotator has labeled, without workers."""

    web: Web
    run: int


@pytest.fixture(scope="module")
def desk(redis_process: str, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    home = tmp_path_factory.mktemp("votes")
    shutil.copy(sqlite_template, home / "cwpo.sqlite")
    with at_home(home, redis_process):
        run = labeled_run(PAIRS)
        with served(Web(home=home)) as web:
            yield Desk(web=web, run=run)


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Page]:
    with visiting(browser) as page:
        yield page


def held(run: int, person: str) -> dict[str, str]:
    """Pair -> vote of a person, as the database has it."""
    with reading() as session:
        return {one.pair_id: one.vote for one in queries.standing_votes(session, [run]) if one.person == person}


def test_a_pair_is_voted_on_by_keys_undone_and_left(visitor: Page, desk: Desk) -> None:
    """1 2 3 4, u, n and p; what was pressed is what is in the database, by what stood left."""
    opened(visitor, address(desk.web, desk.run, "Ada"))
    expect(visitor.get_by_text("What is 0 and why?")).to_be_visible()
    voter = Voter(visitor)
    assert [voter.vote(key) for key in "1234"] == [True] * 4
    assert [said for _, said in voter.shown] == ["A", "B", "tie", "unsure"]
    with reading() as session:
        stored = queries.newest_votes(session, desk.run, "Ada")
    other = {"a": "b", "b": "a"}
    assert [vote.vote for vote in stored] == ["unsure", "tie", other[stored[2].shown_left], stored[3].shown_left]
    visitor.locator("body").press("u")
    expect(visitor.get_by_text("and took it back")).to_be_visible()
    assert len(held(desk.run, "Ada")) == 3
    visitor.locator("body").press("p")
    expect(visitor.get_by_text("Your newest vote")).to_be_visible()
    visitor.locator("body").press("n")
    asked(visitor)
    before = visitor.get_by_text(re.compile(r"What is \d+ and why")).inner_text()
    visitor.locator("body").press("n")
    expect(visitor.get_by_text(before, exact=True)).to_have_count(0)


def test_votes_become_a_set_and_the_set_a_run(visitor: Page, desk: Desk) -> None:
    """From the first key to the queued run: nothing is typed but the name of the set, and the set says who uses it."""
    opened(visitor, address(desk.web, desk.run, "Flo"))
    voter = Voter(visitor)
    assert voter.vote("1")
    assert voter.vote("2")
    visitor.locator(".st-key-look").get_by_text("Sets and files", exact=True).click()
    ready(visitor, "Relabel")
    visitor.get_by_label("Name of the set").fill("least sure")
    visitor.get_by_role("button", name="Freeze the votes").click()
    expect(visitor.get_by_text("letters, digits", exact=False).first).to_be_visible()
    visitor.get_by_label("Name of the set").fill("least-sure")
    visitor.get_by_role("button", name="Freeze the votes").click()
    expect(visitor.get_by_text("Later votes do not change it.", exact=False)).to_be_visible()
    with reading() as session:
        (made,) = [one for one in queries.relabel_sets(session) if one.name == "least-sure"]
    assert made.labels >= 2
    visitor.get_by_text(f"Run {desk.run} again with least-sure@", exact=False).click()
    ready(visitor, "New run")
    expect(visitor.get_by_text(re.compile("You changed"))).to_be_visible()
    visitor.get_by_role("button", name="Queue 1 run", exact=False).click()
    ready(visitor, "CW · DPO · seed 0")
    run = int(parse_qs(urlparse(visitor.url).query)["run"][0])
    assert run != desk.run
    with reading() as session:
        old, new = (queries.get_run(session, one).config for one in (desk.run, run))
        assert queries.find_relabel_set(session, made.key).runs == (run,)
    assert (old["data"].pop("relabels"), new["data"].pop("relabels")) == (None, made.fingerprint)
    assert {name: value for name, value in new.items() if name != "name"} == {
        name: value for name, value in old.items() if name != "name"
    }
    visitor.goto(f"{desk.web.url}/relabel?run={desk.run}&look=Sets+and+files")
    ready(visitor, "Relabel")
    expect(visitor.get_by_text(f"run {run}", exact=True)).to_be_visible()


def test_keys_do_nothing_while_somebody_types(visitor: Page, desk: Desk) -> None:
    opened(visitor, address(desk.web, desk.run, "Typist"))
    name = visitor.get_by_label("Your name")
    name.click()
    name.press_sequentially(" 1234unp")
    visitor.wait_for_timeout(600)
    name.press("Enter")
    expect(visitor).to_have_url(re.compile("person=Typist.1234unp|person=Typist%201234unp"))
    assert held(desk.run, "Typist") == held(desk.run, "Typist 1234unp") == {}


def test_two_people_at_once_vote_on_different_pairs(browser: Browser, desk: Desk) -> None:
    contexts = [browser.new_context() for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    for page, person in zip(pages, ("Bo", "Cy"), strict=True):
        opened(page, address(desk.web, desk.run, person))
    for _ in range(2):
        assert all(Voter(page).vote("1") for page in pages)
    first, second = held(desk.run, "Bo"), held(desk.run, "Cy")
    assert (len(first), len(second)) == (2, 2)
    assert not first.keys() & second.keys()
    for context in contexts:
        context.close()


def test_every_vote_shown_as_saved_is_there_once(visitor: Page, desk: Desk) -> None:
    """Although the web process is killed in the middle of votes; benchmarks/votes.py does it with 500."""
    before = desk.web.process
    with without_server(visitor):
        voter = vote_through(visitor, desk.web, desk.run, "Ed", 10, 1, random.Random(0))
    assert desk.web.process is not before
    assert check(desk.run, "Ed", voter.shown) >= 10


def test_the_least_confident_fifty_are_three_clicks_away(visitor: Page, desk: Desk) -> None:
    """From the list of runs: Examples, and 50 on a page; the newest labeled run and the least confident come first."""
    visitor.goto(desk.web.url)
    ready(visitor, "Runs")
    visitor.get_by_test_id("stSidebarNav").get_by_role("link", name="Examples", exact=True).click()
    ready(visitor, "Examples")
    visitor.locator(".st-key-size").get_by_role("combobox").click()
    visitor.get_by_role("option", name="50", exact=True).click()
    expect(visitor.get_by_text(re.compile(rf"^1–50 of {PAIRS}"))).to_be_visible()
    rows = sorted((pair_row(number)["confidence"], number) for number in range(PAIRS))[:50]
    expect(visitor.locator('[class*="st-key-pairs-"] strong')).to_have_text(
        [f"pair {pair_row(number)['pair_id'][:8]}" for _, number in rows]
    )
    visitor.locator('[class*="st-key-pairs-"]').last.evaluate("list => list.scrollTo(0, list.scrollHeight)")
    visitor.get_by_role("button", name="Next", exact=True).click()  # in sight wherever the list stands
    expect(visitor.get_by_text(re.compile(rf"^51–100 of {PAIRS}"))).to_be_visible()
    ready(visitor, "Examples")
    expect(visitor.locator('[class*="st-key-pairs-"] strong').first).to_be_in_viewport()
    visitor.get_by_role("button", name="Previous", exact=True).click()
    expect(visitor.get_by_text(re.compile(rf"^1–50 of {PAIRS}"))).to_be_visible()


def test_a_bar_a_number_and_a_part_are_where_the_address_says(visitor: Page, desk: Desk) -> None:
    """A click on the histogram narrows C, a number jumps, the other part lists labeled pairs; all by their address."""
    visitor.goto(f"{desk.web.url}/examples?run={desk.run}")
    ready(visitor, "Examples")
    bar = visitor.locator(".st-key-histogram .barlayer .point path").nth(3)
    expect(bar).to_be_visible()
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    assert box is not None
    visitor.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(visitor).to_have_url(re.compile(r"c=0\.3&c=0\.4"))
    with reading() as session:
        inside = queries.annotations(session, desk.run, c_low=0.3, c_high=0.4).total
    expect(visitor.get_by_text(re.compile(rf"^1–10 of {inside} pairs"))).to_be_visible()
    with visitor.expect_download() as download:
        visitor.get_by_role("button", name="Export").click()
        visitor.locator(".st-key-pairs_view_jsonl").get_by_role("button").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == inside
    visitor.goto(f"{desk.web.url}/examples?run={desk.run}")
    ready(visitor, "Examples")
    number = visitor.locator(".st-key-jump_to input")
    number.fill("0.5")
    number.press("Enter")
    expect(visitor.get_by_text(re.compile(rf"^101–110 of {PAIRS}"))).to_be_visible()
    visitor.goto(visitor.url)
    expect(visitor.get_by_text(re.compile(rf"^101–110 of {PAIRS}"))).to_be_visible()
    visitor.locator(".st-key-part").get_by_text("labeled", exact=True).click()
    expect(visitor.get_by_text(re.compile(r"human label [AB]")).first).to_be_visible()
    assert parse_qs(urlparse(visitor.url).query)["part"] == ["labeled"]
