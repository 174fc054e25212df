"""Columns that other parts give the list: what they say of runs, by the numbers of the runs."""

from collections.abc import Callable, Mapping, Sequence

from app import untrusted
from app.reads import runs as reads

Read = Callable[[Sequence[int]], Mapping[int, str]]

# heading -> what reads the words of the runs on a page, ready to be shown
EXTRA: Mapping[str, Read] = {"tags": reads.marks_of}
EXTRA_WIDTH = 96


def words_of(run_ids: Sequence[int]) -> dict[str, Mapping[int, str]]:
    """Every extra column over the runs of a page; none where no run has anything of it."""
    return {heading: words for heading, read in EXTRA.items() if run_ids and (words := read(run_ids))}


def joined(words: Mapping[int, str], run_ids: Sequence[int]) -> str:
    """What the runs of one line say, each thing once."""
    each = [word for run_id in run_ids for word in words.get(run_id, "").split(", ") if word]
    return untrusted.label(", ".join(dict.fromkeys(each)))
