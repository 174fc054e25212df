"""`cwpo …`: a run in this process, or commands to the workers. Only verbs that need rq or sqlalchemy import them."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cwpo.config.environment import set_here, settings
from cwpo.config.run import RunConfig, expand, list_fields
from cwpo.config.store import STORE_PATIENCE, store_at
from cwpo.errors import ConfigError, CwpoError, DataError
from cwpo.files import written_new
from cwpo.models.sizes.machine import check_limit
from cwpo.redaction import without_secrets
from db.errors import DatabaseError
from workers.cli import bundle, fetch, label, plan
from workers.cli.access import verbs as access
from workers.cli.compute import DEVICE_HELP, bf16_wanted, compute_for, prepare_for
from workers.cli.config_file import field_help, read_config
from workers.cli.disk import verbs as disk
from workers.cli.failures import sentence
from workers.cli.follow import verbs as follow
from workers.cli.launch import link
from workers.cli.share import model
from workers.machine.modes import keep_private
from workers.machine.paths import home
from workers.machine.processes import start_again_for_the_allocator

BAD_INPUT, FAILURE, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run one verb, turn every error into one sentence on stderr and an exit code."""
    options = _parser().parse_args(arguments)
    try:
        keep_private()
        if arguments is None and options.verb in _COMPUTING:
            check_limit()
            start_again_for_the_allocator()
        result: int = options.verb(options)
        return result
    except (ConfigError, DataError) as error:
        return _complain(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return _complain("Interrupted: finished stages are kept, the same command resumes.", INTERRUPTED)
    except (CwpoError, DatabaseError) as error:
        return _complain(str(error), FAILURE)
    except Exception as error:
        if settings.traceback:
            raise
        return _complain(f"{sentence(error)} (CWPO_TRACEBACK=1 shows where.)", FAILURE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cwpo",
        description="Confidence-Weighted Preference Optimization: run, submit, watch and compare experiments.",
    )
    parser.add_argument("--version", action="version", version=f"cwpo {version('cwpo')}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    _add_config_verbs(verbs)
    _add_run_verbs(verbs)
    bundle.add_verbs(verbs)
    follow.add_verbs(verbs, _verb)
    plan.add_verbs(verbs, _verb)
    disk.add_verbs(verbs, _verb)
    access.add_verbs(verbs, _verb)
    _add_other_verbs(verbs)
    return parser


def _add_config_verbs(verbs: Any) -> None:
    fields = "Fields of CONFIG.yaml (set one with --set a.b=c):\n\n" + field_help()
    run = _verb(verbs, "run", _run, "run all stages in this process and print the result", fields)
    _config_arguments(run)
    run.add_argument(
        "--json", metavar="FILE", type=Path, help="write config, fingerprints, metrics, seconds and GRA here"
    )
    run.add_argument(
        "--home", metavar="DIR", type=Path, help="where artifacts are kept (default: CWPO_HOME or var/cwpo)"
    )
    run.add_argument("--device", default="auto", help=DEVICE_HELP)
    run.add_argument("--threads", type=int, help="CPU threads (default: 1 in the sandbox, else all cores)")
    submit = _verb(verbs, "submit", _submit, "give one run to the workers", fields)
    sweep = _verb(verbs, "sweep", _sweep, "give every combination of the lists in CONFIG.yaml to the workers", fields)
    for verb in (submit, sweep):
        _config_arguments(verb)
        verb.add_argument("--priority", type=int, default=0, help="higher runs first (default 0)")
    sweep.add_argument("--name", default="", help="what the sweep is called")
    sweep.add_argument("--plan", action="store_true", help="say what it would compute, reuse and take; submit nothing")


def _add_run_verbs(verbs: Any) -> None:
    status = _verb(verbs, "status", _status, "runs, or one run's stages")
    status.add_argument("run", type=int, nargs="?", help="run number")
    for name, function, text in (
        ("cancel", _cancel, "stop a run; what is finished stays"),
        ("retry", _retry, "queue the failed or cancelled stages of a run again"),
    ):
        _verb(verbs, name, function, text).add_argument("run", type=int, help="run number")
    rescore = _verb(verbs, "rescore", _rescore, "score stored answers with another gold reward; generates nothing")
    rescore.add_argument("runs", type=int, nargs="+", metavar="RUN", help="run numbers")
    rescore.add_argument("--gold", required=True, metavar="NAME", help="row of the catalog, hub id or folder")
    export = _verb(verbs, "export", _export, "write runs with their results as JSON, or one run's model")
    export.add_argument("runs", type=int, nargs="+", help="run numbers")
    export.add_argument("--out", metavar="FILE", type=Path, help="of the JSON (default: standard output)")
    model.add_export(export)


def _add_other_verbs(verbs: Any) -> None:
    convert = _verb(verbs, "convert", _convert, "make a safetensors copy of .bin weights or of a GGUF file")
    convert.add_argument(
        "source",
        metavar="REPO@COMMIT",
        help="for example facebook/opt-125m@27dcfa74; of GGUF: ./file.gguf or REPO@COMMIT:file.gguf",
    )
    fetch.add_verbs(verbs, _verb)
    label.add_verbs(verbs, _verb)
    model.add_verbs(verbs, _verb)
    _verb(verbs, "doctor", _doctor, "check this machine, the database, Redis and every artifact")
    demo = _verb(verbs, "demo", _demo, "start everything and run the sandbox comparison (DEMO_EXIT=1: stop after it)")
    demo.add_argument(
        "--config", metavar="CONFIG.yaml", type=Path, help="another comparison (default: the sandbox comparison)"
    )
    demo.add_argument("--set", metavar="A.B=C", action="append", default=[], dest="sets", help="override one field")
    _verb(verbs, "start", _start, "start Redis, the workers and the dashboard")
    link.add_verbs(verbs, _verb)
    work = _verb(verbs, "workers", _workers, "start the workers alone, on a machine that shares database and Redis")
    work.add_argument("--until-idle", action="store_true", help="end when nothing is ready for them any more")
    work.add_argument("--idle-seconds", type=float, default=60, help="how long nothing has to be ready (default 60)")
    work.add_argument(
        "--time-limit",
        type=float,
        metavar="MINUTES",
        help="end a little before; exit code 75: stages are left",
    )


def _verb(
    verbs: Any, name: str, function: Callable[[argparse.Namespace], int], text: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(verb=function)
    return parser


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG.yaml", type=Path, help="configuration of the run")
    parser.add_argument("--set", metavar="A.B=C", action="append", default=[], dest="sets", help="override one field")


def _one(options: argparse.Namespace) -> RunConfig:
    configs = expand(read_config(options.config, options.sets))
    if len(configs) != 1:
        raise ConfigError(
            str(options.config), f"describes {len(configs)} runs; use `cwpo sweep` for lists, or --set one value."
        )
    return configs[0]


def _run(options: argparse.Namespace) -> int:
    config = _one(options)
    _check_writable("--json", options.json)
    _check_new("--json", options.json)
    place = (options.home or home()).resolve()
    if settings.hub_bars_off is None:
        set_here(HF_HUB_DISABLE_PROGRESS_BARS="1")
    from cwpo.outlook.doubts import doubts
    from cwpo.stages.resolve import resolve
    from workers.cli import console as view

    console = view.make_console()
    resolved = resolve(config, bf16=bf16_wanted(options.device), home=place)
    view.show_notes(list(doubts(resolved, place)), console)
    device = prepare_for(options, resolved)
    from cwpo.stages.pipeline import run

    with view.StageBars(console) as bars:
        result = run(
            resolved, home=place, store=store_at(place, patience=STORE_PATIENCE), device=device,
            reporter_for=bars.reporter_for, on_done=bars.done, compute_for=compute_for(resolved, device),
        )  # fmt: skip
    view.show_run(result, console)
    if options.json:
        written = result.as_json()
        for slot, stage in result.stages.items():
            written["stages"][slot]["metrics"] = view.stage_metrics(stage.path)
        with written_new(options.json) as aside:
            aside.write_text(json.dumps(written, indent=1))
        console.print(f"Written to {options.json}", highlight=False)
    return 0


def _check_writable(option: str, path: Path | None) -> None:
    """Before hours of work, not after them."""
    if path is None:
        return
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(option, f"{path} cannot be written; give a file in a folder that exists.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(option, f"no permission to write {path}; give a file in a folder of yours.")


def _check_new(option: str, path: Path | None) -> None:
    """A file or a link of that name is somebody's, and is neither overwritten nor followed."""
    if path is not None and os.path.lexists(path):
        raise ConfigError(option, f"{path} exists already and is not overwritten: remove it, or choose another name.")


def _submit(options: argparse.Namespace) -> int:
    from workers import api

    _print_submitted([api.submit_run(_one(options), priority=options.priority)])
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from workers import api

    values = read_config(options.config, options.sets)
    configs = expand(values)
    if options.plan:
        return _print_plan(configs, {path: len(each) for path, each in list_fields(values) if len(each) > 1})
    name = options.name or options.config.stem
    _print_submitted(api.submit_sweep(configs, name, priority=options.priority))
    return 0


def _print_plan(configs: Sequence[RunConfig], lists: Mapping[str, int]) -> int:
    from cwpo.compare import power
    from workers import api
    from workers.cli import console
    from workers.plan import judging, words

    plan = api.plan(configs)
    screen = console.make_console()
    screen.print(words.product(len(configs), lists), highlight=False)
    console.show_table("", words.HEADINGS, words.rows(plan), screen)
    planned = power.planned(configs, api.seed_spread(configs[0].data.dataset))
    console.show_table(words.NEEDS, words.needs_headings(planned), words.needs_rows(planned), screen)
    for line in (
        f"About {words.about(plan.wall_seconds)} from start to end." if plan.seconds else "",
        words.time_sentence(plan),
        words.memory_sentence(plan),
        words.memory_warning(plan),
        words.SHARING,
        words.labels_sentence(plan),
        judging.sentence(plan.judging) if plan.judging else "",
        words.along_sentence(plan),
        words.single_sentence(plan.single),
        words.power_sentence(planned),
        words.existing_sentence(plan),
        *plan.warnings,
    ):
        if line:
            screen.print(line, highlight=False, soft_wrap=True, markup=False)
    return 0


def _print_submitted(submitted: Sequence[Any]) -> None:
    for one in submitted:
        print(f"run {one.run_id}: {one.stages} stages, {one.reused} of them shared or done already")
    if any(one.queue_down for one in submitted):
        print("Redis does not answer: the runs are queued and start when it is back.", file=sys.stderr)


def _status(options: argparse.Namespace) -> int:
    from workers.cli import status

    status.show(options.run)
    return 0


def _rescore(options: argparse.Namespace) -> int:
    from workers import api

    _print_submitted(api.rescore(options.runs, options.gold))
    return 0


def _cancel(options: argparse.Namespace) -> int:
    from workers import api

    api.cancel_run(options.run)
    print(f"run {options.run}: cancelled")
    return 0


def _retry(options: argparse.Namespace) -> int:
    from workers import api

    changed = api.retry_run(options.run)
    print(f"run {options.run}: queued again")
    if changed.queue_down:
        print("Redis does not answer: the run starts when it is back.", file=sys.stderr)
    return 0


def _export(options: argparse.Namespace) -> int:
    from workers import api

    if model.is_wanted(options):
        return model.export(options)
    _check_writable("--out", options.out)

    text = json.dumps([api.export_run(run_id) for run_id in options.runs], indent=1)
    if options.out:
        with written_new(options.out) as aside:
            aside.write_text(text)
    else:
        print(text)
    return 0


def _convert(options: argparse.Namespace) -> int:
    from cwpo.models.convert import convert

    print(convert(options.source, home=home(), log=lambda line: print(line, file=sys.stderr)))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from workers.cli import doctor

    return doctor.main()


def _demo(options: argparse.Namespace) -> int:
    from workers.cli import demo

    if options.sets and options.config is None:
        raise ConfigError("--set", "changes fields of --config CONFIG.yaml; name one.")
    return demo.main(options.config, options.sets)


def _start(options: argparse.Namespace) -> int:
    from workers.cli import stack

    return stack.main([])


def _workers(options: argparse.Namespace) -> int:
    from workers.queue.supervisor import supervise
    from workers.queue.until_idle import UntilIdle

    if not options.until_idle and options.time_limit is None:
        return supervise()
    idle = options.idle_seconds if options.until_idle else math.inf
    return supervise(lambda devices: UntilIdle(devices, minutes=options.time_limit, idle_seconds=idle))


def _complain(sentence: str, code: int) -> int:
    print(f"cwpo: {without_secrets(sentence)}", file=sys.stderr)
    return code


# Verbs that compute in the process of the command.
_COMPUTING = (_run, label.label, bundle.rerun)


if __name__ == "__main__":
    sys.exit(main())
