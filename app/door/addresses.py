"""Under which addresses the dashboard is itself: exact hosts and origins, nothing that only looks like them."""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what Streamlit listens on where nothing is said
_USUAL = {"http": 80, "https": 443}


def is_loopback(address: str) -> bool:
    """Whether a number is one of this machine to itself."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def stays_here(address: str) -> bool:
    """Whether a server on this address, or name, is reached from this machine alone: all that a name stands for is."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        pass
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(address or None, 0)}
    except (OSError, UnicodeError):
        return False
    return bool(address and found) and all(is_loopback(one) for one in found)


def plain(peer: str) -> str:
    """The address of a peer as people write it: an IPv4 one that came by a socket for IPv6 is itself again."""
    try:
        mapped = getattr(ipaddress.ip_address(peer), "ipv4_mapped", None)
    except ValueError:
        return peer
    return str(mapped or peer)


def origin_of(url: str) -> str | None:
    """Scheme, host and port of an address, as browsers write them; None where it has no host."""
    try:
        parts = urlsplit(url)
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _USUAL or not name or parts.username is not None:
        return None
    host = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{host}" + ("" if port in (None, _USUAL[parts.scheme]) else f":{port}")


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """`names`: hosts that this server answers to at its own port; `public`: one origin more, where people reach it."""

    names: frozenset[str]
    public: str | None = None

    @classmethod
    def of(cls, address: str, public: str | None) -> "Addresses":
        """Those of a server that listens on `address`."""
        own = {"127.0.0.1", "localhost", "[::1]"}
        if address not in (EVERYWHERE, "::"):
            own.add(f"[{address}]" if ":" in address else address.lower())
        return cls(names=frozenset(own), public=public)

    def origin(self, hosts: Iterable[str], scheme: str, port: int) -> str | None:
        """The origin of pages that a browser has from here by this Host header; None where it is not ours, or not one.

        `scheme`: http or https, of the connection; `port`: the one that the server listens on.
        """
        given = list(hosts)
        if len(given) != 1:
            return None
        host = given[0].lower()
        if self.public is not None and host == self.public.partition("://")[2]:
            return self.public
        exact = {f"{name}:{port}" for name in self.names} | (self.names if port == _USUAL[scheme] else set())
        return f"{scheme}://{host}" if host in exact else None
