"""The form of a session and its draft in the database: written when it was changed, read when another window wrote."""

import secrets
from collections.abc import Sequence

from app.components.form.beside.changes import changes_of, label_of
from app.components.form.drafts.content import Content, content_of, form_of, together
from app.components.form.form import Form, Kept
from app.components.frame import layout
from app.reads import results
from db import queries
from db.errors import ChangedDraft, DatabaseError, UnknownDraft
from db.records import DraftRow
from workers.api.people import drafts
from workers.api.people.access import NotAllowed, Role, why_not

PARAMETER = "draft"  # in the address of New run
MOST_SAID = 8  # changes that a list of drafts shows of each
_TRIES = 3
APART = (
    "Another window gave this draft another start (dataset, run or ready-made comparison): what stood here is a draft "
    "of its own now; both are in the list of drafts."
)


def open_draft(draft_id: str) -> Form:
    """The form as it was left, in whichever session; UnknownDraft where it is gone."""
    with results.reading() as session:
        return form_from_row(queries.get_draft(session, draft_id))


def form_from_row(row: DraftRow) -> Form:
    form = form_of(row.content)
    form.kept = Kept(draft=row.id, revision=row.revision, content=content_of(form))
    return form


def opened(form: Form) -> Form:
    """A form that nobody has changed yet: opened from an address, from a run, or empty."""
    form.kept = Kept(content=content_of(form))
    return form


def keep(form: Form) -> None:
    """Write what was changed since; and take over what another window wrote meanwhile."""
    try:
        with form.lock:
            _keep(form)
    except NotAllowed as error:
        if not why_not(Role.ANNOTATOR):  # else nothing of theirs is kept, and the button says why
            form.kept = Kept(said=f"{error} What is changed here is a draft of your own.")
    except DatabaseError as error:
        layout.problem(f"Changes to this form are not kept until the database answers again. {error}")


def _keep(form: Form) -> None:
    said = form.kept.said
    if form.kept.draft:
        _take_over(form)
    if form.kept.said == said and content_of(form) != form.kept.content:
        form.kept.said = ""  # it was read before this change
    _write(form)


def named(form: Form) -> str:
    """The name that a person gave; that of the run or comparison it starts from is none."""
    name = str(form.state["name"])
    return "" if name == form.before()["name"] else name


def _write(form: Form) -> None:
    for _ in range(_TRIES):
        now = content_of(form)
        if now == form.kept.content:
            return
        draft = form.kept.draft or secrets.token_hex(5)
        said = [str(change) for change in changes_of(form)]
        stored = {**now, "said": said[:MOST_SAID], "more": max(0, len(said) - MOST_SAID)}
        try:
            revision = drafts.save_draft(draft, name=named(form), content=stored, revision=form.kept.revision)
        except ChangedDraft:
            _take_over(form)
            continue
        form.kept = Kept(draft=draft, revision=revision, content=now, said=form.kept.said)
        return


def _take_over(form: Form) -> None:
    """What another window wrote since this one read or wrote last."""
    kept = form.kept
    try:
        with results.reading() as session:
            row = queries.get_draft(session, kept.draft)
    except UnknownDraft:
        kept.said = "This draft was deleted; it is kept again with the next change to it."
        return
    if row.revision == kept.revision:
        return
    found = together(kept.content, content_of(form), row.content)
    if found is None and content_of(form) == kept.content:
        _become(form, row.content, row, "Another window gave this draft another start; it is shown here.")
    elif found is None:
        form.kept = Kept(said=APART)
    else:
        _become(form, found.content, row, _sentence(found.taken, found.both))


def _become(form: Form, content: Content, row: DraftRow, said: str) -> None:
    again = form_of(content)
    form.start, form.state = again.start, again.state
    form.kept = Kept(draft=row.id, revision=row.revision, content=content_of(form_of(row.content)), said=said)


def _sentence(taken: Sequence[str], both: Sequence[str]) -> str:
    said = f"Changed in another window and shown here: {', '.join(map(label_of, taken))}." if taken else ""
    kept = f"Changed in both windows, this one's values are kept: {', '.join(map(label_of, both))}." if both else ""
    return f"{said} {kept}".strip()
