"""Over-optimisation: models kept along a training and the best of n baseline answers, under two judges."""

import itertools
import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.data.pairs import write_prompts
from cwpo.errors import Cancelled
from cwpo.evaluation.along.best_of import best_weights, distance, run_best_of, sizes
from cwpo.evaluation.along.training import KEPT, run_along
from cwpo.evaluation.generation import SAMPLES_FILE, run_samples, write_samples
from cwpo.evaluation.gold import run_scores
from cwpo.evaluation.gra import compare, summary
from cwpo.records import Prompt
from cwpo.sealed import ASIDE
from cwpo.stages.context import StageContext
from cwpo.training.finishing import ALONG, kept_steps
from tests.cwpo import small_world, stage
from tests.cwpo.test_damage import WAYS, damage

ANIMALS = ("owl", "cat", "cow", "dog")
PROMPTS = [
    Prompt(prompt_id=f"p{at}", prompt=f"user: tell me two facts about the {animal} . assistant:", cluster=f"c{at // 2}")
    for at, animal in enumerate(ANIMALS)
]
DECODING = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 6, "samples": 2}
SAMPLING = {"model": "none", "revision": None, "precision": "fp32", "max_length": None, "evaluation_seed": 0}
TRAINED = {"kind": "trained", "name": "trained", "revision": None, "input_form": "", "max_length": 64}
ORACLE = {**TRAINED, "kind": "oracle", "name": "oracle"}
JUDGED = {**SAMPLING, "decoding": DECODING, "prompts": 3, "gold_reward": TRAINED, "second": ORACLE}


def test_the_best_of_two_of_three_by_hand() -> None:
    """Of the three pairs the lowest is the best of none, the middle of one, the highest of two; equals share."""
    assert best_weights(np.array([[2.0, 1.0, 3.0]]), 2)[0] == pytest.approx([1 / 3, 0, 2 / 3])
    assert best_weights(np.array([[1.0, 2.0, 2.0]]), 2)[0] == pytest.approx([0, 1 / 2, 1 / 2])
    assert best_weights(np.array([[5.0, 1.0, 3.0]]), 1)[0] == pytest.approx([1 / 3] * 3)
    assert best_weights(np.array([[5.0, 1.0, 3.0]]), 3)[0] == pytest.approx([1, 0, 0])


@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_the_weights_are_the_mean_over_every_drawing_of_n(n: int) -> None:
    scores = np.array([[3.0, 1.0, 1.0, 4.0, 4.0, 0.0]])
    outcomes = np.array([0.5, 1.0, 0.0, 1.0, 0.0, 0.5])
    drawings = list(itertools.combinations(range(6), n))
    best = [[at for at in drawing if scores[0, at] == max(scores[0, list(drawing)])] for drawing in drawings]
    by_hand = np.mean([outcomes[at].mean() for at in best])
    assert float(best_weights(scores, n)[0] @ outcomes) == pytest.approx(by_hand)


def test_sizes_double_up_to_the_most_and_their_distance_is_the_bound() -> None:
    assert sizes(16) == [1, 2, 4, 8, 16]
    assert sizes(6) == [1, 2, 4, 6]
    assert [distance(n) for n in (1, 2, 8)] == pytest.approx([0.0, math.log(2) - 0.5, math.log(8) - 0.875])


def test_models_are_kept_in_equal_parts_of_the_training() -> None:
    assert kept_steps(100, 5) == [20, 40, 60, 80, 100]
    assert kept_steps(3, 5) == [1, 2, 3]


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """An alignment that kept models of other seeds after steps 2 and 4 of 6, answers and scores of both sides."""
    (tmp_path / "prompts").mkdir()
    write_prompts(PROMPTS, tmp_path / "prompts")
    align = small_world.policy_artifact(tmp_path / "align", seed=3)
    for step in (2, 4):
        small_world.policy_artifact(align / ALONG / f"step-{step:07d}", seed=step)
    (align / "summary.json").write_text(json.dumps({"steps": 6}))
    found = {
        "prompts": tmp_path / "prompts", "model": align, "gold": small_world.annotator_artifact(tmp_path / "gold"),
        "reference_model": small_world.policy_artifact(tmp_path / "start"),
    }  # fmt: skip
    for name, model in (("samples", "model"), ("baseline_samples", "reference_model")):
        values = {**SAMPLING, "decoding": DECODING, "with_reference": name == "samples"}
        asked = {"prompts": found["prompts"], "model": found[model], "reference_model": found["reference_model"]}
        found[name] = of("samples", tmp_path / name, values, asked, run_samples)
        scores = name.replace("samples", "scores")
        asked = {"prompts": found["prompts"], "samples": found[name], "gold": found["gold"]}
        found[scores] = of(
            "scores", tmp_path / scores, {"gold_reward": TRAINED, "precision": "fp32"}, asked, run_scores
        )
    return found


def of(kind: str, folder: Path, values: dict[str, Any], asked: dict[str, Path], function: Any) -> Path:
    ctx = context(folder, kind, values, asked)
    function(ctx)
    return ctx.out


def context(
    folder: Path, kind: str, values: dict[str, Any], asked: dict[str, Path], **options: Any
) -> StageContext[Any]:
    store = ArtifactStore(folder.parent / "home")
    return stage.context(folder, kind, config=values, inputs=asked, store=store, **options)


def test_the_last_point_is_the_evaluation_and_a_killed_stage_goes_on_where_it_was(
    tmp_path: Path, inputs: dict[str, Path]
) -> None:
    values = {**JUDGED, "with_reference": True}
    said = run_along(context(tmp_path / "whole", "along", values, inputs))
    assert [point["step"] for point in said["points"]] == [2, 4, 6]
    assert (said["prompt_ids"], said["clusters"]) == (["p0", "p1", "p2"], ["c0", "c0", "c1"])
    sides = [
        pd.read_parquet(inputs[f"{side}samples"] / "samples.parquet").merge(
            pd.read_parquet(inputs[f"{side}scores"] / "scores.parquet"), on=["prompt_id", "sample"]
        )
        for side in ("", "baseline_")
    ]
    own = compare(*(side[side["prompt_id"] != "p3"] for side in sides), tie_epsilon=0.0)
    whole = summary(own, samples=2)
    last = said["points"][-1]
    assert last["gold"] == pytest.approx(whole["gra"])
    assert last["kl"] == pytest.approx(whole["kl"])
    assert (
        len({tuple(cell["gold"]) for cell in said["cells"]} | {tuple(cell["logratio"]) for cell in said["cells"]}) > 3
    )
    assert all(0 <= cell <= 1 for row in said["cells"] for cell in row["second"])

    first = tmp_path / "cut" / "checkpoints" / "step-0000002" / KEPT / SAMPLES_FILE
    stopped = context(tmp_path / "cut", "along", values, inputs, should_stop=first.is_file)
    with pytest.raises(Cancelled):
        run_along(stopped)
    written = first.stat().st_mtime_ns
    assert run_along(context(tmp_path / "cut", "along", values, inputs)) == said
    assert first.stat().st_mtime_ns == written


def test_damaged_answers_along_a_training_are_made_again(tmp_path: Path, inputs: dict[str, Path]) -> None:
    """Flipped, cut or gone, and those of a version before checksums, which are not read."""
    values = {**JUDGED, "with_reference": True}
    whole = context(tmp_path / "whole", "along", values, inputs)
    said = run_along(whole)
    for way in (*WAYS, "earlier"):
        place = tmp_path / way / "checkpoints"
        shutil.copytree(whole.checkpoints, place)
        kept = place / "step-0000004" / KEPT
        if way == "earlier":
            shutil.rmtree(kept)
            write_samples([], kept.parent)
        else:
            damage(kept / SAMPLES_FILE, way, random.Random(way))
        again = context(tmp_path / way, "along", values, inputs)
        assert run_along(again) == said
        assert (again.out / "answers.parquet").read_bytes() == (whole.out / "answers.parquet").read_bytes()
        assert [note.startswith("The answers of the model after step 4 are damaged and set aside (samples.parquet")
                for note in again.reporter.notes] == [True] * (way != "earlier")  # fmt: skip
        assert (kept.parent / ASIDE).is_dir() == (way != "earlier")


def test_the_best_of_one_is_the_baseline_and_more_are_better_by_the_gold_reward(
    tmp_path: Path, inputs: dict[str, Path]
) -> None:
    asked = {**inputs, "model": inputs["reference_model"]}
    values = {**JUDGED, "decoding": {**DECODING, "samples": 16}, "evaluation_seed": 9, "with_reference": False}
    said = run_best_of(context(tmp_path / "best", "best_of", values, asked))
    assert [point["n"] for point in said["points"]] == [1, 2, 4, 8, 16]
    gold = [point["gold"] for point in said["points"]]
    assert gold == sorted(gold)
    assert gold[-1] > gold[0] + 0.2
    answers = pd.read_parquet(tmp_path / "best" / "out" / "answers.parquet")
    baseline = pd.read_parquet(inputs["baseline_samples"] / "samples.parquet")
    assert len(answers) == 3 * 16
    assert set(answers["text"]) != set(baseline["text"])
