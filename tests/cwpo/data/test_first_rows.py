"""The first rows of a file: the same rows, reasons and pairs that the data stage finds."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from cwpo.data.profile.first_rows import FirstRows, first_rows, quantile
from cwpo.errors import DataError

ROWS = [
    {"prompt": "Q1", "chosen": "yes, of course", "rejected": "no"},
    {"prompt": "Q1", "chosen": "good", "rejected": "bad"},
    {"prompt": "Q2", "chosen": "yes", "rejected": ""},
    {"prompt": "Q3", "chosen": "same", "rejected": "same"},
    {"prompt": "Q4", "chosen": "yes", "rejected": "no"},
]


def read_first(path: Path, **over: Any) -> FirstRows:
    """Of a file that is small enough to be read while somebody waits."""
    found = first_rows(path, **over)
    assert found is not None
    return found


def written(folder: Path, name: str = "own.jsonl", times: int = 1) -> Path:
    rows = [{**row, "prompt": f"{row['prompt']}.{time}"} for time in range(times) for row in ROWS]
    path = folder / name
    text = "\n".join(json.dumps(row) for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_a_small_file_is_known_whole(tmp_path: Path) -> None:
    found = read_first(written(tmp_path))
    assert (found.rows, found.whole, found.total, found.pairs, found.prompts) == (5, True, 5, 3, 2)
    assert found.dropped == {"empty": 1, "equal": 1}
    assert [example["line"] for example in found.examples] == [3, 4]
    assert (found.most_prompts, found.most_pairs) == (2, 3)
    assert (found.shown[0].prompt, found.shown[0].chosen, found.shown[0].rejected) == ("Q1.0", "yes, of course", "no")
    assert (found.lengths[0].prompt, found.lengths[0].longer, found.lengths[0].shorter) == (4, 14, 2)


@pytest.mark.parametrize("name", ["own.jsonl", "own.jsonl.gz"])
def test_of_a_large_file_the_lines_are_counted(tmp_path: Path, name: str) -> None:
    """2 of 5 rows have a prompt of their own, so 100 rows have about 40."""
    found = read_first(written(tmp_path, name, times=20), rows=50)
    assert (found.rows, found.whole, found.total, found.most_prompts, found.likely_prompts) == (50, False, 100, 100, 40)


def test_a_table_is_never_said_to_be_shorter_than_it_is(tmp_path: Path) -> None:
    """Line breaks inside cells count as lines; Windows' line ends count once."""
    path = tmp_path / "own.csv"
    path.write_bytes(b"prompt,chosen,rejected\r\n" + b'"one\r\ntwo",yes,no\r\n' * 4)
    found = read_first(path, rows=2)
    assert found.total == 8
    assert read_first(path).total == 4


def test_a_file_that_was_changed_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert read_first(path).rows == 5
    written(tmp_path, times=2)
    assert read_first(path).rows == 10


def test_a_large_file_that_can_only_be_read_whole_is_left_to_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, lines = tmp_path / "own.json", written(tmp_path)
    whole.write_text(json.dumps(ROWS))
    assert read_first(whole).pairs == 3
    monkeypatch.setattr("cwpo.data.profile.first_rows.MOST_WHOLE", 100)
    assert first_rows(whole) is None
    assert read_first(lines).pairs == 3


def test_the_columns_and_the_worst_reason_are_those_of_the_same_rows(tmp_path: Path) -> None:
    """What the Data page says of a file before it was read; a row that repeats another or is empty makes no pair."""
    found = read_first(written(tmp_path))
    assert (found.names, found.columns) == (("prompt", "chosen", "rejected"), None)
    assert found.guess == {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    assert found.worst.startswith("empty: ")
    told = tmp_path / "told.jsonl"
    told.write_text(json.dumps({"q": "what", "good": "yes", "bad": "no"}) + "\n")
    columns = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    assert read_first(told, columns=columns).columns == columns
    assert (read_first(told).columns, read_first(told).pairs) == (None, 0)
    assert read_first(told).worst.startswith("unparsable: ")


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_first(tmp_path / "none.jsonl")


def test_a_quantile_is_one_of_the_values() -> None:
    assert [quantile([3, 1, 2, 4], share) for share in (0, 0.5, 0.95)] == [1, 3, 4]
    assert quantile([], 0.5) == 0


def test_rows_are_read_by_the_columns_that_the_run_names(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"q": f"what {i}", "good": "yes", "bad": "no"}) + "\n" for i in range(7)))
    assert read_first(path).pairs == 0
    assert read_first(path, columns={"prompt": "q", "chosen": "good", "rejected": "bad"}).prompts == 7
