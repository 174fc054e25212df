"""Answers of the aligned and the baseline model to held-out prompts, with gold scores."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import Select, case, func, literal, or_, select
from sqlalchemy.orm import Session

from db.models import Outcome, Prompt, Sample, Score
from db.queries.common import SlotStage, after_key, check_choice, contains, cut, slot_stages
from db.records import Answer, AnswerPage, AnswerRow, Cursor, PromptRow

ORDERS = ("prompt", "worst", "best", "change")
SLOTS = ("prompts", "data", "samples", "baseline_samples", "scores", "baseline_scores", "evaluation")
Slots = dict[tuple[int, str], SlotStage]
# What alignment changed at a prompt: the gold score of the aligned answer minus the baseline's.
CHANGE = func.coalesce(Outcome.score - Outcome.baseline_score, Outcome.outcome - 0.5)


def answers(
    session: Session,
    run_id: int,
    *,
    order: str = "prompt",
    text: str = "",
    after: Cursor | None = None,
    before: Cursor | None = None,
    limit: int = 20,
) -> AnswerPage:
    """One page of prompts with both sides' answers, behind one cursor or in front of another. Orders by the change of
    the gold score need the evaluation; `text` stands in the prompt or in an answer of either side."""
    check_choice("Order", order, ORDERS)
    slots = slot_stages(session, [run_id], SLOTS)
    samples = slots.get((run_id, "samples"))
    evaluation = slots.get((run_id, "evaluation"))
    evaluated = evaluation is not None and evaluation.attempt_id is not None
    if samples is None or samples.attempt_id is None:
        return AnswerPage(rows=(), next=None, total=0)

    def keys(place: Cursor | None, *, back: bool = False) -> Select[*tuple[Any, ...]]:
        if order != "prompt" and evaluation is not None and evaluated:
            return _by_change(evaluation, order, place, back).where(*_holding(text, Outcome.prompt_id, slots))
        return _by_prompt(samples, place, back).where(*_holding(text, Sample.prompt_id, slots))

    page, more, first = _page(session, keys, after, before, limit)
    prompts = session.execute(
        select(func.count(Sample.prompt_id.distinct())).where(*_published(Sample, samples))
    ).scalar_one()
    better, worse = _changes(session, evaluation, text, slots) if evaluation is not None and evaluated else (None, None)
    return AnswerPage(
        rows=tuple(_rows(session, [run_id], slots, [key.prompt_id for key in page])),
        next=_cursor(page[-1]) if more else None,
        total=_count(session, keys(None)) if text.strip() else prompts,
        first=first,
        previous=_cursor(page[0]) if page and first > 1 else None,
        prompts=prompts,
        better=better,
        worse=worse,
    )


def _page(
    session: Session,
    keys: Callable[..., Select[*tuple[Any, ...]]],
    after: Cursor | None,
    before: Cursor | None,
    limit: int,
) -> tuple[Sequence[Any], bool, int]:
    """The keys of a page, whether another one follows it, and the place of its first one. Where less than a page is in
    front of a cursor, the first page."""
    if before is not None:
        found = session.execute(keys(before, back=True).limit(limit)).all()
        if len(found) == limit:
            return found[::-1], True, _count(session, keys(before, back=True)) - limit + 1
        after = None
    page, more = cut(session.execute(keys(after).limit(limit + 1)).all(), limit)
    if after is None or not page:
        return page, more, 1
    return page, more, _count(session, keys(_cursor(page[0]), back=True)) + 1


def _cursor(key: Any) -> Cursor:
    return Cursor(value=key.value, id=key.prompt_id)


def same_prompt_answers(session: Session, run_ids: Sequence[int], prompt_id: str) -> list[AnswerRow]:
    """What each run answers to one prompt, in the order of `run_ids`; runs without an answer are absent."""
    return _rows(session, run_ids, slot_stages(session, run_ids, SLOTS), [prompt_id])


def shared_prompts(
    session: Session, run_ids: Collection[int], *, text: str = "", after: Cursor | None = None, limit: int = 50
) -> list[PromptRow]:
    """Prompts that every one of the runs answered, by prompt id."""
    slots = slot_stages(session, run_ids, SLOTS)
    samples = {slots[run_id, "samples"].stage_id for run_id in run_ids if _is_published(slots, run_id, "samples")}
    attempts = [stage.attempt_id for stage in slots.values() if stage.stage_id in samples]
    if not run_ids or any(not _is_published(slots, run_id, "samples") for run_id in run_ids):
        return []
    answered = (
        select(Sample.prompt_id)
        .where(Sample.stage_id.in_(samples), Sample.attempt_id.in_(attempts))
        .group_by(Sample.prompt_id)
        .having(func.count(Sample.stage_id.distinct()) == len(samples))
    )
    asked = {stage.stage_id for run_id in run_ids if (stage := _prompt_stage(slots, run_id)) is not None}
    rows = session.execute(
        select(Prompt.prompt_id, Prompt.prompt)
        .where(
            Prompt.stage_id == min(asked, default=-1),
            Prompt.prompt_id.in_(answered),
            *after_key([Prompt.prompt_id], after, descending=False),
            *([contains(text.strip(), (Prompt.prompt,))] if text.strip() else []),
        )
        .order_by(Prompt.prompt_id)
        .limit(limit)
    )
    return [PromptRow(**row._mapping) for row in rows]


def _published(table: Any, stage: SlotStage) -> tuple[Any, Any]:
    return table.stage_id == stage.stage_id, table.attempt_id == stage.attempt_id


def _is_published(slots: Slots, run_id: int, slot: str) -> bool:
    stage = slots.get((run_id, slot))
    return stage is not None and stage.attempt_id is not None


def _prompt_stage(slots: Slots, run_id: int) -> SlotStage | None:
    """The stage that holds the held-out prompts: `prompts` in the sandbox, else `data`."""
    return slots.get((run_id, "prompts")) or slots.get((run_id, "data"))


def _by_prompt(samples: SlotStage, place: Cursor | None, back: bool) -> Select[*tuple[Any, ...]]:
    return (
        select(Sample.prompt_id, literal(None).label("value"))
        .where(*_published(Sample, samples), *after_key([Sample.prompt_id], place, descending=back))
        .distinct()
        .order_by(Sample.prompt_id.desc() if back else Sample.prompt_id)
    )


def _count(session: Session, keys: Select[*tuple[Any, ...]]) -> int:
    return int(session.execute(select(func.count()).select_from(keys.order_by(None).subquery())).scalar_one())


def _changes(session: Session, evaluation: SlotStage, text: str, slots: Slots) -> tuple[int, int]:
    """At how many prompts the aligned answer is better, and worse."""
    better, worse = (func.sum(case((condition, 1), else_=0)) for condition in (CHANGE > 0, CHANGE < 0))
    found = session.execute(
        select(better, worse).where(*_published(Outcome, evaluation), *_holding(text, Outcome.prompt_id, slots))
    ).one()
    return int(found[0] or 0), int(found[1] or 0)


def _holding(text: str, prompt_id: Any, slots: Slots) -> list[Any]:
    """The condition that the text stands in the prompt or in an answer."""
    wanted = text.strip()
    if not wanted:
        return []
    asked = {stage.stage_id for (_, slot), stage in slots.items() if slot in ("prompts", "data")}
    prompts = select(Prompt.prompt_id).where(Prompt.stage_id.in_(asked), contains(wanted, (Prompt.prompt,)))
    said = select(Sample.prompt_id).where(
        *_of_slots(Sample, slots, ("samples", "baseline_samples")), contains(wanted, (Sample.text,))
    )
    return [or_(prompt_id.in_(prompts), prompt_id.in_(said))]


def _by_change(evaluation: SlotStage, order: str, place: Cursor | None, back: bool) -> Select[*tuple[Any, ...]]:
    """best: the largest gain first; worst: the largest loss; change: the largest of either; `back`: the other way."""
    descending = (order != "worst") is not back
    value = func.abs(CHANGE) if order == "change" else CHANGE
    key = (value, Outcome.prompt_id)
    return (
        select(Outcome.prompt_id, value.label("value"))
        .where(*_published(Outcome, evaluation), *after_key(key, place, descending=descending))
        .order_by(*(column.desc() if descending else column for column in key))
    )


def _rows(session: Session, run_ids: Sequence[int], slots: Slots, prompt_ids: Sequence[str]) -> list[AnswerRow]:
    """Answer rows of the prompts: four queries for all runs together."""
    texts = _texts(session, slots, prompt_ids)
    said = _said(session, slots, prompt_ids)
    outcome = _outcomes(session, slots, prompt_ids)
    rows = []
    for run_id in run_ids:
        asked = _prompt_stage(slots, run_id)
        for prompt_id in prompt_ids:
            aligned = _side(said, slots, run_id, "", prompt_id)
            if not aligned:
                continue
            evaluation = slots.get((run_id, "evaluation"))
            rows.append(
                AnswerRow(
                    run_id=run_id, prompt_id=prompt_id, aligned=aligned,
                    prompt=texts.get((asked.stage_id, prompt_id), "") if asked else "",
                    outcome=outcome.get((evaluation.stage_id, prompt_id)) if evaluation else None,
                    baseline=_side(said, slots, run_id, "baseline_", prompt_id),
                )
            )  # fmt: skip
    return rows


def _side(said: dict[Any, Any], slots: Slots, run_id: int, side: str, prompt_id: str) -> tuple[Answer, ...]:
    """Answers of one side with the scores of the scores stage of the same run."""
    samples, scores = slots.get((run_id, f"{side}samples")), slots.get((run_id, f"{side}scores"))
    spoken = said["samples"].get((samples.stage_id, prompt_id), ()) if samples else ()
    graded = said["scores"].get((scores.stage_id, prompt_id), {}) if scores else {}
    return tuple(
        Answer(
            sample=row.sample, text=row.text, tokens=row.tokens, logp=row.logp, reference_logp=row.reference_logp,
            score=graded[row.sample].score if row.sample in graded else None,
            ungrammatical=graded[row.sample].ungrammatical if row.sample in graded else None,
        )
        for row in spoken
    )  # fmt: skip


def _said(session: Session, slots: Slots, prompt_ids: Sequence[str]) -> dict[str, dict[Any, Any]]:
    spoken: dict[tuple[int, str], list[Any]] = {}
    for row in session.execute(
        select(
            Sample.stage_id, Sample.prompt_id, Sample.sample, Sample.text, Sample.tokens, Sample.logp,
            Sample.reference_logp,
        )
        .where(*_of_slots(Sample, slots, ("samples", "baseline_samples")), Sample.prompt_id.in_(prompt_ids))
        .order_by(Sample.sample)
    ):  # fmt: skip
        spoken.setdefault((row.stage_id, row.prompt_id), []).append(row)
    graded: dict[tuple[int, str], dict[int, Any]] = {}
    for grade in session.execute(
        select(Score.stage_id, Score.prompt_id, Score.sample, Score.score, Score.ungrammatical).where(
            *_of_slots(Score, slots, ("scores", "baseline_scores")), Score.prompt_id.in_(prompt_ids)
        )
    ):
        graded.setdefault((grade.stage_id, grade.prompt_id), {})[grade.sample] = grade
    return {"samples": spoken, "scores": graded}


def _of_slots(table: Any, slots: Slots, names: Collection[str]) -> tuple[Any, Any]:
    """Rows of the published attempts in the named slots."""
    stages = [stage for (_, slot), stage in slots.items() if slot in names and stage.attempt_id is not None]
    return (
        table.stage_id.in_({stage.stage_id for stage in stages}),
        table.attempt_id.in_({stage.attempt_id for stage in stages}),
    )


def _texts(session: Session, slots: Slots, prompt_ids: Sequence[str]) -> dict[tuple[int, str], str]:
    asked = {stage.stage_id for (_, slot), stage in slots.items() if slot in ("prompts", "data")}
    rows = session.execute(
        select(Prompt.stage_id, Prompt.prompt_id, Prompt.prompt).where(
            Prompt.stage_id.in_(asked), Prompt.prompt_id.in_(prompt_ids)
        )
    )
    return {(row.stage_id, row.prompt_id): row.prompt for row in rows}


def _outcomes(session: Session, slots: Slots, prompt_ids: Sequence[str]) -> dict[tuple[int, str], float]:
    rows = session.execute(
        select(Outcome.stage_id, Outcome.prompt_id, Outcome.outcome).where(
            *_of_slots(Outcome, slots, ("evaluation",)), Outcome.prompt_id.in_(prompt_ids)
        )
    )
    return {(row.stage_id, row.prompt_id): row.outcome for row in rows}
