"""Where Redis is, and whether strangers could be in it."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cwpo.config.environment import settings
from cwpo.errors import ConfigError
from workers.machine.paths import home
from workers.machine.state_files import said_of_stack

NAME = "REDIS_URL"
_USUAL = "redis://127.0.0.1:6379/0"


def redis_url() -> str:
    """REDIS_URL, else the address of the stack that runs over this CWPO_HOME, else Redis' own default."""
    if url := settings.redis_url:
        return url
    stack = said_of_stack(home())
    return _USUAL if stack is None else str(stack["redis_url"])


def socket_path(url: str) -> Path | None:
    """The file behind a unix:// address, None for TCP."""
    return Path(url.removeprefix("unix://").split("?")[0]) if url.startswith("unix://") else None


def refusal(url: str) -> str | None:
    """Why this address is not used, in a sentence; None where it has a password, is a socket's file, or was asked for.

    Behind a TCP address without a password is whoever reaches the port, on loopback every user of the machine.
    """
    if settings.redis_trusted or socket_path(url) is not None or _has_password(url):
        return None
    if url == _USUAL and settings.redis_url is None:
        return (
            "is not set, and nothing that was started here brings a Redis: run `cwpo start` or `make start`, or name a "
            "server."
        )
    return (
        "has no password, so that everybody who reaches its port, every user of this machine too, can take work away "
        "from the workers: give it one (redis://:password@host:6379/0), use a socket (unix:///folder/redis.sock) in a "
        "folder of yours, or set CWPO_REDIS_TRUSTED=1."
    )


def check(url: str) -> None:
    """Raise ConfigError for an address that is not used; for what starts."""
    if said := refusal(url):
        raise ConfigError(NAME, said)


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.password or parse_qs(parts.query).get("password"))
    except ValueError:
        return False
