"""Annotators get and lose names, and label files of this machine."""

from cwpo.errors import ConfigError
from cwpo.stages.stored_annotator import is_fingerprint
from db.repositories import named_annotators as annotator_rows
from workers.access.doing import needs, reads, record, say
from workers.access.roles import Role
from workers.api.changes import delete_artifacts
from workers.machine import patience
from workers.machine.database import writing
from workers.plan.annotator_names import GONE, fingerprint_of, in_store
from workers.queue import labelings as labeling
from workers.queue.labelings import Labeling


@needs(Role.RUNNER)
@patience.patient()
def name_annotator(run_id: int, name: str, note: str = "") -> int:
    """Name the annotator that a run trained, so that other runs and `cwpo label` can use it; the version."""
    with writing() as session:
        version = annotator_rows.create(session, run_id, name.strip(), note.strip())
        record(session, f"annotator {name.strip()}@{version}", after={"run": run_id})
    return version


@needs(Role.RUNNER)
@patience.patient()
def forget_annotator(name: str, version: int) -> int:
    """Take a name away, and the artifacts that nothing else uses; how many artifacts."""
    with writing() as session:
        fingerprints = annotator_rows.forget(session, name, version)
        record(session, f"annotator {name}@{version}", after={"artifacts": len(fingerprints)})
    delete_artifacts(fingerprints)
    return len(fingerprints)


@needs(Role.RUNNER)
def label_file(annotator: str, path: str, out: str = "") -> Labeling:
    """Label a file of this machine in a process of its own, with NAME, NAME@VERSION or a fingerprint. What is finished
    of the same labeling is not done again; `out` lies beside the file unless it is given."""
    fingerprint = annotator if is_fingerprint(annotator) else fingerprint_of(annotator, "ANNOTATOR")
    if not in_store(fingerprint):
        raise ConfigError("ANNOTATOR", GONE.format(annotator[:12]))
    started = labeling.start(annotator, fingerprint, *labeling.paths(path, out))
    say(f"file {started.source}", annotator=annotator, out=started.out)
    return started


@reads
def labelings(annotator: str) -> list[Labeling]:
    """The newest labelings of files with the annotator of this fingerprint, as they stand now."""
    return labeling.newest(annotator)


@needs(Role.RUNNER)
def stop_labeling(out: str) -> None:
    """End the labeling that writes this file; its finished windows stay."""
    labeling.stop(labeling.paths(out)[0])
    say(f"file {out}")
