"""A run's configuration out of a YAML file and the `--set` of a command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cwpo.bounds import yaml_text
from cwpo.config.run import override
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
