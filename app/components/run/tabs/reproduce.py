"""What computes a run again on any machine: its configuration as a file, the command, what is pinned, and what lies on
this machine alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import untrusted
from app.components.form.yaml_file import as_yaml
from app.components.frame import layout, text_blocks
from app.reads import results
from cwpo.bundle.write import NAMED, names_outside
from cwpo.config.run import RunConfig
from cwpo.errors import ConfigError
from cwpo.models.hub import is_local
from db import queries
from db.records import RunRecord, StageRow
from workers.machine.program import program

PINS = ("revision", "tokenizer_revision", "annotator_revision", "policy_revision", "gold_revision", "relabels")
WITHOUT_PIN = tuple(field for field, pin in NAMED if not pin)
ANYWHERE = "The same stages have the same fingerprints, on any machine with these versions"
BESIDES = "The file alone does not do there. Besides, it needs what lies here:"
BUNDLE = "Once the run is done, a bundle takes all of it along, and computes the run again where nothing of it lies:"
NO_BUNDLE = "No bundle can take that annotator along: compute the run that trained it there first."


def show_command(run: RunRecord, stages: Sequence[StageRow]) -> None:
    """The command with its file; a configuration that another version wrote says so."""
    try:
        config = RunConfig.stored(run.config)
    except ConfigError as error:
        layout.note(str(error))
        return
    text, needed = as_yaml(config.canonical()), besides(config, _set_name(config.data.relabels))
    file = f"run-{run.id}.yaml"
    layout.small("Compute it again", f"{ANYWHERE}{' that has what is named below' if needed else ''}.")
    st.code(command(file, _environment(stages)), language="bash", wrap_lines=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            f"Download {file}", text, file_name=file, mime="application/yaml", key="run_yaml", on_click="ignore",
        )  # fmt: skip
        st.caption(pins_sentence(run.config))
    if needed:
        layout.note(BESIDES)
        st.markdown("\n".join(f"- {untrusted.label(one, 400)}" for one in needed))
        layout.note(NO_BUNDLE if annotator_of_another_run(config) else BUNDLE)
    if needed and not annotator_of_another_run(config):
        st.code(bundle_command(run.id), language="bash", wrap_lines=True)
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


def bundle_command(run_id: int) -> str:
    """What to type here, and there."""
    file = f"run-{run_id}.zip"
    return f"cwpo bundle {run_id} --include-data --out {file}  # here\ncwpo reproduce {file}  # there"


def besides(config: RunConfig, set_name: str = "") -> list[str]:
    """What a run needs that neither its file nor the hub has: a set of people's labels, an annotator of another run,
    files and folders of this machine, each with the fields that name it. `set_name`: NAME@VERSION of the set."""
    found = []
    if config.data.relabels:
        found.append(f"the set of labels {set_name or config.data.relabels[:12]} of this store (data.relabels)")
    if use := annotator_of_another_run(config):
        found.append(f"the annotator {use[:12]} of another run in this store (annotator.use)")
    fields: dict[str, list[str]] = {}
    for field, name, pin in names_outside(config):
        if is_local(name) and (pin or field in WITHOUT_PIN):
            fields.setdefault(name, []).append(field)
    return [*found, *(f"{name} ({', '.join(named)})" for name, named in fields.items())]


def annotator_of_another_run(config: RunConfig) -> str:
    """Its fingerprint, where the run asks one; a method with human labels does not."""
    return config.annotator.use or "" if config.needs_annotator else ""


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


def _set_name(fingerprint: str | None) -> str:
    """NAME@VERSION of a set of labels; empty where nobody named it."""
    if fingerprint is None:
        return ""
    with results.reading() as session:
        return next((row.key for row in queries.relabel_sets(session) if row.fingerprint == fingerprint), "")


def _environment(stages: Sequence[StageRow]) -> Mapping[str, Any] | None:
    """The versions of the attempt that ended last."""
    done = [stage for stage in stages if stage.attempts]
    if not done:
        return None
    with results.reading() as session:
        attempts = queries.attempts(session, done[-1].stage_id)
    return attempts[-1].environment if attempts else None
