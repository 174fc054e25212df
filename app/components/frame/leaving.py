"""The one way from page to page: a view of the target names its script and all of its parameters."""

from typing import Any, NoReturn, Protocol

import streamlit as st


class Target(Protocol):
    """A view of `app.components.frame.address`: the script that shows it, and its address."""

    @property
    def screen(self) -> str: ...

    def to_params(self) -> dict[str, Any]: ...


def leave(target: Target) -> NoReturn:
    """Open another page. Its parameters are always given: without them Streamlit empties the address of this page,
    which fails beside a widget that is bound to it."""
    st.switch_page(target.screen, query_params=target.to_params())
    raise AssertionError("Streamlit goes on behind a change of the page.")
