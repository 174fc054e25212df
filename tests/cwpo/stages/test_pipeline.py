"""Every method, objective and weighting through all stages, from a file of pairs to its GRA, on tiny local models."""

import itertools
import math

import pytest

from cwpo.config import catalog
from cwpo.config.run import RunConfig, merged
from cwpo.stages.pipeline import run
from tests.cwpo import recorded

METHODS = [name for name, row in catalog.METHODS.items() if not row.sandbox_only]
OBJECTIVES = [name for name, row in catalog.OBJECTIVES.items() if "margin" not in row.needs]
WEIGHTINGS = [name for name, row in catalog.WEIGHTINGS.items() if row.needs_margin]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Configuration and home that all runs of this file share, so that they share stages."""
    folder = tmp_path_factory.mktemp("methods")
    return recorded.config(folder).canonical(), folder / "home"


def finished(start, **over):
    values, home = start
    percent = {"top_percent": 40} if "top_percent" not in over else {}
    return run(RunConfig.parse(merged(values, {**percent, **over})), home=home)


@pytest.mark.parametrize(("method", "objective"), list(zip(METHODS, itertools.cycle(OBJECTIVES))))
def test_a_method_goes_from_pairs_to_its_gra(start, method, objective):
    percent = 40 if catalog.METHODS[method].needs_percent else None
    result = finished(start, method=method, objective=objective, top_percent=percent, annotator={"calibrate": False})
    assert 0 <= result.evaluation["gra"] <= 1
    assert math.isfinite(result.stages["align"].summary["final_loss"])
    assert ("labels" in result.stages) == catalog.METHODS[method].needs_annotator


@pytest.mark.parametrize("method", ["cw", "ws"])
def test_an_online_run_goes_from_pairs_to_its_gra(start, method):
    """It reads no stored label or reference, shares annotator and opponent with the offline run, and differs in GRA's
    answers alone."""
    over = {"method": method, "top_percent": None, "annotator": {"calibrate": False}}
    offline, online = (finished(start, **over, align=values) for values in ({}, {"online": {"refresh_every": 2}}))
    assert 0 <= online.evaluation["gra"] <= 1
    assert online.specs["align"].kind == "online"
    assert not {"labels", "reference"} & online.specs["align"].inputs.keys()
    mine, its = ({slot: stage.fingerprint for slot, stage in result.stages.items()} for result in (online, offline))
    assert set(its) - set(mine) == {"reference"}
    assert {slot.partition("@")[0] for slot in mine if mine[slot] != its[slot]} == {
        "align", "samples", "scores", "evaluation",
    }  # fmt: skip
    summary = online.stages["align"].summary
    assert summary["refreshes"] == math.ceil(summary["steps"] / 2)
    assert 0 < summary["confidence"] < 1
    assert math.isfinite(summary["final_loss"])


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_weighting_takes_the_place_of_the_method_s_own(start, weighting):
    """Two annotators, so that there is a spread; only the alignment and what follows it is computed for another one."""
    percent = 40 if "percent" in catalog.WEIGHTINGS[weighting].fields else None
    objective = "dpo" if catalog.WEIGHTINGS[weighting].swaps else "odpo"
    over = {"method": "cw", "top_percent": percent, "objective": objective, "annotator": {"members": 2}}
    finished(start, **{**over, "top_percent": None})
    result = finished(start, **over, weighting={"name": weighting})
    computed = {slot.partition("@")[0] for slot, stage in result.stages.items() if stage.computed}
    assert computed <= {"calibration", "align", "samples", "scores", "evaluation"}
    assert math.isfinite(result.stages["align"].summary["final_loss"])
