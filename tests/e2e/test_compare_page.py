"""Compare in a real browser: the verdict follows the reference, tabs and reference stand in the address, back and
forward give what was there, and a report opens without a network."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from benchmarks import compare as sweep
from db.engine import make_engines
from db.records import ClaimedStage
from tests.e2e.again import saved
from tests.e2e.serving import Web, at_home, served, visiting
from tests.e2e.test_dashboard import go, ready

SETTINGS, SEEDS = 3, 4
RUNS = f"1-{SETTINGS * SEEDS}"


@pytest.fixture(scope="module")
def web(redis_process: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A dashboard over a filled database: human labels, weak labels and CW under four seeds."""
    home = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch, at_home(home, redis_process):
        for name, number in {"PROMPTS": 60, "STEPS": 8, "OTHER_PAIRS": 50}.items():
            patch.setattr(sweep.scale, name, number)
        patch.setattr(sweep, "PROMPTS", 60)
        patch.setattr(sweep, "PAIRS", 50)
        sweep.build_database(f"sqlite:///{home / 'cwpo.sqlite'}", SETTINGS, SEEDS)
        with served(Web(home=home)) as web:
            yield web


@pytest.fixture
def reader(browser: Browser, web: Web) -> Iterator[Page]:
    """Someone at Compare."""
    with visiting(browser) as page:
        page.goto(f"{web.url}/compare?runs={RUNS}")
        ready(page, "Compare")
        yield page


class Judging(sweep.Sweep):
    """Judge stages as if a judge model had compared the answers, beside the sweep's other stages."""

    def _judge(self, claim: ClaimedStage) -> dict[str, Any]:
        said = {"judge": "simulated", "calls": 240, "bought": 0, "unread": 0, "equal_answers": 0, "orders_agree": 0.8,
                "first_shown": 0.5, "prompt_tokens": 0, "completion_tokens": 0}  # fmt: skip
        return {**self._evaluation(claim), **said}


def judged(web: Web) -> int:
    """How many judge stages were waiting, and are done now."""
    engines = make_engines(f"sqlite:///{web.home / 'cwpo.sqlite'}")
    filler = Judging(engines, sweep.PAIRS)
    filler.chances = defaultdict(lambda: 0.6)
    done = filler.fill()
    engines.dispose()
    return done


def headline(page: Page) -> Locator:
    return page.get_by_role("heading", level=2).first


def params(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlparse(page.url).query)


def test_the_verdict_follows_the_reference_and_back_and_forward_give_what_was_there(reader: Page) -> None:
    page = reader
    expect(headline(page)).to_contain_text(re.compile("than Human|difference from Human"))
    assert "reference" not in params(page)
    page.get_by_role("combobox", name="Held against").click()
    page.get_by_role("option", name="against Weak labels").click()
    expect(headline(page)).to_contain_text(re.compile("than Weak labels|difference from Weak labels"))
    expect(page).to_have_url(re.compile("reference="))
    page.get_by_role("tab", name="Curves", exact=True).click()
    expect(page).to_have_url(re.compile("further=Curves"))
    expect(page.get_by_role("radio", name="rewards/margins")).to_be_visible()
    page.reload()
    ready(page, "Compare")
    expect(page.get_by_role("radio", name="rewards/margins")).to_be_visible()
    expect(headline(page)).to_contain_text("Weak labels")
    page.go_back()
    expect(page).not_to_have_url(re.compile("reference="))
    expect(headline(page)).to_contain_text(re.compile("than Human|difference from Human"))
    page.go_forward()
    expect(page).to_have_url(re.compile("reference="))
    expect(headline(page)).to_contain_text("Weak labels")


def test_back_from_examples_is_the_same_comparison(reader: Page) -> None:
    """Not one of another run, nor one with the run of the pairs in its address."""
    page = reader
    page.get_by_role("combobox", name="Held against").click()
    page.get_by_role("option", name="against Weak labels").click()
    expect(page).to_have_url(re.compile("reference="))
    expect(headline(page)).to_contain_text("Weak labels")
    address, said = page.url, headline(page).inner_text()
    go(page, "Examples", "Examples")
    expect(page).to_have_url(re.compile(r"/examples\?run=\d+$"))
    pairs = page.url
    page.go_back()
    ready(page, "Compare")
    assert page.url == address
    expect(headline(page)).to_have_text(said)
    page.go_forward()
    ready(page, "Examples")
    assert page.url == pairs


def test_a_report_is_downloaded_and_opens_without_a_network(reader: Page, browser: Browser, tmp_path: Path) -> None:
    """The HTML file in a browser that has no network: the verdict is there, nothing is asked for, nothing complains."""
    page = reader
    verdict = headline(page).inner_text()
    chart = page.get_by_role("figure", name=re.compile("How far did each move"))
    expect(chart.locator(".main-svg").first).to_be_visible()  # what is drawn later moves what opens below the button
    page.get_by_role("button", name="Report", exact=True).click()
    name, content = saved(page, page.get_by_role("button", name="HTML", exact=True))
    assert name == "comparison.html"
    name, paper = saved(page, page.get_by_role("button", name="PDF", exact=True))
    assert (name, paper[:5]) == ("comparison.pdf", b"%PDF-")
    file = tmp_path / "report.html"
    file.write_bytes(content)
    alone = browser.new_context(offline=True)
    opened = alone.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("request", lambda request: None if request.url == file.as_uri() else said.append(request.url))
    opened.goto(file.as_uri())
    expect(opened.locator("p.lead")).to_have_text(verdict)
    expect(opened.get_by_role("heading", name="sweep of β and rate")).to_be_visible()
    assert opened.locator("svg").count() >= 2
    assert opened.locator("p.lead").evaluate("p => getComputedStyle(p).fontWeight") == "600"  # its own style holds
    assert said == []
    alone.close()


def test_the_button_of_the_choice_stands_above_the_list_that_opens_over_the_page(reader: Page) -> None:
    """One setting less, with the list of settings still open."""
    page = reader
    page.get_by_role("button", name="Choose settings").click()
    field = page.get_by_role("combobox", name=re.compile("Settings"))
    field.click()
    field.press("Backspace")
    page.get_by_role("button", name="Compare these").click()
    expect(page.get_by_text(re.compile("^2 settings"))).to_be_visible()
    expect(page.get_by_test_id("stMetric")).to_have_count(2)


def test_how_far_the_judge_can_be_believed_is_unfolded_and_another_one_is_asked_after_its_cost_was_said(
    reader: Page, web: Web
) -> None:
    """The last journey of this file, because it queues stages of all runs; once done, win rates stand there."""
    page = reader
    page.get_by_text("Can the judge be believed?", exact=True).click()
    expect(page.get_by_text("GRA with its judge's errors")).to_be_visible()
    expect(page.get_by_role("button", name="Try it on pairs with human labels")).to_be_enabled()
    expect(page.get_by_text("The same order under every judge?")).to_be_visible()
    order = page.get_by_role("table").filter(has_text="best stays best")
    expect(order).to_contain_text("oracle")
    expect(order).to_contain_text("CW")
    page.get_by_role("tab", name="Judge model", exact=True).click()
    expect(page).to_have_url(re.compile("further=Judge"))
    ask = page.get_by_role("button", name="Ask it about these answers")
    expect(page.get_by_text(re.compile("Judge model: about [0-9,]+ questions, on the workers"))).to_be_visible()
    expect(ask).to_be_enabled()
    ask.click()
    expect(page.get_by_text(re.compile("12 runs queued for the judge model"))).to_be_visible()
    expect(page.get_by_text(re.compile("queued for 12 of 12 runs"))).to_be_visible()
    assert judged(web) == SETTINGS * SEEDS
    page.reload()
    ready(page, "Compare")
    expect(page.get_by_text("Win rate by the judge model")).to_be_visible()
    rates = page.get_by_role("table").filter(has_text="orders agree")
    for label in ("Human", "Weak labels", "CW"):
        expect(rates).to_contain_text(label)


SAID = """
window.said = [];
const send = window.fetch;
window.fetch = function (address, ...rest) {
  const many = (name) => document.querySelectorAll(`[data-testid="stMain"] [data-testid="${name}"]`).length;
  if (String(address).startsWith("painted/"))
    window.said.push({ figures: many("stMetricValue"), charts: many("stPlotlyChart"), pending: many("stSkeleton") });
  return send.call(this, address, ...rest);
};
"""


def test_charts_come_when_the_browser_says_that_it_has_painted_the_answer(browser: Browser, web: Web) -> None:
    with visiting(browser) as page:
        page.add_init_script(SAID)
        with page.expect_response(lambda answer: "/painted/" in answer.url) as heard:
            page.goto(f"{web.url}/compare?runs={RUNS}")
        assert heard.value.status == 204
        expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
        assert page.evaluate("window.said") == [{"figures": SETTINGS, "charts": 0, "pending": 0}]
        page.get_by_role("combobox", name="Held against").click()
        page.get_by_role("option", name="against Weak labels").click()
        expect(headline(page)).to_contain_text(re.compile("than Weak|difference from Weak"))
        ready(page, "Compare")
        assert len(page.evaluate("window.said")) == 1, "what is drawn over again has its charts already"


def test_charts_come_without_the_browsers_word_too(browser: Browser, web: Web) -> None:
    with visiting(browser) as page:
        page.route("**/painted/*", lambda route: route.fulfill(status=204))
        page.goto(f"{web.url}/compare?runs={RUNS}")
        expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible(timeout=30_000)
