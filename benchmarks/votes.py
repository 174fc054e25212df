"""Votes by keys in a real browser while the web process is killed: is every vote that was shown as saved there, once?

`python -m benchmarks votes --votes 500 --kills 20`: prints one JSON line. tests/e2e/test_relabel.py does it with a few.
"""

import argparse
import json
import os
import random
import re
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Error, Page, expect, sync_playwright

from app.components.frame.relabel_address import RelabelView
from db import queries
from db.engine import upgrade
from tests import browser
from tests.e2e.serving import Web, served
from tests.signed_in import signed_in
from tests.workers.labeled import labeled_run
from workers.machine.database import reading

SAVED = re.compile(r"Saved: pair ([0-9a-f]{8}), you said (\w+)")
ASKED = 120_000  # ms that the page has to ask for a vote: on a busy machine its parts come late
PATIENCE = 60.0  # seconds that a vote has to be shown as saved


@dataclass
class Voter:
    """Somebody who votes by keys, and writes down what the page showed as saved: pair and vote."""

    page: Page
    shown: list[tuple[str, str]] = field(default_factory=list)

    def saved(self) -> tuple[str, str] | None:
        """What the page says of the newest vote."""
        line = self.page.get_by_text(SAVED)
        found = SAVED.search(line.first.inner_text(timeout=5_000)) if line.count() else None
        return (found[1], found[2]) if found else None

    def vote(self, key: str, seconds: float = PATIENCE) -> bool:
        """Press a key once the page hears keys, and wait until it shows another vote as saved; False where it did
        not."""
        asked(self.page)
        before = self.saved()
        self.page.locator("body").press(key)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            now = self.saved()
            if now is not None and now != before:
                self.shown.append(now)
                return True
            self.page.wait_for_timeout(30)
        return False


def address(web: Web, run: int, person: str, queue: str = "lowest", people: int = 1) -> str:
    """The page on which this person votes."""
    view = RelabelView(run=run, person=person, queue=queue, people=people)  # type: ignore[arg-type]
    return f"{web.url}/relabel?{urlencode(view.to_params(), doseq=True)}"


def opened(page: Page, url: str) -> None:
    """The page asks for a vote, and hears keys."""
    page.goto(url)
    asked(page)


def asked(page: Page) -> None:
    """The script has ended, and the buttons are drawn, which is when they hear keys."""
    expect(page.locator(".st-key-relabel_a button")).to_be_enabled(timeout=ASKED)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=ASKED)


def vote_through(page: Page, web: Web, run: int, person: str, wanted: int, kills: int, dice: random.Random) -> Voter:
    """Vote until so many votes were shown as saved, killing the web process so often, each time within a vote."""
    opened(page, address(web, run, person, "random"))
    voter = Voter(page)
    at = sorted(dice.sample(range(1, wanted), kills))
    while len(voter.shown) < wanted:
        if at and len(voter.shown) >= at[0]:
            at.pop(0)
            kill_in_a_vote(page, web, dice)
        try:
            voter.vote(dice.choice("1234"), 8)
        except Error:  # the line is drawn anew at this moment
            page.wait_for_timeout(100)
    return voter


def kill_in_a_vote(page: Page, web: Web, dice: random.Random) -> None:
    """A key, a moment, SIGKILL: the vote is there or not, and the page comes back by itself."""
    page.locator("body").press(dice.choice("12"))
    time.sleep(dice.uniform(0, 0.3))
    web.end(signal.SIGKILL)
    web.start()
    asked(page)


def check(run: int, person: str, shown: list[tuple[str, str]]) -> int:
    """How many votes of this person hold: one for each pair, and for what was shown as saved the one that was shown."""
    with reading() as session:
        rows = [row for row in queries.standing_votes(session, [run]) if row.person == person]
        every = queries.newest_votes(session, run, person, limit=100_000)
    if not len({row.pair_id for row in rows}) == len(rows) == len(every):
        raise AssertionError("a vote is there twice")
    stored = {row.pair_id[:8]: row for row in rows}
    for pair, said in dict(shown).items():
        row = stored[pair]
        letter = "A" if row.vote == row.shown_left else "B"
        if said != (letter if row.vote in ("a", "b") else row.vote):
            raise AssertionError(f"pair {pair} was shown as {said} and is stored as {row.vote}")
    return len(rows)


def main() -> int:
    """A home of its own, a labeled run, the votes, the check."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--votes", type=int, default=500)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ |= {"CWPO_HOME": folder, "DATABASE_URL": f"sqlite:///{home / 'cwpo.sqlite'}",
                       "REDIS_URL": "redis://127.0.0.1:1/0"}  # fmt: skip
        upgrade(os.environ["DATABASE_URL"])
        run = labeled_run(2 * chosen.votes)
        began = time.monotonic()
        with served(Web(home=home)) as web, sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser.chromium_path(), args=browser.ARGUMENTS)
            signed_in(chromium)
            page = chromium.new_page()
            voter = vote_through(page, web, run, "Ada", chosen.votes, chosen.kills, random.Random(chosen.seed))
            chromium.close()
        stored = check(run, "Ada", voter.shown)
    figures = {"shown": len(voter.shown), "stored": stored, "kills": chosen.kills, "lost": 0, "doubled": 0,
               "seconds": round(time.monotonic() - began, 1)}  # fmt: skip
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
