"""YAML of anybody: plain values are read, everything that grows, hides or hangs is one sentence at once."""

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.components.form.yaml_file import read_yaml
from cwpo.bounds import yaml_text
from cwpo.bounds.yaml_text import YamlError
from cwpo.config.run import MOST_RUNS, expand, override
from cwpo.config.sweep import sweep
from cwpo.errors import ConfigError
from tests import clocks
from workers.cli.config_file import read_config

ROOT = Path(__file__).parents[3]
READS_YAML = "cwpo/bounds/yaml_text.py"


def bomb(levels: int, width: int) -> str:
    """Nine levels of ten are a thousand million values in 400 characters."""
    text = "&a0 x"
    for level in range(1, levels + 1):
        text = f"&a{level} [{text}{f',*a{level - 1}' * (width - 1)}]"
    return f"name: {text}"


HOSTILE = {
    "names within names": (bomb(9, 10), "anchor"),
    "one anchor": ("a: &x 1", "anchor"),
    "one alias": ("a: *x", "alias"),
    "a merge": ("base: &b {a: 1}\nname: {<<: *b}", "anchor"),
    "a tag of Python": ("a: !!python/object/apply:os.system ['true']", "tag"),
    "a tag of its own": ("a: !x 1", "tag"),
    "a tag of text": ("a: !!binary 'AAAA'", "tag"),
    "lists in lists": ("a: " + "[" * 10_000, "nests deeper"),
    "dashes in dashes": ("- " * 10_000, "nests deeper"),
    "questions in questions": ("? " * 10_000, "nests deeper"),
    "mappings in mappings": ("{a: " * 10_000, "nests deeper"),
    "many values": ("a: [" + "1," * 20_000 + "]", "more than 10,000 values"),
    "many characters": ("# " + "x" * 300_000, "more than 200,000 characters"),
    "5,001 digits": ("seed: " + "9" * 5_001, "more than 40 characters"),
    "bits": ("seed: 0b" + "1" * 5_000, "more than 40 characters"),
    "minutes of minutes": ("seed: 1" + ":59" * 5_000, "more than 40 characters"),
    "minutes of minutes and a half": ("a: 1" + ":59" * 5_000 + ".5", "more than 40 characters"),
    "no date": ("a: 2026-99-99", "is not YAML"),
    "beyond Unicode": ('a: "\\UFFFFFFFF"', "is not YAML"),
    "half of a pair": ('a: "\\ud800"', "surrogate"),
    "a zero byte": ("a: \0", "is not YAML"),
    "a list as a name": ("? [a]\n: 1", "is not YAML"),
    "two documents": ("a: 1\n---\nb: 2", "is not YAML"),
    "no YAML": ("a: b: c", r"is not YAML \(line 1\)"),
    "an open quote": ('a: "', "is not YAML"),
    "a version to come": ("%YAML 9.9\n---\na: 1", "is not YAML"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_a_sentence_at_once_wherever_it_is_given(name: str, tmp_path: Path) -> None:
    text, sentence = HOSTILE[name]
    (tmp_path / "run.yaml").write_text(text)
    with clocks.computing(2):
        with pytest.raises(YamlError, match=sentence) as error:
            yaml_text.read(text)
        assert str(error.value) in read_yaml(text)[1][""]
        with pytest.raises(ConfigError, match=sentence):
            read_config(tmp_path / "run.yaml", ())


def test_a_file_is_never_read_beyond_its_bound(tmp_path: Path) -> None:
    """A link to a device that never ends, and a file that is no text."""
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(ConfigError, match=r"more than 200,000 characters|is not YAML"):
        read_config(tmp_path / "endless.yaml", ())
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_config(tmp_path / "latin.yaml", ())


@pytest.mark.parametrize("text", [f"name={bomb(9, 10)}", "seed=" + "9" * 5_001, f"{'a.' * 5_000}b=1"])
def test_a_set_on_the_command_line_is_read_the_same_way(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("method: cw")
    with pytest.raises(ConfigError):
        read_config(tmp_path / "run.yaml", [text])


# YAML takes other signs than these for the end of a line, and reads them as blanks
words = st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029"), max_size=12)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(words, plain, max_size=4))
def test_what_is_written_is_read_back(values: dict) -> None:
    assert yaml_text.read(yaml_text.written(values)) == values


def test_a_list_that_stands_in_two_places_is_written_twice() -> None:
    """A name for it could not be read back."""
    shared = [0.1, 0.5]
    text = yaml_text.written({"align": {"beta": shared}, "annotator": {"lr": shared}})
    assert "&" not in text
    assert yaml_text.read(text) == {"align": {"beta": shared}, "annotator": {"lr": shared}}


def test_combinations_are_counted_before_any_is_made() -> None:
    """Nine lists of ten would be a thousand million runs."""
    values = {"align": {f"field_{at}": list(range(10)) for at in range(9)}}
    with clocks.computing(1):
        with pytest.raises(ConfigError, match=f"make 1,000,000,000 runs; queue at most {MOST_RUNS:,} at once"):
            expand(values)
        assert "1,000,000,000 runs" in next(iter(sweep(values).problems.values()))
        with pytest.raises(ConfigError, match="more than a trillion"):
            expand({f"field_{at}": [1, 2, 3] for at in range(3_000)})


def test_a_name_of_a_thousand_parts_is_no_field() -> None:
    with pytest.raises(ConfigError, match="more parts than any"):
        override({}, "a." * 5_000 + "b", 1)


def test_nothing_else_reads_yaml() -> None:
    """Another loader anywhere would be a way around all of this."""
    found = []
    for package in ("app", "benchmarks", "cwpo", "db", "tools", "workers"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text if "yaml" in text else "")
            names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            if names & {"yaml", "ruamel", "ruamel.yaml"}:
                found.append(path.relative_to(ROOT).as_posix())
    assert found == [READS_YAML]
