"""Loading and storing models: complete or refused, the same from the same seed, adapters on merged parents."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ModelError
from cwpo.models.adapters import ADAPTER_FILE
from cwpo.models.load import (
    ModelRef,
    load_annotator,
    load_policy,
    load_reward_model,
    load_tokenizer,
    pad_id,
    parent_of,
    save_model,
)
from tests.cwpo import stage, tiny

LORA = stage.lora()
FAMILIES = ["opt", "qwen2", "llama"]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "home" / "artifacts")


def policy(ref: ModelRef, store: ArtifactStore, **changes: Any) -> Any:
    settings = {"device": "cpu", "precision": "fp32", "trainable": False, "lora": None, "seed": 0} | changes
    return load_policy(ref, store=store, **settings).model


def annotator(ref: ModelRef, store: ArtifactStore, *, seed: int = 0, dropout: float | None = None) -> Any:
    return load_annotator(ref, store=store, device="cpu", seed=seed, dropout=dropout)[0]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([[1, 5, 9, 20, 7]])).logits


def publish(store: ArtifactStore, digit: str, model: Any, tokenizer: Any, *, form: Any, parent: Any) -> ModelRef:
    fingerprint = digit * 64
    with store.build(fingerprint) as out:
        save_model(model, tokenizer, out, form=form, parent=parent)
    return ModelRef(artifact=store.path(fingerprint))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_policy_is_its_file_with_dropout_off(tmp_path: Path, store: ArtifactStore, family: str) -> None:
    ref = ModelRef(name=str(tiny.save(tmp_path / "m", family)))
    model = policy(ref, store, trainable=True)
    assert model.training
    torch.testing.assert_close(logits(model), logits(tiny.causal_lm(family).eval()), rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in policy(ref, store).parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_scalar_head_comes_from_the_seed_alone(tmp_path: Path, store: ArtifactStore, family: str) -> None:
    ref = ModelRef(name=str(tiny.save(tmp_path / "m", family)))
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    one, two, other = (annotator(ref, store, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one.score.weight, two.score.weight)
    assert not torch.equal(one.score.weight, other.score.weight)
    base = tiny.causal_lm(family).base_model.state_dict()
    own = one.base_model.state_dict()
    assert all(torch.equal(own[name], base[name]) for name in base)


def test_annotator_dropout_is_the_models_own_or_the_given(tmp_path: Path, store: ArtifactStore) -> None:
    ref = ModelRef(name=str(tiny.save(tmp_path / "m", "opt")))
    assert annotator(ref, store).config.dropout == 0.1
    changed = annotator(ref, store, dropout=0.4).config
    assert (changed.dropout, changed.attention_dropout) == (0.4, 0.4)


def test_a_stored_annotator_keeps_its_head(tmp_path: Path, store: ArtifactStore) -> None:
    base = ModelRef(name=str(tiny.save(tmp_path / "m", "qwen2")))
    model = annotator(base, store, seed=3)
    stored = publish(store, "a", model, tiny.tokenizer("qwen2"), form="annotator", parent=None)
    assert torch.equal(annotator(stored, store, seed=4).score.weight, model.score.weight)
    with pytest.raises(ModelError, match="cannot write text"):
        policy(stored, store)


def test_a_reward_model_needs_one_trained_output(tmp_path: Path, store: ArtifactStore) -> None:
    base = ModelRef(name=str(tiny.save(tmp_path / "m", "llama")))
    with pytest.raises(ModelError, match="needs exactly one"):
        load_reward_model(base, store=store, device="cpu", precision="fp32")
    model = annotator(base, store, seed=3)
    model.save_pretrained(tmp_path / "reward")
    tiny.tokenizer("llama").save_pretrained(tmp_path / "reward")
    ref = ModelRef(name=str(tmp_path / "reward"))
    loaded, _ = load_reward_model(ref, store=store, device="cpu", precision="fp32")
    assert torch.equal(loaded.score.weight, model.score.weight)


def rewrite(folder: Path, change: Any) -> str:
    """Change the table of weights of a model folder."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


NORM = "model.layers.1.input_layernorm.weight"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda weights: weights.pop(NORM), f"{NORM} is missing from the file"),
        (lambda weights: weights.update({"model.extra": torch.ones(2)}), "model.extra is in the file but not"),
        (lambda weights: weights.update({NORM: torch.ones(7)}), "do not load|another shape"),
    ],
)
@pytest.mark.parametrize("role", ["policy", "annotator"])
def test_incomplete_weights_are_refused(
    tmp_path: Path, store: ArtifactStore, change: Any, sentence: str, role: str
) -> None:
    ref = ModelRef(name=rewrite(tiny.save(tmp_path / "m", "llama"), change))
    with pytest.raises(ModelError, match=sentence):
        policy(ref, store) if role == "policy" else annotator(ref, store)


def test_a_missing_output_layer_is_fine_only_where_it_is_tied(tmp_path: Path, store: ArtifactStore) -> None:
    untied = ModelRef(name=rewrite(tiny.save(tmp_path / "u", "llama"), lambda weights: weights.pop("lm_head.weight")))
    with pytest.raises(ModelError, match=r"lm_head\.weight is missing"):
        policy(untied, store)
    annotator(untied, store)  # the output layer is bypassed there
    tied = tiny.save(tmp_path / "t", "qwen2")
    assert "lm_head.weight" not in load_file(tied / "model.safetensors")
    policy(ModelRef(name=str(tied)), store)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"config.json": None}, "must hold config.json"),
        ({"model.safetensors": None}, "no safetensors weights"),
        ({"model.safetensors": b"\x10\x00\x00"}, "do not load"),
        ({"config.json": b'{"model_type": "llama", "auto_map": {"AutoModel": "m.M"}}'}, "its own Python code"),
        ({"config.json": b'{"model_type": "newest"}'}, "does not know"),
    ],
)
def test_a_folder_that_is_no_model_is_a_sentence(
    tmp_path: Path, store: ArtifactStore, files: dict[str, bytes | None], sentence: str
) -> None:
    folder = tiny.save(tmp_path / "m", "llama")
    for name, content in files.items():
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        policy(ModelRef(name=str(folder)), store)


def test_a_folder_that_changed_since_submission_is_refused(tmp_path: Path, store: ArtifactStore) -> None:
    folder = tiny.save(tmp_path / "m", "opt")
    with pytest.raises(ModelError, match="has changed since"):
        policy(ModelRef(name=str(folder), revision="sha256:" + "0" * 64), store)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_adapter_starts_as_its_base_and_comes_from_the_seed(
    tmp_path: Path, store: ArtifactStore, family: str
) -> None:
    ref = ModelRef(name=str(tiny.save(tmp_path / "m", family)))
    one, two = (policy(ref, store, trainable=True, lora=LORA, seed=1) for _ in range(2))
    assert torch.equal(logits(one), logits(policy(ref, store)))
    trained = {name: value for name, value in one.named_parameters() if value.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    other = dict(two.named_parameters())
    assert all(torch.equal(value, other[name]) for name, value in trained.items())


def test_a_chain_of_adapters_is_merged_below_and_switched_off_above(tmp_path: Path, store: ArtifactStore) -> None:
    """SFT adapter, then an alignment adapter on it: with the last one off the model is the SFT model."""
    base = ModelRef(name=str(tiny.save(tmp_path / "m", "qwen2")))

    def trained(ref: ModelRef, digit: str, seed: int) -> tuple[ModelRef, Any]:
        model = policy(ref, store, trainable=True, lora=LORA, seed=seed)
        torch.manual_seed(seed)
        for name, value in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value.data, std=0.1)
        return publish(store, digit, model, tiny.tokenizer("qwen2"), form="adapter", parent=parent_of(ref)), model

    sft, sft_model = trained(base, "b", 1)
    aligned, aligned_model = trained(sft, "c", 2)
    files = {file.name for file in aligned.artifact.iterdir()}  # type: ignore[union-attr]
    assert ADAPTER_FILE in files
    assert "model.safetensors" not in files
    assert json.loads((aligned.artifact / "model.json").read_text())["parent"] == {"artifact": "b" * 64}  # type: ignore[operator]
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(logits(policy(sft, store)), logits(sft_model), **close)
    torch.testing.assert_close(logits(policy(aligned, store)), logits(aligned_model), **close)
    with aligned_model.disable_adapter():
        torch.testing.assert_close(logits(aligned_model), logits(policy(sft, store)), **close)
    assert (logits(aligned_model) - logits(sft_model)).abs().max() > 0.01
    assert not any("lora_" in name for name, _ in policy(aligned, store, trainable=True).named_parameters())
    store.delete("b" * 64)
    with pytest.raises(ModelError, match="base model bbbbbbbbbbbb of an adapter is missing"):
        policy(aligned, store)


def test_an_adapter_of_another_shape_is_refused(tmp_path: Path, store: ArtifactStore) -> None:
    small, large = (ModelRef(name=str(tiny.save(tmp_path / f"m{w}", "opt", width=w))) for w in (16, 32))
    model = policy(small, store, trainable=True, lora=LORA)
    stored = publish(store, "d", model, tiny.tokenizer("opt"), form="adapter", parent=parent_of(large))
    with pytest.raises(ModelError, match="does not fit its base model"):
        policy(stored, store)


def test_unknown_target_modules_name_the_field(tmp_path: Path, store: ArtifactStore) -> None:
    ref = ModelRef(name=str(tiny.save(tmp_path / "m", "opt")))
    with pytest.raises(ModelError, match=r"model\.lora\.target_modules"):
        policy(ref, store, trainable=True, lora=stage.lora(target_modules=("nowhere",)))


@pytest.mark.parametrize("family", FAMILIES)
def test_tokenizers_come_back_as_they_were(tmp_path: Path, store: ArtifactStore, family: str) -> None:
    ref = ModelRef(name=str(tiny.save(tmp_path / "m", family)))
    loaded, own = load_tokenizer(ref, store=store), tiny.tokenizer(family)
    assert loaded("w3 w4").input_ids == own("w3 w4").input_ids
    assert pad_id(loaded) == (1 if family == "llama" else 0)
