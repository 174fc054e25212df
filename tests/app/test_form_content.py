"""What New run holds: one value for each widget, whatever is drawn; the address has it whole."""

from typing import Any

import pytest
import streamlit
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.runtime.scriptrunner import RerunData, RerunException

from app.components.form.address import LONGEST, address_of, form_from
from app.components.form.declared import OTHER
from app.components.form.form import Form, Start, start_of
from app.components.form.presets import presets_for
from app.components.form.session import Queued, view
from app.components.frame.address import RunsView, RunView
from cwpo.config import catalog
from cwpo.config.run import RunConfig, merged
from cwpo.config.sweep import sweep
from cwpo.paper.presets import all_presets
from tests.cwpo.bounds.test_yaml_text import bomb
from tests.e2e.form_values import changed

RUN = RunConfig.parse(
    {"name": "before", "seed": 7, "evaluation": {"max_new_tokens": 24}, "data": {"revision": "abc"}}
).canonical()


def of_run(run_id: int) -> dict[str, Any]:
    return RUN


def told(form: Form) -> tuple[RunConfig, ...]:
    return sweep(*form.values()).configs


@settings(deadline=None, max_examples=40)
@given(st.sets(st.sampled_from(sorted(changed()))), st.sampled_from([None, 5]), st.sampled_from([None, "steady"]))
def test_a_form_comes_back_from_its_address(names: set[str], source: int | None, preset: str | None) -> None:
    """Whatever of it was changed, and from whatever it started."""
    form = Form.begun(start_of("sandbox", preset) if source is None else Start(source=source, values=RUN))
    for name in sorted(names):
        form.take(name, changed()[name])
    again = form_from(address_of(form), of_run)
    assert (again.start, again.state) == (form.start, form.state)
    assert told(again) == told(form)


@pytest.mark.parametrize("name", list(all_presets()))
def test_every_ready_made_comparison_comes_back_with_other_seeds(name: str) -> None:
    """As many runs as one seed makes, also in another session."""
    dataset = all_presets()[name].settings.get("data", {}).get("dataset", "sandbox")
    form = Form.begun(start_of(dataset[0] if isinstance(dataset, list) else dataset, name))
    before = len(told(form))
    form.take("seeds", "0")
    assert len(told(form)) == before / len(all_presets()[name].seeds)
    assert told(form_from(address_of(form), of_run)) == told(form)


def test_an_untouched_form_needs_no_parameter() -> None:
    assert address_of(Form.begun(Start())) == {}


def test_a_duplicate_on_another_dataset_keeps_what_was_set_and_drops_what_was_found() -> None:
    """24 tokens stay; a value at the sandbox's default has that of the other dataset; the commit was of the old one."""
    form = Form.begun(Start(source=5, values=RUN))
    form.take("dataset", "hh-harmless")
    (config,) = told(form)
    plain = RunConfig.parse({"data": {"dataset": "hh-harmless"}})
    assert config.evaluation.max_new_tokens == 24
    assert (config.seed, config.name) == (7, "before")
    assert config.align == plain.align
    assert config.data.revision is None
    assert told(form_from(address_of(form), of_run)) == (config,)


def test_a_duplicate_keeps_fields_that_no_widget_has() -> None:
    run = merged(RUN, {"model": {"lora": {"r": 4, "target_modules": ["q_proj"]}}, "salt": "again"})
    form = Form.begun(Start(source=5, values=run))
    form.take("dataset", "hh-harmless")
    (config,) = told(form)
    assert config.salt == "again"
    assert config.model.lora is not None
    assert (config.model.lora.r, config.model.lora.target_modules) == (4, ("q_proj",))


def test_another_model_has_another_commit() -> None:
    run = merged(RUN, {"model": {"policy_revision": "abc", "annotator_revision": "def"}})
    form = Form.begun(Start(source=5, values=run))
    assert told(form)[0].model.policy_revision == "abc"
    form.take("models", "sandbox-qwen2")
    assert (told(form)[0].model.policy_revision, told(form)[0].model.annotator_revision) == (None, None)


def test_own_models_are_asked_for_before_anything_is_looked_up() -> None:
    form = Form.begun(Start(dataset="hh-harmless"))
    form.take("models", "other models")
    assert set(sweep(*form.values()).problems) == {"model.annotator", "model.policy"}
    form.take("model.annotator", "/models/own")
    assert set(sweep(*form.values()).problems) == {"model.policy"}
    form.take("model.policy", "/models/policy")
    assert {(run.model.annotator, run.model.policy) for run in told(form)} == {("/models/own", "/models/policy")}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"dataset": "HH-RLHF harmless", "seeds": "0"}, {"data.dataset": "HH-RLHF harmless", "seeds": "0"}),
        ({"s.align.beta": "0.1", "s.other": "salt: x"}, {"align.beta": "0.1", "other": "salt: x"}),
        ({"from": "5", "f5.s.align.lr": "0.5"}, {"from": "5", "align.lr": "0.5"}),
        ({"preset": "Steady annotator", "s.steady.align.lr": "1"}, {"preset": "Steady annotator", "align.lr": "1"}),
    ],
)
def test_an_address_of_before_still_opens_its_form(old: dict[str, str], new: dict[str, str]) -> None:
    assert form_from(old, of_run).state == form_from(new, of_run).state != Form.begun(Start()).state


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.sampled_from([*changed(), "dataset", "preset", "from"]), st.text(max_size=20)))
def test_any_address_is_a_form(params: dict[str, str]) -> None:
    """Whatever somebody typed: a damaged address is a form with sentences, never an error."""
    form = form_from(params, of_run)
    sweep(*form.values())
    assert form_from(address_of(form), of_run).state == form.state


def test_a_link_with_hostile_yaml_is_a_form_with_a_sentence() -> None:
    """What no widget holds comes as YAML, which names that stand for others would make endless."""
    for text in (bomb(9, 10), "a: " + "[" * 5_000, "seed: " + "9" * 5_001):
        form = form_from({"s.other": text}, of_run)
        assert form.state[OTHER] == text[:LONGEST]
        assert sweep(*form.values()).problems[OTHER] == "fields are not lines like `salt: again`."


def test_methods_that_a_dataset_cannot_have_are_left_behind() -> None:
    form = Form.begun(start_of("sandbox", "steady"))
    assert "oracle" in form.state["methods"]
    form.take("dataset", "hh-harmless")
    assert form.start.preset is None
    assert not [name for name in form.state["methods"] if catalog.METHODS[name].sandbox_only]


def test_a_file_fills_the_form_whole() -> None:
    form = Form.begun(Start(source=5, values=RUN))
    form.take("align.beta", "0.9")
    form.fill({"method": ["weak"], "seed": [0, 1], "align": {"lr": 0.25}})
    assert {(run.method, run.align.lr, run.align.beta) for run in told(form)} == {("weak", 0.25, 0.5)}
    assert form.start.source is None


def test_online_is_a_switch_a_file_and_an_address() -> None:
    """Turned on it has the defaults; a file with both is both, also after another field was changed."""
    form = Form.begun(start_of("sandbox"))
    form.take("align.online", True)
    form.take("align.online.refresh_every", "2, 8")
    assert {run.align.online.refresh_every for run in told(form) if run.align.online} == {2, 8}
    assert {run.align.online is None for run in told(form)} == {False}
    again = form_from(address_of(form), lambda run: {})
    assert again.values() == form.values()
    form.fill({"method": "cw", "align": {"online": [None, {"refresh_every": 2}]}})
    form.take("align.beta", "0.3")
    assert [(run.align.online is None, run.align.beta) for run in told(form)] == [(True, 0.3), (False, 0.3)]


def test_presets_are_found_by_name_and_by_what_the_widget_shows() -> None:
    row = presets_for("sandbox")["unsteady"]
    assert form_from({"preset": "unsteady"}, of_run).start == form_from({"preset": row.label}, of_run).start


class Hurried(dict[str, Any]):
    """A session in which the next change is there: whatever asks it for a key is interrupted, as Streamlit does it."""

    def __getitem__(self, key: str) -> Any:
        raise RerunException(RerunData())

    def to_dict(self) -> dict[str, Any]:
        return dict(self)


def test_a_change_is_taken_although_the_next_one_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one is not touched by it: taken out of turn, it would undo still later ones."""
    form = Form.begun(Start())
    monkeypatch.setattr("streamlit.session_state", Hurried({"new_run.form": form}))
    widget: dict[str, Any] = {}
    view(form, "seeds", lambda **given: widget.update(given), None)
    streamlit.session_state[widget["key"]] = "5"
    widget["on_change"](*widget["args"])
    assert form.state["seeds"] == "5"


def test_what_was_queued_leads_to_its_page() -> None:
    queued = Queued()
    queued.add([3], "1 run queued.")
    assert queued.then == RunView(run=3)
    queued.add([4, 5], "2 runs queued.")
    assert (queued.then, queued.said) == (RunsView(), "2 runs queued.")


def test_a_choice_that_an_earlier_page_still_offers_is_known_by_its_words() -> None:
    """A browser that is behind offers the methods and the names of the dataset before, and sends what it shows."""
    form = Form.begun(start_of("hh"))
    form.take("methods", ["human", "Oracle labels", "cw"])
    assert form.state["methods"] == ["human", "oracle", "cw"]
    assert form.values()[0]["method"] == ["human", "oracle", "cw"]
    form.take("dataset", catalog.DATASETS["sandbox"].label)
    assert (form.start.dataset, form.state["dataset"]) == ("sandbox", "sandbox")
    form.take("objectives", ["ipo"])
    form.take("percents", ["30", "45"])
    assert form.values()[0]["objective"] == ["ipo"]
    assert form.state["percents"] == ["30", "45"]
