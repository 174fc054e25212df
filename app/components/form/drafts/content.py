"""A form as plain values and back, and two windows' changes to the same one put together."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.components.form.form import Form, Start
from app.components.form.presets import presets_for

Content = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Together:
    """Two windows' changes in one form. `taken`: fields of the other window; `both`: those that both changed, where
    this window's value is kept."""

    content: Content
    taken: tuple[str, ...]
    both: tuple[str, ...]


def content_of(form: Form) -> dict[str, Any]:
    """All that the form holds; also the configuration it started from, which may be deleted meanwhile."""
    start = form.start
    values = {"dataset": start.dataset, "source": start.source, "preset": start.preset, "values": start.values}
    plain: dict[str, Any] = json.loads(json.dumps({"start": values, "state": form.state}))
    return plain


def form_of(content: Content) -> Form:
    """The form again. A widget that this version has and the content has not holds what it starts with."""
    given = content["start"]
    preset = given["preset"] if given["preset"] in presets_for(given["dataset"]) else None
    start = Start(dataset=given["dataset"], source=given["source"], preset=preset, values=given["values"])
    form = Form.begun(start)
    held = {name: value for name, value in content["state"].items() if name in form.state}
    form.state |= {**held, "preset": preset}
    return form


def together(before: Content, mine: Content, theirs: Content) -> Together | None:
    """Field by field what this window has and another one wrote since both held `before`; None where they do not start
    from the same any more, so that fields alone mean nothing."""
    if mine["start"] != theirs["start"]:
        return None
    old, own, other = before["state"], mine["state"], theirs["state"]
    changed = {name for name, value in own.items() if value != old.get(name)}
    taken = tuple(name for name, value in other.items() if name not in changed and value != own.get(name))
    both = tuple(name for name in sorted(changed) if other.get(name) != old.get(name) and other.get(name) != own[name])
    state = {**own, **{name: value for name, value in other.items() if name not in changed}}
    return Together(content={"start": mine["start"], "state": state}, taken=taken, both=both)
