"""What once went wrong for a new user, tried in a browser: words without a meaning, runs that look alike, filters that
are lost.

No worker runs here: results are written through the repositories, as a worker would.
"""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlparse

import pytest
from playwright.sync_api import Browser, Page, expect

from app.components.form.declared import methods_of, pairs_of
from app.components.frame.address import ExamplesView
from app.components.frame.formats import by_ends
from app.components.runs.columns import BUILT_IN, width_for
from app.components.runs.picker import run_name
from app.components.runs.table import OPEN_WIDTH
from benchmarks import scale
from cwpo.config import catalog
from cwpo.config.run import RunConfig, expand
from db import queries
from db.records import ClaimedStage, RunFilters, RunRow
from db.repositories import metrics, stages
from tests import clocks
from tests.e2e.again import pick, take_effect
from tests.e2e.by_hand import choose, widget, write
from tests.e2e.serving import Web, at_home, served, visiting
from tests.e2e.test_dashboard import go, ready
from tests.e2e.test_journeys import settled
from tests.e2e.test_runs_page import Answers, column, grid, until
from tests.workers.labeled import labeled_run, pair_row
from workers import api
from workers.machine.database import engines, reading, writing
from workers.queue import lease

PAIRS, LOW, HIGH = 60, 0.2, 0.6
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "steady": {"method": "cw"},
    "bold": {"method": "cw", "align": {"beta": 0.1}},
    "weak": {"method": "weak"},
    "surest": {"method": "top:30"},
}
SMALL = {"PROMPTS": 60, "STEPS": 8, "OTHER_PAIRS": 50}
CURVE = ".st-key-curve_align_loss .js-plotly-plot"
MARGINS = ".st-key-curve_align_rewards-margins .js-plotly-plot"
# Of a chart the steps that it shows, none while it is drawn, and how many points it has.
STEPS = "at => (at._fullLayout?.xaxis?.range ?? []).map(step => Math.round(100 * step) / 100)"
POINTS = "at => Math.max(0, ...(at._fullData ?? []).map(one => one._length))"
WIDE, HALF, PHONE = 1440, 1024, 390  # px
TICKS, PADDING = 33, 16  # px: the column of ticks, and what is left and right of the words of a cell
# How wide words are in the letters of the list, px.
SAID = """words => { const brush = document.querySelector('[data-testid=data-grid-canvas]').getContext('2d');
  return brush.measureText(words).width; }"""
COST = '[data-testid="stElementContainer"]:has(h4:has-text("What this will cost"))'
# Of each chip of a widget whether it lies within it.
WITHIN = """at => { const all = at.getBoundingClientRect(); return [...at.querySelectorAll('[data-tag]')].map(chip => {
  const box = chip.getBoundingClientRect();
  return box.width > 0 && box.left > all.left - 1 && box.right < all.right + 1 && box.top > all.top - 1
    && box.bottom < all.bottom + 1; }); }"""


@dataclass(frozen=True)
class Desk:
    """What is on the dashboard: two runs of each setting, one run that goes on, and two whose annotator has labeled."""

    url: str
    runs: Mapping[str, tuple[int, ...]]  # by the name of their setting
    claim: ClaimedStage  # the alignment of the run that goes on
    live: int
    labeled: tuple[int, int]

    def row(self, run: int) -> RunRow:
        with reading() as session:
            return queries.list_runs(session, filters=RunFilters(ids=(run,)), limit=1).rows[0]


@pytest.fixture(scope="module")
def web(redis_process: str, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The dashboard of this file, with nothing in it; this process sees the same database."""
    home = tmp_path_factory.mktemp("points")
    shutil.copy(sqlite_template, home / "cwpo.sqlite")
    with at_home(home, redis_process), served(Web(home=home)) as web:
        yield web


@pytest.fixture(scope="module")
def full(web: Web) -> Desk:
    """The same dashboard when it has runs."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, number in SMALL.items():
            patch.setattr(scale, name, number)
        for name, over in SETTINGS.items():
            configs = expand({**over, "seed": [0, 1], "name": name})
            made[name] = tuple(one.run_id for one in api.submit_sweep(configs, "four settings"))
        scale.Filler(engines(), 40).fill()
    first, second = (_labeled(seed) for seed in (7, 8))
    live = api.submit_run(RunConfig(name="going on", method="cw", objective="ipo", seed=0)).run_id
    worker = lease.register_worker("by hand", "cpu")
    with writing() as session:
        claim = stages.claim(session, worker, "cpu", 3_600)
    assert claim is not None
    assert claim.kind == "align"
    _trained(claim, range(8))
    return Desk(url=web.url, runs=made, claim=claim, live=live, labeled=(first, second))


def _labeled(seed: int) -> int:
    """A run that was stopped when its annotator had labeled."""
    run = labeled_run(PAIRS, objective="rdpo", seed=seed)
    api.cancel_run(run)
    return run


def _trained(claim: ClaimedStage, steps: range, curve: str = "loss") -> None:
    """So many steps more of a training."""
    with writing() as session:
        metrics.add(session, claim, [(step, curve, 0.7 - 0.01 * step) for step in steps])


@pytest.fixture
def page(browser: Browser, full: Desk) -> Iterator[Page]:
    """Someone who has opened no page yet."""
    with visiting(browser) as page:
        yield page


def seen(page: Page, there: Callable[[], Any], seconds: float = 120) -> Any:
    """Wait until the page is so; what it is then."""
    deadline = clocks.monotonic() + seconds
    while not (found := there()):
        assert clocks.monotonic() < deadline
        page.wait_for_timeout(150)
    return found


def cells(page: Page, names: Sequence[str]) -> list[tuple[str, ...]]:
    """What stands under these headings, line by line; nothing while the list is drawn."""
    rows = grid(page)
    headings = [heading.rstrip(" ↑↓") for heading in rows[0]] if rows else []
    if not set(names) <= set(headings):
        return []
    return [tuple(row[headings.index(name)] for name in names) for row in rows[1:]]


def helped(page: Page, key: str, words: str) -> None:
    """What the question mark beside it says."""
    mark = page.locator(key).get_by_test_id("stTooltipHoverTarget").first
    told = page.get_by_test_id("stTooltipContent").filter(has_text=words).first

    def point() -> None:
        page.mouse.move(2, 2)
        mark.hover()

    take_effect(page, point, told.is_visible)


def test_the_first_words_say_what_this_is_and_what_is_to_be_chosen(stranger: Page, web: Web) -> None:
    """On an installation without runs, up to the form; nothing is reused where nothing was computed."""
    page = stranger
    page.goto(web.url)
    ready(page, "Runs")
    for words in ("every pair weighted by its C", "gold reward accuracy", "Your runs will be listed here"):
        expect(page.get_by_text(words).first).to_be_visible()
    page.get_by_text("Set up the first comparison").click()
    ready(page, "New run")
    helped(page, ".st-key-new_run-methods", catalog.METHODS["cw"].says)
    reused = page.get_by_test_id("stMetric").filter(has_text="stages reused")
    expect(reused.get_by_test_id("stMetricValue")).to_have_text("0")
    helped(page, COST, "Results that are there already")


@pytest.mark.parametrize("width", [WIDE, HALF, PHONE])
def test_what_was_chosen_stays_in_its_field_however_much_it_is(browser: Browser, web: Web, width: int) -> None:
    every = [row.label for row in methods_of("sandbox").values()]
    with visiting(browser, viewport={"width": width, "height": 900}) as page:
        page.goto(f"{web.url}/new_run?{urlencode({'methods': every, 'seeds': 'none yet'}, doseq=True)}")
        ready(page, "New run")
        chips = widget(page, "methods").get_by_test_id("stMultiSelect")
        assert seen(page, lambda: len(found := chips.evaluate(WITHIN)) == len(every) and found) == [True] * len(every)


def test_lines_of_one_method_are_told_apart(page: Page, full: Desk) -> None:
    page.goto(full.url)
    ready(page, "Runs")
    until(page, lambda: len(grid(page)) == len(SETTINGS) + 3)
    wanted = ("setting", "name", "runs", "status")
    lines = {setting: tuple(rest) for setting, *rest in seen(page, lambda: cells(page, wanted))}
    assert lines["CW · DPO · β 0.5"] == ("steady", by_ends(full.runs["steady"]), "done")
    assert lines["CW · DPO · β 0.1"] == ("bold", by_ends(full.runs["bold"]), "done")
    live = full.row(full.live)
    assert live.stages_done < live.stages
    assert lines["CW · IPO"] == ("going on", str(full.live), f"running {live.stages_done}/{live.stages}")
    most = f"running {live.stages}/{live.stages}"
    assert page.evaluate(SAID, most) <= BUILT_IN["status"].width - PADDING  # it is seen whole


def test_on_half_a_screen_lines_show_what_they_differ_in(browser: Browser, full: Desk) -> None:
    """KL, models, data and name, each of its whole width, beside a run of other models and one of fewer labels."""
    other = list(pairs_of("sandbox").values())[1]
    models = {"policy": other.policy, "annotator": other.annotator}
    more = api.submit_sweep([RunConfig(seed=3, model=models), RunConfig(seed=3, data={"label_fraction": 0.2})], "more")
    try:
        with visiting(browser, viewport={"width": HALF, "height": 768}) as page:
            page.goto(full.url)
            ready(page, "Runs")
            until(page, lambda: len(grid(page)) == len(SETTINGS) + 5)
            headings = seen(page, lambda: [word for at in grid(page)[:1] for one in at if (word := one.rstrip(" ↑↓"))])
            width, right = page.get_by_test_id("stDataFrame").evaluate("at => at.clientWidth"), TICKS + OPEN_WIDTH
            by_label = {one.label: one for one in BUILT_IN.values()}
            wide = {name: width_for(by_label[name], column(page, name)) for name in headings}
            whole = [name for name in headings if (right := right + wide[name]) <= width]
            assert {"status", "95 %", "KL", "models", "data", "name"} <= set(whole)
    finally:
        for one in more:
            api.cancel_run(one.run_id)
            api.delete_run(one.run_id)


def test_what_is_chosen_on_one_page_filters_no_other(page: Page, full: Desk) -> None:
    """The dataset of a form no list of runs, a search for runs no pairs, a search for a text no runs."""
    page.goto(f"{full.url}/new_run")
    ready(page, "New run")
    write(page, "seeds", "none yet")
    choose(page, "dataset", catalog.DATASETS["hh-harmless"].label)
    settled(page, {"seeds": "none yet", "dataset": "hh-harmless"})
    go(page, "Runs", "Runs")
    assert urlparse(page.url).query == ""
    until(page, lambda: len(grid(page)) == len(SETTINGS) + 3)
    page.get_by_role("textbox", name="Search").fill("bold")
    expect(page).to_have_url(re.compile("q=bold"))
    until(page, lambda: len(grid(page)) == 2)
    go(page, "Examples", "Examples")
    expect(page.get_by_text(re.compile(r"^1–10 of \d+ pairs$"))).to_be_visible()
    search = page.get_by_role("textbox", name="Search")
    expect(search).to_have_value("")
    assert "bold" not in page.url
    search.fill("why")
    search.press("Enter")
    expect(page).to_have_url(re.compile("text=why"))
    go(page, "Runs", "Runs")
    expect(page.get_by_role("textbox", name="Search")).to_have_value("bold")  # as it was left
    assert "why" not in page.url


def test_another_run_keeps_the_filters_and_a_link_what_is_shown(page: Page, full: Desk) -> None:
    """Of the pairs between two confidences, the most confident first, with a text that all of them have."""
    first, second = full.labeled
    rows = sorted((pair_row(number) for number in range(PAIRS)), key=lambda row: -row["confidence"])
    inside = [row["pair_id"] for row in rows if LOW <= row["confidence"] <= HIGH]
    view = ExamplesView(run=first, low=LOW, high=HIGH, order="highest", q="why")
    page.goto(f"{full.url}/examples?{urlencode(view.to_params(), doseq=True)}")
    ready(page, "Examples")
    page.get_by_role("button", name="Count them").click()
    expect(page.get_by_text(f"{len(inside)} pairs with this text of {len(inside)}")).to_be_visible()
    pick(page.get_by_role("combobox", name="Run"), run_name(full.row(second)))
    expect(page).to_have_url(re.compile(rf"run={second}\b"))
    ready(page, "Examples")
    assert ExamplesView.from_params(parse_qs(urlparse(page.url).query)) == ExamplesView(
        run=second, low=LOW, high=HIGH, order="highest", q="why"
    )
    expect(page.get_by_role("combobox", name="Order")).to_have_value("Most confident")
    expect(page.get_by_role("textbox", name="Search")).to_have_value("why")
    titles = page.locator('[class*="st-key-pairs-"] strong')
    expect(titles).to_have_text([f"pair {pair[:8]}" for pair in inside[:10]])
    page.get_by_text("Show human labels", exact=True).click()
    expect(page).to_have_url(re.compile("human=true"))
    link = page.locator('[class*="st-key-pairs-"] a[href*="pair="]').first
    expect(link).to_have_attribute("href", re.compile("human=true"))
    page.goto(urljoin(f"{full.url}/", link.get_attribute("href") or ""))
    ready(page, "Example")
    expect(page.get_by_text(re.compile("human chose [AB]")).first).to_be_visible()


def test_a_curve_that_was_zoomed_stays_so_while_points_come_in(page: Page, full: Desk) -> None:
    """Of a run that goes on, after a reload too."""
    page.goto(f"{full.url}/run?run={full.live}")
    ready(page, "CW · IPO")
    place, field = page.locator(f"{CURVE} .nsewdrag").first, page.get_by_label("Steps", exact=True)

    def shown(chart: str) -> list[Any]:
        """Steps, and how many points; nothing while there is none, or the one before it too."""
        found: list[Any] = page.locator(chart).evaluate_all(f"all => all.map(at => [({STEPS})(at), ({POINTS})(at)])")
        return found[0] if len(found) == 1 else [[], 0]

    seen(page, lambda: shown(CURVE)[1] == 8)

    def drag() -> None:
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2, steps=5)
        page.mouse.up()

    take_effect(page, drag, lambda: field.input_value() != "")
    first, last = (int(step) for step in field.input_value().split("-"))
    assert 0 < first < last < 7

    def near() -> bool:
        """Alone: what was drawn before is gone."""
        return shown(CURVE) == [[first, last], last - first + 1]

    seen(page, near)
    _trained(full.claim, range(8, 24), "rewards/margins")  # drawn whole, because none of it was dragged over
    _trained(full.claim, range(8, 24))
    seen(page, lambda: shown(MARGINS)[1] == 16)
    seen(page, near)
    page.goto(page.url)
    ready(page, "CW · IPO")
    seen(page, near)
    page.get_by_role("button", name="All steps").click()
    expect(field).to_have_value("")
    seen(page, lambda: shown(CURVE)[1] == 24)


def test_all_steps_are_shown_for_good_where_the_answer_is_late(browser: Browser, full: Desk) -> None:
    """The browser asks for news, and says with it what its field shows still."""
    with visiting(browser) as page:
        answers = Answers(page)
        page.goto(f"{full.url}/run?run={full.live}&curve_steps=2-5")
        ready(page, "CW · IPO")
        field = page.get_by_label("Steps", exact=True)
        expect(field).to_have_value("2-5")
        answers.hold()
        page.get_by_role("button", name="All steps").click()
        page.wait_for_timeout(7_000)  # three looks for news
        answers.release()
        expect(field).to_have_value("")
        page.wait_for_timeout(5_000)
        expect(field).to_have_value("")
        assert "curve_steps" not in page.url
