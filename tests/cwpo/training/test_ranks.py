"""Several ranks train as one does: same weights, same metrics, also after a stop, a death or another number of them.

Here a few of the cases; `python -m tests.cwpo.training.ranked` computes all of them.
"""

from dataclasses import replace

import numpy as np
import pytest

from cwpo.config.catalog import OBJECTIVES
from cwpo.parallel.ranks import ALONE, Ranks
from cwpo.training.loop import Filler, micro_batches
from tests.cwpo.stage import context
from tests.cwpo.training.ranked import PAIRS, ROW_TOKENS, Case, apart, computed, over_ranks, rows

SAME = 1e-6  # float64, but Qwen2 and Llama normalise in float32; sums of several ranks are rounded in another order
CASES = [
    Case(what="dpo", packing="4"),
    Case(what="ipo", whole=False, packing="2,2"),
    Case(what="rdpo", whole=False, split=True, packing="1,3"),
    Case(what="cdpo", split=True, packing="1,1,1,1"),
    Case(what="odpo", whole=False, packing="1,1,1,1"),
    Case(what="simpo", split=True, packing="2,2", family="qwen2"),
    Case(what="wpo", whole=False, split=True, packing="4"),
    Case(what="bdpo", split=True, packing="1,1,1,1"),
    Case(what="kto", split=True, packing="1,3"),
    Case(what="orpo", packing="2,2"),
    Case(what="gdpo", packing="4"),
    Case(what="fa", packing="4"),
    Case(what="sft", packing="1,1,1,1", family="llama"),
    Case(what="sft", split=True, packing="1,3", checkpointing=True),
    Case(what="annotator", packing="1,3"),
    Case(what="annotator", split=True, packing="1,1,1,1"),
]


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Name of a case -> what three ranks computed."""
    found = over_ranks(3, CASES, tmp_path_factory.mktemp("three"))
    return {case.name: one for case, one in zip(CASES, found, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_three_ranks_train_as_one(tmp_path, three, case):
    """The batch of three leaves every rank one pair; with four micro-batches of one pair two ranks run a filler."""
    assert {case.what for case in CASES} >= set(OBJECTIVES)
    alone = computed(replace(case, split=False), ALONE, tmp_path)
    assert np.linalg.norm(alone.moved) > 0.01
    assert len(alone.metrics) == len(three[case.name].metrics)
    assert apart(alone, three[case.name]) < SAME


def test_a_batch_smaller_than_the_number_of_ranks_gives_the_others_a_filler(tmp_path):
    """Of one pair and four ranks three have nothing to compute but compute as often."""
    config = {"precision": "fp32", "seed": 0}
    for chosen, own in (([4], [1, 0, 0, 0]), ([1, 2, 3, 4, 5], [2, 1, 1, 1])):
        real, every = [], []
        for rank in range(4):
            ctx = context(tmp_path, config=config, ranks=Ranks(rank=rank, size=4), tokens_per_batch=ROW_TOKENS)
            micros = micro_batches(rows(), np.array(chosen), ctx, share=1.0)
            every.append(len(micros))
            real.append([micro for micro in micros if not isinstance(micro, Filler)])
        assert len(set(every)) == 1
        assert sorted(len(one) for one in real) == sorted(own)
        assert sorted(int(index) for one in real for micro in one for index in micro.batch.indices) == chosen


STOPPED = [
    Case(what="dpo", whole=False, packing="2,2", stop=1),
    Case(what="wpo", split=True, packing="1,1,1,1", stop=1),
    Case(what="annotator", split=True, packing="4", stop=1),  # the third stop falls among held-out pairs
]


def test_a_training_goes_on_with_another_number_of_ranks(tmp_path):
    """One step on one rank, one on three, one on two, the rest alone: as if it had never been stopped."""
    undisturbed = [computed(replace(case, stop=0), ALONE, tmp_path / "whole" / case.name) for case in STOPPED]
    for number, case in enumerate(STOPPED):
        assert not computed(case, ALONE, tmp_path / "cut" / str(number)).moved.size
    for size in (3, 2):
        assert not any(one.moved.size for one in over_ranks(size, STOPPED, tmp_path / "cut"))
    for number, case in enumerate(STOPPED):
        end = computed(replace(case, stop=0), ALONE, tmp_path / "cut" / str(number))
        assert end.first_step == 3
        assert apart(undisturbed[number], end) < SAME


def test_split_ranks_that_owe_a_reading_train_on_after_it(tmp_path):
    """Stopped among the held-out pairs behind the third step: what reads first puts each layer together first, and a
    training that goes on uses the same buffers."""
    case = Case(what="annotator", split=True, packing="4", stop=3)
    assert not over_ranks(2, [case], tmp_path / "cut")[0].moved.size
    (end,) = over_ranks(2, [replace(case, stop=0)], tmp_path / "cut")
    assert end.first_step == 3
    assert apart(computed(replace(case, split=False, stop=0), ALONE, tmp_path / "alone"), end) < SAME


def test_a_rank_that_dies_leaves_a_checkpoint_that_others_go_on_from(tmp_path):
    """Checkpoints behind every step; the rank ends without a word in the fourth, the other one fails with it."""
    case = Case(what="dpo", split=True, packing="2,2", every=0.0)
    alone = computed(replace(case, split=False, every=1e9), ALONE, tmp_path / "alone")
    assert over_ranks(2, [replace(case, die=1)], tmp_path / "cut") == []
    (end,) = over_ranks(3, [case], tmp_path / "cut")
    assert end.first_step in (2, 3)
    assert apart(alone, end) < SAME


def test_with_dropout_the_same_number_of_ranks_gives_the_same_bits_after_a_stop(tmp_path):
    """Masks belong to a step and a rank, so two ranks do not give what one gives."""
    cases = [Case(what="sft", dropout=0.2), Case(what="sft", dropout=0.2, split=True)]
    whole = over_ranks(2, cases, tmp_path / "whole")
    over_ranks(2, [replace(case, stop=2) for case in cases], tmp_path / "cut")
    for one, other in zip(whole, over_ranks(2, cases, tmp_path / "cut"), strict=True):
        assert other.first_step == 2
        assert np.array_equal(one.moved, other.moved)
    assert apart(whole[0], computed(cases[0], ALONE, tmp_path / "alone")) > 1e-4


def test_pairs_are_the_number_the_cases_speak_of():
    assert (PAIRS, {row.tokens for row in rows()}) == (11, {ROW_TOKENS})


def test_a_stage_of_two_ranks_stores_its_model_whole_and_once(tmp_path):
    """From artifact to artifact in float32, where AdamW makes steps of the rounding of gradients that are truly 0."""
    cases = [Case(what="stage", whole=whole, split=split) for whole in (True, False) for split in (True, False)]
    for case, found in zip(cases, over_ranks(2, cases, tmp_path / "two"), strict=True):
        alone = computed(case, ALONE, tmp_path / "one" / case.name)
        assert alone.moved.size == found.moved.size > 0
        assert apart(alone, found) < (1e-2 if case.whole else 1e-5)
