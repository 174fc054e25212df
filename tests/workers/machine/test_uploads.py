"""Files that are given lie under their content, whole or not at all, and never outside their folder."""

import io
from pathlib import Path

import pytest

from cwpo.errors import DataError
from workers.machine import uploads


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CWPO_HOME", str(tmp_path))
    return tmp_path


def everything(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


def test_the_same_file_is_kept_once(home: Path) -> None:
    first = uploads.keep("pairs.jsonl", io.BytesIO(b"{}\n"))
    assert uploads.keep("pairs.jsonl", io.BytesIO(b"{}\n")) == first
    other = uploads.keep("pairs.jsonl", io.BytesIO(b"{ }\n"))
    assert other != first
    assert {one.path for one in uploads.kept()} == {first, other} == set(everything(home))
    assert first.read_bytes() == b"{}\n"


class Broken(io.BytesIO):
    """A browser that goes away after the first megabyte."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise KeyboardInterrupt
        return super().read(size)


def test_an_interrupted_upload_leaves_nothing(home: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        uploads.keep("pairs.jsonl", Broken(b"x" * (3 << 20)))
    assert everything(home) == []
    assert uploads.kept() == []


def test_a_file_that_is_too_large_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_BYTES", 2 << 20)
    with pytest.raises(DataError, match=r"more than 2 MB: copy it to the server, and give its path"):
        uploads.keep("pairs.jsonl", io.BytesIO(b"x" * ((2 << 20) + 1)))
    with pytest.raises(DataError, match="is empty"):
        uploads.keep("pairs.jsonl", io.BytesIO(b""))
    assert everything(home) == []


def arrived(*pieces: bytes) -> io.BytesIO:
    """What a page is given in place of a file that came in by these pieces."""
    file = uploads.Arriving()
    for piece in pieces:
        file.write(piece)
    return io.BytesIO(file.arrived())


def test_a_file_that_is_on_disk_already_is_moved_to_its_place(home: Path) -> None:
    copied = uploads.keep("pairs.jsonl", io.BytesIO(b"{}\n{ }\n"))
    assert uploads.keep("pairs.jsonl", arrived(b"{}\n", b"{ }\n")) == copied
    given = arrived(b"[]", b"", b"\n")
    path = uploads.keep("pairs.json", given)
    assert path.read_bytes() == b"[]\n"
    assert set(everything(home)) == {copied, path}
    with pytest.raises(DataError, match="not held any more"):
        uploads.keep("pairs.json", given)
    assert uploads.whole("votes.jsonl", arrived(b"ab", b"c"), 3) == b"abc"
    assert uploads.whole("votes.jsonl", io.BytesIO(b"abc"), 3) == b"abc"
    for large in (arrived(b"abcd"), io.BytesIO(b"abcd")):
        with pytest.raises(DataError, match="more than is read here"):
            uploads.whole("votes.jsonl", large, 3)


def test_a_mark_of_another_process_or_one_that_was_written_by_hand_opens_nothing(home: Path) -> None:
    (home / "precious").write_text("x")
    for text in (b"x", b"../precious", b"", b"\0"):
        with pytest.raises(DataError, match="not held any more"):
            uploads.keep("pairs.jsonl", io.BytesIO(uploads.MARK + text))
    assert [path.name for path in everything(home)] == ["precious"]


def test_why_a_file_did_not_come_in_is_said_where_it_was_asked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="is empty"):
        uploads.keep("pairs.jsonl", arrived(b""))
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "MOST_BYTES", 4)
        with pytest.raises(DataError, match="copy it to the server, and give its path"):
            uploads.keep("pairs.jsonl", arrived(b"abc", b"de", b"f" * 100))
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "LEAVES_FREE", 1 << 60)
        with pytest.raises(DataError, match="no room for this file"):
            uploads.keep("pairs.jsonl", arrived(b"abc"))
    (home / "uploads" / "incoming-of-a-killed-process").write_text("x")
    monkeypatch.setattr(uploads, "_ABANDONED", -1.0)
    late = arrived(b"abc")
    uploads.Arriving().drop()
    with pytest.raises(DataError, match="not held any more"):
        uploads.keep("pairs.jsonl", late)
    assert everything(home) == []


@pytest.mark.parametrize(
    "name",
    ["../../etc/cron.jsonl", "/etc/passwd.jsonl", "..\\..\\x.jsonl", ".jsonl", "a\0b.jsonl", "\u202egpj.jsonl",
     "x" * 400 + ".jsonl", "my pairs (1).JSONL", "<b>.jsonl", "con:x.jsonl"],
)  # fmt: skip
def test_no_name_leads_out_of_the_folder(home: Path, name: str) -> None:
    path = uploads.keep(name, io.BytesIO(b"{}\n"))
    assert path.parent.parent == home / "uploads"
    assert path.name.endswith(".jsonl")
    assert len(path.name) <= uploads.LONGEST_NAME
    assert path.name.isascii()
    assert everything(home) == [path]


@pytest.mark.parametrize("name", ["pairs.exe", "pairs", "pairs.jsonl/..", ""])
def test_an_ending_that_is_not_read_is_refused(home: Path, name: str) -> None:
    with pytest.raises(DataError, match="use one of"):
        uploads.keep(name, io.BytesIO(b"{}\n"))
    assert everything(home) == []


def test_only_what_was_given_can_be_removed(home: Path) -> None:
    path = uploads.keep("pairs.csv", io.BytesIO(b"a\n1\n"))
    other = home / "precious.csv"
    other.write_text("x")
    for wrong in (other, path.parent / ".." / ".." / "precious.csv", home / "uploads" / "x"):
        with pytest.raises(DataError, match="was not uploaded here"):
            uploads.remove(str(wrong))
    uploads.remove(str(path))
    assert everything(home) == [other]
