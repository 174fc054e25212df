"""Named errors. The message of each is the one sentence a person reads: the cause, then the next step."""

import errno

from cwpo.redaction import without_secrets


class CwpoError(Exception):
    """Base of every error whose message is meant for people."""


class ConfigError(CwpoError):
    """A field of a run's configuration cannot be used; `field` is its dotted name."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        super().__init__(f"{field}: {sentence}")


class DataError(CwpoError):
    """A dataset cannot be read, or nothing usable is left of it."""


class ModelError(CwpoError):
    """A model cannot be loaded or stored."""


class GoldRewardError(CwpoError):
    """The gold reward is missing or cannot score."""


class JudgeError(CwpoError):
    """A judge model cannot be asked, or does not answer."""


class DivergedError(CwpoError):
    """Training met a loss that is not finite."""


class Cancelled(CwpoError):
    """The stage was asked to stop."""


class ArtifactError(CwpoError):
    """A stored artifact is damaged or missing."""


class NoRoom(CwpoError):
    """The disk has less free than a stage is about to write, or this process less memory than anything needs.

    `needs`: bytes that have to be free on a disk which could hold them; 0: to wait for them mends nothing."""

    def __init__(self, sentence: str, *, needs: int = 0) -> None:
        self.needs = needs
        super().__init__(sentence)


class RankError(CwpoError):
    """One of the processes that compute a stage together failed for a reason that has no name of its own."""


class RanksLost(CwpoError):
    """Processes that compute a stage together were killed, or hung until they were: as if the job had been killed.

    `outside`: somebody killed one of them, and not the kernel for memory."""

    def __init__(self, sentence: str, *, outside: bool = False) -> None:
        self.outside = outside
        super().__init__(sentence)


class OutOfMemory(CwpoError):
    """A process that computes a stage had no memory left.

    `card`: it was its card's memory, and not the machine's."""

    def __init__(self, sentence: str, *, card: bool = False) -> None:
        self.card = card
        super().__init__(sentence)


class Damaged(ArtifactError):
    """What was written with a checksum is not as it was written; the message says what is wrong in a few words."""


class StoreError(ArtifactError):
    """The shared artifact store refuses, or is not there."""


class StoreUnreachable(StoreError):
    """The shared artifact store does not answer; it may in a moment."""


class SettingsError(ArtifactError):
    """Settings of a stage that were stored cannot be read back."""


# torch's, Python's, and what pyarrow and numpy derive from Python's
_OOM_NAMES = ("OutOfMemoryError", "MemoryError")


# safetensors and pyarrow wrap the system's error and keep only its words
_DISK_FULL = ("no space left on device", "disk quota exceeded", "os error 28", "database or disk is full")


# of torch where its CPU allocator gives up, of C++, of cuBLAS, and of Python where a thread has no room for its stack
_NO_MEMORY = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "std::bad_alloc", "cublas_status_alloc_failed",
    "can't start new thread",
)  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that this process found no memory, itself or as the cause of a sentence of ours."""
    if isinstance(error, CwpoError):  # whose words may be a server's that was asked
        return isinstance(error, OutOfMemory) or (error.__cause__ is not None and _has_no_memory(error.__cause__))
    return _has_no_memory(error) or any(words in str(error).lower() for words in _NO_MEMORY)


def is_of_a_card(error: BaseException) -> bool:
    """Of an error that says that memory ran out: whether it was a card's, itself or as the cause of a sentence."""
    if isinstance(error, OutOfMemory) and error.card:
        return True
    if isinstance(error, CwpoError) and error.__cause__ is not None:
        return is_of_a_card(error.__cause__)
    return "cuda" in f"{type(error).__module__} {error}".lower()


def _has_no_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)
    kinds = [kind for kind in type(error).__mro__ if not kind.__module__.startswith("redis")]  # a server's memory
    return said or any(kind.__name__ in _OOM_NAMES for kind in kinds)


def is_disk_full(error: BaseException) -> bool:
    """Whether it says that a disk or a quota is full, so that the same may go well when space is freed; of files this
    alone decides it. A sentence of ours is final, but for NoRoom on a disk that is large enough."""
    if isinstance(error, CwpoError):
        return isinstance(error, NoRoom) and error.needs > 0
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(words in str(error).lower() for words in _DISK_FULL)


def sentence_of(error: BaseException) -> str:
    """One plain sentence with the next step for any exception, known or not; without secrets."""
    return without_secrets(_sentence_of(error))


def _sentence_of(error: BaseException) -> str:
    if isinstance(error, CwpoError):
        return str(error)
    if is_out_of_memory(error):
        return (
            "Out of memory: lower execution.tokens_per_batch, turn on execution.gradient_checkpointing, "
            "or choose a smaller model, then retry; finished stages are kept."
        )
    if is_disk_full(error):
        return "The disk is full: free space under CWPO_HOME, then retry the run; finished stages are kept."
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS):
        return f"No permission to write {error.filename or 'the artifact store'}: check CWPO_HOME, then retry the run."
    if isinstance(error, ConnectionError):
        return f"A server could not be reached ({type(error).__name__}): check REDIS_URL and DATABASE_URL, then retry."
    text = " ".join(without_secrets(str(error)).split())[:300]  # what is cut has no form any more
    return (
        f"{type(error).__name__}: {text or 'no message'}. The log holds the technical text; fix the cause, then retry."
    )


def brief(error: BaseException) -> str:
    """The error's text on one line, at most 160 characters, without secrets; its class name when it has no text."""
    text = without_secrets(" ".join(str(error).split()))
    return text[:160] or type(error).__name__
