"""Any exception becomes one sentence with a cause and a next step, also when a library wraps the system's error."""

import errno

import pytest
from safetensors import SafetensorError

from cwpo.errors import DivergedError, sentence_of


class OutOfMemoryError(RuntimeError):
    """Named as torch's own."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full: free space under CWPO_HOME"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "The disk is full"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk is full"),
        (PermissionError(errno.EACCES, "denied", "/store/x"), "No permission to write /store/x: check CWPO_HOME"),
        (MemoryError(), "lower execution.tokens_per_batch"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "lower execution.tokens_per_batch"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
         "lower execution.tokens_per_batch"),
        (ConnectionRefusedError("no"), "check REDIS_URL and DATABASE_URL"),
        (DivergedError("The loss is nan."), "The loss is nan."),
        (KeyError("x\ny"), "KeyError: 'x\\ny'. The log holds the technical text"),
    ],
)  # fmt: skip
def test_an_error_is_one_sentence_with_the_next_step(error: BaseException, words: str) -> None:
    assert words in sentence_of(error)
    assert "\n" not in sentence_of(error)
