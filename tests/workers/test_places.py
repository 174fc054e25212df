"""The dashboard opens and writes files below named folders alone, by where they really are; the command line any."""

import os
from pathlib import Path

import pytest

from cwpo import places
from cwpo.annotation import label_paths
from cwpo.config.run import RunConfig
from cwpo.data.files import read_rows, shipped
from cwpo.data.profile.first_rows import first_rows
from cwpo.data.profile.job import Split
from cwpo.errors import ConfigError, CwpoError, DataError
from cwpo.models.shape import known_config
from cwpo.stages.resolve import pin_model, resolve
from workers.api import data

ROW = '{"prompt": "a", "chosen": "b", "rejected": "c"}\n'


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is not named, beside one that is; this process is the dashboard's."""
    for folder in ("in", "out", "home"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pairs.jsonl").write_text(ROW)
        (tmp_path / folder / "config.json").write_text("{}")
    monkeypatch.setenv("CWPO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CWPO_DATA_ROOTS", str(tmp_path / "in"))
    monkeypatch.setenv("CWPO_LIMITED", "1")
    return tmp_path / "out"


def ways(path: Path) -> list[str]:
    """Everything that a page does with a path, and what each says; no two ways may say what is there."""
    said, config = [], {"evaluation": {"gold_reward": "trained"}}
    for do in (
        lambda: data.check_source(str(path)),
        lambda: list(read_rows(path)),
        lambda: first_rows(path),
        lambda: data.job_of(str(path), None, Split()),
        lambda: label_paths.check_files(path, path.with_name("labeled.jsonl")),
        lambda: resolve(RunConfig.parse(config | {"data": {"dataset": str(path)}}), bf16=False, home=path.parent),
        lambda: pin_model("model.policy", str(path.parent), None, home=path.parent),
    ):
        with pytest.raises(CwpoError) as error:
            do()
        said.append(str(error.value))
    return said


def test_outside_nobody_learns_what_exists(outside: Path) -> None:
    there, not_there = ways(outside / "pairs.jsonl"), ways(outside.with_name("nowhere") / "pairs.jsonl")
    assert [one.replace(str(outside), "X") for one in there] == [
        one.replace(str(outside.with_name("nowhere")), "X") for one in not_there
    ]
    assert all("is not below a folder that the dashboard may use" in one for one in there)
    assert known_config(str(outside), None, outside) is None


def test_inside_and_at_home_everything_is_as_before(outside: Path) -> None:
    for folder in ("in", "home"):
        path = outside.with_name(folder) / "pairs.jsonl"
        assert data.check_source(str(path)) == str(path)
        label_paths.check_files(path, path.with_name("labeled.jsonl"))
    assert known_config(str(outside.with_name("in")), None, outside) == {}
    assert shipped("everyday.jsonl").parent.is_relative_to(Path(places.__file__).parent)


@pytest.mark.parametrize("turned", ["file", "folder", "dots", "tilde"])
def test_a_path_counts_by_where_it_really_is(turned: str, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = outside.with_name("in")
    path = {
        "file": inside / "link.jsonl", "folder": inside / "folder" / "pairs.jsonl",
        "dots": inside / ".." / "out" / "pairs.jsonl", "tilde": Path("~/pairs.jsonl"),
    }[turned]  # fmt: skip
    (inside / "link.jsonl").symlink_to(outside / "pairs.jsonl")
    (inside / "folder").symlink_to(outside)
    monkeypatch.setenv("HOME", str(outside))
    assert not places.may_use(path)
    with pytest.raises(DataError, match="may use"):
        list(read_rows(path.expanduser()))


def test_a_link_that_is_turned_after_the_check_is_refused_by_whoever_opens_it(outside: Path) -> None:
    path = outside.with_name("in") / "turned.jsonl"
    path.symlink_to(outside.with_name("in") / "pairs.jsonl")
    rows = read_rows  # what the child reads by
    assert data.check_source(str(path)) == str(path)
    path.unlink()
    path.symlink_to(outside / "pairs.jsonl")
    with pytest.raises(DataError, match="may use"):
        list(rows(path))


def test_an_output_outside_is_refused_and_nothing_is_written(outside: Path) -> None:
    source = outside.with_name("in") / "pairs.jsonl"
    with pytest.raises(ConfigError, match=r"^--out: .* may use"):
        label_paths.check_files(source, outside / "labeled.jsonl")


def test_the_command_line_is_not_limited(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CWPO_LIMITED")
    assert data.check_source(str(outside / "pairs.jsonl"))
    assert len(list(read_rows(outside / "pairs.jsonl"))) == 1


def test_without_the_variable_home_start_and_the_users_folder_are_named_but_never_the_whole_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CWPO_DATA_ROOTS", raising=False)
    for name in ("CWPO_HOME", "CWPO_STARTED_IN", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert places.roots() == tuple(tmp_path / name for name in ("CWPO_HOME", "CWPO_STARTED_IN", "HOME"))
    monkeypatch.setenv("CWPO_STARTED_IN", os.sep)
    monkeypatch.setenv("HOME", os.sep)
    assert places.roots() == (tmp_path / "CWPO_HOME",)
    assert str(tmp_path) in places.sentence()
