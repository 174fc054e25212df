"""What a run names is pinned before its fingerprints are taken. The hub's part is in test_hub.py."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

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
        ({"model": {"policy": "~nosuchuser/model"}}, "model.policy"),
        ({"model": {"policy": "./" + "x" * 280}}, "model.policy"),
        ({"model": {"annotator": "~nosuchuser/model"}}, "model.annotator"),
        ({"model": {"annotator": "/" + "x" * 280}}, "model.annotator"),
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


def as_nobody(do: Callable[[], object]) -> str:
    """What a fork of this process gets that is not root, for whom nothing is unreadable: the sentence, or else what was
    raised or given."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            said = repr(do())
        except ConfigError as error:
            said = str(error)
        except BaseException as error:
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


# What nobody may read of a model folder, with which mode, and the beginning of the sentence.
UNREADABLE = {
    "the folder": (".", 0o000, "model.annotator: {} is not a model folder"),
    "the folder, but for its names": (".", 0o444, "model.annotator: {} is not a model folder"),
    "its names": (".", 0o311, "model.annotator: {} cannot be read (Permission denied)"),
    "config.json": ("config.json", 0o000, "model.annotator: {} has no readable config.json"),
    "the weights": ("model.safetensors", 0o000, "model.annotator: {} cannot be read (Permission denied)"),
    "a folder in it": ("more", 0o000, "model.annotator: {} cannot be read (Permission denied)"),
    "a folder in it, but for its names": ("more", 0o444, "model.annotator: {} cannot be read (Permission denied)"),
}


@pytest.fixture
def public():
    """A folder into which everybody may look, and a home in it where everybody may write."""
    folder = Path(tempfile.mkdtemp(prefix="cwpo-public-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "home").mkdir()
    (folder / "home").chmod(0o777)
    yield folder
    for path in (folder, *folder.glob("*/")):
        path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_model_folder_that_nobody_may_read_is_a_sentence(public, files, what, tmp_path):
    name, mode, sentence = UNREADABLE[what]
    data, model = (Path(shutil.move(path, public)) for path in files)
    (model / "more").mkdir()
    (model / "more" / "file").write_text("x")
    config = local_run(data, model)
    resolve(config, bf16=False, home=tmp_path)  # all is imported by then: nobody may not read Python's files either
    (model / name).chmod(mode)
    assert as_nobody(lambda: resolve(config, bf16=False, home=public / "home")).startswith(sentence.format(model))


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_data_that_nobody_may_read_are_a_sentence(public, files, mode, tmp_path):
    data, model = (Path(shutil.move(path, public)) for path in files)
    inside = public / "inside"
    inside.mkdir()
    shutil.move(data, inside)
    config = local_run(inside / data.name, model)
    resolve(config, bf16=False, home=tmp_path)
    (inside if mode else inside / data.name).chmod(mode)
    said = as_nobody(lambda: resolve(config, bf16=False, home=public / "home"))
    assert said.startswith("data.dataset: "), said
    assert str(inside / data.name) in said
