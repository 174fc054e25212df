"""The start token: whoever has it may use the dashboard of this installation from a browser on its machine.

It lies in a file under CWPO_HOME that its owner alone can read, and stays the same over restarts. A browser gives it
once, in the link that the launcher prints, and gets a value for its cookie that is made of it: the token itself is in
no cookie.
"""

import hashlib
import hmac
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from cwpo.errors import ConfigError

_LENGTH = 32  # bytes of randomness
_TOKEN = re.compile(r"[\w-]{43}", re.ASCII)
_NAME = re.compile(r"[0-9a-f]{16}")  # of a browser


def token_file(home: Path) -> Path:
    """Where the token of an installation lies."""
    return home / "start-token"


def token_of(home: Path) -> str:
    """The token of this installation; it is made where there is none. ConfigError where that cannot be."""
    path = token_file(home)
    if token := _read(path):
        return token
    try:
        home.mkdir(parents=True, exist_ok=True)
        _make(path)
    except OSError as error:
        raise ConfigError("CWPO_HOME", f"its start token {path} cannot be written: {error.strerror}.") from error
    if token := _read(path):
        return token
    raise ConfigError("CWPO_HOME", f"its start token {path} was removed while it was read: ask once more.")


def renew(home: Path) -> str:
    """Another token: every browser that came in by the old one has to come in again."""
    token_file(home).unlink(missing_ok=True)
    return token_of(home)


def cookie_for(token: str, browser: str) -> str:
    """What a browser keeps. `browser`: 16 hexadecimal digits that tell it from others."""
    return f"{browser}.{_signature(token, browser)}"


def new_browser() -> str:
    """A name for a browser that has none yet."""
    return secrets.token_hex(8)


def browser_of(token: str, cookie: str) -> str | None:
    """The browser that keeps this cookie; None where it was not made of the token."""
    browser, _, signature = cookie.partition(".")
    good = hmac.compare_digest(signature.encode(), _signature(token, browser).encode())
    return browser if good and _NAME.fullmatch(browser) else None


def is_token(token: str, given: str) -> bool:
    """Whether that is the token; takes the same time whatever is wrong with it."""
    return hmac.compare_digest(given.encode(), token.encode())


def _signature(token: str, browser: str) -> str:
    return hmac.new(token.encode(), f"browser {browser}".encode(), hashlib.sha256).hexdigest()


def _read(path: Path) -> str:
    """What the file says; empty where there is none. Another content than a token is refused in a sentence."""
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError("CWPO_HOME", f"its start token {path} cannot be read: {error.strerror}.") from error
    if not _TOKEN.fullmatch(text):
        raise ConfigError("CWPO_HOME", f"{path} holds no start token; delete it, and the next start makes another.")
    return text


def _make(path: Path) -> None:
    """Written aside and linked, so that of two processes one makes it and nobody reads half of it."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_LENGTH))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()
