"""Hostile texts in every place of a database that holds words of people, models, data or machines."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import String, Text, insert, select, text, update
from sqlalchemy.orm import Session

from db.engine import make_engines, session_scope
from db.models import (
    Attempt,
    Base,
    Chat,
    ChatAnswer,
    ChatTurn,
    Draft,
    LogLine,
    NamedAnnotator,
    Notice,
    Pair,
    Prompt,
    Recipe,
    RelabelSet,
    Run,
    RunNote,
    RunTag,
    RunValue,
    Sample,
    SavedView,
    Stage,
    Vote,
    VotedPair,
    Worker,
)

NOW = datetime.now(UTC)
# The columns that hold words; what else is text names other rows, or is one of few words of ours.
WORDS: dict[type[Base], tuple[str, ...]] = {
    Run: ("name", "sweep_id", "error", "policy", "annotator", "dataset"),
    RunNote: ("text",),
    RunTag: ("tag",),
    RunValue: ("text",),
    SavedView: ("name",),
    Draft: ("name",),
    Recipe: ("name",),
    NamedAnnotator: ("name", "note"),
    RelabelSet: ("name", "note"),
    Notice: ("error",),
    Chat: ("said", "device", "host"),
    ChatTurn: ("prompt", "said"),
    ChatAnswer: ("text",),
    Pair: ("prompt", "response_a", "response_b"),
    VotedPair: ("prompt", "response_a", "response_b"),
    Vote: ("person",),
    Prompt: ("prompt",),
    Sample: ("text",),
    Stage: ("error", "model", "unit"),
    Attempt: ("worker", "host", "device", "cause"),
    Worker: ("name", "host", "device", "card"),
    LogLine: ("text",),
}
IN_CONFIG = (("name",), ("salt",), ("model", "policy"), ("model", "annotator"), ("data", "dataset"))
MANY = 600  # rows of a table that are written one by one; others keep their texts


class Texts:
    """The texts one after the other, without end; `written` counts."""

    def __init__(self, texts: Sequence[str], first: int) -> None:
        self._next = itertools.islice(itertools.cycle(texts), first, None)
        self.written = 0
        self.seen: set[str] = set()

    def one(self, longest: int | None = None) -> str:
        text = next(self._next)
        self.written += 1
        self.seen.add(text)
        return text if longest is None else text[:longest]


def plant(url: str, texts: Texts) -> None:
    """Rows in tables that have none, then a text in every place."""
    engines = make_engines(url)
    with session_scope(engines) as session:
        _furnish(session, texts)
        _unlock(session)
        for model, columns in WORDS.items():
            _rewrite(session, model, columns, texts)
        for run in session.scalars(select(Run)):
            run.config = _configured(run.config, texts)
        for stage in session.scalars(select(Stage)):
            stage.summary = _words_in(stage.summary, texts, ("detail", "reason", "said"))
        for attempt in session.scalars(select(Attempt)):
            attempt.environment = _words_in(attempt.environment, texts, None)
        for worker in session.scalars(select(Worker)):
            worker.heartbeat_at = datetime.now(UTC)
    engines.dispose()


def _unlock(session: Session) -> None:
    """Votes are kept by triggers, which who owns the file can take away."""
    kept = text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'votes'")
    for name in session.scalars(kept).all():
        session.execute(text(f'DROP TRIGGER "{name}"'))


def _rewrite(session: Session, model: type[Base], columns: Sequence[str], texts: Texts) -> None:
    table = model.__table__
    keys = [column for column in table.primary_key.columns if column.name not in columns]
    same = [table.c[name] for name in columns if table.c[name].primary_key]
    for row in session.execute(select(*keys, *same).limit(MANY)).all():
        where = [column == value for column, value in zip((*keys, *same), row, strict=True)]
        values = {name: texts.one(_longest(table.c[name])) for name in columns}
        for name in values:
            if _must_differ(model, name):
                values[name] = f"{values[name][: (_longest(table.c[name]) or 9_999) - 4]}{texts.written % 9_999}"
        session.execute(update(table).where(*where).values(**values))


def _must_differ(model: type[Base], name: str) -> bool:
    return name in ("name", "tag", "person") and model in (
        SavedView,
        Recipe,
        Worker,
        RunTag,
        NamedAnnotator,
        RelabelSet,
    )


def _longest(column: Any) -> int | None:
    return column.type.length if isinstance(column.type, String) and not isinstance(column.type, Text) else None


def _configured(config: dict[str, Any], texts: Texts) -> dict[str, Any]:
    changed = {name: dict(value) if isinstance(value, dict) else value for name, value in config.items()}
    for path in IN_CONFIG:
        place = changed
        for name in path[:-1]:
            place = place.setdefault(name, {})
        if path != ("data", "dataset"):
            place[path[-1]] = texts.one(90)
    return changed


def _words_in(value: Any, texts: Texts, names: Sequence[str] | None) -> Any:
    """The same with another text wherever a word stands under one of these names; None: under any."""
    if isinstance(value, dict):
        return {
            name: texts.one(200) if isinstance(inner, str) and (names is None or name in names)
            else _words_in(inner, texts, names)
            for name, inner in value.items()
        }  # fmt: skip
    return [_words_in(inner, texts, names) for inner in value] if isinstance(value, list) else value


def _furnish(session: Session, texts: Texts) -> None:
    """What nobody has left in this database yet: notes, tags, views, drafts, recipes, names, chats, votes, sets."""
    runs = list(session.scalars(select(Run).order_by(Run.id)))
    stage = session.scalars(select(Stage).where(Stage.kind == "annotator")).first()
    data = session.scalars(select(Stage).where(Stage.kind == "data")).first()
    if session.scalars(select(RunNote)).first() is not None or stage is None or data is None:
        return
    for run in runs:
        session.add(RunNote(run_id=run.id, text="x", updated_at=NOW))
        session.add_all(RunTag(run_id=run.id, tag=f"t{run.id}{place}") for place in range(2))
    for place in range(4):
        session.add(SavedView(name=f"v{place}", params={"q": texts.one(200)}, created_at=NOW, updated_at=NOW))
        session.add(Recipe(name=f"r{place}", columns={"prompt": texts.one(150), "chosen": texts.one(150),
                                                      "rejected": texts.one(150)}, created_at=NOW))  # fmt: skip
        session.add(NamedAnnotator(name=f"n{place}", version=1, stage_id=stage.id, note="x", created_at=NOW))
        session.add(_set(place))
        session.add(_draft(place, texts))
    session.execute(insert(Chat), [_chat(runs[-1].id)])
    _votes(session, runs[-1].id, data.id)
    session.flush()
    chat = session.scalars(select(Chat)).one()
    for place in range(3):
        how = {"temperature": 1.0, "max_new_tokens": 5, "seed": 0, "plain": False}
        turn = ChatTurn(chat_id=chat.id, number=place, prompt="x", state="done", said="", created_at=NOW, **how)
        session.add(turn)
        session.flush()
        session.add_all(ChatAnswer(turn_id=turn.id, model=name, text="x") for name in chat.models.split(","))


def _set(place: int) -> RelabelSet:
    counts = dict.fromkeys(("labels", "dropped", "undecided", "votes", "people"), 3)
    return RelabelSet(name=f"s{place}", version=1, fingerprint=f"{place}" * 64, note="x", created_at=NOW, **counts)


def _draft(place: int, texts: Texts) -> Draft:
    state = {name: texts.one(300) for name in ("name", "seeds", "other", "align.beta", "data.subset", "annotator.use")}
    start = {"dataset": "sandbox", "source": None, "preset": None, "values": None}
    return Draft(id=f"draft{place}", name="x", content={"start": start, "state": state}, revision=1, created_at=NOW,
                 updated_at=NOW, queued_at=None)  # fmt: skip


def _chat(run_id: int) -> dict[str, Any]:
    return {
        **{"run_id": run_id, "models": "aligned,sft", "state": "ended", "wish": "cpu", "device": "cpu"},
        **{"host": "h", "pid": None, "template": False, "said": "x"},
        **dict.fromkeys(("created_at", "heartbeat_at", "seen_at", "asked_at"), NOW),
    }


def _votes(session: Session, run_id: int, data_stage: int) -> None:
    pairs = list(session.scalars(select(Pair).where(Pair.stage_id == data_stage).limit(6)))
    for place, pair in enumerate(pairs):
        session.merge(
            VotedPair(pair_id=pair.pair_id, prompt_id=pair.prompt_id, prompt="x", response_a="x", response_b="x")
        )
        session.flush()
        session.add(
            Vote(token=f"crawl{place}", pair_id=pair.pair_id, data_stage_id=data_stage, run_id=run_id,
                 person=f"p{place}", queue="unsure", shown_left="a", vote="a", seconds=1.0, weak_label="a",
                 confidence=0.5, at=NOW)
        )  # fmt: skip


def word_columns() -> Iterator[str]:
    """The names of the columns that texts are put into."""
    for model, columns in WORDS.items():
        yield from (f"{model.__tablename__}.{name}" for name in columns)
