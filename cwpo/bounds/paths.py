"""Paths that people write: whatever stands in one, asking about it answers and raises nothing."""

import os
from pathlib import Path


def local(name: str) -> Path:
    """The path with `~` resolved; of a user whom nobody knows it stays as it is written."""
    return Path(os.path.expanduser(name))


def is_file(path: Path | str) -> bool:
    """Whether it is a file; no for a name that is too long, holds a zero byte, or lies where nobody may look."""
    return os.path.isfile(path)


def exists(path: Path | str) -> bool:
    """Whether something lies there; no where that cannot be seen."""
    return os.path.exists(path)
