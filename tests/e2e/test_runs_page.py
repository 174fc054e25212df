"""The list of runs in a browser: sorted, grouped, ticked, kept as a view, left and found again.

No worker runs here: the results are written through the repositories, as a worker would.
"""

import functools
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect
from sqlalchemy import delete

from app.components.frame.address import STATUSES, RunsView
from app.components.runs import listed
from benchmarks import scale
from cwpo.config.run import RunConfig
from db.models import SavedView
from tests import clocks
from tests.amounts import amount
from tests.e2e.again import take_effect
from tests.e2e.serving import Web, at_home, served, visiting
from tests.e2e.test_dashboard import ready
from workers import api
from workers.machine.database import engines, writing

Found = TypeVar("Found")
LINE, TICK, BUTTON, GRA = 31, 17, 62, 262  # px of a line of the grid, and from its left edge
STATES = amount("STATES", 10)


@pytest.fixture(scope="module")
def desk(redis_process: str, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard with three finished settings of two seeds each."""
    home = tmp_path_factory.mktemp("runs")
    shutil.copy(sqlite_template, home / "cwpo.sqlite")
    with pytest.MonkeyPatch.context() as patch, at_home(home, redis_process):
        for name, number in {"PROMPTS": 60, "STEPS": 8, "OTHER_PAIRS": 50}.items():
            patch.setattr(scale, name, number)
        for method in ("weak", "cw", "human"):
            api.submit_sweep([RunConfig(seed=seed, method=method, name=f"first {method}") for seed in (0, 1)], "sweep")
        scale.Filler(engines(), 40).fill()
        with served(Web(home=home)) as web:
            yield web.url


@pytest.fixture
def page(browser: Browser, desk: str) -> Iterator[Page]:
    """Someone in a session of their own, without saved views, who has opened no page yet."""
    with writing() as session:
        session.execute(delete(SavedView))
    with visiting(browser) as page:
        yield page


@pytest.fixture
def at_list(page: Page, desk: str) -> Page:
    """The same at the list of runs."""
    page.goto(desk)
    ready(page, "Runs")
    return page


def grid(page: Page) -> list[list[str]]:
    """The grid as a reader of screens finds it: headings, then lines. Nothing while one takes the place of another."""
    return page.evaluate(
        """() => { const grids = document.querySelectorAll('[data-stale="false"] [data-testid="data-grid-canvas"]');
            return grids.length !== 1 ? [] : [...grids[0].querySelectorAll('tr')].map(
                row => [...row.children].map(cell => cell.textContent)); }"""
    )


# What stands where a grid does not come: whether the script runs, each grid with its staleness and size, the text.
SCENE = """() => ({
    script: document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState,
    grids: [...document.querySelectorAll('[data-testid="stDataFrame"]')].map(grid => [
        grid.closest('[data-stale]')?.dataset.stale, grid.clientWidth, grid.clientHeight,
        grid.querySelectorAll('[data-testid="data-grid-canvas"] tr').length]),
    text: document.querySelector('[data-testid="stMain"]')?.innerText.slice(0, 1500) })"""


def until(page: Page, there: Callable[[], Found], seconds: float = 120) -> Found:
    """Wait until the page is so: it may be drawing still."""
    deadline = clocks.monotonic() + seconds
    while not (found := there()):
        assert clocks.monotonic() < deadline, (grid(page), page.evaluate(SCENE))
        page.wait_for_timeout(150)
    return found


def column(page: Page, label: str) -> list[str]:
    rows = until(page, lambda: grid(page))
    place = next(place for place, heading in enumerate(rows[0]) if heading.rstrip(" ↑↓") == label)
    return [row[place] for row in rows[1:]]


def click(page: Page, across: float, line: int) -> None:
    until(page, lambda: len(grid(page)) > line)
    page.get_by_test_id("stDataFrame").click(position={"x": across, "y": line * LINE + LINE / 2})


def tick(page: Page, *lines: int, already: int = 0) -> None:
    for count, line in enumerate(lines, start=already + 1):
        said = page.get_by_text(f"{2 * count} runs ticked")
        take_effect(page, functools.partial(click, page, TICK, line), said.is_visible)
        settled(page)


class Answers:
    """What the server says to a page, kept back for a while: a slow way between them."""

    def __init__(self, page: Page) -> None:
        self.held: list[str | bytes] | None = None
        page.route_web_socket(re.compile("_stcore/stream"), self._connect)

    def _connect(self, socket: WebSocketRoute) -> None:
        self.socket = socket
        socket.connect_to_server().on_message(self._said)

    def _said(self, message: str | bytes) -> None:
        if self.held is None:
            self.socket.send(message)
        else:
            self.held.append(message)

    def hold(self) -> None:
        self.held = []

    def release(self, before: bytes | None = None) -> None:
        """All of it, and what comes from now on; or of what is held all before the one that has this in it."""
        held, self.held = self.held or [], None
        for place, message in enumerate(held):
            if before is not None and before in message:
                self.held = held[place:]
                return
            self.socket.send(message)


# How many lists of runs stood below each other at once, at most, from now on.
MOST_GRIDS = """() => { window.grids = 0; const look = () => {
  const seen = [...document.querySelectorAll('[data-testid=stDataFrame]')].filter(at => at.checkVisibility());
  window.grids = Math.max(window.grids, seen.length); requestAnimationFrame(look); }; look(); }"""


def settled(page: Page) -> None:
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    page.wait_for_timeout(300)


def test_a_heading_orders_the_whole_list_and_opens_nothing(at_list: Page, desk: str) -> None:
    page = at_list
    for address, ordered in (("sort=-gra", True), ("sort=gra", False)):
        click(page, GRA, 0)
        expect(page).to_have_url(f"{desk}/?{address}")
        arrow = "↓" if ordered else "↑"
        until(page, lambda arrow=arrow: any(f"GRA, % {arrow}" in row for row in grid(page)[:1]))
        figures = [float(figure) for figure in column(page, "GRA, %")]
        assert figures == sorted(figures, reverse=ordered)
        settled(page)
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()


def slowed(page: Page) -> None:
    """The browser of a busy machine."""
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 8})


def addresses(page: Page, desk: str) -> list[str]:
    """What the address of the list says, one after the other, from now on."""
    found: list[str] = []
    page.on("framenavigated", lambda frame: found.append(frame.url.removeprefix(f"{desk}/").removeprefix("?")))
    return found


def test_a_list_that_is_ordered_while_the_page_looks_for_news_stands_alone(page: Page, desk: str) -> None:
    """Two parts of the page are drawn in turn, and what they draw may wait for the browser together. Each click on a
    heading counts, and counts once."""
    page.add_init_script(
        "const every = setInterval; setInterval = (what, ms, ...more) => every(what, ms / 10, ...more)"
    )
    page.goto(desk)
    ready(page, "Runs")
    slowed(page)
    orders = addresses(page, desk)
    for arrow in ("↓", "↑") * 2:
        click(page, GRA, 0)
        until(page, lambda arrow=arrow: any(f"GRA, % {arrow}" in row for row in grid(page)[:1]))
    assert orders == ["sort=-gra", "sort=gra"] * 2


@pytest.mark.parametrize("known", [True, False])
def test_a_heading_counts_once_where_the_answer_is_late(browser: Browser, desk: str, known: bool) -> None:
    """The browser shows the old grid and the old list to sort by still, whether it knows the new address or not: when
    it asks for news, it says again what is chosen there."""
    with visiting(browser) as page:
        answers = Answers(page)
        page.goto(desk)
        ready(page, "Runs")
        settled(page)
        orders = addresses(page, desk)
        for order, arrow in (("-gra", "↓"), ("gra", "↑")):
            answers.hold()
            click(page, GRA, 0)
            until(page, lambda: any(b"runs_grid" in message for message in answers.held or []))
            if known:
                answers.release(b"runs_grid")
                expect(page).to_have_url(f"{desk}/?sort={order}")
            page.wait_for_timeout(10_000)  # twice the time between two looks for news, and more
            answers.release()
            until(page, lambda arrow=arrow: any(f"GRA, % {arrow}" in row for row in grid(page)[:1]))
            settled(page)
        page.wait_for_timeout(5_000)  # the next look for news
        assert orders == ["sort=-gra", "sort=gra"]


def test_a_list_to_choose_from_keeps_the_keyboard(at_list: Page) -> None:
    page = at_list
    sort = page.get_by_role("combobox", name="Sort by")
    sort.press("ArrowDown")
    page.get_by_role("option", name="GRA, %").click()
    expect(page).to_have_url(re.compile("sort=-gra"))
    until(page, lambda: any("GRA, % ↓" in row for row in grid(page)[:1]))
    settled(page)
    expect(sort).to_be_focused()
    expect(sort).to_have_value("Sort by GRA, %")


# Each place at which a button of the page stood, from its first frame on.
PLACES = """() => { window.places = []; const look = () => {
  const at = document.querySelector('.st-key-runs_views [data-testid=stIconMaterial]')?.getBoundingClientRect();
  const place = at && JSON.stringify([at.x, at.y].map(Math.round));
  if (place && window.places.at(-1) !== place) window.places.push(place);
  requestAnimationFrame(look); }; look(); }"""


def test_what_is_drawn_stands_where_it_stays(page: Page, desk: str) -> None:
    """Also in a slow browser: a page that moves takes what is aimed at away from under the click."""
    page.add_init_script(f"({PLACES})()")
    slowed(page)
    page.goto(desk)
    ready(page, "Runs")
    settled(page)
    page.wait_for_timeout(5_000)
    assert len(page.evaluate("window.places")) == 1, page.evaluate("window.places")


def test_what_comes_up_from_a_button_stays_there_where_its_arrow_was_clicked(at_list: Page) -> None:
    page = at_list
    arrow = page.locator(".st-key-runs_views").get_by_test_id("stIconMaterial")
    arrow.wait_for()
    settled(page)
    slowed(page)
    place = arrow.bounding_box()
    assert place is not None
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.wait_for_timeout(1_500)
    expect(page.get_by_test_id("stPopoverBody")).to_be_visible()


def test_ticks_survive_opening_a_line_searching_sorting_and_a_reload(at_list: Page) -> None:
    page = at_list
    grid_at = page.get_by_test_id("stDataFrame")
    until(page, lambda: grid(page))
    settled(page)
    place = grid_at.bounding_box()
    tick(page, 1)
    expect(page.get_by_role("button", name="Pin", exact=True)).to_be_visible()
    assert grid_at.bounding_box() == place  # the next click finds the line that it is for
    tick(page, 2, already=1)
    said = page.get_by_text("4 runs ticked")
    expect(said).to_be_visible()
    page.evaluate(MOST_GRIDS)
    click(page, BUTTON, 1)
    expect(page).to_have_url(re.compile("open="))
    until(page, lambda: len(grid(page)) == 6)
    assert page.evaluate("window.grids") == 1
    expect(said).to_be_visible()
    settled(page)
    click(page, GRA, 0)
    expect(page).to_have_url(re.compile("sort=-gra"))
    expect(said).to_be_visible()
    page.reload()
    ready(page, "Runs")
    expect(said).to_be_visible()
    page.get_by_placeholder("name, model, sweep").fill("no such run")
    expect(page.get_by_text("No run fits these filters.")).to_be_visible()
    page.get_by_role("button", name="Show all runs").click()
    expect(said).to_be_visible()
    expect(page.get_by_role("button", name="Compare 4 runs")).to_be_enabled()
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(said).to_have_count(0)
    expect(page).not_to_have_url(re.compile("ticked"))


def test_clicks_that_come_before_the_answer_to_the_first_one_all_count(browser: Browser, desk: str) -> None:
    with visiting(browser) as page:
        answers = Answers(page)
        page.goto(desk)
        ready(page, "Runs")
        settled(page)
        answers.hold()
        for line in (1, 3):
            click(page, TICK, line)
            page.wait_for_timeout(1_500)  # the server has done that, and the browser does not know
        answers.release()
        expect(page.get_by_text("4 runs ticked")).to_be_visible()
        expect(page).to_have_url(re.compile("ticked=1-2%2C5-6"))
        settled(page)
        answers.hold()
        page.get_by_role("button", name="Clear", exact=True).click()
        page.wait_for_timeout(1_500)
        page.get_by_role("combobox", name="Sort by").click()
        page.get_by_role("option", name="GRA, %").click()
        page.wait_for_timeout(1_500)
        answers.release()
        expect(page).to_have_url(re.compile("sort="))
        expect(page).not_to_have_url(re.compile("ticked"))


def test_a_list_that_its_filters_made_empty_is_whole_again_by_one_click(page: Page, desk: str) -> None:
    page.goto(f"{desk}/?q=no+such+run&status=done")
    expect(page.get_by_text("No run fits these filters.")).to_be_visible()
    page.get_by_role("button", name="Show all runs").click()
    expect(page).to_have_url(f"{desk}/")
    until(page, lambda: len(grid(page)) == 4)
    expect(page.get_by_role("textbox", name="Search")).to_have_value("")


def test_an_idle_page_shows_a_run_that_was_queued_elsewhere(at_list: Page) -> None:
    page = at_list
    expect(page.get_by_text("3 settings")).to_be_visible()
    tick(page, 1)
    made = api.submit_run(RunConfig(seed=9, method="oracle"))
    try:
        expect(page.get_by_text(re.compile("4 settings.*1 queued"))).to_be_visible()
        expect(page.get_by_text("2 runs ticked")).to_be_visible()
    finally:
        api.cancel_run(made.run_id)
        api.delete_run(made.run_id)
    expect(page.get_by_text("3 settings")).to_be_visible()


def test_a_file_that_is_asked_for_while_the_page_is_redrawn_comes(browser: Browser, desk: str) -> None:
    """The browser shows the page before still, and asks for what that one offered."""
    with visiting(browser) as page:
        answers = Answers(page)
        page.goto(desk)
        ready(page, "Runs")
        settled(page)
        page.get_by_role("button", name="Export", exact=True).click()
        saves = page.get_by_role("button", name="JSON", exact=True)
        expect(saves).to_be_visible()
        settled(page)
        answers.hold()
        made = api.submit_run(RunConfig(seed=9, method="oracle"))
        try:
            until(page, lambda: any(b"4 settings" in message for message in answers.held or []))
            page.wait_for_timeout(1_500)  # the server has drawn all of it
            with page.expect_download() as waiting:
                saves.click()
                page.wait_for_timeout(500)
                answers.release()
            assert waiting.value.suggested_filename == "runs.json"
        finally:
            api.cancel_run(made.run_id)
            api.delete_run(made.run_id)


def test_back_from_a_run_is_the_same_list(page: Page, desk: str) -> None:
    address = f"{desk}/?{urlencode({'sort': 'gra', 'group': 'none', 'columns': 'gra,seed', 'method': 'CW'})}"
    page.goto(address)
    ready(page, "Runs")
    until(page, lambda: len(grid(page)) == 3)
    before = grid(page)
    settled(page)
    click(page, BUTTON, 1)
    ready(page, "CW · DPO")
    page.go_back()
    ready(page, "Runs")
    settled(page)
    expect(page).to_have_url(address)
    until(page, lambda: grid(page) == before)
    page.go_forward()
    ready(page, "CW · DPO")


def some_view(pick: random.Random) -> RunsView:
    """A list as somebody may have left it."""
    fields = [
        "align.beta",
        "data.label_fraction",
        "evaluation:mean_tokens",
        "seconds",
        "labels:mean_confidence",
        "seed",
    ]
    sort = pick.choice(["", "gra", "kl", "name", "updated", *fields])
    return RunsView(
        q=pick.choice(["", "", "first", "cw"]),
        status=tuple(pick.sample(STATUSES, pick.choice([0, 0, 1, 4]))),
        method=tuple(pick.sample(["cw", "weak", "human"], pick.choice([0, 0, 2]))),
        sort=sort and pick.choice(["", "-"]) + sort,
        group=pick.choice(["", "none", "method", "align.beta"]),
        columns=tuple(pick.sample(["gra", "status", "runs", *fields], pick.choice([0, 3, 5]))),
        ticked=tuple(sorted(pick.sample(range(1, 7), pick.choice([0, 0, 2])))),
    )


def seen_differently(browser: Browser, desk: str, view: RunsView) -> str:
    """Open the address in a fresh browser: what is not as the address says, if anything is."""
    address = f"{desk}/" + (f"?{urlencode(view.to_params(), doseq=True)}" if view.to_params() else "")
    shown = listed.read(view)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    try:
        page.goto(address)
        ready(page, "Runs")
        settled(page)
        if not shown.lines:
            return "" if page.get_by_text("No run fits these filters.").is_visible() else "not empty"
        page.get_by_test_id("stDataFrame").wait_for()
        until(page, lambda: len(grid(page)) == len(shown.lines) + 1)
        names = grid(page)
        wanted = [one.cells.get("GRA, %", "") for one in shown.lines]
        found = column(page, "GRA, %") if any(one.key == "gra" for one in shown.columns) else wanted
        headings = [heading.rstrip(" ↑↓") for heading in names[0] if heading.strip()]
        labels = [one.label for one in shown.columns]
        if found != wanted or headings != labels[: len(headings)]:
            return f"{found} for {wanted}, {headings} for {labels}"
        return "" if page.url == address else page.url
    finally:
        context.close()


def test_lists_are_as_their_addresses_say_in_a_fresh_browser(desk: str, browser: Browser) -> None:
    pick = random.Random(4)
    different = {view: seen_differently(browser, desk, view) for view in (some_view(pick) for _ in range(STATES))}
    assert {view: said for view, said in different.items() if said} == {}


def test_a_view_is_saved_opened_at_start_and_deleted(page: Page, desk: str, browser: Browser) -> None:
    address = urlencode({"sort": "-align.beta", "group": "method", "columns": "gra,align.beta,evaluation:mean_tokens"})
    page.goto(f"{desk}/?{address}")
    ready(page, "Runs")
    expect(page.get_by_text("3 values")).to_be_visible()
    page.get_by_test_id("stPopover").get_by_role("button", name="Views").click()
    page.get_by_label("Save what is shown as").fill("By method")
    page.get_by_role("button", name="Save view").click()
    expect(page).to_have_url(re.compile("view="))
    page.get_by_role("button", name="Open first").click()
    expect(page.get_by_role("button", name="Do not open first")).to_be_visible()
    context = browser.new_context()
    other = context.new_page()
    other.goto(desk)
    ready(other, "Runs")
    expect(other.get_by_text("3 values")).to_be_visible()
    until(page, lambda: len(grid(page)) == len(grid(other)) == 4)
    assert grid(other) == grid(page)
    context.close()
    page.get_by_role("button", name="All runs").click()
    expect(page.get_by_text("3 settings")).to_be_visible()
    kept = page.get_by_role("button", name="By method · opens first")
    kept.click()
    expect(page.get_by_text("3 values")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("By method is deleted.")).to_be_visible()
    expect(kept).to_have_count(0)
    page.get_by_role("button", name="Put it back").click()
    expect(kept).to_be_visible()
    expect(page).to_have_url(re.compile("view="))
