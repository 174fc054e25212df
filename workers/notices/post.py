"""One message on its way: a POST that follows no redirect, asks no proxy, ends in time, and reaches no metadata server.

The name is looked up once and that very address is used, so that a second answer cannot lead elsewhere.
"""

import http.client
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any

from workers.notices.targets import Target

CONNECT_SECONDS = 5.0
WHOLE_SECONDS = 20.0
# What clouds answer with the credentials of a machine.
REFUSED = tuple(map(ipaddress.ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128")))


class NotSent(Exception):
    """The message did not arrive; why, in one sentence without the address."""


def post(target: Target, body: Mapping[str, Any], *, whole: float = WHOLE_SECONDS) -> None:
    """Send it; NotSent unless the answer is a 2xx."""
    data = json.dumps(body, ensure_ascii=True).encode()
    headers = {
        "Content-Type": "application/json", "User-Agent": "cwpo", "Connection": "close",
        "Idempotency-Key": str(body.get("id", "")),
    }  # fmt: skip
    status, _ = exchange(target, "POST", target.path, data, headers, whole=whole)
    if 300 <= status < 400:
        raise NotSent(f"{target.host} answered with a redirect ({status}), which is not followed.")
    if not 200 <= status < 300:
        raise NotSent(f"{target.host} answered {status}.")


def exchange(
    target: Target,
    method: str,
    path: str,
    data: bytes | None,
    headers: Mapping[str, str],
    *,
    whole: float,
    most: int = 0,
) -> tuple[int, bytes]:
    """Status and body of the answer, of which at most `most` bytes are read; NotSent where none comes in time."""
    try:
        return _exchange(target, (method, path, data, headers), whole, most)
    except TimeoutError as error:
        raise NotSent(f"{target.host} did not answer within {whole:g} s.") from error
    except ssl.SSLError as error:
        raise NotSent(f"{target.host} has no certificate that this machine trusts ({error.reason}).") from error
    except (OSError, http.client.HTTPException) as error:
        raise NotSent(f"{target.host} cannot be reached ({_reason(error)}).") from error


Question = tuple[str, str, bytes | None, Mapping[str, str]]  # method, path, body, headers


def _exchange(target: Target, question: Question, whole: float, most: int) -> tuple[int, bytes]:
    """Status and body of the answer. A timer ends the connection, however slowly the other side drips."""
    connection = _Connection(target, timeout=min(CONNECT_SECONDS, whole))
    late = threading.Event()
    timer = threading.Timer(whole, _cut, (connection, late))
    timer.daemon = True
    timer.start()
    try:
        method, path, data, headers = question
        connection.request(method, path, body=data, headers=dict(headers))
        connection.stay(whole)
        answer = connection.getresponse()
        return answer.status, answer.read(most) if most else b""
    except (OSError, http.client.HTTPException) as error:
        if late.is_set():
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
        connection.close()


def _cut(connection: "_Connection", late: threading.Event) -> None:
    late.set()
    connection.cut()


class _Connection(http.client.HTTPConnection):
    """To the address that was looked up and allowed."""

    def __init__(self, target: Target, timeout: float) -> None:
        super().__init__(target.host, target.port, timeout=timeout)
        self._target = target

    def connect(self) -> None:
        sock = socket.create_connection((allowed_address(self._target), self._target.port), self.timeout)
        if self._target.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=self._target.host)
        self.sock = sock

    def stay(self, seconds: float) -> None:
        """Wait for the answer longer than for the connection."""
        if self.sock is not None:
            self.sock.settimeout(seconds)

    def cut(self) -> None:
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


def allowed_address(target: Target) -> str:
    """The first address of the host; NotSent where any of them is one that is never asked."""
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)]
    except socket.gaierror as error:
        raise NotSent(f"The name {target.host} is not known here.") from error
    if any(is_refused(address) for address in found):
        raise NotSent(f"{target.host} is an address of this machine's own network that is never asked (link-local).")
    return found[0]


def is_refused(address: str) -> bool:
    """Whether a message must not go there, also where IPv4 is written as IPv6."""
    place = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(place, "ipv4_mapped", None) or getattr(place, "sixtofour", None)
    both = [one for one in (place, inner) if one is not None]
    return any(one in network for one in both for network in REFUSED if one.version == network.version)


def _reason(error: Exception) -> str:
    return " ".join((getattr(error, "strerror", None) or type(error).__name__).split())[:100]
