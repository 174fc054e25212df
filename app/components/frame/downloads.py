"""Files of any size for the browser, streamed from disk by the web server: nothing of them is held in its memory.

A page offers a file or a folder; the address is a name that nobody can guess and that this process alone knows. What
`st.download_button` hands out is whole in memory, and stays there for a while: it is for what is small.
"""

import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from app import allowed
from db.errors import DatabaseError
from workers.access.acting import Person
from workers.access.doing import bound, on_behalf_of, person
from workers.api.exports import file_taken, shown_taken
from workers.api.people.access import NotAllowed, Role
from workers.machine.zipping import zipped, zipped_bytes

PLACE = "files"
T = TypeVar("T")
_MOST = 10_000  # offers that are known; of more, the newest
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Encoding": "identity",  # the server would press it on the way, at the cost of its pages
}
_GOES_ON = re.compile(r"\s*bytes\s*=\s*0*[1-9]\d*\s*-[\d\s]*", re.IGNORECASE)  # one part, from a later byte on


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A file, or a folder that is handed out as a zip, the name under which the browser keeps it, and to whom it was
    offered; None: to whoever has the installation."""

    path: Path
    file_name: str
    to: Person | None = None


class Offers:
    """What may be fetched, by the name in its address; the same offer keeps its name."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._by_name: dict[str, Offer] = {}
        self._names: dict[Offer, str] = {}
        self._noted: set[Offer] = set()

    def name_of(self, offer: Offer) -> str:
        with self._lock:
            name = self._names.pop(offer, None) or secrets.token_urlsafe(24)
            self._names[offer] = name  # at the end: the newest
            self._by_name[name] = offer
            if len(self._names) > self._most:
                oldest = next(iter(self._names))
                del self._by_name[self._names.pop(oldest)]
                self._noted.discard(oldest)
            return name

    def find(self, name: str) -> Offer | None:
        with self._lock:
            return self._by_name.get(name)

    def is_noted(self, offer: Offer) -> bool:
        """Whether it was written down that this file was taken by whom it was offered to."""
        with self._lock:
            return offer in self._noted

    def noted(self, offer: Offer) -> None:
        with self._lock:
            if offer in self._names:  # what is forgotten is not kept here either
                self._noted.add(offer)


_offers = Offers()


def show_download(label: str, path: Path, file_name: str, *, key: str, about: str | None = None) -> None:
    """A link that looks like a button and starts the download."""
    why = allowed.may_not(Role.RUNNER)
    name = "" if why else _offers.name_of(Offer(path=path, file_name=file_name, to=person()))
    st.link_button(label, f"{PLACE}/{name}", key=key, type="tertiary", help=why or about, disabled=bool(why))


def of_what_is_shown(file_name: str, make: Callable[[], T]) -> Callable[[], T]:
    """The content of a small file that says what the page says, made when it is asked for; whoever asks is noted."""

    def made() -> T:
        content = make()
        shown_taken(file_name)
        return content

    return bound(made)


async def hand_out(request: Request) -> Response:
    """The file as it lies there, or the folder as a zip that is written on the way."""
    offer = _offers.find(request.path_params["name"])
    if offer is None or not offer.path.exists():
        return PlainTextResponse("This file is not there any more: load the page again.\n", status_code=404)
    try:
        await run_in_threadpool(_note, offer, request.headers.get("Range", ""))
    except NotAllowed as error:
        return PlainTextResponse(f"{error}\n", status_code=403)
    except DatabaseError as error:
        return PlainTextResponse(f"{error}\n", status_code=503)
    headers = _HEADERS | {"Content-Disposition": f"attachment; filename*=utf-8''{quote(offer.file_name)}"}
    if offer.path.is_file():
        return FileResponse(offer.path, media_type="application/octet-stream", headers=headers)
    length = await run_in_threadpool(zipped_bytes, offer.path)
    if length is not None:
        headers["Content-Length"] = str(length)
    return StreamingResponse(zipped(offer.path), media_type="application/zip", headers=headers)


def route(prefix: str) -> Route:
    """Where the web server hands files out. `prefix`: empty, or the path that all addresses begin with, as `/cwpo`."""
    return Route(f"{prefix}/{PLACE}/{{name}}", hand_out)


def _note(offer: Offer, part: str) -> None:
    """Whoever it was offered to takes it, as long as they may, which is asked for every part of it. A download that
    goes on is the same one: it is written down once; a folder has no parts."""
    goes_on = _GOES_ON.fullmatch(part) is not None and offer.path.is_file()
    with on_behalf_of(offer.to or person()):
        file_taken(offer.file_name, again=goes_on and _offers.is_noted(offer))
    _offers.noted(offer)
