"""Random numbers derived from text by hashing: the same text always gives the same number. Free of torch.

Stored results depend on these numbers, so no function here may ever return another value.
"""

from collections.abc import Sequence
from hashlib import blake2b, sha256
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]


def place(text: str) -> int:
    """Where in a seeded order a name stands, 0 … 2⁶⁴ − 1: the first 64 bits of its sha256."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def share(text: str) -> float:
    """The same place as a number in [0, 1)."""
    return (place(text) >> 12) * 2.0**-52


def word(text: str) -> int:
    """A 64-bit hash of a text, faster than `place`: for numbers drawn for every pair or step."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def chance(text: str) -> float:
    """A number in [0, 1) from `word`."""
    return (word(text) >> 11) * 2.0**-53


def short(text: str) -> int:
    """A 32-bit hash of a text (crc32), for use as a torch seed."""
    return crc32(text.encode())


def words(texts: Sequence[str]) -> Words:
    """64-bit hashes of many texts, (N,), in this machine's byte order (`word` is big-endian)."""
    return np.frombuffer(b"".join(blake2b(text.encode(), digest_size=8).digest() for text in texts), dtype=np.uint64)


def mixed(keys: Words) -> Words:
    """The finalizer of splitmix64: every input bit moves every output bit."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: Words = keys ^ (keys >> np.uint64(31))
    return found


def uniforms(keys: Words, position: int) -> NDArray[np.float64]:
    """One number in [0, 1) per key at a position: splitmix64 of the key, a pure function of both."""
    with np.errstate(over="ignore"):
        found = mixed(keys + np.uint64(position + 1) * np.uint64(0x9E3779B97F4A7C15))
    return (found >> np.uint64(11)).astype(np.float64) * 2.0**-53
