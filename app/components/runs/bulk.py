"""What can be done to several runs at once."""

from collections.abc import Sequence


def show_bulk(run_ids: Sequence[int]) -> None:
    """The actions on the runs that are ticked; none yet."""
