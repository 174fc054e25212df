"""The memory of the web process: what pages need is loaded behind the first one and is no garbage, garbage is looked
for now and then, and what nothing holds goes back to the system."""

import ctypes
import gc
import importlib
import pkgutil
import threading
import time
from collections.abc import Callable

from streamlit import config

EVERY = 10.0  # seconds between two searches for garbage, while pages are drawn
# Of glibc's mallopt. One thread computes at a time, and each heap keeps gaps of its own; what is large has a place of
# its own outside of the heaps, however large what was there before, and leaves no gap in them.
M_ARENA_MAX, HEAPS = -8, 2
M_MMAP_THRESHOLD, LARGE = -3, 256 * 1024  # bytes
PARTS, LATE = "app.components", ("pyarrow.parquet", "scipy.optimize", "scipy.stats")  # loaded when they are asked for
_drawn = threading.Event()


def tidy() -> None:
    """Of the server, once: a thread looks for garbage. Streamlit would do so behind every run of a page's script, which
    takes longer than most of them and holds up everybody's pages."""
    config.set_option("runner.postScriptGC", False)
    for name, value in ((M_ARENA_MAX, HEAPS), (M_MMAP_THRESHOLD, LARGE)):
        _of_the_c_library("mallopt")(name, value)
    threading.Thread(target=_sweep, args=(_drawn, EVERY), name="garbage", daemon=True).start()


def settle() -> None:
    """Of every run of a page's script, when everything that pages need is loaded."""
    _drawn.set()


def _of_the_c_library(name: str) -> Callable[..., object]:
    """What glibc has for its heaps. It keeps one for each of many short threads, and what they leave stays with the
    process unless it is asked for (malloc_trim); of other C libraries this is left to them."""
    try:
        found: Callable[..., object] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return lambda *_: None
    return found


def load_parts() -> None:
    """Every part of every page, with all that stands behind it: whoever opens the next page finds it loaded."""
    for found in pkgutil.walk_packages(importlib.import_module(PARTS).__path__, f"{PARTS}."):
        importlib.import_module(found.name)
    for name in LATE:
        importlib.import_module(name)


def _sweep(drawn: threading.Event, every: float) -> None:
    """After the first page, what is there stays: modules are most of it, and no search goes through them again."""
    give_back = _of_the_c_library("malloc_trim")
    drawn.wait()
    load_parts()
    drawn.clear()
    gc.collect()
    gc.freeze()
    while True:
        time.sleep(every)
        drawn.wait()
        drawn.clear()
        gc.collect()
        give_back(0)
