"""The memory of the web process: what is loaded for pages is no garbage, and garbage is looked for now and then."""

import gc
import threading
import time

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


def _sweep(drawn: threading.Event, every: float) -> None:
    """After the first page, what is there stays: modules are most of it, and no search goes through them again."""
    drawn.wait()
    drawn.clear()
    gc.collect()
    gc.freeze()
    while True:
        time.sleep(every)
        drawn.wait()
        drawn.clear()
        gc.collect()
