"""Clocks that are wrong: of workers by two hours, and the database's, which is set while leases run."""

from typing import Any

import pytest

from tests.amounts import amount
from tests.chaos.scene import DATABASES
from tests.chaos.trials import wrong_clocks


@pytest.mark.parametrize("database", DATABASES if amount("EACH", 1) > 1 else ["postgres"])
def test_no_clock_takes_a_stage_from_its_worker_or_leaves_one_with_the_dead(
    database: str, chaos_materials: dict[str, Any], expected: list[dict[str, str]]
) -> None:
    found = wrong_clocks(database, chaos_materials, expected)
    assert found.wrong() == {}, "\n".join(found.words)
