"""LoRA adapters: create, save and attach them; saved settings hold no path of the machine that wrote them."""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from cwpo.errors import ModelError, brief
from cwpo.stages.plain import from_plain
from cwpo.stages.settings import LoraSettings

ADAPTER_FILE = "adapter.safetensors"
LORA_FILE = "lora.json"
ADAPTER = "default"
_LLAMA_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LORA_TARGETS: dict[str, tuple[str, ...]] = {
    "opt": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    "llama": _LLAMA_LINEARS,
    "qwen2": _LLAMA_LINEARS,
    "qwen3": _LLAMA_LINEARS,
    "mistral": _LLAMA_LINEARS,
}


def add_adapter(model: Any, lora: LoraSettings, *, seed: int) -> Any:
    """A new LoRA adapter; A is drawn from `seed`, B is zero."""
    from peft import LoraConfig, get_peft_model

    targets = lora.target_modules or LORA_TARGETS.get(model.config.model_type)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(targets) if targets else "all-linear",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft still uses a deprecated name of transformers
        torch.manual_seed(seed)
        try:
            return get_peft_model(model, config, adapter_name=ADAPTER)
        except ValueError as error:
            raise ModelError(f"model.lora.target_modules names no layer of this model ({brief(error)}).") from error


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


def _adapter_state(model: Any) -> Iterable[tuple[str, torch.Tensor]]:
    return ((name, value) for name, value in model.state_dict().items() if "lora_" in name)


def attach_adapter(base: Any, folder: Path) -> Any:
    """The stored adapter on its base, every tensor matched by name and shape."""
    model = add_adapter(base, from_plain(LoraSettings, json.loads((folder / LORA_FILE).read_text())), seed=0)
    stored, own = load_file(folder / ADAPTER_FILE), dict(_adapter_state(model))
    wrong = set(own.keys() ^ stored.keys())
    wrong |= {name for name in own.keys() & stored.keys() if own[name].shape != stored[name].shape}
    if wrong:
        raise ModelError(
            f"The adapter does not fit its base model ({sorted(wrong)[0]}): retry the run to train it anew."
        )
    model.load_state_dict(stored, strict=False)
    return model
