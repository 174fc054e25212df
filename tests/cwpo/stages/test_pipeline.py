"""Every method, objective and weighting through all stages, from a file of pairs to its GRA, on tiny local models."""

import itertools
import math

import pytest

from cwpo.config import catalog
from cwpo.config.run import RunConfig, merged
from cwpo.stages.pipeline import run
from cwpo.training import sandbox_base
from tests.cwpo import recorded

METHODS = [name for name, row in catalog.METHODS.items() if not row.sandbox_only]
OF_THE_SANDBOX = [name for name in catalog.METHODS if name not in METHODS]
OBJECTIVES = [name for name, row in catalog.OBJECTIVES.items() if "margin" not in row.needs]
WITH_MARGIN = [name for name, row in catalog.OBJECTIVES.items() if "margin" in row.needs]
WEIGHTINGS = [name for name, row in catalog.WEIGHTINGS.items() if row.needs_margin]
OF_METHODS = list(zip(METHODS, itertools.cycle(OBJECTIVES)))
OF_WEIGHTINGS = list(zip(WEIGHTINGS, itertools.cycle(WITH_MARGIN)))
HELD_OUT = 20  # prompts, tests/cwpo/recorded.py


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Configuration and home that all runs of this file share, so that they share stages."""
    folder = tmp_path_factory.mktemp("methods")
    plain = {"evaluation": {"along": None, "card": False, "judge": None}}
    return merged(recorded.config(folder).canonical(), plain), folder / "home"


@pytest.fixture(scope="module")
def small_sandbox(tmp_path_factory):
    """The same in the sandbox, where the truth is known: few pairs, and a base model of few texts."""
    train = {"epochs": 1, "warmup_steps": 0}
    values = {
        "data": {"sandbox": {"pairs": 120}, "test_prompts": 12},
        "model": {"annotator": "sandbox/opt-48", "policy": "sandbox/opt-48"},
        "annotator": train,
        "sft": {"data": "none"},
        "align": train,
        "evaluation": {"max_new_tokens": 6, "samples": 1, "baseline": "common"},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox_base, "CORPUS_TEXTS", 64)
        yield values, tmp_path_factory.mktemp("sandbox") / "home"


def finished(start, **over):
    values, home = start
    percent = {"top_percent": 40} if "top_percent" not in over else {}
    return run(RunConfig.parse(merged(values, {**percent, **over})), home=home)


@pytest.mark.parametrize(("method", "objective"), OF_METHODS)
def test_a_method_goes_from_pairs_to_its_gra(start, method, objective):
    percent = 40 if catalog.METHODS[method].needs_percent else None
    several = "agreement" in catalog.WEIGHTINGS[catalog.METHODS[method].weighting].reads
    annotator = {"calibrate": False, **({"members": 2} if several else {})}
    result = finished(start, method=method, objective=objective, top_percent=percent, annotator=annotator)
    assert 0 <= result.evaluation["gra"] <= 1
    assert math.isfinite(result.stages["align"].summary["final_loss"])
    assert ("labels" in result.stages) == catalog.METHODS[method].needs_annotator


@pytest.mark.parametrize(("method", "objective"), [("unbiased", "dpo"), ("weak", "gdpo"), ("weak", "fa")])
def test_what_reads_the_annotator_s_chance_of_being_right_goes_to_its_gra_as_published(start, method, objective):
    """Each pair's own flip rate in rDPO with its C (what the sum of the two weighted losses is), in GDPO and in FA-DPO,
    where weights are 1. GRA is of all held-out prompts; with two answers each it is so many quarters of one."""
    result = finished(start, method=method, objective=objective, top_percent=None, annotator={"calibrate": False})
    found = result.evaluation
    assert found["prompts"] == HELD_OUT == found["wins"] + found["ties"] + found["losses"]
    assert 0 <= found["gra"] <= 1
    assert 4 * HELD_OUT * found["gra"] == pytest.approx(round(4 * HELD_OUT * found["gra"]))
    align = result.stages["align"].summary
    assert align["pairs"] == align["pool"]
    assert math.isfinite(align["final_loss"])


@pytest.mark.parametrize("objective", ["kto", "orpo"])
def test_pairs_weighed_by_confidence_go_to_their_gra_under_kto_and_orpo(start, objective):
    """All pairs are learned from, and C makes them count as fewer."""
    result = finished(start, method="cw", objective=objective, top_percent=None, annotator={"calibrate": False})
    align = result.stages["align"].summary
    assert 0 <= result.evaluation["gra"] <= 1
    assert math.isfinite(align["final_loss"])
    assert align["pairs"] == align["pool"]
    assert 0 < align["effective_sample_size"] < align["pairs"]
    assert 0 < align["mean_weight"] < 1


@pytest.mark.parametrize("method", OF_THE_SANDBOX)
def test_a_method_that_needs_the_truth_goes_from_sandbox_pairs_to_its_gra(small_sandbox, method):
    """Right labels alone are as many as agree with the truth; the top 40 % by true gap are so many of the pool."""
    percent = 40 if catalog.METHODS[method].needs_percent else None
    result = finished(small_sandbox, method=method, top_percent=percent)
    align = result.stages["align"].summary
    right = result.stages["labels"].summary["accuracy_truth"] if "labels" in result.stages else 1.0
    kept = {"correct": right, "top_true": 0.4}.get(method, 1.0)
    assert 0 <= result.evaluation["gra"] <= 1
    assert math.isfinite(align["final_loss"])
    assert align["pairs"] == round(kept * align["pool"]) > 0


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


@pytest.mark.parametrize(("weighting", "objective"), OF_WEIGHTINGS)
def test_a_weighting_takes_the_place_of_the_method_s_own(start, weighting, objective):
    """Two annotators, so that there is a spread; only the alignment and what follows it is computed for another one.

    Votes are counted only where somebody asks for them, so those labels are labels of their own.
    """
    row = catalog.WEIGHTINGS[weighting]
    percent = 40 if "percent" in row.fields else None
    objective = "dpo" if row.swaps else objective
    over = {"method": "cw", "annotator": {"members": 2}}
    finished(start, **over, top_percent=None, objective="odpo")
    if "agreement" in row.reads:  # what the method with these votes has computed, whichever test ran before
        finished(start, **{**over, "method": "committee"}, top_percent=None, objective="odpo")
    result = finished(start, **over, top_percent=percent, objective=objective, weighting={"name": weighting})
    computed = {slot.partition("@")[0] for slot, stage in result.stages.items() if stage.computed}
    votes = {"labels", "sft"} if "agreement" in row.reads else set()
    assert computed <= {"calibration", "align", "samples", "scores", "evaluation"} | votes
    assert math.isfinite(result.stages["align"].summary["final_loss"])
    assert 0 <= result.evaluation["gra"] <= 1
    assert result.evaluation["prompts"] == HELD_OUT


def test_every_row_of_the_catalog_is_in_one_of_these_runs():
    swapping = {name for name in WEIGHTINGS if catalog.WEIGHTINGS[name].swaps}
    met = {objective for _, objective in OF_METHODS} | {name for row, name in OF_WEIGHTINGS if row not in swapping}
    assert met == set(catalog.OBJECTIVES)
