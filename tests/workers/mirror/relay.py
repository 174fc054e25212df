"""Between us and a server: a door of its own that can be shut, and that can lose answers."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers import free_port


class Relay:
    """Passes bytes on to a port of this machine. `loses`: answers to requests whose first line has this are lost after
    the server did what was asked, while `holds` without an end of the wait; `lost` counts them."""

    def __init__(self, to: int) -> None:
        self.to = to
        self.port = free_port()
        self.asked: list[str] = []
        self.loses = ""
        self.lost = 0
        self.holds = False
        self._server: socketserver.ThreadingTCPServer | None = None

    def up(self) -> None:
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                relay.pass_on(self.request)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        socketserver.ThreadingTCPServer.daemon_threads = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def pass_on(self, near: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self.to)) as far:
            first = near.recv(65_536)
            line = first.partition(b"\r\n")[0].decode()
            self.asked.append(line)
            far.sendall(first)
            threading.Thread(target=_pump, args=(near, far), daemon=True).start()
            answer = b"".join(iter(lambda: far.recv(65_536), b""))
        if self.loses and self.loses in line:
            self.lost += 1
            while self.holds:
                time.sleep(0.02)
        else:
            near.sendall(answer)


def _pump(near: socket.socket, far: socket.socket) -> None:
    try:
        while data := near.recv(65_536):
            far.sendall(data)
    except OSError:
        return


@contextmanager
def relay(to: int) -> Iterator[Relay]:
    """One that is up, for as long as the block lasts."""
    found = Relay(to)
    found.up()
    try:
        yield found
    finally:
        found.down()
