"""Whose an address is, and whether anything answers there."""

from urllib.error import URLError
from urllib.request import urlopen


def is_ours(url: str, ours: str) -> bool:
    return url.startswith((ours, ours.replace("http", "ws"), "data:", "blob:"))


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1):
            return True
    except (URLError, OSError):
        return False
