"""What the door itself answers, and what it adds to every answer."""

import base64
import functools
import hashlib
import re
from html import escape
from pathlib import Path

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Message, Scope, Send

HOW = "This dashboard opens by its own link: `cwpo link` prints it, on the machine where the dashboard runs."
ELSEWHERE = "This is not an address of this dashboard: CWPO_PUBLIC_URL names one more."
FOREIGN = "This request comes from another site: open the dashboard in a tab of its own."
UNNAMED = "The proxy did not say who you are: sign in there, and come again."
UNSIGNED = "Nobody has signed in here: open the dashboard and sign in, then choose the file again."
UNKNOWN = "Only the proxy of this dashboard may ask here."
NOTHING = "There is nothing here."
BROKEN = "This is no upload of one file."
BUSY = "This browser asks for too much at once: wait a moment."

_PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>CW-PO</title>{again}
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><p>{sentence}</p></body></html>
"""
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_NOT_OURS = ("access-control-allow-origin", "access-control-allow-credentials", "x-frame-options")
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@functools.cache
def _own_scripts() -> str:
    """The scripts that stand in Streamlit's page itself, as a policy names them: by their hashes."""
    page = Path(st.__file__).parent / "static" / "index.html"
    found = _INLINE.findall(page.read_text(encoding="utf-8")) if page.is_file() else []
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def policy(origin: str, framed_by: str) -> str:
    """What a page from here may load and do. Streamlit needs styles in elements, and blobs for components."""
    socket = origin.replace("http", "ws", 1)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' blob: {_own_scripts()}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "media-src 'self' blob:",
            f"connect-src 'self' {socket}",
            "worker-src 'self' blob:",
            "frame-src 'self'",
            "manifest-src 'self'",
            "base-uri 'self'",
            "form-action 'self'",
            f"frame-ancestors {framed_by}",
        )
    )


def guarded(send: Send, origin: str, *, component: bool) -> Send:
    """`send`, with the headers of security on what it sends. `component`: a document that our own pages may frame."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            for name in _NOT_OURS:
                if name in headers:
                    del headers[name]
            for name, value in _ALWAYS.items():
                headers[name] = value
            headers["X-Frame-Options"] = "SAMEORIGIN" if component else "DENY"
            headers["Content-Security-Policy"] = policy(origin, "'self'" if component else "'none'")
        await send(message)

    return sending


def quiet(send: Send) -> Send:
    """`send`, with nothing but the status: for whoever may know that the server answers, and no more."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [(b"content-length", b"0"), (b"cache-control", b"no-store")]}
        elif message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return sending


def refusal(status: int, sentence: str, *, page: bool, again: bool = False) -> Response:
    """One sentence. `page`: as a page for a browser; `again`: that asks once more for itself, now as a page of ours."""
    headers = {
        **_ALWAYS,
        "Cache-Control": "no-store",
        "X-Frame-Options": "DENY",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
    if status == 429:
        headers["Retry-After"] = "10"
    if not page:
        return PlainTextResponse(f"{sentence}\n", status_code=status, headers=headers)
    body = _PAGE.format(sentence=_marked(sentence), again='<meta http-equiv="refresh" content="0">' if again else "")
    return HTMLResponse(body, status_code=status, headers=headers)


def _marked(sentence: str) -> str:
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escape(sentence))


def wants_page(scope: Scope) -> bool:
    """Whether a browser would show the answer."""
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
