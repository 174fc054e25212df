"""The door before the web server: what it refuses, whom it lets in, and as whom."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.door.addresses import stays_here
from app.door.guard import Guard, _name_of
from app.door.limits import Bucket, Limits
from app.door.ways import Door, decide
from cwpo.config.environment import Environment
from cwpo.errors import ConfigError
from tests.app.hostile import PAYLOADS
from workers.access.start_token import cookie_for, renew, token_file, token_of

PORT = 8501
OURS = f"http://127.0.0.1:{PORT}"
PLACES = ("/", "/run", "/_stcore/health", "/_stcore/host-config", "/media/a.png", "/files/a", "/static/js/a.js", "/x/y")
FOREIGN_HOSTS = (
    "evil.com",
    f"evil.com:{PORT}",
    "127.0.0.1",
    f"127.0.0.1:{PORT + 1}",
    f"127.0.0.1.evil.com:{PORT}",
    f"evil.com\\@127.0.0.1:{PORT}",
    f"user@127.0.0.1:{PORT}",
    f"127.1:{PORT}",
    f"2130706433:{PORT}",
    f"0.0.0.0:{PORT}",
    f"localhost.:{PORT}",
    "",
)
FOREIGN_ORIGINS = (
    "http://evil.com",
    f"http://127.0.0.1:{PORT + 1}",
    f"http://localhost:{PORT}",
    f"https://127.0.0.1:{PORT}",
    f"http://evil.com\\@127.0.0.1:{PORT}",
    f"http://127.0.0.1:{PORT}.evil.com",
    f"http://127.0.0.1:{PORT}/",
    "null",
    "",
)


async def told(request: Request) -> Response:
    """What Streamlit would see."""
    if request.method == "PUT":
        return JSONResponse({"bytes": len(await request.body())})
    response = JSONResponse({"headers": dict(request.headers)})
    response.set_cookie("_streamlit_xsrf", "x")
    return response


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json(dict(socket.headers))
    while True:
        try:
            await socket.send_bytes(await socket.receive_bytes())
        except WebSocketDisconnect:
            return


def door_of(home: Path, address: str = "127.0.0.1", *, login: Any = None, base: str = "", **environment: str) -> Door:
    values = {"CWPO_HOME": str(home), "FORWARDED_ALLOW_IPS": "", **environment}
    return decide({"address": address, "baseUrlPath": base}, login, Environment(values))


def browser_at(door: Door, url: str = OURS, peer: str = "127.0.0.1", limits: Limits | None = None) -> TestClient:
    """A client behind whom nobody stands yet; it follows no redirect."""
    routes = [WebSocketRoute("/{path:path}", talk), Route("/{path:path}", told, methods=["GET", "PUT", "HEAD"])]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, door=door, limits=limits)])
    return TestClient(app, base_url=url, client=(peer, 50_000), follow_redirects=False)


def come_in(client: TestClient, home: Path) -> TestClient:
    """It has the cookie."""
    client.cookies.set(f"cwpo_{PORT}", cookie_for(token_of(home), "0" * 16))
    return client


@pytest.fixture
def owner(tmp_path: Path) -> TestClient:
    """The browser of whoever opened the link."""
    return come_in(browser_at(door_of(tmp_path)), tmp_path)


def at(client: TestClient, path: str = "/_stcore/stream") -> str:
    """The whole address of a socket there."""
    return str(client.base_url).replace("http", "ws", 1).rstrip("/") + path


@contextmanager
def socket_of(client: TestClient, path: str = "/_stcore/stream", **headers: str) -> Iterator[Any]:
    """An open socket and what it was told first."""
    with client.websocket_connect(at(client, path), headers={"origin": OURS, **headers}) as socket:
        yield socket


def is_refused(client: TestClient, path: str = "/_stcore/stream", **headers: str) -> bool:
    """Whether the handshake is turned down, before the server behind the door hears of it."""
    try:
        with client.websocket_connect(at(client, path), headers=headers):
            return False
    except WebSocketDisconnect:
        return True


def test_only_exact_hosts_are_answered_on_every_route_and_socket(owner: TestClient) -> None:
    for place in PLACES:
        assert owner.get(place).status_code == 200, place
        for host in FOREIGN_HOSTS:
            answer = owner.get(place, headers={"host": host})
            assert (answer.status_code, "headers" in answer.text) == (403, False), (place, host)
            assert is_refused(owner, place, host=host, origin=f"http://{host}"), (place, host)
    for host in (f"localhost:{PORT}", f"[::1]:{PORT}", f"LOCALHOST:{PORT}"):
        assert owner.get("/", headers={"host": host}).status_code == 200, host


def test_only_our_own_origin_may_ask_and_a_socket_has_to_say_it(owner: TestClient) -> None:
    for place in PLACES:
        assert owner.get(place, headers={"origin": OURS}).status_code == 200
        for origin in FOREIGN_ORIGINS:
            assert owner.get(place, headers={"origin": origin}).status_code == 403, (place, origin)
            assert is_refused(owner, place, origin=origin), (place, origin)
    assert is_refused(owner)
    with socket_of(owner) as socket:
        assert socket.receive_json()["origin"] == OURS


def test_a_page_elsewhere_may_lead_here_and_load_or_frame_nothing(owner: TestClient) -> None:
    for site in ("cross-site", "same-site"):
        for mode, goal in (("no-cors", "image"), ("navigate", "iframe"), ("cors", "empty"), ("navigate", "object")):
            headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": goal}
            assert owner.get("/run", headers=headers).status_code == 403, headers
        led = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert owner.get("/run", headers=led).status_code == 200


def test_without_the_token_there_is_one_sentence_and_nothing_else(tmp_path: Path) -> None:
    client = browser_at(door_of(tmp_path))
    for place in PLACES:
        answer = client.get(place, headers={"accept": "text/html"})
        if place == "/_stcore/health":
            assert (answer.status_code, answer.content, answer.headers.get("set-cookie")) == (200, b"", None)
            continue
        assert answer.status_code == 401, place
        assert answer.text.count("cwpo link") == 1
        assert is_refused(client, place, origin=OURS), place
    assert client.put("/_stcore/upload_file/a/b", content=b"x").status_code == 401
    wrong = ("", "x", token_of(tmp_path)[:-1], token_of(tmp_path) + "x", "é" * 43, token_of(tmp_path / "other"))
    for token in wrong:
        assert client.get("/", params={"token": token}).status_code == 401, token
    good = cookie_for(token_of(tmp_path), "0" * 16)
    for cookie in ("", good[:-1], good.replace("0" * 16, "1" * 16, 1), cookie_for("x" * 43, "0" * 16), "." + good):
        client.cookies.set(f"cwpo_{PORT}", cookie)
        assert client.get("/").status_code == 401, cookie
    client.cookies.clear()
    client.cookies.set(f"cwpo_{PORT + 1}", good)
    assert client.get("/").status_code == 401


def test_the_link_is_exchanged_for_a_cookie_and_leaves_the_address(tmp_path: Path) -> None:
    client = browser_at(door_of(tmp_path))
    answer = client.get("/run", params={"run": "7", "token": token_of(tmp_path), "x": "a b&c"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/run?run=7&x=a+b%26c")
    name, *flags = answer.headers["set-cookie"].split("; ")
    assert name.startswith(f"cwpo_{PORT}=")
    assert token_of(tmp_path) not in answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(flags)
    assert client.get(answer.headers["location"]).status_code == 200
    assert browser_at(door_of(tmp_path)).get("/").status_code == 401  # another browser
    again = come_in(browser_at(door_of(tmp_path)), tmp_path)  # the server was started again
    assert again.get("/").status_code == 200
    renew(tmp_path)
    assert again.get("/").status_code == 401


@pytest.mark.parametrize("path", ["//evil.com", "/\\evil.com", "/%5c%5cevil.com", "///evil.com/x", "/%0d%0aX:%20y"])
def test_the_way_without_the_token_never_leads_elsewhere(tmp_path: Path, path: str) -> None:
    answer = browser_at(door_of(tmp_path)).get(f"{OURS}{path}?token={token_of(tmp_path)}")
    assert answer.status_code == 303
    there = answer.headers["location"]
    assert there.startswith("/")
    assert not there.startswith(("//", "/\\"))
    assert "x" not in answer.headers


def test_a_link_from_another_site_asks_again_as_our_own_page(tmp_path: Path) -> None:
    """A strict cookie does not come with it, even where the browser has one."""
    client = browser_at(door_of(tmp_path))
    led = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = client.get("/run?run=7", headers={**led, "accept": "text/html"})
    assert (answer.status_code, 'http-equiv="refresh"' in answer.text) == (401, True)
    answer = client.get("/run?run=7", headers={**led, "sec-fetch-site": "same-origin", "accept": "text/html"})
    assert (answer.status_code, 'http-equiv="refresh"' in answer.text) == (401, False)


def test_the_token_is_its_owners_alone_and_made_once(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    token = token_of(home)
    assert token == token_of(home)
    assert stat.S_IMODE(token_file(home).stat().st_mode) == 0o600
    assert os.listdir(home) == ["start-token"]
    token_file(home).write_text("changed by hand")
    with pytest.raises(ConfigError, match="holds no start token"):
        token_of(home)


def test_every_answer_says_what_a_browser_may_do_with_it(owner: TestClient, tmp_path: Path) -> None:
    stranger = browser_at(door_of(tmp_path))
    for client in (owner, stranger):
        for place in PLACES:
            headers = client.get(place, headers={"accept": "text/html"}).headers
            rules = headers["content-security-policy"]
            assert "frame-ancestors 'none'" in rules, place
            assert "default-src 'none'" in rules
            assert "unsafe-eval" not in rules
            assert not [rule for rule in rules.split("; ") if rule.startswith("script-src") and "unsafe" in rule]
            assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
            assert headers["referrer-policy"] == "same-origin"
    rules = owner.get("/component/a.b/index.html").headers["content-security-policy"]
    assert "frame-ancestors 'self'" in rules


PROXY = {"CWPO_PROXY_HEADER": "X-Forwarded-User", "CWPO_PROXY_ADDRESS": "10.0.0.2, 10.0.0.3"}
PUBLIC = {"CWPO_PUBLIC_URL": "https://cwpo.example.org/lab"}
THERE = "https://cwpo.example.org"


def test_a_name_is_believed_from_the_proxy_alone(tmp_path: Path) -> None:
    door = door_of(tmp_path, "0.0.0.0", **PROXY, **PUBLIC)
    named = {"x-forwarded-user": "ada@example.org"}
    proxy = browser_at(door, THERE, "10.0.0.2")
    assert proxy.get("/", headers=named).json()["headers"]["x-cwpo-person"] == "ada@example.org"
    with proxy.websocket_connect(at(proxy), headers={**named, "origin": THERE}) as socket:
        assert socket.receive_json()["x-cwpo-person"] == "ada@example.org"
    assert browser_at(door, THERE, "::ffff:10.0.0.3").get("/", headers=named).status_code == 200
    for peer in ("10.0.0.4", "127.0.0.1", "10.0.0.22"):
        other = browser_at(door, THERE, peer)
        lied = {**named, "x-forwarded-for": "10.0.0.2", "x-cwpo-person": "ada", "x-real-ip": "10.0.0.2"}
        assert other.get("/", headers=lied).status_code == 403, peer
        assert is_refused(other, origin=THERE, **lied), peer
        assert other.get("/_stcore/health").content == b""
    assert proxy.get("/").status_code == 401
    assert proxy.get("/", headers={"x-cwpo-person": "ada"}).status_code == 401
    for name in ("", " ", "a" * 400, "a\tb"):
        assert proxy.get("/", headers={"x-forwarded-user": name}).status_code == 401, name
    assert _name_of(b"\xff\xfe".decode("latin-1")) is None
    assert proxy.get("/", headers=[("x-forwarded-user", "a"), ("x-forwarded-user", "b")]).status_code == 401


def test_a_proxy_on_this_machine_shows_the_token_too(tmp_path: Path) -> None:
    """Its address is that of everybody who is logged in here."""
    door = door_of(tmp_path, CWPO_PROXY_HEADER="Remote-User", CWPO_PROXY_ADDRESS="127.0.0.1", **PUBLIC)
    client, named = browser_at(door, THERE), {"remote-user": "ada"}
    assert client.get("/", headers=named).status_code == 403
    assert client.get("/", headers={**named, "x-cwpo-token": "x"}).status_code == 403
    answer = client.get("/", headers={**named, "x-cwpo-token": token_of(tmp_path)})
    assert answer.json()["headers"]["x-cwpo-person"] == "ada"
    assert token_of(tmp_path) not in answer.text


def test_headers_of_ours_are_nobody_elses_to_write(owner: TestClient) -> None:
    said = {"x-cwpo-person": "ada", "x-cwpo-socket": "a" * 32, "X-Cwpo-Anything": "x"}
    assert not [name for name in owner.get("/", headers=said).json()["headers"] if name.startswith("x-cwpo")]
    with socket_of(owner, **said) as socket:
        ours = {name: value for name, value in socket.receive_json().items() if name.startswith("x-cwpo")}
    assert list(ours) == ["x-cwpo-socket"]
    assert ours["x-cwpo-socket"] != "a" * 32


LOGIN = {
    "redirect_uri": f"{THERE}/oauth2callback",
    "cookie_secret": "x" * 32,
    "client_id": "cwpo",
    "client_secret": "x",
    "server_metadata_url": "https://login.example.org/.well-known/openid-configuration",
}


def test_with_a_login_pages_ask_and_strangers_see_no_figures(tmp_path: Path) -> None:
    client = browser_at(door_of(tmp_path, "0.0.0.0", login=LOGIN), THERE, "10.1.1.1")
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"host": "evil.com"}).status_code == 403
    for place in ("/_stcore/metrics", "/_stcore/agent/interact", "/_stcore/agent/mcp"):
        assert client.get(place).status_code == 404, place


def test_under_a_prefix_the_rules_are_the_same(tmp_path: Path) -> None:
    door = door_of(tmp_path, base="/lab/", **PUBLIC)
    client = browser_at(door, THERE)
    answer = client.get("/lab/run", params={"token": token_of(tmp_path)})
    assert answer.headers["location"] == "/lab/run"
    assert {"Path=/lab", "Secure"} <= set(answer.headers["set-cookie"].split("; "))
    assert client.get("/lab/run").status_code == 200
    stranger = browser_at(door, THERE)
    assert stranger.get("/lab/_stcore/health").status_code == 200
    assert stranger.get("/_stcore/health").status_code == 401  # not a place of ours
    assert stranger.get("/lab/_stcore/agent/mcp").status_code == 404


REFUSED = {
    "everywhere": ("0.0.0.0", {}, None, "nobody would have to sign in"),
    "everywhere, IPv6": ("::", {}, None, "nobody would have to sign in"),
    "nothing said": ("", {}, None, "nobody would have to sign in"),
    "a network": ("192.168.1.7", {}, None, "nobody would have to sign in"),
    "a public host makes no login": ("0.0.0.0", PUBLIC, None, "nobody would have to sign in"),
    "a name": ("no-such-host.invalid", {}, None, "nobody would have to sign in"),
    "a header from anybody": ("127.0.0.1", {"CWPO_PROXY_HEADER": "X-User"}, None, "CWPO_PROXY_ADDRESS"),
    "no address": ("127.0.0.1", PROXY | {"CWPO_PROXY_ADDRESS": "proxy"}, None, "must be an IP address"),
    "no header": ("127.0.0.1", PROXY | {"CWPO_PROXY_HEADER": "X User"}, None, "must be the name of a header"),
    "addresses by others": ("127.0.0.1", PROXY | {"FORWARDED_ALLOW_IPS": "*"}, None, "must be empty"),
    "both": ("127.0.0.1", PROXY, LOGIN, "keep one of them"),
    "where is it": ("0.0.0.0", PROXY, None, "CWPO_PUBLIC_URL"),
    "no address of a host": ("127.0.0.1", {"CWPO_PUBLIC_URL": "ftp://x"}, None, "must be as https"),
    "a short secret": ("127.0.0.1", {}, LOGIN | {"cookie_secret": "x" * 31}, "32 characters"),
    "another callback": ("127.0.0.1", {}, LOGIN | {"redirect_uri": THERE}, "/oauth2callback"),
    "no provider": ("127.0.0.1", {}, {key: LOGIN[key] for key in ("redirect_uri", "cookie_secret")}, "client_id"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_let_others_in_does_not_start(tmp_path: Path, case: str) -> None:
    address, environment, login, sentence = REFUSED[case]
    with pytest.raises(ConfigError) as said:
        door_of(tmp_path, address, login=login, **environment)
    assert sentence in str(said.value)
    assert len(str(said.value)) < 300


def test_loopback_is_all_of_it_and_nothing_more() -> None:
    assert [stays_here(one) for one in ("127.0.0.1", "127.0.0.2", "127.255.0.1", "::1", "localhost")] == [True] * 5
    others = ("0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "no-such-host.invalid", "", "x" * 300)
    assert [stays_here(one) for one in others] == [False] * len(others)


def test_one_browser_opens_so_many_sockets_and_another_still_its_own(tmp_path: Path) -> None:
    client = browser_at(door_of(tmp_path), limits=Limits(sockets=2))
    come_in(client, tmp_path)
    with socket_of(client), socket_of(client):
        assert is_refused(client, origin=OURS)
        client.cookies.set(f"cwpo_{PORT}", cookie_for(token_of(tmp_path), "1" * 16))
        with socket_of(client) as other:
            assert other.receive_json()
        come_in(client, tmp_path)
        assert is_refused(client, origin=OURS)
    with socket_of(client) as socket:
        assert socket.receive_json()


def test_uploads_are_counted_whatever_they_say(tmp_path: Path) -> None:
    limits = Limits(upload_bytes=1000, bytes_back=0.001)
    client = come_in(browser_at(door_of(tmp_path), limits=limits), tmp_path)
    place = "/_stcore/upload_file/session/file"
    assert client.put(place, content=b"x" * 600).json() == {"bytes": 600}
    assert client.put(place, content=b"x" * 600).status_code == 429
    assert client.put(place, content=iter([b"x" * 300] * 3)).status_code == 429  # without saying how much
    assert client.put(place, content=iter([b"x" * 300_000] * 9)).status_code == 429
    assert client.get("/").status_code == 200


def test_a_bucket_slows_down_and_forgets() -> None:
    now = [0.0]
    bucket = Bucket(10, 2.0, clock=lambda: now[0])
    assert [bucket.take(1) for _ in range(12)] == [0.0] * 10 + [0.5, 1.0]
    now[0] = 3.0
    assert bucket.take(1) == 0.0
    assert not bucket.has(100)
    now[0] = 1000.0
    assert bucket.has(10)
    assert not bucket.has(0.1)


def test_hostile_text_in_a_request_is_a_plain_refusal(owner: TestClient, tmp_path: Path) -> None:
    """In the address, in a header, in a cookie: nothing of it comes back in our own answers."""
    stranger = browser_at(door_of(tmp_path))
    for text in PAYLOADS:
        answer = stranger.get("/", params={"token": text, "q": text}, headers={"accept": "text/html"})
        assert answer.status_code == 401
        assert text not in answer.text or len(text) < 3
        json.dumps(answer.text)
