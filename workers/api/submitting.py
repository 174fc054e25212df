"""Runs are planned and queued, and stored answers get another judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cwpo.compare.power import SeedSpread, measured_spread
from cwpo.config.environment import settings
from cwpo.config.parts import JudgeConfig
from cwpo.config.run import MOST_RUNS, RunConfig, merged
from cwpo.errors import ConfigError
from cwpo.stages.graph import build, checking, looking, rescoring
from cwpo.stages.graph import judging as judging_of
from cwpo.stages.resolve import resolve, with_gold, with_judge
from db import queries
from db.records import CreatedRun, NewStage, RunFilters, WorkerRow
from db.repositories import runs
from db.repositories.relabeling import sets as relabel_sets
from db.status import CANCELLED, DONE, FAILED
from workers import related_prompts
from workers.access.doing import check_mine, needs, nothing, person, reads, record, runs_of
from workers.access.roles import Role
from workers.api.changes import announce, delete_artifacts
from workers.api.runs import retry_run
from workers.machine import patience
from workers.machine.database import reading, writing
from workers.machine.devices import has_bf16, visible_gpus
from workers.machine.paths import home
from workers.plan import estimate as planning
from workers.plan import judging, memory, outlook, submission
from workers.plan import needs as stage_needs
from workers.plan.annotator_names import with_fingerprints
from workers.plan.estimate import Graph, Plan
from workers.plan.judging import Judging
from workers.plan.relabel_names import refuse_held_out, with_sets

_MEASURED_RUNS = 40  # newest of a dataset that the spread between seeds is measured in
_READ_FOR_A_PLAN = 2**28  # bytes of local files that are hashed before anything is submitted


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A run that is queued now. `reused`: stages that were done or wanted by another run already."""

    run_id: int
    reused: int
    stages: int
    queue_down: bool


@needs(Role.RUNNER)
def submit_run(config: RunConfig, *, priority: int = 0) -> Submitted:
    """Check what the run names, write its rows, commit, ring. Raises ConfigError with the field at fault."""
    return _submit([config], sweep=None, priority=priority)[0]


@needs(Role.RUNNER)
def submit_sweep(configs: Sequence[RunConfig], name: str, *, priority: int = 0) -> list[Submitted]:
    """All runs of a sweep in one transaction: all are there, or none."""
    if not configs:
        raise ConfigError("config", "describes no run; give at least one value to each list.")
    if len(configs) > MOST_RUNS:
        raise ConfigError("config", f"describes {len(configs)} runs; submit at most {MOST_RUNS:,} at once.")
    return _submit(configs, sweep=name or None, priority=priority)


@needs(Role.RUNNER)
def submit_missing(configs: Sequence[RunConfig], name: str) -> list[int]:
    """Like submit_sweep, but runs that exist are not made twice: failed ones are retried. All run ids, in order."""
    resolved = _resolve_all(configs)
    with reading() as session:
        known = queries.runs_by_config_hash(session, [config.hash() for config in resolved])
    new = [config for config in resolved if config.hash() not in known]
    made = _submit_resolved(new, sweep=name, priority=0) if new else []
    if not made:
        nothing()
    ids = {config.hash(): one.run_id for config, one in zip(new, made, strict=True)}
    for key, (newest, *_) in known.items():
        ids[key] = newest
        _retry_when_stopped(newest)
    return [ids[config.hash()] for config in resolved]


@reads
def plan(configs: Sequence[RunConfig]) -> Plan:
    """What submitting these runs would compute, reuse, take and use up; writes nothing. A large local model that was
    never hashed is hashed when a run with it is submitted, and until then counts as one that nobody used."""
    workers = _living()
    gpu = gpu_available(workers)
    resolved = _resolve_all(configs, workers, read_at_most=_READ_FOR_A_PLAN)
    runs_and_stages = [(config, build(config)) for config in resolved]
    refuse_held_out(runs_and_stages)
    specs = {spec.fingerprint: spec for _, graph in runs_and_stages for spec in graph.values()}
    with reading() as session:
        alive = [worker.device for worker in workers]
        there = queries.plan_reuse(session, list(specs))
        known = planning.PlanInputs(
            status={fingerprint: stage.status for fingerprint, stage in there.items()},
            pairs={fingerprint: stage.pairs for fingerprint, stage in there.items() if stage.pairs is not None},
            measured=queries.measured_stages(session, {spec.kind for spec in specs.values()}),
            workers={device: alive.count(device) for device in planning.DEVICES},
            gpu=gpu,
            price=settings.judge_price,
            machine=memory.this_machine(runs_and_stages, home(), _hosts(workers)),
            sets=queries.set_sizes(session, {config.data.relabels for config in resolved} - {None}),
        )
        like = queries.runs_like(session, [config.hash() for config in resolved])
    made = planning.make(runs_and_stages, known)
    return replace(
        made,
        existing=tuple(like.get(config.hash()) for config in resolved),
        warnings=outlook.warnings(runs_and_stages, known.status, home()),
    )


@reads
def seed_spread(dataset: str) -> SeedSpread:
    """How far a difference between methods moves with the seed on this dataset: as measured, else as assumed."""
    with reading() as session:
        filters = RunFilters(dataset=(dataset,), status=(DONE,))
        rows = queries.list_runs(session, filters=filters, after=None, limit=_MEASURED_RUNS).rows
        outcomes = related_prompts.outcomes(session, [row.id for row in rows])
    return measured_spread(rows, outcomes, {row.id: row.evaluation.samples for row in rows if row.evaluation})


@needs(Role.RUNNER)
def rescore(run_ids: Sequence[int], gold_reward: str) -> list[Submitted]:
    """Score the stored answers of evaluated runs with another gold reward; nothing is generated again."""
    _check_mine(run_ids)
    planned = []
    for run_id in run_ids:
        config, finished = _evaluated(run_id)
        judged = with_gold(config, gold_reward, home=home())
        ((_, _, stages),) = _with_needs([(judged, rescoring(judged, finished))])
        planned.append((run_id, stages))
    return _extended(planned)


def _extended(planned: Sequence[tuple[int, list[NewStage]]]) -> list[Submitted]:
    """Further stages for runs that are evaluated."""
    made = _extend(planned)
    taken = {stage.fingerprint for _, stages in planned for stage in stages}
    delete_artifacts([fingerprint for one in made for fingerprint in one.removed if fingerprint not in taken])
    down = not announce()
    return [
        Submitted(run_id=one.run_id, reused=one.reused + one.shared, stages=one.stages, queue_down=down) for one in made
    ]


@patience.patient()
def _extend(planned: Sequence[tuple[int, list[NewStage]]]) -> list[CreatedRun]:
    with writing() as session:
        check_mine(session, [run_id for run_id, _ in planned])
        made = [runs.extend(session, run_id, stages) for run_id, stages in planned]
        slots = sorted({stage.slot for _, stages in planned for stage in stages})
        record(session, runs_of([run_id for run_id, _ in planned]), after={"stages": slots})
    return made


@needs(Role.RUNNER)
def judge(run_ids: Sequence[int], asked: JudgeConfig) -> list[Submitted]:
    """Let a judge model compare the stored answers of evaluated runs; nothing is generated again, and what it answered
    before is not bought again."""
    _check_mine(run_ids)
    return _extended([(run_id, stages) for run_id, _, stages in _judged(run_ids, asked)])


@needs(Role.RUNNER)
def check_judge(run_ids: Sequence[int], gold_reward: str | None = None) -> list[Submitted]:
    """Try the gold reward of evaluated runs on pairs with human labels: their own, or another one."""
    _check_mine(run_ids)
    planned = []
    for run_id in run_ids:
        config, finished = _evaluated(run_id)
        if gold_reward is not None and gold_reward != config.evaluation.gold_reward:
            config = with_gold(config, gold_reward, home=home())
        ((_, _, stages),) = _with_needs([(config, checking(config, finished))])
        planned.append((run_id, stages))
    return _extended(planned)


@needs(Role.RUNNER)
def look_for_blind_spots(run_ids: Sequence[int]) -> list[Submitted]:
    """Where the aligned policies of evaluated runs are confident and wrong, by the confidence of their annotators."""
    _check_mine(run_ids)
    planned = []
    for run_id in run_ids:
        config, finished = _evaluated(run_id)
        ((_, _, stages),) = _with_needs([(config, looking(config, finished))])
        planned.append((run_id, stages))
    return _extended(planned)


def _check_mine(run_ids: Sequence[int]) -> None:
    """Before anything is planned, and again when it is written."""
    with reading() as session:
        check_mine(session, run_ids)


def _evaluated(run_id: int) -> tuple[RunConfig, dict[str, str]]:
    """The configuration of a run, and the fingerprints of its stages by slot."""
    with reading() as session:
        config = RunConfig.stored(queries.get_run(session, run_id).config)
        return config, {stage.slot: stage.fingerprint for stage in queries.run_stages(session, run_id)}


@reads
def judging_cost(run_ids: Sequence[int], asked: JudgeConfig) -> Judging:
    """What asking it would take, counted on the stored answers; writes nothing."""
    specs = {
        spec.fingerprint: (run_id, spec) for run_id, specs, _ in _judged(run_ids, asked) for spec in specs.values()
    }
    with reading() as session:
        there = queries.plan_reuse(session, list(specs))
        left = {key: pair for key, pair in specs.items() if key not in there or there[key].status != DONE}
        texts = queries.answer_lengths(session, [run_id for run_id, _ in left.values()])
    return judging.of_answers(
        [(spec.settings, texts[run_id]) for run_id, spec in left.values() if run_id in texts], settings.judge_price
    )


def _judged(run_ids: Sequence[int], asked: JudgeConfig) -> list[tuple[int, Graph, list[NewStage]]]:
    """The stages of each run by which the judge model compares its answers."""
    planned = []
    for run_id in run_ids:
        config, finished = _evaluated(run_id)
        with_it = with_judge(config, asked, home=home())
        ((_, specs, stages),) = _with_needs([(with_it, judging_of(with_it, finished))])
        planned.append((run_id, specs, stages))
    return planned


@reads
def gpu_available(workers: Sequence[WorkerRow] | None = None) -> bool:
    """Whether a GPU will execute what is submitted: this machine has one, or one of the living `workers`, which are
    looked up where they are not given."""
    if visible_gpus():
        return True
    return any(worker.device == "gpu" for worker in (_living() if workers is None else workers))


@reads
def bf16_available(workers: Sequence[WorkerRow] | None = None) -> bool:
    """Whether what is submitted with `precision: auto` is computed in bf16: by the GPUs here as they say themselves;
    those of other machines are taken to have it."""
    return has_bf16() if visible_gpus() else gpu_available(workers)


def _living() -> list[WorkerRow]:
    with reading() as session:
        return [worker for worker in queries.workers(session) if worker.alive]


def _submit(configs: Sequence[RunConfig], *, sweep: str | None, priority: int) -> list[Submitted]:
    return _submit_resolved(_resolve_all(configs), sweep=sweep, priority=priority)


def _submit_resolved(configs: Sequence[RunConfig], *, sweep: str | None, priority: int) -> list[Submitted]:
    graphs = [(config, build(config)) for config in configs]
    refuse_held_out(graphs)
    planned = _with_needs(graphs)
    made = _create(planned, sweep=sweep, priority=priority)
    down = not announce()
    return [
        Submitted(run_id=one.run_id, reused=one.reused + one.shared, stages=one.stages, queue_down=down) for one in made
    ]


@patience.patient()
def _create(
    planned: Sequence[tuple[RunConfig, Graph, list[NewStage]]], *, sweep: str | None, priority: int
) -> list[CreatedRun]:
    """All rows in one transaction."""
    made: list[CreatedRun] = []
    with writing() as session:
        before = runs.there_before(session, {stage.fingerprint for _, _, stages in planned for stage in stages})
        for config, specs, stages in planned:
            row = replace(submission.new_run(config, specs, sweep=sweep, priority=priority), owner=person().name)
            made.append(runs.create(session, row, stages, before_all=before))
            if config.data.relabels is not None:
                relabel_sets.used(session, made[-1].run_id, config.data.relabels)
        after = {"sweep": sweep, "priority": priority, "methods": sorted({config.method for config, _, _ in planned})}
        record(session, runs_of([one.run_id for one in made]), after=after)
    return made


def _with_needs(graphs: Sequence[tuple[RunConfig, Graph]]) -> list[tuple[RunConfig, Graph, list[NewStage]]]:
    """The rows of the stages of these runs, with the cards that they need as far as the estimate knows it."""
    workers = _living()
    gpu = gpu_available(workers)
    machine = memory.this_machine(graphs, home(), _hosts(workers))
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


def _resolve_all(
    configs: Sequence[RunConfig], workers: Sequence[WorkerRow] | None = None, *, read_at_most: int | None = None
) -> list[RunConfig]:
    """Pin what each names; runs that name the same things are looked up once."""
    bf16 = bf16_available(workers)
    pinned: dict[str, RunConfig] = {}
    result = []
    for config in with_sets(with_fingerprints(configs)):
        key = _named(config)
        if key not in pinned:
            pinned[key] = resolve(config, bf16=bf16, home=home(), read_at_most=read_at_most)
            result.append(pinned[key])
        else:
            result.append(_with_pins(config, pinned[key]))
    return result


def _named(config: RunConfig) -> str:
    """What `resolve` looks up of a configuration, as a key: runs with the same one are looked up once."""
    annotator, device = config.needs_annotator, config.execution.device
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
