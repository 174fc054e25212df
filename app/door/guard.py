"""The middleware around the whole server: every request and every socket passes here before Streamlit sees it."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.door import answers, lines
from app.door.addresses import is_loopback, plain
from app.door.limits import Clients, Limits
from app.door.uploads import Unfit, handed_on, is_upload
from app.door.ways import Door, Way
from cwpo.errors import ConfigError
from workers.access.start_token import browser_of, cookie_for, is_token, new_browser

HEALTH, METRICS = "/_stcore/health", "/_stcore/metrics"
COMPONENTS = ("/component/", "/_stcore/bidi-components/")
NEVER = ("/_stcore/agent/",)  # ways to drive pages without a browser: nothing here uses them
OURS = b"x-cwpo-"  # headers that only this program writes
PERSON, KEY = "x-cwpo-person", "x-cwpo-token"
LOGIN_COOKIE = re.compile(r"_streamlit_user(_\d+)?")
COOKIE_SECONDS = 365 * 24 * 3600
LONGEST_NAME = 320  # characters of a person's name


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why somebody does not come in."""

    status: int
    sentence: str
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class Let:
    """Who comes in: `key` tells clients apart, `person` is whom the proxy named, `browser` the one with our cookie."""

    key: str
    person: bytes | None = None
    browser: str | None = None


class Asked:
    """A request or a handshake, as far as the door looks at it."""

    def __init__(self, scope: Scope, prefix: str) -> None:
        self.scope, self.headers = scope, Headers(scope=scope)
        self.is_socket = scope["type"] == "websocket"
        self.method = scope.get("method", "GET")
        path = str(scope["path"])
        self.path = path[len(prefix) :] if path.startswith(f"{prefix}/") else path if not prefix else "/"
        self.scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
        self.peer = plain(str((scope.get("client") or ("", 0))[0]))
        self.port = int((scope.get("server") or ("", 0))[1] or 0)

    @property
    def our_cookie(self) -> str:
        """Its name; browsers know no ports with cookies, so the name tells servers of one machine apart."""
        return f"cwpo_{self.port}"

    def cookie(self, name: str) -> str:
        """What it holds; empty where there is none."""
        found = [cookie_parser(line).get(name, "") for line in self.headers.getlist("cookie")]
        return next(filter(None, found), "")

    @property
    def login(self) -> str:
        """Stands for the cookie of a login, which the server cuts into several where it is long; empty without one."""
        names = sorted({name for line in self.headers.getlist("cookie") for name in cookie_parser(line)})
        parts = [f"{name}={self.cookie(name)}" for name in names if LOGIN_COOKIE.fullmatch(name)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest() if parts else ""

    @property
    def opens_a_page(self) -> bool:
        """Whether a browser asks for what it will show in a tab."""
        mode, goal = self.headers.get("sec-fetch-mode"), self.headers.get("sec-fetch-dest")
        return not self.is_socket and self.method in ("GET", "HEAD") and (mode, goal) == ("navigate", "document")

    @property
    def from_elsewhere(self) -> bool:
        """Whether the browser says that another site, or another port of this one, asks."""
        return self.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


class Guard:
    """Lets in what comes from where it should, as somebody who may, and no more of it than others can bear."""

    def __init__(self, app: ASGIApp, door: Door, limits: Limits | None = None) -> None:
        self._app, self._door, self._clients = app, door, Clients(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asked = Asked(scope, self._door.prefix)
        origin = self._origin(asked)
        found = origin if isinstance(origin, Refused) else self._who(asked, origin)
        if isinstance(found, Refused):
            await self._refuse(asked, found, receive, send)
        elif isinstance(found, Response):
            await found(scope, receive, answers.guarded(send, str(origin), component=False))
        elif asked.is_socket:
            await self._open(asked, found, receive, send)
        else:
            await self._answer(asked, found, str(origin), receive, send)

    def _origin(self, asked: Asked) -> str | Refused:
        """Where the answer belongs: the origin of our own pages under the address that was asked for."""
        origin = self._door.addresses.origin(asked.headers.getlist("host"), asked.scheme, asked.port)
        if origin is None:
            return Refused(status=403, sentence=answers.ELSEWHERE)
        given = asked.headers.getlist("origin")
        if any(one != origin for one in given) or len(given) > 1 or (asked.is_socket and not given):
            return Refused(status=403, sentence=answers.FOREIGN)
        if asked.from_elsewhere and not asked.opens_a_page:
            return Refused(status=403, sentence=answers.FOREIGN)
        if asked.path.startswith(NEVER) or (asked.path == METRICS and self._door.way is not Way.TOKEN):
            return Refused(status=404, sentence=answers.NOTHING)
        return origin

    def _who(self, asked: Asked, origin: str) -> Let | Refused | Response:
        if self._door.way is Way.LOGIN:
            return Let(key=self._address(asked))  # the pages ask for the login, before they read anything
        found: Let | Refused | Response
        try:
            found = self._by_token(asked, origin) if self._door.way is Way.TOKEN else self._by_proxy(asked)
        except ConfigError as error:  # the file of the start token was damaged, or cannot be read any more
            found = Refused(status=503, sentence=str(error))
        return Let(key="") if isinstance(found, Refused) and asked.path == HEALTH else found

    def _by_token(self, asked: Asked, origin: str) -> Let | Refused | Response:
        token = self._door.token
        browser = browser_of(token, asked.cookie(asked.our_cookie))
        given = _given_token(asked)
        if given is None and browser is not None:
            return Let(key=browser, browser=browser)
        if given is not None and is_token(token, given):
            return self._come_in(asked, origin, cookie_for(token, browser or new_browser()))
        # A browser keeps a strict cookie to itself where another site sent it here, but not from a page of ours.
        return Refused(status=401, sentence=answers.HOW, again=given is None and asked.from_elsewhere)

    def _come_in(self, asked: Asked, origin: str, cookie: str) -> Response:
        """The cookie in exchange for the token, and the same address without it."""
        left = [(name, value) for name, value in _parameters(asked) if name != "token"]
        address = quote("/" + str(asked.scope["path"]).lstrip("/\\")) + (f"?{urlencode(left)}" if left else "")
        response = RedirectResponse(address, status_code=303, headers={"Cache-Control": "no-store"})
        response.set_cookie(
            asked.our_cookie,
            cookie,
            max_age=COOKIE_SECONDS,
            path=self._door.prefix or "/",
            secure=origin.startswith("https://"),
            httponly=True,
            samesite="strict",
        )
        return response

    def _by_proxy(self, asked: Asked) -> Let | Refused:
        if not self._is_proxy(asked):
            return Refused(status=403, sentence=answers.UNKNOWN)
        given = asked.headers.getlist(self._door.header)
        if len(given) != 1 or (person := _name_of(given[0])) is None:
            return Refused(status=401, sentence=answers.UNNAMED)
        return Let(key=person.decode(), person=person)

    def _address(self, asked: Asked) -> str:
        """Of whoever asks; behind a proxy on this machine, or one that is named, as the proxy says it."""
        if is_loopback(asked.peer) or asked.peer in self._door.proxies:
            said = ",".join(asked.headers.getlist("x-forwarded-for"))  # the proxy's own word stands last, in any line
            return said.rpartition(",")[2].strip()[:64] or asked.peer
        return asked.peer

    def _is_proxy(self, asked: Asked) -> bool:
        """Whether the trusted proxy asks. On this machine its address is everybody's: it shows the start token, too."""
        if asked.peer not in self._door.proxies:
            return False
        return not is_loopback(asked.peer) or is_token(self._door.token, asked.headers.get(KEY, ""))

    async def _refuse(self, asked: Asked, why: Refused, receive: Receive, send: Send) -> None:
        if asked.is_socket:
            await send({"type": "websocket.close", "code": 1008})
            return
        page = answers.wants_page(asked.scope)
        await answers.refusal(why.status, why.sentence, page=page, again=why.again and asked.opens_a_page)(
            asked.scope, receive, send
        )

    async def _answer(self, asked: Asked, let: Let, origin: str, receive: Receive, send: Send) -> None:
        scope = self._passed_on(asked.scope, let)
        sending = answers.guarded(send, origin, component=asked.path.startswith(COMPONENTS))
        if not let.key:
            await self._app(scope, receive, answers.quiet(sending))
            return
        if not is_upload(asked.method, asked.path):
            await self._app(scope, receive, sending)
            return
        if self._door.way is Way.LOGIN and not lines.has_met(asked.login):
            await self._refuse(asked, Refused(status=403, sentence=answers.UNSIGNED), receive, send)
            return
        client = self._clients.of(let.key)
        size = int(length) if (length := asked.headers.get("content-length", "0")).isdecimal() else 0
        if not client.upload_bytes.has(size):
            await self._refuse(asked, Refused(status=429, sentence=answers.BUSY), receive, send)
            return
        async with client.uploads:
            try:
                await handed_on(self._app, scope, receive, sending, client, size)
            except Unfit as error:
                await self._refuse(asked, Refused(status=error.status, sentence=error.sentence), receive, send)

    async def _open(self, asked: Asked, let: Let, receive: Receive, send: Send) -> None:
        client = self._clients.of(let.key)
        if not client.takes_socket():
            await self._refuse(asked, Refused(status=429, sentence=answers.BUSY), receive, send)
            return
        line = lines.Line(client=client, valid=lambda: self._still_valid(asked, let), login=asked.login)
        listening = lines.Listening(receive, line)
        lines.opened(line)
        try:
            await self._app(self._passed_on(asked.scope, let, line), listening, send)
        finally:
            listening.end()
            lines.closed(line)
            client.gives_socket_back()

    def _still_valid(self, asked: Asked, let: Let) -> bool:
        """Whether the cookie that opened a socket would open it again: the token may have been changed, or damaged."""
        try:
            return let.browser is None or browser_of(self._door.token, asked.cookie(asked.our_cookie)) == let.browser
        except ConfigError:
            return False

    def _passed_on(self, scope: Scope, let: Let, line: lines.Line | None = None) -> Scope:
        """What Streamlit is told: headers that are ours say what we found out, whatever they said before."""
        headers = [(name, value) for name, value in scope["headers"] if not name.startswith(OURS)]
        if let.person is not None:
            headers.append((PERSON.encode(), let.person))
        if line is not None:
            headers.append((lines.NAME.encode(), line.name.encode()))
        return {**scope, "headers": headers}


def _parameters(asked: Asked) -> Sequence[tuple[str, str]]:
    query = asked.scope.get("query_string", b"").decode("latin-1")
    return parse_qsl(query, keep_blank_values=True, errors="replace")


def _given_token(asked: Asked) -> str | None:
    """The token of the link, where the address has one."""
    if asked.is_socket or asked.method not in ("GET", "HEAD"):
        return None
    return next((value for name, value in _parameters(asked) if name == "token"), None)


def _name_of(value: str) -> bytes | None:
    """A person's name as a header says it, in UTF-8; None where it is none."""
    try:
        name = value.encode("latin-1").decode("utf-8").strip()
    except UnicodeError:
        return None
    return name.encode() if name and len(name) <= LONGEST_NAME and name.isprintable() else None
