"""Sets of labels that people gave later: a JSON line per pair, in an artifact named by its content. Torch-free.

A row is a preference (prompt, chosen, rejected, source, weight) with the ids of its pair and prompt; a dropped pair has
the weight 0.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cwpo.artifacts import ArtifactStore
from cwpo.data.filtering import content_hash
from cwpo.data.pairs import PROMPTS_FILE, load_prompts
from cwpo.data.split import Labels, Split
from cwpo.errors import ArtifactError, DataError
from cwpo.records import Side
from cwpo.sandbox import world
from cwpo.stages.context import StageContext
from cwpo.stages.settings import SplitSettings

RELABELS_FILE = "relabels.jsonl"
KIND = "relabels"  # in the manifest
GONE = "The set of labels {} is not in the store; choose another, or make it again from its votes."
HELD_OUT = (
    "{} of the pairs of the set of labels {} have prompts that this run is evaluated on; leave them out of the set, or "
    "choose another evaluation.seed."
)


@dataclass(frozen=True, kw_only=True)
class Relabel:
    """One pair of a set: which side people chose, None where they dropped the pair; `votes` and how many agreed."""

    pair_id: str
    prompt_id: str
    prompt: str
    response_a: str
    response_b: str
    label: Side | None
    votes: int = 1
    agreeing: int = 1

    def row(self) -> dict[str, Any]:
        """The line of the file; of a dropped pair the order of the responses says nothing."""
        first = self.label != "b"
        return {
            "pair_id": self.pair_id,
            "prompt_id": self.prompt_id,
            "prompt": self.prompt,
            "chosen": self.response_a if first else self.response_b,
            "rejected": self.response_b if first else self.response_a,
            "chosen_side": "a" if first else "b",
            "source": "human",
            "weight": 0.0 if self.label is None else 1.0,
            "votes": self.votes,
            "agreeing": self.agreeing,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Relabel":
        """The other way."""
        first = row["chosen_side"] == "a"
        side: Side = "a" if first else "b"
        return cls(
            pair_id=row["pair_id"],
            prompt_id=row["prompt_id"],
            prompt=row["prompt"],
            response_a=row["chosen"] if first else row["rejected"],
            response_b=row["rejected"] if first else row["chosen"],
            label=side if row["weight"] else None,
            votes=row["votes"],
            agreeing=row["agreeing"],
        )


def content(rows: Iterable[Relabel]) -> str:
    """The file: sorted by pair, so that equal sets are equal bytes."""
    ordered = sorted(rows, key=lambda row: row.pair_id)
    return "".join(json.dumps(row.row(), ensure_ascii=False, sort_keys=True) + "\n" for row in ordered)


def put(store: ArtifactStore, rows: Sequence[Relabel]) -> str:
    """Store a set; its fingerprint, which is the hash of its content."""
    text = content(rows).encode()
    fingerprint = hashlib.sha256(text).hexdigest()
    if not store.holds(fingerprint):
        with store.build(fingerprint, {"kind": KIND, "pairs": len(rows)}) as folder:
            (folder / RELABELS_FILE).write_bytes(text)
        store.share(fingerprint)
    return fingerprint


def read(store: ArtifactStore, fingerprint: str) -> list[Relabel]:
    """The rows of a set; ArtifactError when it is gone or something else."""
    folder = store.find(fingerprint)
    if folder is None or not (folder / RELABELS_FILE).is_file():
        raise ArtifactError(GONE.format(fingerprint[:12]))
    with (folder / RELABELS_FILE).open(encoding="utf-8") as file:
        return [Relabel.of_row(json.loads(line)) for line in file]


def held_out(rows: Iterable[Relabel], prompt_ids: Iterable[str]) -> int:
    """How many rows have a prompt that is evaluated on."""
    known = set(prompt_ids)
    return sum(row.prompt_id in known for row in rows)


def sandbox_prompts(count: int, seed: int) -> set[str]:
    """The ids of the sandbox's held-out prompts, which lie in another artifact than its pairs."""
    return {prompt_id_of(prompt) for prompt in world.make_test_prompts(count, seed)}


def prompt_id_of(prompt: str) -> str:
    """As pairs have it."""
    return content_hash("prompt", prompt)[:16]


def relabels_of(ctx: StageContext[Any]) -> list[Relabel]:
    """The set that a stage is given, of which no prompt is held out; empty where there is none."""
    settings, data = ctx.settings, ctx.inputs.get("data")
    if not isinstance(settings, SplitSettings) or settings.relabels is None or data is None:
        return []
    rows = read(ctx.store, settings.relabels)
    _refuse_held_out(rows, data, settings.relabels)
    return rows


def labels_of(ctx: StageContext[Any]) -> Labels:
    """The same by pair."""
    return by_pair(relabels_of(ctx))


def by_pair(rows: Iterable[Relabel]) -> Labels:
    """Pair -> side, None where it was dropped."""
    return {row.pair_id: row.label for row in rows}


def with_relabels(split: Split, rows: Sequence[Relabel]) -> Split:
    """A split from which these pairs are taken; they leave the unlabeled part."""
    left = sum(split.has("unlabeled", row.prompt_id) for row in rows)
    return replace(split, relabeled=by_pair(rows), unlabeled_pairs=max(0, split.unlabeled_pairs - left))


def _refuse_held_out(rows: Sequence[Relabel], data: Path, fingerprint: str) -> None:
    if not (data / PROMPTS_FILE).is_file():
        return
    found = held_out(rows, (prompt.prompt_id for prompt in load_prompts(data)))
    if found:
        raise DataError(HELD_OUT.format(found, fingerprint[:12]))
