"""The places that runs can be mirrored to, by name."""

from collections.abc import Callable, Mapping

from cwpo.config.environment import settings
from cwpo.errors import ConfigError
from workers.mirror import to_mlflow, to_trackio, to_wandb
from workers.mirror.place import Place

NAME = "CWPO_MIRROR"
PLACES: Mapping[str, Callable[[], Place]] = {
    "mlflow": to_mlflow.place,
    "trackio": to_trackio.place,
    "wandb": to_wandb.place,
}


def place(name: str, asked_by: str) -> Place:
    """The place of this name; ConfigError where there is none, or something is missing for it."""
    if name not in PLACES:
        raise ConfigError(asked_by, f"{name!r} is no place for mirrors: choose {', '.join(PLACES)}.")
    return PLACES[name]()


def chosen() -> tuple[Place, ...]:
    """Those that CWPO_MIRROR names, each once."""
    names = dict.fromkeys(part.strip() for part in (settings.mirror or "").split(",") if part.strip())
    return tuple(place(name, NAME) for name in names)
