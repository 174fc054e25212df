"""Names of sets of labels -> fingerprints, before the core is asked; and no set with pairs of the evaluation."""

from collections.abc import Mapping, Sequence

from cwpo.config.run import RunConfig, merged
from cwpo.data import relabels
from cwpo.errors import ConfigError
from cwpo.stages.graph import StageSpec
from cwpo.stages.stored_annotator import is_fingerprint
from db import queries
from db.errors import UnknownSet
from workers.machine.database import reading
from workers.machine.paths import store

FIELD = "data.relabels"


def with_sets(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """The same runs with every name of a set replaced by its fingerprint, each looked up once."""
    names = {config.data.relabels for config in configs} - {None}
    found = {name: set_of(name) for name in names if name is not None and not is_fingerprint(name)}
    return [_with_set(config, found) for config in configs]


def set_of(name: str) -> str:
    """The fingerprint behind NAME or NAME@VERSION; ConfigError otherwise."""
    try:
        with reading() as session:
            row = queries.find_relabel_set(session, name)
    except UnknownSet as error:
        raise ConfigError(FIELD, str(error)) from error
    return row.fingerprint


def refuse_held_out(graphs: Sequence[tuple[RunConfig, Mapping[str, StageSpec]]]) -> None:
    """ConfigError where a set has a pair whose prompt a run is evaluated on, as far as the database knows the prompts;
    the stages themselves ask again."""
    data: dict[str, set[str]] = {}
    for config, specs in graphs:
        if config.data.relabels is not None:
            own = {specs[slot].fingerprint for slot in ("data", "prompts") if slot in specs}
            data.setdefault(config.data.relabels, set()).update(own)
    for fingerprint, stages in data.items():
        rows = relabels.read(store(), fingerprint)
        with reading() as session:
            found = queries.held_out_among(session, stages, sorted({row.prompt_id for row in rows}))
        if found:
            raise ConfigError(FIELD, relabels.HELD_OUT.format(found, fingerprint[:12]))


def _with_set(config: RunConfig, found: Mapping[str, str]) -> RunConfig:
    name = config.data.relabels
    if name is None or name not in found:
        return config
    return RunConfig.parse(merged(config.canonical(), {"data": {"relabels": found[name]}}))
