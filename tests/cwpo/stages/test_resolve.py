"""What a run names is pinned before its fingerprints are taken. The hub's part is in test_hub.py."""

import json

import pytest

from cwpo.config.dotted import value_at
from cwpo.config.run import RunConfig, merged
from cwpo.errors import ConfigError
from cwpo.stages.graph import build
from cwpo.stages.resolve import resolve


@pytest.fixture
def files(tmp_path):
    """A file of pairs and a model folder; resolving reads names and bytes, not weights."""
    rows = [{"prompt": f"p{i}", "chosen": "yes", "rejected": "no"} for i in range(6)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "model.safetensors").write_bytes(b"weights")
    return data, model


def local_run(data, model, **fields):
    names = {"policy": str(model), "annotator": str(model)}
    return RunConfig.parse(
        {
            "data": {"dataset": str(data), "test_prompts": 1},
            "model": names,
            "evaluation": {"gold_reward": "trained"},
            **fields,
        }
    )


def test_precision_is_decided_by_where_it_runs(tmp_path, files):
    config = local_run(*files)
    assert config.model.precision == "auto"
    assert resolve(config, bf16=False, home=tmp_path).model.precision == "fp32"
    assert resolve(config, bf16=True, home=tmp_path).model.precision == "bf16"


def test_bf16_is_for_the_cards_that_have_it_and_not_for_a_run_on_the_cpu(tmp_path, files):
    on_cpu = local_run(*files, execution={"device": "cpu"})
    assert resolve(on_cpu, bf16=True, home=tmp_path).model.precision == "fp32"
    asked = RunConfig.parse(merged(on_cpu.canonical(), {"model": {"precision": "bf16"}}))
    assert resolve(asked, bf16=False, home=tmp_path).model.precision == "bf16"


def test_a_plan_of_large_files_equals_no_stored_stage(tmp_path, files):
    planned = resolve(local_run(*files), bf16=False, home=tmp_path, read_at_most=3)
    submitted = resolve(local_run(*files), bf16=False, home=tmp_path)
    for path in ("model.policy_revision", "model.annotator_revision", "data.revision"):
        assert str(value_at(planned.canonical(), path)).startswith("unread:")
        assert str(value_at(submitted.canonical(), path)).startswith("sha256:")
    assert not {spec.fingerprint for spec in build(planned).values()} & {
        s.fingerprint for s in build(submitted).values()
    }


def test_local_files_are_pinned_by_content(tmp_path, files):
    data, model = files
    before = build(resolve(local_run(data, model), bf16=False, home=tmp_path))
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(data.read_bytes())
    moved = build(resolve(local_run(copy, model), bf16=False, home=tmp_path))
    assert before["evaluation"].fingerprint == moved["evaluation"].fingerprint
    (model / "model.safetensors").write_bytes(b"others")
    changed = build(resolve(local_run(data, model), bf16=False, home=tmp_path))
    assert changed["data"].fingerprint == before["data"].fingerprint
    assert changed["annotator"].fingerprint != before["annotator"].fingerprint


def test_resolving_twice_changes_nothing(tmp_path, files):
    once = resolve(local_run(*files), bf16=False, home=tmp_path)
    assert resolve(once, bf16=True, home=tmp_path) == once


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model": {"policy": "./nowhere", "annotator": "./nowhere"}}, "model.annotator"),
        ({"data": {"dataset": "./nowhere.jsonl"}}, "data.dataset"),
        ({"data": {"dataset": "no dataset"}}, "data.dataset"),
        ({"model": {"policy": "http://169.254.169.254/x"}}, "model.policy"),
    ],
)
def test_what_does_not_exist_is_named(tmp_path, files, fields, field):
    data, model = files
    base = {
        "data": {"dataset": str(data), "test_prompts": 1},
        "model": {"policy": str(model), "annotator": str(model)},
        "evaluation": {"gold_reward": "trained"},
    }
    with pytest.raises(ConfigError) as caught:
        resolve(RunConfig.parse(merged(base, fields)), bf16=False, home=tmp_path)
    assert caught.value.field == field


def test_broken_lines_are_found_before_anything_runs(tmp_path, files):
    data, model = files
    data.write_text('{"prompt": "p", "chosen": "yes"\nnot json\n')
    with pytest.raises(ConfigError, match=r"None of the first 2 rows of pairs\.jsonl is a usable pair"):
        resolve(local_run(data, model), bf16=False, home=tmp_path)


@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json"])
def test_a_chat_template_that_refuses_system_messages_is_a_sentence_at_submission(tmp_path, files, place):
    _, model = files
    template = "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}"
    template += "{{ raise_exception('System role not supported') }}{% endif %}{{ m['content'] }}{% endfor %}"
    (model / place).write_text(template if place.endswith("jinja") else json.dumps({"chat_template": template}))
    chats = tmp_path / "chats.jsonl"

    def written(*roles):
        answers = {name: [{"role": "assistant", "content": name}] for name in ("chosen", "rejected")}
        prompts = [[{"role": role, "content": f"hi {i}"} for role in roles] for i in range(6)]
        chats.write_text("".join(json.dumps({"prompt": prompt, **answers}) + "\n" for prompt in prompts))
        return local_run(chats, model)

    resolve(written("user"), bf16=False, home=tmp_path)
    with pytest.raises(ConfigError, match=r"refuses a conversation of the roles system, user .*Line 1 of chats.jsonl"):
        resolve(written("system", "user"), bf16=False, home=tmp_path)
