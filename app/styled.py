"""The dashboard's style is in the page itself, before anything is drawn.

Given by a script (`st.html`) it waits in the browser for the program that draws such elements: on a slow machine a page
stands there without it for seconds, then all of it moves, away from under a click.
"""

from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.door.answers import wants_page

STYLE = Path(__file__).with_name("style.css")
ROOT, END = b'<div id="root">', b"</body>"  # of the one page of Streamlit
# Asked with these the page would come compressed, or not at all where the browser has the one without a style.
_WHOLE = (b"accept-encoding", b"if-none-match", b"if-modified-since")


class Styled:
    """Middleware that gives Streamlit's page the style, last in its body: of two rules that say as much, Streamlit's in
    the head and one of ours, ours counts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._style = b"<style>" + STYLE.read_bytes() + b"</style>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not wants_page(scope):
            await self._app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in _WHOLE]
        await self._app({**scope, "headers": headers}, receive, self._dressing(send))

    def _dressing(self, send: Send) -> Send:
        """`send`, with the style in what is Streamlit's page; anything else goes on as it comes."""
        began: list[Message] = []

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                began.append(message)
                return
            if began:
                start = began.pop()
                if message["type"] == "http.response.body" and not message.get("more_body", False):
                    start, message = self._dressed(start, message)
                await send(start)
            await send(message)

        return sending

    def _dressed(self, start: Message, body: Message) -> tuple[Message, Message]:
        page: bytes = body.get("body", b"")
        if ROOT not in page or END not in page:
            return start, body
        page = page.replace(END, self._style + END, 1)
        headers = MutableHeaders(raw=list(start["headers"]))
        for name in ("etag", "last-modified"):  # of the page without it
            del headers[name]
        headers["content-length"] = str(len(page))
        return {**start, "headers": headers.raw}, {**body, "body": page}


def _is_page(start: Message) -> bool:
    """A page to be shown: no file that is taken along, and no answer without a body."""
    headers = MutableHeaders(raw=list(start["headers"]))
    kind = headers.get("content-type", "")
    return start["status"] == 200 and kind.startswith("text/html") and "content-disposition" not in headers
