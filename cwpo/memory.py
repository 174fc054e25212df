"""How this process gets memory from the system. Explicit: nothing here happens at import."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc
_NEVER = 2**31 - 1


SWITCH = "CWPO_TUNE_MALLOC"  # 0 leaves the allocator as it is


def tune_malloc_unless_off() -> bool:
    """What `cwpo run` and job processes do before they compute on a CPU."""
    return os.environ.get(SWITCH, "1") != "0" and tune_malloc()


def tune_malloc() -> bool:
    """Ask glibc to keep freed blocks in this process, so that large tensors need not fault their pages in again.

    Paid for with memory that stays taken, and with a first step that is slower while the memory is gathered. It took
    effect under one Python 3.11 and not under another; the cause is not known. False where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))
