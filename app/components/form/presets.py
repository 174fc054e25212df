"""Ready-made comparisons that a form can start from: a name, what they show, and a configuration with lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.components.frame.address import DATASETS
from cwpo.config.presets import SandboxPreset, comparison
from cwpo.paper.presets import all_presets


@dataclass(frozen=True, kw_only=True)
class Preset:
    """`values`: what it sets, with a list for every field that it runs over."""

    name: str
    label: str
    shows: str
    values: Mapping[str, Any]


def presets_for(dataset: str) -> dict[str, Preset]:
    """The comparisons that are made for this dataset, by name."""
    return {
        name: Preset(name=name, label=one.label, shows=one.shows, values=comparison(one))
        for name, one in all_presets().items()
        if dataset in _datasets(one)
    }


def address_of(preset: SandboxPreset) -> dict[str, str]:
    """The parameters with which New run opens on this comparison: what its two widgets show."""
    dataset = _datasets(preset)[0]
    return {"data.dataset": DATASETS.get(dataset, dataset), "preset": preset.label}


def _datasets(preset: SandboxPreset) -> list[str]:
    given = preset.settings.get("data", {}).get("dataset", "sandbox")
    return list(given) if isinstance(given, list) else [given]
