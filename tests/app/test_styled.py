"""The style in Streamlit's own page, and in nothing else that is sent."""

from pathlib import Path

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from app.styled import STYLE, Styled

STATIC = Path(st.__file__).parent / "static"
OWN = (STATIC / "index.html").read_bytes()
SHOWN = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "accept-encoding": "gzip"}
ELSE = b'<!DOCTYPE html><html><body><div id="root">of a person</div></body></html>' + 500 * b" "


async def taken(_: Request) -> Response:
    return HTMLResponse(ELSE, headers={"content-disposition": 'attachment; filename="report.html"'})


async def large(_: Request) -> Response:
    return StreamingResponse(iter([ELSE, ELSE]), media_type="text/html")


async def gone(_: Request) -> Response:
    return HTMLResponse(ELSE, 404)


@pytest.fixture
def client() -> TestClient:
    """A browser at what Streamlit serves from disk, compressed where it asks for that."""
    routes = [Route("/taken", taken), Route("/large", large), Route("/gone", gone)]
    mount = Mount("/", StaticFiles(directory=STATIC, html=True))
    return TestClient(Starlette(routes=[*routes, mount], middleware=[Middleware(Styled), Middleware(GZipMiddleware)]))


def test_the_page_has_the_style_last_in_its_body(client: TestClient) -> None:
    page = client.get("/", headers=SHOWN)
    style = f"<style>{STYLE.read_text()}</style></body>".encode()
    assert page.content == OWN.replace(b"</body>", style)
    assert page.content.index(b'<div id="root">') < page.content.index(b"<style>")
    assert int(page.headers["content-length"]) == len(page.content)


def test_a_browser_that_has_the_page_from_before_gets_it_with_the_style(client: TestClient) -> None:
    before = client.get("/", headers={"accept": "*/*"})  # no browser that shows it
    assert before.content == OWN
    again = {**SHOWN, "if-none-match": before.headers["etag"], "if-modified-since": before.headers["last-modified"]}
    page = client.get("/", headers=again)
    assert page.status_code == 200
    assert b"<style>" in page.content
    assert {"etag", "last-modified"}.isdisjoint(page.headers)


@pytest.mark.parametrize("path", ["/taken", "/large", "/gone"])
def test_what_is_no_page_of_streamlit_is_sent_as_it_is(client: TestClient, path: str) -> None:
    assert client.get(path, headers=SHOWN).content.replace(ELSE, b"") == b""


def test_programs_come_as_before(client: TestClient) -> None:
    name = next((STATIC / "static" / "js").glob("index.*.js")).name
    file = client.get(f"/static/js/{name}", headers={"accept": "*/*", "accept-encoding": "gzip"})
    assert file.headers["content-encoding"] == "gzip"
    assert file.headers["etag"]
    head = client.head("/", headers=SHOWN)
    assert int(head.headers["content-length"]) == len(OWN)
