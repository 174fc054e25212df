"""`cwpo bundle`, `cwpo reproduce` and `cwpo report`: files that leave this installation."""

import argparse
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cwpo.config.environment import settings
from cwpo.config.run import expand
from cwpo.errors import ConfigError, DataError, sentence_of
from cwpo.files import written_new
from workers.machine.paths import home, reproduced, store

if TYPE_CHECKING:
    from cwpo.bundle.read import Bundle
    from cwpo.bundle.rerun import Reproduced
    from cwpo.bundle.write import FinishedRun
    from cwpo.stages.execute import StageResult

# Exit codes of a rerun: a cell came out otherwise; it could not be finished.
DIFFERENT, FAILED = 1, 3
REPORTS, MOST_REPORTED = (".html", ".pdf"), 400


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Both verbs with their options."""
    make = verbs.add_parser(
        "bundle",
        help="put runs, their revisions, seeds and tables into a file that reruns",
        description="Make a reproduce bundle of evaluated runs.",
    )
    make.add_argument("runs", nargs="+", metavar="RUN", help="run numbers, or CONFIG.yaml of runs by `cwpo run`")
    make.add_argument("--out", metavar="FILE.zip", type=Path, required=True, help="the bundle")
    make.add_argument("--include-data", action="store_true", help="put in the local files that the runs name")
    make.add_argument("--device", default="auto", help="as `cwpo run` was given for a CONFIG.yaml (default: auto)")
    make.set_defaults(verb=_bundle)
    again = verbs.add_parser(
        "reproduce",
        help="run a bundle again and compare its tables cell by cell",
        description="Run a reproduce bundle again. Exit code 0: all cells are the same; 1: one is not; 2: the "
        "file is no bundle or lacks something; 3: the rerun failed.",
    )
    again.add_argument("file", metavar="FILE.zip", type=Path, help="a bundle made by `cwpo bundle` or the dashboard")
    again.add_argument(
        "--home", metavar="DIR", type=Path, help="where it is computed (default: a folder of its own under CWPO_HOME)"
    )
    again.add_argument("--check", action="store_true", help="look at it and say what would be done; run nothing")
    again.add_argument("--device", default="auto", help="cpu, cuda:0 or auto (default)")
    again.add_argument("--threads", type=int, help="CPU threads (default: as many as each stage was computed with)")
    again.set_defaults(verb=rerun)
    _add_report(verbs)


def _add_report(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tell = verbs.add_parser(
        "report",
        help="put the comparison of runs into one HTML or PDF file to send",
        description="Write what Compare says of these runs: the verdict, tables, charts, terms, configuration.",
    )
    tell.add_argument("runs", type=int, nargs="+", metavar="RUN", help="run numbers")
    tell.add_argument("--out", metavar="FILE", type=Path, required=True, help="FILE.html or FILE.pdf")
    tell.add_argument("--title", default="", help="default: the name that all runs share")
    tell.add_argument(
        "--reference", metavar="RUN", type=int,
        help="a run of the setting that the others are held against (default: human labels, else weak labels)",
    )  # fmt: skip
    tell.set_defaults(verb=_report)


def _report(options: argparse.Namespace) -> int:
    target: Path = options.out
    kind = target.suffix.lower()
    if kind not in REPORTS:
        raise ConfigError("--out", f"{target.name} is neither .html nor .pdf; give one of them.")
    if len(options.runs) > MOST_REPORTED:
        raise ConfigError("run", f"{len(options.runs)} are too many for one report; give at most {MOST_REPORTED}.")
    _check_target(target)
    from cwpo.report.document.as_html import to_html
    from cwpo.report.document.contents import document_of
    from workers.compared import compared_in_database

    now = datetime.now(UTC)
    document = document_of(
        compared_in_database(options.runs, reference=options.reference), title=options.title, made_at=now
    )
    if kind == ".pdf":
        from cwpo.report.document.as_pdf import to_pdf

        content = to_pdf(document, made_at=now)
    else:
        content = to_html(document).encode()
    with written_new(target) as work:
        work.write_bytes(content)
    _noted("report", target, options.runs)
    print(f"{len(options.runs)} runs, {len(content):,} bytes: {target}")
    return 0


def _noted(kind: str, target: Path, runs: Sequence[int]) -> None:
    from workers.api.exports import handed_out

    handed_out(kind, str(target), runs)


def _check_target(target: Path) -> None:
    if target.is_dir() or not target.parent.is_dir():
        raise ConfigError("--out", f"{target} cannot be written; give a file in a folder that exists.")
    if os.path.lexists(target):
        raise ConfigError("--out", f"{target} exists already; remove it, or choose another name.")


def _bundle(options: argparse.Namespace) -> int:
    from cwpo.bundle import write

    target: Path = options.out
    _check_target(target)
    runs = _finished(options.runs, options.device)
    with written_new(target) as work, work.open("wb") as file:
        write.write(file, runs, store=store(), with_data=options.include_data)
    if numbers := [int(name) for name in options.runs if name.isdecimal()]:
        _noted("bundle", target, numbers)
    print(f"{len(runs)} runs, {target.stat().st_size:,} bytes: {target}")
    for kept in [] if options.include_data else write.local_files([run.config for run in runs]):
        print(f"not included: {kept.path} ({kept.revision[:19]}…); --include-data puts it in")
    return 0


def _finished(names: Sequence[str], device: str) -> "list[FinishedRun]":
    """Numbers are runs of the database; anything else is the file of runs that lie in the store."""
    from cwpo.bundle.write import from_store

    runs: list[FinishedRun] = []
    numbers = [int(name) for name in names if name.isdecimal()]
    if numbers:
        from workers.finished_runs import from_database

        runs += from_database(numbers)
    for name in names:
        if not name.isdecimal():
            from cwpo.stages.resolve import resolve
            from workers.cli.compute import bf16_wanted
            from workers.cli.config_file import read_config

            bf16 = bf16_wanted(device)
            configs = [resolve(one, bf16=bf16, home=home()) for one in expand(read_config(Path(name), ()))]
            runs += from_store(configs, store())
    return runs


def rerun(options: argparse.Namespace) -> int:
    """Run a bundle again and compare."""
    from cwpo.bundle import read

    found = read.read(options.file)
    place = (options.home or reproduced(home()) / _sha(options.file)).resolve()
    _say_what_it_is(found, place)
    if options.check:
        return 0
    try:
        done = _rerun(found, place, options)
    except (ConfigError, DataError):
        raise  # what the file lacks
    except Exception as error:
        if settings.traceback:
            raise
        print(f"The rerun failed: {sentence_of(error)} The same command goes on from here.", file=sys.stderr)
        return FAILED
    folder = place / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in done.tables.items():
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    print(f"{done.computed} stages computed, {done.reused} were there already; tables: {folder}")
    print(f"Outputs of {done.same_outputs} of {done.known_outputs} stages are the recorded ones, byte for byte.")
    return _verdict(done)


def _rerun(found: "Bundle", place: Path, options: argparse.Namespace) -> "Reproduced":
    """Every run, with a line when it is done."""
    from cwpo.bundle import rerun as reproduce
    from workers.cli import console as view
    from workers.cli.compute import prepare_for

    device = prepare_for(options, found.configs[0])
    console = view.make_console()

    def on_run(number: int, stages: "Mapping[str, StageResult]") -> None:
        config = found.configs[number - 1]
        new = [stage.seconds for stage in stages.values() if stage.computed]
        console.print(
            f"{number} of {len(found.configs)}: {config.method_label}, seed {config.seed}: "
            f"{len(new)} stages computed in {sum(new):.0f} s, {len(stages) - len(new)} shared",
            highlight=False,
            markup=False,
        )

    with view.StageBars(console) as bars:
        return reproduce.rerun(
            found,
            home=place,
            device=device,
            threads=options.threads,
            reporter_for=bars.reporter_for,
            on_run=on_run,
        )


def _verdict(done: "Reproduced") -> int:
    """Says whether the tables are the recorded ones, and names every cell that is not."""
    from cwpo.bundle.rerun import shown

    if not done.differences:
        print(f"Identical: all {done.cells:,} cells of {len(done.tables)} tables are the recorded ones.")
        return 0
    for line in shown(done.differences):
        print(line)
    print(f"Different: {len(done.differences):,} of {done.cells:,} cells.", file=sys.stderr)
    return DIFFERENT


def _say_what_it_is(found: "Bundle", place: Path) -> None:
    """What it holds, and each reason why its numbers may come out otherwise here."""
    from cwpo.bundle import read
    from cwpo.bundle import rerun as reproduce

    cells = sum(len(row) for rows in found.tables.values() for row in rows)
    print(f"{len(found.configs)} runs, {reproduce.distinct_stages(found)} different stages, {cells:,} cells in tables")
    if changed := reproduce.changed_packages(found):
        print(f"Other versions than the recorded ones: {'; '.join(changed)}")
    if slots := reproduce.changed_stages(found):
        print(f"This program computes these stages in another way than the one that made it: {', '.join(slots)}")
    for name in read.missing_files(found, place):
        print(f"Needed and not in the bundle: {name!r}; put it beside {found.path.name}")


def _sha(file: Path) -> str:
    """The hash of a bundle, which names its folder, so that an interrupted rerun resumes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]
