"""Every page judged by axe in the light and in the dark, with each of its tabs, all that unfolds and all that comes up
from a button: what is serious there and ours is a fault; none is wider than a window."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, Position, expect

from app.charts import frame
from tests.app.served import CAME_UP, TITLES, address, put_away, settle
from tests.app.visits import Computed

# What Streamlit draws and no option of it changes: rule of axe, and the element of Streamlit's that it is in. A text
# that is scrolled takes the keys in browsers of these years without being told so.
STREAMLITS = {("list", "stSidebarNav"), ("listitem", "stSidebarNav"), ("scrollable-region-focusable", "stCode")}
# For each node of a finding, the test ids around it, the nearest first.
AROUND = """selector => { const ids = []; let at = document.querySelector(selector);
  for (; at; at = at.parentElement) if (at.dataset.testid) ids.push(at.dataset.testid); return ids; }"""
# Whether there is more of the page to the right than the window shows.
SIDEWAYS = """() => { const main = document.querySelector('[data-testid=stMain]');
  return main.scrollWidth > main.clientWidth || document.documentElement.scrollWidth > innerWidth; }"""
# In the first line of the list of runs, above its words; and where that line is ticked.
IN_LINE, TICK = Position(x=160, y=35), Position(x=17, y=35)
NARROW = {1024: 768, 390: 844}  # half a screen, and a phone
# The colour at a place of a grid, px from its corner.
GROUND = """([across, down]) => { const canvas = document.querySelector('[data-testid=data-grid-canvas]');
  const size = canvas.width / canvas.clientWidth, brush = canvas.getContext('2d');
  return [...brush.getImageData(across * size, down * size, 1, 1).data].slice(0, 3); }"""
WHOLE = "html"
# Of what is opened, all in one look, and in the other what a look can change; of a page as it comes, all in both.
RULES = {"dark": (), "light": ("color-contrast",)}
IS_OFF = """selector => !!document.querySelector(selector)
  .closest('[data-testid=stElementContainer]')?.querySelector('input:disabled, button:disabled, textarea:disabled')"""


def axe() -> str:
    """The script of axe-core, as the package axe-playwright-python carries it."""
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("axe.min.js").read_text()


def faults(page: Page, inside: str = WHOLE, rules: Sequence[str] = ()) -> list[str]:
    """Serious and critical findings of these rules (none: of all) that are not Streamlit's own: rule, place, why."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found: dict[str, Any] = page.evaluate("([inside, options]) => axe.run(inside, options)", [inside, options])
    lines = []
    for rule in found["violations"]:
        for node in rule["nodes"]:
            around = page.evaluate(AROUND, node["target"][-1]) if isinstance(node["target"][-1], str) else []
            own = any((rule["id"], place) in STREAMLITS for place in around)
            # what is switched off is pale on purpose, and no rule asks more of it
            off = page.evaluate(IS_OFF, node["target"][-1]) if around else False
            if rule["impact"] in ("serious", "critical") and not own and not off:
                why = node["failureSummary"].partition("\n")[2].strip()
                lines.append(f"{rule['id']} in {' < '.join(around[:4])}: {why[:200]} {node['html'][:120]}")
    return sorted(set(lines))


def lasting_faults(page: Page, inside: str = WHOLE, rules: Sequence[str] = ()) -> list[str]:
    """Those that are still there when the page has had time to be drawn whole; charts fade in."""
    for _ in range(10):
        if not (found := faults(page, inside, rules)):
            break
        page.wait_for_timeout(500)
    return found


def opened(page: Page, title: str) -> Iterator[tuple[str, str]]:
    """What can be opened on a page, one after the other: what comes up from its buttons, each of its tabs, then all
    that unfolds. Its name, and where it is."""
    yield from come_up(page, title)
    tabs = page.get_by_role("tab")
    for place in range(tabs.count()):
        tab = tabs.nth(place)
        if tab.get_attribute("aria-selected") != "true":
            tab.click()
            expect(tab).to_have_attribute("aria-selected", "true")
            settle(page, title)
            yield tab.inner_text(), WHOLE
            yield from come_up(page, title)
    folded = page.get_by_test_id("stMain").locator("[data-testid=stExpander] details:not([open]) > summary")
    if folded.count():
        while folded.count():
            folded.first.click()
            settle(page, title)
        yield "unfolded", WHOLE


def come_up(page: Page, title: str) -> Iterator[tuple[str, str]]:
    """What comes up from the buttons that are in sight, one after the other."""
    buttons = page.get_by_test_id("stMain").locator("[data-testid=stPopoverButton]:visible:enabled")
    for place in range(buttons.count()):
        button = buttons.nth(place)
        button.click()
        expect(page.locator(CAME_UP)).to_be_visible()
        settle(page, title)
        yield f"{button.inner_text()} ({place})", CAME_UP
        put_away(page)


def cut_off(page: Page) -> list[str]:
    """The widths at which the page has to be scrolled sideways."""
    found = []
    for width, height in NARROW.items():
        page.set_viewport_size({"width": width, "height": height})
        for _ in range(50):
            page.wait_for_timeout(200)
            if not page.evaluate(SIDEWAYS):
                break
        else:
            found.append(f"at {width} px it is scrolled sideways")
    page.set_viewport_size({"width": 1440, "height": 900})
    return found


@pytest.mark.parametrize("look", ["dark", "light"])
def test_nothing_on_a_page_keeps_anybody_out(
    served: str, results: Computed, browser: Browser, look: Literal["dark", "light"]
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=look, bypass_csp=True)
    page = context.new_page()
    found = {}
    for path, title in TITLES.items():
        page.goto(address(served, path, results))
        settle(page, title)
        page.wait_for_timeout(500)  # charts fade in
        page.evaluate(axe())
        found[path or "runs"] = lasting_faults(page) + (cut_off(page) if look == "dark" else [])
        for part, inside in opened(page, title):
            found[f"{path}, {part}"] = lasting_faults(page, inside, RULES[look])
    context.close()
    assert len(found) >= len(TITLES) + 16, f"few of the tabs and lists were opened: {list(found)}"
    assert not any(found.values()), "\n".join(f"{path}: {line}" for path, lines in found.items() for line in lines)


def test_a_line_of_the_list_has_the_grounds_that_its_inks_are_measured_on(
    served: str, results: Computed, browser: Browser
) -> None:
    """axe sees no words in a canvas: tests/app/test_charts.py computes their contrast on these grounds."""
    for look in frame.LOOKS.values():
        context = browser.new_context(color_scheme=look.name, bypass_csp=True)
        page = context.new_page()
        page.goto(address(served, "", results))
        settle(page, "Runs")
        grid = page.get_by_test_id("stDataFrame").first
        expect(grid.locator("[data-testid=data-grid-canvas] tr").nth(1)).to_be_attached()
        grounds = frame.grounds(look)
        has_ground(page, grounds["bare"])
        grid.hover(position=IN_LINE)
        has_ground(page, grounds["hovered"])
        grid.click(position=TICK)
        has_ground(page, grounds["both"])
        page.mouse.move(0, 0)
        has_ground(page, grounds["ticked"])
        context.close()


def has_ground(page: Page, wanted: str) -> None:
    """The first line of the grid comes to have this ground, but for rounding."""
    parts = [int(wanted[place : place + 2], 16) for place in (1, 3, 5)]
    for _ in range(100):
        found = page.evaluate(GROUND, list(IN_LINE.values()))
        if max(abs(one - other) for one, other in zip(found, parts, strict=True)) <= 1:
            return
        page.wait_for_timeout(100)
    assert found == parts
