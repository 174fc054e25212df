"""The world is a pure function of its seeds, with the noise, ties and disjoint prompts that its docstring promises."""

import hashlib
import itertools
import json
import math
import subprocess
import sys
from typing import Any

import pytest

from cwpo.errors import DataError
from cwpo.sandbox import world
from cwpo.sandbox.grammar import read_prompt
from cwpo.sandbox.oracle import ungrammatical, utility

# Changed texts or utilities: raise WORLD_VERSION in cwpo/stages/from_config.py, then record the new digest here.
RECORDED = "7aceab9513e54a09ff2da66cac2fa61bcbe20fb77d882f409f45ed4417eda826"
DIGEST_CODE = """
import hashlib, json
from cwpo.sandbox import world
rows = list(world.make_pairs(60, noise=1.5, near_ties=0.2, pool_seed=7))
rows += world.make_test_prompts(40, 3) + list(world.make_corpus(40, 5))
print(hashlib.sha256(json.dumps(rows).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return list(world.make_pairs(3000, noise=1.5, near_ties=0.0, pool_seed=0))


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_same_rows_in_a_fresh_interpreter(hash_seed: str) -> None:
    code, env = [sys.executable, "-c", DIGEST_CODE], {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run(code, capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == RECORDED


def test_torch_is_not_needed() -> None:
    names = "cwpo.sandbox.world, cwpo.sandbox.oracle, cwpo.models.sandbox_tokenizer, cwpo.config.presets"
    code = f"import sys, {names}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_more_rows_leave_the_first_ones_alone(rows: list[dict[str, Any]]) -> None:
    assert list(world.make_pairs(50, noise=1.5, near_ties=0.0, pool_seed=0)) == rows[:50]


def test_noise_moves_labels_and_nothing_else(rows: list[dict[str, Any]]) -> None:
    silent = list(world.make_pairs(300, noise=0.0, near_ties=0.0, pool_seed=0))
    assert all(row["human_label"] == row["true_label"] for row in silent)
    for quiet, noisy in zip(silent, rows, strict=False):
        assert {**quiet, "human_label": ""} == {**noisy, "human_label": ""}


def test_true_labels_and_utilities_follow_the_oracle(rows: list[dict[str, Any]]) -> None:
    for row in rows[:500]:
        a, b = (utility(row["prompt"], row[side]) for side in ("response_a", "response_b"))
        assert (row["utility_a"], row["utility_b"]) == (a, b)
        if a != b:
            assert row["true_label"] == ("a" if a > b else "b")


@pytest.mark.parametrize(("noise", "share"), [(0.5, 0.90), (1.0, 0.82), (1.5, 0.76), (2.0, 0.71), (3.0, 0.65)])
def test_expected_human_agreement(rows: list[dict[str, Any]], noise: float, share: float) -> None:
    """Mean of σ(|ΔU| / noise) over pairs that are no exact tie."""
    gaps = [abs(row["utility_a"] - row["utility_b"]) for row in rows]
    agree = [1 / (1 + math.exp(-gap / noise)) for gap in gaps if gap]
    assert sum(agree) / len(agree) == pytest.approx(share, abs=0.015)


def test_drawn_labels_agree_as_expected(rows: list[dict[str, Any]]) -> None:
    """3,000 draws: the standard error of the share is .008."""
    assert sum(row["human_label"] == row["true_label"] for row in rows) / 3000 == pytest.approx(0.75, abs=0.025)


def test_few_exact_ties_and_no_length_cue(rows: list[dict[str, Any]]) -> None:
    assert 0.02 < sum(row["utility_a"] == row["utility_b"] for row in rows) / 3000 < 0.05
    longer = [
        (len(row["response_a"].split()) > len(row["response_b"].split())) == (row["true_label"] == "a")
        for row in rows
        if len(row["response_a"].split()) != len(row["response_b"].split())
    ]
    assert sum(longer) / len(longer) == pytest.approx(0.5, abs=0.05)


def test_near_ties_are_forced(rows: list[dict[str, Any]]) -> None:
    def share(pairs: list[dict[str, Any]]) -> float:
        return sum(abs(row["utility_a"] - row["utility_b"]) <= world.NEAR_TIE for row in pairs) / len(pairs)

    close = list(world.make_pairs(500, noise=1.5, near_ties=0.6, pool_seed=0))
    assert share(close) == pytest.approx(0.6 + 0.4 * share(rows), abs=0.05)


def test_pairs_are_distinct_and_grammatical(rows: list[dict[str, Any]]) -> None:
    assert len({(row["prompt"], *sorted((row["response_a"], row["response_b"]))) for row in rows}) == len(rows)
    assert not any(ungrammatical(row[side]) for row in rows[:500] for side in ("response_a", "response_b"))


def test_pools_and_test_prompts_share_no_text(rows: list[dict[str, Any]]) -> None:
    tests = {prompt for seed in range(3) for prompt in world.make_test_prompts(400, seed)}
    corpus = {prompt for prompt, _ in world.make_corpus(2000, 0)}
    assert not tests & ({row["prompt"] for row in rows} | corpus)


def test_test_prompts_are_distinct_prefixes_with_the_worlds_kinds() -> None:
    prompts = world.make_test_prompts(600, 0)
    assert len(set(prompts)) == 600
    assert world.make_test_prompts(100, 0) == prompts[:100]
    assert world.make_test_prompts(100, 1) != prompts[:100]
    for kind, weight in world.KIND_WEIGHTS.items():
        found = sum(read_prompt(prompt).kind == kind for prompt in prompts) / 600
        assert found == pytest.approx(weight, abs=4 * math.sqrt(weight * (1 - weight) / 600))


def test_too_many_test_prompts_is_a_sentence() -> None:
    assert len(world.make_test_prompts(world.MAX_TEST_PROMPTS, 0)) == world.MAX_TEST_PROMPTS
    with pytest.raises(DataError, match=r"data\.test_prompts"):
        world.make_test_prompts(world.MAX_TEST_PROMPTS + 1, 0)


def test_pool_prompts_repeat_and_tests_have_the_same_kinds(rows: list[dict[str, Any]]) -> None:
    """The pool is drawn with replacement: prompts come back with other responses."""
    counts = {kind: sum(read_prompt(row["prompt"]).kind == kind for row in rows) / 3000 for kind in world.KIND_WEIGHTS}
    assert counts == pytest.approx(world.KIND_WEIGHTS, abs=0.035)
    assert len({row["prompt"] for row in rows}) < 2500


def test_seeds_change_the_pool() -> None:
    first, second = (
        json.dumps(list(itertools.islice(world.make_pairs(20, noise=1.5, near_ties=0.0, pool_seed=seed), 20)))
        for seed in (0, 1)
    )
    assert hashlib.sha256(first.encode()).digest() != hashlib.sha256(second.encode()).digest()
