"""What people do with runs, many at once: marks, archive, deletion with a way back, and the order of the queue.

Each command is one transaction. What cannot be done to one of the runs is a sentence and hinders none of the others;
what was done comes with the way back.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from db.errors import DatabaseError
from db.records.keeping import Loss
from db.repositories import runs
from db.repositories.keeping import marks, queue, removal
from db.repositories.keeping.queue import WHERE, Where
from workers.access.doing import check_mine, mine, needs, nothing, reads, record, runs_of
from workers.access.roles import Role
from workers.api.changes import announce, delete_artifacts
from workers.api.done import Done, Undo, Values, back, done, live_stay, named, others, said
from workers.machine import patience
from workers.machine.database import reading, writing
from workers.queue.reaper import remove_deleted

__all__ = [
    "WHERE",
    "Done",
    "Undo",
    "Where",
    "archive",
    "cancel",
    "delete",
    "loss",
    "move",
    "named",
    "note",
    "pause",
    "pause_queue",
    "pin",
    "rename",
    "restore",
    "resume",
    "resume_queue",
    "retag",
    "retry",
    "tag",
    "undelete",
    "undo",
    "unpin",
    "untag",
]  # fmt: skip


@contextmanager
def _changing(run_ids: Collection[int]) -> Iterator[tuple[Session, list[int], list[str]]]:
    """A transaction, the runs that whoever acts may change, and why not the others."""
    with writing() as session:
        ids, refused = mine(session, run_ids)
        yield session, ids, refused


def _told(session: Session, changed: Collection[int], **after: Any) -> None:
    """What was done is written with it; where nothing changed, nothing."""
    if changed:
        record(session, runs_of(changed), after=after)
    else:
        nothing()


@needs(Role.RUNNER)
@patience.patient()
def tag(run_ids: Collection[int], word: str) -> Done:
    """Give a tag to runs."""
    with _changing(run_ids) as (session, ids, refused):
        changed = marks.tag(session, ids, word)
        _told(session, changed, tag=word)
    words = f"tagged “{marks.fit_tag(word)}”"
    return done(changed, words, ids, "had the tag already", "untag", word, refused=refused)


@needs(Role.RUNNER)
@patience.patient()
def untag(run_ids: Collection[int], word: str) -> Done:
    """Take a tag away from runs."""
    with _changing(run_ids) as (session, ids, refused):
        changed = marks.untag(session, ids, word)
        _told(session, changed, tag=word)
    return done(changed, f"no longer tagged “{word}”", ids, "had no such tag", "tag", word, refused=refused)


@needs(Role.RUNNER)
@patience.patient()
def retag(run_ids: Collection[int], add: Sequence[str], remove: Sequence[str]) -> Done:
    """Give and take several tags at once."""
    added, gone = {}, {}
    with _changing(run_ids) as (session, ids, refused):
        for word in remove:
            gone[word] = marks.untag(session, ids, word)
        for word in add:
            added[marks.fit_tag(word)] = marks.tag(session, ids, word)
        _told(session, {one for found in (*gone.values(), *added.values()) for one in found}, add=add, remove=remove)
    ways: dict[int, list[tuple[str, str]]] = {}
    for command, tags in (("tag", gone), ("untag", added)):
        for word, changed in tags.items():
            for run_id in changed:
                ways.setdefault(run_id, []).append((command, word))
    words = [f"tagged “{word}”" for word in added] + [f"no longer tagged “{word}”" for word in gone]
    return said(tuple(sorted(ways)), " and ".join(words), refused, undo=Undo(command="retag", values=ways))


@needs(Role.RUNNER)
@patience.patient()
def note(run_ids: Collection[int], text: str) -> Done:
    """Write the same note for runs; an empty one takes it away."""
    with _changing(run_ids) as (session, ids, refused):
        before = marks.note(session, dict.fromkeys(ids, text))
        _told(session, before, characters=len(text.strip()))
    what = "has its note" if text.strip() else "has no note any more"
    many = "have the note" if text.strip() else "have no note any more"
    return said(tuple(sorted(before)), what, refused, many=many, undo=Undo(command="note", values=before))


@needs(Role.RUNNER)
@patience.patient()
def rename(run_ids: Collection[int], name: str) -> Done:
    """Give runs another name, the same to all; an empty one takes it away."""
    with _changing(run_ids) as (session, ids, refused):
        before = marks.rename(session, dict.fromkeys(ids, name))
        if before:
            record(session, runs_of(before), before={"name": _were(before)}, after={"name": name})
        else:
            nothing()
    word = " ".join(name.split())
    one, many = f"is called “{word}”", f"are called “{word}”"
    if not word:
        one, many = "has no name any more", "have no name any more"
    return said(tuple(sorted(before)), one, refused, many=many, undo=Undo(command="rename", values=before))


def _were(before: Mapping[int, str]) -> Any:
    """What all of these runs had, or what each had."""
    return next(iter(before.values())) if len(set(before.values())) == 1 else before


@needs(Role.RUNNER)
@patience.patient()
def pin(run_ids: Collection[int]) -> Done:
    """Pin runs."""
    with _changing(run_ids) as (session, ids, refused):
        changed = marks.pin(session, ids)
        _told(session, changed)
    return done(changed, "pinned", ids, "was pinned already", "unpin", refused=refused)


@needs(Role.RUNNER)
@patience.patient()
def unpin(run_ids: Collection[int]) -> Done:
    """Take pins away."""
    with _changing(run_ids) as (session, ids, refused):
        changed = marks.pin(session, ids, False)
        _told(session, changed)
    return done(changed, "unpinned", ids, "was not pinned", "pin", refused=refused)


@needs(Role.RUNNER)
@patience.patient()
def archive(run_ids: Collection[int]) -> Done:
    """Hide finished runs from lists."""
    with _changing(run_ids) as (session, ids, refused):
        changed = marks.archive(session, ids)
        stay = live_stay(others(session, ids, changed), "archived")
        _told(session, changed)
    return said(changed, "archived", [*stay, *refused], undo=back("restore", changed))


@needs(Role.RUNNER)
@patience.patient()
def restore(run_ids: Collection[int]) -> Done:
    """Show archived runs again."""
    with _changing(run_ids) as (session, ids, refused):
        changed = marks.archive(session, ids, False)
        _told(session, changed)
    return done(changed, "restored", ids, "was not archived", "archive", refused=refused)


@needs(Role.RUNNER)
@patience.patient()
def delete(run_ids: Collection[int]) -> Done:
    """Hide finished runs at once; they and what only they use are removed ten minutes later, and until then the way
    back brings them back whole."""
    remove_deleted()
    with _changing(run_ids) as (session, ids, refused):
        changed = removal.hide(session, ids)
        stay = live_stay(others(session, ids, changed), "deleted")
        _told(session, changed)
    return said(changed, "deleted", [*stay, *refused], undo=back("undelete", changed))


@needs(Role.RUNNER)
def undelete(run_ids: Collection[int]) -> Done:
    """Bring deleted runs back whole, whoever looks for them and whenever, until they are removed for good."""
    return _bring_back(run_ids)


@reads
def loss(run_ids: Collection[int]) -> Loss:
    """What deleting these runs would free, and what stays because others use it; changes nothing."""
    with reading() as session:
        return removal.loss(session, run_ids)


@needs(Role.RUNNER)
@patience.patient()
def cancel(run_ids: Collection[int]) -> Done:
    """Stop runs within seconds; stages that another run wants go on. The way back queues them again."""
    let_go: list[str] = []
    stopped: list[int] = []
    with _changing(run_ids) as (session, ids, refused):
        for run_id in ids:
            try:
                let_go.extend(runs.cancel(session, run_id))
            except DatabaseError as error:
                refused.append(str(error))
            else:
                stopped.append(run_id)
        _told(session, stopped)
    delete_artifacts(let_go)
    return said(tuple(stopped), "cancelled, what is finished stays", refused, undo=back("retry", stopped))


@needs(Role.RUNNER)
@patience.patient()
def retry(run_ids: Collection[int]) -> Done:
    """Queue what failed or was cancelled again."""
    again: set[int] = set()
    with _changing(run_ids) as (session, ids, refused):
        for run_id in ids:
            if run_id in again:
                continue  # queued again with another one that the same stage had failed
            try:
                again.update(runs.retry(session, run_id))
            except DatabaseError as error:
                refused.append(str(error))
        _told(session, again)
    return said(tuple(sorted(again)), f"queued again{_ring()}", refused, undo=back("cancel", again))


@needs(Role.RUNNER)
@patience.patient()
def pause(run_ids: Collection[int]) -> Done:
    """Start no further stage for these runs; what runs ends as usual."""
    with _changing(run_ids) as (session, ids, refused):
        changed = queue.pause(session, ids)
        _told(session, changed)
    return done(changed, "paused", ids, "was not in the queue, or paused already", "resume", refused=refused)


@needs(Role.RUNNER)
@patience.patient()
def resume(run_ids: Collection[int]) -> Done:
    """Go on with paused runs."""
    with _changing(run_ids) as (session, ids, refused):
        changed = queue.pause(session, ids, False)
        _told(session, changed)
    return done(changed, f"resumed{_ring()}", ids, "was not paused", "pause", refused=refused)


@needs(Role.ADMIN)
@patience.patient()
def pause_queue() -> Done:
    """Start no stage any more, whoever wants it; what runs ends as usual."""
    way = Undo(command="resume_queue", values={}) if _switch_queue(queue.pause_queue) else None
    return Done(sentence="The queue is paused; running stages end as usual.", undo=way)


@needs(Role.ADMIN)
@patience.patient()
def resume_queue() -> Done:
    """Start stages again."""
    way = Undo(command="pause_queue", values={}) if _switch_queue(queue.resume_queue) else None
    return Done(sentence=f"The queue goes on{_ring()}.", undo=way)


def _switch_queue(switch: Callable[[Session], bool]) -> bool:
    with writing() as session:
        changed = switch(session)
        if changed:
            record(session, "the queue")
        else:
            nothing()
    return changed


@needs(Role.RUNNER)
@patience.patient()
def move(run_ids: Collection[int], where: Where) -> Done:
    """Move runs to the front of the queue, or one place up or down."""
    if where not in WHERE:
        raise ValueError(f"A run is moved to {', '.join(WHERE)}, not {where!r}.")
    with writing() as session:
        check_mine(session, run_ids)
        before = queue.move(session, run_ids, where)
        _told(session, run_ids if before else (), where=where)
    what = "moved to the front of the queue" if where == "front" else f"moved {where} in the queue"
    if not before:
        return Done(sentence=f"{named(run_ids)} stays where it is." if len(run_ids) == 1 else "Nothing moved.")
    return Done(
        sentence=f"{named(run_ids)} {what}.", run_ids=tuple(sorted(run_ids)),
        undo=Undo(command="priorities", values=before),
    )  # fmt: skip


@needs(Role.RUNNER)
def undo(way_back: Undo) -> str:
    """Take a command back; a sentence that says so."""
    found: str = _BACK[way_back.command](way_back.values)
    return found


@patience.patient()
def _bring_back(run_ids: Collection[int], **told: Any) -> Done:
    """`told`: what the log says besides."""
    with _changing(run_ids) as (session, ids, refused):
        back_again = removal.show(session, ids)
        rest = sorted(set(ids) - set(back_again))
        there = set(marks.known(session, rest))
        gone = [run_id for run_id in rest if run_id not in there]
        _told(session, back_again, **told)
    here = [f"{named(there)} {_form(there, 'is', 'are')} there already."] if there else []
    late = [f"{named(gone)} {_form(gone, 'was', 'were')} removed for good meanwhile."] if gone else []
    return Done(sentence=f"{named(back_again)} brought back.", run_ids=back_again, refused=(*here, *late, *refused))


def _form(run_ids: Collection[int], one: str, many: str) -> str:
    return one if len(run_ids) == 1 else many


@patience.patient()
def _retag(values: Values) -> str:
    with writing() as session:
        check_mine(session, values)
        for run_id, steps in values.items():
            for command, word in steps:
                (marks.tag if command == "tag" else marks.untag)(session, [run_id], word)
        _told(session, values, command="retag")
    return f"{named(values)} tagged as before."


def _write(name: str, change: Callable[[Session, Any], Any], words: str) -> Callable[[Values], str]:
    @patience.patient()
    def written(values: Values) -> str:
        with writing() as session:
            if name != "priorities":  # of runs that were moved, and of those that made room
                check_mine(session, values)
            change(session, values)
            _told(session, values, command=name)
        return words.format(named(values))

    return written


def _again(command: Callable[[Collection[int]], Done]) -> Callable[[Values], str]:
    return lambda values: command(tuple(values)).said


def _words(command: Callable[[Collection[int], str], Done]) -> Callable[[Values], str]:
    return lambda values: command(tuple(values), next(iter(values.values()))).said


_BACK: Mapping[str, Callable[[Values], str]] = {
    "tag": _words(tag), "untag": _words(untag), "retag": _retag,
    "note": _write("note", marks.note, "{0}: the note is as before."),
    "rename": _write("rename", marks.rename, "{0}: the name is as before."),
    "pin": _again(pin), "unpin": _again(unpin), "archive": _again(archive), "restore": _again(restore),
    "undelete": lambda values: _bring_back(values, command="undelete").said,
    "retry": _again(retry), "cancel": _again(cancel), "pause": _again(pause), "resume": _again(resume),
    "pause_queue": lambda _: pause_queue().said, "resume_queue": lambda _: resume_queue().said,
    "priorities": _write("priorities", queue.set_priorities, "{0}: back in the old place."),
}  # fmt: skip


def _ring() -> str:
    return "" if announce() else ", and started when Redis answers again"
