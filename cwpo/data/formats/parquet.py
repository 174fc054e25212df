"""Rows of Parquet files, of which a small one can stand for very much: few rows at once, and counted. Torch-free."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cwpo.bounds import streams
from cwpo.data.formats.text import MOST_COLUMNS
from cwpo.data.rows import Row, RowAt
from cwpo.errors import DataError, brief

AT_ONCE = 16  # rows
SUSPICIOUS = 50  # times that columns are packed from which on rows are read one by one
ROW = 100  # bytes that a row counts at least
_MOST_NAME, _MOST_PARTS = 16 << 20, 1_000_000  # of what the file says of itself


def parquet_rows(path: Path) -> Iterator[RowAt]:
    """Every row; DataError or Exceeded for a file that is damaged or stands for far more than it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(
            path, thrift_string_size_limit=_MOST_NAME, thrift_container_size_limit=_MOST_PARTS, memory_map=False
        )
    except (pa.ArrowException, ValueError, OverflowError, MemoryError) as error:
        raise DataError(
            f"{path.name} is not a Parquet file ({brief(error)}): check that the file is complete."
        ) from error
    with file:
        try:
            yield from _rows(file, path.stat().st_size)
        except (pa.ArrowException, ValueError, KeyError, OverflowError, NotImplementedError, MemoryError) as error:
            raise DataError(f"{path.name} cannot be read ({brief(error)}): check that the file is complete.") from error


def _rows(file: Any, size: int) -> Iterator[RowAt]:
    left, line = streams.allowance(size), 0
    if file.metadata.num_columns > MOST_COLUMNS:
        raise streams.Exceeded(f"has more than {MOST_COLUMNS:,} columns")
    for batch in file.iter_batches(batch_size=_at_once(file, size, left)):
        left -= batch.nbytes + ROW * batch.num_rows
        if left < 0:
            raise streams.grows_too_much()
        if batch.nbytes > streams.MOST_ROW * batch.num_rows:
            raise streams.Exceeded(f"has a row of more than {streams.MOST_ROW >> 20} MB behind row {line}")
        for row, problem in _plain(batch):
            line += 1
            yield RowAt(line=line, row=row, problem=problem)


def _at_once(file: Any, size: int, most: int) -> int:
    """Rows of a batch; what the columns say of their sizes is believed only where it is too much."""
    groups = (file.metadata.row_group(place) for place in range(file.metadata.num_row_groups))
    unpacked = sum(
        max(group.column(place).total_uncompressed_size, 0) for group in groups for place in range(group.num_columns)
    )
    if unpacked > most:
        raise streams.grows_too_much()
    return 1 if unpacked > SUSPICIOUS * size else AT_ONCE


def _plain(batch: Any) -> Iterator[tuple[Row | None, str]]:
    """The rows as plain values; where one holds no text or no date, that one alone is none."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = None
    if rows is not None:
        yield from ((row, "") for row in rows)
        return
    for place in range(batch.num_rows):
        try:
            yield batch.slice(place, 1).to_pylist()[0], ""
        except (ValueError, OverflowError) as error:
            yield None, f"a value cannot be read ({brief(error)})"
