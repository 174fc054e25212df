"""The person who acts now.

The command line acts as the owner of the installation. The web process says with `act_as` how it finds out who is
behind the script, fragment or callback that runs; it is asked at each write, so that nothing is remembered too long.
"""

import getpass
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Source(StrEnum):
    """How it is known who somebody is."""

    COMMAND = "command"  # the command line, by the user of the machine
    LOCAL = "local"  # a browser on this machine that has the start token
    LOGIN = "login"  # OpenID Connect
    PROXY = "proxy"  # the header of the trusted proxy


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who acts. `signed_in_at`: when the session of the browser began (UTC), None where there is none to revoke."""

    name: str
    source: Source
    signed_in_at: datetime | None = None

    @property
    def owner(self) -> bool:
        """Whether the person owns the installation: whoever has its files can do everything anyway."""
        return self.source in (Source.COMMAND, Source.LOCAL)


def of_the_machine() -> Person:
    """The user who runs the process."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        name = "owner"
    return Person(name=name, source=Source.COMMAND)


_asked: Callable[[], Person] = of_the_machine


def act_as(source: Callable[[], Person]) -> None:
    """From now on `source` says who acts in this process."""
    global _asked
    _asked = source


def acting() -> Person:
    """Who acts now."""
    return _asked()
