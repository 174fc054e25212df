"""`cwpo label`, `annotators`, `name` and `forget`: label a file, list annotators, name one, take the name back."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cwpo.config.catalog import short_name
from cwpo.config.parts import ExecutionConfig
from cwpo.errors import ConfigError
from workers.cli.compute import DEVICE_HELP, prepare
from workers.cli.failures import sentence
from workers.machine.paths import home
from workers.queue import labeling_end

if TYPE_CHECKING:
    from db.records import LabelFigures

FILE_HELP = "JSONL, JSONL.gz, Parquet or CSV with prompt, response_a and response_b, or prompt, chosen and rejected"
ANNOTATOR_HELP = "NAME, NAME@VERSION, fingerprint, or a model with a scalar head: ./folder or owner/name"


def add_verbs(verbs: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """The verbs and what they take."""
    one = add(verbs, "label", label, "label a file of pairs with a trained annotator")
    one.add_argument("annotator", metavar="ANNOTATOR", help=ANNOTATOR_HELP)
    one.add_argument("file", metavar="FILE", type=Path, help=FILE_HELP)
    one.add_argument("--out", metavar="FILE", type=Path, help="JSONL, JSONL.gz or Parquet (default: beside FILE)")
    one.add_argument("--device", default="auto", help=DEVICE_HELP)
    one.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    one.add_argument(
        "--tokens", type=int, default=ExecutionConfig().tokens_per_batch, help="tokens in one forward pass"
    )
    one.add_argument("--state", metavar="FILE", type=Path, help=argparse.SUPPRESS)
    add(verbs, "annotators", annotators, "the annotators that have a name, and where they come from")
    named = add(verbs, "name", name, "name the annotator of a run, so that other runs can use it")
    named.add_argument("run", type=int, help="run number")
    named.add_argument("name", help="letters, digits, dots, dashes and underscores; the next version of a known name")
    named.add_argument("--note", default="", help="what to remember of it")
    gone = add(verbs, "forget", forget, "take an annotator's name back, and delete what no run uses of it")
    gone.add_argument("name", metavar="NAME@VERSION", help="as `cwpo annotators` lists it")


def label(options: argparse.Namespace) -> int:
    """Write chosen, rejected, margin and confidence for every usable pair; say what was left out.

    Started by the dashboard it also leaves how it ended in a file, because nobody waits for it.
    """
    if options.state is None:
        _label(options)
        return 0
    try:
        said = _label(options)
    except Exception as error:
        labeling_end.write(options.state, labeling_end.FAILED, sentence(error))
        raise
    labeling_end.write(options.state, labeling_end.DONE, said)
    return 0


def _label(options: argparse.Namespace) -> str:
    """The labeling itself; what was written and what was not, by reason."""
    fingerprint = _fingerprint(options.annotator)
    from cwpo.annotation.label_file import label_file, labeler
    from cwpo.annotation.label_paths import default_out
    from cwpo.stages.context import Execution, WorkContext

    annotator = labeler(options.annotator, home=home(), fingerprint=fingerprint)
    device = prepare(options.device, options.threads)
    from workers.cli.console import make_console
    from workers.queue.labelings import summary

    console = make_console()
    with console.status("labeling") as status:
        done = label_file(
            options.file,
            options.out or default_out(options.file),
            annotator,
            work=WorkContext(
                execution=Execution(device=device, tokens_per_batch=options.tokens), reporter=_Rows(status)
            ),
        )
    said = summary(done.report)
    again = " (was there already)" if done.reused else ""
    console.print(f"{done.out}: {said}{again}", highlight=False, markup=False, soft_wrap=True)
    return said


def annotators(options: argparse.Namespace) -> int:
    """Every named annotator with where it comes from."""
    from cwpo.report.numbers import percent
    from db import queries
    from workers.cli.console import make_console, show_table
    from workers.machine.database import reading
    from workers.plan.annotator_names import in_store

    with reading() as session:
        rows = queries.named_annotators(session)
    cells = [
        [row.key, row.fingerprint[:12], short_name(row.model), short_name(row.dataset), percent(row.label_fraction),
         str(row.seed), f"{row.pairs or 0:,}", *_figures(row.judged),
         "" if in_store(row.fingerprint) else "files are gone"]
        for row in rows
    ]  # fmt: skip
    columns = ["name", "fingerprint", "model", "trained on", "labels", "seed", "pairs", "accuracy"]
    columns += ["2·accuracy − 1", "mean C", "ECE", "on", ""]
    show_table(f"Annotators ({len(rows)})", columns, cells, make_console())
    return 0


def name(options: argparse.Namespace) -> int:
    """Give the annotator of a run a name."""
    from workers import api

    version = api.name_annotator(options.run, options.name, options.note)
    print(f"{options.name}@{version}")
    return 0


def forget(options: argparse.Namespace) -> int:
    """Take a name back; the version must be said, so that nothing is taken back by mistake."""
    from workers import api

    name, _, version = options.name.rpartition("@")
    if not name or not version.isdecimal():
        raise ConfigError("NAME@VERSION", f"{options.name!r} names no version; `cwpo annotators` lists them.")
    removed = api.forget_annotator(name, int(version))
    what = f"artifacts deleted: {removed}" if removed else "a run or another name holds the annotator"
    print(f"{options.name} is no name any more; {what}.")
    return 0


def _figures(one: "LabelFigures | None") -> list[str]:
    """Accuracy against human labels, the mean C that it would justify, mean C, ECE, and on which data."""
    from cwpo.report.numbers import NOTHING, number, percent

    if one is None or one.accuracy_human is None:
        return [NOTHING] * 4 + [""]
    fair = number(2 * one.accuracy_human - 1)
    return [percent(one.accuracy_human), fair, number(one.mean_confidence), number(one.ece, 3), short_name(one.dataset)]


def _fingerprint(text: str) -> str | None:
    """Of a name or a fingerprint; None where it is a path or a hub id. Only names ask the database."""
    from cwpo.stages.stored_annotator import is_fingerprint

    if is_fingerprint(text):
        return text
    if "/" in text or text.startswith((".", "~")):
        return None
    from workers.plan.annotator_names import fingerprint_of

    try:
        return fingerprint_of(text, "ANNOTATOR")
    except ConfigError as error:
        if Path(text).is_dir():
            raise ConfigError("ANNOTATOR", f"no annotator has this name; write ./{text} for the folder.") from error
        raise


class _Rows:
    """Says how many rows have been read."""

    def __init__(self, status: Any) -> None:
        self._status = status

    def resumed(self, step: int) -> None:
        """Labeling trains nothing."""

    def progress(self, done: int, total: int, unit: str) -> None:
        self._status.update(f"{done:,} {unit}")

    def share(self, value: float) -> None:
        """The rows are counted."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Labeling has none."""

    def log(self, message: str) -> None:
        print(message, file=sys.stderr)

    def noted(self, sentence: str) -> None:
        self.log(sentence)

    def shown(self, name: str, data: Mapping[str, Any]) -> None:
        """Pages show it."""
