"""What once went wrong for a new user, tried in a browser: runs that look alike, errors that come late, filters that
are lost, words without a meaning, a comparison without CW; and what is watched while it goes on.

No worker runs here: results are written through the repositories, as a worker would.
"""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlparse

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import update

from app.components.form.declared import OTHER_MODELS, methods_of
from app.components.frame.address import ExamplesView, compact
from app.components.runs import columns
from app.components.runs.picker import run_name
from benchmarks import scale
from cwpo.config import catalog
from cwpo.config.run import RunConfig, expand
from db import queries
from db.engine import now
from db.models import Chat
from db.queries.people import chats as chat_rows
from db.records import ClaimedStage, RunFilters, RunRow
from db.records.chats import TurnRow
from db.repositories import metrics, stages
from db.repositories.people import chats
from tests import clocks
from tests.e2e.again import pick, take_effect
from tests.e2e.by_hand import widget, write
from tests.e2e.serving import Web, at_home, served, visiting
from tests.e2e.test_dashboard import drawn, ready
from tests.e2e.test_runs_page import GRA, LINE, grid, until
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
COST = '[data-testid="stElementContainer"]:has(h4:has-text("What this will cost"))'
# Of each chip of a widget whether it lies within it.
WITHIN = """at => { const all = at.getBoundingClientRect(); return [...at.querySelectorAll('[data-tag]')].map(chip => {
  const box = chip.getBoundingClientRect();
  return box.width > 0 && box.left > all.left - 1 && box.right < all.right + 1 && box.top > all.top - 1
    && box.bottom < all.bottom + 1; }); }"""
# The range of steps that a curve shows, and of how many points it is made.
CURVE = """() => { const at = document.querySelector('.st-key-curve_align_loss .js-plotly-plot');
  return at?._fullLayout?.xaxis && at.data?.length ? [at._fullLayout.xaxis.range, at.data[0].x.length] : null; }"""


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


def _trained(claim: ClaimedStage, steps: range) -> None:
    """So many steps more of a training."""
    with writing() as session:
        metrics.add(session, claim, [(step, "loss", 0.7 - 0.01 * step) for step in steps])


@pytest.fixture
def page(browser: Browser, full: Desk) -> Iterator[Page]:
    """Someone who has opened no page yet."""
    with visiting(browser, full.url) as page:
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
    some = [row.label for row in methods_of("sandbox").values()][:9]
    page.goto(f"{web.url}/new_run?{urlencode({'methods': some, 'seeds': 'none yet'}, doseq=True)}")
    ready(page, "New run")
    chips = widget(page, "methods").get_by_test_id("stMultiSelect")
    assert seen(page, lambda: len(found := chips.evaluate(WITHIN)) == len(some) and found) == [True] * len(some)


def test_lines_of_one_method_are_told_apart_and_any_field_is_a_column(page: Page, full: Desk) -> None:
    page.goto(full.url)
    ready(page, "Runs")
    until(page, lambda: len(grid(page)) == len(SETTINGS) + 3)
    wanted = ("setting", "name", "runs", "status")
    lines = {setting: tuple(rest) for setting, *rest in seen(page, lambda: cells(page, wanted))}
    assert lines["CW · DPO · β 0.5"] == ("steady", compact(full.runs["steady"]), "done")
    assert lines["CW · DPO · β 0.1"] == ("bold", compact(full.runs["bold"]), "done")
    live = full.row(full.live)
    assert live.stages_done < live.stages
    assert lines["CW · IPO"] == ("going on", str(full.live), f"running {live.stages_done}/{live.stages}")

    told_of_gra = page.get_by_test_id("stDataFrameTooltipContent").filter(has_text="how often the gold reward")

    def point() -> None:
        page.mouse.move(2, 2)
        page.get_by_test_id("stDataFrame").hover(position={"x": GRA, "y": LINE / 2})

    take_effect(page, point, told_of_gra.is_visible)
    page.locator(".st-key-runs_columns_folded button").first.click()
    field = page.get_by_role("combobox", name="Columns, in their order")
    option = page.get_by_role("option", name=columns.name_of("align.beta"), exact=True)

    def choose() -> None:
        field.fill("align.beta")
        option.click(timeout=10_000)

    take_effect(page, choose, lambda: "columns=" in page.url)
    assert parse_qs(urlparse(page.url).query)["columns"][0].split(",")[-1] == "align.beta"
    beta = columns.column("align.beta").label
    page.goto(f"{full.url}/?{urlencode({'columns': 'name,runs,align.beta'})}")
    ready(page, "Runs")
    betas = dict(seen(page, lambda: cells(page, ("name", beta))))
    assert (betas["steady"], betas["bold"]) == ("0.5", "0.1")


def test_what_a_run_would_fail_by_is_said_before_it_is_queued(page: Page, full: Desk, tmp_path: Path) -> None:
    """A rate that diverges; a model of one's own that is not named yet, and one that has no room for an answer."""
    page.goto(f"{full.url}/new_run?{urlencode({'align.lr': '1e6', 'seeds': '0', 'methods': 'CW'})}")
    ready(page, "New run")
    expect(page.get_by_text(re.compile("is far above what is usual.*will likely diverge")).first).to_be_visible()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "opt", "max_position_embeddings": 512}')
    rows = [f'{{"prompt": "Q{n}", "chosen": "yes {n}", "rejected": "no {n}"}}' for n in range(170)]
    (tmp_path / "own.jsonl").write_text("\n".join(rows), encoding="utf-8")
    asked = {
        "data.dataset": str(tmp_path / "own.jsonl"), "data.test_prompts": "40", "seeds": "0", "methods": "CW",
        "models": OTHER_MODELS, "model.annotator": str(tmp_path / "model"), "evaluation.max_new_tokens": "512",
        "evaluation.gold_reward": catalog.GOLD_REWARDS["trained"].label,
    }  # fmt: skip
    page.goto(f"{full.url}/new_run?{urlencode(asked)}")
    ready(page, "New run")
    missing = page.get_by_text(re.compile("is not named yet"))
    expect(missing).to_have_count(1)
    expect(missing).to_have_text(re.compile("model.{1,3}policy is not named yet"))
    expect(page.get_by_test_id("stAlert").filter(has_text="opt-125m")).to_have_count(0)
    expect(page.locator(".st-key-queue button")).to_be_disabled()
    write(page, "model.policy", str(tmp_path / "model"))
    no_room = page.get_by_text(re.compile("512 leaves no room for a prompt in a context of 512 tokens"))
    expect(no_room.first).to_be_visible()
    expect(missing).to_have_count(0)
    expect(page.locator(".st-key-queue button")).to_be_disabled()
    if not page.get_by_role("tab", name="Evaluation", exact=True).is_visible():
        page.get_by_text("All other settings").click()
    page.get_by_role("tab", name="Evaluation", exact=True).click()
    title = page.get_by_role("heading", name="Training of the gold reward, where it is trained here")
    parts = (widget(page, "evaluation.max_new_tokens"), title, widget(page, "evaluation.gold_train.epochs"))
    for part in parts:
        expect(part).to_be_visible()
    ready(page, "New run")
    boxes = [part.bounding_box() for part in parts]
    tops = [box["y"] for box in boxes if box is not None]
    assert len(tops) == 3
    assert tops == sorted(tops)
    write(page, "evaluation.max_new_tokens", "64")
    expect(no_room).to_have_count(0)


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


def test_a_comparison_without_cw_has_a_verdict_and_a_sweep_its_lines(page: Page, full: Desk) -> None:
    page.goto(f"{full.url}/compare?runs={compact((*full.runs['weak'], *full.runs['surest']))}")
    ready(page, "Compare")
    headline = page.get_by_role("heading", level=2).first
    expect(headline).to_contain_text(re.compile("than Weak labels|difference from Weak labels"))
    expect(page.get_by_role("cell", name=re.compile("Top 30.*Weak labels")).first).to_be_visible()
    every = compact(tuple(sorted(run for runs in full.runs.values() for run in runs)))
    page.goto(f"{full.url}/compare?{urlencode({'runs': every, 'further': 'Configuration'})}")
    ready(page, "Compare")
    chart = page.get_by_role("figure", name="Which values lead where?")
    expect(chart.locator(".main-svg").first).to_be_visible()
    expect(chart.get_by_text("beta", exact=False).first).to_be_attached()


def test_a_place_that_a_curve_was_zoomed_to_stays_while_points_come_in(page: Page, full: Desk) -> None:
    page.goto(f"{full.url}/run?run={full.live}")
    ready(page, "CW · IPO")
    drawn(page)
    (low, high), points = seen(page, lambda: page.evaluate(CURVE))
    area = page.locator(".st-key-curve_align_loss .nsewdrag").first
    area.scroll_into_view_if_needed()

    def drag() -> None:
        box = area.bounding_box()
        assert box is not None
        left, wide, middle = box["x"], box["width"], box["y"] + box["height"] / 2
        page.mouse.move(left + 0.25 * wide, middle)
        page.mouse.down()
        page.mouse.move(left + 0.75 * wide, middle, steps=8)
        page.mouse.up()

    def curve() -> tuple[list[float], int]:
        return page.evaluate(CURVE) or ([low, high], 0)

    take_effect(page, drag, lambda: curve()[0][0] > low)
    zoomed = curve()[0]
    assert low < zoomed[0] < zoomed[1] < high
    _trained(full.claim, range(points, points + 4))
    seen(page, lambda: curve()[1] == points + 4)
    page.wait_for_timeout(1_000)
    assert curve()[0] == zoomed


def test_an_answer_is_read_while_it_is_written(page: Page, full: Desk) -> None:
    """The page asks, and what stands here for the process of the chat answers in two parts."""
    run = full.runs["steady"][0]
    with writing() as session:
        chat = chats.create(session, run, ("aligned", "sft", "base"), "cpu")
        assert chats.claim(session, chat, host="here", pid=1, device="cpu")
        chats.opened(session, chat, template=False)
        _lives(session, chat)
    page.goto(f"{full.url}/run?run={run}&tab=Chat&chat={chat}")
    ready(page, "CW · DPO")
    page.get_by_role("textbox", name="Prompt").fill("What is the answer?")
    page.get_by_role("button", name="Ask", exact=True).click()
    turn = seen(page, lambda: _asked(chat))
    with writing() as session:
        chats.take(session, turn.id)
    blocks = page.get_by_role("tabpanel").get_by_test_id("stCode")
    going_on = page.get_by_text(re.compile("· answering$"))
    _answered(chat, turn, "The first half")
    expect(blocks.first).to_have_text("The first half")
    expect(going_on).to_be_visible()
    _answered(chat, turn, "The first half and the rest", done=True)
    expect(blocks.first).to_have_text("The first half and the rest")
    expect(going_on).to_have_count(0)
    with writing() as session:
        chats.end(session, chat, "It was ended.")


def _asked(chat: int) -> TurnRow | None:
    with reading() as session:
        return chat_rows.waiting_turn(session, chat)


def _answered(chat: int, turn: TurnRow, text: str, *, done: bool = False) -> None:
    """So far, by the first model."""
    with writing() as session:
        chats.write(session, chat, turn, {"aligned": text, "sft": "", "base": ""})
        if done:
            chats.finish(session, chat, turn.id)
        _lives(session, chat)


def _lives(session: Any, chat: int) -> None:
    """Nobody misses the process of the chat while a page is slow."""
    session.execute(update(Chat).where(Chat.id == chat).values(heartbeat_at=now(session) + timedelta(hours=1)))
