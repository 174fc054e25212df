"""Whether a model takes the conversations of a local file, looked at before a run is stored. Free of torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cwpo.data.files import read_head
from cwpo.data.readers.columns import reader_by, shaped
from cwpo.data.rows import BadRow, Message, RawPair
from cwpo.errors import ConfigError
from cwpo.models.text.template import refusal, refused


def check_chats(file: Path, folder: Path, *, field: str, rows: int, columns: Mapping[str, str] | None = None) -> None:
    """ConfigError on the model's field where its chat template refuses one of the file's first conversations."""
    seen: set[tuple[str, ...]] = set()
    to_pair = reader_by(columns)
    for at in shaped(read_head(file, rows)[0], columns):
        messages = _messages(to_pair, at.row)
        roles = tuple(message["role"] for message in messages)
        if not roles or roles in seen:
            continue
        seen.add(roles)
        if cause := refused(folder, messages):
            raise ConfigError(field, f"{refusal(cause, messages)} Line {at.line} of {file.name} is one.")


def _messages(to_pair: Callable[[dict[str, Any]], RawPair], row: dict[str, Any] | None) -> tuple[Message, ...]:
    if row is None:
        return ()
    try:
        return to_pair(row).messages or ()
    except BadRow:
        return ()
