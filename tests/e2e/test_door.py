"""Who may use a server that runs: another user of the machine, another port, a frame, somebody who signs in."""

import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import oidc_provider_mock
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.serving import ROOT, Web, of_home, served, visiting
from tests.e2e.test_dashboard import ready
from tests.listening import expecting, nothing_goes_wrong
from tests.servers import free_port
from workers.access.start_token import token_file, token_of

# What somebody else on this machine tries: a page, a socket as the browser opens it, and the token itself.
STRANGER = """
import encodings.idna, http.client, json, os, sys
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
port, file = int(sys.argv[1]), sys.argv[2]
def ask(path, **headers):
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    line.request("GET", path, headers={"Host": f"127.0.0.1:{port}", **headers})
    answer = line.getresponse()
    return [answer.status, answer.read().decode()[:200]]
hello = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
         "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "streamlit"}
def read():
    try:
        return open(file).read()
    except OSError as error:
        return type(error).__name__
print(json.dumps({
    "page": ask("/"), "health": ask("/_stcore/health"), "guess": ask("/?token=guess"), "script": ask("/static/js/x.js"),
    "socket": ask("/_stcore/stream", **hello),
    "own socket": ask("/_stcore/stream", Origin=f"http://127.0.0.1:{port}", **hello),
    "token": read(),
}))
"""


def stranger(port: int, token: Path) -> dict[str, list[object]]:
    """What `nobody` gets, or this user without the token where it cannot become another."""
    script = [sys.executable, "-I", "-c", STRANGER, str(port), str(token)]
    done = subprocess.run(script, cwd="/", capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[object]] = json.loads(done.stdout)
    return found


def test_another_user_of_this_machine_gets_a_sentence(web: Web) -> None:
    found = stranger(web.port, token_file(web.home))
    assert [found[name][0] for name in ("page", "guess", "script")] == [401] * 3
    assert "cwpo link" in str(found["page"][1])
    assert found["health"] == [200, ""]
    assert [found[name][0] for name in ("socket", "own socket")] == [403] * 2
    assert found["token"] == "PermissionError" or os.geteuid() != 0


def test_the_link_opens_the_dashboard_once_and_then_the_browser_knows_it(web: Web, browser: Browser) -> None:
    with visiting(browser) as page:
        page.context.clear_cookies()
        with expecting(f"^401 {web.url}/$"):
            page.goto(web.url)
            expect(page.get_by_text("opens by its own link")).to_be_visible()
        page.goto(f"{web.url}/system?token={token_of(web.home)}")
        ready(page, "System")
        assert "token" not in page.url
        assert page.evaluate("document.cookie").count("cwpo_") == 0  # no script sees it
        page.goto(web.url)
        ready(page, "Runs")


@contextmanager
def elsewhere(html: str) -> Iterator[str]:
    """A page that somebody else serves on another port of this machine."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_request(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


SOCKET = """address => new Promise(done => {
  const line = new WebSocket(address, ['streamlit']);
  line.onopen = () => done('open'); line.onerror = () => done('refused');
})"""
LOADED = """address => new Promise(done => {
  const picture = new Image();
  picture.onload = () => done('loaded'); picture.onerror = () => done('refused'); picture.src = address;
})"""


def test_a_page_on_another_port_can_frame_read_and_open_nothing(web: Web, browser: Browser) -> None:
    """With the cookie in the same browser, which knows no ports."""
    framing = f'<iframe src="{web.url}/new_run" width="900" height="700"></iframe>'
    with elsewhere(framing) as other, visiting(browser) as page:
        page.goto(f"{web.url}/system")
        ready(page, "System")
        with expecting(
            f"^outside: {other}$", "^403 ", "Framing .* violates", "WebSocket .* code: 403", "blocked by CORS"
        ):
            page.goto(other)
            page.wait_for_load_state("networkidle")
            (frame,) = page.frames[1:]
            assert frame.url.startswith("chrome-error:")
            stream = f"{web.url.replace('http', 'ws')}/_stcore/stream"
            assert page.evaluate(SOCKET, stream) == "refused"
            assert page.evaluate(LOADED, f"{web.url}/favicon.png") == "refused"
            assert page.evaluate("address => fetch(address).then(a => a.status, () => 'refused')", web.url) == "refused"


@pytest.fixture(scope="module")
def asked_outside() -> Iterator[list[str]]:
    """What a proxy for the way outside was asked for."""
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    seen.append(line.recv(200).decode("latin-1"))

        threading.Thread(target=listen, daemon=True).start()
        seen.append(f"http://127.0.0.1:{server.getsockname()[1]}")
        yield seen


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Somebody's login, on this machine."""
    with oidc_provider_mock.run_server_in_thread() as server:
        url = f"http://127.0.0.1:{server.server_port}"
        for name, verified in (("ada", True), ("bo", False)):
            claims = json.dumps({"email": f"{name}@example.org", "email_verified": verified}).encode()
            asked = urllib.request.Request(f"{url}/users/{quote(name)}", claims, {"Content-Type": "application/json"})
            asked.method = "PUT"
            urllib.request.urlopen(asked, timeout=120).close()
        yield url


@pytest.fixture(scope="module")
def with_login(
    provider: str, asked_outside: list[str], tmp_path_factory: pytest.TempPathFactory, redis_process: str, web: Web
) -> Iterator[Web]:
    """A dashboard with a login, below a path, whose way outside leads to a listener."""
    home, port = tmp_path_factory.mktemp("login"), free_port()
    (home / "secrets.toml").write_text(
        f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/lab/oauth2callback"\ncookie_secret = "{"x" * 64}"\n'
        f'client_id = "cwpo"\nclient_secret = "secret"\n'
        f'server_metadata_url = "{provider}/.well-known/openid-configuration"\n'
    )
    environment = of_home(home, redis_process) | {
        "DATABASE_URL": f"sqlite:///{web.home / 'cwpo.sqlite'}",
        "STREAMLIT_SECRETS_FILES": str(home / "secrets.toml"),
        "STREAMLIT_SERVER_BASE_URL_PATH": "lab",
        "HTTP_PROXY": asked_outside[0],
        "HTTPS_PROXY": asked_outside[0],
        "http_proxy": asked_outside[0],
        "https_proxy": asked_outside[0],
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    with served(Web(home=home, environment=environment, port=port)) as started:
        yield started


STYLE_OF_PROVIDER = "https://cdn.jsdelivr.net"


def sign_in(page: Page, name: str) -> None:
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.locator("input[name=sub]").fill(name)
    page.get_by_role("button", name="Authorize", exact=True).click()


def test_people_sign_in_at_their_provider_and_are_named(with_login: Web, provider: str, browser: Browser) -> None:
    """The provider is the one other host that their browsers ask, and whatever its own pages are made of."""
    base = f"{with_login.url}/lab"
    # Bo's address is not verified. What is invisible in Ada's keeps it from being a link.
    for name, called in (("ada", "ada@\u2060example.org"), ("bo", "bo")):
        with expecting(f"^outside: {provider}/", f"^outside: {STYLE_OF_PROVIDER}"), visiting(browser) as page:
            page.route(f"{STYLE_OF_PROVIDER}/**", lambda asked: asked.abort())
            page.goto(f"{base}/system")
            expect(page.get_by_text("Sign in to see this dashboard.")).to_be_visible()
            assert page.get_by_test_id("stSidebarNav").count() == 0
            assert page.get_by_text("Redis").count() == 0
            upload = page.context.request.put(f"{base}/_stcore/upload_file/session/file", data="x")
            assert upload.status == 403
            assert "Nobody has signed in" in upload.text()
            sign_in(page, name)
            ready(page, "Runs")
            assert urlsplit(page.url).path.startswith("/lab")
            expect(page.get_by_test_id("stSidebar").get_by_text(called, exact=True)).to_be_visible()
            upload = page.context.request.put(f"{base}/_stcore/upload_file/session/file", data="x")
            assert "Nobody has signed in" not in upload.text()
            if name == "ada":
                page.goto(f"{base}/system")
                ready(page, "System")
                with page.expect_response(re.compile("/lab/auth/logout")):
                    page.get_by_role("button", name="Sign out").click()
                page.wait_for_url(lambda url: "auth/logout" not in url and not url.endswith("/system"))
                page.goto(f"{base}/system")
                expect(page.get_by_text("Sign in to see this dashboard.")).to_be_visible()


def handshake(port: int, path: str, **headers: str) -> int:
    """The status of an attempt to open a socket."""
    lines = [f"GET {path} HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", *(f"{name}: {value}" for name, value in headers.items())]
    with socket.create_connection(("127.0.0.1", port), 120) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(line.recv(100).split()[1])


def test_a_foreign_origin_is_refused_and_the_server_asks_nobody_outside_about_it(
    with_login: Web, asked_outside: list[str]
) -> None:
    """With a login, where sockets need no token: what a server says first is in the listener, if it says anything."""
    own, port = f"127.0.0.1:{with_login.port}", with_login.port
    for origin in (
        "http://evil.com",
        f"http://evil.com\\@{own}",
        f"http://127.0.0.1:{port + 1}",
        "http://93.184.215.14",
    ):
        assert handshake(port, "/lab/_stcore/stream", Host=own, Origin=origin) == 403, origin
    for host in ("evil.com", f"evil.com\\@{own}", f"127.0.0.1:{port + 1}"):
        assert handshake(port, "/lab/_stcore/stream", Host=host, Origin=f"http://{host}") == 403, host
    assert handshake(port, "/lab/_stcore/stream", Host=own) == 403
    assert handshake(port, "/lab/_stcore/stream", Host=own, Origin=f"http://{own}") == 101
    assert asked_outside[1:] == []


def test_a_server_that_others_could_reach_ends_with_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamlit", "run", "app/serve.py", "--server.port", str(free_port()),
         "--server.address", "0.0.0.0"],
        cwd=ROOT, env=os.environ | {"CWPO_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 1
    (sentence,) = done.stderr.strip().splitlines()
    assert "nobody would have to sign in" in sentence


def test_every_page_keeps_its_policy(web: Web, browser: Browser) -> None:
    """Nothing that a page does is against it; a script of somebody else would be."""
    with visiting(browser) as page:
        with nothing_goes_wrong():
            page.goto(web.url)
            ready(page, "Runs")
        with expecting("console: .*inline script violates"):
            page.evaluate(
                "document.body.append(Object.assign(document.createElement('script'), {text: 'window.x = 1'}))"
            )
            assert page.evaluate("window.x") is None
