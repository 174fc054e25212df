"""Answers of the aligned and the baseline model to held-out prompts, with gold scores."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Boolean, Float, Select, String, and_, cast, func, literal, null, or_, select, true, union_all
from sqlalchemy.orm import Session, aliased

from db.models import Outcome, Prompt, Sample, Score
from db.queries.common import SlotStage, after_key, check_choice, contains, cut, slot_stages
from db.records import Answer, AnswerPage, AnswerRow, Cursor, PromptRow, StageRow

ORDERS = ("prompt", "worst", "best", "change")
SLOTS = ("prompts", "data", "samples", "baseline_samples", "scores", "baseline_scores", "evaluation")
SPOKEN = (Sample.sample, Sample.text, Sample.tokens, Sample.logp, Sample.reference_logp)
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
    stages: Collection[StageRow] = (),
) -> AnswerPage:
    """One page of prompts with both sides' answers, behind one cursor or in front of another, in one query; in two
    where the run's `stages` are not given. Orders by the change of the gold score need the evaluation; `text` stands in
    the prompt or in an answer of either side."""
    check_choice("Order", order, ORDERS)
    slots = _known_slots(stages) if stages else slot_stages(session, [run_id], SLOTS)
    samples, evaluation = _published_in(slots, run_id, "samples"), _published_in(slots, run_id, "evaluation")
    if samples is None:
        return AnswerPage(rows=(), next=None, total=0)

    def keys(place: Cursor | None, *, back: bool = False) -> Select[*tuple[Any, ...]]:
        if order != "prompt" and evaluation is not None:
            return _by_change(evaluation, order, place, back).where(*_holding(text, Outcome.prompt_id, slots))
        return _by_prompt(samples, place, back).where(*_holding(text, Sample.prompt_id, slots))

    def read(place: Cursor | None, count: int, *, back: bool = False) -> Sequence[Any]:
        every, side = keys(None) if text.strip() else None, keys(place, back=back) if place is not None else None
        whole = _figures(samples, evaluation, slots, text, every, side).subquery("whole")
        said = _page_of_answers(keys(place, back=back).limit(count), slots, run_id)
        key, falling = (said.c.value, said.c.prompt_id), order not in ("prompt", "worst") and evaluation is not None
        placed = (column.desc() if falling is not back else column for column in key)
        together = select(*whole.c, *said.c).select_from(whole).outerjoin(said, true())
        return session.execute(together.order_by(*placed, said.c.sample)).all()

    rows, page, more, in_front = _page(read, after, before, limit)
    figures = rows[0]
    total = figures.fitting if text.strip() else figures.prompts
    first = figures.on_side - limit + 1 if in_front else total - figures.on_side + 1 if figures.on_side else 1
    return AnswerPage(
        rows=tuple(_answer_rows(run_id, [row.prompt_id for row in page], rows)),
        next=_cursor(page[-1]) if more else None,
        total=total,
        first=first,
        previous=_cursor(page[0]) if page and first > 1 else None,
        prompts=figures.prompts,
        better=None if evaluation is None else int(figures.better or 0),
        worse=None if evaluation is None else int(figures.worse or 0),
    )


def _page(
    read: Callable[..., Sequence[Any]], after: Cursor | None, before: Cursor | None, limit: int
) -> tuple[Sequence[Any], list[Any], bool, bool]:
    """What was read; of it the first row of each prompt of the page, in its order; whether another page follows it; and
    whether it was read backwards. Where less than a page is in front of a cursor, the first page."""
    if before is not None:
        rows = read(before, limit, back=True)
        prompts = _prompts_of(rows)
        if len(prompts) == limit:
            return rows, prompts[::-1], True, True
        after = None
    rows = read(after, limit + 1)
    page, more = cut(_prompts_of(rows), limit)
    return rows, list(page), more, False


def _prompts_of(rows: Sequence[Any]) -> list[Any]:
    return list({row.prompt_id: row for row in rows if row.prompt_id is not None}.values())


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
        select(Sample.prompt_id, cast(null(), Float).label("value"))
        .where(*_published(Sample, samples), *after_key([Sample.prompt_id], place, descending=back))
        .distinct()
        .order_by(Sample.prompt_id.desc() if back else Sample.prompt_id)
    )


def _known_slots(stages: Collection[StageRow]) -> Slots:
    return {
        (row.run_id, row.slot): SlotStage(
            stage_id=row.stage_id, attempt_id=row.published_attempt_id, fingerprint=row.fingerprint
        )
        for row in stages
        if row.slot in SLOTS
    }


def _published_in(slots: Slots, run_id: int, slot: str) -> SlotStage | None:
    return slots[run_id, slot] if _is_published(slots, run_id, slot) else None


def _figures(
    samples: SlotStage, evaluation: SlotStage | None, slots: Slots, text: str, every: Any, side: Any
) -> Select[*tuple[Any, ...]]:
    """One row: how many prompts there are, fit the search, and stand on the side of the cursor that is read; at how
    many of them the aligned answer is better, and worse."""
    prompts = select(func.count(Sample.prompt_id.distinct())).where(*_published(Sample, samples)).scalar_subquery()
    counted = [_how_many(every).label("fitting"), _how_many(side).label("on_side")]
    if evaluation is None:
        return select(prompts.label("prompts"), *counted, null().label("better"), null().label("worse"))
    judged = (*_published(Outcome, evaluation), *_holding(text, Outcome.prompt_id, slots), *_said_apart(samples, slots))
    better, worse = (
        select(func.count()).select_from(Outcome).where(*judged, condition).scalar_subquery()
        for condition in (CHANGE > 0, CHANGE < 0)
    )
    return select(prompts.label("prompts"), *counted, better.label("better"), worse.label("worse"))


def _said_apart(samples: SlotStage, slots: Slots) -> list[Any]:
    """The condition that both sides said different things: the scores of one text may differ in their last bits."""
    baseline = next((stage for (_, slot), stage in slots.items() if slot == "baseline_samples"), None)
    if baseline is None or baseline.attempt_id is None:
        return []
    mine, its = aliased(Sample), aliased(Sample)
    both = and_(its.prompt_id == mine.prompt_id, its.sample == mine.sample, *_published(its, baseline))
    apart = select(mine.prompt_id).join(its, both).where(*_published(mine, samples), mine.text != its.text)
    return [Outcome.prompt_id.in_(apart)]


def _how_many(keys: Select[*tuple[Any, ...]] | None) -> Any:
    if keys is None:
        return literal(0)
    return select(func.count()).select_from(keys.order_by(None).subquery()).scalar_subquery()


def _page_of_answers(keys: Select[*tuple[Any, ...]], slots: Slots, run_id: int) -> Any:
    """The answers of both sides to the prompts with these keys, each with its score."""
    page = keys.cte("page")
    asked, evaluation = _prompt_stage(slots, run_id), _published_in(slots, run_id, "evaluation")
    sides = []
    for side in ("", "baseline_"):
        samples, scores = (_published_in(slots, run_id, f"{side}{slot}") for slot in ("samples", "scores"))
        if samples is None:
            continue
        said = (Sample.prompt_id == page.c.prompt_id, *_published(Sample, samples))
        rows = select(
            literal(side, String).label("side"), page.c.prompt_id, page.c.value, *SPOKEN,
            (Score.score if scores else cast(null(), Float)).label("score"),
            (Score.ungrammatical if scores else cast(null(), Boolean)).label("ungrammatical"),
            (Prompt.prompt if asked else literal("", String)).label("prompt"),
            (Outcome.outcome if evaluation else cast(null(), Float)).label("outcome"),
        ).select_from(page).join(Sample, and_(*said))  # fmt: skip
        if scores:
            graded = (Score.prompt_id == Sample.prompt_id, Score.sample == Sample.sample, *_published(Score, scores))
            rows = rows.outerjoin(Score, and_(*graded))
        if asked:
            rows = rows.outerjoin(Prompt, and_(Prompt.stage_id == asked.stage_id, Prompt.prompt_id == page.c.prompt_id))
        if evaluation:
            judged = (Outcome.prompt_id == page.c.prompt_id, *_published(Outcome, evaluation))
            rows = rows.outerjoin(Outcome, and_(*judged))
        sides.append(rows)
    return union_all(*sides).subquery("said")


def _answer_rows(run_id: int, prompt_ids: Sequence[str], found: Sequence[Any]) -> Iterator[AnswerRow]:
    by_prompt: dict[str, list[Any]] = {}
    for row in found:
        by_prompt.setdefault(row.prompt_id, []).append(row)
    for prompt_id in prompt_ids:
        rows = by_prompt[prompt_id]
        sides = {side: tuple(_answer(row) for row in rows if row.side == side) for side in ("", "baseline_")}
        if sides[""]:
            yield AnswerRow(
                run_id=run_id, prompt_id=prompt_id, prompt=rows[0].prompt or "", outcome=rows[0].outcome,
                aligned=sides[""], baseline=sides["baseline_"],
            )  # fmt: skip


def _answer(row: Any) -> Answer:
    return Answer(
        sample=row.sample, text=row.text, tokens=row.tokens, logp=row.logp, reference_logp=row.reference_logp,
        score=row.score, ungrammatical=row.ungrammatical,
    )  # fmt: skip


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
