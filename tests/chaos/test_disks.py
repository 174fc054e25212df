"""A disk that is full for some seconds, of the artifacts or of everything, the SQLite database too."""

from typing import Any

import pytest

from tests.amounts import amount
from tests.chaos.trials import full_disk


@pytest.mark.parametrize("what", ["artifacts", "everything"] if amount("EACH", 1) > 1 else ["everything"])
def test_a_full_disk_that_is_freed_loses_nothing(
    what: str, chaos_materials: dict[str, Any], expected: list[dict[str, str]]
) -> None:
    """No run fails, and nobody has to ask for one again."""
    found = full_disk(what, chaos_materials, expected)
    assert found.wrong() == {}, "\n".join(found.words)
