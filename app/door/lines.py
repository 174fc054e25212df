"""Open sockets: what comes in on them is slowed down where it is too much, and a session that was revoked sees it soon.

The pages find their socket by the name that it has in the headers of its handshake; they say who is behind it.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.protobuf.message import DecodeError
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Receive
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState

from app.door.limits import Client
from workers.access.acting import Person

log = logging.getLogger("app.door")

NAME = "x-cwpo-socket"  # header under which a page finds its line
LOOK_EVERY = 20.0  # seconds between looks whether the session is revoked
OF_A_FRAGMENT = 0.25  # what a part of a page that draws itself anew costs, in reruns of a whole page
_MOST_PEOPLE = 10_000  # whose logins are remembered
_COMPUTED = ("rerun_script", "backend_operation_request")
# What pages never send here, and what would be felt by everybody: caches emptied, the server changed.
_OF_DEVELOPERS = ("clear_cache", "set_run_on_save", "debug_disconnect_websocket", "debug_shutdown_runtime")
_SMALL = 2**16  # bytes; what is larger is charged by its size and not read here


@dataclass
class Line:
    """One open socket. `valid`: whether what let it in still does; `login`: what stands for the cookie of one, or "";
    `person`: who signed in, as a page found out."""

    client: Client
    valid: Callable[[], bool]
    login: str = ""
    name: str = field(default_factory=lambda: secrets.token_hex(16))
    opened_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    person: Person | None = None

    async def over(self) -> bool:
        """Whether the session of the person behind it has been ended from outside."""
        if self.person is None:
            return False
        from db.errors import DatabaseError
        from workers.access.sessions import revoked

        try:
            return await run_in_threadpool(revoked, self.person)
        except DatabaseError as error:  # it is away: the pages say so, and we look again
            log.warning("whether a session was revoked could not be read: %s", error)
            return False


_open: dict[str, Line] = {}
_people: dict[str, Person] = {}  # by their login: a socket that is opened again asks no page


def opened(line: Line) -> None:
    """From now on pages find it."""
    line.person = line.person or _people.get(line.login)
    _open[line.name] = line


def closed(line: Line) -> None:
    _open.pop(line.name, None)


def met(line: Line, person: Person) -> None:
    """A page found out who is behind the line."""
    line.person = person
    if line.login:
        _people.pop(line.login, None)
        _people[line.login] = person  # at the end: the newest
        if len(_people) > _MOST_PEOPLE:
            _people.pop(next(iter(_people)))


def has_met(login: str) -> bool:
    """Whether a page found out who is behind that login."""
    return login in _people


def line_of(headers: Mapping[str, str]) -> Line | None:
    """The line of the page that runs, by the headers of its handshake."""
    return _open.get(headers.get(NAME, ""))


class Listening:
    """`receive` of a socket, for Streamlit. Only one coroutine may ask it at a time, as with `receive` itself."""

    def __init__(self, receive: Receive, line: Line, look_every: float = LOOK_EVERY) -> None:
        self._receive, self._line, self._look_every = receive, line, look_every
        self._asked: asyncio.Task[Message] | None = None
        self._looked = time.monotonic()
        self._over = False

    async def __call__(self) -> Message:
        while True:
            message = await self._next()
            if message is not None and message["type"] != "websocket.receive":
                return message
            if time.monotonic() >= self._looked + self._look_every and (said := await self._look()):
                return said
            if message is None or (self._over and not _is_harmless(message)):
                continue
            if (cost := _cost(message)) is None:
                continue
            if wait := self._line.client.reruns.take(cost):
                await asyncio.sleep(wait)
            return message

    def end(self) -> None:
        """Nobody asks any more."""
        if self._asked is not None:
            self._asked.cancel()

    async def _next(self) -> Message | None:
        """What came; None where nothing did until it is time to look."""
        if self._asked is None:
            self._asked = asyncio.ensure_future(self._receive())
        patience = max(0.0, self._looked + self._look_every - time.monotonic())
        done, _ = await asyncio.wait({self._asked}, timeout=patience)
        if not done:
            return None
        message = self._asked.result()
        self._asked = None
        return message

    async def _look(self) -> Message | None:
        """What Streamlit is told where the socket is not to go on as before."""
        self._looked = time.monotonic()
        if not await run_in_threadpool(self._line.valid):
            return {"type": "websocket.disconnect", "code": 1008}
        if self._over or not await self._line.over():
            return None
        self._over = True
        return {"type": "websocket.receive", "bytes": _draw_again()}


def _draw_again() -> bytes:
    """What a browser sends to have its page computed anew, which then says that the session is over."""
    return BackMsg(rerun_script=ClientState()).SerializeToString()


def _cost(message: Message) -> float | None:
    """How much a message makes the server compute, in reruns of a page; None where it is nobody's to ask."""
    data = message.get("bytes") or b""
    if len(data) > _SMALL:
        return 1.0 + len(data) / 2**20
    asked = _read(data)
    kind = asked.WhichOneof("type") if asked is not None else None
    if asked is None or kind is None:
        return 0.0
    if kind in _OF_DEVELOPERS:
        return None
    whole = kind == "rerun_script" and not asked.rerun_script.fragment_id
    return 1.0 if whole else OF_A_FRAGMENT if kind in _COMPUTED else 0.0


def _is_harmless(message: Message) -> bool:
    """Whether a session that is over may say this: that its page is computed as a whole, which then says so."""
    asked = _read(message.get("bytes") or b"")
    return asked is not None and asked.WhichOneof("type") == "rerun_script" and not asked.rerun_script.fragment_id


def _read(data: bytes) -> BackMsg | None:
    try:
        return BackMsg.FromString(data)
    except DecodeError:
        return None
