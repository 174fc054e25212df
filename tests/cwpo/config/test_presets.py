"""Presets are valid configurations whose runs share everything that one method does not decide."""

import math
from pathlib import Path

import pytest
import yaml

from cwpo.config import catalog
from cwpo.config.presets import PRESETS, comparison
from cwpo.config.run import expand, list_fields
from cwpo.stages.graph import build


@pytest.mark.parametrize("name", PRESETS)
def test_one_run_per_method_and_seed(name: str) -> None:
    preset = PRESETS[name]
    runs = expand(comparison(preset))
    lists = [len(options) for path, options in list_fields(comparison(preset)) if path not in ("method", "seed")]
    assert len({run.hash() for run in runs}) == len(preset.methods) * len(preset.seeds) * math.prod(lists)
    assert len(preset.seeds) >= 4


def test_labels_times_weights_is_two_by_two_with_one_annotator_and_all_methods_that_know_are_bounds() -> None:
    runs = expand(comparison(PRESETS["labels_weights"]))
    cells = {(catalog.METHODS[run.method].labels, run.weighting_name) for run in runs}
    assert cells == {(labels, weighting) for labels in ("human", "weak") for weighting in ("uniform", "confidence")}
    knows = {(run.method, run.top_percent) for run in expand(comparison(PRESETS["bounds"]))}
    assert knows == {("weak", None), ("cw", None), ("top", 30), ("top_true", 30), ("correct", None), ("oracle", None)}


def test_six_annotators_label_the_same_pairs_and_fit_on_one_comparison() -> None:
    """A rank correlation needs five of them, and Compare takes 50 runs: 6 annotators × 2 weights × 4 seeds."""
    runs = expand(comparison(PRESETS["annotators"]))
    assert len(runs) == 48
    assert {run.method for run in runs} == {"weak", "cw"}
    assert {run.data.unlabeled_fraction for run in runs} == {0.5}
    for seed in (0, 3):
        specs = [build(run) for run in runs if run.seed == seed]
        assert len({spec["annotator"].fingerprint for spec in specs}) == 6
        assert len({spec["align"].fingerprint for spec in specs}) == 12
        for slot in ("data", "prompts", "baseline_samples"):
            assert len({spec[slot].fingerprint for spec in specs}) == 1


def test_blind_spots_are_looked_for_in_every_run_of_their_preset() -> None:
    runs = expand(comparison(PRESETS["blind_spots"]))
    assert len(runs) == 8
    assert all("blind_spots" in build(run) for run in runs)


def test_labels_of_other_topics_leave_the_pairs_that_are_labeled_and_the_opponent_alike() -> None:
    """Without the labels of its own topics an annotator labels the pairs of facts and questions that nobody labeled."""
    runs = expand(comparison(PRESETS["shifted"]))
    own, other = (run for run in runs if run.method == "cw" and run.seed == 0)
    assert (own.data.unlabeled_sources, own.data.labeled_sources) == ("facts+ask", "facts+ask")
    assert own.data.unlabeled_sources == other.data.unlabeled_sources
    for slot in ("data", "prompts", "baseline_samples"):
        assert build(own)[slot].fingerprint == build(other)[slot].fingerprint


def test_steady_labels_without_dropout_and_unsteady_with() -> None:
    """Steady: 5 epochs on every label, no early stopping. Unsteady: stopped early, dropout 0.4 while labeling."""
    steady, unsteady = (expand(comparison(PRESETS[name]))[0] for name in ("steady", "unsteady"))
    assert (steady.annotator.epochs, steady.annotator.early_stopping, steady.annotator.label_dropout) == (5, False, 0)
    assert (unsteady.annotator.early_stopping, unsteady.annotator.label_dropout) == (True, 0.4)
    for run in (steady, unsteady):
        assert run.data.sandbox is not None
        assert (run.data.sandbox.noise, run.data.label_fraction) == (1.5, 0.3)
        assert (run.align.beta, run.align.lr, run.align.epochs) == (0.5, 3e-4, 2)


@pytest.mark.parametrize(("file", "name"), [("demo", "steady"), ("sandbox-unsteady", "unsteady")])
def test_the_example_files_are_the_presets(file: str, name: str) -> None:
    path = Path(__file__).parents[3] / "configs" / f"{file}.yaml"
    listed = {run.hash() for run in expand(yaml.safe_load(path.read_text()))}
    preset = {run.hash() for run in expand(comparison(PRESETS[name]))}
    assert listed <= preset
    assert listed == preset or file != "demo"


def test_a_seed_trains_one_annotator_and_asks_one_opponent() -> None:
    specs = [build(run) for run in expand(comparison(PRESETS["steady"])) if run.seed == 2]
    for slot in ("annotator", "labels", "base_policy", "baseline_samples", "data", "prompts"):
        assert len({spec[slot].fingerprint for spec in specs if slot in spec}) == 1
    assert len({spec["align"].fingerprint for spec in specs}) == len(specs)
