"""LoRA adapters: create, save, attach and stack them; saved settings hold no path of the machine that wrote them.

Adapters that are stacked are all active: each adds its low-rank product to the output of the layer below. The lowest
come first, so that a new adapter with B = 0 adds exact zeros to what the others gave. An adapter's weights are float32
whatever the weights below it.
"""

import json
import math
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from cwpo.errors import ModelError, brief
from cwpo.models.weights.parts import part_like
from cwpo.stages.plain import from_plain
from cwpo.stages.settings import LoraSettings

ADAPTER_FILE = "adapter.safetensors"
LORA_FILE = "lora.json"
ADAPTER = "default"
_PEFT_PREFIX = "base_model.model."
BELOW = "below"  # with a number: adapters under the one that trains
_LLAMA_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LORA_TARGETS: dict[str, tuple[str, ...]] = {
    "opt": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    "llama": _LLAMA_LINEARS,
    "qwen2": _LLAMA_LINEARS,
    "qwen3": _LLAMA_LINEARS,
    "mistral": _LLAMA_LINEARS,
}


def add_adapter(model: Any, lora: LoraSettings, *, seed: int) -> Any:
    """A new LoRA adapter that trains, on a model or on adapters that do not; A is drawn from `seed`, B is zero."""
    model = _with_adapter(model, lora, ADAPTER, seed=seed)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(f".{ADAPTER}." in name)
    return model


def _with_adapter(model: Any, lora: LoraSettings, name: str, *, seed: int) -> Any:
    from peft import LoraConfig, PeftModel, get_peft_model

    targets = lora.target_modules or LORA_TARGETS.get(model.config.model_type)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(targets) if targets else "all-linear",
        task_type="CAUSAL_LM",
    )
    below = list(model.peft_config) if isinstance(model, PeftModel) else []
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft still uses a deprecated name of transformers
        torch.manual_seed(seed)
        try:
            if below:
                model.add_adapter(name, config)
            else:
                model = get_peft_model(model, config, adapter_name=name)
        except ValueError as error:
            raise ModelError(f"model.lora.target_modules names no layer of this model ({brief(error)}).") from error
        torch.manual_seed(seed)
        _redraw(model, name)
    model.base_model.set_adapter([*below, name])
    return model


def _redraw(model: Any, name: str) -> None:
    """A again from the same numbers, in float32: peft rounds it to the dtype of the layer below before it is float32.

    Numbers are drawn as peft draws them: the usual start of A and B, then A once more.
    """
    from peft.tuners.lora import LoraLayer

    layers: Iterable[Any] = (layer for layer in model.modules() if isinstance(layer, LoraLayer))
    for layer in layers:
        if name in layer.lora_A:
            down, up = layer.lora_A[name], layer.lora_B[name]
            drawn = torch.nn.Linear(down.in_features, down.out_features, bias=False)
            torch.nn.Linear(up.in_features, up.out_features, bias=False)
            torch.nn.init.kaiming_uniform_(drawn.weight, a=math.sqrt(5))
            with torch.no_grad():
                down.weight.copy_(drawn.weight)


def save_adapter(model: Any, out: Path) -> None:
    """The adapter's own tensors and the settings that rebuild it; no path of this machine is written."""
    settings = model.peft_config[ADAPTER]
    targets = settings.target_modules
    lora = {
        "r": settings.r,
        "alpha": settings.lora_alpha,
        "dropout": settings.lora_dropout,
        "target_modules": sorted(targets) if not isinstance(targets, str) else None,
    }
    (out / LORA_FILE).write_text(json.dumps(lora, sort_keys=True))
    save_file({name: value.detach().cpu().contiguous() for name, value in _adapter_state(model)}, out / ADAPTER_FILE)


def _adapter_state(model: Any, adapter: str = ADAPTER) -> Iterable[tuple[str, torch.Tensor]]:
    return (item for item in model.state_dict().items() if "lora_" in item[0] and f".{adapter}." in item[0])


def attach_adapter(base: Any, folder: Path, *, place: int = 0) -> Any:
    """The stored adapter on its base, frozen and without dropout, every tensor matched by name and shape.

    place: how many adapters are below it.
    """
    name = f"{BELOW}{place}"
    model = _with_adapter(base, _stored_settings(folder), name, seed=0)
    model.load_state_dict(_stored(folder, model, name), strict=False)
    return model.requires_grad_(False)


def merge_into_parts(model: Any, folder: Path) -> None:
    """Add the stored adapter to the weights of its base, of which this rank holds parts: the sums are the same bits.

    Nothing of the base is put together; the adapter's products are made whole, one weight after the other.
    """
    from peft.tuners.lora import LoraLayer

    name = f"{BELOW}0"
    with torch.device("meta"):
        outline = type(model)(model.config)
    outline = _with_adapter(outline, _stored_settings(folder), name, seed=0)
    stored = _stored(folder, outline, name)
    layers: dict[str, Any] = {path: layer for path, layer in outline.named_modules() if isinstance(layer, LoraLayer)}
    for path, layer in layers.items():
        down, up = (stored[f"{path}.{part}.{name}.weight"] for part in ("lora_A", "lora_B"))
        product = up @ down
        change = (product.T if layer.fan_in_fan_out else product) * layer.scaling[name]
        weight = model.get_parameter(f"{path.removeprefix(_PEFT_PREFIX)}.weight")
        with torch.no_grad():
            weight.add_(part_like(change, weight))


def _stored_settings(folder: Path) -> LoraSettings:
    return replace(from_plain(LoraSettings, json.loads((folder / LORA_FILE).read_text())), dropout=0.0)


def _stored(folder: Path, model: Any, name: str) -> dict[str, torch.Tensor]:
    """The tensors of a stored adapter under the names that `name` has in the model; ModelError unless all fit."""
    stored = {
        key.replace(f".{ADAPTER}.", f".{name}."): value for key, value in load_file(folder / ADAPTER_FILE).items()
    }
    own = dict(_adapter_state(model, name))
    wrong = set(own.keys() ^ stored.keys())
    wrong |= {key for key in own.keys() & stored.keys() if own[key].shape != stored[key].shape}
    if wrong:
        raise ModelError(
            f"The adapter does not fit its base model ({sorted(wrong)[0]}): retry the run to train it anew."
        )
    return stored
