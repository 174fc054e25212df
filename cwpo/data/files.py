"""Rows of local files (JSONL, JSON, CSV, Parquet, each but the last also as .gz), without torch or datasets.

The form and the data stage read through the same functions, so both say the same sentence about the same file.
"""

import csv
import gzip
import io
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cwpo import places
from cwpo.data.rows import Row as Row
from cwpo.data.rows import RowAt as RowAt
from cwpo.errors import DataError

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".parquet")
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def suffix_of(path: Path) -> str:
    """The supported ending of a file name, longest first; an unknown one is a sentence with the valid ones."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return suffix
    raise DataError(f"{path.name} has an ending that cannot be read: use one of {', '.join(SUFFIXES)}.")


def shipped(file: str) -> Path:
    """Where the file of a dataset that comes with the program lies."""
    return Path(__file__).with_name(file)


def read_rows(path: Path, *, limit: int | None = None) -> Iterator[RowAt]:
    """Every row of a file in order, broken lines included (row None), so that callers can count them."""
    suffix = suffix_of(path)
    places.check(path)
    if not path.exists():
        raise DataError(f"The file {path} does not exist: check data.path.")
    if not path.is_file():
        raise DataError(f"{path} is not a file: data.path names one JSONL, CSV or Parquet file.")
    return itertools.islice(_reader(path, suffix), limit)


def _reader(path: Path, suffix: str) -> Iterator[RowAt]:
    try:
        if suffix == ".parquet":
            yield from _parquet_rows(path)
            return
        with _open_text(path) as stream:
            if suffix.startswith(".csv"):
                yield from _csv_rows(stream)
            elif suffix.startswith(".jsonl"):
                yield from _jsonl_rows(stream)
            else:
                yield from _json_rows(stream, path)
    except (OSError, EOFError, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read ({error}): check that the file is complete.") from error


def _open_text(path: Path) -> io.TextIOWrapper:
    """UTF-8 with a leading byte-order mark removed; bytes that are not UTF-8 become U+FFFD and are found later."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    return io.TextIOWrapper(opened(path, "rb"), encoding="utf-8-sig", errors="replace", newline="")


def _jsonl_rows(stream: Iterable[str]) -> Iterator[RowAt]:
    for line, text in enumerate(stream, start=1):
        if text.strip():
            yield _parse_line(line, text)


def _parse_line(line: int, text: str) -> RowAt:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return RowAt(line=line, row=None, problem=f"not JSON ({str(error)[:80]})")
    if not isinstance(row, dict):
        return RowAt(line=line, row=None, problem=f"a JSON {type(row).__name__} where an object was expected")
    return RowAt(line=line, row=row)


def _json_rows(stream: io.TextIOBase, path: Path) -> Iterator[RowAt]:
    """A .json file holds one array of objects."""
    try:
        rows = json.loads(stream.read())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is not JSON ({error}): use JSONL with one object per line.") from error
    if not isinstance(rows, list):
        raise DataError(f"{path.name} holds no JSON array of rows: use JSONL with one object per line.")
    for line, row in enumerate(rows, start=1):
        known = isinstance(row, dict)
        yield RowAt(line=line, row=row if known else None, problem="" if known else "not a JSON object")


def _csv_rows(stream: Iterable[str]) -> Iterator[RowAt]:
    reader = csv.DictReader(stream)
    for line, row in enumerate(reader, start=1):
        if None in row or None in row.values():
            yield RowAt(line=line, row=None, problem="the number of cells differs from the header")
        else:
            yield RowAt(line=line, row=dict(row))


def _parquet_rows(path: Path) -> Iterator[RowAt]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path.name} is not a Parquet file ({error}): check that the file is complete.") from error
    line = 0
    for batch in file.iter_batches(batch_size=1000):
        for row in batch.to_pylist():
            line += 1
            yield RowAt(line=line, row=row)


def check_head(path: Path, *, rows: int = 200, columns: Mapping[str, str] | None = None) -> None:
    """The check of the form and of submit: the first `rows` rows hold at least one usable pair."""
    from cwpo.data.readers.columns import reader_by, shaped
    from cwpo.data.rows import BadRow

    reasons: dict[str, int] = {}
    seen = 0
    for at in shaped(read_rows(path, limit=rows), columns):
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
