"""The memory of the web process: what is loaded for pages is no garbage, garbage is looked for now and then, and what
nothing holds goes back to the system."""

import ctypes
import gc
import threading
import time
from collections.abc import Callable

from streamlit import config

EVERY = 10.0  # seconds between two searches for garbage, while pages are drawn
_drawn = threading.Event()


def tidy() -> None:
    """Of the server, once: a thread looks for garbage. Streamlit would do so behind every run of a page's script, which
    takes longer than most of them and holds up everybody's pages."""
    config.set_option("runner.postScriptGC", False)
    threading.Thread(target=_sweep, args=(_drawn, EVERY), name="garbage", daemon=True).start()


def settle() -> None:
    """Of every run of a page's script, when everything that pages need is loaded."""
    _drawn.set()


def _giver() -> Callable[[], object]:
    """What hands memory that nothing holds back to the system. Where the C library keeps a heap for each of many short
    threads (glibc does), what they leave would stay with the process; of others this is left to them."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return lambda: None
    return lambda: trim(0)


def _sweep(drawn: threading.Event, every: float) -> None:
    """After the first page, what is there stays: modules are most of it, and no search goes through them again."""
    give_back = _giver()
    drawn.wait()
    drawn.clear()
    gc.collect()
    gc.freeze()
    while True:
        time.sleep(every)
        drawn.wait()
        drawn.clear()
        gc.collect()
        give_back()
