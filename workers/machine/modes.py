"""Who may read what this program writes: its owner alone, or with CWPO_SHARED_HOME=1 the group of the home, too."""

import contextlib
import logging
import os
import stat
from pathlib import Path

from cwpo.config.environment import settings
from cwpo.errors import ConfigError

log = logging.getLogger(__name__)

_PRIVATE, _SHARED = 0o700, 0o2770  # setgid: what is made inside belongs to the folder's group
_OURS = ("cwpo.sqlite", "artifacts")  # what a home that was used before has


def keep_private() -> None:
    """From now on this process and its children write files that nobody else can open; for every way into the program,
    before anything is written."""
    os.umask(0o007 if settings.shared_home else 0o077)


def make_home(base: Path) -> None:
    """The home with its mode; ConfigError where it cannot be made. One that was made wider by an earlier version is
    tightened where it is plainly ours."""
    made = not base.exists()
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("CWPO_HOME", f"{base} cannot be made ({error.strerror}): name a folder of yours.") from error
    if settings.shared_home:
        _share(base)
    elif made or (sentence_on(base) and _is_ours_alone(base)):
        if not made:
            log.warning("%s could be entered by others; from now on it is for its owner alone", base)
        with contextlib.suppress(OSError):
            base.chmod(_PRIVATE)


def sentence_on(base: Path) -> str:
    """What is wrong with the mode of an existing home, and the command against it; empty where nothing is."""
    mode = stat.S_IMODE(base.stat().st_mode)
    if settings.shared_home:
        return f"others than its group can enter it: chmod o-rwx {base}" if mode & stat.S_IXOTH else ""
    if mode & (stat.S_IXGRP | stat.S_IXOTH):
        return f"others can enter it: chmod 700 {base}, or CWPO_SHARED_HOME=1 where its group is to use it"
    return ""


def _share(base: Path) -> None:
    """Open for the group, which also has to write the embedded database: SQLite makes its file for the owner alone."""
    if not _is_ours(base):
        return
    with contextlib.suppress(OSError):
        base.chmod(_SHARED)
    if settings.database_url is None:
        database = base / "cwpo.sqlite"
        with contextlib.suppress(OSError):
            os.close(os.open(database, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o660))
            database.chmod(0o660)


def _is_ours_alone(base: Path) -> bool:
    """A used home of this user, with nothing of anybody else in it: never /tmp, never somebody's own home folder."""
    used = any((base / name).exists() for name in _OURS)
    return used and _is_ours(base) and all(one.lstat().st_uid == os.getuid() for one in base.iterdir())


def _is_ours(base: Path) -> bool:
    found = base.stat()
    return found.st_uid == os.getuid() and not found.st_mode & stat.S_ISVTX and base != Path.home()
