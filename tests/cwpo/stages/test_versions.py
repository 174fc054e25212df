"""A stage whose output changed must say so in its version, or old artifacts would be taken for new ones."""

import pytest

from cwpo.stages.execute import executor
from cwpo.stages.kinds import KINDS
from tests.cwpo.recorded import recorded, run_every_stage

# Other processors round otherwise in the last bits; a changed algorithm moves numbers by far more.
RELATIVE, ABSOLUTE = 2e-3, 1e-4


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    return run_every_stage(tmp_path_factory.mktemp("recorded"))


def test_every_kind_has_a_version_an_executor_and_a_record():
    assert set(KINDS) == set(recorded())
    assert all(callable(executor(kind)) for kind in KINDS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_is_the_one_of_this_version(kind, numbers):
    then = recorded()[kind]
    assert then["version"] == KINDS[kind].version, f"record {kind} anew: python -m tests.cwpo.recorded"
    assert set(numbers[kind]) == set(then["numbers"]), f"{kind} says other things of itself: raise its version"
    for name, value in then["numbers"].items():
        now = numbers[kind][name]
        assert now == pytest.approx(value, rel=RELATIVE, abs=ABSOLUTE), f"{kind}.{name} changed: raise its version"
