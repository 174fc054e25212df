"""Rows of text files: JSONL, an array of JSON, CSV. Torch-free."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from cwpo.bounds import json_text, streams
from cwpo.data.rows import RowAt

MOST_COLUMNS = 2_000
MOST_LINES = 100_000  # of one row of CSV, whose cells may hold some
csv.field_size_limit(streams.MOST_ROW)


def jsonl_rows(stream: io.TextIOBase) -> Iterator[RowAt]:
    """One object per line; a line that is none is a row that cannot be used."""
    for line, text in enumerate(streams.lines(stream), start=1):
        if not text.strip():
            continue
        try:
            yield _row_at(line, json_text.parsed(text))
        except json_text.JsonError as error:
            yield RowAt(line=line, row=None, problem=str(error).removeprefix("is "))


def json_rows(stream: io.TextIOBase) -> Iterator[RowAt]:
    """One array of objects."""
    for line, value in enumerate(json_text.elements(stream), start=1):
        yield _row_at(line, value)


def csv_rows(stream: io.TextIOBase) -> Iterator[RowAt]:
    """A header and rows of as many cells."""
    held = lines = 0

    def given() -> Iterator[str]:
        nonlocal held, lines
        for text in streams.lines(stream):
            held, lines = held + len(text), lines + 1
            if held > streams.MOST_ROW or lines > MOST_LINES:
                raise streams.Exceeded(
                    f"has a row of more than {streams.MOST_ROW >> 20} MB or {MOST_LINES:,} lines: is a quote missing?"
                )
            yield text

    reader = csv.DictReader(given())
    if len(reader.fieldnames or ()) > MOST_COLUMNS:
        raise streams.Exceeded(f"has more than {MOST_COLUMNS:,} columns")
    for line, row in enumerate(reader, start=1):
        held = lines = 0
        if None in row or None in row.values():
            yield RowAt(line=line, row=None, problem="the number of cells differs from the header")
        else:
            yield RowAt(line=line, row=dict(row))


def _row_at(line: int, value: Any) -> RowAt:
    if not isinstance(value, dict):
        return RowAt(line=line, row=None, problem=f"a JSON {type(value).__name__} where an object was expected")
    if len(value) > MOST_COLUMNS:
        return RowAt(line=line, row=None, problem=f"an object of more than {MOST_COLUMNS:,} fields")
    return RowAt(line=line, row=value)
