"""What whoever looks at a page may do: why a button is off, in words that are safe to show."""

from typing import TypedDict

from app import untrusted
from workers.api.people.access import Role, why_not


class Off(TypedDict):
    """Of a button or a field: whether it is off, and why, or what it does."""

    disabled: bool
    help: str | None


def may_not(role: Role, owner: str | None = None) -> str:
    """Why whoever looks may not do what needs this role, for a widget's help or a caption: the names in it are people's
    words. Empty where they may."""
    return untrusted.label(why_not(role, owner), 600)


def only_for(role: Role, *, disabled: bool = False, about: str | None = None) -> Off:
    """A button or a field for those who have the role; off for others, with the reason."""
    why = may_not(role)
    return Off(disabled=disabled or bool(why), help=why or about)
