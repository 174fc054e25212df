"""A run's configuration out of a YAML file and the `--set` of a command."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cwpo.bounds import yaml_text
from cwpo.config.run import RunConfig, override
from cwpo.errors import ConfigError


def read_config(path: Path, sets: Sequence[str]) -> Mapping[str, Any]:
    """The values in a YAML file with the --set overrides laid over them."""
    try:
        values = yaml_text.read_file(path)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror}); give the path of a YAML file.") from error
    except yaml_text.YamlError as error:
        raise ConfigError(str(path), f"{error}; see configs/ for examples.") from error
    if not isinstance(values, dict):
        raise ConfigError(str(path), "must hold fields like `method: cw`; see configs/ for examples.")
    for text in sets:
        dotted, equals, value = text.partition("=")
        if not equals or not dotted:
            raise ConfigError("--set", f"{text!r} is not of the form a.b=c.")
        try:
            values = override(values, dotted.strip(), yaml_text.read(value))
        except yaml_text.YamlError as error:
            raise ConfigError("--set", f"the value in {text[:80]!r} {error}; quote it.") from error
    return values


def field_help() -> str:
    """Every field of a run's configuration: dotted name, default, meaning."""
    return "\n".join(_field_lines(RunConfig, ""))


def _field_lines(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        dotted = f"{prefix}{name}"
        part = _part_of(field)
        if part is None:
            yield f"  {dotted:<31} {field.description} ({_default_of(field)})"
        else:
            yield f"  {dotted + ':':<31} {field.description}"
            yield from _field_lines(part, f"{dotted}.")


def _part_of(field: FieldInfo) -> type[BaseModel] | None:
    """The nested part a field holds, also when it may be null."""
    options = getattr(field.annotation, "__args__", ()) or (field.annotation,)
    for option in options:
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def _default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True, validated_data={})
    return f"default: {'none' if value in ('', None) else value}"
