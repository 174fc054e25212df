"""The border between what is stored with runs and the program: configurations in, `RunConfig` out. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cwpo.config.run import FIRST_RULES, RunConfig
from cwpo.errors import ConfigError


def as_stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """What was stored, with the rules of then spelled out: whoever parses it as a new run does not change them."""
    return {**FIRST_RULES, **values}


@dataclass(frozen=True, kw_only=True)
class StoredConfigs:
    """By run: what could be read, and for every other run one sentence that says why it could not."""

    configs: Mapping[int, RunConfig]
    unreadable: Mapping[int, str]


def read_stored(values: Mapping[int, Mapping[str, Any]]) -> StoredConfigs:
    """The configurations of these runs. One that a newer version stored keeps none of the others from being read."""
    configs: dict[int, RunConfig] = {}
    unreadable: dict[int, str] = {}
    for run_id, stored in values.items():
        try:
            configs[run_id] = RunConfig.stored(stored)
        except ConfigError as error:
            unreadable[run_id] = (
                f"The configuration of run {run_id} was stored by another version of cwpo and cannot be read here "
                f"({str(error).rstrip('.')}); use that version for this run."
            )
    return StoredConfigs(configs=configs, unreadable=unreadable)
