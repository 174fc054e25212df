"""The first rows of a file: what of them are pairs, what is dropped and why, how long they are. Torch-free.

Read by the same functions as the data stage, so that all say the same of the same rows: this is what the form, its
checks and the Data page know of a file before a run reads it. A file of few rows is known whole; of a larger one its
lines are counted. Those of the hub are read by a process of their own (preview.py), which says the same of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cwpo import places
from cwpo.bounds import paths, streams
from cwpo.data.files import RowAt, read_head, read_rows, suffix_of
from cwpo.data.filtering import Tally, usable_pairs
from cwpo.data.readers.columns import HEAD, columns_needed, detected, guessed, names_of, reader_by, shaped
from cwpo.errors import DataError
from cwpo.records import CandidatePair

FIRST = 500
SHOWN = 10
MOST_WHOLE = 2**26  # bytes of a file that can only be read whole
MOST_COUNTED = 2**28  # bytes in which lines are counted
WHOLE = (".json", ".json.gz")
TOKEN = 4  # characters, about
LONGEST_TEXT = 4_000  # characters of one text of a pair of the hub


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One pair as people read it."""

    line: int
    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True, kw_only=True)
class Length:
    """Characters of one pair: its prompt, and the longer and the shorter of its responses."""

    prompt: int
    longer: int
    shorter: int


@dataclass(frozen=True, kw_only=True)
class FirstRows:
    """What the first rows of a file hold. `total`: rows of the whole file, at most so many where only its lines were
    counted; None where nobody counted. `columns`: by which they are read, None for the names of a known form; `guess`:
    what each column seems to hold, also where nobody needs to be told."""

    name: str
    names: tuple[str, ...]  # of its columns
    columns: Mapping[str, str] | None
    guess: Mapping[str, str]
    rows: int
    whole: bool  # whether there are no others
    total: int | None
    pairs: int
    prompts: int
    dropped: Mapping[str, int]
    examples: Sequence[Mapping[str, Any]]  # line, reason, detail
    lengths: Sequence[Length]
    shown: Sequence[Shown]

    @property
    def worst(self) -> str:
        """The most frequent reason why a row makes no pair, as one of these rows shows it; empty without one."""
        reason = next(iter(self.dropped), "")
        detail = next((one["detail"] for one in self.examples if one["reason"] == reason), "")
        return f"{reason}: {detail}" if detail else reason

    @property
    def most_prompts(self) -> int | None:
        """Prompts that the file can hold at most."""
        return self.prompts if self.whole else self.total

    @property
    def most_pairs(self) -> int | None:
        """Pairs that the file can hold at most."""
        return self.pairs if self.whole else self.total

    @property
    def likely_prompts(self) -> int | None:
        """Prompts of the whole file, if it goes on as it begins."""
        return None if self.total is None or not self.rows else round(self.total * self.prompts / self.rows)


def first_rows(path: Path, *, columns: Mapping[str, str] | None = None, rows: int = FIRST) -> FirstRows | None:
    """Of a file that can be read, by these columns or as it is recognised; DataError otherwise. None of a large file
    that can only be read whole. A file that has not changed is read once."""
    found = paths.local(str(path))
    places.check(found)
    try:
        state = found.stat()
    except (OSError, ValueError) as error:
        raise DataError(f"The file {str(path)[:300]} does not exist or cannot be opened.") from error
    if state.st_size > MOST_WHOLE and suffix_of(found) in WHOLE:
        return None
    told = None if columns is None else tuple(sorted(columns.items()))
    return _read(found, told, rows, state.st_mtime_ns, state.st_size)


def as_told(found: Mapping[str, Any]) -> FirstRows:
    """What a process said of the first rows of the hub (`preview.preview`); lengths and the total are unknown."""
    return FirstRows(
        name=str(found["source"]),
        names=tuple(found["names"]),
        columns=found["columns"],
        guess=found["guess"],
        rows=found["rows"],
        whole=False,
        total=None,
        pairs=found["pairs"],
        prompts=found["prompts"],
        dropped=found["dropped"],
        examples=found["examples"],
        lengths=(),
        shown=tuple(Shown(**one) for one in found["first"]),
    )


def quantile(values: Sequence[int], share: float) -> int:
    """The smallest value that at least this share does not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


@lru_cache(maxsize=16)
def _read(path: Path, told: tuple[tuple[str, str], ...] | None, rows: int, modified: int, size: int) -> FirstRows:
    read, whole = read_head(path, rows)
    tally = Tally()
    head = read[:HEAD]
    columns = columns_needed(head) if told is None else dict(told)
    known = [at.row for at in head if at.row is not None]
    kept = usable_pairs(shaped(read, columns), reader_by(columns), tally, seen=set())
    return FirstRows(
        name=path.name,
        names=names_of(head),
        columns=columns,
        guess=columns or detected(known) or guessed(known),
        rows=len(read),
        whole=whole,
        total=len(read) if whole else _count(path, read),
        pairs=len(kept),
        prompts=len({at.pair.prompt_id for at in kept}),
        dropped=dict(tally.reasons.most_common()),
        examples=tuple(tally.examples),
        lengths=tuple(_length(at.pair) for at in kept),
        shown=tuple(_shown(at.line, at.pair) for at in kept[:SHOWN]),
    )


def _length(pair: CandidatePair) -> Length:
    sizes = sorted((len(pair.response_a), len(pair.response_b)))
    return Length(prompt=len(pair.prompt), longer=sizes[1], shorter=sizes[0])


def _shown(line: int, pair: CandidatePair) -> Shown:
    first = pair.human_label != "b"
    chosen, rejected = (pair.response_a, pair.response_b) if first else (pair.response_b, pair.response_a)
    return Shown(line=line, prompt=pair.prompt, chosen=chosen, rejected=rejected)


def _count(path: Path, read: Sequence[RowAt]) -> int | None:
    """Rows of a file, never too few: a line that is empty, or that stands inside a cell, counts too."""
    suffix = suffix_of(path)
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        return int(pq.read_metadata(path).num_rows)
    if suffix in WHOLE:
        return sum(1 for _ in read_rows(path))
    try:
        lines = _lines(path)
    except (streams.Exceeded, *streams.BROKEN):  # who reads the rest says what is wrong with it
        return None
    return lines if lines is None else max(lines - suffix.startswith(".csv"), len(read))


def _lines(path: Path) -> int | None:
    lines, read, last = 0, 0, b"\n"
    with streams.opened(path) as stream:
        while chunk := stream.read(2**20):
            read += len(chunk)
            if read > MOST_COUNTED:
                return None
            lines += chunk.count(b"\n") + chunk.count(b"\r") - chunk.count(b"\r\n")
            last = chunk[-1:]
    return lines + (last not in b"\r\n")
