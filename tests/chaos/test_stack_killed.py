"""The whole stack: dashboard, embedded Redis and the launcher itself are killed while runs are computed."""

from typing import Any

from tests.chaos.trials import killed_launcher


def test_the_stack_loses_nothing_when_its_parts_or_its_launcher_are_killed(
    chaos_materials: dict[str, Any], expected: list[dict[str, str]]
) -> None:
    found = killed_launcher(chaos_materials, expected)
    assert found.wrong() == {}, "\n".join(found.words)
