"""Each page is driven once with every widget changed once: nothing breaks, nothing comes from elsewhere, and a reload
shows what was there. What is pressed changes runs, so the pages stand over a copy of the computed ones."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.app.driving import Driver
from tests.app.served import TITLES, address
from tests.app.visits import Computed
from tests.e2e.serving import ROOT, Web, served

# Pressed elsewhere, because it takes long: a part of the widget's name, and where.
ELSEWHERE = {
    "export_model": "tests/e2e/test_model.py: a process with the models",
    "new_run-more": "tests/e2e/test_journeys.py: every field of a run",
}
# Texts that would not run in the direction of their first letter.
TURNED = """() => [...document.querySelectorAll('[data-testid=stText], [data-testid=stCode] code')].filter(
  at => getComputedStyle(at).unicodeBidi !== 'plaintext').length"""
LAST = ("run", "")  # pages on which runs are deleted


@dataclass(frozen=True)
class Served:
    """A dashboard of this file alone."""

    url: str
    log: Path


@pytest.fixture(scope="module")
def own(results: Computed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The dashboard over a copy of the computed runs."""
    home = tmp_path_factory.mktemp("driven") / "home"
    shutil.copytree(results.environment["CWPO_HOME"], home)
    address = f"sqlite:///{home / 'db.sqlite'}"
    environment = {**results.environment, "CWPO_HOME": str(home), "DATABASE_URL": address, "HF_HUB_OFFLINE": "1"}
    with served(Web(home=home, environment=environment)) as web:
        yield Served(url=web.url, log=home / "log")


def test_every_page_is_driven() -> None:
    screens = re.findall(r'st\.Page\("screens/(\w+)\.py"', (ROOT / "app" / "main.py").read_text(encoding="utf-8"))
    assert {"" if name == "runs" else name for name in screens} == set(TITLES)


@pytest.mark.parametrize("path", sorted(TITLES, key=LAST.__contains__))
def test_every_widget_can_be_changed(own: Served, results: Computed, browser: Browser, path: str) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light", bypass_csp=True)
    driver, read = Driver.of(context, ELSEWHERE), len(own.log.read_text())
    driver.open(address(own.url, path, results))
    assert driver.page.title() == f"{TITLES[path] or f'Run {results.sweep[-1]}'} · CW-PO"
    assert driver.page.evaluate(TURNED) == 0
    driver.drive()
    all_saved, before = driver.all_saved(), driver.shown()
    driver.page.reload()
    driver.idle()
    after = driver.shown()
    context.close()
    assert driver.done
    assert driver.useless == []
    assert all_saved
    assert after == before
    assert "Traceback" not in own.log.read_text()[read:]
