"""Seeded chance: literal values, because stored splits, orders and answers were drawn from them."""

import hashlib
import sys

import numpy as np

from cwpo import seeded


def test_values_are_those_that_stored_results_were_drawn_from() -> None:
    assert seeded.place("7:p1") == int(hashlib.sha256(b"7:p1").hexdigest()[:16], 16) == 8487727262343886001
    assert seeded.share("swap:3:a-1") == int(hashlib.sha256(b"swap:3:a-1").hexdigest()[:13], 16) / 16**13
    assert seeded.word("p1") == int.from_bytes(hashlib.blake2b(b"p1", digest_size=8).digest(), "big")
    assert seeded.chance("0:1:pairs") == (seeded.word("0:1:pairs") >> 11) * 2.0**-53
    assert seeded.short("0:3:1") == 2865746644
    assert seeded.words(["p1", "p2"]).tolist() == [
        int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), sys.byteorder) for text in (b"p1", b"p2")
    ]


def test_splitmix64_by_hand() -> None:
    """In whole numbers modulo 2⁶⁴."""
    key, position, whole = 0x0123456789ABCDEF, 4, 1 << 64
    z = (key + (position + 1) * 0x9E3779B97F4A7C15) % whole
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % whole
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % whole
    wanted = ((z ^ (z >> 31)) >> 11) * 2.0**-53
    assert seeded.uniforms(np.array([key], dtype=np.uint64), position).tolist() == [wanted]


def test_numbers_are_in_the_unit_interval_and_spread() -> None:
    """1,000 draws: means within 5 standard errors of ½."""
    for draw in (seeded.share, seeded.chance):
        values = np.array([draw(f"{at}") for at in range(1000)])
        assert 0 <= values.min() < values.max() < 1
        assert abs(values.mean() - 0.5) < 5 * (1 / 12**0.5) / 1000**0.5
