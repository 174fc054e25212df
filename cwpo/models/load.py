"""Load policy, annotator and reward model: safetensors only, no remote code, every weight accounted for.

A model artifact is a directory with `model.json` {"form", "parent"}: "full", "annotator" and "reward" hold all weights,
"adapter" holds a LoRA adapter and names its parent. In fp32 parents are merged, in memory and never on disk; in bf16
adapters stay apart, because a small difference would drown in the rounding of the weights. Weights go straight to the
device, file by file; those that do not train are kept in bf16 where the arithmetic is bf16 (`frozen`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from cwpo.artifacts import ArtifactStore
from cwpo.contents import content_of
from cwpo.errors import ModelError, brief
from cwpo.models import hub
from cwpo.models.adapters import add_adapter, attach_adapter, merge_into_parts, save_adapter
from cwpo.models.fetched.names import model_folder
from cwpo.models.frozen import check_halved, halve, halved_class, headed_class, nf4, untie, widen, widen_logits
from cwpo.models.given import folder as given
from cwpo.models.given.form import MODEL_FILE, Form
from cwpo.models.given.form import read_form as read_form
from cwpo.models.text.files import read_tokenizer
from cwpo.models.weights.complete import check_complete
from cwpo.models.weights.parts import Layout, read_in_parts
from cwpo.stages.settings import ImplicitSettings, LoraSettings, ModelSettings, Parents, Quantization

# Every name under which the families of transformers keep a dropout probability.
DROPOUTS = (
    *("dropout", "dropout_rate", "attention_dropout", "activation_dropout", "hidden_dropout", "resid_pdrop"),
    *("embd_pdrop", "attn_pdrop", "hidden_dropout_prob", "attention_probs_dropout_prob", "layerdrop"),
)
_DEEPEST = 20  # adapters on one another
# What config.json can make a family's code raise, when it says what no model has
_ODD = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, IndexError, AssertionError, ImportError)
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


@dataclass(frozen=True, kw_only=True)
class _Placement:
    """Where weights go and how they are kept there."""

    device: str
    dtype: torch.dtype = torch.float32
    halved: bool = False  # matrices in bf16, all else in float32
    quantization: BitsAndBytesConfig | None = None
    lay_out: Layout | None = None  # in parts over ranks, none of which reads more than its own


def load_policy(
    ref: ModelRef,
    *,
    store: ArtifactStore,
    device: str,
    precision: str,
    trainable: bool,
    lora: LoraSettings | None,
    seed: int,
    parents: Parents = "merged",
    quantization: Quantization = "none",
    lay_out: Layout | None = None,
) -> PolicyModel:
    """A causal LM with its dropout off; bf16 is autocast on top (`precision_context`).

    trainable: with `lora` a new adapter is put on top (B = 0, so it starts as the model below it), without it all
    weights train, in float32. What does not train is frozen, in bf16 and `nf4` at its small size.
    parents: adapters below are merged into float32 weights, or stay apart, frozen and with their dropout off.
    lay_out: puts all weights, which train, in parts over the ranks; each reads its own to `device`.
    """
    frozen = not trainable or lora is not None
    placement = _Placement(
        device=device,
        halved=frozen and precision == "bf16",
        quantization=nf4(precision) if frozen and quantization == "nf4" else None,
        lay_out=None if frozen else lay_out,
    )
    merge_last = parents == "merged" and (trainable or precision != "bf16")
    model, tokenizer = _load_causal(ref, store=store, placement=placement, parents=parents, merge_last=merge_last)
    if trainable and lora is not None:
        model = add_adapter(model, lora, seed=seed)
    elif not trainable:
        model.requires_grad_(False)
    model.train(trainable)
    return PolicyModel(model=model, tokenizer=tokenizer)


def load_annotator(
    ref: ModelRef,
    *,
    store: ArtifactStore,
    device: str,
    seed: int,
    dropout: float | None,
    frozen_in: str = "fp32",
    lay_out: Layout | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A backbone with a scalar head: stored, or new and drawn from `seed`. `dropout` replaces the backbone's own.

    frozen_in: the precision in which a model that only reads computes; "bf16" keeps its matrices at half their size.
    lay_out: as for `load_policy`.
    """
    folder = _folder(ref, store)
    stored = read_form(folder)
    if stored is not None and stored["form"] == "adapter":
        raise ModelError("An annotator starts from a whole model, not from an adapter: name its base model.")
    has_head = stored is not None and stored["form"] in ("annotator", "reward")
    placement = _Placement(device=device, halved=frozen_in == "bf16", lay_out=lay_out)
    model = _load_classifier(folder, _name(ref), seed=seed, dropout=dropout, new_head=not has_head, placement=placement)
    if placement.halved:
        model.requires_grad_(False)
    return model, load_tokenizer(ref, store=store)


def load_reward_model(
    ref: ModelRef, *, store: ArtifactStore, device: str, precision: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A reward model with its own trained head of one output; bf16 weights on a device that has them, but for the head,
    which is read and computes in float32."""
    folder = _folder(ref, store)
    config = hub.check_config(folder, _name(ref))
    labels = config.get("num_labels") or len(config.get("id2label") or {}) or 2
    if labels != 1:
        raise ModelError(f"{_name(ref)} has {labels} outputs: a gold reward model or annotator needs exactly one.")
    placement = _Placement(device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    model = _load_classifier(folder, _name(ref), seed=0, dropout=0.0, new_head=False, placement=placement)
    model.requires_grad_(False)
    widen(model)
    return model.eval(), load_tokenizer(ref, store=store)


def load_text_to_text(
    ref: ModelRef, *, store: ArtifactStore, device: str, precision: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """An encoder with a decoder that writes text, such as T5; bf16 weights on a device that has them, its logits are
    float32."""
    folder = _folder(ref, store)
    if not hub.check_config(folder, _name(ref)).get("is_encoder_decoder"):
        raise ModelError(f"{_name(ref)} has no encoder and decoder: it is no text-to-text model.")
    placement = _Placement(device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    config = _config(folder, _name(ref), dropout=0.0)
    model = _load_weights(AutoModelForSeq2SeqLM, folder, _name(ref), config, placement)
    model.requires_grad_(False)
    widen_logits(model)
    return model.eval(), load_tokenizer(ref, store=store)


def load_tokenizer(ref: ModelRef, *, store: ArtifactStore) -> PreTrainedTokenizerBase:
    """The tokenizer saved beside the weights; padding is masked by us, so a missing pad token is no problem."""
    if ref.artifact is None and ref.name is not None and not hub.is_local(ref.name):
        folder = hub.fetch_tokenizer(ref.name, ref.revision)
    else:
        folder = _folder(ref, store)
    if (folder / "config.json").exists():
        hub.check_config(folder, _name(ref))
    return read_tokenizer(folder, _name(ref))


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


def _load_causal(
    ref: ModelRef, *, store: ArtifactStore, placement: _Placement, parents: Parents, merge_last: bool
) -> tuple[Any, PreTrainedTokenizerBase]:
    """A causal LM; an adapter artifact is put on its parent, whose own adapters are merged or stay apart."""
    chain, ref = _chain(ref, store)
    folder = _folder(ref, store)
    form = read_form(folder)
    if form is not None and form["form"] != "full":
        raise ModelError(f"{_name(ref)} is a model with a scalar head and cannot write text: name a policy.")
    merged = chain if merge_last else chain[:-1] if parents == "merged" else []
    if placement.lay_out is not None and len(merged) < len(chain):
        raise ModelError(f"{_name(ref)} is under an adapter and cannot be split over cards: set execution.gpus to 1.")
    whole = replace(placement, halved=False) if merged else placement
    config = _config(folder, _name(ref), dropout=0.0)
    model = _load_weights(AutoModelForCausalLM, folder, _name(ref), config, whole)
    for adapter in merged:
        if placement.lay_out is not None:
            merge_into_parts(model, adapter)
        else:
            model = attach_adapter(model, adapter).merge_and_unload()
    if merged and placement.halved:
        halve(model)
    for place, adapter in enumerate(chain[len(merged) :]):
        model = attach_adapter(model, adapter, place=place)
    return model, load_tokenizer(ModelRef(artifact=chain[-1]) if chain else ref, store=store)


def _chain(ref: ModelRef, store: ArtifactStore) -> tuple[list[Path], ModelRef]:
    """The folders of the adapters from the lowest to the model's own, and the whole model below them."""
    adapters: list[Path] = []
    for _ in range(_DEEPEST):
        folder = _folder(ref, store)
        form = read_form(folder)
        if form is None or form["form"] != "adapter":
            return adapters[::-1], ref
        adapters.append(folder)
        ref = _parent_ref(form["parent"], store)
    raise ModelError(f"{_name(ref)} is an adapter on adapters without end: retry the run, or name another model.")


def lineage(ref: ModelRef, *, store: ArtifactStore) -> tuple[Path, list[Path]]:
    """The folder of the whole model, and those of the adapters on it from the lowest up, for who loads them apart."""
    adapters, whole = _chain(ref, store)
    return _folder(whole, store), adapters


def _parent_ref(parent: Mapping[str, Any], store: ArtifactStore) -> ModelRef:
    if "artifact" not in parent:
        return ModelRef(name=parent["model"], revision=parent["revision"])
    folder = store.find(parent["artifact"])
    if folder is None:
        raise ModelError(f"The base model {parent['artifact'][:12]} of an adapter is missing: retry the run.")
    return ModelRef(artifact=folder)


def _load_classifier(
    folder: Path, name: str, *, seed: int, dropout: float | None, new_head: bool, placement: _Placement
) -> Any:
    config = _config(folder, name, dropout=dropout)
    config.num_labels = 1
    whole = new_head and placement.lay_out is None
    first = replace(placement, device="cpu", halved=False) if whole else placement  # the head is drawn on the CPU
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _load_weights(AutoModelForSequenceClassification, folder, name, config, first, new_head=new_head)
    if placement.halved and new_head:
        halve(model)
    return model if placement.lay_out is not None else model.to(placement.device)


def _config(folder: Path, name: str, *, dropout: float | None) -> PreTrainedConfig:
    """The model's configuration with its dropouts replaced; one error sentence for families nobody knows."""
    hub.check_config(folder, name)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        config._attn_implementation = None  # ours to choose: a name in config.json could be a kernel of a hub
        config._experts_implementation = None
    except Exception as error:  # whatever the code of a family says of what it does not expect
        raise ModelError(
            f"{name} is of a model family that transformers does not know ({brief(error)}): choose another model."
        ) from error
    for field in DROPOUTS if dropout is not None else ():
        if isinstance(getattr(config, field, None), int | float):
            setattr(config, field, dropout if field != "layerdrop" else 0.0)
    return config


def _load_weights(
    auto: Any, folder: Path, name: str, config: PreTrainedConfig, placement: _Placement, *, new_head: bool = False
) -> Any:
    """from_pretrained, with every missing, unexpected or misshapen weight turned into one sentence."""
    if not hub.has_safetensors(tuple(file.name for file in folder.iterdir())):
        raise ModelError(f"{name} has no safetensors weights: save it with save_pretrained(safe_serialization=True).")
    hub.check_weights(folder, name)
    try:
        kind = _class_of(auto, config, folder, name)
        reader: Any = halved_class(kind, config) if placement.halved else headed_class(kind, config, placement.dtype)
        if placement.lay_out is not None:
            reader = read_in_parts(reader, placement.lay_out)
        model, info = reader.from_pretrained(
            folder,
            config=config,
            dtype=torch.bfloat16 if placement.halved else placement.dtype,
            device_map={"": placement.device} if placement.device != "cpu" else None,
            quantization_config=placement.quantization,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except ValueError as error:
        raise ModelError(f"{name} cannot be used here ({brief(error)}): choose another model.") from error
    except (SafetensorError, RuntimeError, OSError, *_ODD) as error:
        raise ModelError(f"The weights of {name} do not load ({brief(error)}): download or save it again.") from error
    model.__class__ = kind
    check_complete(model, info, name, new_head=new_head)
    if placement.halved:
        untie(model)
        check_halved(model, name)
    return model


def _class_of(auto: Any, config: PreTrainedConfig, folder: Path, name: str) -> Any:
    """The architecture that an auto class chooses, if the folder holds as much as it needs; ValueError for a family
    that it does not know."""
    with torch.device("meta"):
        made = auto.from_config(config, trust_remote_code=False)
    given.check_size(folder, name, sum(tensor.numel() for tensor in (*made.parameters(), *made.buffers())))
    return type(made)


def _folder(ref: ModelRef, store: ArtifactStore) -> Path:
    """The directory of the model on this machine, downloaded if it must be."""
    if ref.artifact is not None:
        return ref.artifact
    if ref.name is None:
        raise ModelError("No model is named: set model.policy and model.annotator.")
    if not hub.is_local(ref.name):
        return hub.fetch_model(ref.name, ref.revision, home=store.root.parent)
    folder = model_folder(ref.name, store.root.parent)
    if ref.revision is not None and content_of(folder, store.root.parent) != ref.revision:
        raise ModelError(f"The model folder {ref.name} has changed since the run was submitted: submit the run again.")
    return folder


def _name(ref: ModelRef) -> str:
    if ref.artifact is not None:
        return f"The stored model {ref.artifact.name[:12]}"
    return str(ref.name)
