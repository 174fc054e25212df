"""The three ways in: the start token on this machine, a login, or a proxy that says who it is; decided once, at start.

Another address than loopback needs one of the last two. What is wrong is a sentence, and then nothing starts.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from app.door.addresses import EVERYWHERE, Addresses, origin_of, stays_here
from cwpo.config.environment import Environment
from cwpo.errors import ConfigError
from workers.access.start_token import token_of

SHORTEST_SECRET = 32  # characters of what signs the cookies of a login
CALLBACK = "/oauth2callback"  # where Streamlit takes people back


class Way(StrEnum):
    """How somebody comes in."""

    TOKEN = "token"  # noqa: S105 - the name of a way
    LOGIN = "login"
    PROXY = "proxy"


@dataclass(frozen=True, kw_only=True)
class Door:
    """What was decided. `prefix`: empty, or the path that all addresses begin with, as `/cwpo`.

    `proxies`: addresses that connections may come from; their `header` names the person. `home`: where the token lies.
    """

    way: Way
    addresses: Addresses
    prefix: str
    home: Path
    header: str = ""
    proxies: frozenset[str] = field(default_factory=frozenset)

    @property
    def token(self) -> str:
        """The start token, as the file has it now."""
        return token_of(self.home)


def decide(server: Mapping[str, Any], login: Mapping[str, Any] | None, settings: Environment) -> Door:
    """The door of a server. `server`: Streamlit's `address` and `baseUrlPath`; `login`: `[auth]` of the secrets.

    ConfigError where nothing would keep others out, or where what was set does not fit together.
    """
    address = str(server.get("address") or EVERYWHERE).strip("[]")
    public = _public(settings, login)
    way = _way(address, login, settings)
    if way is Way.LOGIN:
        _check_login(login or {})
    if way is Way.PROXY:
        _check_proxy(settings)
    if public is None and not stays_here(address):
        raise ConfigError("CWPO_PUBLIC_URL", f"says where people reach a dashboard that listens on {address}: set it.")
    path = str(server.get("baseUrlPath") or "").strip("/")
    return Door(
        way=way,
        addresses=Addresses.of(address, public),
        prefix=f"/{path}" if path else "",
        home=settings.home,
        header=(settings.proxy_header or "").lower(),
        proxies=frozenset(settings.proxy_addresses),
    )


def _way(address: str, login: Mapping[str, Any] | None, settings: Environment) -> Way:
    if settings.proxy_header and login:
        raise ConfigError("CWPO_PROXY_HEADER", "and [auth] in secrets.toml both sign people in: keep one of them.")
    if settings.proxy_header:
        return Way.PROXY
    if login:
        return Way.LOGIN
    if stays_here(address):
        return Way.TOKEN
    raise ConfigError(
        "server.address",
        f"{address} can be reached from other machines, and nobody would have to sign in there: set up a login or "
        "name a trusted proxy (docs/deploy.md), or listen on 127.0.0.1.",
    )


def _public(settings: Environment, login: Mapping[str, Any] | None) -> str | None:
    """The origin that people see, where it is another one than the server's own."""
    if settings.public_url:
        if (origin := origin_of(settings.public_url)) is None:
            raise ConfigError("CWPO_PUBLIC_URL", f"must be as https://host/path, not {settings.public_url!r}.")
        return origin
    return origin_of(str(login.get("redirect_uri", ""))) if login else None


def _check_login(login: Mapping[str, Any]) -> None:
    if importlib.util.find_spec("authlib") is None:
        raise ConfigError("secrets.toml", "[auth] needs Authlib for the login: pip install 'cwpo[login]'.")
    if not str(login.get("redirect_uri", "")).endswith(CALLBACK):
        raise ConfigError("secrets.toml", f"redirect_uri in [auth] must be the dashboard's address and {CALLBACK}.")
    if len(str(login.get("cookie_secret", ""))) < SHORTEST_SECRET:
        raise ConfigError(
            "secrets.toml",
            f"cookie_secret in [auth] must have {SHORTEST_SECRET} characters at least: "
            'python -c "import secrets; print(secrets.token_hex(32))" makes one.',
        )
    if not providers(login):
        raise ConfigError("secrets.toml", "[auth] needs client_id, client_secret and server_metadata_url.")


def providers(login: Mapping[str, Any]) -> list[str | None]:
    """Who signs people in: None is the one that stands in [auth] itself, the others have a section of their own."""
    own: list[str | None] = [None] if "client_id" in login else []
    return [*own, *(name for name, section in login.items() if isinstance(section, Mapping) and "client_id" in section)]


def _check_proxy(settings: Environment) -> None:
    if not settings.proxy_addresses:
        raise ConfigError("CWPO_PROXY_ADDRESS", "says from where the proxy of CWPO_PROXY_HEADER connects: set it.")
    if settings.forwarded_allow_ips != "":
        raise ConfigError(
            "FORWARDED_ALLOW_IPS",
            "must be empty behind a trusted proxy, or anybody on this machine could say to be the proxy: "
            "`cwpo start` and deploy/web.sh set it so.",
        )
