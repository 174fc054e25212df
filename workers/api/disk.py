"""What nobody needs on this installation's disk: looked up and deleted for the System page."""

from collections.abc import Sequence

from workers.access.doing import needs, nothing, reads, say
from workers.access.roles import Role
from workers.machine.disk import leftovers
from workers.machine.disk.leftovers import MEANINGS, UNNAMED, Leftover, Sum, days_of, sums

__all__ = ["MEANINGS", "UNNAMED", "Leftover", "Sum", "days_of", "delete", "look", "sums"]


@reads
def look() -> list[Leftover]:
    """Everything that could go, with its size and whether it may; reads every folder of these kinds."""
    return leftovers.find()


@needs(Role.ADMIN)
def delete(found: Sequence[Leftover], *, unnamed: bool = False) -> list[Leftover]:
    """Delete what may go, artifacts that only `cwpo run` made only where `unnamed` says so; what was deleted."""
    gone = leftovers.remove([one for one in found if unnamed or one.kind != UNNAMED])
    if not gone:
        nothing()
    say("the disk", **{one.kind: one.number for one in sums(gone)})
    return gone
