"""Files are written whole or not at all, never through a link that somebody planted, and never over somebody's file."""

import os
from pathlib import Path

import pytest

from cwpo.errors import DataError
from cwpo.files import PARTIAL, write_whole, written_aside, written_new


def put(path: Path, text: str) -> None:
    with written_new(path) as aside:
        aside.write_text(text)


def test_a_new_file_is_there_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    put(tmp_path / "out.jsonl", "whole")
    assert [one.name for one in tmp_path.iterdir()] == ["out.jsonl"]
    assert (tmp_path / "out.jsonl").read_text() == "whole"
    assert (tmp_path / "out.jsonl").stat().st_nlink == 1


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "folder"])
def test_what_exists_is_not_overwritten(kind: str, tmp_path: Path) -> None:
    out, precious = tmp_path / "out.jsonl", tmp_path / "precious"
    precious.write_text("years of work")
    if kind == "file":
        out.write_text("mine")
    elif kind == "folder":
        out.mkdir()
    else:
        out.symlink_to(precious if kind == "link" else tmp_path / "nothing")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match="exists already and was not overwritten"):
        put(out, "other")
    assert sorted(tmp_path.iterdir()) == before
    assert precious.read_text() == "years of work"
    assert out.is_symlink() == ("link" in kind)


def test_the_same_bytes_are_the_same_file(tmp_path: Path) -> None:
    """As after a kill between the file and what is said of it."""
    put(tmp_path / "out", "whole")
    put(tmp_path / "out", "whole")
    assert [one.name for one in tmp_path.iterdir()] == ["out"]


def test_a_file_that_gets_the_name_meanwhile_stays(tmp_path: Path) -> None:
    def meanwhile() -> None:
        with written_new(tmp_path / "out") as aside:
            aside.write_text("ours")
            (tmp_path / "out").write_text("theirs")

    with pytest.raises(DataError, match="exists already"):
        meanwhile()
    assert (tmp_path / "out").read_text() == "theirs"


def test_where_a_disk_knows_no_second_names_nothing_is_overwritten_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuses)
    put(tmp_path / "out", "whole")
    with pytest.raises(DataError, match="exists already"):
        put(tmp_path / "out", "other")
    assert (tmp_path / "out").read_text() == "whole"


def test_names_of_unfinished_files_cannot_be_foreseen(tmp_path: Path) -> None:
    names = set()

    def unfinished() -> None:
        with written_new(tmp_path / ("x" * 250)) as aside:
            names.add(aside.name)
            assert aside.parent == tmp_path
            raise ZeroDivisionError

    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            unfinished()
    assert len(names) == 20
    assert list(tmp_path.iterdir()) == []


def test_a_planted_link_is_not_followed_in_a_folder_of_ours(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("years of work")
    for write in (lambda: write_whole(tmp_path / "state.json", "{}"), lambda: _aside(tmp_path / "state.json")):
        (tmp_path / f"state.json{PARTIAL}").symlink_to(precious)
        write()
        assert (tmp_path / "state.json").read_text() == "{}"
        assert precious.read_text() == "years of work"


def _aside(path: Path) -> None:
    with written_aside(path) as aside:
        aside.write_text("{}")
