"""Back, Forward and a reload show what was there: whichever page was left, in whichever state, at its address.

With WALKS=30 STATES=60 in the environment: thirty walks, and every address of them in a fresh browser.
"""

import random

import pytest
from playwright.sync_api import Browser

from tests.amounts import amount
from tests.app.walker import Walker

WALKS = amount("WALKS", 1)
STEPS = amount("STEPS", 10)
STATES = amount("STATES", 2)  # of each walk, that are opened in a browser of their own


@pytest.mark.parametrize("seed", range(WALKS))
def test_a_walk_back_and_forward_finds_every_page_as_it_was_left(served: str, browser: Browser, seed: int) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    walker = Walker(page, served, random.Random(seed))
    assert walker.walk(STEPS) == []
    context.close()
    assert walker.seen_afresh(browser, STATES) == []
