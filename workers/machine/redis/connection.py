"""Connections that read no more than a megabyte of any reply, whatever somebody put into Redis."""

from typing import Any

from redis import Redis
from redis._parsers.resp2 import _RESP2Parser
from redis._parsers.socket import SocketBuffer
from redis.backoff import ConstantBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from workers.machine.redis.address import NAME, redis_url, refusal

MOST_BYTES = 1 << 20  # of a reply; ours are below a hundred, what a server says of itself is below 10,000


class RedisNotTrusted(RedisError):
    """The address is not used; the message says why."""


class _SmallBuffer(SocketBuffer):
    """What has come of a reply; the connection ends, and the reply with it, where that is too much."""

    def read(self, length: int, *more: Any, **named: Any) -> bytes:
        _refuse_more_than(length)
        return super().read(length, *more, **named)

    def _read_from_socket(self, *more: Any, **named: Any) -> bool:
        _refuse_more_than(self._buffer.getbuffer().nbytes)
        return super()._read_from_socket(*more, **named)


class SmallReplies(_RESP2Parser):
    """redis-py's own parser over a small buffer."""

    def on_connect(self, connection: Any) -> None:
        """As the parser, with the other buffer."""
        super().on_connect(connection)
        self._buffer = _SmallBuffer(connection._sock, self.socket_read_size, connection.socket_timeout)


def _refuse_more_than(count: int) -> None:
    if count > MOST_BYTES:
        raise RedisConnectionError(f"Redis answers with more than {MOST_BYTES:,} bytes; the answer was not read")


def connect(url: str | None = None) -> Redis:
    """A connection that fails within about a second: for submitting and for health. RedisNotTrusted for an address
    that is not used."""
    return _connection(url, Retry(NoBackoff(), 0), socket_connect_timeout=1, socket_timeout=5)


def connect_to_wait(url: str | None = None) -> Redis:
    """A connection for a worker, which waits for rings on it and connects again whenever it is lost."""
    return _connection(url, Retry(ConstantBackoff(0.1), 1), socket_connect_timeout=2, health_check_interval=15)


def _connection(url: str | None, retry: Retry, **options: Any) -> Redis:
    place = url or redis_url()
    if said := refusal(place):
        raise RedisNotTrusted(f"{NAME} {said}")
    small = {"protocol": 2, "parser_class": SmallReplies}
    made = Redis.from_url(place, retry=retry, **options, **small)
    made.connection_pool.connection_kwargs.update(small)  # also where the address asks for another protocol
    return made
