"""Who may do what, and what was done: roles, the end of sessions, and the log as a file."""

import json
from collections.abc import Iterator

from db import queries
from db.records import AuditCheck
from db.repositories.people import who
from workers.access import roles, sessions
from workers.access.doing import needs, person, reads, record, say
from workers.access.roles import MEANINGS, NotAllowed, Role
from workers.machine import patience
from workers.machine.database import reading, writing

__all__ = ["MEANINGS", "NotAllowed", "Role", "check_log", "log_file", "revoke", "role_now", "set_role", "why_not"]


@reads
def role_now() -> Role:
    """The role of whoever acts, as it was seconds ago: for what a page offers."""
    return sessions.role_now()


@reads
def why_not(role: Role, owner: str | None = None) -> str:
    """Why whoever acts may not do what needs this role, to what belongs to `owner`; empty where they may. The command
    itself asks the database again."""
    somebody = person()
    if somebody.owner:
        return ""
    has = role_now()
    if not has.covers(role):
        return roles.sentence(somebody.name, has, role)
    if owner is not None and owner != somebody.name and has is not Role.ADMIN:
        return roles.others_sentence("It", owner)
    return ""


@needs(Role.ADMIN)
@patience.patient()
def set_role(name: str, role: str) -> str:
    """Give somebody a role, also before they sign in; a sentence that says so."""
    new = roles.named(role)
    clean = name.strip()
    roles.check_name(clean)
    if roles.is_named_admin(clean) and new is not Role.ADMIN:
        raise NotAllowed(f"CWPO_ADMINS names {clean}, who is an administrator as long as it does: change it there.")
    with writing() as session:
        before = who.set_role(session, clean, new.value)
        record(session, f"person {clean}", before={"role": before}, after={"role": new.value})
    sessions.forget(clean)
    return f"{clean} has the role {new}: {MEANINGS[new]}."


@needs(Role.ADMIN)
@patience.patient()
def revoke(name: str) -> str:
    """End every session that somebody has; a sentence that says so."""
    clean = name.strip()
    sessions.revoke(clean)
    return f"The sessions of {clean} are over within a minute; they can sign in anew as long as the login lets them."


@reads
def check_log() -> AuditCheck:
    """Read the whole chain, and name what does not fit."""
    with reading() as session:
        return queries.check_audit(session)


@needs(Role.ADMIN)
def log_file(who: str = "") -> Iterator[str]:
    """What was done, by everybody or by one person, as JSON lines, the oldest first."""
    say("the log", of=who or "everybody")
    return _lines(who)


def _lines(who: str) -> Iterator[str]:
    with reading() as session:
        for event in queries.audit_events(session, who=who):
            yield json.dumps(event.as_json(), ensure_ascii=False, sort_keys=True) + "\n"
