"""How much one client may ask for at once, so that others go on working: sockets, reruns and uploads.

Too much is slowed down first. Only what nobody needs is refused: more sockets than a person has tabs, and uploads that
would fill the disk.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_MOST_CLIENTS = 2_000  # that are remembered; of more, those that were away longest are forgotten


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one client. `reruns` and `bytes_back`: what comes back in a second; `burst` and `upload_bytes`: at most."""

    sockets: int = 40
    reruns: float = 4.0
    burst: float = 40.0
    uploads: int = 3
    upload_bytes: float = 8 * 2**30
    bytes_back: float = 16 * 2**20


class Bucket:
    """Holds `most` and fills by `rate` a second. What is taken beyond what it holds has to be waited for."""

    def __init__(self, most: float, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._rate, self._clock = most, rate, clock
        self._held, self._at = most, clock()

    def take(self, amount: float) -> float:
        """Take so much; the seconds to wait before it may be used."""
        self._fill()
        self._held -= amount
        return max(0.0, -self._held / self._rate)

    def has(self, amount: float) -> bool:
        """Whether so much is there; takes it where it is."""
        self._fill()
        if self._held < amount:
            return False
        self._held -= amount
        return True

    def _fill(self) -> None:
        now = self._clock()
        self._held = min(self._most, self._held + (now - self._at) * self._rate)
        self._at = now


@dataclass
class Client:
    """What one client has open. `turn`: of its pages one is computed at a time."""

    limits: Limits
    sockets: int = 0
    seen: float = field(default_factory=time.monotonic)
    turn: threading.Lock = field(default_factory=threading.Lock)
    reruns: Bucket = field(init=False)
    upload_bytes: Bucket = field(init=False)
    uploads: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.reruns = Bucket(self.limits.burst, self.limits.reruns)
        self.upload_bytes = Bucket(self.limits.upload_bytes, self.limits.bytes_back)
        self.uploads = asyncio.Semaphore(self.limits.uploads)

    def takes_socket(self) -> bool:
        """Whether one more may be opened; counts it where it may."""
        if self.sockets >= self.limits.sockets:
            return False
        self.sockets += 1
        return True

    def gives_socket_back(self) -> None:
        self.sockets -= 1


class Clients:
    """All that were here lately, by what tells them apart: a browser, a person or an address."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._by_key: dict[str, Client] = {}

    def of(self, key: str) -> Client:
        client = self._by_key.pop(key, None) or Client(self._limits)
        client.seen = time.monotonic()
        self._by_key[key] = client  # at the end: the newest
        if len(self._by_key) > _MOST_CLIENTS:
            self._forget()
        return client

    def _forget(self) -> None:
        """The oldest half of those that have nothing open."""
        away = [key for key, client in self._by_key.items() if not client.sockets]
        for key in away[: _MOST_CLIENTS // 2]:
            del self._by_key[key]
