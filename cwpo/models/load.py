"""Load policy, annotator and reward model: safetensors only, no remote code, every weight accounted for.

A model artifact is a directory with `model.json` {"form", "parent"}: "full", "annotator" and "reward" hold all weights,
"adapter" holds a LoRA adapter and names its parent. Parents are merged in memory, never on disk.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from cwpo.artifacts import ArtifactStore, content_hash
from cwpo.errors import ModelError, brief
from cwpo.models import hub
from cwpo.models.adapters import add_adapter, attach_adapter, save_adapter
from cwpo.stages.settings import ImplicitSettings, LoraSettings, ModelSettings

Form = Literal["full", "adapter", "annotator", "reward"]
MODEL_FILE = "model.json"
# Every name under which the families of transformers keep a dropout probability.
DROPOUTS = (
    *("dropout", "attention_dropout", "activation_dropout", "hidden_dropout", "resid_pdrop", "embd_pdrop"),
    *("attn_pdrop", "hidden_dropout_prob", "attention_probs_dropout_prob", "layerdrop"),
)
transformers_logging.set_verbosity_error()  # its load report says less than our sentences
transformers_logging.disable_progress_bar()


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """A stage's artifact, or a hub id or folder with its pinned revision."""

    artifact: Path | None = None
    name: str | None = None
    revision: str | None = None


@dataclass(frozen=True, kw_only=True)
class PolicyModel:
    """A causal LM with its tokenizer, on its device; a PEFT wrapper when it has an adapter."""

    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase


def model_ref(inputs: Mapping[str, Path], name: str, settings: ModelSettings | ImplicitSettings) -> ModelRef:
    """The model of a stage: the artifact among its inputs, else the model named in its settings."""
    if name in inputs:
        return ModelRef(artifact=inputs[name])
    return ModelRef(name=settings.model, revision=settings.revision)


def parent_of(ref: ModelRef) -> dict[str, Any]:
    """What model.json says of the model that an adapter was trained on."""
    if ref.artifact is not None:
        return {"artifact": ref.artifact.name}
    return {"model": ref.name, "revision": ref.revision}


def load_policy(
    ref: ModelRef,
    *,
    store: ArtifactStore,
    device: str,
    precision: str,
    trainable: bool,
    lora: LoraSettings | None,
    seed: int,
) -> PolicyModel:
    """A causal LM in float32 with its dropout off; bf16 is autocast on top (`precision_context`).

    trainable: parents are merged; with `lora` a new adapter is put on top (B = 0, so it starts as the merged model),
    without it all weights train. Not trainable: the reference or a model that answers; in fp32 its adapter is merged,
    in bf16 it stays apart, because a small difference would drown in the rounding of the weights.
    """
    model, tokenizer = _load_causal(ref, store=store, merge_last=trainable or precision != "bf16")
    if trainable and lora is not None:
        model = add_adapter(model, lora, seed=seed)
    if not trainable:
        model.requires_grad_(False)
    model.to(device)
    model.train(trainable)
    return PolicyModel(model=model, tokenizer=tokenizer)


def load_annotator(
    ref: ModelRef,
    *,
    store: ArtifactStore,
    device: str,
    seed: int,
    dropout: float | None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A backbone with a scalar head: stored, or new and drawn from `seed`. `dropout` replaces the backbone's own."""
    folder = _folder(ref, store)
    stored = read_form(folder)
    if stored is not None and stored["form"] == "adapter":
        raise ModelError("An annotator starts from a whole model, not from an adapter: name its base model.")
    has_head = stored is not None and stored["form"] in ("annotator", "reward")
    model = _load_classifier(folder, _name(ref), seed=seed, dropout=dropout, new_head=not has_head)
    return model.to(device), load_tokenizer(ref, store=store)


def load_reward_model(
    ref: ModelRef, *, store: ArtifactStore, device: str, precision: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A reward model with its own trained head of one output; bf16 weights on a device that has them."""
    folder = _folder(ref, store)
    config = hub.check_config(folder, _name(ref))
    labels = config.get("num_labels", len(config.get("id2label") or {}) or 2)
    if labels != 1:
        raise ModelError(f"{_name(ref)} has {labels} outputs: a gold reward model or annotator needs exactly one.")
    model = _load_classifier(folder, _name(ref), seed=0, dropout=0.0, new_head=False)
    if precision == "bf16":
        model.to(torch.bfloat16)
    model.requires_grad_(False)
    return model.to(device).eval(), load_tokenizer(ref, store=store)


def load_tokenizer(ref: ModelRef, *, store: ArtifactStore) -> PreTrainedTokenizerBase:
    """The tokenizer saved beside the weights; padding is masked by us, so a missing pad token is no problem."""
    if ref.artifact is None and ref.name is not None and not hub.is_local(ref.name):
        folder = hub.fetch_tokenizer(ref.name, ref.revision)
    else:
        folder = _folder(ref, store)
    if (folder / "config.json").exists():
        hub.check_config(folder, _name(ref))
    loader: Any = PreTrainedTokenizerFast if _is_generic(folder) else AutoTokenizer
    try:
        tokenizer: PreTrainedTokenizerBase = loader.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        return tokenizer
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{_name(ref)} has no tokenizer that can be loaded ({brief(error)}): it needs tokenizer.json."
        ) from error


def _is_generic(folder: Path) -> bool:
    """Whether tokenizer.json must be taken as it is: AutoTokenizer would put the family's splitting in its place."""
    settings = folder / "tokenizer_config.json"
    if not settings.is_file() or not (folder / "tokenizer.json").is_file():
        return False
    return json.loads(settings.read_text()).get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """An id to fill rows with; which positions are real is said by our own mask alone."""
    known = [token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id) if token is not None]
    return int(known[0]) if known else 0


def context_length(model: torch.nn.Module, at_most: int | None = None) -> int:
    """Positions to read: all that the model can, or `at_most`; families without a limit get a very large one."""
    config: Any = model.config
    own = int(getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 1 << 20)
    return min(own, at_most or own)


def precision_context(precision: str, device: str) -> torch.autocast:
    """bf16 autocast over float32 weights, or nothing for fp32."""
    return torch.autocast(device_type=device.split(":")[0], dtype=torch.bfloat16, enabled=precision == "bf16")


def save_model(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    out: Path,
    *,
    form: Form,
    parent: Mapping[str, Any] | None,
) -> None:
    """Write a model artifact; an adapter alone when form is "adapter", and then `parent` is required."""
    out.mkdir(parents=True, exist_ok=True)
    if form == "adapter":
        if parent is None:
            raise ModelError("An adapter cannot be stored without its parent.")
        save_adapter(model, out)
    else:
        model.save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)
    (out / MODEL_FILE).write_text(json.dumps({"form": form, "parent": parent}, sort_keys=True))


def read_form(folder: Path) -> dict[str, Any] | None:
    """model.json of an artifact; None for a plain transformers folder."""
    path = folder / MODEL_FILE
    return json.loads(path.read_text()) if path.is_file() else None


def _load_causal(ref: ModelRef, *, store: ArtifactStore, merge_last: bool) -> tuple[Any, PreTrainedTokenizerBase]:
    """A causal LM; an adapter artifact is put on its parent, whose own adapters are merged."""
    folder = _folder(ref, store)
    form = read_form(folder)
    if form is None or form["form"] == "full":
        model = _load_weights(AutoModelForCausalLM, folder, _name(ref), _config(folder, _name(ref), dropout=0.0))
        return model, load_tokenizer(ref, store=store)
    if form["form"] != "adapter":
        raise ModelError(f"{_name(ref)} is a model with a scalar head and cannot write text: name a policy.")
    base, _ = _load_causal(_parent_ref(form["parent"], store), store=store, merge_last=True)
    model = attach_adapter(base, folder)
    return (model.merge_and_unload() if merge_last else model), load_tokenizer(ref, store=store)


def lineage(ref: ModelRef, *, store: ArtifactStore) -> tuple[Path, list[Path]]:
    """The folder of the whole model, and those of the adapters on it from the lowest up, for programs that load both."""
    folder, adapters = _folder(ref, store), list[Path]()
    while (form := read_form(folder)) is not None and form["form"] == "adapter":
        adapters.insert(0, folder)
        folder = _folder(_parent_ref(form["parent"], store), store)
    return folder, adapters


def _parent_ref(parent: Mapping[str, Any], store: ArtifactStore) -> ModelRef:
    if "artifact" not in parent:
        return ModelRef(name=parent["model"], revision=parent["revision"])
    folder = store.find(parent["artifact"])
    if folder is None:
        raise ModelError(f"The base model {parent['artifact'][:12]} of an adapter is missing: retry the run.")
    return ModelRef(artifact=folder)


def _load_classifier(folder: Path, name: str, *, seed: int, dropout: float | None, new_head: bool) -> Any:
    config = _config(folder, name, dropout=dropout)
    config.num_labels = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _load_weights(AutoModelForSequenceClassification, folder, name, config, new_head=new_head)


def _config(folder: Path, name: str, *, dropout: float | None) -> PreTrainedConfig:
    """The model's configuration with its dropouts replaced; one error sentence for families nobody knows."""
    hub.check_config(folder, name)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{name} is of a model family that transformers does not know ({brief(error)}): choose another model."
        ) from error
    for field in DROPOUTS if dropout is not None else ():
        if isinstance(getattr(config, field, None), int | float):
            setattr(config, field, dropout if field != "layerdrop" else 0.0)
    return config


def _load_weights(auto: Any, folder: Path, name: str, config: PreTrainedConfig, *, new_head: bool = False) -> Any:
    """from_pretrained, with every missing, unexpected or misshapen weight turned into one sentence."""
    if not hub.has_safetensors(tuple(file.name for file in folder.iterdir())):
        raise ModelError(f"{name} has no safetensors weights: save it with save_pretrained(safe_serialization=True).")
    try:
        model, info = auto.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except ValueError as error:
        raise ModelError(f"{name} cannot be used here ({brief(error)}): choose another model.") from error
    except (SafetensorError, RuntimeError, OSError, KeyError) as error:
        raise ModelError(f"The weights of {name} do not load ({brief(error)}): download or save it again.") from error
    _check_complete(model, info, name, new_head=new_head)
    return model


def _check_complete(model: PreTrainedModel, info: Mapping[str, Any], name: str, *, new_head: bool) -> None:
    """No weight may be left as initialised, and none in the file may go unused; a new scalar head is the exception."""
    missing, unexpected = set(info["missing_keys"]), set(info["unexpected_keys"])
    if new_head:  # whatever lies outside the backbone: the old head goes, the new one is drawn from the seed
        backbone = f"{model.base_model_prefix}."
        missing = {key for key in missing if key.startswith(backbone)}
        unexpected = {key for key in unexpected if key.startswith(backbone)}
    mismatched = {key if isinstance(key, str) else key[0] for key in info.get("mismatched_keys", ())}
    meta = {key for key, value in model.named_parameters() if value.is_meta}
    for keys, problem in (
        (missing | meta, "missing from the file and would stay random"),
        (mismatched, "of another shape than config.json says"),
        (unexpected, "in the file but not in the model"),
    ):
        if keys:
            others = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ModelError(f"{name}: the weight {sorted(keys)[0]}{others} is {problem}: use a complete copy.")


def _folder(ref: ModelRef, store: ArtifactStore) -> Path:
    """The directory of the model on this machine, downloaded if it must be."""
    if ref.artifact is not None:
        return ref.artifact
    if ref.name is None:
        raise ModelError("No model is named: set model.policy and model.annotator.")
    if not hub.is_local(ref.name):
        return hub.fetch_model(ref.name, ref.revision, home=store.root.parent)
    folder = Path(ref.name).expanduser()
    if not (folder / "config.json").is_file():
        raise ModelError(f"{ref.name} is not a model folder: it must hold config.json and safetensors weights.")
    if ref.revision is not None and _content_of(folder, _signature(folder)) != ref.revision:
        raise ModelError(f"The model folder {ref.name} has changed since the run was submitted: submit the run again.")
    return folder


def _signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times: a folder with the same signature is not hashed again."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)


@lru_cache(maxsize=64)
def _content_of(folder: Path, signature: tuple[tuple[str, int, int], ...]) -> str:
    return content_hash(folder)


def _name(ref: ModelRef) -> str:
    if ref.artifact is not None:
        return f"The stored model {ref.artifact.name[:12]}"
    return str(ref.name)
