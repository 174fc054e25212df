"""Ready-made comparisons that a form can start from: a name, what they show, and a configuration with lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cwpo.sandbox import presets as sandbox


@dataclass(frozen=True, kw_only=True)
class Preset:
    """`values`: what it sets, with a list for every field that it runs over."""

    name: str
    label: str
    shows: str
    values: Mapping[str, Any]


def presets_for(dataset: str) -> dict[str, Preset]:
    """The comparisons that are made for this dataset, by name."""
    if dataset != "sandbox":
        return {}
    return {
        name: Preset(name=name, label=one.label, shows=one.shows, values=sandbox.comparison(one))
        for name, one in sandbox.PRESETS.items()
    }
