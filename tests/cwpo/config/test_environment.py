"""Environment variables: one place reads them, one meaning each, a sentence for a bad value, and docs list them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cwpo.config.environment import (
    PEOPLE,
    READ_ELSEWHERE,
    Environment,
    Variable,
    for_child,
    number_cards_as_listed,
    settings,
    variables,
)
from cwpo.errors import ConfigError
from workers.machine.database import database_url
from workers.machine.paths import home, store
from workers.machine.processes import child_environment

ROOT = Path(__file__).resolve().parents[3]
TABLE_ROW = re.compile(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \| (.+) \| (.+) \|$", re.MULTILINE)


def test_docs_say_of_every_variable_what_its_declaration_says() -> None:
    rows = TABLE_ROW.findall((ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))
    shown = {(tuple(re.findall(r"[A-Z_]+", names)), meaning, default) for names, meaning, default in rows}
    own = {((one.name,), one.meaning, one.default_text) for one in variables() if one.audience == PEOPLE}
    assert shown == own | {(one.names, one.meaning, one.default_text) for one in READ_ELSEWHERE}


def reads_of_the_environment(source: str) -> Iterator[str]:
    """Every way in which a source gets at the environment: attributes and names imported from os."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv", "unsetenv"):
            yield f"{node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (f"{node.lineno}: from os import {name.name}" for name in node.names if "env" in name.name)


def test_one_file_reads_the_environment() -> None:
    sources = [path for folder in ("app", "workers", "cwpo", "db", "tools") for path in (ROOT / folder).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in sources if any(reads_of_the_environment(path.read_text()))}
    assert found == {"cwpo/config/environment.py"}


@pytest.mark.parametrize("line", ["os.environ['X']", "os.getenv('X')", "from os import environ", "x.environ.get('Y')"])
def test_the_search_for_reads_of_the_environment_finds_them(line: str) -> None:
    assert list(reads_of_the_environment(line))


def test_a_tilde_in_cwpo_home_is_the_same_folder_for_everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CWPO_HOME", "~/own")
    assert home() == tmp_path / "own"
    assert store().root == tmp_path / "own" / "artifacts"
    assert database_url() == f"sqlite:///{tmp_path}/own/cwpo.sqlite"


def test_without_variables_everything_lies_under_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Environment({}).home == tmp_path / "var" / "cwpo"
    assert Environment({"CWPO_HOME": " "}).home == tmp_path / "var" / "cwpo"


def test_an_address_of_a_database_wins_over_the_embedded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@h/d")
    assert database_url() == "postgresql://u@h/d"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("workers", "abc", "WORKERS: must be a whole number, not 'abc'."),
        ("workers", "-1", "WORKERS: must be a whole number, not '-1'."),
        ("port", "99999", "PORT: must be a number between 1 and 65535, not '99999'."),
        ("port", "0", "PORT: must be a number between 1 and 65535, not '0'."),
        ("log_format", "xml", "CWPO_LOG: must be text or json, not 'xml'."),
        ("home_folder", "~nobody-here/x", "CWPO_HOME: '~nobody-here/x' begins at the home folder of nobody"),
    ],
)
def test_a_bad_value_is_one_sentence_about_its_variable(field: str, value: str, sentence: str) -> None:
    variable = vars(Environment)[field]
    assert isinstance(variable, Variable)
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        getattr(Environment({variable.name: value}), field)


@pytest.mark.parametrize(
    ("value", "gpus"), [(None, None), ("", ()), ("-1", ()), ("0, 2", ("0", "2")), ("GPU-ab", ("GPU-ab",))]
)
def test_no_gpu_is_another_thing_than_no_word_about_gpus(value: str | None, gpus: tuple[str, ...] | None) -> None:
    assert Environment({} if value is None else {"CUDA_VISIBLE_DEVICES": value}).gpus == gpus


def test_switches_are_on_unless_0_or_empty() -> None:
    values = [Environment({"DEMO_EXIT": text}).demo_exit for text in ("1", "yes", "0", "")]
    assert values == [True, True, False, False]
    assert [Environment({"CWPO_TUNE_MALLOC": text}).tune_malloc for text in ("1", "0", "")] == [True, False, True]


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({}, 20),
        ({"CWPO_STOP_GRACE": "120"}, 115),
        ({"CWPO_STOP_GRACE": "18"}, 15),
        ({"CWPO_STOP_GRACE": "3"}, 3),
        ({"CWPO_STOP_GRACE": "120", "CWPO_RANK_GRACE": "7"}, 7),
    ],
)
def test_ranks_have_as_long_to_stop_as_their_job_has_but_for_its_end(values: dict[str, str], seconds: int) -> None:
    assert Environment(values).rank_grace == seconds


@pytest.mark.parametrize(
    ("chosen", "order"), [(None, "PCI_BUS_ID"), ("", "PCI_BUS_ID"), ("FASTEST_FIRST", "FASTEST_FIRST")]
)
def test_cards_are_numbered_as_nvidia_smi_does_unless_somebody_chose(
    chosen: str | None, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_DEVICE_ORDER", chosen or "")
    if chosen is None:
        monkeypatch.delenv("CUDA_DEVICE_ORDER")
    assert for_child()["CUDA_DEVICE_ORDER"] == child_environment()["CUDA_DEVICE_ORDER"] == order
    assert settings.values.get("CUDA_DEVICE_ORDER") == chosen
    number_cards_as_listed()
    assert settings.values["CUDA_DEVICE_ORDER"] == order


def test_a_child_gets_what_we_have_with_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8600")
    given = for_child(WORKERS="2")
    assert (given["PORT"], given["WORKERS"], settings.port) == ("8600", "2", 8600)
    assert settings.values.get("WORKERS") != "2"
