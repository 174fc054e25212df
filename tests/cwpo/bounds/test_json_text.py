"""JSON of anybody: an array is read element by element, and every other end is a sentence."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwpo.bounds import json_text
from cwpo.bounds.json_text import JsonError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(values, max_size=20), st.sampled_from([None, 2]), st.integers(5, 50))
def test_elements_are_those_of_the_array_however_it_is_cut(array: list, indent: int | None, piece: int) -> None:
    class Slow(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            return super().read(piece)

    assert list(json_text.elements(Slow(json.dumps(array, indent=indent)))) == array


@pytest.mark.parametrize("piece", range(1, 12))
def test_a_number_is_whole_wherever_it_is_cut(piece: int) -> None:
    class Slow(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            return super().read(piece)

    text = '[0.0, -12.5, 1e5, 2.5E-3, 7, {"score": 0.25}, [1.5e+2], null, -0.125]'
    assert list(json_text.elements(Slow(text))) == json.loads(text)


@pytest.mark.parametrize(
    "text", ["", " ", "x", "{}", "1", "[", "[1", "[1,", "[1,]", "[1 2]", "[]]", "[1] 2", "[nul]", '["', "[" * 9_999]
)
def test_what_is_no_array_is_a_sentence(text: str) -> None:
    with pytest.raises(JsonError):
        list(json_text.elements(io.StringIO(text)))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"1", b"{", b"\xff", b'{"a":' * 9_999, b'{"a": ' + b"9" * 5_001 + b"}"]
)
def test_a_file_that_holds_no_object_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(JsonError):
        json_text.read_object(tmp_path / "a.json", most=1_000_000)


def test_a_file_is_not_read_beyond_its_bound(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("/dev/zero")
    with pytest.raises(JsonError, match="more than 1,000 bytes"):
        json_text.read_object(tmp_path / "a.json", most=1_000)
