"""What nobody needs on this installation's disk: looked up and deleted for the System page."""

from collections.abc import Sequence

from workers.machine.disk import leftovers
from workers.machine.disk.leftovers import MEANINGS, UNNAMED, Leftover, Sum, days_of, sums

__all__ = ["MEANINGS", "UNNAMED", "Leftover", "Sum", "days_of", "delete", "look", "sums"]


def look() -> list[Leftover]:
    """Everything that could go, with its size and whether it may; reads every folder of these kinds."""
    return leftovers.find()


def delete(found: Sequence[Leftover]) -> list[Leftover]:
    """Delete what may go, but never artifacts that only `cwpo run` made; what was deleted."""
    return leftovers.remove([one for one in found if one.kind != UNNAMED])
