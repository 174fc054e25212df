"""The configuration: defaults, sentences for bad input, sweeps, identity."""

import pytest

from cwpo.config import catalog, dotted, run
from cwpo.config.dotted import value_at, without
from cwpo.config.run import LATER, RunConfig, digest, expand, merged, override, problems
from cwpo.errors import ConfigError
from cwpo.stages.graph import build


def test_hub_runs_start_from_the_papers_hyperparameters():
    """Tables 7 to 9: annotator 5 epochs at 1e-5 and batch 32; SFT 3 epochs; alignment 5 epochs at 5e-6, beta 0.5."""
    config = RunConfig.parse({"data": {"dataset": "hh"}})
    assert (config.annotator.epochs, config.annotator.lr, config.annotator.batch_size) == (5, 1e-5, 32)
    assert (config.sft.epochs, config.sft.lr, config.sft.warmup_steps, config.sft.weight_decay) == (3, 1e-5, 100, 0.05)
    assert (config.align.epochs, config.align.lr, config.align.beta, config.align.label_noise) == (5, 5e-6, 0.5, 0.1)
    assert config.model.lora is not None
    assert (config.model.lora.r, config.model.lora.alpha, config.model.lora.dropout) == (8, 16, 0.05)
    assert (config.evaluation.temperature, config.evaluation.max_new_tokens) == (0.95, 512)
    assert config.evaluation.baseline == "own"


def test_sandbox_defaults_give_way_to_what_the_user_sets():
    config = RunConfig.parse({"align": {"beta": 1.0}, "data": {"sandbox": {"noise": 3}}})
    assert config.is_sandbox
    assert config.align.beta == 1.0
    assert config.align.lr == 3e-4
    assert config.data.sandbox is not None
    assert (config.data.sandbox.noise, config.data.sandbox.pairs) == (3, 3000)


def test_canonical_form_reads_back_to_the_same_run():
    config = RunConfig.parse({"method": "top:30", "seed": 3})
    again = RunConfig.parse(config.canonical())
    assert again == config
    assert again.hash() == config.hash()


def test_name_and_execution_do_not_change_a_run():
    config = RunConfig.parse({})
    other = RunConfig.parse({"name": "another", "execution": {"tokens_per_batch": 64}})
    assert config.hash() == other.hash()
    assert config.hash() != RunConfig.parse({"align": {"beta": 0.4}}).hash()


def test_runs_that_differ_in_their_seed_form_a_group():
    runs = expand({"seed": [0, 1], "method": ["cw", "weak"]})
    assert len({run.group_key() for run in runs}) == 2
    assert len({run.hash() for run in runs}) == 4


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"method": "magic"}, "method", "choose one of human"),
        ({"objective": "ppo"}, "objective", "choose one of dpo"),
        ({"name": "a\0b"}, "name", "holds a zero byte, which no file and no database takes"),
        ({"model": {"policy": "./a\0b"}}, "model.policy", "holds a zero byte"),
        ({"evaluation": {"judge": {"kind": "endpoint", "model": "a\0"}}}, "evaluation.judge.model", "a zero byte"),
        (
            {"data": {"dataset": "hh"}, "evaluation": {"judge": {"kind": "endpoint", "model": "a", "repeats": 3}}},
            "evaluation.judge.repeats",
            "each is paid for: set evaluation.judge.temperature above 0",
        ),
        (
            {"data": {"dataset": "hh"}, "evaluation": {"judge": {"kind": "local", "model": "a/b", "repeats": 3}}},
            "evaluation.judge.repeats",
            "every repeat would be the same",
        ),
        ({"data": {"label_fraction": 0}}, "data.label_fraction", "greater than 0"),
        ({"data": {"label_fraction": 1}}, "data.label_fraction", "between 0 and 1"),
        ({"data": {"label_fraction": 1.2}}, "data.label_fraction", "at most 1"),
        ({"align": {"beta": 0}}, "align.beta", "greater than 0"),
        ({"align": {"beta": -1}}, "align.beta", "greater than 0"),
        ({"align": {"beta": float("nan")}}, "align.beta", "must be a finite number"),
        ({"align": {"label_noise": 0.5}}, "align.label_noise", "less than 0.5"),
        ({"method": "top"}, "top_percent", "top:30"),
        ({"method": "top:abc"}, "method", "top:30"),
        ({"method": "cw", "top_percent": 30}, "top_percent", "only top, top_true, random and bottom"),
        ({"method": "oracle", "data": {"dataset": "hh"}}, "method", "only the sandbox knows"),
        ({"method": "correct", "data": {"dataset": "hh"}}, "method", "only the sandbox knows"),
        (
            {"method": "human", "weighting": {"name": "correct"}, "data": {"dataset": "hh"}},
            "weighting.name",
            "what only the sandbox knows",
        ),
        ({"method": "human_100", "weighting": {"name": "confidence"}}, "weighting.name", "the unlabeled part alone"),
        ({"method": "human_labeled", "weighting": {"name": "top"}, "top_percent": 5}, "weighting.name", "choose human"),
        ({"method": "human", "weighting": {"name": "soft"}}, "weighting.name", "human has others"),
        ({"method": "human_cw", "objective": "odpo"}, "objective", "which human_cw has not"),
        ({"data": {"dataset": "someone/pairs"}}, "evaluation.gold_reward", "is missing"),
        (
            {"data": {"dataset": "hh"}, "evaluation": {"gold_reward": "oracle"}},
            "evaluation.gold_reward",
            "knows only the sandbox",
        ),
        (
            {"data": {"label_fraction": 0.6, "unlabeled_fraction": 0.5}},
            "data.unlabeled_fraction",
            "0.5 and data.label_fraction 0.6 add up to more than 1",
        ),
        ({"data": {"swapped_labels": 1.5}}, "data.swapped_labels", "at most 1"),
        ({"data": {"dataset": "hh", "mix": {"harmless": 0.8}}}, "data.mix", "add up to 1, not 0.8"),
        ({"data": {"dataset": "hh", "mix": {"harmless": 2, "helpful": -1}}}, "data.mix", "shares from 0 to 1"),
        ({"data": {"dataset": "hh", "mix": "80"}}, "data.mix", "must be shares by source"),
        ({"data": {"dataset": "hh", "mix": {"honest": 1}}}, "data.mix", "choose among harmless, helpful"),
        ({"data": {"dataset": "tldr", "mix": {"harmless": 1}}}, "data.mix", "choose sandbox, hh, shp without a subset"),
        ({"data": {"mix": {"honest": 1}}}, "data.mix", "choose among harmless, helpful"),
        ({"data": {"dataset": "hh", "subset": "helpful-base", "mix": {"helpful": 1}}}, "data.mix", "without a subset"),
        (
            {"method": "human_100", "data": {"dataset": "hh", "label_fraction": 1, "mix": {"helpful": 1}}},
            "data.mix",
            "cannot hold when every pair is labeled",
        ),
        ({"method": "human", "align": {"online": {}}}, "align.online", "nobody labels for human"),
        ({"align": {"online": {}, "pair_sampling": "proportional"}}, "align.pair_sampling", "leave it at all"),
        ({"objective": "kto", "align": {"online": {}}}, "objective", "which align.online has not"),
        ({"method": "correct", "align": {"online": {}}}, "weighting.name", "stored pairs alone have"),
        ({"align": {"online": {"refresh_every": 0}}}, "align.online.refresh_every", "greater than 0"),
        ({"data": {"labeled_sources": "facts+jokes"}}, "data.labeled_sources", "choose among facts, ask, math"),
        (
            {"data": {"unlabeled_sources": "harm", "mix": {"harmless": 1}}},
            "data.unlabeled_sources",
            "both say where labels come from",
        ),
        ({"data": {"dataset": "tldr", "labeled_sources": "a"}}, "data.labeled_sources", "pairs of several sources"),
        ({"data": {"dataset": "hh", "labeled_sources": "honest"}}, "data.labeled_sources", "harmless, helpful"),
        (
            {"method": "human_100", "data": {"label_fraction": 1, "labeled_sources": "facts"}},
            "data.labeled_sources",
            "when every pair is labeled",
        ),
        ({"model": {"policy": "sandbox/huge"}}, "model.policy", "choose one of"),
        ({"alignn": {}}, "alignn", "not a field"),
        ({"seed": "x"}, "seed", "must be a whole number"),
    ],
)
def test_bad_input_is_one_sentence_that_names_the_field(values, field, words):
    with pytest.raises(ConfigError) as caught:
        RunConfig.parse(values)
    assert caught.value.field == field
    assert words in str(caught.value)
    assert problems(values)[0][0] == field


@pytest.mark.parametrize("asked", [{"repeats": 1}, {"repeats": 3, "temperature": 1.0},
                                   {"repeats": 3, "temperature": None}])  # fmt: skip
def test_a_server_may_be_asked_several_times_where_its_replies_differ(asked):
    """At a temperature above 0, or at one that the server chooses."""
    judge = {"kind": "endpoint", "model": "gpt-4", **asked}
    config = RunConfig.parse({"data": {"dataset": "hh"}, "evaluation": {"judge": judge}})
    assert config.evaluation.judge.repeats == asked["repeats"]


@pytest.mark.parametrize("method", ["human_100", "human_labeled"])
def test_all_labels_are_allowed_where_no_pair_is_hidden(method):
    assert RunConfig.parse({"method": method, "data": {"label_fraction": 1}}).data.label_fraction == 1


@pytest.mark.parametrize("method", ["human", "oracle", "weak"])
def test_any_labels_of_the_unlabeled_part_can_be_weighed_by_the_annotator(method):
    """Then it labels for its margins, and the alignment reads them; weighed alike, other labels need no annotator."""
    weighed = build(RunConfig.parse({"method": method, "weighting": {"name": "confidence"}}))
    assert {"annotator", "labels"} <= weighed.keys()
    assert weighed["align"].inputs["labels"] == "labels"
    alike = build(RunConfig.parse({"method": method, "weighting": {"name": "uniform"}}))
    assert ("labels" in alike) == (method == "weak")


def test_c_on_human_labels_shares_annotator_and_labels_with_cw_and_all_else_with_human():
    human, weighed, cw = (build(RunConfig.parse({"method": name})) for name in ("human", "human_cw", "cw"))
    for slot, like in (("annotator", cw), ("labels", cw), ("reference", human), ("base_policy", human)):
        assert weighed[slot].fingerprint == like[slot].fingerprint
    assert len({specs["align"].fingerprint for specs in (human, weighed, cw)}) == 3


def test_override_sets_one_nested_field():
    assert override({"align": {"beta": 1}}, "align.lr", 2) == {"align": {"beta": 1, "lr": 2}}


def test_lists_expand_to_every_combination():
    runs = expand({"method": ["human", "top:10"], "align": {"beta": [0.1, 0.5]}, "seed": [0, 1, 2]})
    assert len(runs) == 12
    assert {(run.method_label, run.align.beta, run.seed) for run in runs} == {
        (label, beta, seed) for label in ("Human", "Top 10 %") for beta in (0.1, 0.5) for seed in (0, 1, 2)
    }


def test_an_empty_list_is_named():
    with pytest.raises(ConfigError, match=r"seed: is an empty list"):
        expand({"seed": []})


def test_every_method_names_a_weighting_that_exists():
    assert {row.weighting for row in catalog.METHODS.values()} <= set(catalog.WEIGHTINGS)


def test_a_value_under_a_dotted_name_is_looked_up_in_mappings_and_parts_alone() -> None:
    """A text has a method `split`, which is not its value."""
    parts = {"seeds": "x", "data": RunConfig().data}
    assert value_at(parts, "seeds.split") is None
    assert value_at(parts, "data.dataset") == "sandbox"
    assert value_at(parts, "data.dataset.more") is None


def test_a_field_that_came_later_leaves_the_keys_of_settings_as_they_were():
    """At its usual value, which is its default; at another one the setting is another."""
    plain = RunConfig.parse({})
    before = without(plain.canonical(), {"name", "execution", *LATER})
    assert plain.hash() == digest(before)
    assert plain.group_key() == digest(without(before, {"seed"}))
    for name, usual in LATER.items():
        assert value_at(plain, name) == usual
        other = RunConfig.parse(override({}, name, usual + 0.1))
        assert other.hash() != plain.hash()
        assert other.group_key() != plain.group_key()


def test_plain_values_are_laid_on_and_left_out_without_a_look_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration has a hundred of them and each plan reads hundreds of configurations; whether one is a mapping is
    asked of what may be one."""
    asked: list[object] = []

    class Asked(type):
        def __instancecheck__(cls, value: object) -> bool:
            asked.append(value)
            return isinstance(value, dict)

    values = {"a": 1, "b": [2.0], "c": None, "d": {"e": "x", "f": True}}
    for module in (run, dotted):
        monkeypatch.setattr(module, "Mapping", Asked("Mapping", (), {}))
    assert merged(values, {"a": 3, "d": {"e": "y"}}) == {**values, "a": 3, "d": {"e": "y", "f": True}}
    assert without(values, {"b", "d.f"}) == {"a": 1, "c": None, "d": {"e": "x"}}
    assert dict(dotted.flat(values)) == {"a": 1, "b": [2.0], "c": None, "d.e": "x", "d.f": True}
    assert asked
    assert all(isinstance(value, dict) for value in asked)
