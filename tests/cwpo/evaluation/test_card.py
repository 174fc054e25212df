"""The judge card: what is tried on which pairs, counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.data.pairs import write_pairs
from cwpo.errors import DataError
from cwpo.evaluation.card import card_of, run_card, tried_on
from cwpo.evaluation.gold import is_held_out, kept_whole
from cwpo.sandbox.oracle import utility
from cwpo.stages.graph import CARD, TWIN, build
from tests.cwpo import small_world, stage
from tests.cwpo.stage import settings

ORACLE = {"kind": "oracle", "name": "oracle", "revision": None, "input_form": "", "max_length": 64}


def test_agreement_is_counted_over_all_by_length_and_by_source() -> None:
    """Nine pairs of nine prompts, three of each length: the judge agrees on none of the short, half of the middle by a
    tie and one that it gets right and one wrong, and all of the long ones."""
    rows = pd.DataFrame(
        {
            "unit": [f"p{at}" for at in range(9)],
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


def test_related_prompts_are_held_out_together() -> None:
    """Of four prompts that belong together none is learned from where the judge is tried on another."""
    pairs = [replace(pair, cluster=f"c{at // 8}") for at, pair in enumerate(small_world.word_pairs(400))]
    of_all = settings("card", gold_reward=ORACLE, heldout=0.2, pairs=1000, seed=0, by="clusters")
    unmet = tried_on(pairs, of_all)
    held = {pair.cluster for pair in unmet}
    assert 4 < len(held) < 25
    assert [pair for pair in pairs if pair.cluster in held] == sorted(unmet, key=lambda pair: pair.pair_id)
    assert {is_held_out(kept_whole(pair, "clusters"), 0.2) for pair in pairs if pair.cluster not in held} == {False}
    by_prompt = {pair.cluster for pair in tried_on(pairs, replace(of_all, by="prompts"))}
    assert len(by_prompt) > len(held)  # parts of many clusters


def test_related_prompts_count_as_one_in_the_interval(tmp_path: Path) -> None:
    """People took the worse answer in a quarter of the clusters, in all prompts of each."""
    prompt = "user: tell me two facts about the owl . assistant:"
    pair = small_world.word_pairs(1)[0]
    pairs = [
        replace(pair, pair_id=f"{at:016x}", prompt_id=f"p{at}", cluster=f"c{at // 10}", prompt=prompt,
                response_a="the owl can fly . the owl is brown .", response_b="blah .",
                human_label="b" if at // 10 % 4 == 0 else "a")
        for at in range(200)
    ]  # fmt: skip
    (tmp_path / "data").mkdir()
    write_pairs(pairs, tmp_path / "data")
    options = {"inputs": {"data": tmp_path / "data"}, "store": ArtifactStore(tmp_path / "home")}
    said = {}
    for by in ("prompts", "clusters"):
        given = {"gold_reward": ORACLE, "judge": None, "heldout": None, "pairs": 1000, "by": by}
        said[by] = run_card(stage.context(tmp_path / by, "card", config=given, **options))
    assert said["prompts"]["q"] == said["clusters"]["q"] == 0.75
    widths = {by: card["q_high"] - card["q_low"] for by, card in said.items()}
    assert widths["clusters"] > 2.5 * widths["prompts"]


@pytest.mark.parametrize(("rules", "by"), [(1, "prompts"), (2, "clusters")])
def test_what_is_held_out_together_follows_from_the_rules_of_a_run(rules: int, by: str) -> None:
    run = {"method": "cw", "rules": rules, "evaluation": {"gold_reward": "trained", "card": True}}
    specs = build(RunConfig.parse(run))
    found = {slot.partition("@")[0]: spec.settings for slot, spec in specs.items() if "@" in slot}
    assert (found[CARD].by, found[TWIN].by) == (by, by)
    assert specs["gold"].settings.by == "prompts"


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
