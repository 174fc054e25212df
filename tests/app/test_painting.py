"""The wait for the browser's word: who waits, and that nothing of it stays."""

import threading

from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from app.components.frame import painting

TWO_PARTS = """
import streamlit as st
from app.components.frame.painting import let_paint
st.metric("GRA", "64 %")
let_paint("compare", 1)
st.write("evidence")
"""


def test_the_word_ends_the_wait_of_the_one_that_it_names() -> None:
    client = TestClient(Starlette(routes=[painting.route("/cwpo")]))
    first, one = painting.waiting.begin()
    second, other = painting.waiting.begin()
    assert client.post(f"/cwpo/painted/{first}").status_code == 204
    assert (one.is_set(), other.is_set()) == (True, False)
    assert client.post(f"/cwpo/painted/{first}").status_code == 204, "a word said twice"
    assert client.post("/cwpo/painted/unknown").status_code == 204
    assert client.get(f"/cwpo/painted/{second}").status_code == 405
    assert not other.is_set()
    painting.waiting.end(second)
    assert len(painting.waiting) == 0


def test_without_a_browser_nobody_waits() -> None:
    def began() -> tuple[str, threading.Event]:
        raise AssertionError("it waits")

    page = AppTest.from_string(TWO_PARTS)
    painting.waiting.begin, kept = began, painting.waiting.begin  # type: ignore[method-assign]
    try:
        page.run()
    finally:
        painting.waiting.begin = kept  # type: ignore[method-assign]
    assert not page.exception
    assert [text.value for text in page.markdown] == ["evidence"]
