"""Makes the reproduce bundle: what another machine needs to compute the same tables. Free of torch and of databases.

A zip of plain text, with the labels that people gave later, and of the local files that its runs name where they are
asked for.
"""

import io
import json
import platform
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from cwpo.artifacts import ArtifactStore, content_files, content_hash
from cwpo.compare import gra as comparison
from cwpo.compare.configured_run import configured_run
from cwpo.config.dotted import value_at
from cwpo.config.environment import settings as environment
from cwpo.config.run import RunConfig, override
from cwpo.data import relabels
from cwpo.data.pairs import load_prompts
from cwpo.data.related.clusters import clusters_of
from cwpo.data.related.outcomes import CLUSTER
from cwpo.errors import ArtifactError, ConfigError, CwpoError
from cwpo.models import hub
from cwpo.models.fetched.names import folder_of
from cwpo.report import columns, gra_terms, tables
from cwpo.stages.execute import stored, threads_of
from cwpo.stages.graph import build

FORMAT = 1
README, MANIFEST, STAGES, LOCK = "README.txt", "bundle.json", "stages.json", "requirements.lock"
TABLES = ("gra", "differences")
# a name in a configuration and what pins it
NAMED = (
    ("data.dataset", "data.revision"),
    ("data.length_rule.tokenizer", "data.length_rule.tokenizer_revision"),
    ("model.annotator", "model.annotator_revision"),
    ("model.policy", "model.policy_revision"),
    ("evaluation.gold_reward", "evaluation.gold_revision"),
    ("evaluation.gold_model", ""),
    ("evaluation.judge.model", "evaluation.judge.revision"),
    ("evaluation.along.second", "evaluation.along.second_revision"),
)
MATTER = ("torch", "transformers", "tokenizers", "safetensors", "peft", "datasets", "huggingface_hub", "numpy", "scipy",
          "pandas", "pyarrow", "pydantic", "PyYAML")  # fmt: skip
_NO_OUTPUT = ("timing.json",)  # seconds and host: never the same twice
_ALWAYS = (1980, 1, 1, 0, 0, 0)  # equal bundles are equal files
_SHA = "sha256:"
PART = r"(?!\.{1,2}(?:/|$))[^/\\:\x00-\x1f\x7f]{1,200}"  # a name of a file or folder that every system takes


@dataclass(frozen=True, kw_only=True)
class StageFacts:
    """A finished stage as the bundle states it."""

    kind: str
    fingerprint: str
    seconds: float | None
    summary: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """An evaluated run: its resolved configuration, its setting's key, outcomes by prompt, stages by slot."""

    config: RunConfig
    group: str
    outcomes: pd.DataFrame
    stages: Mapping[str, StageFacts]


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """A file or folder that a configuration names, by content; `name` is where the bundle keeps it."""

    name: str  # ./files/<sha256>/<own name>
    revision: str
    path: Path


def from_store(configs: Sequence[RunConfig], store: ArtifactStore) -> list[FinishedRun]:
    """Runs whose stages lie in the store; an error for the first one that is not finished."""
    runs = []
    for config in configs:
        found = {slot: (spec.kind, stored(store, spec.fingerprint)) for slot, spec in build(config).items()}
        missing = [slot for slot, (_, result) in found.items() if result is None]
        if missing:
            what = f"{config.method_label}, seed {config.seed}"
            raise ConfigError("run", f"{what} is not finished here ({missing[0]} is missing); run it, then bundle it.")
        stages = {
            slot: StageFacts(kind=kind, fingerprint=one.fingerprint, seconds=one.seconds, summary=one.summary)
            for slot, (kind, one) in found.items()
            if one is not None
        }
        outcomes = outcomes_in(store, stages["evaluation"].fingerprint)
        runs.append(FinishedRun(config=config, group=config.group_key(), outcomes=outcomes, stages=stages))
    return runs


def outcomes_in(store: ArtifactStore, fingerprint: str) -> pd.DataFrame:
    """The per-prompt outcomes that an evaluation stage left, with the clusters of the prompts: as they are there, else
    by the texts of the held-out prompts alone."""
    found = pd.read_parquet(store.path(fingerprint) / "outcomes.parquet")
    if CLUSTER in found:
        return found
    answers = store.info(fingerprint).meta["inputs"]["samples"]
    source = store.info(answers).meta["inputs"]["prompts"]
    prompts = [(one.prompt_id, one.prompt) for one in load_prompts(store.path(source))]
    clusters = clusters_of(prompts, sandbox=store.info(source).meta["config"]["dataset"] == "sandbox")
    return found.assign(**{CLUSTER: found["prompt_id"].map(clusters)})


def write(
    target: BinaryIO, runs: Sequence[FinishedRun], *, store: ArtifactStore, reference: str = "", with_data: bool = False
) -> None:
    """The bundle as a zip. `reference`: key of the setting that differences are against; empty: planned ones."""
    if not runs:
        raise ConfigError("run", "no run is named; give at least one that is evaluated.")
    for run in runs:
        _check_complete(run.config)
    sets = {name: relabels_text(store, name) for run in runs if (name := run.config.data.relabels)}
    found = local_files([run.config for run in runs])
    names = {str(file.path): file.name for file in found}
    files = list({file.name: file for file in found}.values())  # one content may have several spellings
    settings = {key: f"setting-{number}" for number, key in enumerate(dict.fromkeys(run.group for run in runs), 1)}
    configs = [renamed(run.config, names) for run in runs]
    groups = [settings[run.group] for run in runs]
    pinned = settings.get(reference, "")
    built = tables_of(configs, groups, [run.outcomes for run in runs], reference=pinned)
    entries = [
        {
            "file": f"runs/{number:04d}.json",
            "setting": group,
            "stages": {slot: stage.fingerprint for slot, stage in run.stages.items()},
        }
        for number, (run, group) in enumerate(zip(runs, groups, strict=True), 1)
    ]
    manifest = {
        "format": FORMAT,
        "program": f"cwpo {metadata.version('cwpo')}",
        "reference": pinned,
        "runs": entries,
        "files": [{"name": f.name, "revision": f.revision, "included": with_data} for f in files],
        "platform": platform_facts(),
        "command": "cwpo reproduce THIS_FILE.zip",
    }
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        _add(archive, README, _readme(runs, built["gra"], files, with_data=with_data))
        _add(archive, MANIFEST, _json(manifest))
        for entry, config in zip(entries, configs, strict=True):
            _add(archive, str(entry["file"]), _json(config.canonical()))
        _add(archive, STAGES, _json(_stages(runs, store)))
        _add(archive, LOCK, "".join(f"{name}=={version}\n" for name, version in versions().items()))
        for name in TABLES:
            _add(archive, f"tables/{name}.json", built[name])
        for name, text in sets.items():
            _add(archive, relabels_member(name), text)
        for file in files if with_data else ():
            _add_file(archive, file)


def relabels_member(fingerprint: str) -> str:
    """Where a bundle keeps a set of labels; the fingerprint is the hash of its content."""
    return f"relabels/{fingerprint}.jsonl"


def _check_complete(config: RunConfig) -> None:
    """A bundle computes everything anew; what another run trained is not in it."""
    if config.annotator.use and any(spec.kind == "labels" for spec in build(config).values()):
        raise ConfigError(
            "annotator.use",
            f"names an annotator of another run, which a bundle cannot train again; leave {config.method_label}, "
            f"seed {config.seed} out, or give it an annotator of its own.",
        )


def relabels_text(store: ArtifactStore, fingerprint: str) -> str:
    """A set of labels that people gave later, as its file says it."""
    try:
        return relabels.content(relabels.read(store, fingerprint))
    except ArtifactError as error:
        raise ConfigError("data.relabels", str(error)) from error


def to_bytes(runs: Sequence[FinishedRun], *, store: ArtifactStore, reference: str = "") -> bytes:
    """The bundle without local files, for a download."""
    target = io.BytesIO()
    write(target, runs, store=store, reference=reference)
    return target.getvalue()


def tables_of(
    configs: Sequence[RunConfig], groups: Sequence[str], outcomes: Sequence[pd.DataFrame], *, reference: str
) -> dict[str, str]:
    """Both tables as JSON at full precision: the one function behind bundle and rerun."""
    runs = [
        configured_run(number, config, group)
        for number, (config, group) in enumerate(zip(configs, groups, strict=True))
    ]
    together = pd.concat(
        [frame.sort_values("prompt_id").assign(run_id=number) for number, frame in enumerate(outcomes)],
        ignore_index=True,
    )
    by_run = {run.id: config for run, config in zip(runs, configs, strict=True)}
    settings = comparison.setting_keys(runs, by_run)
    pairs = comparison.pairs_against(runs, reference) if reference else None
    by_setting = gra_terms.terms_by_setting(runs, by_run)
    rows = comparison.gra_table(runs, together, configs=by_run)
    found = comparison.differences(runs, together, pairs=pairs, settings=settings, configs=by_run)
    return {
        "gra": tables.to_json(columns.gra_numbers(rows, by_setting)),
        "differences": tables.to_json(columns.numbers(columns.DIFFERENCE, found)),
    }


def rows_of(text: str) -> list[dict[str, Any]]:
    """The rows of a table as JSON."""
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


def outputs(store: ArtifactStore, fingerprint: str) -> dict[str, str]:
    """sha256 of every file a stage computed; empty where the artifact is not in this store."""
    try:
        files = store.info(fingerprint).files
    except ArtifactError:
        return {}
    return {name: sha for name, sha in files.items() if name not in _NO_OUTPUT}


def local_files(configs: Sequence[RunConfig]) -> list[LocalFile]:
    """Every file or folder of this machine that the runs name and use, once."""
    found: dict[str, LocalFile] = {}
    for config in configs:
        for _, name, revision in names_outside(config):
            if not hub.is_local(name) or name in found:
                continue
            path = folder_of(name, environment.home)
            pin = revision or (content_hash(path) if path.exists() else "")
            if pin.startswith(_SHA):
                if not re.fullmatch(PART, path.name):
                    raise ConfigError("bundle", f"cannot hold a file named {path.name[:80]!r}; give it a plain name.")
                kept = f"./files/{pin.removeprefix(_SHA)}/{path.name}"
                found[name] = LocalFile(name=kept, revision=pin, path=Path(name))
    return list(found.values())


def names_outside(config: RunConfig) -> Iterator[tuple[str, str, str]]:
    """(field, name, pin) of whatever the run names outside itself; the pin is empty where it has none."""
    for field, pin in NAMED:
        name = value_at(config, field)
        if isinstance(name, str):
            yield field, name, str((pin and value_at(config, pin)) or "")


def renamed(config: RunConfig, names: Mapping[str, str]) -> RunConfig:
    """The same run with its local files under other names."""
    values = config.canonical()
    for field, _ in NAMED:
        name = value_at(values, field)
        if name in names:
            values = override(values, field, names[name])
    return RunConfig.parse(values)


def platform_facts() -> dict[str, str]:
    """What computed it, without names of the machine or its user."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "machine": platform.machine(),
        "processor": _processor(),
        "torch": metadata.version("torch"),
    }


def versions() -> dict[str, str]:
    """Installed versions of the packages that numbers depend on, as constraints."""
    return {name: metadata.version(name).partition("+")[0] for name in MATTER}


def _stages(runs: Sequence[FinishedRun], store: ArtifactStore) -> dict[str, Any]:
    """Every stage once, by fingerprint: what it is, what it said, and the hashes of what it computed."""
    stages = {stage.fingerprint: stage for run in runs for stage in run.stages.values()}
    return {
        fingerprint: {
            "kind": stage.kind,
            "seconds": stage.seconds,
            "summary": stage.summary,
            "threads": _threads(store, fingerprint),
            "files": outputs(store, fingerprint),
        }
        for fingerprint, stage in stages.items()
    }


def _threads(store: ArtifactStore, fingerprint: str) -> int | None:
    try:
        return threads_of(store.read_text(fingerprint, "timing.json"))
    except ArtifactError:
        return None


def _add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    info = zipfile.ZipInfo(name, _ALWAYS)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, text)


def _add_file(archive: zipfile.ZipFile, file: LocalFile) -> None:
    """A local file, or all files of a folder, still as they were when the run was submitted."""
    path = folder_of(str(file.path), environment.home)
    if not path.exists() or content_hash(path) != file.revision:
        raise CwpoError(f"{path.name} is gone or has changed since the run: put it back, or leave out --include-data.")
    base = file.name.removeprefix("./")
    if path.is_file():
        _add_content(archive, path, base)
        return
    for part in content_files(path):
        inside = part.relative_to(path)
        if not all(re.fullmatch(PART, name) for name in inside.parts):
            raise CwpoError(f"{path.name} holds {str(inside)[:80]!r}, which no bundle can: give it a plain name.")
        _add_content(archive, part, f"{base}/{inside.as_posix()}")


def _add_content(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    """The bytes of a file itself; what a link leads to may be anything of this machine."""
    if file.is_symlink():
        raise CwpoError(f"{file} is a link, and what it leads to is not put into a bundle: put the file in its place.")
    archive.write(file, name)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _processor() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _readme(runs: Sequence[FinishedRun], gra: str, files: Sequence[LocalFile], *, with_data: bool) -> str:
    shown = "\n".join(f"  {_gra_line(row)}" for row in rows_of(gra))
    where = "included under files/" if with_data else "not included: put it beside this file, under the same name"
    data = "".join(f"  {Path(file.name).name}  {file.revision}  ({where})\n" for file in files)
    return README_TEXT.format(
        count=len(runs), shown=shown, data=data or "  none\n",
        platform="".join(f"  {name}: {value}\n" for name, value in platform_facts().items()),
    )  # fmt: skip


def _gra_line(row: Mapping[str, Any]) -> str:
    estimate, low, high = (f"{100 * row[name]:.1f}" for name in ("estimate", "low", "high"))
    size = f"{row['n_prompts']} prompts, {row['n_seeds']} seed(s)"
    said = gra_terms.Terms(**{name: row[name] for name in gra_terms.COLUMNS}).sentence
    return f"{row['label']}: GRA {estimate} %, 95 % interval {low} to {high}, {size} · {said}"


README_TEXT = """\
A comparison computed with cwpo, and what it takes to compute it again.

It holds {count} run(s) and says:
{shown}

To compute it again, in a checkout of cwpo:

  pip install -c requirements.lock -e .      (the requirements.lock of this bundle)
  cwpo reproduce THIS_FILE.zip

Every run is executed anew, stages that runs share once, and both tables are compared with the recorded ones cell by
cell. The exit code is 0 when all cells are the same. On a CPU of the same kind with the same packages they are; other
packages, processors and GPUs round differently. `cwpo reproduce THIS_FILE.zip --check` looks without running anything.

  bundle.json        which runs, settings, local files; the platform
  runs/              the configuration of each run, with revisions and seeds; `cwpo run runs/0001.json` runs one
  stages.json        every stage: fingerprint, summary, seconds, CPU threads, sha256 of what it computed
  tables/            gold reward accuracy and paired differences at full precision
  relabels/          labels that people gave later, where a run learns from some: one JSON object a line
  requirements.lock  versions of the packages that numbers depend on

Files of the machine that the runs name:
{data}
It was made on:
{platform}"""
