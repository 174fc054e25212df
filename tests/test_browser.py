"""The browser tests take the browser that a person means, and say what to install when there is none."""

from pathlib import Path

import pytest

from tests import browser


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without a browser, on which nothing can be installed; `tmp_path / "bin"` is its PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "cache"))
    monkeypatch.setattr(browser, "from_debian", lambda: None)
    monkeypatch.setattr(browser, "from_playwright", lambda: None)
    monkeypatch.setattr(browser.tempfile, "gettempdir", lambda: str(tmp_path))
    browser.chromium_path.cache_clear()
    yield tmp_path
    browser.chromium_path.cache_clear()


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_named_browser_comes_before_the_one_on_path(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(bare / "bin" / "chromium")
    mine = program(bare / "mine")
    monkeypatch.setenv("CHROMIUM", str(mine))
    assert browser.chromium_path() == str(mine)


def test_a_wrong_name_is_not_replaced_by_another_browser(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(bare / "bin" / "chromium")
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(browser.NoBrowser, match="CHROMIUM=/nowhere/chromium is not a program"):
        browser.chromium_path()


def test_the_browser_on_path_comes_before_a_downloaded_one(bare: Path) -> None:
    program(bare / "cache" / "chromium-1234" / "chrome-linux" / "chrome")
    on_path = program(bare / "bin" / "google-chrome")
    assert browser.chromium_path() == str(on_path)


def test_pages_are_tested_without_windows_where_that_can_be_had(bare: Path) -> None:
    full = program(bare / "bin" / "chromium")
    assert browser.tested_path() == str(full)
    downloaded = program(bare / "cache" / "chromium_headless_shell-12" / "chrome-linux" / "headless_shell")
    assert browser.tested_path() == str(downloaded)
    on_path = program(bare / "bin" / "chromium-headless-shell")
    assert browser.tested_path() == str(on_path)
    assert browser.chromium_path() == str(full), "what is measured is what people have"


def test_the_named_browser_is_the_tested_one_even_where_another_has_no_windows(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare / "bin" / "chromium-headless-shell")
    monkeypatch.setenv("CHROMIUM", str(mine := program(bare / "mine")))
    assert browser.tested_path() == str(mine)


def test_an_earlier_download_is_found(bare: Path) -> None:
    downloaded = program(bare / "cache" / "chromium-1234" / "chrome-linux" / "chrome")
    assert browser.chromium_path() == str(downloaded)


def test_debian_comes_before_a_download(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "from_debian", lambda: Path("/usr/bin/chromium"))
    monkeypatch.setattr(browser, "from_playwright", lambda: Path("/downloaded/chrome"))
    assert browser.chromium_path() == "/usr/bin/chromium"


def test_without_any_way_the_error_names_what_to_install(bare: Path) -> None:
    with pytest.raises(browser.NoBrowser, match="apt-get install chromium"):
        browser.chromium_path()
