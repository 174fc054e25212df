"""What a form says as lists, as a sweep, as a file and in an address."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.components.form.configuration import base_of, changes_of, defaults_of, filled_state, lists_of
from app.components.form.declared import DECLARED, LINES, OTHER, PARTS, pairs_of
from app.components.form.field_values import as_text, in_widget, parse
from app.components.form.fields import Field, all_fields, all_parts, fields_of_part, fields_of_run, fields_on, tabs
from app.components.form.presets import address_of, presets_for
from app.components.form.yaml_file import as_yaml, left_over, read_yaml
from cwpo.config import catalog
from cwpo.config.catalog_data import SMOLLM2
from cwpo.config.dotted import value_at
from cwpo.config.run import MOST_RUNS, RunConfig, expand
from cwpo.config.sweep import method_names, sweep
from cwpo.models.fetched.names import folder_of, how_to_get
from cwpo.paper.presets import all_presets
from cwpo.sandbox import lexicon
from tests.app.visits import Computed, visit, words
from workers.plan import memory

FLOAT = Field(name="align.beta", kind="float")
INT = Field(name="seed", kind="int")
MAYBE = Field(name="annotator.dropout", kind="float", optional=True)
SHARES = Field(name="data.mix", kind="shares", optional=True)
TEXT = Field(name="data.revision", kind="text", optional=True)

SWEEP = """
name: a file
method: [weak, "top:30"]
align: {beta: [0.1, 0.5], ipo_reduction: [mean, sum]}
annotator: {early_stopping: [false, true], dropout: [null, 0.2]}
seed: [0, 1]
data: {length_rule: {max_tokens: 64}}
salt: again
"""


@pytest.mark.parametrize(
    ("field", "text", "values"),
    [
        (FLOAT, "0.1, 0.25, 0.5, 1", [0.1, 0.25, 0.5, 1.0]),
        (FLOAT, "1e-5,1e-5, 3e-5", [1e-5, 3e-5]),
        (INT, "0-3, 7", [0, 1, 2, 3, 7]),
        (INT, "160.0", [160]),
        (MAYBE, "", [None]),
        (MAYBE, "default, 0.1", [None, 0.1]),
        (TEXT, "main, other", ["main", "other"]),
        (SHARES, "harmless 0.8 + helpful: 0.2, a b = 1", [{"harmless": 0.8, "helpful": 0.2}, {"a b": 1.0}]),
        (SHARES, "default, x 1", [None, {"x": 1.0}]),
    ],
)
def test_a_text_is_a_list_of_values_of_the_fields_type(field: Field, text: str, values: list[Any]) -> None:
    assert parse(field, text) == (values, "")


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        (FLOAT, "0.1, much", "'much' is not a number; write one value or several: 0.1, 0.25."),
        (FLOAT, "inf", "'inf' is not a number"),
        (FLOAT, " , ", "give at least one value."),
        (INT, "1.5", "'1.5' is not a whole number"),
        (INT, "3-1", "'3-1' is not a whole number"),
        (INT, "1,000", "1,000 can be one number or several"),
        (INT, "0-9999", "has more than 500 values"),
        (SHARES, "harmless", "'harmless' is not a name and its share, joined by +; write harmless 0.8 + helpful 0.2."),
        (SHARES, "x 0.5 + x 0.5", "'x 0.5 + x 0.5' is not a name and its share"),
        (SHARES, "x much", "'x much' is not a name and its share"),
    ],
)
def test_a_text_that_cannot_be_read_is_a_sentence(field: Field, text: str, sentence: str) -> None:
    values, said = parse(field, text)
    assert (values, said.startswith(sentence)) == ([], True)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30, unique=True))
def test_whole_numbers_survive_being_shown(values: list[int]) -> None:
    assert parse(INT, as_text(values)) == (values, "")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9, unique=True))
def test_numbers_survive_being_shown(values: list[float]) -> None:
    assert parse(FLOAT, as_text(values)) == (values, "")


def test_shares_survive_being_shown_and_are_one_field_of_the_form() -> None:
    mixes = [{"harmless": 0.8, "helpful": 0.2}, {"helpful": 1.0}]
    assert parse(SHARES, as_text(mixes)) == (mixes, "")
    assert fields_of_run()["data.mix"].kind == "shares"
    values, wrong = read_yaml("data: {dataset: hh, mix: {harmless: 0.8, helpful: 0.2}}")
    assert wrong == {}
    state = filled_state(values)
    assert state["data.mix"] == "harmless 0.8 + helpful 0.2"
    assert "mix" not in str(state["other"])


def test_a_sweep_is_the_product_of_all_lists() -> None:
    values = {"method": ["weak", "cw"], "seed": [0, 1, 2], "align": {"beta": [0.1, 0.5], "lr": 1e-3}}
    found = sweep(values)
    assert [config.hash() for config in found.configs] == [config.hash() for config in expand(values)]
    assert (len(found.configs), dict(found.lists)) == (12, {"method": 2, "seed": 3, "align.beta": 2})


def test_a_sweep_says_every_wrong_field_and_makes_no_run() -> None:
    found = sweep({"method": "cw", "align": {"beta": [0.5, -1]}, "sft": {"epochs": "many"}, "seeed": 1})
    assert found.configs == ()
    assert found.problems["align.beta"] == "must be greater than 0, not -1; 0.5 is the paper's value."
    assert found.problems["sft.epochs"] == "must be a number, not 'many'."
    assert found.problems["seeed"].startswith("is not a field")
    assert sweep({"method": []}).problems == {
        "method": "choose at least one method; top, top_true, random and bottom also need a percentage."
    }


def test_a_sweep_that_is_too_large_says_so_under_its_longest_list() -> None:
    found = sweep({"seed": list(range(600)), "method": ["weak", "cw"]})
    assert found.problems == {"seed": f"these choices make 1,200 runs; queue at most {MOST_RUNS:,} at once."}


def test_a_method_that_keeps_a_share_stands_for_one_method_per_percentage() -> None:
    assert method_names(["weak", "top"], ["10", "30"]) == ["weak", "top:10", "top:30"]


def test_a_file_with_every_kind_of_list_fills_the_widgets() -> None:
    values, wrong = read_yaml(SWEEP)
    assert wrong == {}
    state = filled_state(values)
    assert state["methods"] == ["weak", "top"]
    assert (state["percents"], state["seeds"], state["name"]) == (["30"], "0, 1", "a file")
    assert (state["align.beta"], state["annotator.dropout"]) == ("0.1, 0.5", "default, 0.2")
    assert state["align.ipo_reduction"] == ["mean", "sum"]
    assert state["annotator.early_stopping"] == ["off", "on"]
    assert (state["data.length_rule"], state["data.length_rule.max_tokens"]) == (True, "64")
    assert yaml.safe_load(state["other"]) == {"salt": "again"}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a: [", {"": "This is not YAML (line 1)."}),
        ("just words", {"": "A file holds fields, such as `method: [weak, cw]`; configs/ has examples."}),
        ("align: {beta: 0}\nsead: 1", {"align.beta", "sead"}),
        ("seed: []", {"seed": "is an empty list; give at least one value."}),
    ],
)
def test_a_file_with_problems_is_a_sentence_per_field(text: str, wrong: Any) -> None:
    found = read_yaml(text)[1]
    assert (set(found) if isinstance(wrong, set) else found) == wrong


def test_a_form_that_makes_more_runs_than_the_file_says_so() -> None:
    assert left_over({"method": ["top:10", "random:30"]}).startswith("The form has one list of percentages")
    assert left_over({"method": ["top:10", "random:10", "cw"]}) == ""


def test_every_default_survives_the_way_through_its_widget() -> None:
    """What a text field of the form starts with reads back as the value that it was made from."""
    canonical = RunConfig().canonical()
    there = [field for part in all_parts() if value_at(canonical, part) for field in fields_of_part(part)]
    texts = [field for field in there if field.kind in ("int", "float", "text")]
    assert len(texts) > 30
    for field in texts:
        default = value_at(canonical, field.name)
        assert parse(field, in_widget(field, [default])) == ([default], ""), field.name


def test_a_flag_that_configurations_leave_out_is_off_and_no_change() -> None:
    """Otherwise a form that nobody touched would ask for a choice."""
    defaults = defaults_of(base_of("sandbox", None))
    assert "blind_spots" not in defaults["evaluation"]
    state = filled_state({})
    assert state["evaluation.blind_spots"] == ["off"]
    assert "evaluation.blind_spots" not in {**changes_of(state, defaults)[0], **changes_of(state, defaults)[1]}
    assert changes_of({**state, "evaluation.blind_spots": ["on"]}, defaults)[0]["evaluation.blind_spots"] is True


def test_every_declaration_is_about_a_widget_or_a_field_of_a_run() -> None:
    """A field that was renamed takes its declaration along, or this says which one was left behind."""
    last_names = {name.rpartition(".")[2] for name in fields_of_run()}
    named = [name for name in DECLARED if name not in all_fields() and name.removeprefix("*.") not in last_names]
    assert named == []
    assert set(PARTS) <= set(all_parts())
    assert {one.found_for for one in DECLARED.values()} <= {"", *all_fields()}


def test_every_field_of_a_run_stands_on_the_form_once() -> None:
    """On a line on top, or in the tab of its part; also one that nothing is declared about."""
    on_top = [field.name for line in LINES for field in fields_on(line)]
    parts = [part for names in tabs().values() for part in names]
    in_tabs = [field.name for part in parts for field in fields_of_part(part) if not field.place]
    assert sorted([*on_top, *in_tabs, OTHER]) == sorted(all_fields())


@pytest.mark.parametrize("name", list(all_presets()))
def test_a_preset_is_a_sweep_without_problems(name: str) -> None:
    dataset = all_presets()[name].settings.get("data", {}).get("dataset", "sandbox")
    preset = presets_for(dataset[0] if isinstance(dataset, list) else dataset)[name]
    found = sweep(preset.values)
    assert found.problems == {}
    lists = lists_of(preset.values)
    assert method_names(lists["methods"], lists["percents"]) == list(dict.fromkeys(preset.values["method"]))
    assert lists["seeds"].startswith("0")


# ---- on the page ----------------------------------------------------------------------------------------------------


def test_two_lists_on_the_form_multiply_and_stay_in_the_address(empty: None) -> None:
    page = visit("new_run", seeds="0-1")
    page.text_input(key="new_run.align.beta").set_value("0.1, 0.5").run()
    page.text_input(key="new_run.data.label_fraction").set_value("0.2, 0.3, 0.4").run()
    assert page.button(key="queue").label == "Queue 24 runs"
    assert "24 runs: 2 methods × 2 seeds × 3 label fractions × 2 values of align.beta." in words(page)
    linked = visit("new_run", seeds="0-1", **{"s.align.beta": "0.1, 0.5", "s.data.label_fraction": "0.2, 0.3, 0.4"})
    assert linked.button(key="queue").label == "Queue 24 runs"


def test_a_wrong_value_in_a_list_is_a_sentence_and_nothing_is_lost(empty: None) -> None:
    page = visit("new_run", seeds="0-1")
    page.text_input(key="new_run.align.beta").set_value("0.1, much").run()
    page.text_input(key="new_run.data.label_fraction").set_value("0.2, 2").run()
    said = words(page)
    assert "β 'much' is not a number" in said
    assert page.button(key="queue").disabled
    assert page.text_input(key="new_run.align.beta").value == "0.1, much"
    page.text_input(key="new_run.align.beta").set_value("0.1, 1").run()
    assert "Label fraction must be at most 1.0, not 2.0" in words(page)
    assert page.text_input(key="new_run.data.label_fraction").value == "0.2, 2"


def test_a_link_opens_lists_of_choices_and_switches(empty: None) -> None:
    page = visit("new_run", seeds="0", **{"s.align.ipo_reduction": ["mean", "sum"]})
    assert page.button(key="queue").label == "Queue 4 runs"


def test_a_dataset_offers_its_own_models_first_and_says_how_to_get_those_that_are_missing(
    empty: None, tmp_path: Path
) -> None:
    assert [next(iter(pairs_of(name))) for name in ("sandbox", "hh", "everyday")] == [
        "sandbox-opt", "opt-125m-1.3b", "smollm2-135m",
    ]  # fmt: skip
    address = {"data.dataset": catalog.DATASETS["everyday"].label}
    page = visit("new_run", **address)
    assert page.selectbox(key="new_run.models").value == "smollm2-135m"
    assert [caption.value for caption in page.caption if caption.value == how_to_get(SMOLLM2)]
    folder_of(SMOLLM2, tmp_path).mkdir(parents=True)
    (folder_of(SMOLLM2, tmp_path) / "config.json").write_text("{}")
    assert how_to_get(SMOLLM2) not in words(visit("new_run", **address))


def test_another_preset_brings_its_lists(empty: None) -> None:
    page = visit("new_run")
    page.selectbox(key="new_run.preset").select("unsteady").run()
    assert page.text_input(key="new_run.seeds").value == "0-7"
    assert page.button(key="queue").label == "Queue 56 runs"
    page.selectbox(key="new_run.preset").select(None).run()
    assert page.button(key="queue").label == "Queue 8 runs"


@pytest.mark.parametrize(("name", "runs"), [("controls", 28), ("controls-hh", 21)])
def test_the_controls_are_one_choice_away(name: str, runs: int, empty: None) -> None:
    """Seven methods over four seeds, and over three with models of a hub; half of the pairs where one keeps N %."""
    address = address_of(all_presets()[name])
    page = visit("new_run", **{"data.dataset": address["data.dataset"]})
    page.selectbox(key="new_run.preset").select(name).run()
    assert page.button(key="queue").label == f"Queue {runs} runs", words(page)
    assert page.multiselect(key="new_run.percents").value == ["50"]
    assert visit("new_run", **address).button(key="queue").label == f"Queue {runs} runs"


def test_the_least_confident_pairs_alone_are_half_of_them_unless_another_share_is_chosen(empty: None) -> None:
    page = visit("new_run")
    percents = page.multiselect(key="new_run.percents")
    assert (percents.value, percents.disabled) == (["30"], True)
    page.multiselect(key="new_run.methods").select("bottom").run()
    assert page.multiselect(key="new_run.percents").value == ["50"]
    page.multiselect(key="new_run.percents").set_value(["10"]).run()
    page.multiselect(key="new_run.methods").unselect("weak").run()
    assert page.multiselect(key="new_run.percents").value == ["10"]
    page.multiselect(key="new_run.methods").select("top").run()
    assert page.multiselect(key="new_run.percents").value == ["10"]


def test_a_share_that_was_chosen_stays_when_other_methods_change(empty: None) -> None:
    """Thirty for the least confident pairs is a choice like any other."""
    page = visit("new_run")
    page.multiselect(key="new_run.methods").select("bottom").run()
    page.multiselect(key="new_run.percents").set_value(["30"]).run()
    page.multiselect(key="new_run.methods").unselect("weak").run()
    assert page.multiselect(key="new_run.percents").value == ["30"]
    page.multiselect(key="new_run.methods").set_value(["top"]).run()
    assert page.multiselect(key="new_run.percents").value == ["30"]


@pytest.mark.parametrize(
    ("methods", "percents"), [(["cw"], "30"), (["top"], "30"), (["bottom"], "50"), (["top", "bottom"], "50")]
)
def test_n_starts_with_half_where_the_least_confident_pairs_are_asked_for(methods: list[str], percents: str) -> None:
    assert lists_of({"method": methods})["percents"] == [percents]
    assert lists_of({"method": [*methods, "random:20"]})["percents"] == ["20"]


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("t2-sandbox", 32),
        ("t5-sandbox", 16),
        ("t25-sandbox", 48),
        ("t26-sandbox", 8),
        ("t21-sandbox", 12),
        ("f7-sandbox", 12),
    ],
)
def test_a_link_opens_a_comparison_of_the_paper_with_all_its_lists(name: str, runs: int, empty: None) -> None:
    """Two policies, four whole weightings, four shares of swapped labels, two kinds of annotator, online or not, three
    noises."""
    page = visit("new_run", **address_of(all_presets()[name]))
    assert page.button(key="queue").label == f"Queue {runs} runs"
    page.session_state["new_run.more"] = True
    for tab in ("Weighting", "Alignment", "Models", "Other"):
        page.session_state["new_run.tab"] = tab
        page.run()
        assert not page.exception
    assert page.button(key="queue").label == f"Queue {runs} runs", words(page)


def test_a_pasted_file_fills_the_form_and_a_wrong_one_changes_nothing(empty: None) -> None:
    page = visit("new_run", name="mine")
    page.session_state["yaml"] = page.session_state["new_run.more"] = True
    page.session_state["new_run.tab"] = "Alignment"
    page.run()
    page.text_area(key="yaml_given").set_value("align: {beta: -1}\nseed: 5").run()
    page.button(key="yaml_fill").click().run()
    assert "align.beta must be greater than 0" in words(page)
    assert page.text_input(key="new_run.seeds").value == "0-3"
    page.text_input(key="new_run.align.lr").set_value("0.5").run()
    page.text_area(key="yaml_given").set_value(SWEEP).run()
    page.button(key="yaml_fill").click().run()
    assert not page.exception
    assert page.button(key="queue").label == "Queue 64 runs"
    assert page.text_input(key="new_run.align.beta").value == "0.1, 0.5"
    assert page.text_input(key="new_run.name").value == "a file"
    assert page.text_input(key="new_run.align.lr").value == "0.0003"  # what the file does not say is a default again


def test_what_the_form_shows_as_a_file_is_what_it_queues(computed: Computed) -> None:
    """A run of one's own file, with one more seed: the text describes the same two runs as the button."""
    values = yaml.safe_load(as_yaml({"method": ["cw"], "objective": ["dpo"], "seed": [0, 1], "align": {"beta": 0.25}}))
    assert values == {"method": "cw", "objective": "dpo", "seed": [0, 1], "align": {"beta": 0.25}}
    page = visit("new_run", **{"from": str(computed.sweep[0])})
    page.session_state["yaml"] = True
    page.text_input(key="new_run.seeds").set_value("0-1").run()
    text = next(code.value for code in page.code if "method:" in code.value)
    assert "seed: [0, 1]" in text


def test_the_plan_says_by_kind_what_is_done_and_how_long_the_rest_takes(computed: Computed) -> None:
    """One more seed and twice the epochs than what workers computed: nothing new for seed 0 but its alignment."""
    start = str(computed.sweep[2])
    page = visit("new_run", **{"from": start})
    page.text_input(key="new_run.seeds").set_value("0, 5").run()
    figures = {metric.label: metric.value for metric in page.metric}
    assert (figures["runs"], figures["GPU-hours"]) == ("2", "none")
    assert figures["time, about"] != "unknown"
    assert figures["memory, about"] not in ("unknown", "none")
    assert "Most memory: " in words(page)
    table = page.table[0].value
    rows = {row[0]: list(row[1:4]) for row in table.to_numpy().tolist()}
    assert rows["Alignment"] == ["1", "0", "1"]
    assert "measured in" in words(page)
    needs = page.table[1].value
    assert list(needs.columns) == ["to find", "seeds on 12 prompts", "prompts under 2 seeds", "seeds on 48 prompts"]
    assert [row[0].split()[0] for row in needs.to_numpy().tolist()] == ["1", "2", "4"]


def test_a_machine_with_too_little_memory_is_a_warning(computed: Computed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 1,000 bytes: nothing fits, and the page says what to change."""
    monkeypatch.setattr(memory, "cpu_memory", lambda: 1000)
    page = visit("new_run", **{"from": str(computed.sweep[2])})
    page.text_input(key="new_run.seeds").set_value("97").run()
    assert "lower execution.tokens_per_batch or choose a smaller model" in page.warning[0].value.replace("\\", "")
    assert not page.button(key="queue").disabled


def test_what_would_fail_or_diverge_is_said_before_anything_is_queued(empty: None) -> None:
    """An answer as long as the context is refused; of a rate far above all others it is said what it will likely do."""
    page = visit("new_run", **{"evaluation.max_new_tokens": str(lexicon.MAX_LENGTH)})
    assert "leaves no room for a prompt in a context of 160 tokens: lower it." in words(page)
    assert page.button(key="queue").disabled
    page = visit("new_run", **{"align.lr": "1e6"})
    assert "align.lr 1e+06 is far above what is usual (1e-6 to 1e-3): the training will likely diverge." in words(page)
    assert not page.button(key="queue").disabled


def test_a_switch_that_may_be_left_to_the_program_has_three_states() -> None:
    field = fields_of_run()["execution.gradient_checkpointing"]
    assert list(field.offered("sandbox")) == ["auto", "off", "on"]
    assert (in_widget(field, [None]), in_widget(field, [False, True])) == (["auto"], ["off", "on"])
    assert list(fields_of_run()["annotator.early_stopping"].offered("sandbox")) == ["off", "on"]


def test_fields_without_a_widget_have_a_place(empty: None) -> None:
    page = visit("new_run", seeds="0", **{"s.other": "salt: [x, y]"})
    assert page.button(key="queue").label == "Queue 4 runs"
    page.session_state["new_run.more"], page.session_state["new_run.tab"] = True, "Other"
    page.run()
    page.text_area(key="new_run.other").set_value("nosuch.field: 1").run()
    assert "nosuch" in words(page)
    assert page.button(key="queue").disabled
    page.text_area(key="new_run.other").set_value("not a field").run()
    assert "other fields are not lines like" in words(page)
