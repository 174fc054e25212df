"""The form as a YAML file and a YAML file as the form: what `cwpo sweep` reads, with a sentence per wrong field."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import untrusted
from app.components.form.configuration import many
from app.components.form.form import Form
from app.components.form.show_form import CheckedForm
from app.components.frame import layout, text_blocks
from cwpo.bounds import yaml_text
from cwpo.config.run import override
from cwpo.config.sweep import sweep
from cwpo.errors import DataError
from workers.api.data import whole_upload

WRONG = "yaml_wrong"
LARGEST = 1  # MB of a file


def show_yaml(form: Form, checked: CheckedForm) -> None:
    """Folded away: the form's file, and a place for another one."""
    folded = st.expander("As a YAML file", key="yaml", on_change="rerun")
    if not folded.open:
        return
    with folded:
        mine, other = st.tabs(["This form", "Paste or upload"])
        with mine:
            _this_form(checked)
        with other:
            _another(form)


def as_yaml(values: Mapping[str, Any]) -> str:
    """What the form says as a file: its defaults are left out, lists stay lists."""
    plain = {key: value for key, value in values.items() if value not in ("", None, {})}
    for path in ("method", "objective", "seed"):
        if len(many(plain.get(path))) == 1:
            plain = override(plain, path, many(plain[path])[0])
    return yaml_text.written(plain, width=100)


def read_yaml(text: str) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The values of a file, and a sentence for every field that is wrong."""
    try:
        values = yaml_text.read(text)
    except yaml_text.YamlError as error:
        return {}, {"": f"This {error}."}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        return {}, {"": "A file holds fields, such as `method: [weak, cw]`; configs/ has examples."}
    return values, dict(sweep(values).problems)


def left_over(values: Mapping[str, Any]) -> str:
    """What the form says differently from the file, if anything: it has one list of percentages for all methods."""
    shares: dict[str, set[str]] = {}
    for name in many(values.get("method", "cw")):
        method, colon, percent = str(name).partition(":")
        if colon:
            shares.setdefault(method.strip(), set()).add(percent.strip())
    if len({frozenset(percents) for percents in shares.values()}) < 2:
        return ""
    return "The form has one list of percentages for all methods, so it makes more runs than the file."


def _this_form(checked: CheckedForm) -> None:
    if checked.sweep.problems:
        st.caption("The file appears when every field is right.")
        return
    text = as_yaml(checked.values)
    text_blocks.show_block(text, key="yaml_text")
    st.download_button("Download", text, file_name="sweep.yaml", mime="application/yaml", on_click="ignore")


def _another(form: Form) -> None:
    """A text or a file; only what is right in every field changes the form."""
    st.text_area(
        "A run or a sweep",
        key="yaml_given",
        height=170,
        placeholder="method: [weak, cw]\nalign:\n  beta: [0.1, 0.5]\nseed: [0, 1, 2]",
        persist_state="session",
    )
    st.file_uploader("or a file", type=["yaml", "yml"], key="yaml_file", max_upload_size=LARGEST)
    st.button("Fill the form", key="yaml_fill", on_click=_fill, args=(form,))
    for field, sentence in st.session_state.get(WRONG, {}).items():
        st.caption(f":red[{untrusted.label(f'{field} {sentence}'.strip(), 400)}]")


def _fill(form: Form) -> None:
    """Every widget holds what the file says; a file with a problem changes nothing."""
    file = st.session_state.get("yaml_file")
    text = st.session_state.get("yaml_given")
    try:
        text = text or (whole_upload(file.name, file, LARGEST << 20).decode("utf-8", "replace") if file else "")
    except DataError as error:
        st.session_state[WRONG] = {"": f"{error}"}
        return
    values, wrong = read_yaml(text)
    st.session_state[WRONG] = wrong
    if not wrong:
        form.fill(values)
        layout.flash(left_over(values) or "The form says what the file says.")
