"""Whatever a file holds: reading it ends soon, in one sentence, with little memory."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cwpo.data.files import check_head, read_rows
from cwpo.data.filtering import Tally, usable_pairs
from cwpo.data.profile.first_rows import first_rows
from cwpo.data.readers.columns import columns_needed, reader_by, shaped
from cwpo.errors import DataError
from tests import clocks
from tests.cwpo.data.hostile_files import FILES

SECONDS = 2.0  # of computing
MOST_MEMORY = 400  # MB that the largest of them may take, Python and pyarrow included


def read_all(path: Path) -> None:
    """As the form reads it, and then whole, as a stage does; DataError where nothing of it is a pair."""
    check_head(path)
    first_rows(path)
    tally = Tally()
    head = list(read_rows(path, limit=200))
    columns = columns_needed(head)
    if not usable_pairs(shaped(read_rows(path), columns), reader_by(columns), tally, seen=set()):
        raise DataError(f"{path.name} holds no pair")


def test_there_are_many_of_them() -> None:
    assert len(FILES) >= 60


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_a_sentence_within_two_seconds(name: str, tmp_path: Path) -> None:
    path = FILES[name](tmp_path)
    with clocks.computing(SECONDS):
        try:
            read_all(path)
        except DataError as error:
            said = str(error)
        else:
            assert name.startswith("a damaged parquet"), "it was read"  # bits that change a letter are no damage
            return
    assert len(said) < 1_000
    assert "\n" not in said
    assert "Traceback" not in said
    assert path.name[:40].split("\0")[0] in said


def test_hostile_files_take_little_memory(tmp_path: Path) -> None:
    """The largest of them one after the other in a process of its own, and the most memory that it ever had."""
    largest = ("a line without end", "a gz of one line", "an array of one long text", "a quote without end",
               "a parquet of one text 3,000 times")  # fmt: skip
    for place, name in enumerate(largest):
        (tmp_path / str(place)).mkdir()
        FILES[name](tmp_path / str(place))
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from tests.cwpo.data.test_hostile_files import read_all
        from cwpo.errors import DataError
        for path in sorted(Path(sys.argv[1]).glob("*/*")):
            try:
                read_all(path)
            except DataError:
                pass
        lines = Path("/proc/self/status").read_text().splitlines()  # of this program; a usage counts its parent's too
        print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=400, check=True
    )
    assert int(done.stdout) < MOST_MEMORY


def test_a_row_too_long_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"prompt": "p", "chosen": "a", "rejected": "b"}\n"' + b"x" * (17 << 20))
    with pytest.raises(DataError, match=r"a\.jsonl has more than 16 MB in line 2"):
        list(read_rows(path))


def test_one_bad_value_of_a_parquet_leaves_the_other_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [b"one", b"\xff", b"three"]
    raw = pa.array(texts, pa.binary())
    column = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"prompt": column}), tmp_path / "a.parquet")
    found = list(read_rows(tmp_path / "a.parquet"))
    assert [at.row and at.row["prompt"] for at in found] == ["one", None, "three"]
    assert "cannot be read" in found[1].problem
    assert found[1].line == 2
