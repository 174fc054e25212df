"""Names of annotators -> fingerprints, before the core is asked."""

from collections.abc import Sequence

from cwpo.config.run import RunConfig, merged
from cwpo.errors import ConfigError
from cwpo.stages.stored_annotator import is_fingerprint
from db import queries
from db.errors import UnknownAnnotator
from workers.machine.database import reading
from workers.machine.paths import store

FIELD = "annotator.use"
GONE = "the files of {} are gone from the store; choose another or train a new one."


def with_fingerprints(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """The same runs with every name of an annotator replaced by its fingerprint, each looked up once."""
    names = {config.annotator.use for config in configs} - {None}
    found = {name: fingerprint_of(name) for name in names if name is not None and not is_fingerprint(name)}
    return [_with_use(config, found) for config in configs]


def fingerprint_of(name: str, field: str = FIELD) -> str:
    """The fingerprint behind NAME or NAME@VERSION, whose files are there; ConfigError on `field` otherwise."""
    try:
        with reading() as session:
            row = queries.find_annotator(session, name)
    except UnknownAnnotator as error:
        raise ConfigError(field, str(error)) from error
    if not in_store(row.fingerprint):
        raise ConfigError(field, GONE.format(row.key))
    return row.fingerprint


def in_store(fingerprint: str) -> bool:
    """Whether the files are there, without reading them."""
    return store().holds(fingerprint)


def _with_use(config: RunConfig, found: dict[str, str]) -> RunConfig:
    use = config.annotator.use
    if use is None or use not in found:
        return config
    return RunConfig.parse(merged(config.canonical(), {"annotator": {"use": found[use]}}))
