"""How often a test draws: few times for a quick answer, and as often as the environment says where there is time."""

import os

COUNTED = "counted"  # property of a test: what it counted, said under all tests (tests/conftest.py)


def amount(name: str, usual: int) -> int:
    """The number that the environment gives for this name, such as WALKS=30."""
    return int(os.environ.get(name, usual))
