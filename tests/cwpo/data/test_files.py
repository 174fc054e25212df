"""Local files: every ending gives the same rows, and broken parts are named, never skipped."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cwpo.data.files import check_head, read_rows
from cwpo.errors import DataError

ROWS = [{"prompt": f"p{at}\nsecond line", "chosen": f"good, “{at}”", "rejected": f"bad {at}"} for at in range(3)]


def write(path: Path, rows: list[dict]) -> Path:
    if path.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as stream:
        if ".csv" in path.name:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        elif ".jsonl" in path.name:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            stream.write(json.dumps(rows))
    return path


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "json", "json.gz", "csv", "csv.gz", "parquet"])
def test_every_ending_gives_the_same_rows(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"pairs.{ending}", ROWS)
    assert [at.row for at in read_rows(path)] == ROWS
    assert [at.line for at in read_rows(path, limit=2)] == [1, 2]
    check_head(path)


def test_broken_lines_keep_their_number_and_their_reason(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('\ufeff{"prompt": "p"}\n\n{broken\n[1, 2]\n{"a": 1}\n')
    found = list(read_rows(path))
    assert [(at.line, at.row is None) for at in found] == [(1, False), (3, True), (4, True), (5, False)]
    assert "not JSON" in found[1].problem
    assert "list" in found[2].problem


def test_csv_row_with_a_cell_too_many_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,chosen,rejected\np,a,b\np,a,b,c\np,a\n")
    assert [at.row is None for at in read_rows(path)] == [False, True, True]


def test_truncated_gzip_is_a_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.jsonl.gz", ROWS * 500)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="check that the file is complete"):
        list(read_rows(path))


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("pairs.txt", "x", "ending that cannot be read"),
        ("pairs.jsonl", "", "has no rows"),
        ("pairs.jsonl", '{"prompt": "p", "chosen": "a"}\n', "no column rejected"),
        ("pairs.parquet", "nothing", "not a Parquet file"),
        ("pairs.json", "{}", "no JSON array"),
    ],
)
def test_a_file_without_pairs_is_a_sentence(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=sentence):
        check_head(path)


def test_a_missing_file_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        check_head(tmp_path / "none.jsonl")


def test_the_head_may_have_bad_rows_before_a_good_one(tmp_path: Path) -> None:
    check_head(write(tmp_path / "pairs.jsonl", [{"prompt": "p"}, *ROWS]))
