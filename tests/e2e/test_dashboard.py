"""What a person does with the dashboard, in a real browser over real workers: queue, watch, compare, browse."""

import re
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from tests.e2e.serving import Dashboard

# A sandbox run of seconds: few pairs, few prompts, short answers. The form takes every field from its address.
TINY = {
    "name": "tiny comparison",
    "methods": "CW",  # as the widget shows it
    "seeds": "0",
    "s.data.sandbox.pairs": "160",
    "s.data.test_prompts": "24",
    "s.annotator.epochs": "1.0",
    "s.align.epochs": "1.0",
    "s.evaluation.max_new_tokens": "8",
    "s.evaluation.samples": "1",
}
MINUTES = 60_000


def ready(page: Page, title: str) -> None:
    """The page's title is there and the script has ended."""
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(title))
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    assert page.get_by_test_id("stException").count() == 0, page.get_by_test_id("stException").first.inner_text()


def go(page: Page, name: str, title: str) -> None:
    """Through the sidebar."""
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True).click()
    ready(page, title)


def drawn(page: Page) -> None:
    """A chart of the page is drawn, with marks on it; that is after the script has ended."""
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.locator(".js-plotly-plot .trace, .js-plotly-plot .barlayer .point").first).to_be_attached()


def test_a_run_from_the_form_to_its_gra(page: Page, dashboard: Dashboard) -> None:
    """An empty list, the form from its address, the queue, the live run, its GRA in the list, every page after it."""
    page.goto(dashboard.url)
    ready(page, "Runs")
    expect(page.get_by_text("Your runs will be listed here")).to_be_visible()
    page.get_by_text("Set up the first comparison").click()
    ready(page, "New run")

    page.goto(f"{dashboard.url}/new_run?{urlencode(TINY)}")
    ready(page, "New run")
    expect(page.get_by_label("Name")).to_have_value("tiny comparison")
    expect(page.get_by_text("What this will cost and reuse")).to_be_visible()
    page.get_by_role("button", name="Queue 1 run").click()

    ready(page, "CW · DPO · seed 0")
    run = int(re.findall(r"run=(\d+)", page.url)[0])
    expect(page.get_by_role("button", name="Duplicate & edit")).to_be_visible()
    expect(page.get_by_text("Done: ")).to_be_visible(timeout=5 * MINUTES)
    expect(page.get_by_test_id("stMetric").filter(has_text="GRA").first).to_contain_text("%")
    expect(page.get_by_text("held-out prompts: by its gold score the aligned answer is better at")).to_be_visible()
    drawn(page)

    go(page, "Runs", "Runs")
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    expect(page.get_by_text("1 setting · opt-48 → opt-64 · Sandbox, 30 %")).to_be_visible()
    go(page, "Compare", "Compare")
    expect(page.get_by_text("GRA against the baseline")).to_be_visible()
    drawn(page)
    go(page, "Examples", "Examples")
    expect(page.get_by_text(re.compile("1–10 of"))).to_be_visible()
    drawn(page)
    go(page, "System", "System")
    expect(page.get_by_text("Redis answers.")).to_be_visible()

    page.goto(f"{dashboard.url}/run?run={run}")  # a deep link, in a session of its own
    ready(page, "CW · DPO · seed 0")


def test_filters_stand_in_the_address_and_come_back(page: Page, dashboard: Dashboard) -> None:
    """What is typed into a filter is in the URL at once, and a reload shows the same list."""
    page.goto(dashboard.url)
    ready(page, "Runs")
    page.get_by_role("textbox", name="Search").fill("tiny")
    page.get_by_role("textbox", name="Search").press("Enter")
    expect(page).to_have_url(re.compile("q=tiny"))
    page.reload()
    ready(page, "Runs")
    expect(page.get_by_role("textbox", name="Search")).to_have_value("tiny")
    page.goto(f"{dashboard.url}/?q=no+such+run")
    ready(page, "Runs")
    page.get_by_role("button", name="Show all runs").click()
    expect(page).not_to_have_url(re.compile("q="))
    expect(page.get_by_role("textbox", name="Search")).to_have_value("")


def test_a_problem_is_a_sentence_under_its_field(page: Page, dashboard: Dashboard) -> None:
    """β ≤ 0 and a label fraction of 1 each say what is wrong, and nothing can be queued."""
    page.goto(f"{dashboard.url}/new_run?" + urlencode({"s.align.beta": "-1.0"}))
    ready(page, "New run")
    expect(page.get_by_text("β must be greater than 0")).to_be_visible()
    expect(page.get_by_role("button", name="Queue runs")).to_be_disabled()
    page.goto(f"{dashboard.url}/new_run?" + urlencode({"s.data.label_fraction": "1.0"}))
    ready(page, "New run")
    expect(page.get_by_text("Label fraction must lie between 0 and 1")).to_be_visible()


def test_a_pasted_sweep_fills_the_form_and_its_draft(page: Page, dashboard: Dashboard) -> None:
    """Lists typed or pasted are kept, so that the address opens the same sweep."""
    page.goto(f"{dashboard.url}/new_run")
    ready(page, "New run")
    beta = page.get_by_role("textbox", name="β", exact=True)
    beta.fill("0.1, 0.5")
    beta.press("Enter")
    expect(page.get_by_role("button", name="Queue 16 runs")).to_be_visible()
    page.get_by_text("As a YAML file").click()
    page.get_by_role("tab", name="Paste or upload").click()
    ready(page, "New run")
    given = page.get_by_role("textbox", name="A run or a sweep")
    given.fill("method: weak\nseed: [0, 1]\nalign: {lr: [0.1, 0.2]}")
    given.press("Control+Enter")  # the text is sent before the click, whose place a redraw could move
    page.wait_for_timeout(500)
    ready(page, "New run")
    page.get_by_role("button", name="Fill the form").click()
    expect(page.get_by_role("button", name="Queue 4 runs")).to_be_visible()
    expect(page).to_have_url(re.compile(r"[?&]draft="))
    expect(beta).to_have_value("0.5")
    page.goto(page.url)
    ready(page, "New run")
    expect(page.get_by_role("button", name="Queue 4 runs")).to_be_visible()


def test_the_web_process_is_small_and_has_no_torch(dashboard: Dashboard, page: Page) -> None:
    """After every page was shown: at most 400 MB, and libtorch is not in its memory map."""
    page.goto(dashboard.url)
    ready(page, "Runs")
    web = dashboard.web_process()
    assert not [region.path for region in web.memory_maps() if "libtorch" in region.path]
    assert web.memory_info().rss < 400e6
