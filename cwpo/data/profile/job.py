"""What a profile is asked for, and the folder of its answer. Free of torch: the page reads and writes these."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cwpo.config import catalog
from cwpo.config.parts import DataConfig, EvaluationConfig
from cwpo.files import write_whole
from cwpo.models.hub import is_local
from cwpo.redaction import without_secrets

VERSION = 2  # of what a profile says
JOB, PROGRESS, RESULT, END, PAIRS = "job.json", "progress.json", "result.json", "end.json", "pairs.jsonl"
DONE, FAILED = "done", "failed"
Asked = Literal["first", "profile", "export"]  # of a source
Kind = Asked | Literal["run"]


@dataclass(frozen=True, kw_only=True)
class Split:
    """How a run would divide the prompts; what a new run has unless it is told otherwise."""

    test_prompts: int = DataConfig().test_prompts
    label_fraction: float = DataConfig().label_fraction
    split_seed: int = 0
    evaluation_seed: int = EvaluationConfig(gold_reward="trained").seed


@dataclass(frozen=True, kw_only=True)
class Job:
    """`source`: a file, a dataset of the catalog, a hub id, or for the kind "run" the folder of a data artifact.
    `subset`, `revision`: of a dataset of the hub, where they were said. The kind "first" asks for the first rows."""

    kind: Kind
    source: str
    content: str  # hash or revision, as far as it is known
    columns: Mapping[str, str] | None = None
    split: Split = field(default_factory=Split)
    rule: Mapping[str, Any] | None = None  # settings of the split, of a run
    version: int = VERSION
    subset: str | None = None
    revision: str | None = None

    def key(self) -> str:
        """The same for the same question about the same content; as it was for those without subset and revision."""
        told = asdict(self)
        later = {name: value for name in ("subset", "revision") if (value := told.pop(name)) is not None}
        return hashlib.sha256(json.dumps({**told, **later}, sort_keys=True).encode()).hexdigest()[:24]


def of_hub(source: str) -> bool:
    """Whether a source is a dataset of the hub: it may have subsets and revisions."""
    row = catalog.DATASETS.get(source)
    return row.repo is not None if row is not None else not is_local(source)


def write(folder: Path, job: Job) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / JOB, json.dumps(asdict(job), ensure_ascii=False))


def read(folder: Path) -> Job:
    """The job of a folder; KeyError, TypeError or ValueError where it is none of ours."""
    values = json.loads((folder / JOB).read_text(encoding="utf-8"))
    return Job(**{**values, "split": Split(**values["split"])})


def end(folder: Path, status: str, said: str = "") -> None:
    """The last act of its process; one that is killed writes none."""
    write_whole(folder / END, json.dumps({"status": status, "said": without_secrets(said)}, ensure_ascii=False))


def found(folder: Path, name: str) -> dict[str, Any]:
    """What a file of the folder says; nothing where there is none."""
    try:
        values = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
