"""The one door for commands: what pages and the command line call to change anything. Reads go through db.queries."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from cwpo.bundle import write
from cwpo.compare.power import SeedSpread, measured_spread
from cwpo.config.catalog import METHODS
from cwpo.config.run import MOST_RUNS, RunConfig, merged
from cwpo.errors import ConfigError
from cwpo.stages.graph import build, rescoring
from cwpo.stages.resolve import resolve, with_gold
from cwpo.stages.stored_annotator import is_fingerprint
from db import queries
from db.errors import DatabaseError
from db.records import CreatedRun, NewStage, RunFilters, WorkerRow
from db.repositories import named_annotators as annotator_rows
from db.repositories import runs
from db.status import CANCELLED, DONE, FAILED
from workers.finished_runs import from_database
from workers.machine.database import reading, writing
from workers.machine.devices import has_bf16, visible_gpus
from workers.machine.paths import home, store
from workers.plan import estimate as planning
from workers.plan import memory, submission
from workers.plan import needs as stage_needs
from workers.plan.annotator_names import GONE, fingerprint_of, in_store, with_fingerprints
from workers.plan.estimate import Graph, Plan
from workers.queue import doorbell, scheduler
from workers.queue import labelings as labeling
from workers.queue.labelings import Labeling

_MEASURED_RUNS = 40  # newest of a dataset that the spread between seeds is measured in
_READ_FOR_A_PLAN = 2**28  # bytes of local files that are hashed before anything is submitted
_FULL = 0.98  # share of the disk above which health says so


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A run that is queued now. `reused`: stages that were done or wanted by another run already."""

    run_id: int
    reused: int
    stages: int
    queue_down: bool


@dataclass(frozen=True, kw_only=True)
class Changed:
    """Runs whose stages were queued again."""

    run_ids: tuple[int, ...]
    queue_down: bool


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """How many artifacts went with a run, and the annotators of it that stay because they have a name."""

    artifacts: int
    kept_annotators: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether each part answers, in words."""

    redis_ok: bool
    redis_detail: str
    database_ok: bool
    database_detail: str
    storage_ok: bool
    storage_detail: str
    workers_alive: int


def submit_run(config: RunConfig, *, priority: int = 0) -> Submitted:
    """Check what the run names, write its rows, commit, ring. Raises ConfigError with the field at fault."""
    return _submit([config], sweep=None, priority=priority)[0]


def submit_sweep(configs: Sequence[RunConfig], name: str, *, priority: int = 0) -> list[Submitted]:
    """All runs of a sweep in one transaction: all are there, or none."""
    if not configs:
        raise ConfigError("config", "describes no run; give at least one value to each list.")
    if len(configs) > MOST_RUNS:
        raise ConfigError("config", f"describes {len(configs)} runs; submit at most {MOST_RUNS:,} at once.")
    return _submit(configs, sweep=name or None, priority=priority)


def submit_missing(configs: Sequence[RunConfig], name: str) -> list[int]:
    """Like submit_sweep, but runs that exist are not made twice: failed ones are retried. All run ids, in order."""
    resolved = _resolve_all(configs)
    with reading() as session:
        known = queries.runs_by_config_hash(session, [config.hash() for config in resolved])
    new = [config for config in resolved if config.hash() not in known]
    made = _submit_resolved(new, sweep=name, priority=0) if new else []
    ids = {config.hash(): one.run_id for config, one in zip(new, made, strict=True)}
    for key, (newest, *_) in known.items():
        ids[key] = newest
        _retry_when_stopped(newest)
    return [ids[config.hash()] for config in resolved]


def plan(configs: Sequence[RunConfig]) -> Plan:
    """What submitting these runs would compute, reuse, take and use up; writes nothing. A large local model that was
    never hashed is hashed when a run with it is submitted, and until then counts as one that nobody used."""
    resolved = _resolve_all(configs, read_at_most=_READ_FOR_A_PLAN)
    runs_and_stages = [(config, build(config)) for config in resolved]
    specs = {spec.fingerprint: spec for _, graph in runs_and_stages for spec in graph.values()}
    gpu = gpu_available()
    with reading() as session:
        workers = [worker for worker in queries.workers(session) if worker.alive]
        alive = [worker.device for worker in workers]
        known = planning.PlanInputs(
            status=queries.plan_reuse(session, list(specs)),
            pairs=queries.pairs_of(session, [graph["data"].fingerprint for _, graph in runs_and_stages]),
            measured=queries.measured_stages(session, {spec.kind for spec in specs.values()}),
            workers={device: alive.count(device) for device in planning.DEVICES},
            gpu=gpu,
            machine=memory.this_machine(runs_and_stages, home(), _hosts(workers)),
        )
    return planning.make(runs_and_stages, known)


def seed_spread(dataset: str) -> SeedSpread:
    """How far a difference between methods moves with the seed on this dataset: as measured, else as assumed."""
    with reading() as session:
        filters = RunFilters(dataset=(dataset,), status=(DONE,))
        rows = queries.list_runs(session, filters=filters, after=None, limit=_MEASURED_RUNS).rows
        outcomes = queries.outcomes(session, [row.id for row in rows])
    return measured_spread(rows, outcomes)


def rescore(run_ids: Sequence[int], gold_reward: str) -> list[Submitted]:
    """Score the stored answers of evaluated runs with another gold reward; nothing is generated again."""
    planned = []
    for run_id in run_ids:
        with reading() as session:
            config = RunConfig.stored(queries.get_run(session, run_id).config)
            finished = {stage.slot: stage.fingerprint for stage in queries.run_stages(session, run_id)}
        judged = with_gold(config, gold_reward, home=home())
        ((_, _, stages),) = _with_needs([(judged, rescoring(judged, finished))])
        planned.append((run_id, stages))
    with writing() as session:
        made = [runs.extend(session, run_id, stages) for run_id, stages in planned]
    taken = {stage.fingerprint for _, stages in planned for stage in stages}
    _delete_artifacts([fingerprint for one in made for fingerprint in one.removed if fingerprint not in taken])
    down = not _announce()
    return [
        Submitted(run_id=one.run_id, reused=one.reused + one.shared, stages=one.stages, queue_down=down) for one in made
    ]


def cancel_run(run_id: int) -> None:
    """Stop a run within seconds; stages that another run wants go on."""
    with writing() as session:
        removed = runs.cancel(session, run_id)
    _delete_artifacts(removed)


def retry_run(run_id: int) -> Changed:
    """Queue what failed or was cancelled again, for every run that waits for it."""
    with writing() as session:
        waiting = runs.retry(session, run_id)
    return Changed(run_ids=waiting, queue_down=not _announce())


def reprioritise(run_id: int, priority: int) -> None:
    """Higher runs first."""
    with writing() as session:
        runs.set_priority(session, run_id, priority)


def archive_run(run_id: int, archived: bool = True) -> None:
    """Hide a finished run from the lists, or show it again."""
    with writing() as session:
        runs.archive(session, run_id, archived)


def delete_run(run_id: int) -> Deleted:
    """Remove a finished run, its rows, and the artifacts that nothing else uses."""
    with writing() as session:
        deleted = runs.delete(session, run_id)
    _delete_artifacts(deleted.fingerprints)
    return Deleted(artifacts=len(deleted.fingerprints), kept_annotators=deleted.named)


def name_annotator(run_id: int, name: str, note: str = "") -> int:
    """Name the annotator that a run trained, so that other runs and `cwpo label` can use it; the version."""
    with writing() as session:
        return annotator_rows.create(session, run_id, name.strip(), note.strip())


def forget_annotator(name: str, version: int) -> int:
    """Take a name away, and the artifacts that nothing else uses; how many artifacts."""
    with writing() as session:
        fingerprints = annotator_rows.forget(session, name, version)
    _delete_artifacts(fingerprints)
    return len(fingerprints)


def label_file(annotator: str, path: str, out: str = "") -> Labeling:
    """Label a file of this machine in a process of its own, with NAME, NAME@VERSION or a fingerprint. What is finished
    of the same labeling is not done again; `out` lies beside the file unless it is given."""
    fingerprint = annotator if is_fingerprint(annotator) else fingerprint_of(annotator, "ANNOTATOR")
    if not in_store(fingerprint):
        raise ConfigError("ANNOTATOR", GONE.format(annotator[:12]))
    return labeling.start(annotator, fingerprint, *labeling.paths(path, out))


def labelings(annotator: str) -> list[Labeling]:
    """The newest labelings of files with the annotator of this fingerprint, as they stand now."""
    return labeling.newest(annotator)


def stop_labeling(out: str) -> None:
    """End the labeling that writes this file; its finished windows stay."""
    labeling.stop(labeling.paths(out)[0])


def export_run(run_id: int) -> dict[str, Any]:
    """Everything that reproduces and states a run: config, fingerprints, seconds, summaries, GRA."""
    with reading() as session:
        record = queries.get_run(session, run_id)
        stages = queries.run_stages(session, run_id)
    return {
        "run": run_id,
        "name": record.row.name,
        "status": record.status,
        "error": record.error,
        "config": dict(record.config),
        "config_hash": record.config_hash,
        "stages": {
            stage.slot: {
                "kind": stage.kind,
                "fingerprint": stage.fingerprint,
                "status": stage.status,
                "seconds": stage.seconds,
                "attempts": stage.attempts,
                "reused": stage.reused,
                "summary": stage.summary,
            }
            for stage in stages
        },
        "gra": next((stage.summary for stage in stages if stage.slot == "evaluation"), None),
        "rescored": {
            stage.slot.partition("@")[2]: stage.summary for stage in stages if stage.slot.startswith("evaluation@")
        },
    }


def reproduce_bundle(run_ids: Sequence[int], *, reference: str = "") -> bytes:
    """A zip that computes these evaluated runs again; `reference`: group key of the setting differences are against."""
    return write.to_bytes(from_database(run_ids), store=store(), reference=reference)


def health() -> Health:
    """Ask Redis, the database and the disk; answers within seconds whatever is down."""
    redis_ok, redis_detail = _redis_health()
    database_ok, database_detail, alive = _database_health()
    usage = shutil.disk_usage(_existing(home()))
    storage_ok = usage.used / usage.total < _FULL
    return Health(
        redis_ok=redis_ok,
        redis_detail=redis_detail,
        database_ok=database_ok,
        database_detail=database_detail,
        storage_ok=storage_ok,
        storage_detail=f"{usage.free / 2**30:.1f} GiB free of {usage.total / 2**30:.0f} GiB at {home()}",
        workers_alive=alive,
    )


def _submit(configs: Sequence[RunConfig], *, sweep: str | None, priority: int) -> list[Submitted]:
    return _submit_resolved(_resolve_all(configs), sweep=sweep, priority=priority)


def _submit_resolved(configs: Sequence[RunConfig], *, sweep: str | None, priority: int) -> list[Submitted]:
    planned = _with_needs([(config, build(config)) for config in configs])
    made: list[CreatedRun] = []
    with writing() as session:
        for config, specs, stages in planned:
            row = submission.new_run(config, specs, sweep=sweep, priority=priority)
            made.append(runs.create(session, row, stages))
    down = not _announce()
    return [
        Submitted(run_id=one.run_id, reused=one.reused + one.shared, stages=one.stages, queue_down=down) for one in made
    ]


def _with_needs(graphs: Sequence[tuple[RunConfig, Graph]]) -> list[tuple[RunConfig, Graph, list[NewStage]]]:
    """The rows of the stages of these runs, with the cards that they need as far as the estimate knows it."""
    gpu = gpu_available()
    with reading() as session:
        hosts = _hosts([worker for worker in queries.workers(session) if worker.alive])
    machine = memory.this_machine(graphs, home(), hosts)
    return [
        (config, specs, submission.new_stages(
            config, specs, gpu=gpu, needs=stage_needs.of_run(config, specs, machine, gpu=gpu)
        ))
        for config, specs in graphs
    ]  # fmt: skip


def _hosts(workers: Sequence[WorkerRow]) -> list[list[int | None]]:
    """The cards of each host that has GPU workers."""
    cards: dict[str, list[int | None]] = {}
    for worker in workers:
        if worker.device != "cpu":
            cards.setdefault(worker.host, []).append(worker.card_bytes)
    return list(cards.values())


def _delete_artifacts(fingerprints: Sequence[str]) -> None:
    place = store()
    for fingerprint in fingerprints:
        place.delete(fingerprint)


def _announce() -> bool:
    """Ring for idle workers. False when Redis is down, whether or not anybody had to be rung."""
    return scheduler.ring_idle() and _redis_health()[0]


def gpu_available() -> bool:
    """Whether a GPU will execute what is submitted: this machine has one, or a GPU worker is alive."""
    if visible_gpus():
        return True
    with reading() as session:
        return any(worker.alive and worker.device == "gpu" for worker in queries.workers(session))


def bf16_available() -> bool:
    """Whether what is submitted with `precision: auto` is computed in bf16: by the GPUs here as they say themselves;
    those of other machines are taken to have it."""
    return has_bf16() if visible_gpus() else gpu_available()


def _resolve_all(configs: Sequence[RunConfig], *, read_at_most: int | None = None) -> list[RunConfig]:
    """Pin what each names; runs that name the same things are looked up once."""
    bf16 = bf16_available()
    pinned: dict[str, RunConfig] = {}
    result = []
    for config in with_fingerprints(configs):
        key = _named(config)
        if key not in pinned:
            pinned[key] = resolve(config, bf16=bf16, home=home(), read_at_most=read_at_most)
            result.append(pinned[key])
        else:
            result.append(_with_pins(config, pinned[key]))
    return result


def _named(config: RunConfig) -> str:
    """What `resolve` looks up of a configuration, as a key: runs with the same one are looked up once."""
    annotator, device = METHODS[config.method].needs_annotator, config.execution.device
    return (
        f"{annotator} {device} {config.annotator.use} {config.model_dump_json(include={'data', 'model', 'evaluation'})}"
    )


def _with_pins(config: RunConfig, pinned: RunConfig) -> RunConfig:
    parts = pinned.model_dump(mode="json", include={"data", "model", "evaluation"})
    return RunConfig.parse(merged(config.canonical(), parts))


def _retry_when_stopped(run_id: int) -> None:
    with reading() as session:
        page = queries.list_runs(session, filters=RunFilters(ids=(run_id,)), after=None, limit=1)
    if page.rows and page.rows[0].status in (FAILED, CANCELLED):
        retry_run(run_id)


def _redis_health() -> tuple[bool, str]:
    try:
        doorbell.ping()
    except RedisError as error:
        return False, f"Redis does not answer ({error}): queued runs start when it is back."
    return True, "Redis answers."


def _database_health() -> tuple[bool, str, int]:
    try:
        with reading() as session:
            facts = queries.database_health(session)
            alive = sum(worker.alive for worker in queries.workers(session))
    except DatabaseError as error:
        return False, str(error), 0
    return True, f"{facts.product} {facts.version}, {facts.location}", alive


def _existing(path: Any) -> Any:
    while not path.exists():
        path = path.parent
    return path
