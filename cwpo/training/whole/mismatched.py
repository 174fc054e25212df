"""Answers under another pair's prompt, on which KTO estimates how far the policy has moved (Ethayarajh et al. 2024).

Each pair's prompt is continued by both answers of another pair, the same one in every stage and epoch, so that the
reference says once what it thinks of them (as TRL does; the paper draws the other answer from the same step).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cwpo import seeded
from cwpo.data.pairs import load_part
from cwpo.data.relabels import labels_of
from cwpo.data.tokens import pair_tokens
from cwpo.errors import ArtifactError, DataError
from cwpo.models.tokenization import Encoded, RowIds, fit
from cwpo.stages.context import StageContext
from cwpo.stages.settings import PartSettings

MISMATCHED_FILE = "mismatched.parquet"


@dataclass(frozen=True, kw_only=True)
class Mismatched:
    """For each of N pairs its prompt with two answers to another one, and what the reference thinks of them."""

    rows: list[Encoded]
    reference: Tensor  # (N, 2) log-probabilities, float64


def of_pairs(rows: Sequence[Encoded], reference: Mapping[str, tuple[float, float]], ids: Sequence[str]) -> Mismatched:
    """The rows of these pairs, in their order; ArtifactError where the reference does not know one."""
    by_id = {row.pair_id: row for row in rows}
    missing = [pair_id for pair_id in ids if pair_id not in by_id or pair_id not in reference]
    if missing:
        raise ArtifactError(f"The reference says nothing of {len(missing)} pairs; retry the run to compute it again.")
    values = torch.tensor([reference[pair_id] for pair_id in ids], dtype=torch.float64).view(-1, 2)
    return Mismatched(rows=[by_id[pair_id] for pair_id in ids], reference=values)


def of_part(ctx: StageContext[Any], tokenizer: Any, context: int) -> list[Encoded]:
    """The rows of all pairs of the stage's part that fit the model."""
    settings: PartSettings = ctx.settings
    part = load_part(ctx.inputs["data"], settings.part, settings, labels_of(ctx))
    rows = list(pair_tokens(ctx, tokenizer).pairs(part))
    fitting = {row.pair_id for row in fit(rows, tokenizer, context).rows}
    return fit(mismatch([row for row in rows if row.row_id in fitting]), tokenizer, context).rows


def mismatch(rows: Sequence[RowIds]) -> Iterator[RowIds]:
    """Each row with the answers of the next one, in the order of a hash of their ids, that has another prompt.

    Raises DataError where all prompts are the same.
    """
    order = np.argsort(seeded.mixed(seeded.words([row.row_id for row in rows])), kind="stable").tolist()
    prompts = [tuple(row.prompt) for row in rows]
    for place, at in enumerate(order):
        later = (order[(place + step) % len(order)] for step in range(1, len(order)))
        other = next((one for one in later if prompts[one] != prompts[at]), None)
        if other is None:
            raise DataError("KTO needs pairs of at least two prompts: choose more data or another objective.")
        yield RowIds(rows[at].row_id, rows[at].prompt, rows[other].responses, False)


def file_in(directory: Path) -> Path:
    """Where a reference artifact has the log-probabilities of these rows."""
    return directory / MISMATCHED_FILE
