"""Rows of local files (JSONL, JSON, CSV, Parquet, each but the last also as .gz), without torch or datasets.

The form and the data stage read through the same functions, so both say the same sentence about the same file.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cwpo import places
from cwpo.bounds import json_text, paths, streams
from cwpo.data.formats.parquet import parquet_rows
from cwpo.data.formats.text import csv_rows, json_rows, jsonl_rows
from cwpo.data.rows import Row as Row
from cwpo.data.rows import RowAt as RowAt
from cwpo.errors import DataError, brief

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".parquet")
MOST_HEAD = 64 << 20  # characters of first rows that are held at once


def suffix_of(path: Path) -> str:
    """The supported ending of a file name, longest first; an unknown one is a sentence with the valid ones."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return suffix
    raise DataError(f"{path.name[:80]} has an ending that cannot be read: use one of {', '.join(SUFFIXES)}.")


def shipped(file: str) -> Path:
    """Where the file of a dataset that comes with the program lies."""
    return Path(__file__).with_name(file)


def read_rows(path: Path, *, limit: int | None = None) -> Iterator[RowAt]:
    """Every row of a file in order, broken lines included (row None), so that callers can count them; with a limit the
    first rows, fewer than so many where they are very long."""
    suffix = suffix_of(path)
    places.check(path)
    if not paths.exists(path):
        raise DataError(f"The file {str(path)[:300]} does not exist or cannot be seen: check data.path.")
    if not paths.is_file(path):
        raise DataError(f"{path} is not a file: data.path names one JSONL, CSV or Parquet file.")
    rows = _reader(path, suffix)
    return rows if limit is None else _first(rows, limit)


def read_head(path: Path, most: int) -> tuple[list[RowAt], bool]:
    """The first rows, at most so many, and whether there are no others."""
    rows = read_rows(path)
    head = list(_first(rows, most))
    return head, next(rows, None) is None


def _first(rows: Iterable[RowAt], most: int) -> Iterator[RowAt]:
    held = 0
    for number, at in enumerate(rows, start=1):
        yield at
        held += _weight(at.row)
        if number >= most or held > MOST_HEAD:
            return


def _weight(row: Row | None) -> int:
    """About how many characters a row holds."""
    weight, values = 0, list[Any]([row])
    while values:
        value = values.pop()
        weight += len(value) if isinstance(value, str | bytes) else 16
        if isinstance(value, dict):
            values += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            values += value
    return weight


def _reader(path: Path, suffix: str) -> Iterator[RowAt]:
    try:
        if suffix == ".parquet":
            yield from parquet_rows(path)
            return
        with streams.opened_text(path) as stream:
            if suffix.startswith(".csv"):
                yield from csv_rows(stream)
            elif suffix.startswith(".jsonl"):
                yield from jsonl_rows(stream)
            else:
                yield from json_rows(stream)
    except streams.Exceeded as error:
        raise DataError(f"{path.name} {error}: it is not read any further.") from error
    except json_text.JsonError as error:
        raise DataError(f"{path.name} {error}: use JSONL with one object per line.") from error
    except (*streams.BROKEN, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read ({brief(error)}): check that the file is complete.") from error


def check_head(path: Path, *, rows: int = 200, columns: Mapping[str, str] | None = None) -> None:
    """The check of the form and of submit: the first `rows` rows hold at least one usable pair."""
    from cwpo.data.readers.columns import reader_by, shaped
    from cwpo.data.rows import BadRow

    reasons: dict[str, int] = {}
    seen = 0
    for at in shaped(read_head(path, rows)[0], columns):
        seen += 1
        try:
            if at.row is None:
                raise BadRow(at.reason, at.problem)
            reader_by(columns)(at.row)
        except BadRow as bad:
            reasons[f"{bad.reason}: {bad.detail}"] = reasons.get(f"{bad.reason}: {bad.detail}", 0) + 1
        else:
            return
    if not seen:
        raise DataError(f"{path.name} has no rows: it needs columns prompt, chosen and rejected.")
    worst = max(reasons, key=lambda reason: reasons[reason])
    raise DataError(
        f"None of the first {seen} rows of {path.name} is a usable pair ({worst}): "
        "give columns prompt, chosen and rejected, as text or chat messages."
    )
