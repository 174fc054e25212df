"""The memory of the web process: what pages need is loaded behind the first one and is no garbage, garbage is looked
for now and then, and what nothing holds goes back to the system. How its C library keeps memory is said where it is
started (workers/cli/launch/web.py)."""

import ctypes
import gc
import importlib
import pkgutil
import threading
import time
from collections.abc import Callable

from streamlit import config

EVERY = 5.0  # seconds between two searches for garbage, while pages are drawn
PARTS, LATE = "app.components", ("pyarrow.parquet", "scipy.optimize", "scipy.stats")  # loaded when they are asked for
_drawn = threading.Event()


def tidy() -> None:
    """Of the server, once: a thread looks for garbage. Streamlit would do so behind every run of a page's script, which
    takes longer than most of them and holds up everybody's pages."""
    config.set_option("runner.postScriptGC", False)
    threading.Thread(target=_sweep, args=(_drawn, EVERY), name="garbage", daemon=True).start()


def settle() -> None:
    """Of every run of a page's script, when everything that pages need is loaded."""
    _drawn.set()


def _trim() -> Callable[[int], object]:
    """What glibc calls malloc_trim: memory that nothing holds stays with the process unless it is asked for. Of other C
    libraries this is left to them."""
    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return lambda _: None
    return found


def load_parts() -> None:
    """Every part of every page, with all that stands behind it: whoever opens the next page finds it loaded."""
    for found in pkgutil.walk_packages(importlib.import_module(PARTS).__path__, f"{PARTS}."):
        importlib.import_module(found.name)
    for name in LATE:
        importlib.import_module(name)


def _sweep(drawn: threading.Event, every: float) -> None:
    """After the first page, what is there stays: modules are most of it, and no search goes through them again."""
    give_back = _trim()
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
