"""Tags, notes, names and pins of runs, many at once. Session first, never commit."""

from collections.abc import Collection, Mapping

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from db import status
from db.engine import now
from db.errors import UnfitWord
from db.models import Run, RunNote, RunTag
from db.repositories.guard import clean_text, lock_graph

LONGEST_TAG, LONGEST_NAME, LONGEST_NOTE = 40, 200, 20_000
MOST_TAGS = 30  # of one run


def fit_tag(text: str) -> str:
    """The tag as it is kept: one line; a comma would end it in an address."""
    word = " ".join(clean_text(text).split())
    if not word:
        raise UnfitWord("A tag needs at least one letter.")
    if len(word) > LONGEST_TAG:
        raise UnfitWord(
            f"A tag has at most {LONGEST_TAG} characters, this one has {len(word)}: put the rest in a note."
        )
    if "," in word:
        raise UnfitWord("A tag has no comma: give several tags one after the other.")
    return word


def tag(session: Session, run_ids: Collection[int], word: str) -> tuple[int, ...]:
    """Give the tag to runs; the ids of those that had it not."""
    lock_graph(session)
    word = fit_tag(word)
    have = set(session.scalars(select(RunTag.run_id).where(RunTag.tag == word, RunTag.run_id.in_(run_ids))))
    new = [run_id for run_id in known(session, run_ids) if run_id not in have]
    full = _full(session, new)
    if full:
        raise UnfitWord(f"Run {full[0]} has {MOST_TAGS} tags already: take one away first.")
    if new:
        session.execute(insert(RunTag), [{"run_id": run_id, "tag": word} for run_id in new])
    return tuple(new)


def untag(session: Session, run_ids: Collection[int], word: str) -> tuple[int, ...]:
    """Take the tag from runs; the ids of those that had it."""
    lock_graph(session)
    mine = (RunTag.tag == word, RunTag.run_id.in_(run_ids))
    have = tuple(session.scalars(select(RunTag.run_id).where(*mine).order_by(RunTag.run_id)))
    session.execute(delete(RunTag).where(*mine))
    return have


def note(session: Session, texts: Mapping[int, str]) -> dict[int, str]:
    """Write the note of each run, an empty one removes it; what was there before, for those that changed."""
    lock_graph(session)
    long = [run_id for run_id, text in texts.items() if len(text) > LONGEST_NOTE]
    if long:
        raise UnfitWord(f"A note has at most {LONGEST_NOTE:,} characters, this one has {len(texts[long[0]]):,}.")
    rows = session.execute(select(RunNote.run_id, RunNote.text).where(RunNote.run_id.in_(texts)))
    before = {row.run_id: row.text for row in rows}
    new = {run_id: clean_text(texts[run_id]).strip() for run_id in known(session, texts)}
    changed = {run_id: text for run_id, text in new.items() if text != before.get(run_id, "")}
    session.execute(delete(RunNote).where(RunNote.run_id.in_(changed)))
    at = now(session)
    kept = [{"run_id": run_id, "text": text, "updated_at": at} for run_id, text in changed.items() if text]
    if kept:
        session.execute(insert(RunNote), kept)
    return {run_id: before.get(run_id, "") for run_id in changed}


def rename(session: Session, names: Mapping[int, str]) -> dict[int, str]:
    """Give runs other names; those they had, for those that changed."""
    lock_graph(session)
    fit = {run_id: " ".join(clean_text(name).split()) for run_id, name in names.items()}
    long = [name for name in fit.values() if len(name) > LONGEST_NAME]
    if long:
        raise UnfitWord(f"A name has at most {LONGEST_NAME} characters, this one has {len(long[0])}.")
    rows = session.execute(select(Run.id, Run.name).where(Run.id.in_(known(session, names))))
    before = {row.id: row.name for row in rows if row.name != fit[row.id]}
    for run_id in before:
        session.execute(update(Run).where(Run.id == run_id).values(name=fit[run_id]))
    return before


def pin(session: Session, run_ids: Collection[int], pinned: bool = True) -> tuple[int, ...]:
    """Pin runs, or take the pin away; the ids of those that changed."""
    lock_graph(session)
    return _switch(session, "pinned", run_ids, pinned)


def archive(session: Session, run_ids: Collection[int], archived: bool = True) -> tuple[int, ...]:
    """Hide finished runs from lists, or show them again; the ids of those that changed. Live ones stay as they are."""
    lock_graph(session)
    rows = session.execute(select(Run.id, Run.status).where(Run.id.in_(known(session, run_ids))))
    return _switch(session, "archived", [row.id for row in rows if row.status not in status.LIVE], archived)


def known(session: Session, run_ids: Collection[int]) -> list[int]:
    """Those of the runs that are there, by number."""
    there = select(Run.id).where(Run.id.in_(run_ids), Run.deleted_at.is_(None))
    return list(session.scalars(there.order_by(Run.id)))


def _switch(session: Session, column: str, run_ids: Collection[int], value: bool) -> tuple[int, ...]:
    other = getattr(Run, column).is_(not value)
    ids = tuple(session.scalars(select(Run.id).where(Run.id.in_(known(session, run_ids)), other).order_by(Run.id)))
    session.execute(update(Run).where(Run.id.in_(ids)).values({column: value}))
    return ids


def _full(session: Session, run_ids: Collection[int]) -> list[int]:
    """Runs that have no place for another tag."""
    words: dict[int, int] = {}
    for run_id in session.scalars(select(RunTag.run_id).where(RunTag.run_id.in_(run_ids))):
        words[run_id] = words.get(run_id, 0) + 1
    return [run_id for run_id, number in words.items() if number >= MOST_TAGS]
