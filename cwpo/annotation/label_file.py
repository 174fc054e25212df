"""`cwpo label`: a trained annotator labels a file of prompts with two responses, window by window.

Finished windows lie in `<out>.parts` until the file is whole, so a killed labeling goes on where it was. A window is
all that is in memory, whatever the length of the file. What was left out, and why, stands in `<out>.report.json`.
"""

import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cwpo.annotation import label_rows
from cwpo.annotation.annotator import BRADLEY_TERRY, JOINT, encode_candidates
from cwpo.annotation.label_paths import (
    JOB,
    WINDOW,
    alone,
    check_files,
    check_report,
    parts_of,
    read_json,
    report_of,
    taken,
)
from cwpo.annotation.labeling import annotations, read_window, score_pairs, write_window
from cwpo.artifacts import ArtifactStore, content_hash
from cwpo.config import catalog
from cwpo.config.run import digest
from cwpo.config.store import store_at
from cwpo.data.filtering import Tally
from cwpo.errors import ConfigError, Damaged, DataError
from cwpo.files import write_whole, written_new
from cwpo.full_disk import waiting, waits_for_room, when_room
from cwpo.models import hub
from cwpo.models.fetched.names import folder_of
from cwpo.models.load import ModelRef, context_length, load_annotator, load_reward_model
from cwpo.models.logps import ForwardPath, forward_path
from cwpo.sealed import ASIDE, read_sealed, set_aside
from cwpo.stages.context import WorkContext
from cwpo.stages.resolve import pin_model
from cwpo.stages.stored_annotator import store_of, stored_annotator

_FORMAT = 2  # version of parts and output; parts of another version are not resumed
_PART_FILE = re.compile(r"job\.json(\.partial)?|\d{6}\.(sealed(\.partial)?|parquet|partial)")
_COUNTS = "counts"  # of a part, in its metadata
_STOPPED = "Stopped while labeling; the same command goes on from the last finished window."
TOO_LONG, NOT_FINITE = "too_long", "not_finite"


@dataclass(frozen=True, kw_only=True)
class Labeler:
    """An annotator for files: what it is, and how it was trained to read."""

    name: str  # as it was asked for
    ref: ModelRef
    trained: bool  # by this program: its weights are an annotator's artifact
    store: ArtifactStore
    kind: str = BRADLEY_TERRY
    precision: str = "fp32"
    max_length: int | None = None

    def identity(self) -> dict[str, Any]:
        """What decides its scores."""
        weights = self.ref.artifact.name if self.ref.artifact is not None else [self.ref.name, self.ref.revision]
        return {"weights": weights, "kind": self.kind, "precision": self.precision, "max_length": self.max_length}


@dataclass(frozen=True, kw_only=True)
class Labeled:
    """What was written, and the report beside it."""

    out: Path
    report: Mapping[str, Any]
    reused: bool  # it was there already, whole


def labeler(name: str, *, home: Path, fingerprint: str | None = None) -> Labeler:
    """The annotator of that fingerprint, or a model folder or hub id with a scalar head."""
    store = store_at(home)
    folder = folder_of(name, home)
    if fingerprint is None and (made_here := store_of(folder)):
        store, fingerprint = made_here
    if fingerprint is not None:
        found = stored_annotator(store, fingerprint, verify=True)
        return Labeler(
            name=name,
            ref=ModelRef(artifact=found.path),
            trained=True,
            store=store,
            kind=found.kind,
            precision=found.precision,
            max_length=found.max_length,
        )
    if name in catalog.SANDBOX_MODELS:
        raise ConfigError("ANNOTATOR", f"{name} is a language model without a scalar head; name a trained annotator.")
    revision = pin_model("ANNOTATOR", name, None, home=home)
    where = str(folder.resolve()) if hub.is_local(name) else name
    return Labeler(name=name, ref=ModelRef(name=where, revision=revision), trained=False, store=store)


def label_file(
    source: Path,
    out: Path,
    annotator: Labeler,
    *,
    work: WorkContext | None = None,
) -> Labeled:
    """Label every usable pair of `source`; JSONL or Parquet by the ending of `out`, the report beside it."""
    work = work or WorkContext()
    check_files(source, out)
    check_report(out)
    job = _job(source, annotator)
    if (done := _finished(out, job)) is not None:
        return Labeled(out=out, report=done, reused=True)
    with waiting(out.parent, work.reporter.log, work.should_stop), alone(out):
        if (done := _finished(out, job)) is not None:  # by another labeling, meanwhile
            return Labeled(out=out, report=done, reused=True)
        parts = _open_parts(out, job)
        started, tally, files = time.monotonic(), Tally(), []
        score: Callable[[label_rows.Window], tuple[pa.Table, dict[str, int]]] | None = None
        for index, window in enumerate(label_rows.windows(source, WINDOW, tally)):
            work.stop_if_asked(_STOPPED)
            part = parts / f"{index:06d}.sealed"
            if not _is_whole(part, work):
                score = score or _scorer(annotator, work)
                table, counts_of = score(window)
                write_window(table.replace_schema_metadata({_COUNTS: json.dumps(counts_of)}), part)
            files.append(part)
            work.reporter.progress(tally.rows, 0, "rows")
        if not files:
            raise DataError(_nothing(source, tally))
        counts = _finish(files, out, tally)
        facts = {**_facts(source, out, annotator, tally), **counts}
        report = {**facts, "job": job, "seconds": time.monotonic() - started}
        _write_report(out, json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False))
        shutil.rmtree(parts, ignore_errors=True)
    return Labeled(out=out, report=report, reused=False)


@waits_for_room
def _write_report(out: Path, text: str) -> None:
    """Beside the output; in the place of that of an earlier labeling, never of anything else."""
    check_report(out)
    report_of(out).unlink(missing_ok=True)
    with written_new(report_of(out)) as aside:
        aside.write_text(text, encoding="utf-8")


def _scorer(annotator: Labeler, work: WorkContext) -> Callable[[label_rows.Window], tuple[pa.Table, dict[str, int]]]:
    """A window -> its part, with a reason in the rows that have no label; and how many rows were cut or spelled out."""
    path, tokenizer = _load(annotator, work)
    context = context_length(path.model, annotator.max_length)

    def score(window: label_rows.Window) -> tuple[pa.Table, dict[str, int]]:
        encoded = encode_candidates(window.pairs, tokenizer, context, annotator.kind)
        scores = score_pairs(path, encoded.rows, work, stopped=_STOPPED)
        if annotator.kind == JOINT:
            scores = scores / 2
        finite = np.asarray(np.isfinite(scores).all(axis=1))
        said = annotations(window.pairs, encoded.rows, np.where(finite[:, None], scores, 0.0)[:, None, :]).to_pylist()
        usable = {row["pair_id"]: row if fine else NOT_FINITE for row, fine in zip(said, finite, strict=True)}
        counts = {"prompts_cut": encoded.truncated, "control_tokens": encoded.control_tokens}
        return _part_table(window, usable), counts

    return score


def _part_table(window: label_rows.Window, usable: Mapping[str, Any]) -> pa.Table:
    rows = []
    for line, pair in zip(window.lines, window.pairs, strict=True):
        said = usable.get(pair.pair_id, TOO_LONG)
        row = {} if isinstance(said, str) else label_rows.labeled_row(pair, said)
        rows.append({"line": line, "problem": said if isinstance(said, str) else "", **row})
    columns = label_rows.schema(window.pairs[0].messages is not None)
    own = pa.schema([("line", pa.int64()), ("problem", pa.string()), *columns])
    return pa.Table.from_pylist(rows, schema=own)


def _load(annotator: Labeler, work: WorkContext) -> tuple[ForwardPath, Any]:
    """The model, dropout off, and its tokenizer; a model from elsewhere must bring a trained head of one output."""
    if annotator.trained:
        model, tokenizer = load_annotator(
            annotator.ref,
            store=annotator.store,
            device=work.device,
            seed=0,
            dropout=0.0,
            frozen_in=annotator.precision,
        )
    else:
        model, tokenizer = load_reward_model(annotator.ref, store=annotator.store, device=work.device, precision="fp32")
    path = forward_path(model.eval(), device=work.device, precision=annotator.precision, log=work.reporter.log)
    return path, tokenizer


def _finish(files: list[Path], out: Path, tally: Tally) -> dict[str, Any]:
    """Count what the parts say, and write the file from them."""
    labeled, sure, counts = 0, 0.0, Counter[str]()
    for file in files:
        table = read_window(file)
        counts.update(json.loads(table.schema.metadata[_COUNTS.encode()]))
        for row in table.filter(pc.not_equal(table["problem"], "")).to_pylist():
            tally.reject(row["problem"], line=row["line"], detail=_DETAILS[row["problem"]])
        known = table["confidence"].drop_null()
        labeled, sure = labeled + len(known), sure + float(pc.sum(known, min_count=0).as_py())
    if not labeled:
        raise DataError(f"No pair can be labeled: {_reasons(tally)}.")
    when_room(lambda: label_rows.join(map(_labeled_rows, files), _labeled_rows(files[0]).schema, out))
    return {
        "labeled": labeled,
        "rejected": dict(sorted(tally.reasons.items())),
        "rejected_examples": tally.examples,
        "prompts_cut": counts["prompts_cut"],
        "control_tokens": counts["control_tokens"],
        "mean_confidence": sure / labeled,
    }


def _labeled_rows(part: Path) -> pa.Table:
    table = read_window(part).replace_schema_metadata(None)
    return table.filter(pc.equal(table["problem"], "")).drop_columns(["line", "problem"])


_DETAILS = {
    TOO_LONG: "a response does not fit the annotator's context",
    NOT_FINITE: "the annotator's score is not a finite number",
}


def _facts(source: Path, out: Path, annotator: Labeler, tally: Tally) -> dict[str, Any]:
    return {
        "annotator": annotator.name,
        "source": str(source.resolve()),
        "out": str(out.resolve()),
        "rows": tally.rows,
    }


def _job(source: Path, annotator: Labeler) -> dict[str, Any]:
    """What decides the output: another annotator or another content of the file is another labeling."""
    facts = {"source": content_hash(source), **annotator.identity(), "window": WINDOW, "format": _FORMAT}
    return {**facts, "id": digest(facts)}


def _finished(out: Path, job: Mapping[str, Any]) -> dict[str, Any] | None:
    """The report of the same labeling, whole; another file of that name is never overwritten."""
    if not out.exists():
        return None
    found = read_json(report_of(out))
    if found.get("job", {}).get("id") == job["id"]:
        return found
    if read_json(parts_of(out) / JOB).get("id") == job["id"]:  # killed between the file and its report
        return None
    raise taken(out)


def _open_parts(out: Path, job: Mapping[str, Any]) -> Path:
    """The folder of finished windows: that of the same labeling, else a new one. What is not of a labeling stays."""
    folder = parts_of(out)
    when_room(lambda: folder.mkdir(exist_ok=True))
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ConfigError("--out", f"{folder} is a link or somebody else's; remove it, or choose another --out.")
    mine = [file for file in folder.iterdir() if _PART_FILE.fullmatch(file.name) or file.name == ASIDE]
    if len(mine) < sum(1 for _ in folder.iterdir()):
        raise ConfigError("--out", f"{folder} holds something else; remove it, or choose another --out.")
    if read_json(folder / JOB).get("id") != job["id"]:
        for file in mine:
            if file.name == ASIDE:
                shutil.rmtree(file)
            else:
                file.unlink()
        write_whole(folder / JOB, json.dumps(job, indent=1))
    return folder


def _is_whole(part: Path, work: WorkContext) -> bool:
    """Whether the window is there as it was written; a damaged one is set aside, which is said."""
    if not part.exists():
        return False
    try:
        read_sealed(part)
    except Damaged as error:
        set_aside(part)
        work.reporter.noted(
            f"A window that was labeled before is damaged and set aside ({error}): it is labeled again."
        )
        return False
    return True


def _nothing(source: Path, tally: Tally) -> str:
    if not tally.rows:
        return f"{source.name} has no rows: it needs columns prompt, response_a and response_b."
    return (
        f"None of the {tally.rows:,} rows of {source.name} is a usable pair ({_reasons(tally)}): "
        "give columns prompt, response_a and response_b, or prompt, chosen and rejected."
    )


def _reasons(tally: Tally) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(tally.reasons.items()))
