"""The command that computes a run again says what it needs that lies on this machine alone."""

from typing import Any

from app.components.run.tabs.reproduce import besides
from cwpo.config.run import RunConfig, merged
from tests.app.visits import visit, words
from tests.workers.labeled import labeled_run
from workers import api
from workers.api.people import votes


def test_a_run_on_a_set_of_votes_names_the_set_and_the_bundle(empty: None) -> None:
    before = labeled_run()
    shown = votes.next_pair(before, "Ada", "lowest")
    assert shown is not None
    votes.cast_vote(shown, "a")
    made = votes.make_set(before, "mine")
    run = api.submit_run(RunConfig.parse({"method": "cw", "data": {"relabels": "mine@1"}})).run_id

    said = words(visit("run", run=str(run), tab="Configuration"))
    assert f"cwpo run run-{run}.yaml" in said
    assert "- the set of labels mine@1 of this store (data.relabels)" in said
    assert f"data.relabels {made.fingerprint[:12]}" in said
    assert f"cwpo bundle {run} --include-data --out run-{run}.zip" in said
    assert f"cwpo reproduce run-{run}.zip" in said
    plain = words(visit("run", run=str(before), tab="Configuration"))
    assert f"cwpo run run-{before}.yaml" in plain
    assert "cwpo bundle" not in plain
    assert "Besides" not in plain


def test_files_and_folders_of_this_machine_stand_once_with_the_fields_that_name_them(materials: dict[str, Any]) -> None:
    pins = {
        "data": {"revision": "sha256:0a"}, "model": {"annotator_revision": "sha256:0b", "policy_revision": "sha256:0b"},
    }  # fmt: skip
    file, model = materials["data"]["dataset"], materials["model"]["policy"]
    found = besides(RunConfig.parse(merged(materials, pins)))
    assert found == [f"{file} (data.dataset)", f"{model} (model.annotator, model.policy)"]


def test_an_annotator_of_another_run_is_named_and_no_bundle_is(empty: None) -> None:
    use = "ab" * 32
    config = RunConfig.parse({"method": "cw", "annotator": {"use": use}})
    assert besides(config) == [f"the annotator {use[:12]} of another run in this store (annotator.use)"]
    assert besides(RunConfig.parse({"method": "human", "annotator": {"use": use}})) == []
