"""The way through: a form is set up, left, found again, linked and queued once; a list is sorted without opening runs.

No worker runs here: what is queued stays queued, and the database says what it is.
"""

import re
import signal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

import pytest
from playwright.sync_api import Locator, Page, expect

from app.components.form.address import address_of, form_from
from app.components.form.declared import LAST_TAB, LINES, OTHER, OTHER_MODELS
from app.components.form.drafts.keeping import open_draft
from app.components.form.fields import all_fields, fields_on, tabs
from app.components.form.form import Form
from cwpo.config import catalog
from cwpo.config.run import RunConfig, merged
from db import queries
from tests import clocks, counting
from tests.e2e.by_hand import choose, holds, set_widget, widget, write
from tests.e2e.form_values import PUT_BACK, changed
from tests.e2e.serving import Web
from tests.e2e.test_dashboard import go, ready
from tests.listening import without_server
from workers import api
from workers.machine.database import reading

SOFT = "soft"  # a method that no form starts with
HEAD = tuple(field.name for line in LINES for field in fields_on(line))
LINE = 31  # px of a line of the grid, whose first one is the heading
TICK, BUTTON, SETTING = 17, 62, 160  # px from its left edge


def runs() -> list[RunConfig]:
    """What is in the database, oldest first."""
    with reading() as session:
        rows = queries.list_runs(session, limit=100).rows
        return [RunConfig.parse(queries.get_run(session, row.id).config) for row in reversed(rows)]


def grid_with(page: Page, line: int) -> Locator:
    """The grid, once it has that line, nothing is computed and it stays where it is: a click finds what it is for."""
    grid = page.locator('[data-stale="false"] [data-testid="stDataFrame"]').first
    expect(grid.locator('[data-testid="data-grid-canvas"] tr').nth(line)).to_be_attached()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    place = None
    while (now := grid.bounding_box()) != place:
        place = now
        page.wait_for_timeout(300)
    return grid


def queue(count: int, page: Page) -> Locator:
    return page.get_by_role("button", name=f"Queue {count} run", exact=False)


def form_at(page: Page) -> Form:
    """The form of this address: its draft in the database, else what the address itself says."""
    params = parse_qs(urlparse(page.url).query, keep_blank_values=True)
    return open_draft(params["draft"][0]) if "draft" in params else form_from(params, lambda run: {})


def of_address(page: Page) -> dict[str, Any]:
    """What the form would hold in another session with this address."""
    return form_at(page).state


def settled(page: Page, wanted: dict[str, Any]) -> None:
    """The address says all of it. What is typed while the form becomes another one may be gone: whoever sees that types
    it again, or clicks it again; what the field still shows has to come by itself."""
    deadline, again = clocks.monotonic() + 240, clocks.monotonic() + 10
    while different := missing(page, wanted):
        assert clocks.monotonic() < deadline, (different, {name: of_address(page)[name] for name in different})
        page.wait_for_timeout(100)
        if clocks.monotonic() > again:
            again = clocks.monotonic() + 60
            for name, value in different.items():
                if isinstance(value, str) and widget(page, name).locator("input, textarea").input_value() != value:
                    write(page, name, value)
                elif all_fields()[name].kind == "flag":
                    set_widget(page, name, value)
    ready(page, "New run")


def missing(page: Page, wanted: dict[str, Any]) -> dict[str, Any]:
    """What the address does not say yet."""
    now = of_address(page)
    return {name: value for name, value in wanted.items() if now.get(name) != value}


def test_every_widget_is_changed_linked_and_queued_as_it_was_set(visitor: Page, desk: str) -> None:
    """Also the folded ones, in one breath: the address has each of them, another session shows them, and the runs in
    the database are made of them."""
    page, wanted = visitor, changed()
    go(page, "New run", "New run")
    write(page, "seeds", "none yet")  # without a plan the page is quick
    for name in HEAD:
        if name in wanted and name != "seeds":
            set_widget(page, name, wanted[name])
    page.get_by_text("All other settings").click()
    for tab, parts in {**tabs(), LAST_TAB: [OTHER]}.items():
        page.get_by_role("tab", name=tab, exact=True).click()
        roots = {part.partition(".")[0] for part in parts}
        here = [name for name in wanted if name not in HEAD and name.partition(".")[0] in roots]
        for name in here:
            set_widget(page, name, wanted[name])
        settled(page, {name: wanted[name] for name in here})
    write(page, "seeds", wanted["seeds"])
    settled(page, wanted)
    page.goto(page.url)
    ready(page, "New run")
    assert {name: of_address(page).get(name) for name in wanted} == wanted
    holds(page, "seeds", wanted["seeds"])
    params = address_of(form_at(page))
    page.goto(f"{desk}/new_run?{urlencode({k: v for k, v in params.items() if k not in PUT_BACK}, doseq=True)}")
    ready(page, "New run")
    queue(6, page).click()
    ready(page, "Runs")
    made = runs()
    assert len(made) == 6
    kept = {name: value for name, value in wanted.items() if name not in PUT_BACK}
    for config in made:
        said = form_from({}, lambda run: {})
        said.fill(config.canonical())
        for name in kept.keys() - {"methods", "percents", "seeds", "models", "other", *_pinned(config)}:
            assert said.state[name] == kept[name], name
        assert (config.salt, config.model.policy) == ("again", catalog.MODEL_PAIRS[kept["models"]].policy)
    assert {(config.method, config.seed) for config in made} == {(m, s) for m in ("weak", "cw", "top") for s in (3, 5)}


def _pinned(config: RunConfig) -> set[str]:
    """What is found at submission."""
    rule = config.data.length_rule
    return {"data.length_rule.tokenizer"} if rule is not None and rule.tokenizer else set()


def test_several_runs_are_queued_once_however_often_the_button_is_pressed(visitor: Page) -> None:
    """From an empty list, over a changed form, in eight interactions; a double click, and again after Back."""
    page = visitor
    counting.begin(page)
    page.get_by_text("Set up the first comparison").click()
    ready(page, "New run")
    choose(page, "methods", "Human")
    write(page, "name", "first")
    settled(page, {"name": "first", "methods": ["weak", "cw", "human"]})
    queue(12, page).dblclick()
    said = page.get_by_test_id("stToast").filter(has_text="12 runs queued.").last
    expect(said).to_be_visible()
    assert said.evaluate("at => at.getBoundingClientRect().top") > 600  # over no button
    ready(page, "Runs")
    assert urlparse(page.url).query == ""  # nothing of the form filters the list
    assert counting.interactions(page) <= 8
    expect(page.get_by_text(re.compile("^3 settings · 12 runs · Sandbox, 30 %"))).to_be_visible()
    assert len(runs()) == 12
    page.go_back()
    ready(page, "New run")
    expect(page.get_by_text(re.compile(r"These 12 runs exist already: runs \d+–\d+, queued\."))).to_be_visible()
    page.get_by_role("button", name="Queue all 12 again").dblclick()
    ready(page, "Runs")
    assert len(runs()) == 24


def test_pages_leave_each_other_alone(visitor: Page, desk: str) -> None:
    """One's own file on New run filters no list, a search on Runs no pairs; the form is found as it was left."""
    api.submit_run(RunConfig(name="there", seed=1))
    page = visitor
    go(page, "New run", "New run")
    write(page, "seeds", "0")
    field = widget(page, "dataset").get_by_role("combobox")
    field.fill("/data/own.jsonl")
    field.press("Enter")
    settled(page, {"seeds": "0", "dataset": "/data/own.jsonl"})
    left = page.url
    go(page, "Runs", "Runs")
    assert urlparse(page.url).query == ""
    expect(page.get_by_text("1 setting · opt-48 → opt-64 · Sandbox, 30 %")).to_be_visible()
    page.get_by_role("textbox", name="Search").fill("there")
    expect(page).to_have_url(re.compile("q=there"))
    page.get_by_role("button", name="New run", exact=True).click()
    ready(page, "New run")
    assert "there" not in page.url
    go(page, "Runs", "Runs")
    expect(page.get_by_text("1 setting · opt-48 → opt-64 · Sandbox, 30 %")).to_be_visible()
    page.get_by_role("textbox", name="Search").fill("there")
    expect(page).to_have_url(re.compile("q=there"))
    go(page, "Examples", "Examples")
    assert "there" not in page.url
    go(page, "Runs", "Runs")
    page.get_by_role("button", name="New run", exact=True).click()
    ready(page, "New run")
    settled(page, {"seeds": "0", "dataset": "/data/own.jsonl"})
    assert page.url == left
    expect(widget(page, "dataset").get_by_role("combobox")).to_have_value("/data/own.jsonl")
    page.reload()
    ready(page, "New run")
    holds(page, "seeds", "0")


def test_a_duplicate_keeps_the_settings_that_nobody_sees(stranger: Page, desk: str, tmp_path: Path) -> None:
    """Folded settings of the run, on another dataset than its own; and after a reload."""
    rows = [f'{{"prompt": "Q{n}", "chosen": "yes {n}", "rejected": "no {n}"}}' for n in range(200)]
    (tmp_path / "own.jsonl").write_text("\n".join(rows), encoding="utf-8")
    over = {"evaluation": {"max_new_tokens": 24}, "align": {"warmup_steps": 3}, "seed": 7}
    run = api.submit_run(RunConfig.parse(merged({"name": "before"}, over))).run_id
    page = stranger
    page.goto(f"{desk}/run?run={run}")
    ready(page, "CW · DPO")
    page.get_by_role("button", name="Duplicate & edit").click()
    ready(page, "New run")
    field = widget(page, "dataset").get_by_role("combobox")
    field.fill(str(tmp_path / "own.jsonl"))
    field.press("Enter")
    expect(page).to_have_url(re.compile("draft="))
    settled(page, {"dataset": str(tmp_path / "own.jsonl")})
    page.reload()
    ready(page, "New run")
    expect(page.get_by_text(f"starts from run {run}")).to_be_visible()
    page.get_by_text("As a YAML file").click()
    text = page.get_by_test_id("stCode").first
    expect(text).to_contain_text("max_new_tokens: 24")
    expect(text).to_contain_text("warmup_steps: 3")
    expect(text).to_contain_text("seed: 7")
    page.get_by_text("All other settings").click()
    page.get_by_role("tab", name="Evaluation", exact=True).click()
    holds(page, "evaluation.max_new_tokens", "24")


def test_back_from_a_queued_duplicate_finds_the_form_as_it_was_left(stranger: Page, desk: str) -> None:
    page, run = stranger, api.submit_run(RunConfig.parse({"name": "before", "seed": 7})).run_id
    page.goto(f"{desk}/run?run={run}")
    ready(page, "CW · DPO")
    page.get_by_role("button", name="Duplicate & edit").click()
    ready(page, "New run")
    write(page, "name", "again")
    settled(page, {"name": "again"})
    again = page.get_by_role("button", name="Queue it again")
    expect(again).to_have_count(1)  # while the plan is made anew, there are two for a moment
    again.click()
    ready(page, "CW · DPO")
    page.go_back()
    ready(page, "New run")
    holds(page, "name", "again")
    expect(page.get_by_text(f"starts from run {run}")).to_be_visible()
    expect(page.get_by_text("This run exists already")).to_be_visible()


@pytest.mark.parametrize("start", [{"preset": "Steady annotator"}, {"models": OTHER_MODELS}, {"dataset": "own.jsonl"}])
def test_seeds_and_methods_are_the_same_after_a_reload_whatever_the_form_starts_from(
    stranger: Page, desk: str, start: dict[str, str]
) -> None:
    """A ready-made comparison, models of one's own, a file of one's own."""
    stranger.goto(f"{desk}/new_run?{urlencode(start)}")
    ready(stranger, "New run")
    before = of_address(stranger)
    assert (SOFT in before["methods"], before["seeds"]) == (False, "0-3")
    if "preset" in start:
        expect(queue(28, stranger)).to_be_visible()
    write(stranger, "seeds", "0")
    choose(stranger, "methods", catalog.METHODS[SOFT].label)
    changed_to = {"seeds": "0", "methods": [*before["methods"], SOFT]}
    settled(stranger, changed_to)
    stranger.reload()
    ready(stranger, "New run")
    holds(stranger, "seeds", "0")
    expect(widget(stranger, "methods").locator("[data-tag]")).to_have_count(len(changed_to["methods"]))
    expect(widget(stranger, "methods").get_by_text(catalog.METHODS[SOFT].label, exact=True)).to_be_visible()
    assert {name: of_address(stranger)[name] for name in changed_to} == changed_to
    if "preset" in start:
        expect(queue(8, stranger)).to_be_visible()


def test_a_run_opens_by_its_button_and_by_nothing_else(stranger: Page, desk: str) -> None:
    """A cell, and the keyboard on its way in, open nothing; Shift and Space tick."""
    api.submit_sweep([RunConfig(seed=seed, method=method) for method in ("cw", "weak") for seed in (0, 1)], "two")
    page = stranger
    page.goto(f"{desk}/runs?method=CW&method=Weak+labels")  # the page by its name, with its filters
    ready(page, "Runs")
    assert page.url == f"{desk}/?method=CW&method=Weak+labels"

    def click(across: int, line: int) -> None:
        grid_with(page, line).click(position={"x": across, "y": line * LINE + LINE / 2})
        page.wait_for_timeout(700)

    click(SETTING, 1)
    assert page.url == f"{desk}/?method=CW&method=Weak+labels"
    page.get_by_role("button", name="New run", exact=True).focus()
    for _ in range(24):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "CANVAS":
            break
    page.keyboard.press("Shift+Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+Space")
    expect(page.get_by_role("button", name="Compare 4 runs")).to_be_enabled()
    assert "/?method=CW&method=Weak+labels&ticked=" in page.url
    page.reload()
    ready(page, "Runs")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page).not_to_have_url(re.compile("ticked="))
    ready(page, "Runs")
    page.wait_for_timeout(700)
    click(BUTTON, 1)
    expect(page).to_have_url(re.compile("open="))
    ready(page, "Runs")
    expect(page.locator('[data-stale="false"] [data-testid="data-grid-canvas"] tr')).to_have_count(5)
    page.wait_for_timeout(700)
    click(TICK, 2)
    page.locator(".st-key-open_ticked button:enabled").click()
    ready(page, "seed 1|seed 0")
    assert "/run?run=" in page.url


def test_deleting_a_run_from_any_tab_ends_in_the_list(stranger: Page, desk: str) -> None:
    run = api.submit_run(RunConfig(seed=3)).run_id
    api.cancel_run(run)
    stranger.goto(f"{desk}/run?{urlencode({'run': run, 'tab': 'Configuration'})}")
    ready(stranger, "seed 3")
    stranger.get_by_role("button", name="Delete…").click()
    stranger.get_by_role("button", name="Delete", exact=True).click()
    ready(stranger, "Runs")
    assert runs() == []


def test_a_form_and_the_next_change_to_it_survive_a_killed_server(visitor: Page, web: Web) -> None:
    """Two changes before it is killed, the next one as soon as the browser allows it: all three are there then."""
    page = visitor
    go(page, "New run", "New run")
    write(page, "name", "before")
    choose(page, "methods", "Human")
    settled(page, {"name": "before", "methods": ["weak", "cw", "human"]})
    with without_server(page):
        web.end(signal.SIGKILL)
        expect(page.get_by_text("Connection error")).to_be_attached()
        title = page.get_by_role("dialog").locator("h2")
        assert title.evaluate("h => getComputedStyle(h, '::after').content") == '"The dashboard is restarting"'
        web.start()
        write(page, "seeds", "4, 5")
        settled(page, {"name": "before", "methods": ["weak", "cw", "human"], "seeds": "4, 5"})
    holds(page, "seeds", "4, 5")
    expect(queue(6, page)).to_be_enabled()


def test_what_is_below_a_list_stays_where_it_is_when_the_list_is_left(visitor: Page, desk: str) -> None:
    """Else a click on it, which leaves the list, would let go of the mouse over something else."""
    page = visitor
    page.goto(f"{desk}/new_run?" + urlencode({"s.align.pair_sampling": "proportional", "s.model.quantization": "nf4"}))
    ready(page, "New run")  # what the address changes is unfolded
    for tab, name in (("Alignment", "align.pair_sampling"), ("Models", "model.quantization")):
        page.get_by_role("tab", name=tab, exact=True).click()
        ready(page, "New run")
        field = widget(page, name).get_by_role("combobox")
        field.click()
        page.keyboard.press("Escape")
        page.wait_for_timeout(300)
        before = height(page, name)
        page.get_by_role("heading", name="New run").click()
        page.keyboard.press("Escape")
        for _ in range(30):  # while it is drawn it may be another one
            page.wait_for_timeout(300)
            if height(page, name) == before:
                break
        assert height(page, name) == before, name


def height(page: Page, name: str) -> float:
    box = widget(page, name).bounding_box()
    assert box is not None
    return box["height"]
