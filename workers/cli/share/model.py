"""`cwpo export RUN --merged …` and `cwpo push RUN REPO`: a trained model as a folder, and on the hub."""

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from cwpo.errors import ConfigError
from cwpo.export import words
from cwpo.export.words import Report
from workers.cli.failures import sentence
from workers.machine.paths import home, store
from workers.queue import exports

DTYPES = "what weights are kept in: fp32 or bf16 (default fp32)"


def add_verbs(verbs: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """`cwpo push`."""
    one = add(verbs, "push", push, "send a run's model, merged, to a repository of the hub (HF_TOKEN)")
    one.add_argument("run", type=int, help="run number")
    one.add_argument("repo", metavar="REPO", help="OWNER/NAME; made private unless --public")
    add_choices(one)
    one.add_argument("--public", action="store_true", help="everybody may see it")
    one.add_argument("--existing", action="store_true", help="the repository may exist; its weights are replaced")


def add_export(parser: argparse.ArgumentParser) -> None:
    """What `cwpo export` takes beside run numbers, for a model."""
    add_choices(parser)
    parser.add_argument("--merged", action="store_true", help="the model with its adapters merged, as one folder")
    parser.add_argument("--to", metavar="DIR", type=Path, help="a folder that is not there yet: export the model there")


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Which model, and what its weights are kept in."""
    parser.add_argument("--stage", choices=tuple(words.STAGES), help="which model (default align)")
    parser.add_argument("--dtype", choices=tuple(words.TORCH_DTYPES), default="fp32", help=DTYPES)
    parser.add_argument("--state", metavar="FILE", type=Path, help=argparse.SUPPRESS)


def is_wanted(options: argparse.Namespace) -> bool:
    """Whether `cwpo export` means a model, and not the figures of runs."""
    return bool(options.stage or options.merged or options.to)


def export(options: argparse.Namespace) -> int:
    """Write the folder; started by the dashboard it also leaves how far it is in a file."""
    if len(options.runs) != 1 or options.out is not None:
        raise ConfigError("run", "a model is exported of one run, and its folder is named by --to.")
    run, stage = options.runs[0], options.stage or "align"
    form = words.MERGED if options.merged else words.ADAPTERS
    out = options.to or Path(exports.Wanted(run=run, stage=stage, form=form, dtype=options.dtype).name)

    def write(say: Callable[[str], None]) -> str:
        said = _sentence(_export(run, stage, form, options.dtype, out, say), out)
        return _noted(options, said, run, f"{stage} model, {form}", str(out))

    return _told(options, write)


def push(options: argparse.Namespace) -> int:
    """Export it where it is not exported yet, then upload."""
    return _told(options, lambda say: _push(options, say))


def _push(options: argparse.Namespace, say: Callable[[str], None]) -> str:
    from cwpo.export.push import check_repo, check_token
    from cwpo.export.push import push as upload

    check_repo(options.repo)
    check_token()
    wanted = exports.Wanted(run=options.run, stage=options.stage or "align", form=words.MERGED, dtype=options.dtype)
    folder = exports.folder_of(wanted)
    _export(wanted.run, wanted.stage, wanted.form, wanted.dtype, folder, say, repo=options.repo)
    address = upload(folder, options.repo, private=not options.public, existing=options.existing, say=say)
    said = f"{options.repo} is on the hub: {address}"
    return _noted(options, said, wanted.run, f"{wanted.stage} model on the hub", options.repo)


def _noted(options: argparse.Namespace, said: str, run: int, kind: str, to: str) -> str:
    """What was asked for on a page was written down there."""
    if options.state is None:
        from workers.api.exports import handed_out

        handed_out(kind, to, [run])
    return said


def _export(
    run: int, stage: str, form: str, dtype: str, out: Path, say: Callable[[str], None], *, repo: str = ""
) -> Report:
    """The model of a run in a folder; one that is there and is this model is taken as it is."""
    if out.parent != exports.exports(home()):
        return _export_alone(run, stage, form, dtype, out, say, repo)
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{out}.lock"):  # a push and an export of the same model wait for each other
        return _export_alone(run, stage, form, dtype, out, say, repo)


def _export_alone(
    run: int, stage: str, form: str, dtype: str, out: Path, say: Callable[[str], None], repo: str
) -> Report:
    from workers.api import models

    about, fingerprint, prompts = models.trained(run, stage)
    there = words.read_report(out)
    if there is not None and (there.fingerprint, there.form, there.dtype) == (fingerprint, form, dtype):
        return there
    from cwpo.export.card import card
    from cwpo.export.folder import export as write
    from cwpo.models.load import ModelRef
    from workers.cli.compute import prepare

    prepare("cpu", None)
    place = store()
    folder = place.find(fingerprint)
    if folder is None:
        raise ConfigError("run", f"{run}: the files of its {words.STAGES[stage]} are not on this machine.")
    if there is not None and out.parent == exports.exports(home()):
        shutil.rmtree(out)  # of an earlier run that had this number
    return write(
        ModelRef(artifact=folder), out.absolute(), store=place, stage=stage, fingerprint=fingerprint, form=form,
        dtype=dtype, prompts=_prompts(prompts), card=lambda report: card(about, report, repo or "FOLDER"), say=say,
    )  # fmt: skip


def _prompts(fingerprints: Sequence[str]) -> list[str]:
    """A few held-out prompts of the run; none where they are gone."""
    from cwpo.data.pairs import load_prompts

    for fingerprint in fingerprints:
        folder = store().find(fingerprint)
        if folder is not None and (folder / "prompts.parquet").is_file():
            return [prompt.prompt for prompt in load_prompts(folder)[:4]]
    return []


def _told(options: argparse.Namespace, act: Callable[[Callable[[str], None]], str]) -> int:
    """Do it, with progress on stderr and in the file that the dashboard reads."""

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        exports.say(options.state, exports.RUNNING, text)

    try:
        said = act(say)
    except Exception as error:
        exports.say(options.state, exports.FAILED, sentence(error))
        raise
    exports.say(options.state, exports.DONE, said)
    print(said)
    return 0


def _sentence(report: Report, out: Path) -> str:
    return f"{out}: {report.sentence}"
