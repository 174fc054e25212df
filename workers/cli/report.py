"""`cwpo report RUN… --out FILE`: a comparison as one file to send."""

import argparse
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cwpo.errors import ConfigError
from cwpo.files import written_aside

MOST_RUNS = 400
ENDINGS = (".html", ".pdf")


def add_verbs(verbs: Any, verb: Callable[..., argparse.ArgumentParser]) -> None:
    """The verb with its options."""
    make = verb(verbs, "report", _report, "put the comparison of runs into one HTML or PDF file to send")
    make.add_argument("runs", type=int, nargs="+", metavar="RUN", help="run numbers")
    make.add_argument("--out", metavar="FILE", type=Path, required=True, help="FILE.html or FILE.pdf")
    make.add_argument("--title", default="", help="default: the name that all runs share")
    make.add_argument(
        "--reference", metavar="RUN", type=int,
        help="a run of the setting that the others are held against (default: human labels, else weak labels)",
    )  # fmt: skip


def _report(options: argparse.Namespace) -> int:
    target: Path = options.out
    if target.suffix.lower() not in ENDINGS:
        raise ConfigError("--out", f"{target.name} is neither .html nor .pdf; give one of them.")
    if target.is_dir() or not target.parent.is_dir():
        raise ConfigError("--out", f"{target} cannot be written; give a file in a folder that exists.")
    if len(options.runs) > MOST_RUNS:
        raise ConfigError("run", f"{len(options.runs)} runs are too many for one report; give at most {MOST_RUNS}.")
    content = _content(options, pdf=target.suffix.lower() == ".pdf")
    with written_aside(target, f".{target.name}.{uuid.uuid4().hex[:8]}") as work:
        work.write_bytes(content)
    print(f"{len(options.runs)} runs, {len(content):,} bytes: {target}")
    return 0


def _content(options: argparse.Namespace, *, pdf: bool) -> bytes:
    from cwpo.report.document.as_html import to_html
    from cwpo.report.document.contents import document_of
    from workers.compared import compared_in_database

    now = datetime.now(UTC)
    found = compared_in_database(options.runs, reference=options.reference)
    document = document_of(found, title=options.title, made_at=now)
    if not pdf:
        return to_html(document).encode()
    from cwpo.report.document.as_pdf import to_pdf

    return to_pdf(document, made_at=now)
