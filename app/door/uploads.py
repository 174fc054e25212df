"""Uploads: counted as they come, whatever was said before of how much it would be, and on disk as they come.

Streamlit reads a file whole before a page sees it. So a request of more than `IN_MEMORY` bytes is taken apart here:
the file goes to disk piece by piece, and Streamlit is handed the same request with a mark in place of the file, which
`workers/machine/uploads.py` knows.
"""

from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.door.answers import BROKEN, BUSY
from app.door.limits import Client
from workers.machine.uploads import Arriving

UPLOADS = "/_stcore/upload_file/"
IN_MEMORY = 1 << 20  # bytes of a request that Streamlit may hold: settings, votes and small sets of pairs
_PIECE = 1 << 20  # bytes that are written at once


class Unfit(Exception):
    """A request that is no upload, or more of them than one client may send."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Gone(Exception):
    """The browser went away."""


def is_upload(method: str, path: str) -> bool:
    """Whether a request brings a file."""
    return method == "PUT" and path.startswith(UPLOADS)


class Body:
    """The bytes of a request as they come. `said`: those that were announced, and are paid for already."""

    def __init__(self, receive: Receive, client: Client, said: int) -> None:
        self._receive, self._client, self._left = receive, client, said
        self.ended = False

    async def next(self) -> bytes:
        """The next bytes; none where it has ended."""
        if self.ended:
            return b""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Gone
        piece: bytes = message.get("body", b"")
        self.ended = not message.get("more_body", False)
        beyond = max(0, len(piece) - self._left)
        self._left = max(0, self._left - len(piece))
        if beyond and not self._client.upload_bytes.has(beyond):
            raise Unfit(429, BUSY)
        return piece


async def handed_on(app: ASGIApp, scope: Scope, receive: Receive, send: Send, client: Client, said: int) -> None:
    """Give the app the request: as it is where it is small, with a mark in place of its file where it is not. Raises
    Unfit before anything was answered."""
    body, start = Body(receive, client, said), bytearray()
    try:
        while not body.ended and len(start) <= IN_MEMORY:
            start += await body.next()
        if body.ended and len(start) <= IN_MEMORY:
            await app(scope, _replayed(bytes(start), receive), send)
            return
        await _from_disk(app, scope, body, bytes(start), receive, send)
    except Gone:
        return


async def _from_disk(app: ASGIApp, scope: Scope, body: Body, start: bytes, receive: Receive, send: Send) -> None:
    boundary = _boundary(scope)
    file = await run_in_threadpool(Arriving)
    mark, status = b"", 0

    async def noting(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        await send(message)

    try:
        head = await _written(file, boundary, body, start)
        mark = await run_in_threadpool(file.arrived)
        small = b"".join((b"--", boundary, b"\r\n", head, b"\r\n", mark, b"\r\n--", boundary, b"--\r\n"))
        await app(_with_length(scope, len(small)), _replayed(small, receive), noting)
    finally:
        if not mark or status >= 300 or not status:
            await run_in_threadpool(file.drop, mark)


async def _written(file: Arriving, boundary: bytes, body: Body, start: bytes) -> bytes:
    """Write the one file of the request; the lines in front of it."""
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())
        piece = start
        while True:
            parser.write(piece)
            if form.files != 1 and (form.files or form.ended):
                raise Unfit(400, BROKEN)
            if len(form.data) >= _PIECE or body.ended:
                await run_in_threadpool(file.write, bytes(form.data))
                form.data.clear()
            if body.ended:
                if not form.ended:
                    raise Unfit(400, BROKEN)
                return bytes(form.head)
            piece = await body.next()
    except FormParserError as error:
        raise Unfit(400, BROKEN) from error


@dataclass
class _Form:
    """What the parser found: the lines in front of the one part, and those of its bytes that are not written yet."""

    head: bytearray = field(default_factory=bytearray)
    data: bytearray = field(default_factory=bytearray)
    files: int = 0
    ended: bool = False
    name: bytes = b""

    def callbacks(self) -> Any:
        """By the parser's names for them."""
        return {
            "on_part_begin": self._begun, "on_part_data": self._given, "on_header_field": self._field,
            "on_header_value": self._value, "on_header_end": self._line, "on_end": self._end,
        }  # fmt: skip

    def _begun(self) -> None:
        self.files += 1

    def _field(self, data: bytes, start: int, end: int) -> None:
        self.head += data[start:end]
        self.name = b": "

    def _value(self, data: bytes, start: int, end: int) -> None:
        self.head += self.name + data[start:end]
        self.name = b""

    def _line(self) -> None:
        self.head += b"\r\n"

    def _given(self, data: bytes, start: int, end: int) -> None:
        self.data += data[start:end]

    def _end(self) -> None:
        self.ended = True


def _boundary(scope: Scope) -> bytes:
    kind, options = parse_options_header(Headers(scope=scope).get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise Unfit(400, BROKEN)
    return boundary


def _with_length(scope: Scope, length: int) -> Scope:
    dropped = (b"content-length", b"transfer-encoding")
    headers = [(name, value) for name, value in scope["headers"] if name.lower() not in dropped]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` that gives this body, and afterwards what the server says."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
