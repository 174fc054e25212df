"""What would certainly fail is refused before it is queued, and what will likely disappoint is said."""

import json
from pathlib import Path
from typing import Any

import pytest

from cwpo.config.run import RunConfig, merged
from cwpo.errors import ConfigError
from cwpo.outlook.doubts import doubts
from cwpo.outlook.foreseen import failures
from cwpo.stages.resolve import resolve

CONTEXT = 512


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A run over 171 pairs and a model of 512 tokens, all of whose files lie here; keywords change fields."""
    rows = [{"prompt": f"Q{n} " + "word " * 20, "chosen": "yes", "rejected": "no"} for n in range(171)]
    data, model = tmp_path / "own.jsonl", tmp_path / "model"
    data.write_text("\n".join(json.dumps(row) for row in rows))
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "opt", "max_position_embeddings": CONTEXT}))
    base = {
        "data": {"dataset": str(data), "test_prompts": 40},
        "model": {"policy": str(model), "annotator": str(model)},
        "evaluation": {"gold_reward": "trained", "max_new_tokens": 64},
    }
    return lambda **fields: RunConfig.parse(merged(base, fields))


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"data": {"test_prompts": 700}}, "data.test_prompts", "asks for 700, and own.jsonl has 171 usable in its 171"),
        ({"data": {"test_prompts": 170}}, "data.test_prompts", "whose 171 pairs leave none to train on"),
        ({"data": {"label_fraction": 0.001}}, "data.label_fraction", "of 0.001 labels none of at most 131 pairs"),
        ({"evaluation": {"max_new_tokens": 512}}, "evaluation.max_new_tokens", "no room .* in a context of 512"),
        ({"evaluation": {"max_new_tokens": 90}, "model": {"max_length": 90}}, "evaluation.max_new_tokens", "90 tokens"),
    ],
)  # fmt: skip
def test_what_would_certainly_fail_is_refused(run: Any, tmp_path: Path, fields: Any, field: str, sentence: str) -> None:
    """By whoever resolves the run: the form, `cwpo run` and the queue."""
    with pytest.raises(ConfigError, match=sentence) as caught:
        resolve(run(**fields), bf16=False, home=tmp_path)
    assert caught.value.field == field


def test_what_can_be_computed_is_refused_nowhere(run: Any, tmp_path: Path) -> None:
    """One below each limit, and a method that trains no annotator on the labeled part."""
    for fields in (
        {"data": {"test_prompts": 169, "label_fraction": 0.5}},
        {"data": {"label_fraction": 0.004}},
        {"data": {"label_fraction": 0.001}, "method": "human"},
        {"evaluation": {"max_new_tokens": 511}},
    ):
        assert list(failures(run(**fields), tmp_path)) == []


@pytest.mark.parametrize("defaults", [{}, {"data": {"dataset": "hh-harmless"}}])
def test_a_usual_run_is_neither_refused_nor_doubted(defaults: Any, tmp_path: Path) -> None:
    config = RunConfig.parse(defaults)
    assert [*failures(config, tmp_path), *doubts(config, tmp_path)] == []


def test_a_reward_model_of_ones_own_needs_one_output_and_a_chat_template(run: Any, tmp_path: Path) -> None:
    judge = tmp_path / "judge"
    judge.mkdir()
    config = run(evaluation={"gold_reward": str(judge)})
    (judge / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert "has 2 outputs" in next(failures(config, tmp_path))[1]
    (judge / "config.json").write_text(json.dumps({"model_type": "llama", "id2label": {"0": "score"}}))
    assert "has no chat template" in next(failures(config, tmp_path))[1]
    (judge / "chat_template.jinja").write_text("{{ messages }}")
    assert list(failures(config, tmp_path)) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"align": {"lr": 1e6}}, "align.lr 1e+06 is far above what is usual"),
        ({"annotator": {"lr": 1e-12}}, "annotator.lr 1e-12 is far below"),
        ({"data": {"label_fraction": 0.1}}, "annotator.batch_size 32 is more than the 13 labeled pairs"),
        ({"model": {"max_length": 20}, "evaluation": {"max_new_tokens": 8}}, "about 171 lose the start of"),
        ({"data": {"length_rule": {"max_tokens": 10}}}, "about 171 are longer than data.length_rule"),
    ],
)  # fmt: skip
def test_what_will_likely_disappoint_is_one_sentence(run: Any, tmp_path: Path, fields: Any, said: str) -> None:
    """In runs that are allowed."""
    config = run(**fields)
    assert list(failures(config, tmp_path)) == []
    assert [sentence for sentence in doubts(config, tmp_path) if said in sentence]
