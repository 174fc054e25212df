"""How long prompts and responses are: histograms whose bins grow by √2, and a few figures. Torch-free."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BYTES_PER_TOKEN = 4  # of UTF-8: about right for English text and for other scripts with a tokenizer that knows them
EDGES = (0.0, *(float(edge) for edge in np.sqrt(2.0) ** np.arange(0, 49)))
PARTS = ("prompt", "chosen", "rejected")


@dataclass
class Lengths:
    """Characters and bytes of every text, eight bytes each."""

    characters: dict[str, "array[int]"] = field(default_factory=lambda: {part: array("q") for part in PARTS})
    octets: dict[str, "array[int]"] = field(default_factory=lambda: {part: array("q") for part in PARTS})

    def add(self, texts: Mapping[str, str]) -> None:
        for part in PARTS:
            self.characters[part].append(len(texts[part]))
            self.octets[part].append(len(texts[part].encode("utf-8", "surrogatepass")))

    def summary(self) -> dict[str, Any]:
        """By unit and part: counts of bins, and median, 95 % point and longest."""
        units = {
            "characters": {part: np.asarray(values, dtype=float) for part, values in self.characters.items()},
            "tokens": {part: np.ceil(np.asarray(v, dtype=float) / BYTES_PER_TOKEN) for part, v in self.octets.items()},
        }
        return {unit: {part: _figures(values) for part, values in parts.items()} for unit, parts in units.items()}


def _figures(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    counts = np.histogram(values, bins=np.array(EDGES))[0].tolist()
    if not len(values):
        return {"counts": counts, "median": 0, "most": 0, "longest": 0}
    median, most = np.quantile(values, [0.5, 0.95]).tolist()
    return {"counts": counts, "median": median, "most": most, "longest": float(values.max())}
