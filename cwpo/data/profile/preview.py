"""The first rows of a local file as pairs, quick enough for a page to wait for. Free of torch."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cwpo.data.files import read_rows, suffix_of
from cwpo.data.readers.columns import HEAD, columns_needed, detected, guessed, names_of, reader_by, shaped
from cwpo.data.rows import BadRow, RawPair

SHOWN = 10  # pairs
MOST_WHOLE = 32 << 20  # bytes of a file that can only be read whole


@dataclass(frozen=True, kw_only=True)
class FirstPair:
    """A pair and the line that it is from."""

    line: int
    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the first rows say. `columns`: by which they are read, None for the names of a known form; `guess`: what
    each column seems to hold, also where nobody needs to be told; `reasons`: of rows that make no pair, most first."""

    rows: int
    names: tuple[str, ...]
    columns: Mapping[str, str] | None
    guess: Mapping[str, str]
    pairs: tuple[FirstPair, ...]
    usable: int
    reasons: tuple[tuple[str, int], ...]


def head_of(path: Path, columns: Mapping[str, str] | None) -> Head | None:
    """The first rows, read by these columns or as they are recognised; None where that would mean reading all of it."""
    if suffix_of(path).startswith(".json") and "jsonl" not in suffix_of(path) and path.stat().st_size > MOST_WHOLE:
        return None
    head = list(read_rows(path, limit=HEAD))
    known = [at.row for at in head if at.row is not None]
    used = columns if columns is not None else columns_needed(head)
    pairs: list[FirstPair] = []
    usable, reasons = 0, Counter[str]()
    for at in shaped(head, used):
        try:
            if at.row is None:
                raise BadRow(at.reason, at.problem)
            pair = reader_by(used)(at.row)
        except BadRow as bad:
            reasons[f"{bad.reason}: {bad.detail}"] += 1
            continue
        usable += 1
        if len(pairs) < SHOWN:
            pairs.append(_shown(at.line, pair))
    return Head(
        rows=len(head),
        names=names_of(head),
        columns=used,
        guess=used or detected(known) or guessed(known),
        pairs=tuple(pairs),
        usable=usable,
        reasons=tuple(reasons.most_common()),
    )


def _shown(line: int, pair: RawPair) -> FirstPair:
    return FirstPair(line=line, prompt=pair.prompt, chosen=pair.chosen, rejected=pair.rejected)
