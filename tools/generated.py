"""A part of a page that a program writes, between two lines of the page that stay."""

from pathlib import Path


def stands(page: Path, begin: str, end: str, text: str) -> bool:
    """Whether that part of the page is this text."""
    return _with(page, begin, end, text) == page.read_text(encoding="utf-8")


def put(page: Path, begin: str, end: str, text: str) -> None:
    """Write the text in its place; ValueError where the page has no such lines."""
    page.write_text(_with(page, begin, end, text), encoding="utf-8")


def brought(page: Path, begin: str, end: str, text: str, *, write: bool, command: str) -> int:
    """Write it, or say by what command where the page says something else; 1 there."""
    if write:
        put(page, begin, end, text)
    elif not stands(page, begin, end, text):
        print(f"{page} is out of date: {command} --write")
        return 1
    return 0


def _with(page: Path, begin: str, end: str, text: str) -> str:
    before, opened, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"{page} has no lines {begin.strip()} and {end.strip()}.")
    return f"{before}{begin}\n{text}\n{end}{after}"
