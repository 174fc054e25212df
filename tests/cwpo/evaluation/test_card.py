"""The judge card: what is tried on which pairs, counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.data.pairs import write_pairs
from cwpo.errors import DataError
from cwpo.evaluation.card import card_of, run_card, tried_on
from cwpo.evaluation.gold import is_held_out
from cwpo.sandbox.oracle import utility
from tests.cwpo import small_world, stage
from tests.cwpo.stage import settings

ORACLE = {"kind": "oracle", "name": "oracle", "revision": None, "input_form": "", "max_length": 64}


def test_agreement_is_counted_over_all_by_length_and_by_source() -> None:
    """Nine pairs of nine prompts, three of each length: the judge agrees on none of the short, half of the middle by a
    tie and one that it gets right and one wrong, and all of the long ones."""
    rows = pd.DataFrame(
        {
            "prompt_id": [f"p{at}" for at in range(9)],
            "source": ["a"] * 6 + ["b"] * 3,
            "characters": np.arange(9.0),
            "agrees": [0, 0, 0, 0.5, 1, 0, 1, 1, 1],
            "chose_longer": [1, 1, 1, 0.5, np.nan, 0, 1, 1, 1],
            "people_longer": [0, 0, 0, 1, np.nan, 0, 1, 1, 1],
            "gap": [-2.0, -1, 0, 1, 2, 3, 4, 5, 6],
        }
    )
    card = card_of(rows)
    assert card["q"] == pytest.approx(4.5 / 9)
    assert [one["q"] for one in card["by_length"]] == pytest.approx([0, 0.5, 1])
    assert {one["name"]: one["q"] for one in card["by_source"]} == pytest.approx({"a": 1.5 / 6, "b": 1.0})
    assert card["ties"] == pytest.approx(1 / 9)
    assert card["chose_longer"] == pytest.approx(6.5 / 8)
    assert card["people_longer"] == pytest.approx(4 / 8)
    assert card["gaps"][2] == pytest.approx(2.0)  # the median of 0, 1, 1, 2, 2, 3, 4, 5, 6
    assert card["q_low"] < card["q"] < card["q_high"]


def test_a_judge_that_learned_from_pairs_is_tried_on_those_that_its_twin_never_met() -> None:
    pairs = small_world.word_pairs(400)
    of_all = settings("card", gold_reward=ORACLE, heldout=None, pairs=1000, seed=0)
    unmet = tried_on(pairs, replace(of_all, heldout=0.2))
    assert {pair.prompt_id for pair in unmet} == {one.prompt_id for one in pairs if is_held_out(one.prompt_id, 0.2)}
    assert 40 < len(unmet) < 120
    few = tried_on(pairs, replace(of_all, pairs=50))
    assert few == tried_on(pairs[::-1], replace(of_all, pairs=50))  # whatever their order in the file
    assert tried_on(pairs, replace(of_all, pairs=50, seed=1)) != few


def test_the_oracle_agrees_with_people_as_often_as_their_labels_are_the_truth(tmp_path: Path) -> None:
    """Of twenty pairs people took the worse answer of five."""
    prompt = "user: tell me two facts about the owl . assistant:"
    good, bad = "the owl can fly . the owl is brown .", "blah ."
    assert utility(prompt, good) > utility(prompt, bad)
    pair = small_world.word_pairs(1)[0]
    pairs = [
        replace(pair, pair_id=f"{at:016x}", prompt_id=f"p{at}", prompt=prompt, response_a=good, response_b=bad,
                human_label="b" if at < 5 else "a")
        for at in range(20)
    ]  # fmt: skip
    (tmp_path / "data").mkdir()
    write_pairs(pairs, tmp_path / "data")
    given = {"gold_reward": ORACLE, "judge": None, "heldout": None, "pairs": 1000}
    options = {"inputs": {"data": tmp_path / "data"}, "store": ArtifactStore(tmp_path / "home")}
    said = run_card(stage.context(tmp_path / "card", "card", config=given, **options))
    assert (said["q"], said["pairs"], said["ties"]) == (0.75, 20, 0.0)
    assert said["gaps"][0] > 0
    write_pairs(pairs[:4], tmp_path / "data")
    with pytest.raises(DataError, match="the data have 4 that it did not learn from"):
        run_card(stage.context(tmp_path / "few", "card", config=given, **options))
