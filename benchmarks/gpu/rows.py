"""The rows of one card: measured once, written at once, none begun after the time is up."""

import gc
import json
import re
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import machine
from benchmarks.workload import Lengths, typical
from cwpo.files import write_whole

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the parts are measured with."""

    device: str
    families: tuple[str, ...]
    precisions: tuple[str, ...]
    shapes: tuple[str, ...]
    tunings: tuple[str, ...]
    sides: tuple[str, ...]
    batch: int
    steps: int
    tokens_per_batch: int

    @property
    def tried(self) -> bool:
        """Whether the code is tried without a GPU: everything is small then."""
        return not self.device.startswith("cuda")

    def lengths(self, count: int, *, batch: int, seed: int = 0) -> Lengths:
        """Those of typical pairs; short ones where the code is only tried."""
        rows = typical(count, batch=batch, seed=seed, tries=20 if self.tried else 300)
        return np.minimum(rows, 12) if self.tried else rows


class Rows:
    """The JSON file of one card: goals and {part: {row: values}}, beside card, versions and date."""

    def __init__(self, device: str, *, folder: Path, seconds: float, anew: bool = False) -> None:
        self.device, self.end = device, time.monotonic() + seconds
        self.card = torch.cuda.get_device_name(device) if device.startswith("cuda") else "tried-on-cpu"
        self.path = folder / f"gpu-{re.sub(r'[^a-z0-9]+', '-', self.card.lower()).strip('-')}.json"
        stored = json.loads(self.path.read_text()) if self.path.exists() and not anew else {"summary": {}}
        self.parts: dict[str, dict[str, Row]] = stored["summary"].get("parts", {})
        self.goals: list[Row] = stored["summary"].get("goals", [])
        for row in (row for rows in self.parts.values() for row in rows.values()):
            row.setdefault("date", stored["date"])
        self.part = ""

    def begin(self, part: str) -> None:
        """The rows that follow are of this part."""
        self.part = part
        self.parts.setdefault(part, {})
        print(f"== {part}", flush=True)

    def take(self, name: str, measure: Callable[[], Mapping[str, Any]]) -> Row:
        """The row of that name: as stored, else measured; what fails says why and the others go on."""
        row = self.parts[self.part].get(name, {})
        if row and "error" not in row and "skipped" not in row:
            return row
        if time.monotonic() > self.end:
            return self._keep(name, {"skipped": "out of time"})
        self._clean()
        began = time.monotonic()
        try:
            row = dict(measure())
        except Exception as error:
            traceback.print_exc(limit=-4)
            row = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        self._clean()
        return self._keep(name, row | {"took": round(time.monotonic() - began, 1), "date": _today()})

    def left(self) -> float:
        """Seconds until no row is begun any more."""
        return self.end - time.monotonic()

    def wrong(self) -> list[str]:
        """Rows that were measured and found wrong, or failed."""
        every = [(f"{part}: {name}", row) for part, rows in self.parts.items() for name, row in rows.items()]
        return [name for name, row in every if row.get("right") is False or "error" in row]

    def save(self) -> None:
        """The file as it is now."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        body = {
            "card": self.card,
            "date": _today(),
            "machine": machine() | {"cuda": torch.version.cuda},
            "summary": {"goals": self.goals, "parts": self.parts},
        }
        write_whole(self.path, json.dumps(body, indent=1) + "\n")

    def report(self) -> None:
        """Where the file is, the goals, and what is wrong."""
        self.save()
        for goal in self.goals:
            print(json.dumps(goal), flush=True)
        for name in self.wrong():
            print(f"WRONG {name}", flush=True)
        print(self.path, flush=True)

    def _keep(self, name: str, row: Row) -> Row:
        self.parts[self.part][name] = row
        self.save()
        print(f"  {name}: {json.dumps(row)}", flush=True)
        return row

    def _clean(self) -> None:
        gc.collect()
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def peak_gb(device: str) -> float | None:
    """The most memory that tensors took on the card since the row began."""
    return round(torch.cuda.max_memory_allocated(device) / 1e9, 2) if device.startswith("cuda") else None
