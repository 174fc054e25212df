"""The stage graph: what is shared, what is not, and what never enters a fingerprint."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwpo.config.run import RunConfig, merged
from cwpo.errors import ConfigError
from cwpo.stages.graph import build, checking, looking, rescoring, slot_name
from cwpo.stages.resolve import with_gold


def test_blind_spots_are_looked_for_where_an_annotator_is_and_change_no_other_stage() -> None:
    wanted = {"evaluation": {"blind_spots": True}}
    plain, looked = (build(RunConfig.parse({"method": "cw", **more})) for more in ({}, wanted))
    assert looked.keys() - plain.keys() == {"blind_spots"}
    assert all(looked[slot].fingerprint == plain[slot].fingerprint for slot in plain)
    assert looked["blind_spots"].inputs["start"] == "align"
    assert slot_name("blind_spots") == "Blind spots"
    assert "blind_spots" not in build(RunConfig.parse({"method": "human", **wanted}))
    config = RunConfig.parse({"method": "cw"})
    later = looking(config, {slot: spec.fingerprint for slot, spec in plain.items()})
    assert {slot: spec.fingerprint for slot, spec in later.items()} == {
        "blind_spots": looked["blind_spots"].fingerprint
    }
    assert "blind_spots" not in config.canonical()["evaluation"]
    with pytest.raises(ConfigError, match="among stored pairs"):
        looking(RunConfig.parse({"method": "cw", "align": {"online": {}}}), {"labels": "0" * 64})
    with pytest.raises(ConfigError, match="has no annotator"):
        looking(RunConfig.parse({"method": "human"}), {"data": "0" * 64})


def fingerprints(**values):
    return {slot: spec.fingerprint for slot, spec in build(RunConfig.parse(values)).items()}


def shared(left, right):
    return {slot for slot in left if right.get(slot) == left[slot]}


def test_every_input_stands_before_the_stage_that_reads_it():
    for method in ("cw", "human", "human_100", "top:30", "oracle"):
        for sft in ("none", "pool", "labeled"):
            seen: set[str] = set()
            for slot, spec in build(RunConfig.parse({"method": method, "sft": {"data": sft}})).items():
                assert set(spec.inputs.values()) <= seen
                seen.add(slot)


def test_weak_methods_share_annotator_and_labels():
    """`weak`, `cw` and `top` differ only from the alignment on."""
    weak, cw, top = fingerprints(method="weak"), fingerprints(method="cw"), fingerprints(method="top:30")
    assert shared(weak, cw) == shared(weak, top)
    assert set(weak) - shared(weak, cw) == {"align", "samples", "scores", "evaluation"}


def test_weak_methods_share_their_sft_model():
    weak = fingerprints(method="weak", sft={"data": "pool"})
    cw = fingerprints(method="cw", sft={"data": "pool"})
    human = fingerprints(method="human", sft={"data": "pool"})
    assert weak["sft"] == cw["sft"] != human["sft"]
    assert weak["reference"] == cw["reference"] != human["reference"]


def test_human_methods_have_no_annotator():
    assert not {"annotator", "labels"} & set(fingerprints(method="human"))


def test_objectives_share_everything_before_the_alignment():
    dpo, ipo = fingerprints(objective="dpo"), fingerprints(objective="ipo")
    assert {"annotator", "labels", "reference", "baseline_scores"} <= shared(dpo, ipo)
    assert dpo["align"] != ipo["align"]


def test_a_field_that_the_objective_does_not_read_changes_nothing():
    assert fingerprints(objective="dpo") == fingerprints(objective="dpo", align={"label_noise": 0.3})
    assert (
        fingerprints(objective="rdpo")["align"] != fingerprints(objective="rdpo", align={"label_noise": 0.3})["align"]
    )


def test_the_seed_never_moves_prompts_or_the_opponent():
    zero, one = fingerprints(seed=0), fingerprints(seed=1)
    assert shared(zero, one) == {
        "prompts",
        "base_policy",
        "base_annotator",
        "baseline_samples",
        "baseline_scores",
    }


def test_a_fixed_seed_stops_following():
    zero = fingerprints(seed=0, seeds={"split": 7, "annotator": 7})
    one = fingerprints(seed=1, seeds={"split": 7, "annotator": 7})
    assert {"data", "annotator", "labels", "reference"} <= shared(zero, one)
    assert zero["align"] != one["align"]


def test_a_common_opponent_is_the_same_for_all_methods():
    fields = {"sft": {"data": "pool"}, "evaluation": {"baseline": "common"}}
    cw, human = fingerprints(method="cw", **fields), fingerprints(method="human", **fields)
    assert cw["baseline_sft"] == human["baseline_sft"]
    assert cw["baseline_samples"] == human["baseline_samples"]
    own = {"sft": {"data": "pool"}, "evaluation": {"baseline": "own"}}
    assert (
        fingerprints(method="cw", **own)["baseline_samples"] != fingerprints(method="human", **own)["baseline_samples"]
    )


def test_salt_changes_every_stage():
    assert not shared(fingerprints(), fingerprints(salt="again"))


def test_a_local_file_enters_by_its_content():
    fields = {"evaluation": {"gold_reward": "trained"}}
    here = fingerprints(data={"dataset": "/a/pairs.jsonl", "revision": "sha256:1"}, **fields)
    there = fingerprints(data={"dataset": "/b/copy.jsonl", "revision": "sha256:1"}, **fields)
    changed = fingerprints(data={"dataset": "/a/pairs.jsonl", "revision": "sha256:2"}, **fields)
    assert here == there
    assert not shared(here, changed)


@settings(max_examples=200, deadline=None)
@given(
    left=st.fixed_dictionaries({"beta": st.sampled_from([0.1, 0.5]), "lr": st.sampled_from([1e-4, 3e-4])}),
    right=st.fixed_dictionaries({"beta": st.sampled_from([0.1, 0.5]), "lr": st.sampled_from([1e-4, 3e-4])}),
    execution=st.fixed_dictionaries({"tokens_per_batch": st.integers(1, 9999), "checkpoint_seconds": st.just(1)}),
)
def test_equal_fingerprints_exactly_for_equal_configurations(left, right, execution):
    one = fingerprints(align=left)
    other = fingerprints(**merged({"align": right}, {"execution": execution}))
    assert (one == other) == (left == right)


def test_splits_and_swaps_enter_where_they_matter_and_only_when_they_are_set():
    plain = fingerprints(method="cw", sft={"data": "pool"})
    assert fingerprints(method="cw", sft={"data": "pool"}, data={"swapped_labels": 0}) == plain
    text = str([dict(spec.config) for spec in build(RunConfig.parse({"method": "cw"})).values()])
    assert not any(key in text for key in ("unlabeled_fraction", "swapped_labels", "mix", "parts", "sources"))
    fixed = fingerprints(method="cw", sft={"data": "pool"}, data={"unlabeled_fraction": 0.5})
    assert {"data", "annotator", "base_policy"} <= shared(plain, fixed)
    assert not {"labels", "sft", "reference", "align"} & shared(plain, fixed)
    swapped = fingerprints(method="cw", sft={"data": "pool"}, data={"swapped_labels": 0.2})
    assert {"data", "base_policy", "reference"} - shared(plain, swapped) == {"reference"}
    assert not {"annotator", "labels", "align"} & shared(plain, swapped)


def test_swapped_labels_never_reach_true_labels_or_the_trained_judge():
    """Evaluation stays what it was: only what learns from human labels sees them swapped."""
    oracle = [fingerprints(method="oracle", data={"swapped_labels": share}) for share in (0, 0.2)]
    assert oracle[0] == oracle[1]
    gold = {"method": "human", "evaluation": {"gold_reward": "trained"}}
    clean, swapped = fingerprints(**gold), fingerprints(**gold, data={"swapped_labels": 0.2})
    assert {"data", "reference", "gold", "baseline_scores"} <= shared(clean, swapped)
    assert clean["align"] != swapped["align"]


def test_a_fixed_unlabeled_part_is_read_alike_whatever_is_labeled():
    """Figure 3, left: human labels on the fixed part are one run; the annotator is that of the figure's right panel."""

    def at(fraction, method, **data):
        return fingerprints(method=method, sft={"data": "pool"}, data={"label_fraction": fraction, **data})

    some, more = (at(fraction, "human", unlabeled_fraction=0.5) for fraction in (0.1, 0.4))
    assert {"sft", "reference", "align"} <= shared(some, more)
    assert at(0.4, "cw")["annotator"] == at(0.4, "cw", unlabeled_fraction=0.5)["annotator"]
    assert at(0.1, "cw", unlabeled_fraction=0.5)["labels"] != at(0.4, "cw", unlabeled_fraction=0.5)["labels"]


def test_joined_datasets_name_their_parts_and_a_mix_reads_the_data_anew():
    def data(**values):
        return build(RunConfig.parse({"data": values}))["data"].config

    assert data(dataset="hh")["parts"] == {"harmless": "harmless-base", "helpful": "helpful-base"}
    assert "parts" not in data(dataset="hh", subset="helpful-base")
    mixed = RunConfig.parse({"data": {"dataset": "hh", "mix": {"harmless": 0.8, "helpful": 0.2}}})
    assert build(mixed)["data"].config["sources"] is True
    assert build(mixed)["labels"].config["mix"] == {"harmless": 0.8, "helpful": 0.2}


def test_pair_sampling_enters_the_fingerprint_of_alignment_only_when_it_is_on():
    plain, same = fingerprints(), fingerprints(align={"pair_sampling": "all"})
    sampled = fingerprints(align={"pair_sampling": "proportional"})
    assert plain == same
    assert "pair_sampling" not in build(RunConfig.parse({}))["align"].config
    assert sampled["align"] != plain["align"]
    assert sampled["reference"] == plain["reference"]


def test_every_weak_method_shares_annotator_labels_and_reference() -> None:
    """Controls, soft labels and other weightings differ from `weak` from the alignment on; ws has labels of its own."""
    weak = fingerprints(method="weak")
    for method in (
        "cw", "top:30", "random:30", "bottom:30", "shuffled", "normalised", "soft", "unbiased", "madpo",
    ):  # fmt: skip
        assert set(weak) - shared(weak, fingerprints(method=method)) == {"align", "samples", "scores", "evaluation"}
    power = fingerprints(method="cw", weighting={"name": "power"})
    assert set(weak) - shared(weak, power) == {"align", "samples", "scores", "evaluation"}
    ws = fingerprints(method="ws")
    assert {"annotator", "labels", "align"} <= set(weak) - shared(weak, ws)
    assert "annotator_sft" in fingerprints(method="ws", sft={"data": "pool"})


def test_a_committee_has_labels_of_its_own_by_the_annotators_that_others_have_too() -> None:
    """Its labels say how many agree, which nobody else asks for."""
    several = {"annotator": {"members": 3}}
    weak, committee = fingerprints(method="weak", **several), fingerprints(method="committee", **several)
    assert set(weak) - shared(weak, committee) == {"labels", "align", "samples", "scores", "evaluation"}
    settings = build(RunConfig.parse({"method": "weak", **several}))["labels"].config
    assert "votes" not in settings
    with pytest.raises(ConfigError, match=r"raise annotator\.members"):
        RunConfig.parse({"method": "committee"})


def test_only_kto_asks_the_reference_of_answers_to_other_prompts() -> None:
    """All other objectives share the reference; what only another objective reads moves nothing."""
    dpo, kto = fingerprints(objective="dpo"), fingerprints(objective="kto")
    assert {"reference", "align"} <= set(dpo) - shared(dpo, kto)
    assert "mismatched" not in build(RunConfig.parse({}))["reference"].config
    for name in ("ipo", "bdpo", "orpo", "gdpo", "fa"):
        assert fingerprints(objective=name)["reference"] == dpo["reference"]
    assert fingerprints(objective="dpo", align={"orpo_lambda": 0.5, "beta_dynamics": 0.1}) == dpo
    assert fingerprints(objective="orpo", align={"orpo_lambda": 0.5}) != fingerprints(objective="orpo")
    assert fingerprints(objective="bdpo", align={"beta_dynamics": 0.1}) != fingerprints(objective="bdpo")


def test_the_first_member_of_an_ensemble_is_the_annotator_alone() -> None:
    one, three = fingerprints(method="cw"), fingerprints(method="cw", annotator={"members": 3})
    assert one["annotator"] == three["annotator"]
    assert len({three[slot] for slot in ("annotator", "annotator_2", "annotator_3")}) == 3
    assert one["labels"] != three["labels"]


def test_a_temperature_is_fitted_only_where_it_is_asked_for() -> None:
    fitted = fingerprints(method="cw", weighting={"name": "temperature"})
    assert "calibration" in fitted
    assert fitted["annotator"] == fingerprints(method="cw")["annotator"]
    assert "calibration" not in fingerprints(method="cw", weighting={"name": "temperature", "temperature": 2})
    assert "calibration" not in fingerprints(method="human", annotator={"calibrate": True})


def test_the_seed_of_chance_enters_only_where_chance_is_used() -> None:
    for method, moved in (("shuffled", True), ("random:30", True), ("cw", False)):
        one, two = fingerprints(method=method), fingerprints(method=method, seeds={"align": 7})
        aligned = build(RunConfig.parse({"method": method}))["align"].config["weighting"]
        assert ("seed" in aligned) == moved
        assert one["align"] != two["align"]


def run_of(**values):
    return RunConfig.parse(values)


def test_models_along_an_alignment_change_it_and_nothing_before_it_and_share_one_best_of_n():
    asked = {"gold_reward": "trained", "along": {"checkpoints": 3, "prompts": 50}}
    plain, along = (build(run_of(method="cw", evaluation=one)) for one in ({"gold_reward": "trained"}, asked))
    changed = {slot for slot in plain if plain[slot].fingerprint != along[slot].fingerprint}
    assert changed == {"align", "samples", "scores", "evaluation"}
    assert along.keys() - plain.keys() == {"along", "best_of"}
    other = build(run_of(method="weak", evaluation=asked))
    assert other["best_of"].fingerprint == along["best_of"].fingerprint
    assert other["along"].fingerprint != along["along"].fingerprint
    assert along["along"].config["second"]["kind"] == "oracle"
    assert along["best_of"].config["evaluation_seed"] != along["baseline_samples"].config["evaluation_seed"]
    fewer = build(run_of(method="cw", evaluation={**asked, "along": {**asked["along"], "prompts": 20}}))
    assert fewer["align"].fingerprint == along["align"].fingerprint


def test_a_judge_card_within_a_run_is_the_one_that_is_asked_for_later():
    plain, asked = (run_of(method="cw", evaluation={"gold_reward": "trained", "card": card}) for card in (None, True))
    finished = {slot: spec.fingerprint for slot, spec in build(plain).items()}
    later = checking(plain, finished)
    within = build(asked)
    assert later.keys() == within.keys() - finished.keys() == {"gold_twin@trained", "card@trained"}
    assert all(later[slot].fingerprint == within[slot].fingerprint for slot in later)


def test_the_second_judge_of_a_run_can_score_its_answers(tmp_path):
    asked = run_of(method="cw", evaluation={"gold_reward": "trained", "along": {"second": "oracle"}})
    judged = with_gold(asked, "oracle", home=tmp_path)
    finished = {slot: spec.fingerprint for slot, spec in build(asked).items()}
    assert set(rescoring(judged, finished)) == {
        f"{slot}@oracle" for slot in ("scores", "baseline_scores", "evaluation")
    }


@pytest.mark.parametrize(
    ("second", "gold", "sentence"),
    [("oracle", "oracle", "is oracle already"), ("trained", "oracle", "a reward model that lies ready")],
)
def test_a_second_judge_that_says_nothing_new_is_refused(second, gold, sentence):
    with pytest.raises(ConfigError, match=sentence):
        run_of(method="cw", evaluation={"gold_reward": gold, "along": {"second": second}})
