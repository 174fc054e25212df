"""The memory of the web process: what was loaded for the pages is no garbage."""

import gc
from functools import cache

import streamlit as st


def settle() -> None:
    """Once in a process, when everything that pages need is loaded: the search for garbage behind every run of a page's
    script, which Streamlit asks for, need not go through it again. Modules are most of what there is."""
    if st.get_option("runner.postScriptGC"):
        _freeze()


@cache
def _freeze() -> None:
    gc.collect()
    gc.freeze()
