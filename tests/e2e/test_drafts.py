"""Drafts, duplicates, comparisons that exist already, and what is said before anything is queued.

No worker runs here, as in the journeys; what is queued stays queued.
"""

import json
import random
import re
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect

from app.components.form.declared import LAST_TAB, OTHER
from app.components.form.fields import tab_of
from cwpo.config.run import RunConfig, merged
from db import queries
from tests.amounts import amount
from tests.e2e.by_hand import holds, set_widget, widget, write
from tests.e2e.form_values import PUT_BACK, changed
from tests.e2e.serving import Web
from tests.e2e.test_dashboard import go, ready
from tests.e2e.test_journeys import HEAD, queue, runs, settled
from tests.listening import without_server
from workers import api
from workers.machine.database import reading

METHODS = "methods"
DRAWS = amount("DRAWS", 2)  # forms: the first with the web process killed, the second with the line to it cut
FIELDS = 5  # of each that are changed
# Not there while a switch is off, or before it is on and has what it needs.
SWITCHED = ("data.length_rule", "evaluation.judge", "evaluation.along", "model.lora")


def drawn(seed: int) -> dict[str, Any]:
    """Some widgets and what they are changed to, all of which can be queued together."""
    dice = random.Random(seed)
    every = {name: value for name, value in changed().items() if name not in PUT_BACK and not name.startswith(SWITCHED)}
    names = dice.sample(sorted(every), FIELDS)
    # a share of pairs is there for the methods that keep one
    return {name: every[name] for name in ([METHODS] if "percents" in names and METHODS not in names else []) + names}


def fill(page: Page, wanted: dict[str, Any]) -> None:
    """Set these widgets, on top of the form and in its tabs."""
    folded = [name for name in wanted if name not in HEAD]
    for name in sorted(wanted.keys() - set(folded)):  # methods before percents
        set_widget(page, name, wanted[name])
    if folded:
        settled(page, {name: value for name, value in wanted.items() if name in HEAD})
        page.get_by_text("All other settings").click()
    for name in folded:
        page.get_by_role("tab", name=tab_name(name), exact=True).click()
        set_widget(page, name, wanted[name])
        settled(page, {name: wanted[name]})
    settled(page, wanted)


def tab_name(name: str) -> str:
    """The tab in which its widget stands."""
    return LAST_TAB if name == OTHER else tab_of(name)


def file_of(page: Page) -> str:
    """What the form says, as its page shows it."""
    page.get_by_text("As a YAML file").click()
    block = page.get_by_test_id("stCode").first
    expect(block).to_contain_text("method")
    return block.inner_text()


def someone_else(browser: Browser, address: str) -> Page:
    """A browser that was never here."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(address)
    ready(page, "New run")
    return page


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize("seed", range(DRAWS))
def test_a_draft_is_whole_in_a_fresh_browser_after_the_web_process_or_the_connection_was_killed(
    visitor: Page, browser: Browser, web: Web, seed: int
) -> None:
    """Whatever was changed: the same file, the same runs, and the folded settings that hold a change are open."""
    page, wanted, lines = visitor, drawn(seed), list[WebSocketRoute]()
    page.route_web_socket(re.compile("/_stcore/stream"), lambda line: (line.connect_to_server(), lines.append(line)))
    page.reload()
    go(page, "New run", "New run")
    fill(page, wanted)
    before = file_of(page)
    with without_server(page):
        if seed % 2:
            lines[-1].close(code=1011, reason="cut")
            while len(lines) < 2:  # the page connects again by itself
                page.wait_for_timeout(100)
        else:
            web.end(signal.SIGKILL)
            web.start()
    again = someone_else(browser, page.url)
    assert file_of(again) == before
    expect(again.get_by_text(re.compile(rf"You changed {len(wanted)} fields of the defaults"))).to_be_visible()
    for name in wanted.keys() - set(HEAD):
        expect(again.get_by_role("tab", name=tab_name(name), exact=True)).to_be_visible()
    again.context.close()


def test_drafts_are_listed_named_opened_deleted_and_put_back(visitor: Page, browser: Browser, desk: str) -> None:
    page = visitor
    go(page, "New run", "New run")
    write(page, "seeds", "11")
    settled(page, {"seeds": "11"})
    first = page.url
    button(page, "Drafts").click()
    button(page, "Start a new one").click()
    holds(page, "seeds", "0-3")
    draft = re.findall(r"draft=(\w+)", first)[0]
    line = page.locator(f".st-key-new_run-draft_line_{draft}")
    expect(line.get_by_text("Seeds: 0-3 → 11")).to_be_visible()
    line.get_by_label("Name of this draft").fill("eleven")
    line.get_by_label("Name of this draft").press("Enter")
    line.get_by_role("button", name="Open").click()
    holds(page, "name", "eleven")
    expect(page).to_have_url(first)
    line.get_by_role("button", name="Delete").click()
    holds(page, "seeds", "0-3")
    gone = someone_else(browser, first)
    expect(gone.get_by_text("The form starts anew")).to_be_visible()
    button(page, "Put it back").click()
    expect(line).to_be_visible()
    gone.goto(first)
    ready(gone, "New run")
    holds(gone, "seeds", "11")
    gone.context.close()


def test_two_windows_of_one_draft_lose_nothing(visitor: Page, browser: Browser) -> None:
    """Each changes another field, and both the name: the last one writes it, and is told."""
    page = visitor
    go(page, "New run", "New run")
    write(page, "seeds", "5")
    settled(page, {"seeds": "5"})
    other = someone_else(browser, page.url)
    write(other, "align.beta", "0.9")
    write(other, "name", "theirs")
    settled(other, {"align.beta": "0.9", "name": "theirs"})
    write(page, "name", "mine")
    expect(page.get_by_text("Changed in another window and shown here: β.")).to_be_visible()
    expect(page.get_by_text("Changed in both windows, this one's values are kept: Name.")).to_be_visible()
    holds(page, "align.beta", "0.9")
    settled(page, {"seeds": "5", "align.beta": "0.9", "name": "mine"})
    other.context.close()


def test_a_duplicate_with_one_change_is_the_same_run_but_for_it(stranger: Page, desk: str) -> None:
    """Also in what no widget holds and what is folded away; beside the button stands what was changed."""
    over = {
        "seed": 7, "salt": "again", "evaluation": {"max_new_tokens": 24, "top_p": 0.9}, "align": {"warmup_steps": 3},
        "model": {"lora": {"r": 4, "target_modules": ["q_proj"]}}, "data": {"sandbox": {"pairs": 200}},
    }  # fmt: skip
    run = api.submit_run(RunConfig.parse(merged({"name": "before"}, over))).run_id
    page = stranger
    page.goto(f"{desk}/run?run={run}")
    ready(page, "CW · DPO")
    button(page, "Duplicate & edit").click()
    ready(page, "New run")
    expect(page.get_by_text(f"Nothing is changed: this is run {run}.")).to_be_visible()
    write(page, "align.beta", "0.9")
    expect(page.get_by_text(f"You changed 1 field of run {run}:")).to_be_visible()
    expect(page.get_by_text("β: 0.5 → 0.9")).to_be_visible()
    settled(page, {"align.beta": "0.9"})
    page.reload()
    ready(page, "New run")
    expect(page.get_by_text("β: 0.5 → 0.9")).to_be_visible()
    queue(1, page).click()
    ready(page, "CW · DPO")
    before, made = (config.canonical() for config in runs())
    assert made["align"].pop("beta") == 0.9
    before["align"].pop("beta")
    assert made == before


def test_a_comparison_that_exists_is_asked_about_in_any_session(stranger: Page, browser: Browser, desk: str) -> None:
    """Some of it: the new ones are one click; all of it: to open it is, and to queue it again has to be wanted."""
    api.submit_sweep([RunConfig(method=method, seed=0) for method in ("weak", "cw")], "before")
    page = stranger
    page.goto(f"{desk}/new_run?seeds=0-1")
    ready(page, "New run")
    expect(page.get_by_text(re.compile(r"2 of these 4 runs exist already: runs \d+–\d+, queued\."))).to_be_visible()
    button(page, "Queue the new 2").dblclick()
    ready(page, "Runs")
    assert sorted((config.method, config.seed) for config in runs()) == [
        ("cw", 0), ("cw", 1), ("weak", 0), ("weak", 1),
    ]  # fmt: skip
    other = someone_else(browser, f"{desk}/new_run?seeds=0-1")
    expect(other.get_by_text("These 4 runs exist already")).to_be_visible()
    expect(other.get_by_role("button", name=re.compile("^Queue (4|the)"))).to_have_count(0)
    button(other, "Open these 4").click()
    ready(other, "Runs")
    assert len(runs()) == 4
    other.context.close()


def test_what_a_file_cannot_give_is_said_before_anything_is_queued(visitor: Page, tmp_path: Path) -> None:
    """171 rows and 700 test prompts; then it fits, and its first rows are there to be looked at."""
    rows = [{"prompt": f"Question {n}", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(170)]
    text = "\n".join(json.dumps(row) for row in [*rows, {"prompt": "empty", "chosen": "yes", "rejected": ""}])
    (tmp_path / "own.jsonl").write_text(text, encoding="utf-8")
    page = visitor
    go(page, "New run", "New run")
    choose_file(page, tmp_path / "own.jsonl")
    expect(page.get_by_text("asks for 700, and own.jsonl has 170 usable in its 171 rows")).to_be_visible()
    expect(queue(8, page)).to_be_disabled()
    page.get_by_text("All 171 rows of own.jsonl: 170 pairs, 1 dropped").click()
    expect(page.get_by_text("1 row dropped, empty: line 171, the rejected response is empty")).to_be_visible()
    expect(page.get_by_text("Question 0")).to_be_visible()
    write(page, "data.test_prompts", "40")
    expect(page.get_by_text("asks for 700")).to_have_count(0)
    with reading() as session:
        assert not queries.list_runs(session).rows


def test_what_its_models_cannot_do_is_said_before_anything_is_queued(visitor: Page, desk: str, tmp_path: Path) -> None:
    """An answer as long as all that the policy reads; and a reward model of one's own with two outputs, then without a
    form in which it could read answers."""
    page, judge = visitor, tmp_path / "judge"
    page.goto(f"{desk}/new_run?{urlencode({'evaluation.max_new_tokens': '160'})}")
    ready(page, "New run")
    full = page.get_by_text("160 leaves no room for a prompt in a context of 160 tokens: lower it.")
    expect(full).to_be_visible()
    expect(queue(8, page)).to_be_disabled()
    write(page, "evaluation.max_new_tokens", "48")
    expect(full).to_have_count(0)
    expect(queue(8, page)).to_be_enabled()

    judge.mkdir()
    rows = [{"prompt": f"Question {n}", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(170)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    own = {"data.dataset": str(tmp_path / "own.jsonl"), "data.test_prompts": "40", "evaluation.gold_reward": str(judge)}
    for config, wrong in (({"num_labels": 2}, "has 2 outputs"), ({"num_labels": 1}, "has no chat template")):
        (judge / "config.json").write_text(json.dumps({"model_type": "llama", **config}), encoding="utf-8")
        page.goto(f"{desk}/new_run?{urlencode(own)}")
        ready(page, "New run")
        expect(page.get_by_text(wrong)).to_be_visible()
        expect(queue(8, page)).to_be_disabled()
    with reading() as session:
        assert not queries.list_runs(session).rows


def choose_file(page: Page, path: Path) -> None:
    field = widget(page, "dataset").get_by_role("combobox")
    field.fill(str(path))
    field.press("Enter")
    settled(page, {"dataset": str(path)})
