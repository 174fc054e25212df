"""Questions in JSON to a server that somebody named: no redirect, no proxy, no metadata server, an end in time."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cwpo.errors import ConfigError
from workers.mirror.place import Away, Refused
from workers.notices.post import NotSent, exchange
from workers.notices.targets import PORTS, Target

SECONDS = 30.0
MOST_BYTES = 64 * 2**20
REFUSALS = (400, 409, 413, 422)  # of what was sent, not of who sends it or when
NO_ANSWER = "is not the answer of such a server: look at the address."


@dataclass(frozen=True, kw_only=True)
class Server:
    """An address, and the headers that let us in."""

    target: Target
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """Scheme, host and port."""
        return self.target.shown.removesuffix("/…")

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        """The answer; Away where none comes, Refused where it is no."""
        status, data = self._exchange(method, path, body, query)
        try:
            answer = json.loads(data) if data else {}
        except ValueError as error:
            raise Away(f"{self.target.host} answered {status} to {path}, which {NO_ANSWER}") from error
        if 200 <= status < 300 and isinstance(answer, dict):
            return answer
        said = _said(answer)
        if status in REFUSALS:
            raise Refused(f"{self.target.host} refuses ({status}): {said}")
        raise Away(f"{self.target.host} answered {status}" + (f": {said}" if said else "."))

    def _exchange(self, method: str, path: str, body: Any, query: Mapping[str, str]) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body, ensure_ascii=True).encode()
        whole = self.target.path.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        headers = {"User-Agent": "cwpo", "Connection": "close", "Accept": "application/json", **self.headers}
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            return exchange(self.target, method, whole, data, headers, whole=SECONDS, most=MOST_BYTES)
        except NotSent as error:
            raise Away(str(error)) from error


def server(name: str, text: str, headers: Mapping[str, str]) -> Server:
    """The server at the address in this variable; what is wrong with it is said without repeating it."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ConfigError(name, "is no address: write http://host:port.") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise ConfigError(name, "must begin with http:// or https:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(name, "may hold no user name or password: they have variables of their own.")
    if not text.isascii() or any(character.isspace() for character in text):
        raise ConfigError(name, "may hold neither spaces nor letters beyond ASCII.")
    target = Target(
        scheme=parts.scheme, host=parts.hostname, port=port or PORTS[parts.scheme], path=parts.path,
        hash=key_of(parts.scheme, parts.hostname, str(port), parts.path),
    )  # fmt: skip
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    return Server(target=target, headers=headers, query=query)


def key_of(*words: str) -> str:
    """What the database gets of a place."""
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:40]


def _said(answer: Any) -> str:
    """What the server says went wrong, cut to what fits a sentence."""
    found = (answer.get("message") or answer.get("error") or "") if isinstance(answer, dict) else ""
    return " ".join(str(found).split())[:300]
