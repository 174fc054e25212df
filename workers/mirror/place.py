"""What a place that holds copies of runs can do, and how it says that it cannot."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from cwpo.errors import CwpoError
from workers.mirror.read import Row, Told


class Away(CwpoError):
    """The place cannot be reached, or takes nothing now; it may later."""


class Refused(CwpoError):
    """The place does not take what one run has."""


class Copy(Protocol):
    """One run at a place."""

    def sent(self) -> Mapping[str, int]:
        """Of each part of the run that the place has rows of: the step up to which none is missing."""
        ...

    def log(self, rows: Sequence[Row]) -> int:
        """Add rows; what is there already stays as it is. How many points were new."""
        ...

    def tell(self, told: Told) -> None:
        """Say what the run is: its name, configuration, tags and status. Told again, the newest holds."""
        ...

    def close(self) -> None:
        """Let go of it; a run that ended is complete now."""
        ...


class Place(Protocol):
    """Where copies are. `shown` is for people and logs, `key` for the database: neither has a secret."""

    @property
    def shown(self) -> str: ...

    @property
    def key(self) -> str: ...

    def open(self, told: Told) -> Copy:
        """Find the copy of this run, or begin it."""
        ...
