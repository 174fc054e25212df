"""Somebody who walks through the dashboard by chance, and knows what each entry of the browser's list showed."""

import random
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests import clocks
from tests.amounts import amount
from tests.app.driving import IDLE, LISTEN, OPENINGS, SOON
from tests.app.served import settle
from tests.e2e.again import pick

# What a person sees of the state of a page: titles, sentences, what widgets hold, the lines of a grid.
PICTURE = """() => {
  const main = document.querySelector('[data-testid="stMain"]');
  const fresh = node => !node.closest('[data-stale="true"]') && node.getClientRects().length > 0;
  const all = selector => [...main.querySelectorAll(selector)].filter(fresh);
  const texts = selector => all(selector).map(node => node.innerText.trim());
  return {
    title: texts('h1'),
    said: texts('[data-testid="stCaptionContainer"], [data-testid="stText"], h3, h4'),
    held: all('input, textarea').map(node => (node.ariaLabel || node.placeholder || '') + '='
      + (node.type === 'checkbox' ? node.checked : node.value)),
    chosen: texts('[data-testid="stMultiSelect"] span[title]'),
    pressed: texts('[aria-pressed="true"], [role="tab"][aria-selected="true"], [aria-checked="true"]'),
    grid: [...main.querySelectorAll('[data-stale="false"] [data-testid="data-grid-canvas"] tr')].map(
      row => (row.ariaSelected || '') + [...row.children].map(cell => cell.textContent).join('|')),
  };
}"""
PASSING = re.compile(r"\bago\b|just now|\bread in\b")  # what changes while nobody does anything
FETCHED = '[data-testid="stMain"] [data-testid="stSkeleton"]:visible'  # a kind of widget that is not here yet
SLOW = amount("SLOW", 3)  # seconds after which a click that the server was not told of has changed nothing
LIVE = "System"  # is drawn again every few seconds
LINE, TICK, OPEN = 31, 17, 62  # px of a line of the grid, and from its left edge
Picture = dict[str, list[str]]


@dataclass(frozen=True)
class Entry:
    address: str
    picture: Picture


@dataclass(frozen=True)
class Step:
    """Something that a person does on a page. Filters, tabs and switches belong to the entry; all else is a new one."""

    name: str
    do: Callable[[], Any]
    is_entry: bool = True


class Walker:
    """One browser, from its first page on."""

    def __init__(self, page: Page, base: str, dice: random.Random) -> None:
        self.page, self.base, self.dice = page, base, dice
        page.add_init_script(f"({LISTEN})()")
        self.different: list[str] = []
        self.went: list[str] = []
        page.goto(base)
        self.entries = [self.look()]
        self.at = 0

    def walk(self, steps: int) -> list[str]:
        """What was not as it had been left."""
        for _ in range(steps):
            draw = self.dice.random()
            if draw < 0.3 and self.at:
                self._go(-1, self.page.go_back)
            elif draw < 0.45 and self.at < len(self.entries) - 1:
                self._go(1, self.page.go_forward)
            elif draw < 0.5:
                self._go(0, self.page.reload)
            else:
                self._act()
        while self.at and not self.different:
            self._go(-1, self.page.go_back)
        return self.different

    def seen_afresh(self, browser: Browser, most: int) -> list[str]:
        """What addresses of the list do not show in a browser that was never here."""
        entries = {one.address: one for one in self.entries}
        wrong = []
        for entry in self.dice.sample(list(entries.values()), min(most, len(entries))):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            self.page = context.new_page()
            self.page.add_init_script(f"({LISTEN})()")
            self.page.goto(self.base + entry.address)
            self.entries, self.at = [entry], 0
            if (found := self._found()) != entry:
                wrong.append(f"{entry.address} after {self.went}: {_differences(entry, found)}")
            context.close()
        return wrong

    def look(self) -> Entry:
        """The page, once it stays as it is."""
        settle(self.page, "")
        deadline, seen = clocks.monotonic() + 300, list[Entry]()
        while clocks.monotonic() < deadline:
            self.page.wait_for_timeout(250)
            settle(self.page, "")
            if not self.page.evaluate(IDLE):
                seen.clear()
                continue
            expect(self.page.locator(FETCHED)).to_have_count(0)
            seen.append(self._now())
            if seen[-1].picture["title"] and seen[-3:] == [seen[-1]] * 3:
                return seen[-1]
        raise AssertionError(f"The page does not come to rest: {self.went}: {_differences(seen[-2], seen[-1])}")

    def _now(self) -> Entry:
        return Entry(self.page.url.removeprefix(self.base), _still(self.page.evaluate(PICTURE)))

    def _take_effect(self, before: Entry) -> None:
        """A click has come to the page, however slow the machine is; some change nothing."""
        deadline = clocks.monotonic() + SLOW
        while self._now() == before and clocks.monotonic() < deadline:
            self.page.wait_for_timeout(100)

    def _go(self, by: int, move: Callable[[], Any]) -> None:
        self.went.append({-1: "back", 0: "reload", 1: "forward"}[by])
        before = self.entries[self.at]
        move()
        self.at += by
        if self.entries[self.at] != before:
            self._take_effect(before)
        wanted, found = self.entries[self.at], self._found()
        if found != wanted:
            self.different.append(f"{self.went}: {_differences(wanted, found)}")
            self.entries[self.at] = found

    def _found(self) -> Entry:
        """What is there; one more look where it is not what is wanted, for a slow machine."""
        found = self.look()
        if found != self.entries[self.at]:
            self.page.wait_for_timeout(1_500)
            found = self.look()
        return found

    def _act(self) -> None:
        here = self.entries[self.at]
        steps = [step for step in self._steps(here) if step is not None]
        step = self.dice.choice(steps)
        self.went.append(f"{here.address} {step.name}")
        step.do()
        self._take_effect(here)
        found = self.look()
        if step.is_entry and found != here:
            self.entries = [*self.entries[: self.at + 1], found]
            self.at += 1
        else:
            self.entries[self.at] = found
        if "draft=" in found.address:  # one form, wherever it stands in the list
            self.entries = [found if one.address == found.address else one for one in self.entries]

    def _steps(self, here: Entry) -> list[Step | None]:
        """The sidebar, and what the page offers."""
        places = ["Runs", "New run", "Data", "Compare", "Annotators", "Examples", "Relabel", "Paper", "System"]
        name = here.address.partition("?")[0].strip("/") or "runs"
        there = [place for place in places if place.lower().replace(" ", "_") != name]
        bar = self.page.get_by_test_id("stSidebarNav")
        place = self.dice.choice(there)
        aside = Step(f"to {place}", bar.get_by_role("link", name=place, exact=True).click)
        own: list[Step | None] = getattr(self, f"_on_{name}", list)()
        return [aside, *own, *own]

    def _on_runs(self) -> list[Step | None]:
        text = self.dice.choice(["small", "too", ""])
        line = self.dice.choice([1, 2, 3])
        return [
            Step("search", lambda: self._write(self.page.get_by_placeholder("name, model, sweep"), text), False),
            self._choice("runs_sort_by_", self.dice.choice(["Sort by GRA, %", "Sort by name"])),
            self._choice("runs_group_by_", "Group by nothing: one line per run"),
            Step("tick", lambda: self._grid(TICK, line)),
            Step("open", lambda: self._grid(OPEN, line)),
            Step("open", lambda: self._grid(OPEN, 1)),
            self._button("New run"),
            self._button(re.compile("^Compare [0-9]")),
        ]

    def _on_run(self) -> list[Step | None]:
        tab = self.dice.choice(["Answers", "Configuration", "Log", "Attempts"])
        return [
            Step(tab, self.page.get_by_role("tab", name=tab, exact=True).click, False),
            self._button("Duplicate & edit"),
            self._link("50 least confident pairs"),
            self._link("Vote on pairs"),
        ]

    def _on_compare(self) -> list[Step | None]:
        tab = self.dice.choice(["Annotators", "Answers", "Head to head", "Cost"])
        found = self.page.get_by_role("tab", name=tab, exact=True)
        return [Step(tab, found.click, False) if found.count() else None, self._other("Held against")]

    def _on_examples(self) -> list[Step | None]:
        human = self.page.get_by_text("Show human labels", exact=True)
        return [
            self._choice("order", self.dice.choice(["Most confident", "Least confident"]), is_entry=False),
            self._choice("agreement", "agree", is_entry=False),
            Step("human labels", human.click, False) if human.count() else None,
            self._button("Next"),
            self._button("Next"),
            self._button("Previous"),
            self._button("First page"),
            self._other("Run"),
            self._link("Vote on pairs of this run"),
        ]

    def _on_annotators(self) -> list[Step | None]:
        return [self._link("Pairs where it is confident and the human disagrees"), self._other("Annotator")]

    def _on_relabel(self) -> list[Step | None]:
        look = self.page.get_by_role("button", name=self.dice.choice(["Vote", "Agreement", "Sets and files"]))
        return [Step("look", look.first.click, False) if look.count() else None, self._other("Run")]

    def _on_new_run(self) -> list[Step | None]:
        seeds = self.page.locator(".st-key-new_run-seeds input")
        is_new = "draft=" not in self.page.url
        return [Step("seeds", lambda: self._write(seeds, str(self.dice.randrange(9))), is_new)]

    def _button(self, name: Any) -> Step | None:
        found = self.page.get_by_test_id("stMain").get_by_role("button", name=name, exact=isinstance(name, str))
        is_there = found.count() == 1 and found.is_enabled()
        return Step(str(name), found.click) if is_there else None

    def _link(self, name: str) -> Step | None:
        found = self.page.get_by_test_id("stMain").get_by_role("link", name=name, exact=True)
        return Step(name, found.first.click) if found.count() else None

    def _other(self, label: str) -> Step | None:
        """Something else of a list."""
        field = self.page.get_by_role("combobox", name=label)
        return Step(f"another {label}", lambda: self._choose(field.first)) if field.count() else None

    def _choice(self, key: str, option: str, *, is_entry: bool = True) -> Step | None:
        is_there = self.page.locator(self._keyed(key)).count()
        return Step(f"{key}: {option}", lambda: self._pick(key, option), is_entry) if is_there else None

    def _choose(self, field: Locator) -> None:
        """One by chance, of the list that is opened again where the page closed it."""
        options, place = self.page.get_by_role("option"), None
        for _ in range(OPENINGS):
            if not options.first.is_visible():
                field.click()
            with suppress(PlaywrightTimeout):
                options.first.wait_for(timeout=SOON)
                place = self.dice.randrange(options.count()) if place is None else place
                options.nth(place).click(timeout=SOON)
                return
        raise AssertionError(f"A list does not stay open: {self.went}")

    def _pick(self, key: str, option: str) -> None:
        pick(self.page.locator(self._keyed(key)).get_by_role("combobox"), option)

    def _keyed(self, key: str) -> str:
        """Of a key, or of all that begin so where it ends in an underscore."""
        return f'[class*="st-key-{key}"]' if key.endswith("_") else f".st-key-{key}"

    def _write(self, field: Locator, text: str) -> None:
        field.fill(text)
        field.press("Enter")

    def _grid(self, across: int, line: int) -> None:
        grid = self.page.locator('[data-stale="false"] [data-testid="stDataFrame"]')
        place = grid.first.bounding_box() if grid.count() else None
        if place is not None and place["height"] > (line + 1) * LINE:
            self.page.mouse.click(place["x"] + across, place["y"] + line * LINE + LINE / 2)


def _still(picture: Picture) -> Picture:
    if picture["title"] == [LIVE]:
        return {"title": picture["title"]}
    return {name: [word for word in words if not PASSING.search(word)] for name, words in picture.items()}


def _differences(wanted: Entry, found: Entry) -> str:
    parts = [f"{found.address} for {wanted.address}"] if wanted.address != found.address else []
    for name, words in wanted.picture.items():
        now = found.picture.get(name, [])
        if now != words:
            parts.append(f"{name}: {[w for w in now if w not in words]} for {[w for w in words if w not in now]}")
    return "; ".join(parts)
