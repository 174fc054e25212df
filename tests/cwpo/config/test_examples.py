"""Every example in configs/ is a valid run of stages, and together they cover every dataset and model family."""

from pathlib import Path

import pytest
import yaml

from cwpo.config import catalog
from cwpo.config.dotted import flat
from cwpo.config.run import expand
from cwpo.stages.graph import build

EXAMPLES = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_run(path: Path) -> None:
    runs = expand(yaml.safe_load(path.read_text()))
    several = {"sandbox-sweep": 12, "sandbox-annotators": 64, "sandbox-objectives": len(catalog.OBJECTIVES),
               "sandbox-online": 4, "demo": 28, "qwen-shp": 4, "smollm2-everyday": 8, "smollm2-pairs": 8}  # fmt: skip
    assert len(runs) == several.get(path.stem, 1)
    for run in runs:
        assert run.name
        assert "evaluation" in build(run)


def test_the_examples_cover_every_dataset_and_family() -> None:
    runs = [run for path in EXAMPLES for run in expand(yaml.safe_load(path.read_text()))]
    assert {run.data.dataset for run in runs} >= catalog.DATASETS.keys()
    policies = " ".join(run.model.policy.lower() for run in runs)
    assert all(family in policies for family in ("facebook/opt", "qwen2.5", "llama", "sandbox/opt", "sandbox/qwen2"))


def test_own_pairs_have_the_settings_and_the_number_of_the_everyday_set() -> None:
    """Below about 150 pairs the judge card that the file asks for cannot tell its judge from a coin."""
    own, everyday = (
        [dict(flat(run.canonical())) for run in expand(yaml.safe_load(path.read_text()))]
        for name in ("smollm2-pairs", "smollm2-everyday")
        for path in EXAMPLES
        if path.stem == name
    )
    assert {run["data.max_pairs"] for run in own} == {300}
    for one, other in zip(own, everyday, strict=True):
        differing = {name for name in {*one, *other} if one.get(name) != other.get(name)}
        assert {name.partition("data.length_rule")[0] for name in differing} == {"name", "data.dataset", ""}


def test_one_example_compares_every_objective_of_the_catalog() -> None:
    [path] = [path for path in EXAMPLES if path.stem == "sandbox-objectives"]
    assert yaml.safe_load(path.read_text())["objective"] == list(catalog.OBJECTIVES)
