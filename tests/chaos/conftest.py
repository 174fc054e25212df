"""What the tests of faults share: models and pairs, and what comes out of each variant when nobody disturbs it."""

from typing import Any

import pytest

from tests.chaos.materials import materials
from tests.chaos.outcome import undisturbed


@pytest.fixture(scope="session")
def chaos_materials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return materials(tmp_path_factory.mktemp("chaos") / "materials")


@pytest.fixture(scope="session")
def expected(
    tmp_path_factory: pytest.TempPathFactory, redis_process: str, chaos_materials: dict[str, Any]
) -> list[dict[str, str]]:
    """The outcome of each variant of a scene's runs."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), redis_process, chaos_materials)
