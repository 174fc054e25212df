"""What a command says when it fails: one sentence for any exception."""

from cwpo.errors import CwpoError, sentence_of
from cwpo.redaction import without_secrets
from db.errors import DatabaseError


def sentence(error: Exception) -> str:
    """Ours as they are; those of Redis and of the database name the variable that says where they are."""
    return without_secrets(_sentence(error))


def _sentence(error: Exception) -> str:
    if isinstance(error, CwpoError | DatabaseError):
        return str(error)
    module = type(error).__module__.partition(".")[0]
    text = " ".join(without_secrets(str(error)).split())[:200]
    if module == "redis":
        return f"Redis does not answer ({text}): start it, or correct REDIS_URL."
    if module == "sqlalchemy":
        return f"The database does not answer ({text}): start it, or correct DATABASE_URL."
    return sentence_of(error)
