"""model.json, by which this program tells its own models from plain folders of transformers. Free of torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from cwpo.bounds import json_text
from cwpo.errors import ModelError

Form = Literal["full", "adapter", "annotator", "reward"]
MODEL_FILE = "model.json"
MOST = 1 << 20  # bytes of it


def read_form(folder: Path) -> dict[str, Any] | None:
    """model.json of an artifact; None for a plain transformers folder."""
    path = folder / MODEL_FILE
    if not path.is_file():
        return None
    try:
        form = json_text.read_object(path, most=MOST)
    except (OSError, json_text.JsonError) as error:
        raise ModelError(f"{folder}: {MODEL_FILE} cannot be read: retry the run.") from error
    parent = form.get("parent")
    known = form.get("form") in get_args(Form) and isinstance(parent or {}, Mapping)
    if not known or (form["form"] == "adapter" and not {"artifact", "model"} & set(parent or {})):
        raise ModelError(f"{folder}: {MODEL_FILE} is none of this program: rename it, or name another model.")
    return form
