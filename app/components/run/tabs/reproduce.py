"""What computes a run again on any machine: its configuration as a file, the command, and what is pinned."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.form.yaml_file import as_yaml
from app.components.frame import layout, text_blocks
from app.reads import results
from cwpo.config.run import RunConfig
from cwpo.errors import ConfigError
from db import queries
from db.records import RunRecord, StageRow
from workers.machine.program import program

PINS = ("revision", "tokenizer_revision", "annotator_revision", "policy_revision", "gold_revision")


def show_command(run: RunRecord, stages: Sequence[StageRow]) -> None:
    """The command with its file; a configuration that another version wrote says so."""
    try:
        config = RunConfig.stored(run.config)
    except ConfigError as error:
        layout.note(str(error))
        return
    text = as_yaml(config.canonical())
    file = f"run-{run.id}.yaml"
    layout.small("Compute it again", "The same stages have the same fingerprints, on any machine with these versions.")
    st.code(command(file, _environment(stages)), language="bash", wrap_lines=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            f"Download {file}", text, file_name=file, mime="application/yaml", key="run_yaml", on_click="ignore",
        )  # fmt: skip
        st.caption(pins_sentence(run.config))
    with st.expander(file):
        text_blocks.show_block(text, key="run_yaml_text", limit=len(text))


def command(file: str, environment: Mapping[str, Any] | None = None) -> str:
    """What to type; versions as comments in front, because they decide the last digits."""
    said = environment or {}
    lines = [f"# {said.get('cwpo') or program()}"]
    if environment:
        known = {name: value for name, value in environment.items() if name not in ("machine", "threads", "cwpo")}
        lines.append(f"# computed with {', '.join(f'{name} {value}' for name, value in known.items())}")
        lines.append(f"# on {environment.get('machine', 'an unknown machine')}, threads: {environment.get('threads')}")
    return "\n".join([*lines, f"cwpo run {file}"])


def pins_sentence(config: Mapping[str, Any]) -> str:
    """Which commits and contents are in the file."""
    found = [
        f"{part}.{name} {value[:12]}"
        for part, fields in config.items()
        if isinstance(fields, Mapping)
        for name, value in fields.items()
        if name in PINS and isinstance(value, str)
    ]
    if not found:
        return "It names nothing that has to be pinned."
    return f"Pinned in it: {', '.join(found)}."


def _environment(stages: Sequence[StageRow]) -> Mapping[str, Any] | None:
    """The versions of the attempt that ended last."""
    done = [stage for stage in stages if stage.attempts]
    if not done:
        return None
    with results.reading() as session:
        attempts = queries.attempts(session, done[-1].stage_id)
    return attempts[-1].environment if attempts else None
