"""One client opens 200 sockets and asks for 1,000 reruns: how long does somebody else's page take meanwhile?

    python -m benchmarks pressure [--sockets 200] [--reruns 1000] [--without] [--out benchmarks/results/pressure.json]

A built database, the real server, one browser's cookie for all sockets of the client and another one for the visitor,
who opens the list of runs on a socket of its own every half second, as a person in a hurry, so that the visitor's own
limit is never met: before, and for as long as the reruns last, at most 60 s. A page is there when its script has
finished; what a browser draws afterwards is not in it. `/_stcore/health` is asked four times a second. `--without`
measures the same without limits, to see what they are for.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin, Subprotocol

from benchmarks.pages import serving
from benchmarks.scale import build_database
from tests.signed_in import cookie_at

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 60.0  # seconds of pressure that are measured
EVERY = 0.5  # seconds from one page of the visitor to the next; each counts as one rerun of its 4 a second
HEALTH_GOAL, PAGE_GOAL = 1.0, 2.0  # seconds; times what it takes without pressure
WITHOUT = (
    "import app.door.limits as limits, app.door.people as people\n"
    "class Boundless(limits.Limits):\n"
    "    def __init__(self):\n"
    "        super().__init__(sockets=10**6, reruns=1e9, burst=1e9)\n"
    "limits.Limits = Boundless\n"
    "people.PATIENCE = 0\n"
)


def socket_to(base: str, cookie: str) -> connect:
    return connect(
        f"{base.replace('http', 'ws')}/_stcore/stream",
        origin=Origin(base),
        subprotocols=[Subprotocol("streamlit")],
        additional_headers={"Cookie": cookie},
        max_size=None,
        open_timeout=60,
    )


def rerun(page: str = "") -> bytes:
    return BackMsg(rerun_script=ClientState(page_name=page)).SerializeToString()


async def page_seconds(base: str, cookie: str) -> float:
    """From opening a socket to the end of the script of the list of runs."""
    await asyncio.sleep(EVERY)
    began = time.monotonic()
    async with socket_to(base, cookie) as line:
        await line.send(rerun())
        async for data in line:
            message = ForwardMsg.FromString(data if isinstance(data, bytes) else data.encode())
            if message.WhichOneof("type") == "script_finished":
                return time.monotonic() - began
    raise RuntimeError("the server closed the socket")


async def press(base: str, cookie: str, sockets: int, reruns: int) -> dict[str, int]:
    """Open so many sockets with one cookie and ask for so many reruns on those that were let in."""
    opened = await asyncio.gather(*(_opened(base, cookie) for _ in range(sockets)))
    lines = [line for line in opened if line is not None]
    print(json.dumps({"opened": len(lines), "refused": sockets - len(lines)}), flush=True)
    sent = 0
    for number in range(reruns):
        line = lines[number % len(lines)]
        with suppress(WebSocketException):
            await line.send(rerun())
            sent += 1
    await asyncio.sleep(LONGEST)
    return {"sent": sent}


async def _opened(base: str, cookie: str) -> Any:
    try:
        line = await socket_to(base, cookie)
    except (WebSocketException, OSError, TimeoutError):
        return None
    asyncio.ensure_future(_drain(line))  # noqa: RUF006 - it ends with the process
    return line


async def _drain(line: Any) -> None:
    with suppress(WebSocketException):
        async for _ in line:
            pass


async def healthy(base: str, until: asyncio.Event) -> list[float]:
    """Seconds of each answer of the server about itself."""
    found = []
    while not until.is_set():
        began = time.monotonic()
        await asyncio.to_thread(lambda: urllib.request.urlopen(f"{base}/_stcore/health", timeout=60).read())  # noqa: S310
        found.append(time.monotonic() - began)
        await asyncio.sleep(0.25)
    return found


async def measure(base: str, sockets: int, reruns: int) -> dict[str, Any]:
    """The visitor's pages and the server's health, before and under pressure."""
    client, visitor = (f"{name}={value}" for _ in range(2) for name, value in cookie_at(base).items())
    for _ in range(3):
        await page_seconds(base, visitor)
    before = [await page_seconds(base, visitor) for _ in range(15)]
    command = [sys.executable, "-m", "benchmarks.pressure", "--press", base, client, str(sockets), str(reruns)]
    pressing = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert pressing.stdout is not None
        over = asyncio.Event()
        asked = asyncio.ensure_future(healthy(base, over))
        opened = json.loads(await asyncio.to_thread(pressing.stdout.readline))
        began, during = time.monotonic(), list[float]()
        while time.monotonic() - began < LONGEST:
            during.append(await page_seconds(base, visitor))
        over.set()
        health = await asked
    finally:
        pressing.kill()
        pressing.wait(20)
    return {
        **opened,
        "reruns": reruns,
        "page_before": _figures(before),
        "page_under_pressure": _figures(during),
        "times": round(statistics.median(during) / statistics.median(before), 2),
        "health": _figures(health),
    }


def _figures(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(seconds), 3),
        "worst": round(max(seconds), 3),
        "of": len(seconds),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write down; 1 where a goal is missed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sockets", type=int, default=200)
    options.add_argument("--reruns", type=int, default=1000)
    options.add_argument("--runs", type=int, default=40)
    options.add_argument("--without", action="store_true")
    options.add_argument("--anew", action="store_true", help="as for the others; this one is always made anew")
    options.add_argument("--out", type=Path)
    options.add_argument("--press", nargs=4, metavar=("BASE", "COOKIE", "SOCKETS", "RERUNS"), help=argparse.SUPPRESS)
    chosen = options.parse_args(arguments)
    if chosen.press:
        base, cookie, sockets, reruns = chosen.press
        asyncio.run(press(base, cookie, int(sockets), int(reruns)))
        return 0
    with tempfile.TemporaryDirectory(prefix="cwpo-pressure-") as folder:
        url = f"sqlite:///{Path(folder).resolve() / 'cwpo.sqlite'}"
        build_database(url, count=chosen.runs, pairs=500)
        with serving(Path(folder), url, WITHOUT if chosen.without else "") as base:
            found = asyncio.run(measure(base, chosen.sockets, chosen.reruns))
    found |= {"limits": not chosen.without, "cores": os.cpu_count(), "machine": platform.machine(),
              "date": datetime.now(UTC).date().isoformat()}  # fmt: skip
    print(json.dumps(found, indent=1))
    if chosen.out:
        chosen.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if chosen.without or (found["health"]["worst"] <= HEALTH_GOAL and found["times"] <= PAGE_GOAL) else 1


if __name__ == "__main__":
    raise SystemExit(main())
