"""Secrets are taken out of every text that is kept, logged or shown: known values, and what looks like one.

Known are the values of this process's environment variables whose names say that they are secret (HF_TOKEN, anything
with KEY, SECRET, PASSWORD, TOKEN or WEBHOOK as a word), and passwords in the addresses that others hold (DATABASE_URL,
REDIS_URL). Others are recognised by their form. Free of torch; cwpo.config.environment reads the environment.
"""

import functools
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote

MASK = "…"
_SHORTEST = 6  # characters of a value that is looked for wherever it stands; shorter ones are words
_SECRET_NAME = re.compile(
    r"(^|_)(TOKENS?|SECRETS?|PASSWORD|PASSWD|PASS|PASSPHRASE|KEY|APIKEY|CREDENTIALS?|PAT|WEBHOOKS?|AUTH)(_|$)"
)
_PLACE_NAME = re.compile(r"_(PATH|FILE|DIR|FOLDER|HOME|SOCK|NAME|USERNAME|USER)$")
_IN_ADDRESS = re.compile(r"([\w+.-]+)://([^/?#\s]*)@")
_ASKED = re.compile(r"[?&](?:password|token|key|secret|sig|signature)=([^&\s]+)", re.IGNORECASE)
_ADDRESS_PARTS = re.compile(r"https?://[^/\s]+(/[^\s,]+)")  # of a webhook: what follows the host is the secret

_FORMS = re.compile(
    r"""
    -----BEGIN\ [A-Z ]{0,20}PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]{0,20}PRIVATE\ KEY-----|\Z)   # PEM
    | (?<=://)[^/?#\s]+(?=@)                                    # user:password@ and token@ of an address
    | (?<=hooks\.slack\.com/)\S+ | (?<=/api/webhooks/)\S+       # Slack, Discord
    | \bhf_[A-Za-z0-9]{16,}                                     # the hub
    | \bgh[pousr]_[A-Za-z0-9]{16,} | \bgithub_pat_\w{20,} | \bglpat-[\w-]{16,}
    | \b(?:sk|pk|rk)-[A-Za-z0-9][\w-]{15,}                      # OpenAI, Anthropic and others
    | \bxox[abeoprs]-[\w-]{10,} | \bAIza[\w-]{35} | \bnpm_[A-Za-z0-9]{30,} | \bpypi-[\w-]{16,}
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                             # AWS
    | \beyJ[\w-]{8,400}\.eyJ[\w-]{8,4000}\.[\w-]+                      # JSON web tokens
    """,
    re.VERBOSE | re.DOTALL,
)
# No part that repeats may begin at every character: texts are long.
# `password=…`, `"api_key": "…"`, `HF_TOKEN=…`, `Authorization: Bearer …`: what stands before the value stays.
_NAMED = re.compile(
    r"""
    (?P<kept>
      (?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key)
        ["']?\s*[=:]\s*["']?
      | (?:(?:access|auth|bearer|refresh|session|write|tracking|hub|hf|api|secret|id)[_-]|(?<![\w-]))token
        ["']?=["']?(?=\S{8})
      | \b(?:proxy-)?authorization["']?\s*[=:]\s*["']?(?:bearer\s+|basic\s+|token\s+)?
      | \b[Bb]earer\s+(?=[\w.~+/=-]{12})
    )
    (?P<secret>[^\s"'&,;<>]+)
    """,
    re.VERBOSE | re.IGNORECASE,
)


class _Known:
    """Where the environment is looked at; told by the one module that reads it."""

    def __init__(self) -> None:
        self.variables: Callable[[], Mapping[str, str]] = dict


_known = _Known()


def know_from(variables: Callable[[], Mapping[str, str]]) -> None:
    """Take secrets from these variables from now on; they are asked for again at each text."""
    _known.variables = variables


def without_secrets(text: str) -> str:
    """The text with every secret replaced by `…`."""
    values = _of(tuple(_telling(_known.variables())))
    for value in values:
        if value in text:
            text = text.replace(value, MASK)
    return _NAMED.sub(lambda found: f"{found['kept']}{MASK}", _FORMS.sub(MASK, text))


def _telling(variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """The variables that hold a secret or an address."""
    return [(name, value) for name, value in variables.items() if "://" in value or _is_secret(name)]


@functools.lru_cache(maxsize=256)
def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name.upper())) and not _PLACE_NAME.search(name.upper())


@functools.lru_cache(maxsize=8)
def _of(variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The values to look for, long ones first, so that none is left of which another is a part."""
    found: set[str] = set()
    for name, value in variables:
        if "://" in value:
            found.update(_in_addresses(value, _is_secret(name)))
        else:
            found.add(value.strip())
    written = {form for value in found for form in (value, unquote(value), quote(value, safe=""))}
    return tuple(sorted((value for value in written if len(value) >= _SHORTEST), key=lambda one: (-len(one), one)))


def _in_addresses(value: str, is_secret: bool) -> set[str]:
    """Passwords and tokens in an address, or in several; of a secret address also what follows its host."""
    found = {part for scheme, who in _IN_ADDRESS.findall(value) for part in _after_user(scheme, who)}
    found.update(_ASKED.findall(value))
    if is_secret:
        found.update(_ADDRESS_PARTS.findall(value))
    return found


def _after_user(scheme: str, who: str) -> list[str]:
    """The password of `user:password`; a token that stands alone, as in https://token@host."""
    user, colon, password = who.partition(":")
    if colon:
        return [password]
    return [user] if scheme.startswith("http") else []
