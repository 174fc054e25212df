"""The address of the Data page, and that of a new run with a dataset filled in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from app.components.frame.address import Params
from cwpo.bounds import yaml_text
from cwpo.config.columns import checked
from cwpo.data.profile.job import Split

LONGEST = 4_000  # characters of a path, or of the columns
MOST_TEST_PROMPTS = 10**6
LABELED = (0.01, 0.99)  # the smallest and the largest share of the pairs
NEW = Split()  # of a run that is told nothing


@dataclass(frozen=True, kw_only=True)
class DataView:
    """Which dataset is looked at, by which columns it is read, and how a run would split it."""

    screen: ClassVar[str] = "screens/data.py"
    source: str = ""
    subset: str = ""  # of a dataset of the hub, where it is said
    revision: str = ""
    columns: Mapping[str, str] | None = None
    split: Split = NEW

    def to_params(self) -> dict[str, Any]:
        plain = Split()
        told = {
            "source": self.source,
            "subset": self.subset,
            "revision": self.revision,
            "columns": json.dumps(self.columns, ensure_ascii=False) if self.columns else "",
            "test": "" if self.split.test_prompts == plain.test_prompts else str(self.split.test_prompts),
            "share": "" if self.split.label_fraction == plain.label_fraction else f"{self.split.label_fraction:g}",
        }
        return {name: value for name, value in told.items() if value}

    @classmethod
    def from_params(cls, params: Params) -> "DataView":
        plain = Split()
        test, share = _number(_last(params, "test")), _number(_last(params, "share"))
        return cls(
            source=_last(params, "source"),
            subset=_last(params, "subset"),
            revision=_last(params, "revision"),
            columns=_columns(_last(params, "columns")),
            split=Split(
                test_prompts=int(test) if 1 <= test <= MOST_TEST_PROMPTS else plain.test_prompts,
                label_fraction=round(share, 4) if LABELED[0] <= share <= LABELED[1] else plain.label_fraction,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class RunOnData:
    """New run, filled with a dataset; the rest is as it starts with any dataset of one's own."""

    screen: ClassVar[str] = "screens/new_run.py"
    dataset: str
    columns: Mapping[str, str] | None = None
    test_prompts: int | None = None
    label_fraction: float | None = None
    subset: str = ""
    revision: str = ""

    def to_params(self) -> dict[str, Any]:
        """As the form writes its own address: fields by their names, those without a widget as lines of YAML."""
        told: dict[str, Any] = {"data.dataset": self.dataset}
        told |= {f"data.{name}": text for name in ("subset", "revision") if (text := getattr(self, name))}
        if self.columns:
            line = {"data.columns": dict(self.columns)}
            told["other"] = yaml_text.written(line, width=LONGEST)
        if self.test_prompts is not None:
            told["data.test_prompts"] = str(self.test_prompts)
        if self.label_fraction is not None:
            told["data.label_fraction"] = f"{self.label_fraction:g}"
        return told


def _columns(text: str) -> dict[str, str] | None:
    """What an address says of columns; nothing where rows could not be read by it."""
    try:
        return checked(json.loads(text)) if text else None
    except (ValueError, RecursionError):
        return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _last(params: Params, name: str) -> str:
    value = params.get(name, "")
    return str(value[-1] if isinstance(value, list | tuple) and value else value or "")[:LONGEST]
