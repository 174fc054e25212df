"""Model folders of anybody: no pickle is read, no other folder, no kernel, and no size is believed."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.errors import ConfigError, ModelError
from cwpo.models import hub
from cwpo.models.given.folder import INDEX
from cwpo.models.load import ModelRef, load_policy, load_reward_model
from cwpo.models.shape import known_config, shape_of
from cwpo.stages.resolve import resolve
from tests.cwpo import tiny

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("given"), "llama")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def configured(**values: Any) -> Change:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    return change


def written(name: str, text: str | bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())  # type: ignore[return-value]


def indexed(*files: Any, metadata: Any = None) -> Change:
    """An index in place of the one file of weights, which names these."""

    def change(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        names = {f"weight.{place}": file for place, file in enumerate(files)}
        (folder / INDEX).write_text(json.dumps({"metadata": metadata or {}, "weight_map": names}))

    return change


def load(folder: Path, tmp_path: Path) -> Any:
    store = ArtifactStore(tmp_path / "home" / "artifacts")
    loaded = load_policy(
        ModelRef(name=str(folder)), store=store, device="cpu", precision="fp32", trainable=False, lora=None, seed=0
    )
    return loaded.model


HOSTILE: dict[str, Change] = {
    "a pickle in the index": indexed("model-00001.bin"),
    "a checkpoint in the index": indexed("model.ckpt", "model-1.safetensors"),
    "a folder above": indexed("../model.safetensors"),
    "an absolute path": indexed("/etc/hosts.safetensors"),
    "a folder below": indexed("other/model.safetensors"),
    "a hidden file": indexed(".model.safetensors"),
    "no name": indexed(5, None, ["x"]),
    "a file that is not there": indexed("model-2.safetensors"),
    "a newline": indexed("model-1.safetensors\n"),
    "an index that is a list": lambda folder: written(INDEX, "[]")(folder),
    "an index without names": lambda folder: written(INDEX, '{"metadata": {}, "weight_map": 5}')(folder),
    "an index that nests": lambda folder: written(INDEX, '{"a":' * 9_999)(folder),
    "an adapter beside the weights": written("adapter_config.json", '{"base_model_name_or_path": "/etc"}'),
    "other weights in the configuration": configured(transformers_weights="other.safetensors"),
    "code of its own": configured(auto_map={"AutoModel": "x.Y"}),
    "a thousand million labels": configured(num_labels=10**9),
    "a thousand million layers": configured(num_hidden_layers=10**9),
    "a wide model": configured(hidden_size=2**40),
    "many words": configured(vocab_size=1_500_000_000),
    "more words than the file has": configured(vocab_size=100_000_000),
    "a size of 400 digits": configured(hidden_size=10**400),
    "labels that are a number": configured(id2label=5),
    "no heads": configured(num_attention_heads=0),
    "heads in words": configured(num_attention_heads="four"),
    "a hidden size of lists": configured(hidden_size=[8]),
    "an unknown family": configured(model_type="no_such_family"),
    "a family that is a list": configured(model_type=["llama"]),
    "a configuration that is a list": written("config.json", "[1]"),
    "a configuration that nests": written("config.json", '{"a":' * 9_999),
    "a configuration of digits": written("config.json", '{"a": ' + "9" * 5_001 + "}"),
    "a configuration of bytes": written("config.json", b"\xff\xfe"),
    "a tokenizer that is none": written("tokenizer.json", "[]"),
    "settings of a tokenizer that are none": written("tokenizer_config.json", "[" * 9_999),
    "a form of its own": written("model.json", '{"form": "other", "parent": null}'),
    "an adapter of nothing": written("model.json", '{"form": "adapter", "parent": null}'),
    "a form that is a list": written("model.json", "[]"),
    "weights that are none": written("model.safetensors", b"\xff" * 100),
    "weights with a large header": written("model.safetensors", b"\xff" * 7 + b"\x7f" + b"{}"),
    "weights of nothing": written("model.safetensors", b""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_model_folder_is_one_sentence(name: str, folder: Path, tmp_path: Path) -> None:
    HOSTILE[name](folder)
    with pytest.raises(ModelError) as error:
        load(folder, tmp_path)
    said = str(error.value)
    assert "\n" not in said
    assert len(said) < 700


def test_an_adapter_on_itself_has_an_end(folder: Path, tmp_path: Path) -> None:
    written("model.json", json.dumps({"form": "adapter", "parent": {"model": str(folder), "revision": None}}))(folder)
    with pytest.raises(ModelError, match="adapters without end"):
        load(folder, tmp_path)


def test_a_pickle_that_an_index_names_is_never_opened(folder: Path, tmp_path: Path) -> None:
    """It would make a file; nothing does, at submission or when the model is loaded."""
    made = tmp_path / "pickle-was-here"

    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return os.mkdir, (str(made),)

    (folder / "model-1.bin").write_bytes(pickle.dumps(Evil()))
    (folder / "model.safetensors").unlink()
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"a": "model-1.bin"}}))
    with pytest.raises(ModelError, match=r"names 'model-1\.bin', which is no safetensors file of this folder"):
        load(folder, tmp_path)
    config = RunConfig.parse({"data": {"dataset": "everyday"}, "evaluation": {"gold_reward": "trained"}})
    named = config.model_copy(update={"model": config.model.model_copy(update={"annotator": str(folder)})})
    with pytest.raises(ConfigError, match="no safetensors file of this folder"):
        resolve(named, bf16=False, home=tmp_path / "home")
    assert not made.exists()


@pytest.mark.parametrize(
    "said",
    [
        {"_attn_implementation": "evil/kernel"},
        {"attn_implementation": "evil/kernel"},
        {"attn_implementation": {"": "evil/kernel"}},
        {"_experts_implementation": "evil/kernel"},
        {"_attn_implementation_internal": "evil/kernel"},
    ],
    ids=str,
)
def test_how_attention_is_computed_is_ours_to_choose(said: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    configured(**said)(folder)
    model = load(folder, tmp_path)
    assert model.config._attn_implementation == "sdpa"


def test_kernels_of_a_hub_are_switched_off() -> None:
    assert hub  # the package is imported
    assert os.environ["USE_HUB_KERNELS"] == "NO"


@pytest.mark.parametrize("labels", [10**9, "many", [1], -1])
def test_outputs_of_a_judge_are_counted_before_they_are_made(labels: Any, folder: Path, tmp_path: Path) -> None:
    configured(num_labels=labels)(folder)
    with pytest.raises(ModelError):
        load_reward_model(
            ModelRef(name=str(folder)), store=ArtifactStore(tmp_path / "a"), device="cpu", precision="fp32"
        )


@pytest.mark.parametrize("name", [name for name in HOSTILE if "configuration" in name or "head" in name])
def test_the_size_of_a_hostile_folder_is_not_known(name: str, folder: Path, tmp_path: Path) -> None:
    """The form asks for it on every change."""
    HOSTILE[name](folder)
    config = known_config(str(folder), None, tmp_path)
    assert config is None or shape_of(config) is None or shape_of(config).layers <= 2
