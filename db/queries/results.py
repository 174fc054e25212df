"""The Compare page: GRA, per-prompt outcomes, configs and times of several runs."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd
from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session, aliased

from db.models import Attempt, Evaluation, Outcome, Prompt, Run, RunStage, Sample, Score, Stage, StageInput
from db.queries.common import frame, slot_stages
from db.records import AnswerLengths, EvaluationRecord, HeldOut, HeldOutPrompts, RescoringRow

EVALUATION_SLOT = "evaluation"
PROMPT_SLOTS = ("prompts", "data")  # the sandbox's prompts have a stage of their own
# Other rows of a table, named once: each name has columns of its own, which take long to make.
_OWN, _STAGE = aliased(RunStage), aliased(Stage)
OUTCOME_COLUMNS = (
    "prompt_id",
    "outcome",
    "score",
    "baseline_score",
    "tokens",
    "baseline_tokens",
    "logratio",
    "ungrammatical",
    "baseline_ungrammatical",
)


OUTCOME_TYPES = {
    "run_id": "int64",
    **{name: "str" if name == "prompt_id" else "float64" for name in OUTCOME_COLUMNS},
}


def evaluations(
    session: Session, run_ids: Collection[int], *, slot: str = EVALUATION_SLOT
) -> dict[int, EvaluationRecord]:
    """Published GRA by run; runs without one are absent. `slot`: evaluation@NAME for another gold reward."""
    names = [name for name in EvaluationRecord.__dataclass_fields__ if name not in ("run_id", "stage_id")]
    found = session.execute(
        select(RunStage.run_id, Evaluation.stage_id, *(getattr(Evaluation, name) for name in names))
        .join(Stage, Stage.id == RunStage.stage_id)
        .join(Evaluation, (Evaluation.stage_id == Stage.id) & (Evaluation.attempt_id == Stage.published_attempt_id))
        .where(RunStage.run_id.in_(run_ids), RunStage.slot == slot)
    )
    return {row.run_id: EvaluationRecord(**row._mapping) for row in found}


def outcomes(session: Session, run_ids: Collection[int], *, slot: str = EVALUATION_SLOT) -> pd.DataFrame:
    """Published per-prompt outcomes of the runs: run_id, prompt_id, outcome and the figures of both sides."""
    found = _published_outcomes(run_ids, slot).order_by(RunStage.run_id, Outcome.prompt_id)
    return frame(session, found, OUTCOME_TYPES)


def outcomes_and_prompts(
    session: Session, run_ids: Collection[int], *, slot: str = EVALUATION_SLOT
) -> tuple[pd.DataFrame, HeldOutPrompts]:
    """The same outcomes, and where the prompts of the runs come from, in one query."""
    held = _held_out(run_ids).subquery()
    every = _published_outcomes(run_ids, slot).outerjoin(held, held.c.run_id == RunStage.run_id)
    first = func.row_number().over(partition_by=held.c.stage_id, order_by=(RunStage.run_id, Outcome.prompt_id)) == 1
    told = every.add_columns(held.c.stage_id, case((first, held.c.config)), case((first, held.c.summary)))
    rows = session.connection().execute(told.order_by(RunStage.run_id, Outcome.prompt_id)).all()
    columns = list(zip(*rows, strict=True)) if rows else [()] * (len(OUTCOME_TYPES) + 3)
    *figures, stage_ids, configs_, summaries_ = columns
    table = pd.DataFrame(dict(zip(OUTCOME_TYPES, figures, strict=True))).astype(OUTCOME_TYPES)
    return table, _prompts_of(zip(figures[0], stage_ids, configs_, summaries_, strict=True))


def held_out_prompts(session: Session, run_ids: Collection[int]) -> HeldOutPrompts:
    """Where the held-out prompts of these runs come from."""
    return _prompts_of(session.execute(_held_out(run_ids)).all())


def _published_outcomes(run_ids: Collection[int], slot: str) -> Select[*tuple[Any, ...]]:
    return (
        select(RunStage.run_id, *(getattr(Outcome, name) for name in OUTCOME_COLUMNS))
        .select_from(RunStage)
        .join(Stage, Stage.id == RunStage.stage_id)
        .join(Outcome, (Outcome.stage_id == Stage.id) & (Outcome.attempt_id == Stage.published_attempt_id))
        .where(RunStage.run_id.in_(run_ids), RunStage.slot == slot)
    )


def _held_out(run_ids: Collection[int]) -> Select[*tuple[Any, ...]]:
    """Of each run the published stage with its held-out prompts: one of their own, or the one of its pairs."""
    place = func.row_number().over(partition_by=_OWN.run_id, order_by=_OWN.slot.desc())  # prompts before data
    found = (
        select(_OWN.run_id, _OWN.stage_id, _STAGE.config, _STAGE.summary, place.label("place"))
        .join(_STAGE, _STAGE.id == _OWN.stage_id)
        .where(_OWN.run_id.in_(run_ids), _OWN.slot.in_(PROMPT_SLOTS), _STAGE.published_attempt_id.is_not(None))
        .subquery()
    )
    return select(found.c.run_id, found.c.stage_id, found.c.config, found.c.summary).where(found.c.place == 1)


def _prompts_of(rows: Iterable[Any]) -> HeldOutPrompts:
    """From run, stage, and once a stage at least its configuration and summary."""
    stages: dict[int, int] = {}
    said: dict[int, HeldOut] = {}
    for run_id, stage_id, config, summary in rows:
        if stage_id is not None:
            stages[run_id] = stage_id
        if stage_id is not None and config is not None and stage_id not in said:
            groups = (summary or {}).get("test_groups")
            said[stage_id] = HeldOut(dataset=str(config.get("dataset")), groups=groups)
    return HeldOutPrompts(stages=stages, said=said)


def prompt_texts(session: Session, stage_ids: Collection[int]) -> dict[int, list[tuple[str, str]]]:
    """Id and text of the held-out prompts, by the stage that holds them."""
    rows = session.execute(
        select(Prompt.stage_id, Prompt.prompt_id, Prompt.prompt)
        .join(Stage, (Stage.id == Prompt.stage_id) & (Stage.published_attempt_id == Prompt.attempt_id))
        .where(Prompt.stage_id.in_(stage_ids))
        .order_by(Prompt.stage_id, Prompt.prompt_id)
    )
    result: dict[int, list[tuple[str, str]]] = {}
    for row in rows:
        result.setdefault(row.stage_id, []).append((row.prompt_id, row.prompt))
    return result


def rescorings(session: Session, run_ids: Collection[int]) -> list[RescoringRow]:
    """Further gold rewards that judge the answers of these runs, whether they are done or not."""
    found = session.execute(
        select(RunStage.run_id, RunStage.slot, Stage.status)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id.in_(run_ids), RunStage.slot.startswith(f"{EVALUATION_SLOT}@", autoescape=True))
        .order_by(RunStage.slot, RunStage.run_id)
    )
    return [
        RescoringRow(run_id=row.run_id, key=row.slot.partition("@")[2], slot=row.slot, status=row.status)
        for row in found
    ]


def answer_lengths(session: Session, run_ids: Collection[int]) -> dict[int, AnswerLengths]:
    """How much text a judge of these runs' answers would read; runs whose answers are not stored are absent."""
    slots = ("samples", "baseline_samples", "prompts", "data")
    stages = slot_stages(session, run_ids, slots)
    ids = {stage.stage_id for stage in stages.values()}
    said = _characters(session, Sample, Sample.text, ids)
    asked = _characters(session, Prompt, Prompt.prompt, ids)
    found = {}
    for run_id in run_ids:
        mine = {slot: stages[run_id, slot].stage_id for slot in slots if (run_id, slot) in stages}
        answered = [said.get(mine.get(slot, 0)) for slot in slots[:2]]
        prompts = asked.get(mine.get("prompts", mine.get("data", 0)))
        if prompts is None or answered[0] is None or answered[1] is None:
            continue
        found[run_id] = AnswerLengths(
            prompts=prompts[0],
            answers=answered[0][0],
            prompt_characters=prompts[1] / prompts[0],
            answer_characters=answered[0][1] / answered[0][0] + answered[1][1] / answered[1][0],
        )
    return found


def _characters(
    session: Session, table: type[Sample] | type[Prompt], text: Any, stage_ids: Collection[int]
) -> dict[int, tuple[int, int]]:
    """Rows and characters of their texts, by stage."""
    rows = session.execute(
        select(table.stage_id, func.count().label("rows"), func.sum(func.length(text)).label("characters"))
        .join(Stage, (Stage.id == table.stage_id) & (Stage.published_attempt_id == table.attempt_id))
        .where(table.stage_id.in_(stage_ids))
        .group_by(table.stage_id)
    )
    return {row.stage_id: (int(row.rows), int(row.characters or 0)) for row in rows}


def scores(session: Session, run_ids: Collection[int]) -> pd.DataFrame:
    """Published scores of the aligned answers: run_id, prompt_id, sample, score, answer, tokens, and judge.

    answer: a number, the same where two runs gave the same text to a prompt as the same sample. judge: the same for
    runs whose answers the same gold reward scored.
    """
    graded, said = slot_stages(session, run_ids, ["scores"]), slot_stages(session, run_ids, ["samples"])
    judges = _judges(session, {stage.stage_id for stage in graded.values()})
    both = [
        (run_id, stage.stage_id, said[run_id, "samples"].stage_id, judges[stage.stage_id])
        for (run_id, _), stage in sorted(graded.items())
        if stage.attempt_id is not None and (run_id, "samples") in said
    ]
    attempts = [stage.attempt_id for stage in (*graded.values(), *said.values()) if stage.attempt_id is not None]
    key = {"stage_id": "int64", "prompt_id": "str", "sample": "int64"}
    score = select(Score.stage_id, Score.prompt_id, Score.sample, Score.score).where(
        Score.stage_id.in_([one[1] for one in both]), Score.attempt_id.in_(attempts)
    )
    # Texts are compared where they lie: of each a number comes here.
    told = func.dense_rank().over(partition_by=(Sample.prompt_id, Sample.sample), order_by=Sample.text)
    spoken = select(Sample.stage_id, Sample.prompt_id, Sample.sample, told.label("answer"), Sample.tokens).where(
        Sample.stage_id.in_([one[2] for one in both]), Sample.attempt_id.in_(attempts)
    )
    owners = pd.DataFrame(both, columns=["run_id", "stage_id", "samples_id", "judge"])
    owners = owners.astype({"run_id": "int64", "stage_id": "int64", "samples_id": "int64", "judge": "str"})
    answers = frame(session, spoken, {**key, "answer": "int64", "tokens": "float64"})
    answers = answers.rename(columns={"stage_id": "samples_id"})
    table = owners.merge(frame(session, score, {**key, "score": "float64"}), on="stage_id")
    return table.merge(answers, on=["samples_id", "prompt_id", "sample"]).drop(columns=["stage_id", "samples_id"])


def _judges(session: Session, stage_ids: Collection[int]) -> dict[int, str]:
    """What decides a scores stage's figures besides the answers: its configuration and a gold reward trained here."""
    gold = select(StageInput.stage_id, StageInput.input_stage_id).where(
        StageInput.stage_id.in_(stage_ids), StageInput.name == "gold"
    )
    trained = {row.stage_id: row.input_stage_id for row in session.execute(gold)}
    rows = session.execute(select(Stage.id, Stage.version, Stage.config).where(Stage.id.in_(stage_ids)))
    return {
        row.id: json.dumps([row.version, row.config, trained.get(row.id)], sort_keys=True, default=str) for row in rows
    }


def configs(session: Session, run_ids: Collection[int]) -> dict[int, Mapping[str, Any]]:
    """Configs by run, for the table of differences."""
    found = session.execute(select(Run.id, Run.config).where(Run.id.in_(run_ids)).order_by(Run.id))
    return {row.id: row.config for row in found}


def stage_seconds(session: Session, run_ids: Collection[int]) -> pd.DataFrame:
    """Seconds of every published stage of the runs: run_id, slot, stage_id, kind, device, seconds, reused."""
    found = (
        select(
            RunStage.run_id,
            RunStage.slot,
            RunStage.stage_id,
            Stage.kind,
            func.coalesce(Attempt.device, "").label("device"),
            Stage.seconds,
            RunStage.reused,
        )
        .join(Stage, Stage.id == RunStage.stage_id)
        .outerjoin(Attempt, Attempt.id == Stage.published_attempt_id)
        .where(RunStage.run_id.in_(run_ids), Stage.seconds.is_not(None))
        .order_by(RunStage.run_id, Stage.id)
    )
    columns = {"run_id": "int64", "slot": "str", "stage_id": "int64", "kind": "str", "device": "str"}
    return frame(session, found, columns | {"seconds": "float64", "reused": "bool"})


def summaries(session: Session, run_ids: Collection[int], slots: Collection[str]) -> dict[str, dict[int, Any]]:
    """What published stages say of themselves, by slot and run."""
    found = session.execute(
        select(RunStage.run_id, RunStage.slot, Stage.summary)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id.in_(run_ids), RunStage.slot.in_(slots), Stage.published_attempt_id.is_not(None))
    )
    result: dict[str, dict[int, Any]] = {slot: {} for slot in slots}
    for row in found:
        result[row.slot][row.run_id] = row.summary
    return result


def summaries_under(session: Session, run_ids: Collection[int], beginning: str) -> dict[str, dict[int, Any]]:
    """The same of all slots whose names begin so."""
    found = session.execute(
        select(RunStage.run_id, RunStage.slot, Stage.summary)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(
            RunStage.run_id.in_(run_ids),
            RunStage.slot.startswith(beginning, autoescape=True),
            Stage.published_attempt_id.is_not(None),
        )
        .order_by(RunStage.slot, RunStage.run_id)
    )
    result: dict[str, dict[int, Any]] = {}
    for row in found:
        result.setdefault(row.slot, {})[row.run_id] = row.summary
    return result
