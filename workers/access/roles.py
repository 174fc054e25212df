"""What people may do: four roles, each of which may do all that the one before may."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from cwpo.config.environment import settings
from cwpo.errors import ConfigError, CwpoError
from db.errors import DatabaseError
from db.repositories.people import who
from workers.access.acting import Person

LONGEST_NAME = 200


class NotAllowed(CwpoError, DatabaseError):
    """Whoever asks has not the role for it, or it belongs to somebody else: a sentence wherever errors become one."""


class Role(StrEnum):
    """From the one that may least to the one that may everything."""

    VIEWER = "viewer"
    ANNOTATOR = "annotator"
    RUNNER = "runner"
    ADMIN = "admin"

    def covers(self, other: "Role") -> bool:
        """Whether this role may do what the other one may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


MEANINGS = {
    Role.VIEWER: "looks at everything and changes nothing",
    Role.ANNOTATOR: "votes, and keeps own views and drafts",
    Role.RUNNER: "queues runs, changes and deletes own ones, labels files, exports",
    Role.ADMIN: "does everything: runs of others, the queue, the disk, webhooks, people",
}


def named(text: str) -> Role:
    """The role of this name."""
    try:
        return Role(text)
    except ValueError as error:
        raise ConfigError("ROLE", f"{text[:40]!r} is none: choose one of {', '.join(Role)}.") from error


def first_role() -> Role:
    """What somebody has who signs in for the first time."""
    try:
        return Role(settings.default_role)
    except ValueError as error:
        raise NotAllowed(
            f"CWPO_DEFAULT_ROLE: {settings.default_role[:40]!r} is no role: choose one of {', '.join(Role)}."
        ) from error


def is_named_admin(name: str) -> bool:
    """Whether CWPO_ADMINS names somebody, who is an admin for as long as it does."""
    return name in settings.admins


def role_in(session: Session, person: Person) -> Role:
    """The role of somebody as the database has it now; whoever has the installation is an admin. Refuses a session that
    was ended."""
    if person.owner:
        return Role.ADMIN
    check_name(person.name)
    found, valid_from = who.standing(session, person.name) or (None, None)
    if is_over(person, valid_from):
        raise NotAllowed("This session was ended by an administrator: sign in anew.")
    if is_named_admin(person.name):
        return Role.ADMIN
    return first_role() if found is None else stored(found)


def is_over(person: Person, valid_from: datetime | None) -> bool:
    """Whether the session of this person began before sessions count."""
    return valid_from is not None and person.signed_in_at is not None and person.signed_in_at < valid_from


def stored(text: str) -> Role:
    """A role as it was stored; one that this program does not know may least."""
    return Role(text) if text in list(Role) else Role.VIEWER


def check_name(name: str) -> None:
    """Refuse whoever has no name, or one that could not be told from another."""
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise NotAllowed(f"Whoever signs in needs a name of 1 to {LONGEST_NAME} plain characters: look at the login.")


def sentence(name: str, has: Role, needs: Role) -> str:
    """Why somebody may not."""
    return (
        f"This needs the role {needs}, and {name} has the role {has}: an administrator gives roles on the System page."
    )


def others_sentence(what: str, owner: str) -> str:
    """Why what somebody else made stays as it is."""
    return f"{what} belongs to {owner}: only they, or an administrator, can change it."
