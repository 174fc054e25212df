"""Which files of this machine may be named in the dashboard. The command line and the workers are not limited.

A path counts by where it really is, with every link followed. It is looked at again by whoever opens the file, also in
the processes that the dashboard starts, so that a link which is turned in between leads nowhere.
"""

import os
from pathlib import Path

from cwpo.config.environment import settings
from cwpo.errors import ConfigError, DataError

_PROGRAM = Path(__file__).resolve().parent  # datasets that come with the program


def roots() -> tuple[Path, ...]:
    """The folders: CWPO_DATA_ROOTS, else CWPO_HOME, where the program was started, and the user's home; never all of
    the disk unless it is named."""
    if settings.data_roots is not None:
        return tuple(dict.fromkeys((settings.home, *(root.resolve() for root in settings.data_roots))))
    usual = (settings.home, (settings.started_in or Path.cwd()).resolve(), _of_the_user())
    return tuple(dict.fromkeys(root for root in usual if root is not None and root != Path(root.anchor)))


def sentence() -> str:
    """What is said where a path is given."""
    return f"Files and folders of this server can be used below {', '.join(map(str, roots()))} (CWPO_DATA_ROOTS)."


def may_use(path: Path) -> bool:
    """Whether this process may open the file or folder, or write there."""
    if not settings.limited:
        return True
    try:
        real = Path(os.path.realpath(os.path.expanduser(path)))
    except ValueError:  # a zero byte
        return False
    return any(real.is_relative_to(root) for root in (*roots(), _PROGRAM))


def check(path: Path, field: str | None = None) -> None:
    """Raise for a path outside, in a sentence that does not say what is there: ConfigError about `field`, else
    DataError."""
    if may_use(path):
        return
    said = f"{path} is not below a folder that the dashboard may use. {sentence()}"
    raise DataError(said) if field is None else ConfigError(field, said)


def _of_the_user() -> Path | None:
    try:
        return Path.home().resolve()
    except (RuntimeError, OSError):  # a user without a home
        return None
