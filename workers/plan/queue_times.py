"""Expected times of everything that is live, from the database: the one place where pages and terminal ask for it."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from cwpo.config.run import RunConfig
from cwpo.errors import ConfigError, SettingsError
from cwpo.stages.kinds import stored_settings
from db import queries
from db.records import LiveStage, QueueNow, StageWork
from workers.plan import eta
from workers.plan.estimate import Speed, work_of
from workers.plan.eta import Eta, Times
from workers.plan.lasting import Lasting, Work

_KEPT = 20_000
# Kinds whose pairs or answers another kind with that model counts the tokens of.
COUNTS_TOKENS = {"align": "reference", "along": "samples", "best_of": "samples"}
# Fingerprint and pairs -> how much there is to do. Settings and configurations never change.
_known: dict[tuple[str, int | None], Work] = {}


def etas(session: Session) -> Mapping[int, Eta]:
    """When each live run starts and ends, and how many stages are before it."""
    return times(session).runs


def times(session: Session) -> Times:
    """Every live stage and run."""
    queue = queries.queue_now(session)
    return eta.times(queue, expected(session, queue))


def expected(session: Session, queue: QueueNow) -> dict[int, Lasting | None]:
    """Seconds of each live stage by what was measured before; None where nothing was."""
    like = {(stage.kind, stage.model) for stage in queue.stages}
    counting = {(COUNTS_TOKENS[kind], model) for kind, model in like if kind in COUNTS_TOKENS}
    speed = Speed(queries.measured_like(session, like | counting))
    works = _works(session, queue)
    return {
        stage.stage_id: speed.of(
            stage.kind, stage.model, stage.running_on or _device(stage, queue), works[stage.stage_id]
        )
        for stage in queue.stages
    }


def _device(stage: LiveStage, queue: QueueNow) -> str:
    """Where a waiting stage will run, as far as one can say."""
    if stage.device == "any":
        return "cpu" if queue.workers.get("cpu") or not queue.workers.get("gpu") else "gpu"
    return stage.device


def _works(session: Session, queue: QueueNow) -> dict[int, Work]:
    """How much each stage has to do; what was asked before is not read again."""
    keys = {stage.stage_id: (stage.fingerprint, stage.data_pairs) for stage in queue.stages}
    new = [stage for stage in queue.stages if keys[stage.stage_id] not in _known]
    if len(_known) + len(new) > _KEPT:
        _known.clear()
        new = list(queue.stages)
    pairs = {stage.stage_id: stage.data_pairs for stage in new}
    kinds = {stage.stage_id: stage.kind for stage in new}
    for row in queries.work_of(session, [(stage.stage_id, stage.runs[0]) for stage in new]):
        _known[keys[row.stage_id]] = _work(kinds[row.stage_id], row, pairs[row.stage_id])
    return {stage_id: _known.get(key, Work()) for stage_id, key in keys.items()}


def _work(kind: str, row: StageWork, pairs: int | None) -> Work:
    """Nothing is known of a stage whose settings or run another version of the program wrote."""
    try:
        config = RunConfig.stored(row.config)
        if pairs is None:
            pairs = config.data.sandbox.pairs if config.data.sandbox else config.data.max_pairs
        return work_of(stored_settings(kind, row.stage_config), config, pairs)
    except (SettingsError, KeyError, ConfigError):
        return Work()
