"""What people do with runs, many at once: marks, archive, deletion with a way back, and the order of the queue.

Each command is one transaction. What cannot be done to one of the runs is a sentence and hinders none of the others;
what was done comes with the way back.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from db import queries
from db.errors import DatabaseError
from db.records.keeping import KeptRun, Loss
from db.repositories import runs
from db.repositories.keeping import marks, queue, removal
from db.repositories.keeping.queue import WHERE, Where
from workers.api.changes import announce, delete_artifacts
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
    "undo",
    "unpin",
    "untag",
]  # fmt: skip

Values = Mapping[int, Any]


@dataclass(frozen=True, kw_only=True)
class Undo:
    """The way back from a command: the name of what does it, and its value for each run."""

    command: str
    values: Values


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a command did: `sentence` says it, `refused` says why some runs stayed as they were."""

    sentence: str
    run_ids: tuple[int, ...] = ()
    refused: tuple[str, ...] = ()
    undo: Undo | None = None

    @property
    def said(self) -> str:
        """All of it in one line."""
        return " ".join(part for part in (self.sentence, *self.refused[:3], _more(self.refused[3:])) if part)


def named(run_ids: Collection[int]) -> str:
    """Run 3; Runs 3 and 4; 12 runs."""
    ids = sorted(run_ids)
    if len(ids) > 4:
        return f"{len(ids):,} runs"
    if len(ids) < 2:
        return f"Run {ids[0]}" if ids else "No run"
    return f"Runs {', '.join(map(str, ids[:-1]))} and {ids[-1]}"


@patience.patient()
def tag(run_ids: Collection[int], word: str) -> Done:
    """Give a tag to runs."""
    with writing() as session:
        changed = marks.tag(session, run_ids, word)
    return _done(changed, f"tagged “{marks.fit_tag(word)}”", run_ids, "had the tag already", "untag", word)


@patience.patient()
def untag(run_ids: Collection[int], word: str) -> Done:
    """Take a tag away from runs."""
    with writing() as session:
        changed = marks.untag(session, run_ids, word)
    return _done(changed, f"no longer tagged “{word}”", run_ids, "had no such tag", "tag", word)


@patience.patient()
def retag(run_ids: Collection[int], add: Sequence[str], remove: Sequence[str]) -> Done:
    """Give and take several tags at once."""
    added, gone = {}, {}
    with writing() as session:
        for word in remove:
            gone[word] = marks.untag(session, run_ids, word)
        for word in add:
            added[marks.fit_tag(word)] = marks.tag(session, run_ids, word)
    back: dict[int, list[tuple[str, str]]] = {}
    for command, found in (("tag", gone), ("untag", added)):
        for word, ids in found.items():
            for run_id in ids:
                back.setdefault(run_id, []).append((command, word))
    words = [f"tagged “{word}”" for word in added] + [f"no longer tagged “{word}”" for word in gone]
    return _said(tuple(sorted(back)), " and ".join(words), undo=Undo(command="retag", values=back))


@patience.patient()
def note(run_ids: Collection[int], text: str) -> Done:
    """Write the same note for runs; an empty one takes it away."""
    with writing() as session:
        before = marks.note(session, dict.fromkeys(run_ids, text))
    what = "has its note" if text.strip() else "has no note any more"
    many = "have the note" if text.strip() else "have no note any more"
    return _said(tuple(sorted(before)), what, many=many, undo=Undo(command="note", values=before))


@patience.patient()
def rename(run_id: int, name: str) -> Done:
    """Give a run another name."""
    with writing() as session:
        before = marks.rename(session, {run_id: name})
    what = f"is called “{' '.join(name.split())}”" if name.strip() else "has no name any more"
    return _said(tuple(before), what, undo=Undo(command="rename", values=before))


@patience.patient()
def pin(run_ids: Collection[int]) -> Done:
    """Pin runs."""
    with writing() as session:
        changed = marks.pin(session, run_ids)
    return _done(changed, "pinned", run_ids, "was pinned already", "unpin")


@patience.patient()
def unpin(run_ids: Collection[int]) -> Done:
    """Take pins away."""
    with writing() as session:
        changed = marks.pin(session, run_ids, False)
    return _done(changed, "unpinned", run_ids, "was not pinned", "pin")


@patience.patient()
def archive(run_ids: Collection[int]) -> Done:
    """Hide finished runs from lists."""
    with writing() as session:
        changed = marks.archive(session, run_ids)
        rest = _others(session, run_ids, changed)
    return _said(changed, "archived", _live_stay(rest, "archived"), undo=_undo("restore", changed))


@patience.patient()
def restore(run_ids: Collection[int]) -> Done:
    """Show archived runs again."""
    with writing() as session:
        changed = marks.archive(session, run_ids, False)
    return _done(changed, "restored", run_ids, "was not archived", "archive")


@patience.patient()
def delete(run_ids: Collection[int]) -> Done:
    """Hide finished runs at once; they and what only they use are removed ten minutes later, and until then the way
    back brings them back whole."""
    remove_deleted()
    with writing() as session:
        changed = removal.hide(session, run_ids)
        rest = _others(session, run_ids, changed)
    return _said(changed, "deleted", _live_stay(rest, "deleted"), undo=_undo("undelete", changed))


def loss(run_ids: Collection[int]) -> Loss:
    """What deleting these runs would free, and what stays because others use it; changes nothing."""
    with reading() as session:
        return removal.loss(session, run_ids)


@patience.patient()
def cancel(run_ids: Collection[int]) -> Done:
    """Stop runs within seconds; stages that another run wants go on. The way back queues them again."""
    let_go: list[str] = []
    done, refused = [], []
    with writing() as session:
        for run_id in sorted(run_ids):
            try:
                let_go.extend(runs.cancel(session, run_id))
            except DatabaseError as error:
                refused.append(str(error))
            else:
                done.append(run_id)
    delete_artifacts(let_go)
    return _said(tuple(done), "cancelled, what is finished stays", refused, undo=_undo("retry", done))


@patience.patient()
def retry(run_ids: Collection[int]) -> Done:
    """Queue what failed or was cancelled again."""
    done: set[int] = set()
    refused: list[str] = []
    with writing() as session:
        for run_id in sorted(run_ids):
            if run_id in done:
                continue  # queued again with another one that the same stage had failed
            try:
                done.update(runs.retry(session, run_id))
            except DatabaseError as error:
                refused.append(str(error))
    return _said(tuple(sorted(done)), f"queued again{_ring()}", refused, undo=_undo("cancel", done))


@patience.patient()
def pause(run_ids: Collection[int]) -> Done:
    """Start no further stage for these runs; what runs ends as usual."""
    with writing() as session:
        changed = queue.pause(session, run_ids)
    return _done(changed, "paused", run_ids, "was not in the queue, or paused already", "resume")


@patience.patient()
def resume(run_ids: Collection[int]) -> Done:
    """Go on with paused runs."""
    with writing() as session:
        changed = queue.pause(session, run_ids, False)
    return _done(changed, f"resumed{_ring()}", run_ids, "was not paused", "pause")


@patience.patient()
def pause_queue() -> Done:
    """Start no stage any more, whoever wants it; what runs ends as usual."""
    with writing() as session:
        changed = queue.pause_queue(session)
    back = Undo(command="resume_queue", values={}) if changed else None
    return Done(sentence="The queue is paused; running stages end as usual.", undo=back)


@patience.patient()
def resume_queue() -> Done:
    """Start stages again."""
    with writing() as session:
        changed = queue.resume_queue(session)
    back = Undo(command="pause_queue", values={}) if changed else None
    return Done(sentence=f"The queue goes on{_ring()}.", undo=back)


@patience.patient()
def move(run_ids: Collection[int], where: Where) -> Done:
    """Move runs to the front of the queue, or one place up or down."""
    if where not in WHERE:
        raise ValueError(f"A run is moved to {', '.join(WHERE)}, not {where!r}.")
    with writing() as session:
        before = queue.move(session, run_ids, where)
    what = "moved to the front of the queue" if where == "front" else f"moved {where} in the queue"
    if not before:
        return Done(sentence=f"{named(run_ids)} stays where it is." if len(run_ids) == 1 else "Nothing moved.")
    return Done(
        sentence=f"{named(run_ids)} {what}.", run_ids=tuple(sorted(run_ids)),
        undo=Undo(command="priorities", values=before),
    )  # fmt: skip


def undo(way_back: Undo) -> str:
    """Take a command back; a sentence that says so."""
    found: str = _BACK[way_back.command](way_back.values)
    return found


@patience.patient()
def _undelete(values: Values) -> str:
    with writing() as session:
        there = removal.show(session, values)
    gone = sorted(set(values) - set(there))
    late = f" {named(gone)} was removed for good meanwhile." if gone else ""
    return f"{named(there)} brought back.{late}"


@patience.patient()
def _retag(values: Values) -> str:
    with writing() as session:
        for run_id, steps in values.items():
            for command, word in steps:
                (marks.tag if command == "tag" else marks.untag)(session, [run_id], word)
    return f"{named(values)} tagged as before."


def _write(change: Callable[[Session, Any], Any], words: str) -> Callable[[Values], str]:
    @patience.patient()
    def back(values: Values) -> str:
        with writing() as session:
            change(session, values)
        return words.format(named(values))

    return back


def _again(command: Callable[[Collection[int]], Done]) -> Callable[[Values], str]:
    return lambda values: command(tuple(values)).said


def _words(command: Callable[[Collection[int], str], Done]) -> Callable[[Values], str]:
    return lambda values: command(tuple(values), next(iter(values.values()))).said


_BACK: Mapping[str, Callable[[Values], str]] = {
    "tag": _words(tag), "untag": _words(untag), "retag": _retag,
    "note": _write(marks.note, "{0}: the note is as before."),
    "rename": _write(marks.rename, "{0}: the name is as before."),
    "pin": _again(pin), "unpin": _again(unpin), "archive": _again(archive), "restore": _again(restore),
    "undelete": _undelete, "retry": _again(retry), "cancel": _again(cancel), "pause": _again(pause),
    "resume": _again(resume),
    "pause_queue": lambda _: pause_queue().said, "resume_queue": lambda _: resume_queue().said,
    "priorities": _write(queue.set_priorities, "{0}: back in the old place."),
}  # fmt: skip


def _ring() -> str:
    return "" if announce() else ", and started when Redis answers again"


def _others(session: Session, run_ids: Collection[int], changed: Collection[int]) -> list[KeptRun]:
    return queries.kept_runs(session, set(run_ids) - set(changed))


def _live_stay(rest: Sequence[KeptRun], verb: str) -> list[str]:
    live = [run for run in rest if run.status in ("queued", "running")]
    return [f"Run {run.id} is {run.status} and cannot be {verb}: cancel it first." for run in live]


def _undo(command: str, run_ids: Collection[int], value: Any = None) -> Undo | None:
    return Undo(command=command, values=dict.fromkeys(run_ids, value)) if run_ids else None


def _done(
    changed: Collection[int], what: str, asked: Collection[int], otherwise: str, back: str, value: Any = None
) -> Done:
    refused = [] if changed else [f"{named(asked)} {otherwise}."]
    return _said(tuple(changed), what, refused, undo=_undo(back, changed, value))


def _said(
    changed: tuple[int, ...], what: str, refused: Sequence[str] = (), *, many: str = "", undo: Undo | None = None
) -> Done:
    words = many if many and len(changed) > 1 else what
    sentence = f"{named(changed)} {words}." if changed else ("" if refused else "Nothing changed.")
    return Done(sentence=sentence, run_ids=changed, refused=tuple(refused), undo=undo if changed else None)


def _more(rest: Sequence[str]) -> str:
    return f"The same of {len(rest)} more." if rest else ""
