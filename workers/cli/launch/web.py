"""The web server as a process: how it is started, and the link that opens its pages.

`python -m workers.cli.launch.web ADDRESS` becomes the server without the launcher; deploy/web.sh calls it.
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from cwpo.config.environment import for_child, settings
from cwpo.errors import ConfigError
from workers.access.start_token import token_of
from workers.machine.paths import ROOT, home

LOCAL = "127.0.0.1"
# Of glibc, which reads them when a process starts. One thread computes at a time, and each heap would keep gaps of its
# own; what is large has a place outside of the heap, however large what was there before, and leaves no gap in it.
HEAP = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(256 * 1024)}


def prefix() -> str:
    """The path that all addresses begin with behind a proxy, as CWPO_PUBLIC_URL has it: empty, or as `/cwpo`."""
    path = urlsplit(settings.public_url or "").path.strip("/")
    return f"/{path}" if path else ""


def command(address: str) -> list[str]:
    """What is run to serve the pages on that address."""
    options = ["--server.port", str(settings.port), "--server.address", address, "--server.headless", "true"]
    if path := prefix():
        options += ["--server.baseUrlPath", path]
    return [sys.executable, "-m", "streamlit", "run", str(ROOT / "app" / "serve.py"), *options]


def environment() -> dict[str, str]:
    """What the server is told. It believes nobody about where connections come from; how it keeps memory is the
    user's choice where there is one."""
    return HEAP | for_child(FORWARDED_ALLOW_IPS="")


def link(base: Path, web_url: str) -> str:
    """The address that opens the dashboard in a browser. `web_url`: where its server listens on this machine."""
    where = settings.public_url.rstrip("/") if settings.public_url else web_url
    if settings.proxy_header:
        return where  # people sign in at the proxy
    return f"{where}/?token={token_of(base)}"


def main(arguments: list[str]) -> int:
    """Become the web server."""
    if len(arguments) != 1:
        print("usage: python -m workers.cli.launch.web ADDRESS", file=sys.stderr)
        return 2
    try:
        words = command(arguments[0])
        if arguments[0] == LOCAL and sys.stdout.isatty():  # what services print is kept where others may read it
            print(f"Dashboard: {link(home(), f'http://{LOCAL}:{settings.port}{prefix()}')}", flush=True)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    os.chdir(ROOT)
    os.execve(words[0], words, environment())  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
