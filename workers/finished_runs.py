"""Evaluated runs out of the database, in the form that a bundle is made of."""

from collections.abc import Sequence

from cwpo.bundle.write import FinishedRun, StageFacts
from cwpo.config.run import RunConfig
from cwpo.config.stored import as_stored
from cwpo.errors import ConfigError
from db import queries
from workers import related_prompts
from workers.machine.database import reading


def from_database(run_ids: Sequence[int]) -> list[FinishedRun]:
    """These runs in the order given; equal configurations once. An error for the first that is not evaluated."""
    with reading() as session:
        records = [queries.get_run(session, run_id) for run_id in dict.fromkeys(run_ids)]
        waiting = next((record for record in records if record.row.evaluation is None), None)
        if waiting is not None:
            raise ConfigError("run", f"{waiting.id} is {waiting.status} and not evaluated; bundle it when it is done.")
        kept = list({record.config_hash: record for record in reversed(records)}.values())[::-1]
        outcomes = related_prompts.outcomes(session, [record.id for record in kept])
        stages = queries.stages_of_runs(session, [record.id for record in kept])
    return [
        FinishedRun(
            config=RunConfig.parse(as_stored(record.config)),
            group=record.row.group_key,
            outcomes=outcomes[outcomes["run_id"] == record.id].drop(columns="run_id"),
            stages={
                stage.slot: StageFacts(
                    kind=stage.kind, fingerprint=stage.fingerprint, seconds=stage.seconds, summary=stage.summary
                )
                for stage in stages[record.id]
            },
        )
        for record in kept
    ]
