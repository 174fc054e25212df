"""The browser of the end-to-end tests: one that is here, or one that can be installed."""

import functools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# The same pages and scripts without the windows around them: two thirds of the processor time.
WITHOUT_WINDOWS = ("chromium-headless-shell", "chrome-headless-shell", "headless_shell")
APT = {"DEBIAN_FRONTEND": "noninteractive"}
INSTALL_SECONDS = 900
# Without these a headless browser started by root refuses to run, or looks for servers of its maker.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class NoBrowser(Exception):
    """No Chromium is here and none could be installed."""


def playwright_cache() -> Path:
    """Where Playwright keeps the browsers that it downloaded."""
    if chosen := os.environ.get("PLAYWRIGHT_BROWSERS_PATH"):
        return Path(chosen)
    if platform.system() == "Darwin":
        return Path.home() / "Library" / "Caches" / "ms-playwright"
    return Path.home() / ".cache" / "ms-playwright"


def named() -> Path | None:
    """The browser that CHROMIUM names; a wrong name is an error, not a reason to take another."""
    if not (chosen := os.environ.get("CHROMIUM")):
        return None
    if found := shutil.which(chosen):
        return Path(found)
    raise NoBrowser(f"CHROMIUM={chosen} is not a program: give it the path of a Chromium, or unset it.")


def installed() -> Path | None:
    """A Chromium on PATH, else the newest that Playwright downloaded earlier."""
    for command in COMMANDS:
        if found := shutil.which(command):
            return Path(found)
    return _downloaded("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*")


def without_windows() -> Path | None:
    """A Chromium that was built without windows, on PATH, else the newest that Playwright downloaded earlier."""
    for command in WITHOUT_WINDOWS:
        if found := shutil.which(command):
            return Path(found)
    return _downloaded(*(f"chromium_headless_shell-*/*/{command}" for command in WITHOUT_WINDOWS))


def _downloaded(*patterns: str) -> Path | None:
    found = [path for pattern in patterns for path in playwright_cache().glob(pattern)]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def can_apt_install() -> bool:
    """Whether this is Debian or one of its children, and we are root."""
    return os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def from_debian() -> Path | None:
    """Install the distribution's Chromium."""
    if not can_apt_install():
        return None
    install = ["apt-get", "install", "-yq", "--no-install-recommends"]
    for command in (["apt-get", "update", "-q"], [*install, "chromium"], [*install, WITHOUT_WINDOWS[0]]):
        subprocess.run(command, env=os.environ | APT, timeout=INSTALL_SECONDS, check=False, stdout=sys.stderr)
    return installed()


def from_playwright() -> Path | None:
    """Let Playwright download its own build of Chromium."""
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    subprocess.run(command, timeout=INSTALL_SECONDS, check=False, stdout=sys.stderr)
    return installed()


def tested_path() -> str:
    """The Chromium to test with: the one that CHROMIUM names, else one without windows, else any."""
    if found := named() or without_windows():
        return str(found)
    chromium = chromium_path()  # another one may have come with it
    return str(without_windows() or chromium)


@functools.cache
def chromium_path() -> str:
    """The Chromium that people have; test processes that start together install it once."""
    if found := named() or installed():
        return str(found)
    with FileLock(Path(tempfile.gettempdir()) / "cwpo-chromium.lock", timeout=2 * INSTALL_SECONDS):
        if found := installed() or from_debian() or from_playwright():
            return str(found)
    raise NoBrowser(
        "The browser tests need Chromium: install it (on Debian or Ubuntu: apt-get install chromium), "
        "or name one with CHROMIUM=/path/to/chromium, then run make test again."
    )
