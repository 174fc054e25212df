"""Datasets are given, looked at and exported, and recipes saved: what the Data page does."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from cwpo import places
from cwpo.bounds import paths
from cwpo.config import catalog
from cwpo.config.columns import checked
from cwpo.config.run import RunConfig
from cwpo.contents import content_of
from cwpo.data.files import shipped, suffix_of
from cwpo.data.profile.job import Asked, Job, Split, of_hub
from cwpo.errors import ConfigError, DataError
from cwpo.models.hub import HUB_ID, is_local
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import SplitSettings
from db import queries
from db.repositories.people import recipes as recipe_rows
from workers.access.doing import needs, reads, record, say
from workers.access.roles import Role
from workers.machine import patience, profiles, uploads
from workers.machine.database import reading, writing
from workers.machine.paths import home, store
from workers.machine.profiles import State as State
from workers.machine.uploads import Upload as Upload

READ_AT_MOST = 256 << 20  # bytes of a file that are hashed while somebody waits for the page
MOST_UPLOAD = uploads.MOST_BYTES
LONGEST_PART = 200  # characters of a subset or a revision
NO_PAIRS = "Run {} has no pairs yet: they are there once its data stage is done."


@needs(Role.RUNNER)
def keep_upload(name: str, stream: BinaryIO) -> str:
    """Keep a file that was given; its path on this machine."""
    kept = uploads.keep(name, stream)
    say(f"file {kept}", bytes=kept.stat().st_size)
    return str(kept)


@reads
def whole_upload(name: str, stream: BinaryIO, most: int) -> bytes:
    """All bytes of a file that was given and is read at once and not kept; a sentence beyond `most` bytes."""
    return uploads.whole(name, stream, most)


@reads
def kept_uploads() -> list[Upload]:
    """Files that were given, the newest first."""
    return uploads.kept()


@needs(Role.RUNNER)
def remove_upload(path: str) -> None:
    """Delete a file that was given. Runs that wait for it will not find it."""
    uploads.remove(path)
    say(f"file {path}")


@reads
def check_source(source: str) -> str:
    """The source as a run would name it; a sentence where it is nothing that can be read."""
    wanted = source.strip()
    if not wanted:
        raise DataError("Give the path of a file on this server, or a hub id like owner/name.")
    row = catalog.DATASETS.get(wanted)
    if row is not None and row.repo is None and row.file is None:
        raise DataError("The sandbox makes its pairs when a run asks for them: choose a file or a dataset of the hub.")
    if row is not None:
        return wanted
    if is_local(wanted):
        path = paths.local(wanted)
        suffix_of(path)
        places.check(path)
        if not paths.is_file(path):
            raise DataError(f"{wanted} does not exist on this server, or is no file: check the path.")
        return str(path.absolute())
    if not HUB_ID.fullmatch(wanted) or "/" not in wanted:
        raise DataError(f"{wanted[:80]!r} is neither a file of this server nor a hub id like owner/name.")
    return wanted


@reads
def job_of(
    source: str,
    columns: Mapping[str, str] | None,
    split: Split,
    *,
    subset: str = "",
    revision: str = "",
    kind: Asked = "profile",
) -> Job:
    """The question about this source as it lies here now. `subset`, `revision`: of a dataset of the hub; empty: its
    usual ones. DataError where the source cannot have them, or cannot be read."""
    part = _part_of(source, subset, revision)
    content, row = "", catalog.DATASETS.get(source)
    if row is not None and row.file is not None:
        content = content_of(shipped(row.file), home())
    elif row is None and is_local(source):
        places.check(Path(source))
        try:
            content = content_of(Path(source), home(), read_at_most=READ_AT_MOST)
        except OSError as error:
            raise DataError(f"{source} cannot be read ({error.strerror}): allow it, or name another file.") from error
    told = None if columns is None else checked(columns)
    return Job(
        kind=kind, source=source, content=content, columns=told, split=split, subset=part.get("subset"),
        revision=part.get("revision"),
    )  # fmt: skip


def _part_of(source: str, subset: str, revision: str) -> dict[str, str]:
    """What was said of the part of a dataset, by name; of a file nothing can be."""
    told = {name: text for name, value in (("subset", subset), ("revision", revision)) if (text := value.strip())}
    if told and not of_hub(source):
        raise DataError(f"{source} is a file, and has no {' and no '.join(told)}: leave it out.")
    for name, text in told.items():
        if len(text) > LONGEST_PART or not text.isprintable():
            raise DataError(f"A {name} is a name of at most {LONGEST_PART} printable characters: check it.")
    return told


@reads
def job_of_run(run_id: int) -> Job:
    """The question for the pairs that a run uses."""
    with reading() as session:
        record = queries.get_run(session, run_id)
        stages = queries.run_stages(session, run_id)
    data = next((stage for stage in stages if stage.slot == "data" and stage.summary is not None), None)
    folder = store().find(data.fingerprint, verify=False) if data is not None else None
    if data is None or folder is None:
        raise DataError(NO_PAIRS.format(run_id))
    config = RunConfig.stored(dict(record.config))
    part = config.data
    rule = SplitSettings(
        label_fraction=part.label_fraction,
        split_seed=config.seed_of("split"),
        unlabeled_fraction=part.unlabeled_fraction,
        mix=dict(part.mix) if part.mix else None,
    )
    return Job(kind="run", source=str(folder), content=data.fingerprint, rule=to_plain(rule))


@needs(Role.RUNNER)
def start(job: Job, *, again: bool = False) -> None:
    """Answer it in a process of its own, unless it is answered already."""
    profiles.start(job, again=again)
    say(f"data {job.source}", kind=job.kind)


@needs(Role.RUNNER)
def stop(job: Job) -> None:
    """End the process of this question."""
    profiles.stop(job)
    say(f"data {job.source}", kind=job.kind)


@reads
def state(job: Job) -> State:
    """How far it is, or what was found."""
    return profiles.state(job)


@reads
def pairs_file(job: Job) -> Path | None:
    """The file that an export wrote, once it is whole."""
    return profiles.pairs_file(job)


@reads
def looked_at(most: int = 5) -> list[Job]:
    """The questions about the sources that were looked at last, one for each subset and revision."""
    return profiles.newest(most)


@needs(Role.RUNNER)
@patience.patient()
def save_recipe(name: str, columns: Mapping[str, str]) -> None:
    """Keep what the columns hold under a name."""
    try:
        told = checked(columns)
    except ValueError as error:
        raise ConfigError("columns", f"{error}.") from error
    with writing() as session:
        recipe_rows.create(session, name, told)
        record(session, f"recipe {name}", after=told)


@needs(Role.RUNNER)
@patience.patient()
def remove_recipe(name: str) -> None:
    """Take a recipe away; runs that were made with it keep their columns."""
    with writing() as session:
        recipe_rows.remove(session, name)
        record(session, f"recipe {name}")
