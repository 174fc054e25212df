"""An existing annotator is judged on prompts that it was not trained on, and both numbers are said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cwpo.annotation.labeling import run_labels
from cwpo.annotation.trained_on import TrainedOn, trained_on
from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.data.pairs import part_of, write_pairs
from cwpo.data.related.clusters import task_of
from cwpo.records import CandidatePair
from cwpo.report.dropped import judged_pairs, left_out_sentence
from cwpo.stages.from_config import labels
from tests.cwpo import small_world
from tests.cwpo.annotation.test_annotator import LABELING, TRAINING
from tests.cwpo.stage import context

PAIRS = small_world.word_pairs(60)  # two pairs a prompt
DATA, ANNOTATOR = "d" * 64, "a" * 64
WORDINGS = ("how do i hack a phone ?", "i want to hack a phone . what should i do ?", "how do i trick a bank ?")
TALK = "\n\nHuman: Hello.\n\nAssistant:"


def stored(store: ArtifactStore, pairs: list[CandidatePair], model: Path | None = None, **settings: Any) -> None:
    """The data that an annotator was trained on, and the annotator."""
    with store.build(DATA, meta={"kind": "data", "config": {}, "inputs": {}}) as out:
        write_pairs(pairs, out)
    config = {**TRAINING, "model": "tiny", **settings}
    with store.build(ANNOTATOR, meta={"kind": "annotator", "config": config, "inputs": {"data": DATA}}) as out:
        for file in model.iterdir() if model else ():
            (out / file.name).write_bytes(file.read_bytes())


def used(tmp_path: Path, *, fraction: float = 0.4, **settings: Any) -> dict[str, Any]:
    """The same data, divided by another seed, labeled by that annotator, which learned from that fraction."""
    data = small_world.data_artifact(tmp_path / "data", PAIRS)
    config = {**LABELING, "split_seed": 1, "use": ANNOTATOR, **settings}
    ctx = context(tmp_path / "run", "labels", inputs={"data": data}, config=config, tokens_per_batch=200)
    stored(ctx.store, PAIRS, small_world.annotator_artifact(tmp_path / "annotator"), label_fraction=fraction)
    return run_labels(ctx)


def test_pairs_of_prompts_that_it_was_trained_on_are_labeled_and_not_judged(tmp_path: Path) -> None:
    """Two splits of 60 pairs at 40 %: what is labeled in the first and hidden in the second is left out."""
    known = {pair.prompt_id for pair in part_of(PAIRS, "labeled", 0.4, 0)}
    hidden = part_of(PAIRS, "unlabeled", 0.4, 1)
    met = sum(pair.prompt_id in known for pair in hidden)
    assert 0 < met < len(hidden)
    summary = used(tmp_path, judged="unseen")
    assert (summary["n"], summary["trained_on"]) == (len(hidden), met)
    assert summary["judged"] == judged_pairs(summary) == len(hidden) - met
    assert summary["human"]["n"] == len(hidden) - met
    assert summary["accuracy_human"] == pytest.approx(summary["human"]["accuracy"]["estimate"])
    assert sum(summary["histogram"]["counts"]) == len(hidden) - met
    assert f"{met} of {len(hidden)} pairs are left out" in left_out_sentence(summary)


def test_an_annotator_that_met_everything_labels_and_is_judged_on_nothing(tmp_path: Path) -> None:
    summary = used(tmp_path, fraction=1.0, judged="unseen")
    assert summary["n"] == summary["trained_on"] > 0
    assert (summary["judged"], summary["human"], summary["accuracy_human"]) == (0, None, None)
    assert 0 < summary["mean_confidence"] < 1


def test_labels_of_before_are_judged_on_all_pairs(tmp_path: Path) -> None:
    summary = used(tmp_path)
    assert "trained_on" not in summary
    assert summary["judged"] == summary["n"] == judged_pairs(summary)
    assert left_out_sentence(summary) == ""


def test_a_conversation_that_goes_on_was_met_with_its_beginning(tmp_path: Path) -> None:
    """It was trained on the first step of a talk; the second step has another prompt and holds its answer."""
    first = replace(PAIRS[0], prompt=TALK, response_a=" Hi.", response_b=" Go.")
    second = replace(PAIRS[2], prompt=f"{TALK} Hi.\n\nHuman: How are you?\n\nAssistant:")
    third = replace(PAIRS[4], prompt="\n\nHuman: Hello there.\n\nAssistant:")
    store = ArtifactStore(tmp_path)
    stored(store, [first], label_fraction=1.0)
    assert trained_on(store, ANNOTATOR, [second, third]) == TrainedOn(prompts=frozenset({second.prompt_id}))


@pytest.mark.parametrize("said", [True, False])
def test_a_task_of_the_sandbox_in_other_words_was_met(tmp_path: Path, said: bool) -> None:
    """By the cluster that the data say, or, of data that are divided by prompt, by the prompt's text."""
    one, other, third = (f"user: {words} assistant:" for words in WORDINGS)
    assert task_of(one) == task_of(other) != task_of(third)
    asked = zip((0, 2, 4), (one, other, third), strict=True)
    first, *hidden = (
        replace(PAIRS[place], prompt=prompt, cluster=task_of(prompt) if said or place else None)
        for place, prompt in asked
    )
    store = ArtifactStore(tmp_path)
    stored(store, [first], label_fraction=1.0)
    met = frozenset({hidden[0].prompt_id})
    assert trained_on(store, ANNOTATOR, hidden, tasks=True) == TrainedOn(prompts=met)
    assert trained_on(store, ANNOTATOR, hidden) == TrainedOn(prompts=frozenset())


def test_in_the_sandbox_an_annotator_that_exists_is_judged_on_other_tasks() -> None:
    """Stored labels stay what they are: where another annotator labels, and by the first rules."""
    used = {"method": "cw", "annotator": {"use": ANNOTATOR}}
    real = {"data": {"dataset": "hh"}, "model": {"annotator": "facebook/opt-125m", "policy": "facebook/opt-1.3b"}}
    for config, wanted in (
        (used, "unseen_tasks"), ({**used, **real}, "unseen"), ({"method": "cw"}, "all"), ({**used, "rules": 1}, "all"),
    ):  # fmt: skip
        assert labels(RunConfig.parse(config)).judged == wanted


def test_where_its_data_are_gone_nothing_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    with store.build(ANNOTATOR, meta={"kind": "annotator", "config": TRAINING, "inputs": {"data": DATA}}):
        pass
    assert trained_on(store, ANNOTATOR, PAIRS) == TrainedOn(prompts=frozenset(), known=False)
    assert "it may have been trained on some" in left_out_sentence({"n": 5, "trained_on": None})
