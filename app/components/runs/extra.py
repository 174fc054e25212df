"""Columns that other parts give the list: what they say of runs, by the numbers of the runs."""

from collections.abc import Callable, Mapping, Sequence

Read = Callable[[Sequence[int]], Mapping[int, str]]

# heading -> what reads the words of the runs on a page, ready to be shown
EXTRA: Mapping[str, Read] = {}
EXTRA_WIDTH = 96


def words_of(run_ids: Sequence[int]) -> dict[str, Mapping[int, str]]:
    """Every extra column over the runs of a page."""
    return {heading: read(run_ids) for heading, read in EXTRA.items()} if run_ids else {}


def joined(words: Mapping[int, str], run_ids: Sequence[int]) -> str:
    """What the runs of one line say, each thing once."""
    return ", ".join(dict.fromkeys(words[run_id] for run_id in run_ids if words.get(run_id)))
