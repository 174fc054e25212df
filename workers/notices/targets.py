"""Who is told: the addresses of CWPO_WEBHOOK. Their paths are secrets, which are neither shown nor logged."""

import hashlib
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from cwpo.config.environment import settings
from cwpo.errors import ConfigError

NAME = "CWPO_WEBHOOK"
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Target:
    """One address. `shown` and `hash` are what pages, logs and the database get of it."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    hash: str

    @property
    def shown(self) -> str:
        """Scheme and host; what follows is secret."""
        port = "" if PORTS[self.scheme] == self.port else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{port}/…"


def targets() -> tuple[Target, ...]:
    """Every address, once."""
    texts = [part.strip() for part in (settings.webhook or "").split(",") if part.strip()]
    return tuple({target.hash: target for target in map(read, texts)}.values())


def read(text: str) -> Target:
    """One address; what is wrong with it is said without repeating it."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ConfigError(NAME, "is no address: write https://host/path, several with commas between.") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise ConfigError(NAME, "must begin with https:// or http:// and name a host; several have commas between.")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(NAME, "may hold no user name or password; put the secret into the path or the query.")
    if not text.isascii() or any(character.isspace() or ord(character) < 32 for character in text):
        raise ConfigError(NAME, "may hold neither spaces nor letters beyond ASCII: write them as %XX.")
    return Target(
        scheme=parts.scheme, host=parts.hostname, port=port or PORTS[parts.scheme], path=_path(parts),
        hash=hashlib.sha256(text.encode()).hexdigest(),
    )  # fmt: skip


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
